#include "models/bpe.h"

#include <algorithm>
#include <array>
#include <bit>
#include <string>

#include "runtime/input_file.h"
#include "runtime/model_ranges.h"
#include "runtime/utf8.h"

namespace minke {
namespace {

constexpr std::string_view kMerges = "tokenizer.ggml.merges";
constexpr size_t kShortWord = 32;  // up to here a scan for the best pair beats a heap

uint64_t pair_key(TokenId left, TokenId right) noexcept {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

}  // namespace

MergeTable::MergeTable(size_t n_merges) {
  const size_t size = std::bit_ceil(std::max<size_t>(n_merges * 2, 2));
  shift_ = 64 - std::countr_zero(size);
  slots_.resize(size);
}

void MergeTable::insert(TokenId left, TokenId right, Merge merge) {
  const uint64_t key = pair_key(left, right);
  size_t i = start(key);
  while (slots_[i].key != kEmpty) {
    if (slots_[i].key == key) return;
    i = (i + 1) & (slots_.size() - 1);
  }
  slots_[i] = {key, merge};
}

MergeTable::Merge MergeTable::find(TokenId left, TokenId right) const noexcept {
  const uint64_t key = pair_key(left, right);
  for (size_t i = start(key);; i = (i + 1) & (slots_.size() - 1)) {
    if (slots_[i].key == key) return slots_[i].merge;
    if (slots_[i].key == kEmpty) return {};
  }
}

Result<Bpe> Bpe::from_gguf(const GgufFile& file, const Vocabulary& vocabulary) {
  MINKE_ASSIGN(const auto lines, file.get_strings(kMerges, ranges::kMerges));
  MergeTable merges(lines.size());
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string_view line = lines[i];
    const auto bad = [&](std::string_view reason) {
      return fail(Errc::kContent, "{}: key '{}': entry {} ('{}') {}", printable_path(file.path()),
                  kMerges, i, printable(line), reason);
    };
    const size_t space = line.find(' ');
    if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
      return bad("is not two tokens with a space between them");
    }
    const std::string_view left_text = line.substr(0, space), right_text = line.substr(space + 1);
    const TokenId left = vocabulary.find(left_text), right = vocabulary.find(right_text);
    if (left < 0 || right < 0) return bad("names a token that is not in the vocabulary");
    const TokenId merged = vocabulary.find(std::string(left_text) + std::string(right_text));
    if (merged < 0) return bad("makes a token that is not in the vocabulary");
    for (const TokenId id : {left, right, merged}) {
      // Else plain text could turn into a control token.
      if (vocabulary.type(id) != TokenType::kNormal) return bad("has a token that is not normal");
    }
    merges.insert(left, right, {static_cast<uint32_t>(i), merged});
  }
  return Bpe(vocabulary, std::move(merges));
}

void Bpe::encode(std::string_view word, std::vector<TokenId>& out) const {
  if (word.size() <= kShortWord) {
    encode_short(word, out);
  } else {
    encode_long(word, out);
  }
}

void Bpe::encode_short(std::string_view word, std::vector<TokenId>& out) const {
  std::array<TokenId, kShortWord> ids;
  std::array<MergeTable::Merge, kShortWord> merges;  // of ids[i] with ids[i + 1]
  size_t n = word.size();
  for (size_t i = 0; i < n; ++i) ids[i] = vocabulary_->byte_token(static_cast<uint8_t>(word[i]));
  for (size_t i = 0; i + 1 < n; ++i) merges[i] = merges_.find(ids[i], ids[i + 1]);
  while (n > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < n; ++i) {
      if (merges[i].rank < merges[best].rank) best = i;
    }
    if (merges[best].rank == MergeTable::kNone) break;
    ids[best] = merges[best].merged;
    std::copy(ids.begin() + best + 2, ids.begin() + n, ids.begin() + best + 1);
    std::copy(merges.begin() + best + 1, merges.begin() + n - 1, merges.begin() + best);
    --n;
    if (best + 1 < n) merges[best] = merges_.find(ids[best], ids[best + 1]);
    if (best > 0) merges[best - 1] = merges_.find(ids[best - 1], ids[best]);
  }
  out.insert(out.end(), ids.begin(), ids.begin() + n);
}

void Bpe::encode_long(std::string_view word, std::vector<TokenId>& out) const {
  // A list of symbols, linked by position, and a heap of possible merges, the lowest rank and then
  // the leftmost on top. An entry that a merge beside it made untrue is passed over.
  struct Symbol {
    TokenId id;
    uint32_t previous, next;
  };
  struct Entry {
    uint32_t rank, left;
  };
  const auto worse = [](const Entry& a, const Entry& b) {
    return a.rank > b.rank || (a.rank == b.rank && a.left > b.left);
  };
  constexpr uint32_t kEnd = UINT32_MAX;
  MINKE_CHECK(word.size() < kEnd, "a word of {} bytes", word.size());
  const auto n = static_cast<uint32_t>(word.size());
  std::vector<Symbol> symbols(n);
  for (uint32_t i = 0; i < n; ++i) {
    symbols[i] = {vocabulary_->byte_token(static_cast<uint8_t>(word[i])), i == 0 ? kEnd : i - 1,
                  i + 1 == n ? kEnd : i + 1};
  }
  const auto merge_at = [&](uint32_t left) {
    const Symbol& symbol = symbols[left];
    if (symbol.id < 0 || symbol.next == kEnd) return MergeTable::Merge{};
    return merges_.find(symbol.id, symbols[symbol.next].id);
  };
  std::vector<Entry> heap;
  for (uint32_t i = 0; i < n; ++i) {
    if (const auto merge = merge_at(i); merge.rank != MergeTable::kNone) {
      heap.push_back({merge.rank, i});
    }
  }
  std::make_heap(heap.begin(), heap.end(), worse);
  const auto push = [&](uint32_t left) {
    if (const auto merge = merge_at(left); merge.rank != MergeTable::kNone) {
      heap.push_back({merge.rank, left});
      std::push_heap(heap.begin(), heap.end(), worse);
    }
  };
  while (!heap.empty()) {
    const Entry entry = heap.front();
    std::pop_heap(heap.begin(), heap.end(), worse);
    heap.pop_back();
    const auto merge = merge_at(entry.left);
    if (merge.rank != entry.rank) continue;
    Symbol& left = symbols[entry.left];
    Symbol& right = symbols[left.next];
    left.id = merge.merged;
    left.next = right.next;
    right.id = -1;  // gone
    if (left.next != kEnd) symbols[left.next].previous = entry.left;
    push(entry.left);
    if (left.previous != kEnd) push(left.previous);
  }
  for (uint32_t i = 0; i != kEnd; i = symbols[i].next) out.push_back(symbols[i].id);
}

}  // namespace minke
