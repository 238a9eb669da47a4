// What all kernels share: which thread this is, and how blocks agree on something.
#pragma once
#include "common/portable.h"

// Shared memory of the size that the launch asks for.
#ifndef HDSEG_DYNAMIC_SHARED
#define HDSEG_DYNAMIC_SHARED(T, name) extern __shared__ T name[]
#endif

namespace hdseg {

constexpr int kWarp = 32;
constexpr uint32_t kAllLanes = 0xffffffffu;

// Grid-stride loops: for (i = first_item(); i < count; i += item_step()).
__device__ inline int64_t first_item() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

__device__ inline int64_t item_step() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

__device__ inline int lane_of() { return static_cast<int>(threadIdx.x % kWarp); }

// Adds up one value of each thread of a block of at most 1024 threads, in an order that does not
// depend on timing; thread 0 gets the sum. All threads must call. `scratch` holds 32 values.
template <class T>
__device__ T block_sum(T value, T* scratch) {
  for (int step = kWarp / 2; step > 0; step /= 2) value += __shfl_down_sync(kAllLanes, value, step);
  __syncthreads();  // the last use of scratch is over
  if (lane_of() == 0) scratch[threadIdx.x / kWarp] = value;
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int w = 1; w < static_cast<int>((blockDim.x + kWarp - 1) / kWarp); ++w) {
      value += scratch[w];
    }
  }
  return value;
}

}  // namespace hdseg
