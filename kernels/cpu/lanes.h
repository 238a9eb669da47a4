// A vector of words of consecutive rows: one register of the instruction set.
#pragma once
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

// The compilers' vector type: operators work word by word.
typedef uint64_t Lanes __attribute__((vector_size(kRegisterBytes)));
constexpr int64_t kLanes = kRegisterBytes / 8;

// The same in memory, unaligned. (GCC 12 would copy by way of the stack for memcpy.)
typedef Lanes UnalignedLanes __attribute__((aligned(8), may_alias));

inline Lanes load(const uint64_t* words) { return *reinterpret_cast<const UnalignedLanes*>(words); }

inline void store(const Lanes& lanes, uint64_t* words) {
  *reinterpret_cast<UnalignedLanes*>(words) = lanes;
}

inline bool any(const Lanes& lanes) {
#if defined(__AVX512F__)
  return _mm512_test_epi64_mask((__m512i)lanes, (__m512i)lanes) != 0;
#elif defined(__AVX2__)
  return _mm256_testz_si256((__m256i)lanes, (__m256i)lanes) == 0;
#else
  return (lanes[0] | lanes[1]) != 0;
#endif
}

}  // namespace hdseg
