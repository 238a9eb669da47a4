// The length and the raggedness of the boundary of a class map. The coarse map is small, so each
// pixel reads its whole window, from the cache.
#include "common/grid.h"
#include "common/window.h"
#include "cuda/launch.h"

namespace hdseg {

// The distances a <= b along the axes, in the order of kernels/cpu/detail.cpp.
constexpr int kRings = (kWindowReach + 1) * (kWindowReach + 2) / 2;

__device__ constexpr int ring_of(int dy, int dx) {
  const int v = dy < 0 ? -dy : dy, u = dx < 0 ? -dx : dx;
  const int a = v < u ? v : u, b = v < u ? u : v;
  return a * (static_cast<int>(kWindowReach) + 1) - a * (a - 1) / 2 + b - a;
}

// Counts the pixels of each ring with the class of the central one.
template <class T>
__device__ void count_window(const T* labels, const Grid& grid, int64_t y, int64_t x, int* same) {
  constexpr int kReach = static_cast<int>(kWindowReach);
  const T own = labels[y * grid.width + x];
  for (int r = 0; r < kRings; ++r) same[r] = 0;
#pragma unroll
  for (int dy = -kReach; dy <= kReach; ++dy) {
    const int64_t v = y + dy < 0 ? 0 : (y + dy < grid.height ? y + dy : grid.height - 1);
    const T* row = labels + v * grid.width;
#pragma unroll
    for (int dx = -kReach; dx <= kReach; ++dx) {
      const int64_t u = x + dx < 0 ? 0 : (x + dx < grid.width ? x + dx : grid.width - 1);
      same[ring_of(dy, dx)] += row[u] == own;
    }
  }
}

// found: flips and edges. Weights are float64.
template <class T>
__device__ void boundary_detail(const T* labels, const Grid& grid, uint64_t* found) {
  __shared__ double weights[kRings];
  __shared__ uint64_t scratch[kWarp];
  if (threadIdx.x <= kWindowReach) {
    for (int64_t b = threadIdx.x; b <= kWindowReach; ++b) {
      const int a = static_cast<int>(threadIdx.x);
      weights[ring_of(a, static_cast<int>(b))] = window_weight(a, b);
    }
  }
  __syncthreads();
  uint64_t flips = 0, edges = 0;
  for (int64_t i = first_item(); i < grid.height * grid.width; i += item_step()) {
    const int64_t y = i / grid.width, x = i % grid.width;
    int same[kRings];
    count_window(labels, grid, y, x, same);
    double weight = 0.0, total = 0.0;
#pragma unroll
    for (int a = 0; a <= static_cast<int>(kWindowReach); ++a) {
#pragma unroll
      for (int b = a; b <= static_cast<int>(kWindowReach); ++b) {
        const double of_ring = weights[ring_of(a, b)];
        weight += of_ring * same[ring_of(a, b)];
        total += of_ring * ((a == 0 || a == b ? 4 : 8) - (b == 0 ? 3 : 0));
      }
    }
    flips += weight < total / 2.0;
    edges += x + 1 < grid.width && labels[i] != labels[i + 1];
    edges += y + 1 < grid.height && labels[i] != labels[i + grid.width];
  }
  flips = block_sum(flips, scratch);
  edges = block_sum(edges, scratch);
  if (threadIdx.x == 0) {
    auto* counts = reinterpret_cast<unsigned long long*>(found);
    atomicAdd(counts, static_cast<unsigned long long>(flips));
    atomicAdd(counts + 1, static_cast<unsigned long long>(edges));
  }
}

}  // namespace hdseg

#define HDSEG_DETAIL_KERNEL(T, suffix)                                                  \
  extern "C" __global__ void boundary_detail_##suffix(const T* labels, int64_t height,  \
                                                      int64_t width, uint64_t* found) { \
    hdseg::boundary_detail(labels, {height, width}, found);                             \
  }
HDSEG_DETAIL_KERNEL(uint8_t, u8)
HDSEG_DETAIL_KERNEL(uint16_t, u16)
HDSEG_DETAIL_KERNEL(uint32_t, u32)
#undef HDSEG_DETAIL_KERNEL
