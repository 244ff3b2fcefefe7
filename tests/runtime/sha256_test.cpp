#include "runtime/sha256.h"

#include <doctest/doctest.h>

#include <string>

using namespace minke;

namespace {

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

}  // namespace

TEST_CASE("digests are those of the standard's examples, however the bytes come") {
  Sha256 sha;
  CHECK(to_hex(sha.finish()) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  sha.update(bytes("abc"));
  const auto whole = sha.finish();
  CHECK(to_hex(whole) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  sha.update(bytes("a"));
  sha.update({});
  sha.update(bytes("bc"));
  CHECK(sha.finish() == whole);
  const std::string many(1'000'000, 'a');
  sha.update(bytes(many));
  CHECK(to_hex(sha.finish()) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("64 digits are a digest, and nothing else is") {
  Sha256 sha;
  const auto digest = sha.finish();
  const std::string hex = to_hex(digest);
  CHECK(sha256_from_hex(hex) == digest);
  CHECK_FALSE(sha256_from_hex(""));
  CHECK_FALSE(sha256_from_hex(hex.substr(1)));
  CHECK_FALSE(sha256_from_hex(hex + "0"));
  std::string other = hex;
  other[0] = 'g';
  CHECK_FALSE(sha256_from_hex(other));
  other[0] = '+';
  CHECK_FALSE(sha256_from_hex(other));
}
