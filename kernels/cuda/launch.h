// Helpers of all kernels: indices of threads, and reductions over blocks.
#pragma once
#include "common/portable.h"

// Dynamic shared memory, whose size the launch sets.
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

// Sums one value per thread of a block of at most 1024 threads, in a fixed order; thread 0 gets the
// sum. All threads must call. `scratch` holds 32 values.
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

// The largest value of a block's threads; all of them get it. `scratch` holds 32 values.
template <class T>
__device__ T block_max(T value, T* scratch) {
  for (int step = kWarp / 2; step > 0; step /= 2) {
    const T theirs = __shfl_xor_sync(kAllLanes, value, step);
    value = theirs > value ? theirs : value;
  }
  __syncthreads();  // the last use of scratch is over
  if (lane_of() == 0) scratch[threadIdx.x / kWarp] = value;
  __syncthreads();
  for (int w = 0; w < static_cast<int>(blockDim.x / kWarp); ++w) {
    value = scratch[w] > value ? scratch[w] : value;
  }
  return value;
}

// Whether this block is the last of `count` to arrive; it then sees all that the others have
// written. All threads must call. `arrived` is 0 before and after.
__device__ inline bool is_last_block(uint32_t* arrived, uint32_t count) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();  // all of this block's threads have written, and none still reads `last`
  if (threadIdx.x == 0) {
    last = atomicAdd(arrived, 1u) + 1 == count;
    if (last) *arrived = 0;
    __threadfence();
  }
  __syncthreads();
  return last;
}

// The sum of parts[0 .. count - 1] in a fixed order, for thread 0 of the block.
__device__ inline double sum_of(const double* parts, int64_t count, double* scratch) {
  double sum = 0.0;
  for (int64_t b = threadIdx.x; b < count; b += blockDim.x) sum += parts[b];
  return block_sum(sum, scratch);
}

}  // namespace hdseg
