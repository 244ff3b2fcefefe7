// SHA-256 (FIPS 180-4), by OpenSSL's libcrypto, which uses the processor's own instructions for it.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace minke {

using Sha256Digest = std::array<std::byte, 32>;

/// The digest of bytes that come piece by piece. Movable.
class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  ~Sha256();

  void update(std::span<const std::byte> bytes);
  /// The digest of all bytes so far; begins anew.
  Sha256Digest finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// 64 digits, as sha256sum prints it.
std::string to_hex(const Sha256Digest& digest);
/// The reverse; nothing for any other text.
std::optional<Sha256Digest> sha256_from_hex(std::string_view hex);

}  // namespace minke
