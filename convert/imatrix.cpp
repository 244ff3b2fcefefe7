#include "convert/imatrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "runtime/gguf_reader.h"
#include "runtime/gguf_writer.h"
#include "runtime/input_file.h"
#include "runtime/mmap.h"
#include "runtime/utf8.h"

namespace minke::convert {
namespace {

constexpr std::string_view kSums = ".in_sum2", kCounts = ".counts";
constexpr std::string_view kSensitivity = ".sensitivity";
constexpr size_t kMaxNameBytes = 255;

/// Errors of one file, each with its place.
class Problem {
 public:
  explicit Problem(const std::filesystem::path& path) : file_(printable_path(path)) {}
  tl::unexpected<Error> at(size_t offset, std::string_view reason) const {
    return fail(Errc::kContent, "{}: offset {:#x}: {}", file_, offset, reason);
  }
  tl::unexpected<Error> of(std::string_view name, std::string_view reason) const {
    return fail(Errc::kContent, "{}: tensor '{}': {}", file_, printable(name), reason);
  }

 private:
  std::string file_;
};

bool is_measure(float value) { return std::isfinite(value) && value >= 0; }

/// The bytes of a legacy file, from front to end.
class LegacyReader {
 public:
  LegacyReader(std::span<const std::byte> bytes, const Problem& problem)
      : bytes_(bytes), problem_(problem) {}

  Result<ImportanceMatrix> read() {
    ImportanceMatrix matrix;
    MINKE_ASSIGN(const int32_t n_entries, number("number of entries"));
    // The smallest entry: a name of one byte and one value.
    constexpr size_t kLeastBytes = 3 * sizeof(int32_t) + 1 + sizeof(float);
    if (n_entries < 1 || static_cast<size_t>(n_entries) > left() / kLeastBytes)
      return problem_.at(0, fmt::format("number of entries (got {}, allowed 1 to {})", n_entries,
                                        left() / kLeastBytes));
    for (int32_t i = 0; i < n_entries; ++i) MINKE_TRY(read_entry(matrix));
    if (left() > 0) MINKE_TRY(read_end(matrix));
    if (left() > 0) return problem_.at(at_, fmt::format("{} bytes too many", left()));
    return matrix;
  }

 private:
  size_t left() const noexcept { return bytes_.size() - at_; }

  Result<int32_t> number(std::string_view what) {
    int32_t value = 0;
    if (left() < sizeof(value)) return problem_.at(at_, fmt::format("{}: the file ends", what));
    std::memcpy(&value, bytes_.data() + at_, sizeof(value));
    at_ += sizeof(value);
    return value;
  }

  Result<std::string> text(std::string_view what, int32_t least, size_t most) {
    const size_t begin = at_;
    MINKE_ASSIGN(const int32_t n, number(what));
    if (n < least || static_cast<size_t>(n) > std::min(most, left()))
      return problem_.at(begin, fmt::format("length of the {} (got {}, allowed {} to {})", what, n,
                                            least, std::min(most, left())));
    std::string value(reinterpret_cast<const char*>(bytes_.data() + at_), static_cast<size_t>(n));
    at_ += value.size();
    if (!is_valid_utf8(value) || value.find('\0') != std::string::npos)
      return problem_.at(begin, fmt::format("the {} is not text", what));
    return value;
  }

  Status read_entry(ImportanceMatrix& matrix) {
    const size_t begin = at_;
    MINKE_ASSIGN(const std::string name, text("name", 1, kMaxNameBytes));
    MINKE_ASSIGN(const int32_t calls, number("calls"));
    MINKE_ASSIGN(const int32_t n_values, number("number of values"));
    if (calls < 0)
      return problem_.at(begin, fmt::format("'{}': calls (got {})", printable(name), calls));
    if (n_values < 1 || static_cast<size_t>(n_values) > left() / sizeof(float))
      return problem_.at(at_ - sizeof(int32_t),
                         fmt::format("'{}': number of values (got {}, allowed 1 to {})",
                                     printable(name), n_values, left() / sizeof(float)));
    ImportanceEntry entry;
    entry.sums.resize(static_cast<size_t>(n_values));
    entry.counts = {static_cast<float>(calls)};
    std::memcpy(entry.sums.data(), bytes_.data() + at_, entry.sums.size() * sizeof(float));
    const auto bad = std::ranges::find_if_not(entry.sums, is_measure);
    if (bad != entry.sums.end())
      return problem_.at(
          at_ + static_cast<size_t>(bad - entry.sums.begin()) * sizeof(float),
          fmt::format("'{}': value (got {}, allowed 0 or more)", printable(name), *bad));
    at_ += entry.sums.size() * sizeof(float);
    if (!matrix.entries.emplace(name, std::move(entry)).second)
      return problem_.at(begin, fmt::format("'{}' is there twice", printable(name)));
    return {};
  }

