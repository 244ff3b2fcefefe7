#include "backends/cpu/peak.h"

#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12's own AVX-512 headers start from an undefined register (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

// Each loop is compiled for its instruction set by attribute, and called only where it is there.
// The empty asm statements make the compiler believe that an operand changed: it can neither move
// the multiplications out of the loop nor do equal ones once.

namespace minke::cpu {
namespace {

/// Independent sums: enough to cover four or five cycles of latency on two ports. They begin with
/// different values, so that the compiler does not see one sum in them.
constexpr int kSums = 12;

#if defined(__x86_64__)

/// Products of tiles of 16 rows by 64 bytes, as tile registers hold them.
__attribute__((target("amx-tile,amx-int8"))) uint32_t amx(uint64_t rounds) noexcept {
  struct Config {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16};
  };
  // A constant: GCC 12 does not know that all of it is read.
  alignas(64) static constexpr Config config{};
  alignas(64) static constexpr uint8_t kFactor[1024] = {1, 2, 3, 4};
  alignas(64) uint32_t sums[256];
  _tile_loadconfig(&config);
  _tile_loadd(0, kFactor, 64);
  _tile_loadd(1, kFactor, 64);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  for (uint64_t i = 0; i < rounds; ++i) {
    _tile_dpbusd(2, 0, 1);
    _tile_dpbusd(3, 0, 1);
    _tile_dpbusd(4, 0, 1);
    _tile_dpbusd(5, 0, 1);
  }
  uint32_t all = 0;
  const auto add = [&] {
    for (const uint32_t sum : sums) all ^= sum;
  };
  _tile_stored(2, sums, 64);
  add();
  _tile_stored(3, sums, 64);
  add();
  _tile_stored(4, sums, 64);
  add();
  _tile_stored(5, sums, 64);
  add();
  _tile_release();
  return all;
}

__attribute__((target("avx512f,avx512vnni"))) uint32_t vnni512(uint64_t rounds) noexcept {
  __m512i sums[kSums];
  for (int i = 0; i < kSums; ++i) sums[i] = _mm512_set1_epi32(i * i);
  __m512i a = _mm512_set1_epi32(0x01020304), b = _mm512_set1_epi32(0x01010101);
  for (uint64_t i = 0; i < rounds; ++i) {
    asm volatile("" : "+v"(a), "+v"(b));
    for (__m512i& sum : sums) sum = _mm512_dpbusd_epi32(sum, a, b);
  }
  __m512i all = _mm512_setzero_si512();
  for (const __m512i& sum : sums) all = _mm512_xor_si512(all, sum);
  return static_cast<uint32_t>(_mm_cvtsi128_si32(_mm512_castsi512_si128(all)));
}

__attribute__((target("avx2,avxvnni"))) uint32_t vnni256(uint64_t rounds) noexcept {
  __m256i sums[kSums];
  for (int i = 0; i < kSums; ++i) sums[i] = _mm256_set1_epi32(i * i);
  __m256i a = _mm256_set1_epi32(0x01020304), b = _mm256_set1_epi32(0x01010101);
  for (uint64_t i = 0; i < rounds; ++i) {
    asm volatile("" : "+x"(a), "+x"(b));
    for (__m256i& sum : sums) sum = _mm256_dpbusd_avx_epi32(sum, a, b);
  }
  __m256i all = _mm256_setzero_si256();
  for (const __m256i& sum : sums) all = _mm256_xor_si256(all, sum);
  return static_cast<uint32_t>(_mm_cvtsi128_si32(_mm256_castsi256_si128(all)));
}

__attribute__((target("avx512f,avx512bw"))) uint32_t madd512(uint64_t rounds) noexcept {
  __m512i sums[kSums];
  for (int i = 0; i < kSums; ++i) sums[i] = _mm512_set1_epi32(i * i);
  __m512i a = _mm512_set1_epi32(0x01020304), b = _mm512_set1_epi32(0x01010101);
  const __m512i ones = _mm512_set1_epi16(1);
  for (uint64_t i = 0; i < rounds; ++i) {
    for (__m512i& sum : sums) {
      asm volatile("" : "+v"(a));
      sum = _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_maddubs_epi16(a, b), ones));
    }
  }
  __m512i all = _mm512_setzero_si512();
  for (const __m512i& sum : sums) all = _mm512_xor_si512(all, sum);
  return static_cast<uint32_t>(_mm_cvtsi128_si32(_mm512_castsi512_si128(all)));
}

