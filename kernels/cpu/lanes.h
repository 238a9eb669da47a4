// Words of several rows side by side: one register of the instruction set, or a few.
#pragma once
#include <cstring>

#include "common/portable.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace hdseg {

#if defined(__AVX512F__)
constexpr int kRegisterBytes = 64;
#elif defined(__AVX2__)
constexpr int kRegisterBytes = 32;
#else
constexpr int kRegisterBytes = 16;
#endif

// kLanes words; the compilers' vector types keep them in registers.
struct Lanes {
  typedef uint64_t Register __attribute__((vector_size(kRegisterBytes)));
  static constexpr int kWords = kRegisterBytes / 8;
  static constexpr int kRegisters = 1;

  Register part[kRegisters];
};

constexpr int64_t kLanes = Lanes::kWords * Lanes::kRegisters;

template <class Operation>
inline Lanes lanewise(Operation operation) {
  Lanes result;
#pragma GCC unroll 8
  for (int i = 0; i < Lanes::kRegisters; ++i) result.part[i] = operation(i);
  return result;
}

inline Lanes operator|(const Lanes& a, const Lanes& b) {
  return lanewise([&](int i) { return a.part[i] | b.part[i]; });
}
inline Lanes operator&(const Lanes& a, const Lanes& b) {
  return lanewise([&](int i) { return a.part[i] & b.part[i]; });
}
inline Lanes operator~(const Lanes& a) {
  return lanewise([&](int i) { return ~a.part[i]; });
}
inline Lanes operator^(const Lanes& a, uint64_t b) {
  return lanewise([&](int i) { return a.part[i] ^ b; });
}
inline Lanes operator>>(const Lanes& a, int bits) {
  return lanewise([&](int i) { return a.part[i] >> bits; });
}
inline Lanes operator<<(const Lanes& a, int bits) {
  return lanewise([&](int i) { return a.part[i] << bits; });
}

inline Lanes broadcast(uint64_t word) { return Lanes{} ^ word; }

// The words need no alignment. (memcpy would go by way of the stack in GCC 12.)
inline Lanes load(const uint64_t* words) {
  typedef Lanes::Register Unaligned __attribute__((aligned(8), may_alias));
  const Unaligned* from = reinterpret_cast<const Unaligned*>(words);
  return lanewise([&](int i) { return from[i]; });
}

inline void store(const Lanes& lanes, uint64_t* words) { std::memcpy(words, &lanes, sizeof lanes); }

inline bool any(const Lanes& lanes) {
  Lanes::Register all = lanes.part[0];
  for (int i = 1; i < Lanes::kRegisters; ++i) all |= lanes.part[i];
#if defined(__AVX512F__)
  return _mm512_test_epi64_mask((__m512i)all, (__m512i)all) != 0;
#elif defined(__AVX2__)
  return _mm256_testz_si256((__m256i)all, (__m256i)all) == 0;
#else
  return (all[0] | all[1]) != 0;
#endif
}

}  // namespace hdseg
