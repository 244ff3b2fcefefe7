#include "apps/sensitivity.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "apps/convert_progress.h"
#include "apps/divergence.h"
#include "apps/interrupt.h"
#include "apps/terminal.h"
#include "backends/cpu/cpu_backend.h"
#include "convert/auto_types.h"
#include "convert/recipe.h"
#include "convert/weighting.h"
#include "models/deepseek2/weights.h"

namespace minke::apps {
namespace {

using deepseek2::Weight;

/// Four bits in blocks that divide the rows of nearly every matrix: errors near those of the files
/// that people make.
constexpr DType kProbe = DType::kIQ4_NL;

/// A weight as kProbe blocks, and what that loses.
struct Probe {
  std::vector<std::byte> blocks;
  convert::RelativeError error;
};

/// Encodes rows [begin, end).
void probe_rows(const Weight& weight, const convert::ImportanceEntry* entry, int64_t begin,
                int64_t end, Probe& probe, std::mutex& mutex) {
  const Shape& shape = weight.desc.shape;
  const FormatTraits &source = *find_format(weight.desc.dtype), &format = *find_format(kProbe);
  const auto cols = static_cast<size_t>(shape.cols());
  const size_t source_row = weight.desc.row_bytes(), row_size = row_bytes(kProbe, cols);
  std::vector<float> values(cols), decoded(cols), weights(cols);
  convert::RowImportance row_importance(entry, shape);
  convert::RelativeError error;
  for (int64_t row = begin; row < end; ++row) {
    const std::span<const float> importance = row_importance.of(row);
    const auto at = static_cast<size_t>(row);
    std::byte* blocks = probe.blocks.data() + at * row_size;
    source.decode(weight.data + at * source_row, values.data(), cols / source.block_len);
    convert::weigh_row(values, importance, kProbe, weights);
    format.encode(values.data(), weights.data(), blocks, cols / format.block_len);
    format.decode(blocks, decoded.data(), cols / format.block_len);
    error.add(values, decoded, importance);
  }
  const std::scoped_lock lock(mutex);
  probe.error.lost += error.lost;
  probe.error.all += error.all;
}

Probe make_probe(const Weight& weight, const convert::ImportanceEntry* entry, int n_threads) {
  constexpr int64_t kRowsAtOnce = 64;
  const int64_t n_rows = weight.desc.shape.rows();
  Probe probe;
  probe.blocks.resize(TensorDesc{kProbe, weight.desc.shape}.bytes());
  std::atomic<int64_t> next{0};
  std::mutex mutex;
  std::vector<std::jthread> threads;
  for (int i = 0; i < n_threads; ++i) {
    threads.emplace_back([&] {
      for (int64_t row = next.fetch_add(kRowsAtOnce); row < n_rows;
           row = next.fetch_add(kRowsAtOnce))
        probe_rows(weight, entry, row, std::min(row + kRowsAtOnce, n_rows), probe, mutex);
    });
  }
  threads.clear();
  return probe;
}

/// log p of each token, in place.
void to_log_probabilities(std::span<float> logits) noexcept {
  const auto log_sum = static_cast<float>(log_sum_exp(logits));
  for (float& logit : logits) logit -= log_sum;
}

/// KL divergence of one prediction from that of the base, both as log p.
double divergence(std::span<const float> base, std::span<const float> other) noexcept {
  double sum = 0;
  for (size_t i = 0; i < base.size(); ++i)
    sum += static_cast<double>(std::exp(base[i])) * static_cast<double>(base[i] - other[i]);
  return sum;
}

/// Passes over one text.
class Reader {
 public:
  Reader(const ChunkOptions& options, const Model& model, Backend& backend, const ChunkedText& text)
      : options_(options), model_(model), backend_(backend), text_(text) {}

  /// The first pass keeps its predictions; later ones give their mean divergence from them.
  Result<double> read() {
    const bool is_first = base_.empty();
    const auto n_scored = static_cast<size_t>(text_.n_scored());
    const size_t n = static_cast<size_t>(text_.n_chunks()) * n_scored;
    const auto n_vocab = static_cast<size_t>(model_.config().n_vocab);
    if (is_first) base_.resize(n * n_vocab);
    std::vector<float> row;
    double sum = 0;
    MINKE_ASSIGN(ChunkRunner runner, options_.make_runner(model_, backend_, text_));
    for (int done = 0; done < text_.n_chunks();) {
      const auto visit = [&](int chunk, int index, std::span<const float> logits) -> Status {
        const size_t i = static_cast<size_t>(chunk) * n_scored + static_cast<size_t>(index);
        const std::span base = std::span(base_).subspan(i * n_vocab, n_vocab);
        row.assign(logits.begin(), logits.end());
        to_log_probabilities(row);
        if (is_first)
          std::ranges::copy(row, base.begin());
        else
          sum += divergence(base, row);
        return {};
      };
      MINKE_ASSIGN(done, runner.run_next(visit, go_on_until_interrupt));
    }
    return sum / static_cast<double>(n);
  }

 private:
  const ChunkOptions& options_;
  const Model& model_;
  Backend& backend_;
  const ChunkedText& text_;
  std::vector<float> base_;  ///< (predictions, n_vocab) log p
};

bool is_probed(const Weight& weight) {
  return !convert::stays_float(weight.name, weight.desc.shape) &&
         static_cast<size_t>(weight.desc.shape.cols()) % find_format(kProbe)->block_len == 0;
}

}  // namespace

Status measure_sensitivities(const ChunkOptions& options, Model& model, const ChunkedText& text,
                             convert::ImportanceMatrix& matrix) {
  MINKE_ASSIGN(const auto backend, make_cpu_backend({.n_threads = options.model.n_threads}));
  Reader reader(options, model, *backend, text);
  const SignalWatch watch;
  StatusLine status;
  status.show("reading the text as it is");
  MINKE_TRY(reader.read());
  // Tied embeddings are one matrix, used twice.
  std::vector<std::vector<Weight*>> groups;
  for (Weight* weight : model.weights().all()) {
    if (!is_probed(*weight)) continue;
    if (!groups.empty() && groups.front().front()->data == weight->data)
      groups.front().push_back(weight);
    else
      groups.push_back({weight});
  }
  const auto start = std::chrono::steady_clock::now();
  for (size_t i = 0; i < groups.size(); ++i) {
    const Weight original = *groups[i].front();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    const double left =
        i == 0 ? 0 : took.count() / static_cast<double>(i) * static_cast<double>(groups.size() - i);
    status.show(fmt::format("matrix {} of {}: {}{}", i + 1, groups.size(), original.name,
                            i == 0 ? "" : fmt::format(", {} left", duration_text(left))));
    const Probe probe = make_probe(original, matrix.find(original.name), backend->n_threads());
    for (Weight* weight : groups[i]) {
      weight->desc.dtype = kProbe;
      weight->data = probe.blocks.data();
    }
    const Result<double> divergence = reader.read();
    for (Weight* weight : groups[i]) *weight = original;
    if (!divergence) return tl::unexpected(divergence.error());
    // A matrix of zeros loses nothing; and the mean of many tiny divergences may round below zero.
    const double share = probe.error.share();
    const double sensitivity = share > 0 ? std::max(0.0, *divergence / share) : 0.0;
    if (!std::isfinite(sensitivity))
      return fail(Errc::kContent, "the sensitivity of '{}' is not a number", original.name);
    matrix.sensitivities[original.name] = static_cast<float>(sensitivity);
  }
  return {};
}

}  // namespace minke::apps
