// `minke verify FILE`: whether a model file is whole and makes sense.
#include "convert/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "apps/cli.h"
#include "apps/convert_progress.h"
#include "models/model.h"
#include "runtime/input_file.h"
#include "runtime/processors.h"

namespace minke::apps {
namespace {

struct VerifyOptions {
  std::filesystem::path model;
  int n_threads = 1;
};

Status run_verify(const VerifyOptions& options) {
  if (options.model.empty()) return usage("no model: give a FILE (see minke verify --help)");
  MINKE_ASSIGN(const auto model, Model::open(options.model));
  convert::VerifyReport report;
  {
    ConvertProgressLine line;
    const auto show = [&](const convert::Progress& progress) {
      line.show(progress);
      return true;
    };
    MINKE_ASSIGN(report, convert::verify_tensors(model->file(), options.n_threads, show));
  }
  const std::string name = printable_path(options.model);
  if (!report.faults.empty()) {
    const size_t n_others = report.faults.size() - 1;
    return fail(Errc::kContent, "{}: {}{}", name, report.faults.front(),
                n_others == 0 ? "" : fmt::format(" (and {} other bad tensors)", n_others));
  }
  fmt::print("{}: {} tensors, {}: configuration, vocabulary, shapes and values are good{}\n", name,
             report.n_tensors, size_text(report.tensor_bytes),
             report.has_hashes ? ", data as it was written"
             : report.hashes_are_old
                 ? "; its hashes are of the file that another program made it from"
                 : "; the file has no hashes to compare its data with");
  return {};
}

}  // namespace

Action setup_verify(CommandLine& line) {
  const auto options = std::make_shared<VerifyOptions>();
  options->n_threads = std::min(usable_cores(), convert::Conversion::kMaxThreads);
  CLI::App& app = line.app();
  app.add_option("file,-m,--model", options->model,
                 "The model: a GGUF file, or any part of one that is split")
      ->type_name("FILE");
  app.add_option("-t,--threads", options->n_threads, "Threads that read and check")
      ->check(CLI::Range(1, convert::Conversion::kMaxThreads))
      ->capture_default_str()
      ->type_name("N");
  return [options] { return run_verify(*options); };
}

}  // namespace minke::apps
