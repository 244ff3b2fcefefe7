#include "apps/base_logits.h"

#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "apps/hash64.h"
#include "runtime/input_file.h"
#include "runtime/model_ranges.h"

namespace minke::apps {
namespace {

constexpr std::string_view kMagic = "_logits_", kSumMagic = "MinkeSum";
constexpr size_t kHeaderBytes = 8 + 3 * sizeof(uint32_t);
constexpr size_t kSumBytes = 8 + sizeof(uint64_t);
constexpr float kRange = 16;  // nats
constexpr float kMaxCode = 65535;
constexpr uint32_t kMaxVocab = 1 << 24;

size_t row_bytes(size_t n_vocab) noexcept {
  return 2 * sizeof(float) + (n_vocab + n_vocab % 2) * sizeof(uint16_t);
}

template <class T>
std::span<const std::byte> bytes_of(const T& value) noexcept {
  return std::as_bytes(std::span(&value, 1));
}

}  // namespace

struct BaseLogitsWriter::Impl {
  AtomicFile file;
  Hash64 sum = {};

  Status write(std::span<const std::byte> bytes) {
    sum.update(bytes);
    return file.write(bytes);
  }
};

BaseLogitsWriter::BaseLogitsWriter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
BaseLogitsWriter::BaseLogitsWriter(BaseLogitsWriter&&) noexcept = default;
BaseLogitsWriter& BaseLogitsWriter::operator=(BaseLogitsWriter&&) noexcept = default;
BaseLogitsWriter::~BaseLogitsWriter() = default;

Result<BaseLogitsWriter> BaseLogitsWriter::create(const std::filesystem::path& path,
                                                  const ChunkedText& text, int n_vocab) {
  std::error_code ignored;
  if (std::filesystem::exists(path, ignored))
    return fail(Errc::kUsage,
                "{}: is already there (--kl-divergence compares with it; remove it to "
                "save it anew)",
                printable_path(path));
  MINKE_ASSIGN(AtomicFile file, AtomicFile::create(path));
  const auto rows = static_cast<uint64_t>(text.n_chunks()) * static_cast<uint64_t>(text.n_scored());
  MINKE_TRY(file.check_space(kHeaderBytes + text.tokens.size() * sizeof(TokenId) +
                             rows * row_bytes(static_cast<size_t>(n_vocab)) + kSumBytes));
  BaseLogitsWriter writer(std::make_unique<Impl>(Impl{std::move(file)}));
  Impl& impl = *writer.impl_;
  MINKE_TRY(impl.write(std::as_bytes(std::span(kMagic))));
  MINKE_TRY(impl.write(bytes_of(static_cast<uint32_t>(text.n_ctx))));
  MINKE_TRY(impl.write(bytes_of(static_cast<int32_t>(n_vocab))));
  MINKE_TRY(impl.write(bytes_of(static_cast<int32_t>(text.n_chunks()))));
  MINKE_TRY(impl.write(std::as_bytes(std::span(text.tokens))));
  return writer;
}

std::vector<std::byte> BaseLogitsWriter::encode(std::span<const float> logits,
                                                double log_sum_exp) const {
  const float largest = std::ranges::max(logits);
  const float lowest = std::max(std::ranges::min(logits), largest - kRange);
  const float scale = (largest - lowest) / kMaxCode;
  const float head[] = {scale, static_cast<float>(static_cast<double>(lowest) - log_sum_exp)};
  std::vector<std::byte> row(row_bytes(logits.size()));
  std::memcpy(row.data(), head, sizeof(head));
  std::byte* to = row.data() + sizeof(head);
  for (const float logit : logits) {
    const float steps = scale > 0 ? std::max(0.0f, logit - lowest) / scale : 0.0f;
    const auto code = static_cast<uint16_t>(std::min(kMaxCode, std::nearbyint(steps)));
    std::memcpy(to, &code, sizeof(code));
    to += sizeof(code);
  }
  return row;
}

Status BaseLogitsWriter::append(std::span<const std::byte> rows) { return impl_->write(rows); }

Status BaseLogitsWriter::finish() {
  const uint64_t sum = impl_->sum.digest();
  MINKE_TRY(impl_->file.write(kSumMagic));
  MINKE_TRY(impl_->file.write(bytes_of(sum)));
  return impl_->file.commit();
}

Result<BaseLogits> BaseLogits::open(const std::filesystem::path& path, int n_vocab) {
  MINKE_ASSIGN(MappedFile file, MappedFile::open(path));
  BaseLogits base(std::move(file));
  MINKE_TRY(base.read_header(n_vocab));
  return base;
}

Status BaseLogits::read_header(int n_vocab) {
  const std::span<const std::byte> bytes = file_.bytes();
  const std::string name = printable_path(file_.path());
  if (bytes.size() < kHeaderBytes || std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0)
    return fail(Errc::kContent, "{}: offset 0x0: no file of base logits (it begins otherwise)",
                name);
  uint32_t header[3];
  std::memcpy(header, bytes.data() + kMagic.size(), sizeof(header));
  const auto [file_ctx, file_vocab, n_chunks] = header;
  if (file_ctx < kMinChunkTokens || file_ctx > ranges::kContext.high)
    return fail(Errc::kContent, "{}: offset 0x8: n_ctx (got {}, allowed {} to {})", name, file_ctx,
                kMinChunkTokens, ranges::kContext.high);
  if (file_vocab == 0 || file_vocab > kMaxVocab)
    return fail(Errc::kContent, "{}: offset 0xc: n_vocab (got {}, allowed 1 to {})", name,
                file_vocab, kMaxVocab);
  if (file_vocab != static_cast<uint32_t>(n_vocab))
    return fail(Errc::kShape,
                "{}: offset 0xc: it is of a model with another vocabulary (it has {} tokens, this "
                "model {})",
                name, file_vocab, n_vocab);
  text_.n_ctx = static_cast<int>(file_ctx);
  n_vocab_ = file_vocab;
  const size_t token_bytes = size_t{file_ctx} * sizeof(TokenId);
  const size_t chunk_bytes =
      token_bytes + static_cast<size_t>(text_.n_scored()) * row_bytes(n_vocab_);
  if (n_chunks == 0 || n_chunks > (bytes.size() - kHeaderBytes) / chunk_bytes)
    return fail(Errc::kContent,
                "{}: offset 0x10: {} chunks do not fit the file's {} bytes: it is cut off or "
                "damaged",
                name, n_chunks, bytes.size());
  rows_begin_ = kHeaderBytes + n_chunks * token_bytes;
  text_.tokens.resize(size_t{n_chunks} * file_ctx);
  std::memcpy(text_.tokens.data(), bytes.data() + kHeaderBytes, n_chunks * token_bytes);
  const auto bad =
      std::ranges::find_if(text_.tokens, [&](TokenId id) { return id < 0 || id >= n_vocab; });
  if (bad != text_.tokens.end())
    return fail(Errc::kContent, "{}: offset {:#x}: token (got {}, allowed 0 to {})", name,
                kHeaderBytes + static_cast<size_t>(bad - text_.tokens.begin()) * sizeof(TokenId),
                *bad, n_vocab - 1);
  return check_sum(kHeaderBytes + n_chunks * chunk_bytes);
}

/// n_bytes is where the rows end.
Status BaseLogits::check_sum(size_t n_bytes) const {
  const std::span<const std::byte> bytes = file_.bytes();
  const std::string name = printable_path(file_.path());
  if (bytes.size() == n_bytes) return {};  // llama.cpp's
  if (bytes.size() != n_bytes + kSumBytes ||
      std::memcmp(bytes.data() + n_bytes, kSumMagic.data(), kSumMagic.size()) != 0)
    return fail(Errc::kContent, "{}: offset {:#x}: {} bytes that do not belong here", name, n_bytes,
                bytes.size() - n_bytes);
  uint64_t sum = 0;
  std::memcpy(&sum, bytes.data() + n_bytes + kSumMagic.size(), sizeof(sum));
  if (sum != XXH3_64bits(bytes.data(), n_bytes))
    return fail(Errc::kContent, "{}: offset {:#x}: the checksum differs: the file is damaged", name,
                n_bytes);
  return {};
}

Result<BaseRow> BaseLogits::row(int chunk, int index) const {
  constexpr double kTolerance = 0.05;  // what the floor of 16 adds, with a large vocabulary
  const size_t at =
      rows_begin_ + (static_cast<size_t>(chunk) * static_cast<size_t>(text_.n_scored()) +
                     static_cast<size_t>(index)) *
                        row_bytes(n_vocab_);
  // Header, tokens and rows are whole multiples of four bytes, and the mapping begins with a page.
  const std::byte* data = file_.bytes().data() + at;
  BaseRow row;
  std::memcpy(&row.scale, data, sizeof(float));
  std::memcpy(&row.lowest, data + sizeof(float), sizeof(float));
  row.codes = {reinterpret_cast<const uint16_t*>(data + 2 * sizeof(float)), n_vocab_};
  double sum = 0;
  for (size_t i = 0; i < n_vocab_; ++i) sum += static_cast<double>(std::exp(row.log_p(i)));
  if (!(std::abs(sum - 1) <= kTolerance))
    return fail(Errc::kContent,
                "{}: offset {:#x}: the probabilities add up to {:.3g}, not 1: the file is damaged",
                printable_path(file_.path()), at, sum);
  return row;
}

}  // namespace minke::apps
