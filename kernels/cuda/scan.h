// Prefix sums of counts, in two levels: within tiles, and over tiles (scan.cu).
#pragma once
#include "cuda/launch.h"

namespace hdseg {

constexpr int64_t kScanned = 4096;  // counts per tile, as SCANNED in backends/cuda/kernels.py

__device__ __host__ inline int64_t scan_tiles(int64_t count) {
  return (count + kScanned - 1) / kScanned;
}

// Exclusive prefix sums of `count` counts, for several rows of counts.
struct Before {
  const int64_t* in_tile;  // (rows, count): within the tile
  const int64_t* tile;     // (rows, tiles + 1): before each tile, and the total

  int64_t count;

  __device__ int64_t at(int64_t i, int64_t row = 0) const {
    const int64_t tiles = scan_tiles(count);
    if (i == count) return tile[row * (tiles + 1) + tiles];
    return in_tile[row * count + i] + tile[row * (tiles + 1) + i / kScanned];
  }
};
static_assert(sizeof(Before) == 24);

}  // namespace hdseg