  Status read_end(ImportanceMatrix& matrix) {
    MINKE_ASSIGN(const int32_t n_chunks, number("number of chunks"));
    matrix.n_chunks = static_cast<uint32_t>(std::max(0, n_chunks));
    if (left() == 0) return {};
    MINKE_ASSIGN(std::string dataset, text("name of the text", 0, size_t{1} << 16));
    if (!dataset.empty()) matrix.datasets.push_back(std::move(dataset));
    return {};
  }

  std::span<const std::byte> bytes_;
  const Problem& problem_;
  size_t at_ = 0;
};

Result<std::vector<float>> read_measures(const GgufTensor& tensor, const Problem& problem) {
  if (tensor.desc.dtype != DType::kF32)
    return problem.of(tensor.name,
                      fmt::format("type (got {}, allowed F32)", dtype_name(tensor.desc.dtype)));
  std::vector<float> values(tensor.data.size() / sizeof(float));
  std::memcpy(values.data(), tensor.data.data(), tensor.data.size());
  const auto bad = std::ranges::find_if_not(values, is_measure);
  if (bad != values.end())
    return problem.of(tensor.name, fmt::format("value {} (got {}, allowed 0 or more)",
                                               bad - values.begin(), *bad));
  return values;
}

Status read_metadata(const GgufFile& file, ImportanceMatrix& matrix) {
  if (file.has("imatrix.datasets")) {
    MINKE_ASSIGN(const auto datasets, file.get_strings("imatrix.datasets"));
    matrix.datasets.assign(datasets.begin(), datasets.end());
  }
  constexpr uint64_t kMost = UINT32_MAX;
  MINKE_ASSIGN(const uint64_t n_chunks, file.get_uint_or("imatrix.chunk_count", 0));
  MINKE_ASSIGN(const uint64_t chunk_tokens, file.get_uint_or("imatrix.chunk_size", 0));
  matrix.n_chunks = static_cast<uint32_t>(std::min(n_chunks, kMost));
  matrix.chunk_tokens = static_cast<uint32_t>(std::min(chunk_tokens, kMost));
  return {};
}

Result<ImportanceMatrix> read_gguf(const std::filesystem::path& path, const Problem& problem) {
  MINKE_ASSIGN(const GgufFile file, GgufFile::open(path));
  MINKE_ASSIGN(const std::string_view type, file.get_string_or("general.type", ""));
  if (type != "imatrix")
    return fail(Errc::kContent, "{}: key 'general.type': (got '{}', allowed 'imatrix')",
                printable_path(path), printable(type));
  ImportanceMatrix matrix;
  MINKE_TRY(read_metadata(file, matrix));
  for (const GgufTensor& tensor : file.tensors()) {
    if (tensor.name.ends_with(kSensitivity)) {
      MINKE_ASSIGN(const std::vector<float> values, read_measures(tensor, problem));
      if (values.size() != 1)
        return problem.of(tensor.name, fmt::format("{} values (allowed 1)", values.size()));
      matrix.sensitivities.emplace(tensor.name.substr(0, tensor.name.size() - kSensitivity.size()),
                                   values.front());
      continue;
    }
    if (!tensor.name.ends_with(kSums)) {
      const std::string_view stem = tensor.name.substr(0, tensor.name.rfind('.'));
      if (tensor.name.ends_with(kCounts) && file.find_tensor(fmt::format("{}{}", stem, kSums)))
        continue;
      return problem.of(tensor.name, "no importance matrix has it");
    }
    const std::string_view name = tensor.name.substr(0, tensor.name.size() - kSums.size());
    const GgufTensor* counts = file.find_tensor(fmt::format("{}{}", name, kCounts));
    if (counts == nullptr) return problem.of(tensor.name, "its counts are missing");
    ImportanceEntry entry;
    MINKE_ASSIGN(entry.sums, read_measures(tensor, problem));
    MINKE_ASSIGN(entry.counts, read_measures(*counts, problem));
    if (entry.sums.size() % entry.counts.size() != 0)
      return problem.of(tensor.name, fmt::format("{} sums do not fit {} counts", entry.sums.size(),
                                                 entry.counts.size()));
    matrix.entries.emplace(name, std::move(entry));
  }
  if (matrix.entries.empty())
    return fail(Errc::kContent, "{}: it holds no sums", printable_path(path));
  return matrix;
}

}  // namespace

const ImportanceEntry* ImportanceMatrix::find(std::string_view weight) const noexcept {
  const auto it = entries.find(weight);
  return it == entries.end() ? nullptr : &it->second;
}

Status check_fits(std::string_view weight, const ImportanceEntry& entry, int64_t n_planes,
                  int64_t cols) {
  const auto n_sums = static_cast<int64_t>(entry.sums.size());
  const auto n_counts = static_cast<int64_t>(entry.counts.size());
  if (n_sums == n_planes * cols && (n_counts == n_planes || n_counts == 1)) return {};
  return fail(Errc::kShape,
              "importance of '{}': {} sums and {} counts do not fit {} matrices of {} columns: it "
              "was measured on another model",
              weight, n_sums, n_counts, n_planes, cols);
}

std::vector<float> column_importance(const ImportanceEntry& entry, int64_t n_planes,
                                     int64_t plane) {
  const size_t cols = entry.sums.size() / static_cast<size_t>(n_planes);
  const auto count_of = [&](int64_t p) {
    return static_cast<double>(entry.counts[entry.counts.size() == 1 ? 0 : static_cast<size_t>(p)]);
  };
  double all_rows = 0;
  std::vector<double> all(cols);
  for (int64_t p = 0; p < n_planes; ++p) {
    all_rows += count_of(p);
    for (size_t c = 0; c < cols; ++c)
      all[c] += static_cast<double>(entry.sums[static_cast<size_t>(p) * cols + c]);
  }
  if (all_rows == 0) return std::vector<float>(cols, 1.0f);
  const std::span own = std::span(entry.sums).subspan(static_cast<size_t>(plane) * cols, cols);
  // A legacy file counts calls, not rows: there only an expert that saw nothing needs the others.
  const bool counts_rows = static_cast<int64_t>(entry.counts.size()) == n_planes;
  const bool saw_nothing = std::ranges::all_of(own, [](float sum) { return sum == 0; });
  const double added = counts_rows || saw_nothing ? kFewRows : 0;
  std::vector<float> importance(cols);
  for (size_t c = 0; c < cols; ++c)
    importance[c] = static_cast<float>((static_cast<double>(own[c]) + added * all[c] / all_rows) /
                                       (count_of(plane) + added));
  return importance;
}

std::span<const float> RowImportance::of(int64_t row) {
  const int64_t plane = row / plane_rows_;
  if (entry_ != nullptr && plane != plane_) {
    columns_ = column_importance(*entry_, n_planes_, plane);
    plane_ = plane;
  }
  return columns_;
}

Result<ImportanceMatrix> read_imatrix(const std::filesystem::path& path) {
  const Problem problem(path);
  bool is_gguf = false;
  ImportanceMatrix matrix;
  {
    MINKE_ASSIGN(const MappedFile file, MappedFile::open(path));
    const std::span<const std::byte> bytes = file.bytes();
    is_gguf = bytes.size() >= 4 && std::memcmp(bytes.data(), "GGUF", 4) == 0;
    if (!is_gguf) {
      MINKE_ASSIGN(matrix, LegacyReader(bytes, problem).read());
    }
  }
  if (is_gguf) {
    MINKE_ASSIGN(matrix, read_gguf(path, problem));
  }
  matrix.file_name = path.filename().string();
  return matrix;
}

Status write_imatrix(const std::filesystem::path& path, const ImportanceMatrix& matrix) {
  for (const auto& [name, entry] : matrix.entries)
    if (!std::ranges::all_of(entry.sums, is_measure))
      return fail(Errc::kContent, "what comes into '{}' is NaN or too large", name);
  MINKE_ASSIGN(GgufWriter writer, GgufWriter::create(path));
  writer.set_string("general.type", "imatrix");
  writer.set_strings("imatrix.datasets", matrix.datasets);
  writer.set_u32("imatrix.chunk_count", matrix.n_chunks);
  writer.set_u32("imatrix.chunk_size", matrix.chunk_tokens);
  for (const auto& [name, entry] : matrix.entries) {
    const auto n_planes = static_cast<int64_t>(entry.counts.size());
    const auto cols = static_cast<int64_t>(entry.sums.size()) / n_planes;
    writer.add_tensor(fmt::format("{}{}", name, kSums), {DType::kF32, Shape{n_planes, cols}});
    writer.add_tensor(fmt::format("{}{}", name, kCounts), {DType::kF32, Shape{n_planes, 1}});
  }
  for (const auto& [name, sensitivity] : matrix.sensitivities)
    writer.add_tensor(fmt::format("{}{}", name, kSensitivity), {DType::kF32, Shape{1}});
  MINKE_TRY(writer.begin_data());
  for (const auto& [name, entry] : matrix.entries) {
    MINKE_TRY(writer.write(std::as_bytes(std::span(entry.sums))));
    MINKE_TRY(writer.write(std::as_bytes(std::span(entry.counts))));
  }
  for (const auto& [name, sensitivity] : matrix.sensitivities)
    MINKE_TRY(writer.write(std::as_bytes(std::span(&sensitivity, 1))));
  return writer.finish();
}

}  // namespace minke::convert
