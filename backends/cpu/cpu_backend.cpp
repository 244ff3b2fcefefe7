#include "backends/cpu/cpu_backend.h"

#include <omp.h>
#include <sys/mman.h>

#include <algorithm>

#include "backends/cpu/cpu_plan.h"
#include "backends/cpu/isa.h"
#include "backends/cpu/onednn.h"
#include "runtime/processors.h"
#include "runtime/system.h"

namespace minke {
namespace cpu {
namespace {

class CpuBuffer : public Buffer {
 public:
  CpuBuffer(std::byte* data, size_t bytes) : data_(data), bytes_(bytes) {}
  ~CpuBuffer() override { munmap(data_, bytes_); }
  CpuBuffer(const CpuBuffer&) = delete;
  CpuBuffer& operator=(const CpuBuffer&) = delete;
  std::span<std::byte> host() noexcept override { return {data_, bytes_}; }

 private:
  std::byte* data_;
  size_t bytes_;
};

class CpuBackend : public Backend {
 public:
  explicit CpuBackend(const CpuPlan::Setup& setup) : setup_(setup) {}

  std::string name() const override { return fmt::format("cpu:{}", setup_.kernels->name); }
  int n_threads() const noexcept override { return setup_.n_threads; }
  bool supports(const Graph&, const Node&) const noexcept override { return true; }

  Result<std::unique_ptr<Buffer>> allocate(size_t bytes) override {
    // Mapped pages are zero and appear when they are touched: an unused cache costs nothing.
    const size_t size = std::max<size_t>(bytes, 1);
    void* data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) return fail(Errc::kMemory, "no memory for {} bytes", bytes);
    return std::make_unique<CpuBuffer>(static_cast<std::byte*>(data), size);
  }

  Result<std::unique_ptr<Plan>> compile(const Graph& graph) override {
    return CpuPlan::compile(graph, setup_, *this);
  }

 private:
  CpuPlan::Setup setup_;
};

}  // namespace
}  // namespace cpu

Result<std::unique_ptr<Backend>> make_cpu_backend(const CpuOptions& options) {
  constexpr int kMaxThreads = 1024;
  if (options.n_threads < 0 || options.n_threads > kMaxThreads)
    return fail(Errc::kUsage, "{} threads: use 1 to {}, or 0 for one a core", options.n_threads,
                kMaxThreads);
  Result<const cpu::KernelTable*> kernels =
      options.isa.empty() ? cpu::default_kernels() : cpu::find_kernels(options.isa);
  if (!kernels) return tl::unexpected<Error>(kernels.error());
  cpu::limit_onednn((*kernels)->name);
  // The workers of a step meet at barriers, so every one that was asked for must be there.
  omp_set_dynamic(0);
  const int n_threads =
      std::min(options.n_threads != 0 ? options.n_threads : usable_cores(), omp_get_thread_limit());
  MINKE_TRY(check_threads(n_threads - 1));
  return std::make_unique<cpu::CpuBackend>(
      cpu::CpuPlan::Setup{*kernels, n_threads, options.mla_form, options.observer});
}

}  // namespace minke
