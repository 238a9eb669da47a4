// Prefix sums of counts, in one launch.
#include "cuda/scan.h"

namespace hdseg {

// The sum of the values of a block's earlier threads; *total: the sum of all. scratch: 33 values.
__device__ inline int64_t block_before(int64_t value, int64_t* scratch, int64_t* total) {
  int64_t sum = value;
  for (int step = 1; step < kWarp; step *= 2) {
    const int64_t shown = __shfl_up_sync(kAllLanes, sum, step);
    if (lane_of() >= step) sum += shown;
  }
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  __syncthreads();  // the last use of scratch is over
  if (lane_of() == kWarp - 1) scratch[warp] = sum;
  __syncthreads();
  if (threadIdx.x == 0) {
    int64_t before = 0;
    for (int w = 0; w < static_cast<int>(blockDim.x) / kWarp; ++w) {
      const int64_t of_warp = scratch[w];
      scratch[w] = before;
      before += of_warp;
    }
    scratch[kWarp] = before;
  }
  __syncthreads();
  *total = scratch[kWarp];
  return scratch[warp] + sum - value;
}

// Block (tile, row). The last block to finish adds up the tiles: each block writes its sum before
// it increments `done`, which is 0 on entry.
__device__ inline void scan(const int32_t* counts, int64_t count, int64_t* in_tile, int64_t* tile,
                            int64_t* done) {
  __shared__ int64_t scratch[kWarp + 1];
  const int64_t tiles = scan_tiles(count), row = blockIdx.y;
  const int64_t first = blockIdx.x * kScanned;
  const int64_t end = first + kScanned < count ? first + kScanned : count;
  int64_t before = 0;
  for (int64_t start = first; start < end; start += blockDim.x) {
    const int64_t i = start + threadIdx.x;
    int64_t total = 0;
    const int64_t here = block_before(i < end ? counts[row * count + i] : 0, scratch, &total);
    if (i < end) in_tile[row * count + i] = before + here;
    before += total;
  }
  if (threadIdx.x == 0) tile[row * (tiles + 1) + blockIdx.x] = before;
  if (!is_last_block(reinterpret_cast<uint32_t*>(done), gridDim.x * gridDim.y)) return;
  for (int64_t r = 0; r < static_cast<int64_t>(gridDim.y); ++r) {
    volatile int64_t* of_row = tile + r * (tiles + 1);
    before = 0;
    for (int64_t start = 0; start < tiles; start += blockDim.x) {
      const int64_t i = start + threadIdx.x;
      int64_t total = 0;
      const int64_t here = block_before(i < tiles ? of_row[i] : 0, scratch, &total);
      if (i < tiles) of_row[i] = before + here;
      before += total;
    }
    if (threadIdx.x == 0) of_row[tiles] = before;
  }
}

}  // namespace hdseg

extern "C" __global__ void scan(const int32_t* counts, int64_t count, int64_t* in_tile,
                                int64_t* tile, int64_t* done) {
  hdseg::scan(counts, count, in_tile, tile, done);
}
