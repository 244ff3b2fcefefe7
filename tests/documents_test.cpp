// The documents name commands, flags and files: all of them must exist.
#include <doctest/doctest.h>

#include <filesystem>
#include <iterator>
#include <regex>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support.h"

namespace fs = std::filesystem;

namespace {

std::string document(std::string_view name) {
  return minke::test::read_file(fs::path(MINKE_SOURCE_DIR) / name);
}

using Words = std::vector<std::string>;

Words words_of(const std::string& line) {
  std::istringstream in(line.substr(0, line.find(" #")));
  return {std::istream_iterator<std::string>(in), {}};
}

/// The command lines of all ```sh blocks; a line that ends in a backslash goes on in the next.
std::vector<Words> shell_commands(const std::string& text) {
  std::vector<Words> commands;
  std::istringstream lines(text);
  std::string line;
  std::string command;
  bool inside = false;
  while (std::getline(lines, line)) {
    if (line.starts_with("```")) {
      inside = !inside && line == "```sh";
      continue;
    }
    if (!inside) continue;
    if (line.ends_with('\\')) {
      line.back() = ' ';
      command += line;
      continue;
    }
    command += line;
    if (Words words = words_of(command); !words.empty()) commands.push_back(std::move(words));
    command.clear();
  }
  return commands;
}

bool has_word(const std::string& text, const std::string& word) {
  // Regular expressions would need the flag's characters escaped.
  constexpr std::string_view kInside =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
    const size_t end = at + word.size();
    const bool begins = at == 0 || kInside.find(text[at - 1]) == std::string_view::npos;
    const bool ends = end == text.size() || kInside.find(text[end]) == std::string_view::npos;
    if (begins && ends) return true;
  }
  return false;
}

void check_run_command(const Words& words) {
  static const std::string usage =
      minke::test::run_program({(fs::path(MINKE_SOURCE_DIR) / "run").string()}).out;
  REQUIRE(words.size() > 1);
  CHECK_MESSAGE(usage.find("\n  " + words[1] + " ") != std::string::npos, "./run ", words[1]);
}

#ifdef MINKE_BINARY
void check_minke_command(const Words& words) {
  REQUIRE(words.size() > 1);
  const auto help = minke::test::run_program({MINKE_BINARY, words[1], "--help"});
  CHECK_MESSAGE(help.exit_code == 0, "minke ", words[1], " --help: ", help.err);
  for (size_t i = 2; i < words.size(); ++i) {
    // A quoted argument may hold anything; flags do not follow it in the documents.
    if (words[i].front() == '"' || words[i].front() == '\'') break;
    if (words[i].front() != '-') continue;
    const std::string flag = words[i].substr(0, words[i].find('='));
    CHECK_MESSAGE(has_word(help.out, flag), "minke ", words[1], " has no ", flag);
  }
}
#endif

void check_command(const Words& words) {
  const std::string& program = words[0];
  if (program == "./run") return check_run_command(words);
  if (program == "git" || program == "cd" || program == "cmake" || program == "ctest") return;
  if (program == "minke" || program == "build/apps/minke") {
#ifdef MINKE_BINARY
    return check_minke_command(words);
#else
    MESSAGE("skipped: the program is not built here: ", program, " ", words.back());
    return;
#endif
  }
  fs::path script = program == "bash" ? words.at(1) : program;
  // What a preset builds lies in build-NAME/<folder>/; the folder must be there.
  if (program.starts_with("build-")) {
    script = script.parent_path().lexically_relative(*script.begin());
  }
  CHECK_MESSAGE(fs::exists(fs::path(MINKE_SOURCE_DIR) / script), "unknown command: ", program);
}

/// All matches of the first group.
std::vector<std::string> matches(const std::string& text, const char* pattern) {
  std::vector<std::string> found;
  const std::regex expression(pattern);
  for (std::sregex_iterator it(text.begin(), text.end(), expression), end; it != end; ++it) {
    found.push_back((*it)[1]);
  }
  return found;
}

}  // namespace

TEST_CASE("shell blocks are read as a person reads them") {
  const auto commands = shell_commands("```sh\na b # c\n\nd \\\n  e\n```\nf\n```\ng\n```\n");
  REQUIRE(commands.size() == 2);
  CHECK(commands[0] == Words{"a", "b"});
  CHECK(commands[1] == Words{"d", "e"});
  CHECK(has_word("  -n,--predict N", "--predict"));
  CHECK_FALSE(has_word("  --predict-more N", "--predict"));
}

TEST_CASE("commands of the documents exist") {
  for (const char* name : {"README.md", "CONTRIBUTING.md"}) {
    CAPTURE(name);
    const auto commands = shell_commands(document(name));
    CHECK(commands.size() >= 3);
    for (const Words& words : commands) check_command(words);
  }
}

TEST_CASE("files that the documents name exist") {
  const fs::path root = MINKE_SOURCE_DIR;
  for (const char* name : {"README.md", "CONTRIBUTING.md"}) {
    const std::string text = document(name);
    std::vector<std::string> paths = matches(text, R"(\]\(([^)#:]+)(?:#[^)]*)?\))");
    // `folder/file` in backquotes, without placeholders.
    for (const std::string& path :
         matches(text,
                 "`((?:quant|runtime|backends|models|convert|apps|tests|cmake|docs|tools|\\.ci)"
                 "/[A-Za-z0-9_./-]*)`")) {
      paths.push_back(path);
    }
    CHECK(paths.size() >= 3);
    for (const std::string& path : paths) {
      CHECK_MESSAGE(fs::exists(root / path), name, " names ", path);
    }
  }
}
