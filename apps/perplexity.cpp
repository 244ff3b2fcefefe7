// `minke perplexity -m FILE -f TEXT`: how well a model predicts a text, and how far its predictions
// are from those of the model that it was made from.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <optional>

#include "apps/base_logits.h"
#include "apps/chunk_options.h"
#include "apps/cli.h"
#include "apps/divergence.h"
#include "apps/estimate.h"
#include "apps/interrupt.h"
#include "backends/cpu/cpu_backend.h"

namespace minke::apps {
namespace {

struct PerplexityOptions {
  ChunkOptions text;
  std::string base;
  bool divergence = false;
};

/// One run over a text's chunks.
class Measurement {
 public:
  Measurement(const Model& model, const ChunkedText& text) : model_(model), text_(text) {}

  /// What runs now becomes the base of later comparisons.
  Status save_to(const std::filesystem::path& path) {
    MINKE_ASSIGN(writer_, BaseLogitsWriter::create(path, text_, model_.config().n_vocab));
    return {};
  }
  void compare_with(const BaseLogits& base) {
    base_ = &base;
    divergence_.emplace(n_predictions());
  }

  Status run(const PerplexityOptions& options) {
    MINKE_ASSIGN(const auto backend, make_cpu_backend({.n_threads = options.text.model.n_threads}));
    MINKE_ASSIGN(ChunkRunner runner, options.text.make_runner(model_, *backend, text_));
    print_note(fmt::format("{}: {} chunks of {} tokens, {} at a time, the last {} of each scored",
                           model_name(model_), text_.n_chunks(), text_.n_ctx,
                           runner.chunks_at_a_time(), text_.n_scored()));
    const SignalWatch watch;
    nll_.resize(n_predictions());
    if (base_ != nullptr) fmt::print("{}", divergence_header());
    for (int told = 0; told < text_.n_chunks();) {
      const auto visit = [&](int chunk, int index, std::span<const float> logits) {
        return score(chunk, index, logits);
      };
      MINKE_ASSIGN(const int done, runner.run_next(visit, go_on_until_interrupt));
      for (; told < done; ++told) MINKE_TRY(tell(told));
      std::fflush(stdout);
    }
    return finish();
  }

 private:
  size_t n_predictions() const {
    return static_cast<size_t>(text_.n_chunks()) * static_cast<size_t>(text_.n_scored());
  }
  size_t place(int chunk, int index) const {
    return static_cast<size_t>(chunk) * static_cast<size_t>(text_.n_scored()) +
           static_cast<size_t>(index);
  }

  Status score(int chunk, int index, std::span<const float> logits) {
    const TokenId target = text_.target(chunk, index);
    const double sum = log_sum_exp(logits);
    nll_[place(chunk, index)] = sum - static_cast<double>(logits[static_cast<size_t>(target)]);
    if (base_ != nullptr) {
      MINKE_ASSIGN(const BaseRow row, base_->row(chunk, index));
      divergence_->set(place(chunk, index), logits, sum, row, target);
    }
    if (writer_) {
      const std::vector<std::byte> row = writer_->encode(logits, sum);
      if (rows_.size() <= static_cast<size_t>(chunk)) rows_.resize(static_cast<size_t>(chunk) + 1);
      std::vector<std::byte>& rows = rows_[static_cast<size_t>(chunk)];
      rows.insert(rows.end(), row.begin(), row.end());
    }
    return {};
  }

  /// What is known after one more chunk; chunks come in order.
  Status tell(int chunk) {
    if (writer_) {
      MINKE_TRY(writer_->append(rows_[static_cast<size_t>(chunk)]));
      rows_[static_cast<size_t>(chunk)] = {};
    }
    const size_t n = place(chunk + 1, 0);
    if (base_ != nullptr)
      fmt::print("{}", divergence_line(*divergence_, n, chunk + 1));
    else
      fmt::print("[{}]{:.4f},", chunk + 1, exp_of(estimate_mean(std::span(nll_).first(n))).mean);
    return {};
  }

  Status finish() {
    if (base_ != nullptr) {
      fmt::print("{}", divergence_report(*divergence_));
      return {};
    }
    const Estimate ppl = exp_of(estimate_mean(nll_));
    fmt::print("\nFinal estimate: PPL = {:.4f} +/- {:.5f}\n", ppl.mean, ppl.error);
    return writer_ ? writer_->finish() : Status{};
  }

  const Model& model_;
  const ChunkedText& text_;
  const BaseLogits* base_ = nullptr;
  std::optional<BaseLogitsWriter> writer_;
  std::optional<Divergence> divergence_;
  std::vector<double> nll_;
  std::vector<std::vector<std::byte>> rows_;  ///< Encoded rows of chunks that are not written yet.
};

/// The base's own text is used; one that is given must be the same.
Status compare(const PerplexityOptions& options, const Model& model) {
  MINKE_ASSIGN(const BaseLogits base, BaseLogits::open(options.base, model.config().n_vocab));
  if (!options.text.file.empty()) {
    MINKE_ASSIGN(const ChunkedText text, options.text.read_text(model, base.text().n_ctx));
    const std::vector<TokenId>&given = text.tokens, &saved = base.text().tokens;
    // A base that was saved with --chunks, or --chunks here, leaves out the text's end.
    const bool ends_early = given.size() < saved.size() && options.text.max_chunks < 0;
    const size_t n = std::min(given.size(), saved.size());
    if (ends_early || !std::ranges::equal(std::span(given).first(n), std::span(saved).first(n)))
      return fail(Errc::kContent, "{}: it was made from another text than {}", options.base,
                  options.text.file);
  }
  ChunkedText text = base.text();
  text.keep(options.text.max_chunks);
  MINKE_TRY(read_into_memory(model, options.text.model.mlock));
  Measurement measurement(model, text);
  measurement.compare_with(base);
  return measurement.run(options);
}

Status perplexity(const PerplexityOptions& options) {
  if (options.divergence && options.base.empty())
    return usage("--kl-divergence: give the base too: --kl-divergence-base FILE");
  if (options.text.file.empty() && !options.divergence)
    return usage("no text: give -f FILE (see minke perplexity --help)");
  if (!options.divergence && !options.base.empty()) MINKE_TRY(check_no_leftover(options.base));
  MINKE_ASSIGN(const auto model, Model::open(options.text.model.model));
  if (options.divergence) return compare(options, *model);
  MINKE_ASSIGN(const ChunkedText text,
               options.text.read_text(*model, options.text.chunk_tokens(*model)));
  Measurement measurement(*model, text);
  if (!options.base.empty()) MINKE_TRY(measurement.save_to(options.base));
  MINKE_TRY(read_into_memory(*model, options.text.model.mlock));
  return measurement.run(options);
}

}  // namespace

Action setup_perplexity(CommandLine& line) {
  const auto options = std::make_shared<PerplexityOptions>();
  CLI::App& app = line.app();
  options->text.add_to(line, "Perplexity");
  app.add_option("--kl-divergence-base,--save-all-logits,--save-logits", options->base,
                 "Save what this model predicts, for comparisons; with --kl-divergence, the file "
                 "to compare with")
      ->type_name("FILE");
  app.add_flag("--kl-divergence", options->divergence,
               "Tell how far this model's predictions are from those saved in "
               "--kl-divergence-base, on the same text and with its -c");
  return [options] { return perplexity(*options); };
}

}  // namespace minke::apps
