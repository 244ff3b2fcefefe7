// `minke info FILE`: what a model file holds and what it needs.
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <vector>

#include "apps/cli.h"
#include "apps/info_report.h"
#include "runtime/gguf_reader.h"

namespace minke::apps {
namespace {

struct InfoOptions {
  std::filesystem::path model;
  std::vector<int64_t> contexts;
  bool json = false;
};

Status show_info(const InfoOptions& options) {
  if (options.model.empty()) return usage("no model: give a FILE (see minke info --help)");
  MINKE_ASSIGN(const GgufFile file, GgufFile::open(options.model));
  MINKE_ASSIGN(const InfoReport report, make_info(file, options.contexts));
  fmt::print("{}", options.json ? info_json(report) : info_text(report));
  return {};
}

}  // namespace

Action setup_info(CommandLine& line) {
  const auto options = std::make_shared<InfoOptions>();
  CLI::App& app = line.app();
  app.add_option("file,-m,--model", options->model,
                 "The model: a GGUF file, or any part of one that is split")
      ->type_name("FILE");
  app.add_option("-c,--ctx-size", options->contexts,
                 "Show the memory that a context of N tokens needs; several: 4096,32768")
      ->check(CLI::Range(1, 1 << 24))
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("N,...");
  app.add_flag("--json", options->json, "Print one JSON object");
  return [options] { return show_info(*options); };
}

}  // namespace minke::apps
