#include "runtime/utf8.h"

#include <doctest/doctest.h>

#include <string>

using namespace minke;

TEST_CASE("utf8: well-formed characters are measured, others are not") {
  CHECK(utf8_char_length("") == 0);
  CHECK(utf8_char_length("a") == 1);
  CHECK(utf8_char_length("é!") == 2);
  CHECK(utf8_char_length("中") == 3);
  CHECK(utf8_char_length("😀") == 4);
  CHECK(utf8_char_length("\xF4\x8F\xBF\xBF") == 4);  // U+10FFFF
  CHECK(utf8_char_length("\xEF\xBF\xBF") == 3);      // U+FFFF
  for (const char* bad :
       {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xE4\xB8", "\xE4\x41\x80", "\xC3"}) {
    INFO(printable(bad));
    CHECK(utf8_char_length(bad) == 0);
    CHECK_FALSE(is_valid_utf8(std::string("ok") + bad));
  }
  CHECK(is_valid_utf8("Grüße, 世界 😀"));
}

TEST_CASE("utf8: printable text cannot forge lines or terminal commands") {
  CHECK(printable("Grüße, 世界") == "Grüße, 世界");
  CHECK(printable("a\nb\r\x1b[31m\x7f") == "a\\x0ab\\x0d\\x1b[31m\\x7f");
  CHECK(printable("\xC2\x9B") == "\\xc2\\x9b");  // the one-character form of ESC [
  CHECK(printable("x\xFFy\xE4\xB8") == "x\\xffy\\xe4\\xb8");
  CHECK(printable(std::string(200, 'a'), 10) == "aaaaaaaaaa...");
  CHECK(printable(std::string(10, 'a'), 10) == "aaaaaaaaaa");
}
