// Routed experts: tokens are grouped by expert, then (expert, row block) tasks are claimed from one
// pool. Activations are indexed, not copied.
#include <algorithm>

#include "backends/cpu/onednn.h"
#include "backends/cpu/ops/op.h"

namespace minke::cpu {
namespace {

bool wants_quantized(const Graph& graph, const Node& node) noexcept {
  return wants_quantized_rows(graph.info(node.inputs[2]).desc.dtype) ||
         wants_quantized_rows(graph.info(node.inputs[3]).desc.dtype);
}

/// Weight rows of a block of an expert with more than kFewRows assignments.
constexpr int kManyBlockRows = 32;

/// Everything the workers share, laid out in the shared scratch. An assignment is a (token, chosen
/// expert) pair; assignments are sorted by expert, then by token.
struct Scratch {
  int32_t* first;     ///< (n_experts + 1) first assignment of an expert
  int32_t* active;    ///< (n_experts) experts that have any, the most loaded first
  int32_t* n_active;  ///< (1)
  int32_t* token;     ///< (n_assignments) whose activation row
  int32_t* place;     ///< (n_tokens, top_k) the assignment of a token's choice
  float* h;           ///< (n_assignments, ff)
  std::byte* h_quantized;
  float* down;  ///< (n_assignments, hidden)
  size_t bytes;
};

struct Dims {
  int n_experts, ff, hidden, top_k;
};

Dims dims_of(const Shape& gate, const MoeFfnAttrs& attrs) noexcept {
  return {static_cast<int>(gate[0]), static_cast<int>(gate[1]), static_cast<int>(gate[2]),
          attrs.top_k};
}

Scratch lay_out(std::byte* base, const Dims& d, int n_tokens) noexcept {
  const size_t n = static_cast<size_t>(n_tokens) * static_cast<size_t>(d.top_k);
  const size_t experts = static_cast<size_t>(d.n_experts);
  Carver carve(base);
  Scratch s{};
  s.first = carve.ints(experts + 1);
  s.active = carve.ints(experts);
  s.n_active = carve.ints(1);
  s.token = carve.ints(n);
  s.place = carve.ints(n);
  s.h = carve.floats(n * static_cast<size_t>(d.ff));
  s.h_quantized =
      carve.bytes(d.ff % kQuantBlock == 0 ? quantized_rows_bytes(static_cast<int>(n), d.ff) : 0);
  s.down = carve.floats(n * static_cast<size_t>(d.hidden));
  s.bytes = carve.used();
  return s;
}

size_t scratch_bytes(const Graph& graph, const Node& node) noexcept {
  const Dims d = dims_of(graph.info(node.inputs[2]).desc.shape, std::get<MoeFfnAttrs>(node.attrs));
  return lay_out(nullptr, d, graph.max_tokens()).bytes;
}

/// oneDNN's tile, then two blocks of gate and up results for as many tokens as an expert can get.
struct GateUp {
  size_t gate_at, bytes;
};

GateUp gate_up_layout(const Dims& d, int max_tokens) noexcept {
  const int results = std::max(kMaxRowsPerTask * kFewRows, kManyBlockRows * max_tokens);
  const size_t tile = aligned64(onednn_scratch_bytes(std::max(d.hidden, d.ff)));
  return {kMatmulScratchBytes + tile, tile + 2 * static_cast<size_t>(results) * sizeof(float)};
}

size_t worker_bytes(const Graph& graph, const Node& node) noexcept {
  const Dims d = dims_of(graph.info(node.inputs[2]).desc.shape, std::get<MoeFfnAttrs>(node.attrs));
  return gate_up_layout(d, graph.max_tokens()).bytes;
}

void group_by_expert(const OpRun& run, const Dims& d, const Scratch& s) noexcept {
  const Operand& route = run.in[1];
  const int n_tokens = run.out.rows;
  std::fill_n(s.first, d.n_experts + 1, 0);
  for (int t = 0; t < n_tokens; ++t)
    for (int i = 0; i < d.top_k; ++i) ++s.first[static_cast<int>(route.row(t)[i]) + 1];
  int n_active = 0;
  for (int e = 0; e < d.n_experts; ++e) {
    if (s.first[e + 1] != 0) s.active[n_active++] = e;
    s.first[e + 1] += s.first[e];
  }
  *s.n_active = n_active;
  // `first` moves on while it is used as a cursor, and is set back after.
  for (int t = 0; t < n_tokens; ++t) {
    for (int i = 0; i < d.top_k; ++i) {
      const int at = s.first[static_cast<int>(route.row(t)[i])]++;
      s.token[at] = t;
      s.place[t * d.top_k + i] = at;
    }
  }
  for (int e = d.n_experts; e > 0; --e) s.first[e] = s.first[e - 1];
  s.first[0] = 0;
  std::sort(s.active, s.active + n_active, [&](int a, int b) {
    const int load_a = s.first[a + 1] - s.first[a], load_b = s.first[b + 1] - s.first[b];
    return load_a != load_b ? load_a > load_b : a < b;
  });
}

/// Rows [begin, end) of one expert's matrices, and the rows that the worker is likely to take next;
/// next_expert is -1 where there are none.
struct Block {
  int expert, begin, end, next_expert, next_begin;

