// The only file that depends on the compiler: the host's, nvcc, or NVRTC at run time.
#pragma once

#if defined(__CUDACC__)
#define HDSEG_FN __host__ __device__ inline
#else
#define HDSEG_FN inline
#endif

#if defined(__CUDACC_RTC__)  // NVRTC has no standard headers and knows exp, floor and sqrt itself
using int8_t = signed char;
using uint8_t = unsigned char;
using int32_t = int;
using int64_t = long long;
using uint16_t = unsigned short;
using uint32_t = unsigned int;
using uint64_t = unsigned long long;
#else
#include <cmath>
#include <cstdint>
#include <cstring>
#endif

namespace hdseg {

// Reinterprets bits as a float.
HDSEG_FN float float_of_bits(uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(bits);
#else
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
#endif
}

HDSEG_FN uint32_t bits_of_float(float value) {
#if defined(__CUDA_ARCH__)
  return __float_as_uint(value);
#else
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
#endif
}

HDSEG_FN uint64_t bits_of_double(double value) {
#if defined(__CUDA_ARCH__)
  return static_cast<uint64_t>(__double_as_longlong(value));
#else
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
#endif
}

}  // namespace hdseg
