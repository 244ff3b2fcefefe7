// XXH3 of bytes that come in pieces.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

struct XXH3_state_s;

namespace minke::apps {

class Hash64 {
 public:
  Hash64();
  void update(std::span<const std::byte> bytes) noexcept;
  /// Of all bytes so far.
  uint64_t digest() const noexcept;

 private:
  struct Free {
    void operator()(XXH3_state_s* state) const noexcept;
  };
  std::unique_ptr<XXH3_state_s, Free> state_;
};

}  // namespace minke::apps
