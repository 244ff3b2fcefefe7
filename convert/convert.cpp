#include "convert/convert.h"

#include <chrono>

#include "convert/metadata.h"
#include "convert/stream.h"
#include "runtime/gguf_writer.h"

namespace minke::convert {

Result<Conversion> Conversion::prepare(const std::filesystem::path& dir, const Recipe& recipe) {
  MINKE_ASSIGN(Checkpoint checkpoint, Checkpoint::open(dir));
  Conversion conversion(std::move(checkpoint), recipe);
  MINKE_ASSIGN(conversion.config_, read_hf_config(dir));
  MINKE_ASSIGN(conversion.generation_, read_hf_generation(dir));
  MINKE_ASSIGN(conversion.tokenizer_, read_hf_tokenizer(dir, conversion.config_));
  MINKE_ASSIGN(conversion.tensors_, plan_tensors(conversion.checkpoint_, conversion.config_));
  for (PlannedTensor& tensor : conversion.tensors_) {
    tensor.desc.dtype =
        choose_dtype(recipe, tensor.name, tensor.desc.shape, conversion.config_.n_layers);
  }
  return conversion;
}

uint64_t Conversion::tensor_bytes() const {
  uint64_t bytes = 0;
  for (const PlannedTensor& tensor : tensors_) bytes += tensor.desc.bytes();
  return bytes;
}

Status Conversion::run(const std::filesystem::path& output, int n_threads,
                       const ProgressCallback& progress) const {
  MINKE_CHECK(n_threads >= 1 && n_threads <= kMaxThreads, "{} threads", n_threads);
  MINKE_ASSIGN(GgufWriter writer, GgufWriter::create(output));
  write_metadata(config_, generation_, tokenizer_, *recipe_, writer);
  Progress state;
  for (const PlannedTensor& tensor : tensors_) {
    writer.add_tensor(tensor.name, tensor.desc);
    state.bytes_total += source_bytes(tensor);
  }
  MINKE_TRY(writer.begin_data());

  const auto start = std::chrono::steady_clock::now();
  const auto advance = [&](uint64_t bytes) {
    state.bytes_done += bytes;
    state.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return !progress || progress(state);
  };
  for (const PlannedTensor& tensor : tensors_) {
    state.tensor = tensor.name;
    if (!advance(0)) return fail(Errc::kCancelled, "interrupted");
    MINKE_TRY(stream_tensor(tensor, n_threads, writer, advance));
    MINKE_TRY(checkpoint_.check_unchanged());
  }
  return writer.finish();
}

}  // namespace minke::convert