  const std::byte* next_row(const Operand& w) const noexcept {
    if (next_expert < 0) return nullptr;
    return row(w, next_expert, next_begin);
  }
  static const std::byte* row(const Operand& w, int expert, int row) noexcept {
    return weight_plane(w, expert) + static_cast<size_t>(row) * w.info->desc.row_bytes();
  }
};

/// h = silu(gate x) * (up x) for some rows of one expert.
void gate_up(const OpRun& run, const Dims& d, const Scratch& s, const Block& block,
             Worker& worker) noexcept {
  const int expert = block.expert, begin = block.begin, end = block.end;
  const int first = s.first[expert], n_x = s.first[expert + 1] - first, rows = end - begin;
  auto* gate_out = reinterpret_cast<float*>(worker.scratch() + gate_up_layout(d, 0).gate_at);
  float* up_out = gate_out + static_cast<size_t>(n_x) * static_cast<size_t>(rows);
  const bool alike = run.in[2].info->desc.dtype == run.in[3].info->desc.dtype;
  for (const int which : {2, 3}) {
    const Operand& w = run.in[static_cast<size_t>(which)];
    const std::byte* next =
        which == 2 ? Block::row(run.in[3], expert, begin) : block.next_row(run.in[2]);
    multiply({.w_type = w.info->desc.dtype,
              .w = weight_plane(w, expert),
              .w_row_bytes = w.info->desc.row_bytes(),
              .n_cols = d.hidden,
              .next_w = alike ? next : nullptr,
              .x = run.in[0].f32(),
              .x_stride = static_cast<size_t>(d.hidden),
              .xq = &run.in[0].quantized,
              .x_rows = s.token + first,
              .n_x = n_x,
              .y = (which == 2 ? gate_out : up_out) - begin,
              .y_stride = static_cast<size_t>(rows),
              .row_begin = begin,
              .row_end = end,
              .scratch = worker.scratch()},
             worker);
  }
  for (int i = 0; i < n_x; ++i) {
    const ptrdiff_t at = static_cast<ptrdiff_t>(i) * rows;
    worker.kernels().silu_mul_f32(gate_out + at, up_out + at,
                                  s.h + static_cast<ptrdiff_t>(first + i) * d.ff + begin, rows);
  }
}

void down(const OpRun& run, const Dims& d, const Scratch& s, const QuantizedRows& hq,
          const Block& block, Worker& worker) noexcept {
  const int expert = block.expert, first = s.first[expert];
  const Operand& w = run.in[4];
  // Assignments of an expert are consecutive rows of h and of down.
  const QuantizedRows rows = hq.q != nullptr ? hq.from(first) : hq;
  multiply({.w_type = w.info->desc.dtype,
            .w = weight_plane(w, expert),
            .w_row_bytes = w.info->desc.row_bytes(),
            .n_cols = d.ff,
            .next_w = block.next_row(w),
            .x = s.h + static_cast<ptrdiff_t>(first) * d.ff,
            .x_stride = static_cast<size_t>(d.ff),
            .xq = &rows,
            .n_x = s.first[expert + 1] - first,
            .y = s.down + static_cast<ptrdiff_t>(first) * d.hidden,
            .y_stride = static_cast<size_t>(d.hidden),
            .row_begin = block.begin,
            .row_end = block.end,
            .scratch = worker.scratch()},
           worker);
}

/// The row blocks of the active experts. Those with few assignments, which come last, get longer
/// ones.
class ExpertBlocks {
 public:
  ExpertBlocks(const Scratch& s, int n_rows, int n_workers) noexcept : s_(s), n_rows_(n_rows) {
    while (n_many_ < *s.n_active && load(s.active[n_many_]) > kFewRows) ++n_many_;
    // Longer where there are many such experts, and so enough blocks to even out.
    const int times_longer = std::max(1, (*s.n_active - n_many_) / 8);
    few_rows_ = rows_per_task(n_rows * times_longer, kFewRows, n_workers);
  }

