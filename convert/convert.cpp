#include "convert/convert.h"

#include <algorithm>
#include <chrono>
#include <span>
#include <string>

#include "convert/journal.h"
#include "convert/pipeline.h"
#include "convert/source_hashes.h"
#include "convert/tensor_hashes.h"
#include "runtime/gguf_writer.h"
#include "runtime/utf8.h"

namespace minke::convert {

namespace {

/// Another one whenever the same job gives other bytes: a file is not resumed by another revision.
constexpr int kRevision = 5;

bool quantizes_again(const PlannedTensor& tensor) {
  const FormatTraits& format = *find_format(tensor.desc.dtype);
  return format.block_len > 1 && std::ranges::any_of(tensor.slabs, [&](const Slab& slab) {
           return slab.source.weights.format.is_quantized() && !is_copy(slab, format.dtype);
         });
}

/// Weights whose errors ought to be weighed, and would not be.
bool lacks_importance(const PlannedTensor& tensor) {
  const DType dtype = tensor.desc.dtype;
  return needs_importance(dtype) &&
         !std::ranges::all_of(tensor.slabs, [&](const Slab& s) { return is_copy(s, dtype); });
}

bool is_embedding(const PlannedTensor& tensor) { return tensor.name == "token_embd.weight"; }

double bits_each(uint64_t n_bytes, uint64_t n_weights) {
  return 8 * static_cast<double>(n_bytes) / static_cast<double>(n_weights);
}

}  // namespace

Result<Conversion> Conversion::prepare(Source source, const TypeChoices& choices,
                                       std::shared_ptr<const ImportanceMatrix> importance) {
  Conversion conversion(std::move(source));
  if (importance != nullptr) MINKE_TRY(conversion.use_importance(std::move(importance)));
  MINKE_TRY(conversion.choose_types(choices));
  return conversion;
}

Result<Conversion> Conversion::prepare(const std::filesystem::path& checkpoint,
                                       const Recipe& recipe) {
  MINKE_ASSIGN(Source source, open_checkpoint(checkpoint));
  return prepare(std::move(source), {.recipe = &recipe});
}

Status Conversion::choose_types(const TypeChoices& choices) {
  if (choices.recipe != nullptr) file_type_ = choices.recipe->file_type;
  if (choices.recipe == nullptr && !choices.budget) file_type_ = source_.file_type;
  std::vector<std::string_view> matrices;
  for (const PlannedTensor& tensor : tensors()) {
    if (!stays_float(tensor.name, tensor.desc.shape)) matrices.push_back(tensor.name);
  }
  MINKE_TRY(check_rules(choices, matrices));
  // Where embeddings are tied, they give the logits too.
  const bool tied = std::ranges::find(matrices, "output.weight") == matrices.end();
  std::vector<size_t> free;
  for (PlannedTensor& tensor : source_.tensors) {
    const bool is_output = tensor.name == (tied ? "token_embd.weight" : "output.weight");
    TensorDesc source = tensor.desc;
    if (is_output)
      source.dtype = tensor.slabs.front().source.weights.format.dtype.value_or(source.dtype);
    const ChosenType chosen =
        choose_type(choices, tensor.name, source, source_.n_layers, is_output);
    tensor.desc.dtype = chosen.dtype;
    tensor.wanted = chosen.wanted;
    if (!chosen.fixed) free.push_back(static_cast<size_t>(&tensor - source_.tensors.data()));
  }
  if (choices.budget) MINKE_TRY(fit_to_size(*choices.budget, free));
  for (const PlannedTensor& tensor : tensors()) {
    // Embeddings are looked up, not multiplied: no matrix has theirs.
    const bool is_measured =
        tensor.importance != nullptr || (importance_ != nullptr && is_embedding(tensor));
    if (!is_measured && lacks_importance(tensor))
      return fail(Errc::kUsage, "{} for '{}': so few bits need an importance matrix ({})",
                  dtype_name(tensor.desc.dtype), printable(tensor.name),
                  importance_ == nullptr
                      ? "give --imatrix FILE; `minke imatrix` makes one"
                      : printable(importance_->file_name) + " has nothing of this tensor");
    if (choices.allow_requantize || !quantizes_again(tensor)) continue;
    return fail(Errc::kUnsupported,
                "{}: tensor '{}': is {} already, and would lose again as {} (convert from the "
                "original weights, or give --allow-requantize)",
                printable_path(source_.path), printable(tensor.name),
                tensor.slabs.front().source.weights.format.name, dtype_name(tensor.desc.dtype));
  }
  return {};
}

Status Conversion::fit_to_size(const SizeBudget& budget, std::span<const size_t> places) {
  if (importance_ == nullptr || importance_->sensitivities.empty())
    return fail(Errc::kUsage,
                "a size needs sensitivities: measure them with minke imatrix --sensitivity, and "
                "give the file with --imatrix");
  uint64_t n_weights = 0, fixed_bytes = tensor_bytes();
  for (const PlannedTensor& tensor : tensors())
    n_weights += static_cast<uint64_t>(tensor.desc.shape.elements());
  std::vector<std::vector<TypeOption>> options;
  uint64_t least = 0;
  for (const size_t place : places) {
    const PlannedTensor& tensor = tensors()[place];
    fixed_bytes -= tensor.desc.bytes();
    const auto sensitivity = importance_->sensitivities.find(tensor.name);
    if (sensitivity == importance_->sensitivities.end())
      return fail(Errc::kUsage, "{}: no sensitivity of tensor '{}' was measured",
                  printable(importance_->file_name), printable(tensor.name));
    MINKE_ASSIGN(auto measured, measure_options(tensor, static_cast<double>(sensitivity->second)));
    options.push_back(std::move(measured));
    least += options.back().front().bytes;
  }
  const uint64_t bytes = budget.bytes_for(n_weights);
  const auto chosen = choose_options(options, bytes - std::min(bytes, fixed_bytes));
  if (!chosen)
    return fail(Errc::kUsage,
                "the size is too small: {} bytes of weights, {:.3f} bits each (the least is {} "
                "bytes, {:.3f} bits)",
                bytes, bits_each(bytes, n_weights), fixed_bytes + least,
                bits_each(fixed_bytes + least, n_weights));
  for (size_t i = 0; i < places.size(); ++i) {
    PlannedTensor& tensor = source_.tensors[places[i]];
    tensor.desc.dtype = tensor.wanted = options[i][(*chosen)[i]].dtype;
  }
  return {};
}

Status Conversion::use_importance(std::shared_ptr<const ImportanceMatrix> importance) {
  importance_ = std::move(importance);
  bool any = false;
  for (PlannedTensor& tensor : source_.tensors) {
    const Shape& shape = tensor.desc.shape;
    tensor.importance = importance_->find(tensor.name);
    if (tensor.importance == nullptr) continue;
    MINKE_TRY(check_fits(tensor.name, *tensor.importance, shape.rank() == 3 ? shape[0] : 1,
                         shape.cols()));
    any = true;
  }
  if (any) return {};
  return fail(Errc::kShape, "{}: it has no importance of any tensor: it is another model's",
              printable(importance_->file_name));
}

int Conversion::n_without_importance() const {
  if (importance_ == nullptr) return 0;
  return static_cast<int>(std::ranges::count_if(tensors(), [](const PlannedTensor& tensor) {
    return tensor.importance == nullptr && find_format(tensor.desc.dtype)->block_len > 1 &&
           !is_embedding(tensor);
  }));
}

void Conversion::write_importance(GgufWriter& writer) const {
  if (importance_ == nullptr) return;
  writer.set_string("quantize.imatrix.file", importance_->file_name);
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
  const std::string revision = fmt::format("{}\n", kRevision);
  hash.update(std::as_bytes(std::span(revision)));
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
                       const ProgressCallback& progress, Start start, Existing existing) const {
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
  writer.set_string(kLayoutKey, layout_digest(tensors()));
  writer.keep_hashes();
  writer.set_late_strings(SourceHashes::kKey, SourceHashes::placeholders(source_.files));
  const Sha256Digest job = job_digest(writer);
  std::vector<Sha256Digest> journalled;
  if (resumes) {
    MINKE_ASSIGN(journalled, Journal::read(output, job));
    journalled.resize(std::min(journalled.size(), tensors().size()));
  }
  MINKE_ASSIGN(const size_t n_done, writer.resume_data(journalled));
  MINKE_ASSIGN(Journal journal, Journal::create(output, job));
  for (const Sha256Digest& digest : writer.digests()) MINKE_TRY(journal.add(digest));
  Status status = write_tensors(n_done, shape, progress, writer, journal);
  if (status) status = writer.finish(existing);
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
  SourceHashes hashes(source_.files, source_.stored_hashes);
  const auto write = [&](const Piece& piece, std::span<const std::byte> bytes) -> Status {
    MINKE_TRY(hashes.so_far());
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
  MINKE_TRY(run_pipeline(rest, shape, write, go_on));
  MINKE_ASSIGN(const auto lines, hashes.wait(go_on));
  MINKE_TRY(source_.check_unchanged());
  return writer.replace_strings(SourceHashes::kKey, lines);
}

}  // namespace minke::convert
