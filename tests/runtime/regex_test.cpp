#include "runtime/regex.h"

#include <doctest/doctest.h>

#include <string>

using namespace minke;

TEST_CASE("a pattern is found anywhere in a text") {
  const auto found = [](const char* pattern, std::string_view text) {
    const auto regex = Regex::compile(pattern);
    REQUIRE(regex);
    return regex->found_in(text);
  };
  CHECK(found("ffn_(up|down)", "blk.1.ffn_down.weight"));
  CHECK_FALSE(found("^ffn", "blk.1.ffn_down.weight"));
  CHECK(found("x*", "abc"));
  CHECK(found("^$", ""));
  CHECK(found("^.$", "\u00e9"));  // a character, not a byte
  CHECK(found("weight$", "a.weight"));
  CHECK_FALSE(found("weight$", "a.weight\n"));
}

TEST_CASE("a search ends, whatever the pattern and the bytes") {
  CHECK_FALSE(Regex("(a|a)*(a|a)*(a|a)*$").found_in(std::string(64, 'a') + 'b'));
  CHECK_FALSE(Regex("a").found_in("a\xff"));
}

TEST_CASE("a pattern that is none says where it fails") {
  for (const char* pattern : {"(", "[", "a{2,1}", "\\", "(?<n", "\xff"}) {
    CAPTURE(pattern);
    const auto bad = Regex::compile(pattern);
    REQUIRE_FALSE(bad);
    CHECK(bad.error().code == Errc::kUsage);
    CHECK(bad.error().message.find(" (at character ") != std::string::npos);
    CHECK(bad.error().message.find('\n') == std::string::npos);
  }
}
