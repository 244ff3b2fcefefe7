#include "convert/auto_types.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <limits>
#include <queue>
#include <utility>

#include "convert/pieces.h"
#include "convert/weighting.h"
#include "runtime/utf8.h"

namespace minke::convert {
namespace {

// What a tensor may become.
constexpr std::array kCandidates = {
    DType::kQ2_K, DType::kQ3_K, DType::kIQ4_XS, DType::kIQ4_NL, DType::kQ4_K,
    DType::kQ4_1, DType::kQ5_K, DType::kQ5_0,   DType::kQ5_1,   DType::kQ6_K,
    DType::kQ8_0, DType::kF16,  DType::kBF16,
};

/// Values of a tensor that each type is tried on: enough that another sample gives the same error
/// within a few percent.
constexpr int64_t kSampleValues = int64_t{1} << 16;
constexpr int64_t kSamplePieces = 16;

/// Up to kSamplePieces groups of rows, spread evenly over the tensor. A transposed slab is read as
/// a whole.
std::vector<Piece> sample_pieces(const PlannedTensor& tensor) {
  std::vector<Piece> pieces;
  const auto n_slabs = static_cast<int64_t>(tensor.slabs.size());
  const auto piece_values = kSampleValues / kSamplePieces;
  if (tensor.slabs.front().transposed) {
    for (int64_t i = 0, n = std::min<int64_t>(n_slabs, 4); i < n; ++i) {
      const Slab& slab = tensor.slabs[static_cast<size_t>(i * n_slabs / n)];
      pieces.push_back({&tensor, &slab, slab.first_row, slab.n_rows});
    }
    return pieces;
  }
  int64_t all_rows = 0;
  for (const Slab& slab : tensor.slabs) all_rows += slab.n_rows;
  const int64_t n_rows =
      std::max<int64_t>(1, piece_values / tensor.slabs.front().source.weights.shape.cols());
  const int64_t n = std::clamp<int64_t>(all_rows / n_rows, 1, kSamplePieces);
  int64_t before = 0;  // Rows of the slabs before this one.
  auto slab = tensor.slabs.begin();
  for (int64_t i = 0; i < n; ++i) {
    const int64_t row = i * all_rows / n;
    while (row >= before + slab->n_rows) before += (slab++)->n_rows;
    const int64_t in_slab = row - before;
    pieces.push_back(
        {&tensor, &*slab, slab->first_row + in_slab, std::min(n_rows, slab->n_rows - in_slab)});
  }
  return pieces;
}

/// How much larger the error gets, by how many more bytes.
double price(const TypeOption& from, const TypeOption& to) {
  return (from.error - to.error) / static_cast<double>(to.bytes - from.bytes);
}

}  // namespace

uint64_t SizeBudget::bytes_for(uint64_t n_weights) const noexcept {
  if (bytes > 0) return bytes;
  return static_cast<uint64_t>(bits_per_weight * static_cast<double>(n_weights) / 8);
}

Result<std::optional<SizeBudget>> parse_size_budget(std::string_view type) {
  constexpr std::string_view kPrefix = "auto:";
  std::string lower(type);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
  if (!lower.starts_with(kPrefix)) return std::nullopt;
  const std::string_view text = std::string_view(lower).substr(kPrefix.size());
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  constexpr std::array<std::pair<std::string_view, double>, 4> kUnits = {
      {{"gib", 1 << 30}, {"mib", 1 << 20}, {"gb", 1e9}, {"mb", 1e6}}};
  const auto found = std::ranges::find(kUnits, unit, &std::pair<std::string_view, double>::first);
  const double n_bytes = found == kUnits.end() ? 0 : number * found->second;
  constexpr double kMostBits = 16, kMostBytes = 1e15;
  if (error == std::errc{} && unit.empty() && number > 0 && number <= kMostBits)
    return SizeBudget{0, number};
  if (error == std::errc{} && n_bytes >= 1 && n_bytes <= kMostBytes)
    return SizeBudget{static_cast<uint64_t>(n_bytes), 0};
  return fail(Errc::kUsage,
              "'{}': not a size: auto:BITS (a weight, at most {}), or auto:SIZE with GiB, MiB, GB "
              "or MB",
              printable(type), kMostBits);
}

std::vector<TypeOption> worthwhile(std::vector<TypeOption> options) {
  std::ranges::sort(options, [](const TypeOption& a, const TypeOption& b) {
    return std::pair(a.bytes, a.error) < std::pair(b.bytes, b.error);
  });
  std::vector<TypeOption> hull;
  for (const TypeOption& option : options) {
    if (!hull.empty() && option.error >= hull.back().error) continue;
    // Those from which the step to this one saves more a byte than the step to them did.
    while (!hull.empty() && (hull.back().bytes == option.bytes ||
                             (hull.size() > 1 && price(hull.back(), option) >=
                                                     price(hull[hull.size() - 2], hull.back()))))
      hull.pop_back();
    hull.push_back(option);
  }
  return hull;
}

std::optional<std::vector<size_t>> choose_options(std::span<const std::vector<TypeOption>> tensors,
                                                  uint64_t bytes) {
  std::vector<size_t> chosen(tensors.size(), 0);
  uint64_t used = 0;
  struct Step {
    double saved;  // Error a byte.
    size_t tensor;
    bool operator<(const Step& other) const {
      return std::pair(saved, other.tensor) < std::pair(other.saved, tensor);
    }
  };
  std::priority_queue<Step> steps;
  const auto offer = [&](size_t tensor) {
    const auto& options = tensors[tensor];
    const size_t at = chosen[tensor];
    if (at + 1 < options.size()) steps.push({price(options[at], options[at + 1]), tensor});
  };
  for (size_t i = 0; i < tensors.size(); ++i) {
    used += tensors[i].front().bytes;
    offer(i);
  }
  if (used > bytes) return std::nullopt;
  // The steps of a convex hull come in falling order, so the best one next is the best in all.
  while (!steps.empty()) {
    const size_t tensor = steps.top().tensor;
    steps.pop();
    const auto& options = tensors[tensor];
    const uint64_t more = options[chosen[tensor] + 1].bytes - options[chosen[tensor]].bytes;
    if (used + more > bytes) continue;
    used += more;
    ++chosen[tensor];
    offer(tensor);
  }
  return chosen;
}

void RelativeError::add(std::span<const float> values, std::span<const float> decoded,
                        std::span<const float> importance) noexcept {
  const size_t cols = importance.empty() ? values.size() : importance.size();
  for (size_t at = 0; at < values.size(); at += cols) {
    double row_lost = 0, row_all = 0;
    for (size_t c = 0; c < cols; ++c) {
      const double weight = importance.empty() ? 1.0 : static_cast<double>(importance[c]);
      const double value = static_cast<double>(values[at + c]);
      const double error = value - static_cast<double>(decoded[at + c]);
      row_lost += weight * error * error;
      row_all += weight * value * value;
    }
    lost += row_lost;
    all += row_all;
  }
}

Result<std::vector<TypeOption>> measure_options(const PlannedTensor& tensor, double sensitivity) {
  const auto cols = static_cast<size_t>(tensor.desc.shape.cols());
  std::vector<const FormatTraits*> formats;
  for (const DType dtype : kCandidates) {
    const FormatTraits* format = find_format(dtype);
    if (cols % format->block_len == 0) formats.push_back(format);
  }
  std::vector<RelativeError> errors(formats.size());
  PieceBytes bytes;
  PieceScratch scratch;
  std::vector<std::byte> encoded;
  std::vector<float> decoded;
  RowImportance importance(tensor.importance, tensor.desc.shape);
  for (const Piece& piece : sample_pieces(tensor)) {
    MINKE_TRY(read_piece(piece, bytes));
    MINKE_TRY(decode_piece(piece, bytes, scratch));
    const std::vector<float>& values = scratch.values;
    weigh_errors(piece, values, scratch.weights);
    decoded.resize(values.size());
    for (size_t f = 0; f < formats.size(); ++f) {
      const FormatTraits& format = *formats[f];
      const size_t n_blocks = values.size() / format.block_len;
      encoded.resize(n_blocks * format.block_bytes);
      format.encode(values.data(), scratch.weights.data(), encoded.data(), n_blocks);
      format.decode(encoded.data(), decoded.data(), n_blocks);
      const std::span<const float> all(values), got(decoded);
      int64_t row = first_out_row(piece);
      for (size_t at = 0; at < values.size(); at += cols, ++row)
        errors[f].add(all.subspan(at, cols), got.subspan(at, cols), importance.of(row));
    }
  }
  constexpr double kUnfit = std::numeric_limits<double>::infinity();
  std::vector<TypeOption> options;
  for (size_t f = 0; f < formats.size(); ++f) {
    const TensorDesc desc{formats[f]->dtype, tensor.desc.shape};
    const double share = errors[f].share();
    // Infinite where a type cannot hold the values; which is left if none can.
    options.push_back(
        {desc.dtype, desc.bytes(), std::isfinite(share) ? sensitivity * share : kUnfit});
  }
  return worthwhile(std::move(options));
}

}  // namespace minke::convert