__attribute__((target("avx2"))) uint32_t madd256(uint64_t rounds) noexcept {
  __m256i sums[kSums];
  for (int i = 0; i < kSums; ++i) sums[i] = _mm256_set1_epi32(i * i);
  __m256i a = _mm256_set1_epi32(0x01020304), b = _mm256_set1_epi32(0x01010101);
  const __m256i ones = _mm256_set1_epi16(1);
  for (uint64_t i = 0; i < rounds; ++i) {
    for (__m256i& sum : sums) {
      asm volatile("" : "+x"(a));
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones));
    }
  }
  __m256i all = _mm256_setzero_si256();
  for (const __m256i& sum : sums) all = _mm256_xor_si256(all, sum);
  return static_cast<uint32_t>(_mm_cvtsi128_si32(_mm256_castsi256_si128(all)));
}

/// The baseline has no product of bytes; this one works on 16-bit values.
uint32_t madd128(uint64_t rounds) noexcept {
  __m128i sums[kSums];
  for (int i = 0; i < kSums; ++i) sums[i] = _mm_set1_epi32(i * i);
  __m128i a = _mm_set1_epi32(0x00010002), b = _mm_set1_epi32(0x00010001);
  for (uint64_t i = 0; i < rounds; ++i) {
    for (__m128i& sum : sums) {
      asm volatile("" : "+x"(a));
      sum = _mm_add_epi32(sum, _mm_madd_epi16(a, b));
    }
  }
  __m128i all = _mm_setzero_si128();
  for (const __m128i& sum : sums) all = _mm_xor_si128(all, sum);
  return static_cast<uint32_t>(_mm_cvtsi128_si32(all));
}

__attribute__((target("avx512f"))) uint64_t read512(const std::byte* data, size_t n) noexcept {
  __m512i sums[4] = {};
  for (size_t i = 0; i < n; i += 256)
    for (size_t j = 0; j < 4; ++j)
      sums[j] = _mm512_xor_si512(sums[j], _mm512_load_si512(data + i + 64 * j));
  const __m512i all =
      _mm512_xor_si512(_mm512_xor_si512(sums[0], sums[1]), _mm512_xor_si512(sums[2], sums[3]));
  return static_cast<uint64_t>(_mm_cvtsi128_si64(_mm512_castsi512_si128(all)));
}

__attribute__((target("avx2"))) uint64_t read256(const std::byte* data, size_t n) noexcept {
  __m256i sums[4] = {};
  for (size_t i = 0; i < n; i += 128)
    for (size_t j = 0; j < 4; ++j)
      sums[j] = _mm256_xor_si256(
          sums[j], _mm256_load_si256(reinterpret_cast<const __m256i*>(data + i + 32 * j)));
  const __m256i all =
      _mm256_xor_si256(_mm256_xor_si256(sums[0], sums[1]), _mm256_xor_si256(sums[2], sums[3]));
  return static_cast<uint64_t>(_mm_cvtsi128_si64(_mm256_castsi256_si128(all)));
}

#elif defined(__aarch64__)

// Clang 14 declares this intrinsic only where the whole file is compiled for it.
#if !defined(__clang__) || defined(__ARM_FEATURE_DOTPROD)
#define MINKE_PEAK_DOTPROD 1
__attribute__((target("arch=armv8.2-a+dotprod"))) uint32_t sdot128(uint64_t rounds) noexcept {
  int32x4_t sums[kSums];
  for (int i = 0; i < kSums; ++i) sums[i] = vdupq_n_s32(i * i);
  int8x16_t a = vdupq_n_s8(3);
  const int8x16_t b = vdupq_n_s8(1);
  for (uint64_t i = 0; i < rounds; ++i) {
    asm volatile("" : "+w"(a));
    for (int32x4_t& sum : sums) sum = vdotq_s32(sum, a, b);
  }
  int32x4_t all = vdupq_n_s32(0);
  for (const int32x4_t& sum : sums) all = veorq_s32(all, sum);
  return static_cast<uint32_t>(vgetq_lane_s32(all, 0));
}
#endif

