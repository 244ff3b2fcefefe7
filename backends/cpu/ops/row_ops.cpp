// The ops that work on one row of activations at a time: their cost is small beside the weights'.
#include <cmath>
#include <cstring>

#include "backends/cpu/ops/op.h"
#include "runtime/latent_cache.h"
#include "runtime/ops/moe_route.h"

namespace minke::cpu {
namespace {

void get_rows(const OpRun& run, Worker& worker) noexcept {
  const Operand& table = run.in[0];
  const TensorDesc& desc = table.info->desc;
  const size_t row_bytes = desc.row_bytes();
  const FormatTraits* format = find_format(desc.dtype);
  worker.parallel_for(run.out.rows, [&](int r) {
    const auto* bytes = static_cast<const std::byte*>(table.data);
    format->decode(bytes + static_cast<size_t>(run.in[1].i32()[r]) * row_bytes, run.out_row(r),
                   static_cast<size_t>(table.cols()) / format->block_len);
    run.quantize_row(r, worker);
  });
}

void rms_norm(const OpRun& run, Worker& worker) noexcept {
  const float eps = run.attrs<RmsNormAttrs>().eps;
  worker.parallel_for(run.out.rows, [&](int r) {
    worker.kernels().rms_norm_f32(run.in[0].row(r), run.in[1].f32(), eps, run.out_row(r),
                                  run.out.cols());
    run.quantize_row(r, worker);
  });
}

void add(const OpRun& run, Worker& worker) noexcept {
  worker.parallel_for(run.out.rows, [&](int r) {
    worker.kernels().add_f32(run.in[0].row(r), run.in[1].row(r), run.out_row(r), run.out.cols());
    run.quantize_row(r, worker);
  });
}

void swiglu(const OpRun& run, Worker& worker) noexcept {
  worker.parallel_for(run.out.rows, [&](int r) {
    worker.kernels().silu_mul_f32(run.in[0].row(r), run.in[1].row(r), run.out_row(r),
                                  run.out.cols());
    run.quantize_row(r, worker);
  });
}

void rope_table(const OpRun& run, Worker& worker) noexcept {
  const auto& frequencies = run.attrs<RopeTableAttrs>().frequencies;
  worker.parallel_for(run.out.rows, [&](int r) {
    float* out = run.out_row(r);
    for (const float frequency : frequencies) {
      const double angle = static_cast<double>(run.in[0].i32()[r]) * static_cast<double>(frequency);
      *out++ = static_cast<float>(std::cos(angle));
      *out++ = static_cast<float>(std::sin(angle));
    }
  });
}

void rotate_pairs(const float* x, const float* table, int n, float* y) noexcept {
  for (int i = 0; i < n; i += 2) {
    const float c = table[i], s = table[i + 1], x0 = x[i], x1 = x[i + 1];
    y[i] = x0 * c - x1 * s;
    y[i + 1] = x0 * s + x1 * c;
  }
}

void rope(const OpRun& run, Worker& worker) noexcept {
  const auto& a = run.attrs<RopeAttrs>();
  worker.parallel_for(run.out.rows, [&](int r) {
    const float* x = run.in[0].row(r);
    float* y = run.out_row(r);
    std::memcpy(y, x, sizeof(float) * static_cast<size_t>(run.out.cols()));
    for (int h = 0; h < a.n_heads; ++h) {
      const int at = h * a.head_dim + a.offset;
      rotate_pairs(x + at, run.in[1].row(r), a.head_dim - a.offset, y + at);
    }
    run.quantize_row(r, worker);
  });
}

/// As CacheRow::encode does, but halves by vectors.
void store_row(const KernelTable& kernels, const CacheRow& row, const float* values,
               std::byte* to) noexcept {
  if (row.holds_integers()) return row.encode(values, to);
  const DType dtype = row.parts()[0].format->dtype;
  const bool halves = dtype == row.parts()[1].format->dtype &&
                      (dtype == DType::kF16 || dtype == DType::kBF16) && row.holds(values);
  if (!halves) return row.encode(values, to);
  const auto convert = dtype == DType::kF16 ? kernels.f32_to_f16 : kernels.f32_to_bf16;
  convert(values, reinterpret_cast<uint16_t*>(to), static_cast<int>(row.n_values()));
}

void latent_store(const OpRun& run, Worker& worker) noexcept {
  const auto& a = run.attrs<LatentStoreAttrs>();
  const int n_rope = run.out.cols() - a.kv_lora_rank;
  LatentCache& cache = *run.step->cache;
  worker.parallel_for(run.out.rows, [&](int r) {
    const SequenceSlice& slice = run.step->slice_of(r);
    const float* x = run.in[0].row(r);
    float* y = run.out_row(r);
    worker.kernels().rms_norm_f32(x, run.in[1].f32(), a.eps, y, a.kv_lora_rank);
    rotate_pairs(x + a.kv_lora_rank, run.in[2].row(r), n_rope, y + a.kv_lora_rank);
    store_row(worker.kernels(), cache.row_layout(), y,
              cache.row_at(a.layer, slice, slice.first_position + r - slice.first_token));
  });
}

void moe_route(const OpRun& run, Worker& worker) noexcept {
  const size_t n = static_cast<size_t>(run.in[0].cols());
  const size_t n_out = static_cast<size_t>(run.out.cols());
  auto* scratch = reinterpret_cast<float*>(worker.scratch());
  worker.parallel_for(run.out.rows, [&](int r) {
    route_token({run.in[0].row(r), n}, run.attrs<MoeRouteAttrs>(), {scratch, n},
                {run.out_row(r), n_out});
  });
}

size_t route_bytes(const Graph& graph, const Node& node) noexcept {
  return static_cast<size_t>(graph.info(node.inputs[0]).desc.shape.cols()) * sizeof(float);
}

}  // namespace

#define MINKE_ROW_OP(name) \
  extern const CpuOp name; \
  const CpuOp name

MINKE_ROW_OP(kGetRowsCpuOp){.run = get_rows, .quantizes_output = true};
MINKE_ROW_OP(kRmsNormCpuOp){.run = rms_norm, .quantizes_output = true};
MINKE_ROW_OP(kAddCpuOp){.run = add, .quantizes_output = true};
MINKE_ROW_OP(kSwigluCpuOp){.run = swiglu, .quantizes_output = true};
MINKE_ROW_OP(kRopeTableCpuOp){.run = rope_table};
MINKE_ROW_OP(kRopeCpuOp){.run = rope, .quantizes_output = true};
MINKE_ROW_OP(kLatentStoreCpuOp){.run = latent_store};
MINKE_ROW_OP(kMoeRouteCpuOp){.run = moe_route, .worker_bytes = route_bytes};

}  // namespace minke::cpu
