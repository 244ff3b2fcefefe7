// `minke imatrix -m FILE -f TEXT -o FILE`: what flows into each weight while a model reads a text.
#include "convert/imatrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>

#include "apps/chunk_options.h"
#include "apps/cli.h"
#include "apps/interrupt.h"
#include "apps/sensitivity.h"
#include "apps/terminal.h"
#include "backends/cpu/cpu_backend.h"
#include "convert/journal.h"
#include "runtime/atomic_file.h"
#include "runtime/input_file.h"
#include "runtime/utf8.h"

namespace minke::apps {
namespace {

using convert::ImportanceEntry;
using convert::ImportanceMatrix;

struct ImatrixOptions {
  ChunkOptions text;
  std::filesystem::path output;
  int sensitivity_chunks = 0;
  bool force = false;
};

/// Adds what one matrix of a weight was multiplied with.
void add_input(const WeightInput& input, ImportanceMatrix& matrix) {
  const Shape& shape = input.weight->desc.shape;
  const auto cols = static_cast<size_t>(shape.cols());
  const size_t n_planes = shape.rank() == 3 ? static_cast<size_t>(shape[0]) : 1;
  ImportanceEntry& entry = matrix.entries[input.weight->name];
  entry.sums.resize(n_planes * cols);
  entry.counts.resize(n_planes);
  const auto plane = static_cast<size_t>(input.plane);
  float* sums = entry.sums.data() + plane * cols;
  for (int i = 0; i < input.n_rows; ++i) {
    const float* x = input.row(i);
    for (size_t c = 0; c < cols; ++c) sums[c] += x[c] * x[c];
  }
  entry.counts[plane] += static_cast<float>(input.n_rows);
}

/// One line for each layer that has experts of which little is known.
void warn_of_rare_experts(const ImportanceMatrix& matrix) {
  for (const auto& [name, entry] : matrix.entries) {
    // What goes into gate and up comes from the same choice as what goes into down.
    if (!name.ends_with("ffn_down_exps.weight")) continue;
    const auto few = std::ranges::count_if(
        entry.counts, [](float rows) { return rows < static_cast<float>(convert::kFewRows); });
    if (few == 0) continue;
    print_note(fmt::format(
        "warning: {}: {} of {} experts saw fewer than {} tokens (the least {}): a longer text "
        "would tell more of them",
        printable(name.substr(0, name.rfind(".ffn_"))), few, entry.counts.size(), convert::kFewRows,
        std::ranges::min(entry.counts)));
  }
}

Result<ImportanceMatrix> measure(const ImatrixOptions& options, const Model& model,
                                 const ChunkedText& text) {
  ImportanceMatrix matrix;
  // Attention's own weights are only seen in the absorbed form.
  MINKE_ASSIGN(const auto backend,
               make_cpu_backend({.n_threads = options.text.model.n_threads,
                                 .mla_form = cpu::MlaForm::kAbsorbed,
                                 .observer = [&matrix](const WeightInput& input) {
                                   add_input(input, matrix);
                                 }}));
  MINKE_ASSIGN(ChunkRunner runner, options.text.make_runner(model, *backend, text));
  const SignalWatch watch;
  StatusLine status;
  for (int done = 0; done < text.n_chunks();) {
    status.show(fmt::format("chunk {} of {}", done, text.n_chunks()));
    MINKE_ASSIGN(done,
                 runner.run_next([](int, int, std::span<const float>) -> Status { return {}; },
                                 go_on_until_interrupt));
  }
  matrix.datasets = {std::filesystem::path(options.text.file).filename().string()};
  matrix.n_chunks = static_cast<uint32_t>(text.n_chunks());
  matrix.chunk_tokens = static_cast<uint32_t>(text.n_ctx);
  return matrix;
}

Status imatrix(const ImatrixOptions& options) {
  if (options.text.file.empty()) return usage("no text: give -f FILE (see minke imatrix --help)");
  if (options.output.empty()) return usage("no output: give -o FILE (see minke imatrix --help)");
  MINKE_TRY(check_output_name(options.output, options.force));
  MINKE_ASSIGN(const auto model, Model::open(options.text.model.model));
  MINKE_TRY(check_not_input(options.output, model->file().part_paths()));
  MINKE_TRY(check_not_input(options.output, options.text.file));
  const int n_ctx = options.text.chunk_tokens(*model);
  MINKE_ASSIGN(const ChunkedText chunks, options.text.read_text(*model, n_ctx));
  // A folder that is not there, or not ours to write in, is better known now than after hours.
  MINKE_TRY(AtomicFile::create(options.output));
  convert::Journal::remove(options.output);  // With --force: its data are gone now.
  MINKE_TRY(read_into_memory(*model, options.text.model.mlock));
  MINKE_ASSIGN(ImportanceMatrix matrix, measure(options, *model, chunks));
  MINKE_TRY(convert::write_imatrix(options.output, matrix));
  warn_of_rare_experts(matrix);
  if (options.sensitivity_chunks > 0) {
    // This takes long; whoever stops it keeps what was measured before.
    ChunkedText some = chunks;
    some.keep(options.sensitivity_chunks);
    const Status measured = measure_sensitivities(options.text, *model, some, matrix);
    if (!measured)
      return fail(measured.error().code, "{}: written, but without sensitivities: {}",
                  printable_path(options.output), measured.error().message);
    MINKE_TRY(convert::write_imatrix(options.output, matrix));
  }
  print_note(fmt::format("wrote {}: {} weights, {} chunks of {} tokens",
                         printable_path(options.output), matrix.entries.size(), chunks.n_chunks(),
                         n_ctx));
  return {};
}

}  // namespace

Action setup_imatrix(CommandLine& line) {
  const auto options = std::make_shared<ImatrixOptions>();
  CLI::App& app = line.app();
  options->text.add_to(line, "Importance matrix");
  app.add_option("-o,--output", options->output, "The file to write, GGUF as llama.cpp has it")
      ->type_name("FILE");
  app.add_option("--sensitivity", options->sensitivity_chunks,
                 "Also measure, on the first N chunks, how much the predictions suffer from errors "
                 "of each matrix, for minke convert --type auto:SIZE; reads them once for each")
      ->check(CLI::Range(0, 1 << 24))
      ->capture_default_str()
      ->type_name("N");
  app.add_flag("--force", options->force,
               "Replace the output file, or what a conversion to it left, if it is there");
  return [options] { return imatrix(*options); };
}

}  // namespace minke::apps
