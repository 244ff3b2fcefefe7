// `minke perplexity -m FILE -f TEXT`: how well a model predicts a text.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>

#include "apps/cli.h"
#include "apps/estimate.h"
#include "apps/interrupt.h"
#include "apps/model_options.h"
#include "apps/text_input.h"
#include "backends/cpu/cpu_backend.h"
#include "models/chunks.h"

namespace minke::apps {
namespace {

struct PerplexityOptions {
  ModelOptions model{.model = {}, .n_ctx = 512, .n_batch = 2048};
  std::string file;
  int max_chunks = -1;
};

/// log of the sum of exp over all logits, in f64.
double log_sum_exp(std::span<const float> logits) noexcept {
  const float largest = std::ranges::max(logits);
  double sum = 0;
  for (const float logit : logits) sum += static_cast<double>(std::exp(logit - largest));
  return static_cast<double>(largest) + std::log(sum);
}

/// Scores all chunks and prints the running perplexity after each. Gives -log p of every scored
/// token, (n_chunks, n_scored).
Result<std::vector<double>> score(ChunkRunner& runner, const ChunkedText& text) {
  const auto n_scored = static_cast<size_t>(text.n_scored());
  std::vector<double> nll(static_cast<size_t>(text.n_chunks()) * n_scored);
  const auto visit = [&](int chunk, int index, std::span<const float> logits) -> Status {
    const float target = logits[static_cast<size_t>(text.target(chunk, index))];
    nll[static_cast<size_t>(chunk) * n_scored + static_cast<size_t>(index)] =
        log_sum_exp(logits) - static_cast<double>(target);
    return {};
  };
  for (int told = 0; told < text.n_chunks();) {
    MINKE_ASSIGN(const int done, runner.run_next(visit));
    for (; told < done; ++told) {
      const auto so_far = std::span(nll).first(static_cast<size_t>(told + 1) * n_scored);
      fmt::print("[{}]{:.4f},", told + 1, exp_of(estimate_mean(so_far)).mean);
    }
    std::fflush(stdout);
    if (SignalWatch::interrupts() > 0) return fail(Errc::kCancelled, "");
  }
  fmt::print("\n");
  return nll;
}

Status perplexity(const PerplexityOptions& options) {
  if (options.file.empty()) return usage("no text: give -f FILE (see minke perplexity --help)");
  MINKE_ASSIGN(const std::string text,
               options.file == "-" ? read_stdin() : read_text_file(options.file));
  MINKE_ASSIGN(const auto model, Model::open(options.model.model));
  MINKE_ASSIGN(const auto backend, make_cpu_backend({.n_threads = options.model.n_threads}));
  const int n_ctx = options.model.n_ctx > 0 ? options.model.n_ctx : model->config().n_ctx_train;
  MINKE_ASSIGN(const ChunkedText chunks,
               cut_into_chunks(model->tokenizer(), text, n_ctx, options.max_chunks));
  if (chunks.n_chunks() == 0) return usage("--chunks 0: nothing to measure");
  MINKE_ASSIGN(ChunkRunner runner,
               ChunkRunner::create(*model, *backend, chunks, options.model.batch_tokens(),
                                   options.model.cache_type));
  print_note(fmt::format("{}: {} chunks of {} tokens, {} at a time, the last {} of each scored",
                         model_name(*model), chunks.n_chunks(), n_ctx, runner.chunks_at_a_time(),
                         chunks.n_scored()));
  const SignalWatch watch;
  MINKE_ASSIGN(const std::vector<double> nll, score(runner, chunks));
  const Estimate ppl = exp_of(estimate_mean(nll));
  fmt::print("Final estimate: PPL = {:.4f} +/- {:.5f}\n", ppl.mean, ppl.error);
  return {};
}

}  // namespace

Action setup_perplexity(CommandLine& line) {
  const auto options = std::make_shared<PerplexityOptions>();
  CLI::App& app = line.app();
  options->model.add_to(line);
  app.option_defaults()->group("Perplexity");
  app.add_option("-f,--file", options->file, "The text; - is the standard input")
      ->type_name("FILE");
  app.add_option("--chunks", options->max_chunks,
                 "Use the first N chunks of -c tokens; -1: all of the text")
      ->check(CLI::Range(-1, 1 << 24))
      ->capture_default_str()
      ->type_name("N");
  return [options] { return perplexity(*options); };
}

}  // namespace minke::apps
