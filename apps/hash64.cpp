#include "apps/hash64.h"

#include <xxhash.h>

#include <new>

namespace minke::apps {

Hash64::Hash64() : state_(XXH3_createState()) {
  if (state_ == nullptr) throw std::bad_alloc();
  XXH3_64bits_reset(state_.get());
}

void Hash64::update(std::span<const std::byte> bytes) noexcept {
  XXH3_64bits_update(state_.get(), bytes.data(), bytes.size());
}

uint64_t Hash64::digest() const noexcept { return XXH3_64bits_digest(state_.get()); }

void Hash64::Free::operator()(XXH3_state_s* state) const noexcept { XXH3_freeState(state); }

}  // namespace minke::apps
