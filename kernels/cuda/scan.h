// Where lists begin whose lengths are known: tile by tile, and the tiles (scan.cu).
#pragma once
#include "cuda/launch.h"

namespace hdseg {

constexpr int64_t kScanned = 4096;  // counts of a tile, as SCANNED in backends/cuda/kernels.py

__device__ __host__ inline int64_t scan_tiles(int64_t count) {
  return (count + kScanned - 1) / kScanned;
}

// What comes before each of `count` counts, which are rows of several.
struct Before {
  const int64_t* in_tile;  // (rows, count), within its tile
  const int64_t* tile;     // (rows, tiles + 1): before each tile, and all of them

  int64_t count;

  __device__ int64_t at(int64_t i, int64_t row = 0) const {
    const int64_t tiles = scan_tiles(count);
    if (i == count) return tile[row * (tiles + 1) + tiles];
    return in_tile[row * count + i] + tile[row * (tiles + 1) + i / kScanned];
  }
};

}  // namespace hdseg
