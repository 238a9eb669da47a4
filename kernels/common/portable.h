// The only file that knows which compiler reads it: the host's, nvcc, or NVRTC at run time.
#pragma once

#if defined(__CUDACC__)
#define HDSEG_FN __host__ __device__ inline
#else
#define HDSEG_FN inline
#endif

#if defined(__CUDACC_RTC__)  // NVRTC has no standard headers and knows exp, floor and sqrt itself
using int8_t = signed char;
using int32_t = int;
using int64_t = long long;
using uint64_t = unsigned long long;
#else
#include <cmath>
#include <cstdint>
#endif
