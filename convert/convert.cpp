#include "convert/convert.h"

#include <algorithm>
#include <chrono>
#include <span>
#include <string>

#include "convert/journal.h"
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

Result<int> Conversion::use_importance(ImportanceMatrix matrix, std::string file_name) {
  importance_ = std::make_shared<const ImportanceMatrix>(std::move(matrix));
  importance_file_ = std::move(file_name);
  int n_used = 0, n_missing = 0;
  for (PlannedTensor& tensor : source_.tensors) {
    const Shape& shape = tensor.desc.shape;
    tensor.importance = importance_->find(tensor.name);
    if (tensor.importance != nullptr) {
      MINKE_TRY(check_fits(tensor.name, *tensor.importance, shape.rank() == 3 ? shape[0] : 1,
                           shape.cols()));
      ++n_used;
    } else if (find_format(tensor.desc.dtype)->block_len > 1 &&
               tensor.name != "token_embd.weight") {
      ++n_missing;
    }
  }
  if (n_used == 0)
    return fail(Errc::kShape, "{}: it has no importance of any tensor: it is another model's",
                printable(importance_file_));
  return n_missing;
}

void Conversion::write_importance(GgufWriter& writer) const {
  if (importance_ == nullptr) return;
  writer.set_string("quantize.imatrix.file", importance_file_);
  if (!importance_->datasets.empty())
    writer.set_string("quantize.imatrix.dataset", importance_->datasets.front());
  writer.set_u32("quantize.imatrix.entries_count",
                 static_cast<uint32_t>(importance_->entries.size()));
  writer.set_u32("quantize.imatrix.chunks_count", importance_->n_chunks);
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

Sha256Digest Conversion::job_digest(const GgufWriter& writer) const {
  Sha256 hash;
  hash.update(writer.header_digest());
  for (const InputFile* file : source_.files) {
    const std::string line = fmt::format("{}\n{}\n{}\n", file->path().filename().string(),
                                         file->size_bytes(), file->changed_ns());
    hash.update(std::as_bytes(std::span(line)));
  }
  if (importance_ != nullptr) {
    for (const auto& [name, entry] : importance_->entries) {
      hash.update(std::as_bytes(std::span(entry.sums)));
      hash.update(std::as_bytes(std::span(entry.counts)));
    }
  }
  return hash.finish();
}

Status Conversion::run(const std::filesystem::path& output, int n_threads,
                       const ProgressCallback& progress, Start start) const {
  MINKE_CHECK(n_threads >= 1 && n_threads <= kMaxThreads, "{} threads", n_threads);
  MINKE_ASSIGN(const PipelineShape shape, plan_memory(n_threads));
  const bool resumes = start == Start::kResume;
  MINKE_ASSIGN(GgufWriter writer,
               GgufWriter::create(
                   output, resumes ? AtomicFile::Leftover::kKeep : AtomicFile::Leftover::kDiscard));
  // Until this is known to be the same job, what is there is not ours to remove.
  if (resumes) writer.keep_partial(true);
  source_.write_metadata(writer);
  if (file_type_) writer.set_u32("general.file_type", *file_type_);
  write_importance(writer);
  for (const PlannedTensor& tensor : tensors()) writer.add_tensor(tensor.name, tensor.desc);
  writer.keep_hashes();
  const Sha256Digest job = job_digest(writer);
  std::vector<Sha256Digest> journalled;
  if (resumes) {
    MINKE_ASSIGN(journalled, Journal::read(output, job));
  }
  MINKE_ASSIGN(const size_t n_done, writer.resume_data(journalled));
  MINKE_ASSIGN(Journal journal, Journal::create(output, job));
  for (const Sha256Digest& digest : writer.digests()) MINKE_TRY(journal.add(digest));
  Status status = write_tensors(n_done, shape, progress, writer, journal);
  if (status) status = writer.finish();
  const bool can_resume = !status && journal.n_tensors() > 0 &&
                          (status.error().code == Errc::kCancelled || writer.has_failed());
  writer.keep_partial(can_resume);
  if (!can_resume) Journal::remove(output);
  return status;
}

Status Conversion::write_tensors(size_t first, const PipelineShape& shape,
                                 const ProgressCallback& progress, GgufWriter& writer,
                                 Journal& journal) const {
  const auto rest = std::span(tensors()).subspan(first);
  Progress state;
  for (const PlannedTensor& tensor : rest) state.bytes_total += source_bytes(tensor);
  if (!rest.empty()) state.tensor = rest.front().name;
  const auto begin = std::chrono::steady_clock::now();
  const auto go_on = [&] {
    state.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return !progress || progress(state);
  };
  const auto write = [&](const Piece& piece, std::span<const std::byte> bytes) -> Status {
    state.tensor = piece.tensor->name;
    const size_t n_before = writer.digests().size();
    MINKE_TRY(writer.write(bytes));
    state.bytes_done += piece.source_bytes();
    if (writer.digests().size() > n_before) {
      MINKE_TRY(source_.check_unchanged());
      MINKE_TRY(writer.flush());
      MINKE_TRY(journal.add(writer.digests().back()));
    }
    return go_on() ? Status{} : fail(Errc::kCancelled, "interrupted");
  };
  if (!go_on()) return fail(Errc::kCancelled, "interrupted");
  return run_pipeline(rest, shape, write, go_on);
}

}  // namespace minke::convert
