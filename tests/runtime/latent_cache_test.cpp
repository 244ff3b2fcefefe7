#include "runtime/latent_cache.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <random>
#include <vector>

#include "runtime/reference_backend.h"

using namespace minke;

namespace {

constexpr int kLayers = 2, kWidth = 32;

std::unique_ptr<LatentCache> make_cache(int n_blocks, CacheType type = CacheType::kF32) {
  static const auto backend = make_reference_backend();
  auto cache = LatentCache::create(
      {
          .n_layers = kLayers,
          .n_latent = kWidth - 8,
          .n_rotated = 8,
          .type = type,
          .n_blocks = n_blocks,
      },
      *backend);
  REQUIRE(cache);
  return std::move(*cache);
}

/// Writes n tokens whose rows hold `value`, value + 1, ...
void append(LatentCache& cache, LatentCache::Sequence sequence, int n, float value) {
  const auto slice = cache.extend(sequence, n);
  REQUIRE(slice);
  for (int i = 0; i < n; ++i)
    for (int layer = 0; layer < kLayers; ++layer) {
      const std::vector<float> row(kWidth, value + static_cast<float>(i + 1000 * layer));
      cache.write_row(layer, *slice, slice->first_position + i, row.data());
    }
}

/// The first value of every row of a sequence, layer 1.
std::vector<float> content(LatentCache& cache, LatentCache::Sequence sequence) {
  const auto slice = cache.extend(sequence, 0);
  REQUIRE(slice);
  std::vector<float> values, row(kWidth);
  for (int i = 0; i < cache.length(sequence); ++i) {
    cache.read_row(1, *slice, i, row.data());
    values.push_back(row[0] - 1000);
  }
  return values;
}

}  // namespace

TEST_CASE("the cache keeps rows, in every type it knows") {
  for (const CacheType type : cache_types()) {
    CAPTURE(cache_type_name(type));
    const auto cache = make_cache(3, type);
    const auto sequence = cache->add_sequence();
    const auto slice = cache->extend(sequence, 70);
    REQUIRE(slice);
    std::vector<float> row(kWidth), back(kWidth);
    for (int i = 0; i < kWidth; ++i) row[static_cast<size_t>(i)] = static_cast<float>(i - 9) / 16;
    cache->write_row(1, *slice, 69, row.data());
    cache->read_row(1, *slice, 69, back.data());
    CHECK(std::memcmp(cache->row_at(1, *slice, 69), cache->row(1, slice->blocks[1], 5),
                      cache->row_layout().n_bytes()) == 0);
    const double allowed = cache->row_layout().n_bytes() < kWidth + 32 ? 0.1 : 0.02;
    for (size_t i = 0; i < row.size(); ++i) CHECK(std::abs(back[i] - row[i]) < allowed);
  }
}

TEST_CASE("a fork shares blocks until one of the two writes") {
  const auto cache = make_cache(4);
  const auto a = cache->add_sequence();
  append(*cache, a, 100, 1);
  CHECK(cache->free_blocks() == 2);
  const auto b = cache->fork(a, 80);
  CHECK(cache->free_blocks() == 2);
  append(*cache, b, 3, 500);  // copies the second block
  CHECK(cache->free_blocks() == 1);
  append(*cache, a, 2, 700);
  const auto of_a = content(*cache, a), of_b = content(*cache, b);
  REQUIRE(of_a.size() == 102);
  REQUIRE(of_b.size() == 83);
  CHECK(of_a[99] == 100);
  CHECK(of_a[101] == 701);
  CHECK(of_b[79] == 80);
  CHECK(of_b[80] == 500);
  cache->release(a);
  CHECK(content(*cache, b) == of_b);
  cache->release(b);
  CHECK(cache->free_blocks() == 4);
}

TEST_CASE("a full cache says so and stays as it was") {
  const auto cache = make_cache(2);
  const auto a = cache->add_sequence();
  append(*cache, a, 64, 1);
  const auto too_much = cache->extend(a, 65);
  REQUIRE_FALSE(too_much);
  CHECK(too_much.error().code == Errc::kMemory);
  CHECK(cache->length(a) == 64);
  CHECK(cache->free_blocks() == 1);
  CHECK(cache->extend(a, 64));
}

TEST_CASE("random forks, truncations and appends agree with plain vectors") {
  const auto cache = make_cache(64);
  std::map<LatentCache::Sequence, std::vector<float>> model;
  std::mt19937 random(1);
  const auto pick = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  float next = 0;
  for (int round = 0; round < 400; ++round) {
    CAPTURE(round);
    const int what = pick(4);
    if (model.empty() || (what == 0 && model.size() < 6)) {
      model[cache->add_sequence()] = {};
      continue;
    }
    auto it = std::next(model.begin(), pick(static_cast<int>(model.size())));
    auto& [sequence, values] = *it;
    if (what == 1) {
      const int n = pick(90);
      if (cache->free_blocks() < n / 64 + 3) continue;
      append(*cache, sequence, n, next);
      for (int i = 0; i < n; ++i) values.push_back(next + static_cast<float>(i));
      next += 100;
    } else if (what == 2) {
      const int n = pick(static_cast<int>(values.size()) + 1);
      cache->truncate(sequence, n);
      values.resize(static_cast<size_t>(n));
    } else if (model.size() < 6) {
      const int n = pick(static_cast<int>(values.size()) + 1);
      const std::vector<float> head(values.begin(), values.begin() + n);
      model[cache->fork(sequence, n)] = head;
    } else {
      cache->release(sequence);
      model.erase(it);
    }
    for (const auto& [s, expected] : model) REQUIRE(content(*cache, s) == expected);
  }
  for (const auto& [s, expected] : model) cache->release(s);
  CHECK(cache->free_blocks() == 64);
}
