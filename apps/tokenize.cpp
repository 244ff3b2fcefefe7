// `minke tokenize -m FILE -f TEXT`: the ids of a text, or the text of ids.
#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "apps/cli.h"
#include "apps/text_input.h"
#include "models/tokenizer.h"
#include "runtime/gguf_reader.h"
#include "runtime/utf8.h"

namespace minke::apps {
namespace {

struct TokenizeOptions {
  std::filesystem::path model;
  std::string text;
  std::filesystem::path file;
  bool has_text = false;
  bool bos = false, special = false, pieces = false, decode = false, count = false;
};

/// The bytes as they are: a line end at the end of a file is part of what it holds. `name` is for
/// messages.
Result<std::string> read_input(const TokenizeOptions& options) {
  if (options.has_text) return options.text;
  if (options.file.empty()) return usage("no text: give -p TEXT, or -f FILE (- is standard input)");
  return read_bytes(options.file == "-" ? "/dev/stdin" : options.file, kMaxTextBytes);
}

/// Numbers between white space or commas; brackets may stand around them.
Result<std::vector<TokenId>> parse_ids(std::string_view text, int vocab_size) {
  std::vector<TokenId> ids;
  constexpr std::string_view kBetween = " \t\r\n,[]";
  for (size_t i = 0; (i = text.find_first_not_of(kBetween, i)) != std::string_view::npos;) {
    const std::string_view word = text.substr(i, text.find_first_of(kBetween, i) - i);
    TokenId id = -1;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), id);
    if (error != std::errc() || end != word.data() + word.size() || id < 0 || id >= vocab_size) {
      return usage("'{}' is not a token (allowed 0 to {})", printable(word), vocab_size - 1);
    }
    ids.push_back(id);
    i += word.size();
  }
  return ids;
}

Status write(std::string_view bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), stdout) == bytes.size()) return {};
  return fail(Errc::kIo, "cannot write the output");
}

/// "    37 -> 'F'", a line a token; bytes that are no whole character show as \xNN.
std::string list_pieces(const Tokenizer& tokenizer, const std::vector<TokenId>& ids) {
  std::string out;
  for (const TokenId id : ids) {
    fmt::format_to(std::back_inserter(out), "{:6} -> '{}'\n", id,
                   printable(tokenizer.token_bytes(id), 1 << 16));
  }
  return out;
}

std::string list_ids(const std::vector<TokenId>& ids) {
  std::string out;
  for (const TokenId id : ids) {
    fmt::format_to(std::back_inserter(out), "{}{}", out.empty() ? "" : " ", id);
  }
  return out + "\n";
}

Status tokenize(const TokenizeOptions& options) {
  if (options.model.empty()) return usage("no model: give -m FILE (see minke tokenize --help)");
  MINKE_ASSIGN(const GgufFile file, GgufFile::open(options.model));
  MINKE_ASSIGN(const Tokenizer tokenizer, Tokenizer::from_gguf(file));
  MINKE_ASSIGN(const std::string input, read_input(options));
  if (options.decode) {
    MINKE_ASSIGN(const auto ids, parse_ids(input, tokenizer.vocab_size()));
    return write(tokenizer.decode(ids));
  }
  std::vector<TokenId> ids =
      options.special ? tokenizer.encode_with_special(input) : tokenizer.encode(input);
  if (options.bos) {
    if (tokenizer.bos() < 0) return usage("--bos: the vocabulary has no BOS token");
    ids.insert(ids.begin(), tokenizer.bos());
  }
  if (options.count) return write(fmt::format("{}\n", ids.size()));
  return write(options.pieces ? list_pieces(tokenizer, ids) : list_ids(ids));
}

}  // namespace

Action setup_tokenize(CommandLine& line) {
  const auto options = std::make_shared<TokenizeOptions>();
  CLI::App& app = line.app();
  app.add_option("-m,--model", options->model,
                 "A GGUF file that holds a tokenizer; one without weights will do")
      ->type_name("FILE");
  auto* text = app.add_option("-p,--prompt", options->text, "The text")->type_name("TEXT");
  app.add_option("-f,--file", options->file,
                 "Read the text from a file, byte for byte; - is standard input")
      ->type_name("FILE")
      ->excludes(text);
  app.add_flag("--bos", options->bos, "Put BOS in front");
  app.add_flag(
      "--special", options->special,
      "Turn the texts of control tokens, such as <｜end▁of▁sentence｜>, into those tokens");
  auto* pieces =
      app.add_flag("--pieces", options->pieces, "Show a line for each token, with its text");
  app.add_flag("--show-count", options->count, "Print only the number of tokens")->excludes(pieces);
  app.add_flag("--decode", options->decode,
               "The other way: the input is ids, the output their text, byte for byte");
  return [options, text] {
    options->has_text = text->count() > 0;
    return tokenize(*options);
  };
}

}  // namespace minke::apps