  int size() const noexcept {
    return n_many_ * blocks(kManyBlockRows) + (*s_.n_active - n_many_) * blocks(few_rows_);
  }
  /// Block i; i + ahead is the one that the worker is likely to take next.
  Block at(int i, int ahead) const noexcept {
    Block block = at(i);
    if (i + ahead >= size()) return block;
    const Block next = at(i + ahead);
    block.next_expert = next.expert;
    block.next_begin = next.begin;
    return block;
  }

 private:
  int load(int expert) const noexcept { return s_.first[expert + 1] - s_.first[expert]; }
  int blocks(int rows) const noexcept { return (n_rows_ + rows - 1) / rows; }
  Block at(int i) const noexcept {
    const int n_many_blocks = n_many_ * blocks(kManyBlockRows);
    const bool few = i >= n_many_blocks;
    const int rows = few ? few_rows_ : kManyBlockRows;
    if (few) i -= n_many_blocks;
    const int begin = i % blocks(rows) * rows;
    return {s_.active[(few ? n_many_ : 0) + i / blocks(rows)], begin,
            std::min(begin + rows, n_rows_), -1, 0};
  }

  const Scratch& s_;
  int n_rows_, few_rows_ = 0;
  int n_many_ = 0;  ///< Active experts with more than kFewRows assignments.
};

/// Runs body(block) for every row block of every active expert.
template <class Body>
void for_expert_blocks(const Scratch& s, int n_rows, Worker& worker, Body&& body) noexcept {
  const ExpertBlocks blocks(s, n_rows, worker.n_workers());
  // The workers take turns, more or less.
  worker.parallel_for(blocks.size(), [&](int i) { body(blocks.at(i, worker.n_workers())); });
}

/// Tells of gate and up (their input is the step's rows), or of down (its input is h).
void observe_experts(const OpRun& run, const Dims& d, const Scratch& s, bool is_down,
                     const Worker& worker) noexcept {
  if (run.observer == nullptr) return;
  for (int e = 0; e < d.n_experts; ++e) {
    const int first = s.first[e], n = s.first[e + 1] - first;
    const auto ff = static_cast<size_t>(d.ff), hidden = static_cast<size_t>(d.hidden);
    if (is_down) {
      const float* h = s.h + static_cast<size_t>(first) * ff;
      run.observe(worker, {run.in[4].info, e, h, ff, nullptr, n});
    } else {
      for (const size_t which : {size_t{2}, size_t{3}})
        run.observe(worker, {run.in[which].info, e, run.in[0].f32(), hidden, s.token + first, n});
    }
  }
}

void run_moe(const OpRun& run, Worker& worker) noexcept {
  const Dims d = dims_of(run.in[2].info->desc.shape, run.attrs<MoeFfnAttrs>());
  const int n_tokens = run.out.rows, n_assignments = n_tokens * d.top_k;
  const Scratch s = lay_out(run.scratch, d, n_tokens);
  if (worker.index() == 0) {
    *s.n_active = 0;  // A stopped step may have no routes.
    if (!worker.stopped()) group_by_expert(run, d, s);
  }
  worker.barrier();
  observe_experts(run, d, s, false, worker);
  for_expert_blocks(s, d.ff, worker,
                    [&](const Block& block) { gate_up(run, d, s, block, worker); });
  worker.barrier();
  observe_experts(run, d, s, true, worker);
  QuantizedRows hq{};
  if (wants_quantized_rows(run.in[4].info->desc.dtype)) {
    hq = quantized_rows_at(s.h_quantized, n_assignments, d.ff);
    worker.parallel_for(n_assignments, [&](int a) {
      worker.kernels().quantize_rows(s.h + static_cast<ptrdiff_t>(a) * d.ff, 0, 1, hq, a);
    });
    worker.barrier();
  }
  for_expert_blocks(s, d.hidden, worker,
                    [&](const Block& block) { down(run, d, s, hq, block, worker); });
  worker.barrier();
  worker.parallel_for(n_tokens, [&](int t) {
    float* out = run.out_row(t);
    std::fill_n(out, d.hidden, 0.0f);
    for (int i = 0; i < d.top_k; ++i)
      worker.kernels().axpy_f32(
          run.in[1].row(t)[d.top_k + i],
          s.down + static_cast<ptrdiff_t>(s.place[t * d.top_k + i]) * d.hidden, out, d.hidden);
    run.quantize_row(t, worker);
  });
}

}  // namespace

extern const CpuOp kMoeFfnCpuOp;
const CpuOp kMoeFfnCpuOp{.run = run_moe,
                         .scratch_bytes = scratch_bytes,
                         .worker_bytes = worker_bytes,
                         .wants_quantized = wants_quantized,
                         .quantizes_output = true};

}  // namespace minke::cpu
