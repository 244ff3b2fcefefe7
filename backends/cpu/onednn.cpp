#include "backends/cpu/onednn.h"

#include <algorithm>

#include "runtime/result.h"

#ifdef MINKE_ONEDNN
#include <oneapi/dnnl/dnnl.h>
#endif

namespace minke::cpu {

#ifdef MINKE_ONEDNN

namespace {

constexpr int kTileRows = 64;  // weight rows that become f32 together
// Activation rows from which on oneDNN is ahead, as measured (CONTRIBUTING.md).
constexpr int kManyRowsF32 = 48;
constexpr int kManyRowsHalf = 96;

}  // namespace

size_t onednn_scratch_bytes(int n_cols) noexcept {
  return static_cast<size_t>(kTileRows) * static_cast<size_t>(n_cols) * sizeof(float);
}

bool onednn_wins(const MatmulArgs& args) noexcept {
  if (wants_quantized_rows(args.w_type) || args.w_type == DType::kF8_E4M3) return false;
  if (args.x_rows != nullptr || args.y_rows != nullptr) return false;
  return args.n_x >= (args.w_type == DType::kF32 ? kManyRowsF32 : kManyRowsHalf);
}

void onednn_matmul(const MatmulArgs& args,
                   void (*to_f32)(const uint16_t* x, float* y, int n) noexcept) noexcept {
  auto* tile =
      reinterpret_cast<float*>(static_cast<std::byte*>(args.scratch) + kMatmulScratchBytes);
  for (int row = args.row_begin; row < args.row_end; row += kTileRows) {
    const int n = std::min(kTileRows, args.row_end - row);
    const void* bytes =
        static_cast<const std::byte*>(args.w) + static_cast<size_t>(row) * args.w_row_bytes;
    const auto* w = static_cast<const float*>(bytes);
    if (args.w_type != DType::kF32) {
      to_f32(static_cast<const uint16_t*>(bytes), tile, n * args.n_cols);
      w = tile;
    }
    // Inside our parallel region oneDNN keeps to the calling thread (see CpuPlan::run).
    const dnnl_status_t status = dnnl_sgemm(
        'N', 'T', args.n_x, n, args.n_cols, 1.0f, args.x, static_cast<dnnl_dim_t>(args.x_stride), w,
        args.n_cols, 0.0f, args.y + row, static_cast<dnnl_dim_t>(args.y_stride));
    MINKE_CHECK(status == dnnl_success, "dnnl_sgemm gives {}", static_cast<int>(status));
  }
}

void limit_onednn(std::string_view isa) noexcept {
  if (isa == "avx2" || isa == "avxvnni") dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx2);
  if (isa == "avx512") dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx512_core);
}

#else

size_t onednn_scratch_bytes(int) noexcept { return 0; }
bool onednn_wins(const MatmulArgs&) noexcept { return false; }
void onednn_matmul(const MatmulArgs&, void (*)(const uint16_t*, float*, int) noexcept) noexcept {}
void limit_onednn(std::string_view) noexcept {}

#endif

}  // namespace minke::cpu
