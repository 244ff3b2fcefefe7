#include "runtime/latent_cache.h"

#include <sys/mman.h>

#include <cstring>
#include <span>

namespace minke {
namespace {

int blocks_for(int64_t n_tokens) noexcept {
  return static_cast<int>((n_tokens + LatentCache::kBlockTokens - 1) / LatentCache::kBlockTokens);
}

CacheRow row_of(const LatentCache::Config& config) noexcept {
  return {config.type, config.n_latent, config.n_rotated};
}

}  // namespace

size_t LatentCache::bytes_for(const Config& config, int64_t n_tokens) noexcept {
  return static_cast<size_t>(config.n_layers) * static_cast<size_t>(blocks_for(n_tokens)) *
         kBlockTokens * row_of(config).n_bytes();
}

LatentCache::LatentCache(const Config& config)
    : config_(config), row_(row_of(config)), block_bytes_(row_.n_bytes() * kBlockTokens) {
  const size_t n_blocks = static_cast<size_t>(config.n_blocks);
  references_.resize(n_blocks);
  for (size_t i = 0; i < n_blocks; ++i) free_.push_back(static_cast<int32_t>(n_blocks - 1 - i));
}

Result<std::unique_ptr<LatentCache>> LatentCache::create(const Config& config, Backend& backend) {
  std::unique_ptr<LatentCache> cache(new LatentCache(config));
  const int64_t n_tokens = int64_t{config.n_blocks} * kBlockTokens;
  MINKE_ASSIGN(cache->buffer_, backend.allocate(bytes_for(config, n_tokens)));
  const std::span<std::byte> memory = cache->buffer_->host();
  // Long contexts are read in large steps. Pages of 2 MiB appear when they are touched, too: one a
  // layer at least.
  (void)madvise(memory.data(), memory.size(), MADV_HUGEPAGE);
  cache->data_ = memory.data();
  return cache;
}

LatentCache::SequenceState& LatentCache::state(Sequence sequence) noexcept {
  SequenceState& s = sequences_[static_cast<size_t>(sequence)];
  MINKE_CHECK(s.used, "sequence {}", sequence);
  return s;
}

LatentCache::Sequence LatentCache::add_sequence() {
  for (size_t i = 0; i < sequences_.size(); ++i) {
    if (sequences_[i].used) continue;
    sequences_[i].used = true;
    return static_cast<Sequence>(i);
  }
  sequences_.push_back({.blocks = {}, .length = 0, .used = true});
  return static_cast<Sequence>(sequences_.size() - 1);
}

void LatentCache::release(Sequence sequence) {
  truncate(sequence, 0);
  state(sequence).used = false;
}

LatentCache::Sequence LatentCache::fork(Sequence source, int n_tokens) {
  MINKE_CHECK(n_tokens <= length(source), "{} of {} tokens", n_tokens, length(source));
  const Sequence sequence = add_sequence();
  const SequenceState& from = state(source);
  SequenceState& to = state(sequence);
  to.blocks.assign(from.blocks.begin(), from.blocks.begin() + blocks_for(n_tokens));
  to.length = n_tokens;
  for (const int32_t block : to.blocks) ++references_[static_cast<size_t>(block)];
  return sequence;
}

void LatentCache::truncate(Sequence sequence, int n_tokens) {
  SequenceState& s = state(sequence);
  MINKE_CHECK(n_tokens <= s.length, "{} of {} tokens", n_tokens, s.length);
  const size_t keep = static_cast<size_t>(blocks_for(n_tokens));
  while (s.blocks.size() > keep) {
    drop_block(s.blocks.back());
    s.blocks.pop_back();
  }
  s.length = n_tokens;
}

int LatentCache::length(Sequence sequence) const noexcept {
  return sequences_[static_cast<size_t>(sequence)].length;
}

int LatentCache::total_length() const noexcept {
  int total = 0;
  for (const SequenceState& s : sequences_) total += s.length;
  return total;
}

Result<SequenceSlice> LatentCache::extend(Sequence sequence, int n_tokens) {
  SequenceState& s = state(sequence);
  const size_t wanted = static_cast<size_t>(blocks_for(int64_t{s.length} + n_tokens));
  const bool partial = s.length % kBlockTokens != 0;
  const bool copies =
      partial && n_tokens > 0 && references_[static_cast<size_t>(s.blocks.back())] > 1;
  const size_t new_blocks = wanted - s.blocks.size() + (copies ? 1 : 0);
  if (new_blocks > free_.size())
    return fail(Errc::kMemory,
                "the cache is full: {} tokens need {} more blocks of {}, {} are free", n_tokens,
                new_blocks, kBlockTokens, free_.size());
  if (copies) {
    const int32_t shared = s.blocks.back();
    s.blocks.back() = take_block();
    copy_block(shared, s.blocks.back());
    drop_block(shared);
  }
  while (s.blocks.size() < wanted) s.blocks.push_back(take_block());
  const SequenceSlice slice{
      .first_token = 0, .n_tokens = n_tokens, .first_position = s.length, .blocks = s.blocks};
  s.length += n_tokens;
  return slice;
}

void LatentCache::drop_block(int32_t block) {
  if (--references_[static_cast<size_t>(block)] == 0) free_.push_back(block);
}

int32_t LatentCache::take_block() {
  const int32_t block = free_.back();
  free_.pop_back();
  references_[static_cast<size_t>(block)] = 1;
  return block;
}

void LatentCache::copy_block(int32_t from, int32_t to) noexcept {
  for (int layer = 0; layer < config_.n_layers; ++layer)
    std::memcpy(row(layer, to, 0), row(layer, from, 0), block_bytes_);
}

}  // namespace minke
