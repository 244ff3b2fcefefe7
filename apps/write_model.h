// What `minke convert` and `minke quantize` share: from a source of weights to a GGUF file.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "apps/cli.h"
#include "convert/source.h"
#include "convert/type_choices.h"
#include "runtime/result.h"

namespace minke::apps {

struct WriteOptions {
  std::filesystem::path input;
  std::filesystem::path output;
  std::string type;
  std::string output_type;
  std::string token_embedding_type;
  std::filesystem::path imatrix;
  std::vector<std::string> tensor_types;  ///< "REGEX=TYPE"
  bool pure = false;
  bool leave_output = false;
  int n_threads = 1;
  bool allow_requantize = false;
  bool ignore_hashes = false;
  bool dry_run = false;
  bool force = false;
  bool resume = false;
};

/// Declares all but the input; `options` lives as long as the command line.
void add_write_options(CLI::App& app, WriteOptions& options);

/// What the options say of types; `allow_copy`: --type may be COPY. And what can be said of the
/// output before the input is read. Errors: kUsage.
Result<convert::TypeChoices> check_write_options(const WriteOptions& options, bool allow_copy);

/// Writes the file with progress and notes on stderr, or with --dry-run prints the plan. Signals
/// that would end the program stop it; what is done by then stays for --resume.
Status write_model(const WriteOptions& options, convert::Source source,
                   const convert::TypeChoices& choices);

}  // namespace minke::apps
