#include "runtime/sha256.h"

#include <openssl/evp.h>

#include <charconv>

#include "runtime/result.h"

namespace minke {

struct Sha256::Impl {
  struct Free {
    void operator()(EVP_MD_CTX* other) const noexcept { EVP_MD_CTX_free(other); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context{EVP_MD_CTX_new()};

  void begin() {
    const bool begun = context && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1;
    MINKE_CHECK(begun, "libcrypto gives no SHA-256");
  }
};

Sha256::Sha256() : impl_(std::make_unique<Impl>()) { impl_->begin(); }
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;
Sha256::~Sha256() = default;

void Sha256::update(std::span<const std::byte> bytes) {
  const int done = EVP_DigestUpdate(impl_->context.get(), bytes.data(), bytes.size());
  MINKE_CHECK(done == 1, "{} bytes", bytes.size());
}

Sha256Digest Sha256::finish() {
  Sha256Digest digest;
  auto* out = reinterpret_cast<unsigned char*>(digest.data());
  const int done = EVP_DigestFinal_ex(impl_->context.get(), out, nullptr);
  MINKE_CHECK(done == 1, "no digest");
  impl_->begin();
  return digest;
}

std::string to_hex(const Sha256Digest& digest) {
  std::string hex;
  for (const std::byte byte : digest) hex += fmt::format("{:02x}", std::to_integer<int>(byte));
  return hex;
}

std::optional<Sha256Digest> sha256_from_hex(std::string_view hex) {
  Sha256Digest digest;
  if (hex.size() != 2 * digest.size()) return std::nullopt;
  for (size_t i = 0; i < digest.size(); ++i) {
    unsigned char value = 0;
    const char* first = hex.data() + 2 * i;
    const auto [end, error] = std::from_chars(first, first + 2, value, 16);
    if (error != std::errc() || end != first + 2) return std::nullopt;
    digest[i] = std::byte{value};
  }
  return digest;
}

}  // namespace minke
