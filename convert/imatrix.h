// Importance matrices: how strongly each input column of each weight is used, measured on a text.
// Quantizers weigh their errors by it.
//
// Files are llama.cpp's. GGUF: general.type "imatrix", imatrix.datasets, imatrix.chunk_count,
// imatrix.chunk_size, and for every weight NAME two F32 tensors: NAME.in_sum2 (n_planes, cols), the
// sums of the squares of what came in, and NAME.counts (n_planes, 1), over how many rows. Of our
// own is NAME.sensitivity (1), which other programs pass over. Legacy
// (".dat"): i32 n_entries, then for each i32 name length, name, i32 calls, i32 n_values, f32
// values, which are means times calls; at the end, optionally, i32 chunks, i32 length, name of the
// text.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "runtime/result.h"
#include "runtime/tensor.h"

namespace minke::convert {

/// What came into one weight. Planes are the experts, or heads, of a 3-D weight; else there is one.
struct ImportanceEntry {
  std::vector<float> sums;    ///< (n_planes, cols) of squares
  std::vector<float> counts;  ///< (n_planes) rows; in legacy files one, for all planes
};

/// Fewer rows than this say little of an expert: what all experts of the weight saw counts as much
/// as this many rows more.
constexpr int kFewRows = 32;

struct ImportanceMatrix {
  std::string file_name;  ///< That it was read from, without folders.
  std::map<std::string, ImportanceEntry, std::less<>> entries;  ///< By the weight's name.
  std::vector<std::string> datasets;
  uint32_t n_chunks = 0, chunk_tokens = 0;
  /// By the weight's name: mean KL divergence of the model's predictions for a relative error of 1
  /// of what comes out of the weight, if it grew as that of small errors does. May be empty.
  std::map<std::string, float, std::less<>> sensitivities;

  const ImportanceEntry* find(std::string_view weight) const noexcept;
};

/// Mean squares (cols) for a plane of a weight of n_planes planes: its own, and the less it saw,
/// the more those of all planes. The sizes fit (see check_fits). Where nothing was seen at all they
/// are all 1.
std::vector<float> column_importance(const ImportanceEntry& entry, int64_t n_planes, int64_t plane);

/// column_importance() for the rows of a weight one after another; keeps that of the last plane.
class RowImportance {
 public:
  /// `entry` may be null, and outlives this.
  RowImportance(const ImportanceEntry* entry, const Shape& shape) noexcept
      : entry_(entry),
        n_planes_(shape.rank() == 3 ? shape[0] : 1),
        plane_rows_(shape.rows() / n_planes_) {}
  /// (cols), or empty without an entry; valid until the next call. `row` is counted over all
  /// planes.
  std::span<const float> of(int64_t row);

 private:
  const ImportanceEntry* entry_;
  int64_t n_planes_, plane_rows_;
  int64_t plane_ = -1;
  std::vector<float> columns_;
};

/// Errors: kShape if an entry is not for a weight of (n_planes, .., cols); says both.
Status check_fits(std::string_view weight, const ImportanceEntry& entry, int64_t n_planes,
                  int64_t cols);

/// Reads either format. Errors: kMissing, kIo, kContent (the place and the reason).
Result<ImportanceMatrix> read_imatrix(const std::filesystem::path& path);
/// Writes GGUF; the file appears when it is whole. Errors: kIo, kContent (a sum that is not
/// finite).
Status write_imatrix(const std::filesystem::path& path, const ImportanceMatrix& matrix);

}  // namespace minke::convert
