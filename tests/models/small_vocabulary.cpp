#include "tests/models/small_vocabulary.h"

#include <doctest/doctest.h>

#include "runtime/gguf_reader.h"
#include "runtime/gguf_writer.h"

namespace minke::test {

std::string SmallVocabulary::byte_text(int byte) {
  const auto printable = [](int b) { return (b > 32 && b < 127) || (b > 160 && b != 173); };
  int c = byte;
  if (!printable(byte)) {
    c = 256;
    for (int b = 0; b < byte; ++b) c += printable(b) ? 0 : 1;
  }
  if (c < 128) return std::string(1, static_cast<char>(c));
  return {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 63))};
}

std::vector<std::string> SmallVocabulary::tokens() const {
  std::vector<std::string> all;
  for (int b = 0; b < 256; ++b) all.push_back(byte_text(b));
  for (const std::string& merge : merges) {
    std::string joined = merge;
    if (const size_t space = joined.find(' '); space != std::string::npos) joined.erase(space, 1);
    all.push_back(joined);
  }
  for (const auto& [text, type] : added) all.push_back(text);
  return all;
}

void SmallVocabulary::write(const std::filesystem::path& path) const {
  auto writer = GgufWriter::create(path);
  REQUIRE(writer.has_value());
  writer->set_string("tokenizer.ggml.model", model);
  writer->set_string("tokenizer.ggml.pre", pre);
  writer->set_strings("tokenizer.ggml.tokens", tokens());
  std::vector<int32_t> types(256 + merges.size(), 1);
  for (const auto& [text, type] : added) types.push_back(type);
  writer->set_i32s("tokenizer.ggml.token_type", types);
  writer->set_strings("tokenizer.ggml.merges", merges);
  for (const auto& [key, id] : ids) writer->set_u32(key, id);
  if (!chat_template.empty()) writer->set_string("tokenizer.chat_template", chat_template);
  REQUIRE(writer->begin_data().has_value());
  REQUIRE(writer->finish().has_value());
}

Tokenizer SmallVocabulary::open() const {
  const TempDir dir;
  write(dir / "vocab.gguf");
  const auto file = GgufFile::open(dir / "vocab.gguf");
  REQUIRE_MESSAGE(file.has_value(), (file ? "" : file.error().message));
  auto tokenizer = Tokenizer::from_gguf(*file);
  REQUIRE_MESSAGE(tokenizer.has_value(), (tokenizer ? "" : tokenizer.error().message));
  return std::move(*tokenizer);
}

Error SmallVocabulary::open_error() const {
  const TempDir dir;
  write(dir / "vocab.gguf");
  const auto file = GgufFile::open(dir / "vocab.gguf");
  REQUIRE_MESSAGE(file.has_value(), (file ? "" : file.error().message));
  const auto tokenizer = Tokenizer::from_gguf(*file);
  REQUIRE(!tokenizer.has_value());
  return tokenizer.error();
}

}  // namespace minke::test
