#include "backends/cpu/kernels/latent.h"

namespace minke::cpu {
namespace {

/// Hands out parts of a storage, each 64-byte aligned; without a storage it counts alone.
class Parts {
 public:
  explicit Parts(void* storage) noexcept : base_(static_cast<std::byte*>(storage)) {}
  template <class T>
  T* take(size_t n) noexcept {
    std::byte* at = base_ == nullptr ? nullptr : base_ + used_;
    used_ += (n * sizeof(T) + 63) / 64 * 64;
    return reinterpret_cast<T*>(at);
  }
  size_t used() const noexcept { return used_; }

 private:
  std::byte* base_;
  size_t used_ = 0;
};

/// Values rounded up to whole vectors of `per_vector`.
size_t padded(int n, int per_vector) noexcept {
  return static_cast<size_t>((n + per_vector - 1) / per_vector * per_vector);
}

LatentKeys lay_out(Parts& parts, const LatentDims& d, int lanes) noexcept {
  const size_t rank = padded(d.rank, 4 * lanes), rope = padded(d.rope, 2 * lanes);
  LatentKeys keys{};
  keys.dims = d;
  keys.copies = parts.take<int8_t>((rank + 2 * rope) * kLatentKeys);
  keys.values = parts.take<uint8_t>(rank * kLatentKeys);
  keys.scale = parts.take<float>(kLatentKeys);
  keys.rotated_scale = parts.take<float>(kLatentKeys);
  keys.start = parts.take<int32_t>(kLatentKeys);
  return keys;
}

LatentQueries lay_out(Parts& parts, const LatentDims& d, int lanes, int n_rows) noexcept {
  const size_t rows = padded(n_rows, lanes);
  return {d, parts.take<uint8_t>(padded(d.rank, 4 * lanes) * rows),
          parts.take<int16_t>(padded(d.rope, 2 * lanes) * rows), parts.take<float>(rows),
          parts.take<float>(rows)};
}

}  // namespace

size_t latent_keys_bytes(const LatentDims& dims, int lanes) noexcept {
  Parts parts(nullptr);
  lay_out(parts, dims, lanes);
  return parts.used();
}

LatentKeys latent_keys_at(void* storage, const LatentDims& dims, int lanes) noexcept {
  Parts parts(storage);
  return lay_out(parts, dims, lanes);
}

size_t latent_queries_bytes(const LatentDims& dims, int lanes, int n_rows) noexcept {
  Parts parts(nullptr);
  lay_out(parts, dims, lanes, n_rows);
  return parts.used();
}

LatentQueries latent_queries_at(void* storage, const LatentDims& dims, int lanes,
                                int n_rows) noexcept {
  Parts parts(storage);
  return lay_out(parts, dims, lanes, n_rows);
}

}  // namespace minke::cpu