uint32_t smull128(uint64_t rounds) noexcept {
  int32x4_t sums[kSums];
  for (int i = 0; i < kSums; ++i) sums[i] = vdupq_n_s32(i * i);
  int8x8_t a = vdup_n_s8(3);
  const int8x8_t b = vdup_n_s8(1);
  for (uint64_t i = 0; i < rounds; ++i) {
    for (int32x4_t& sum : sums) {
      asm volatile("" : "+w"(a));
      sum = vpadalq_s16(sum, vmull_s8(a, b));
    }
  }
  int32x4_t all = vdupq_n_s32(0);
  for (const int32x4_t& sum : sums) all = veorq_s32(all, sum);
  return static_cast<uint32_t>(vgetq_lane_s32(all, 0));
}

#endif

/// What any compiler makes of it, of the baseline: 16 bytes at a time on x86 and Arm.
uint64_t read_plain(const std::byte* data, size_t n) noexcept {
  uint64_t sums[8] = {};
  const auto* words = reinterpret_cast<const uint64_t*>(data);
  for (size_t i = 0; i < n / sizeof(uint64_t); i += 8)
    for (size_t j = 0; j < 8; ++j) sums[j] ^= words[i + j];
  return sums[0] ^ sums[1] ^ sums[2] ^ sums[3] ^ sums[4] ^ sums[5] ^ sums[6] ^ sums[7];
}

#if !defined(__x86_64__) && !defined(__aarch64__)
uint32_t plain_products(uint64_t rounds) noexcept {
  uint32_t sums[kSums], a = 3;
  for (uint32_t i = 0; i < kSums; ++i) sums[i] = i * i;
  for (uint64_t i = 0; i < rounds; ++i)
    for (uint32_t& sum : sums) {
      asm volatile("" : "+r"(a));
      sum += a * 5;
    }
  uint32_t all = 0;
  for (const uint32_t sum : sums) all ^= sum;
  return all;
}
#endif

}  // namespace

PeakLoop peak_loop(std::string_view isa) noexcept {
#if defined(__x86_64__)
  if (isa == "amx") return {"tdpbusd, 16 x 64 bytes by 16", 4 * 16 * 64 * 16, amx};
  if (isa == "avx512vnni") return {"vpdpbusd, 512 bit", 64 * kSums, vnni512};
  if (isa == "avxvnni") return {"vpdpbusd, 256 bit", 32 * kSums, vnni256};
  if (isa == "avx512") return {"vpmaddubsw + vpmaddwd, 512 bit", 64 * kSums, madd512};
  if (isa == "avx2") return {"vpmaddubsw + vpmaddwd, 256 bit", 32 * kSums, madd256};
  return {"pmaddwd, 128 bit", 8 * kSums, madd128};
#elif defined(__aarch64__)
#if defined(MINKE_PEAK_DOTPROD)
  if (isa == "dotprod" || isa == "i8mm") return {"sdot, 128 bit", 16 * kSums, sdot128};
#endif
  return {"smull + sadalp, 128 bit", 8 * kSums, smull128};
#else
  return {"scalar", kSums, plain_products};
#endif
}

uint64_t read_once(std::string_view isa, const std::byte* data, size_t n) noexcept {
#if defined(__x86_64__)
  if (isa.starts_with("avx512") || isa == "amx") return read512(data, n);
  if (isa == "avx2" || isa == "avxvnni") return read256(data, n);
#else
  static_cast<void>(isa);
#endif
  return read_plain(data, n);
}

}  // namespace minke::cpu
