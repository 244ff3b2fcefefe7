#include "convert/convert.h"

#include <algorithm>
#include <chrono>

#include "convert/pipeline.h"
#include "runtime/gguf_writer.h"
#include "runtime/utf8.h"

namespace minke::convert {

namespace {

bool quantizes_again(const PlannedTensor& tensor) {
  const FormatTraits& format = *find_format(tensor.desc.dtype);
  return format.block_len > 1 && std::ranges::any_of(tensor.slabs, [&](const Slab& slab) {
           return slab.source.weights.format.is_quantized() && !is_copy(slab, format.dtype);
         });
}

}  // namespace

Result<Conversion> Conversion::prepare(Source source, const TypeChoices& choices) {
  Conversion conversion(std::move(source));
  MINKE_TRY(conversion.choose_types(choices));
  return conversion;
}

Result<Conversion> Conversion::prepare(const std::filesystem::path& checkpoint,
                                       const Recipe& recipe) {
  MINKE_ASSIGN(Source source, open_checkpoint(checkpoint));
  return prepare(std::move(source), {.recipe = &recipe});
}

Status Conversion::choose_types(const TypeChoices& choices) {
  file_type_ = choices.recipe != nullptr ? choices.recipe->file_type : source_.file_type;
  std::vector<std::string_view> matrices;
  for (const PlannedTensor& tensor : tensors()) {
    if (!stays_float(tensor.name, tensor.desc.shape)) matrices.push_back(tensor.name);
  }
  MINKE_TRY(check_rules(choices, matrices));
  // Where embeddings are tied, they give the logits too.
  const bool tied = std::ranges::find(matrices, "output.weight") == matrices.end();
  for (PlannedTensor& tensor : source_.tensors) {
    const bool is_output = tensor.name == (tied ? "token_embd.weight" : "output.weight");
    const ChosenType chosen =
        choose_type(choices, tensor.name, tensor.desc, source_.n_layers, is_output);
    tensor.desc.dtype = chosen.dtype;
    tensor.wanted = chosen.wanted;
    if (choices.allow_requantize || !quantizes_again(tensor)) continue;
    return fail(Errc::kUnsupported,
                "{}: tensor '{}': is {} already, and would lose again as {} (convert from the "
                "original weights, or give --allow-requantize)",
                printable_path(source_.path), printable(tensor.name),
                tensor.slabs.front().source.weights.format.name, dtype_name(tensor.desc.dtype));
  }
  return {};
}

uint64_t Conversion::tensor_bytes() const {
  uint64_t bytes = 0;
  for (const PlannedTensor& tensor : tensors()) bytes += tensor.desc.bytes();
  return bytes;
}

Result<PipelineShape> Conversion::plan_memory(int n_threads) const {
  auto shape = plan_pipeline(tensors(), n_threads);
  if (shape) return shape;
  return fail(shape.error().code, "{}: {}", printable_path(source_.path), shape.error().message);
}

Status Conversion::run(const std::filesystem::path& output, int n_threads,
                       const ProgressCallback& progress) const {
  MINKE_CHECK(n_threads >= 1 && n_threads <= kMaxThreads, "{} threads", n_threads);
  MINKE_ASSIGN(const PipelineShape shape, plan_memory(n_threads));
  MINKE_ASSIGN(GgufWriter writer, GgufWriter::create(output));
  source_.write_metadata(writer);
  if (file_type_) writer.set_u32("general.file_type", *file_type_);
  for (const PlannedTensor& tensor : tensors()) writer.add_tensor(tensor.name, tensor.desc);
  writer.keep_hashes();
  MINKE_TRY(writer.begin_data());

  Progress state;
  state.bytes_total = source_.tensor_bytes();
  if (!tensors().empty()) state.tensor = tensors().front().name;
  const auto start = std::chrono::steady_clock::now();
  const auto go_on = [&] {
    state.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return !progress || progress(state);
  };
  size_t tensor_bytes_done = 0;
  const auto write = [&](const Piece& piece, std::span<const std::byte> bytes) -> Status {
    state.tensor = piece.tensor->name;
    MINKE_TRY(writer.write(bytes));
    state.bytes_done += piece.source_bytes();
    tensor_bytes_done += bytes.size();
    if (tensor_bytes_done == piece.tensor->desc.bytes()) {
      tensor_bytes_done = 0;
      MINKE_TRY(source_.check_unchanged());
    }
    return go_on() ? Status{} : fail(Errc::kCancelled, "interrupted");
  };
  if (!go_on()) return fail(Errc::kCancelled, "interrupted");
  MINKE_TRY(run_pipeline(tensors(), shape, write, go_on));
  return writer.finish();
}

}  // namespace minke::convert
