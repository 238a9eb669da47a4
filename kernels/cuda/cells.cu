// Classes of cells, and counts by class; see common/cells.h.
#include "common/cells.h"
#include "cuda/positions.h"

namespace hdseg {

// The pixels of one cell.
template <class T>
struct CellPixels {
  const T* first;
  int64_t stride;
  uint32_t across, count;

  __device__ T operator[](uint32_t i) const { return first[i / across * stride + i % across]; }
};

template <int kLanes>
__device__ uint32_t over_lanes_min(uint32_t value) {
  for (int step = kLanes / 2; step > 0; step /= 2) {
    const uint32_t shown = __shfl_xor_sync(kAllLanes, value, step);
    value = shown < value ? shown : value;
  }
  return value;
}

template <int kLanes>
__device__ uint32_t over_lanes_sum(uint32_t value) {
  for (int step = kLanes / 2; step > 0; step /= 2) value += __shfl_xor_sync(kAllLanes, value, step);
  return value;
}

// Counts one label after another, in ascending order, as few cells have more than two. The pixels
// are distributed over kLanes threads: a warp, or a single one.
template <int kLanes, class T>
__device__ T most_frequent(const CellPixels<T>& pixels) {
  constexpr uint32_t kNone = 1u << 17;
  const uint32_t lane = kLanes == 1 ? 0u : static_cast<uint32_t>(lane_of());
  uint32_t label = kNone;
  for (uint32_t i = lane; i < pixels.count; i += kLanes) {
    label = pixels[i] < label ? pixels[i] : label;
  }
  label = over_lanes_min<kLanes>(label);
  uint32_t best = label, most = 0, left = pixels.count;
  while (left > most) {
    uint32_t same = 0, next = kNone;
    for (uint32_t i = lane; i < pixels.count; i += kLanes) {
      const uint32_t found = pixels[i];
      same += found == label;
      next = found > label && found < next ? found : next;
    }
    same = over_lanes_sum<kLanes>(same);
    if (same > most) {
      most = same;
      best = label;
    }
    left -= same;
    label = over_lanes_min<kLanes>(next);
  }
  return static_cast<T>(best);
}

// Uses kLanes threads per cell: one for small cells, a warp for large ones.
template <int kLanes, class T>
__device__ void cell_labels(const T* labels, int64_t height, int64_t width, int64_t cell,
                            T* found) {
  const Grid cells = cells_of({height, width}, cell);
  for (int64_t c = first_item() / kLanes; c < cells.height * cells.width;
       c += item_step() / kLanes) {
    const int64_t top = c / cells.width * cell, left = c % cells.width * cell;
    const int64_t tall = top + cell < height ? cell : height - top;
    const int64_t wide = left + cell < width ? cell : width - left;
    const CellPixels<T> pixels{labels + top * width + left, width, static_cast<uint32_t>(wide),
                               static_cast<uint32_t>(tall * wide)};
    const T label = most_frequent<kLanes>(pixels);
    if (kLanes == 1 || lane_of() == 0) found[c] = label;
  }
}

// A pixel's distance to the boundary, from its cell's distance to the next cell of another class.
__device__ inline float to_boundary(float distance, float cell) { return (distance - 0.5f) * cell; }

// Adds the lanes' votes for classes, one atomic operation per class. All lanes must call.
__device__ inline void add_votes(bool votes, uint32_t k, uint64_t* counts) {
  uint32_t left = __ballot_sync(kAllLanes, votes);
  while (left != 0) {
    const int first = __ffs(static_cast<int>(left)) - 1;
    const uint32_t chosen = __shfl_sync(kAllLanes, k, first);
    const uint32_t same = __ballot_sync(kAllLanes, votes && k == chosen);
    if (lane_of() == first) {
      atomicAdd(reinterpret_cast<unsigned long long*>(counts) + k,
                static_cast<unsigned long long>(__popc(same)));
    }
    left &= ~same;
  }
}

struct Near {
  float least, below;
};
static_assert(sizeof(Near) == 8);

// The distances of cells, and the position of the band's window on the grid of cells.
struct Distances {
  const float* of_cells;
  int64_t width;  // cells per row
  int64_t cell, top, left;

  __device__ float at(int64_t row, int64_t column) const {
    const int64_t y = (top + row) / cell, x = (left + column) / cell;
    return to_boundary(of_cells[y * width + x], static_cast<float>(cell));
  }
};
static_assert(sizeof(Distances) == 40);

// counts (2, classes): a band's pixels near boundaries, and those with another class's colours.
template <class T>
__device__ void contradictions(const Band& band, int64_t size, const T* label, int64_t kept,
                               const T* classes, const Distances& distances, const Near& near,
                               int64_t count, uint64_t* counts) {
  each_position<true>(band, {0, size}, [=](bool inside, int64_t run, int64_t i) {
    const int64_t pixel = inside ? pixel_at(band, run, i) : 0;
    const float away = distances.at(pixel / band.grid.width, pixel % band.grid.width);
    const bool close = inside && away >= near.least && away < near.below;
    const uint32_t own = classes[pixel];
    add_votes(close, own, counts);
    add_votes(close && label[i * kept] != own + 1, own, counts + count);
  });
}

}  // namespace hdseg

#define HDSEG_CLASS_KERNELS(T, suffix)                                                           \
  extern "C" __global__ void small_cell_labels_##suffix(const T* labels, int64_t height,         \
                                                        int64_t width, int64_t cell, T* found) { \
    hdseg::cell_labels<1>(labels, height, width, cell, found);                                   \
  }                                                                                              \
  extern "C" __global__ void large_cell_labels_##suffix(const T* labels, int64_t height,         \
                                                        int64_t width, int64_t cell, T* found) { \
    hdseg::cell_labels<hdseg::kWarp>(labels, height, width, cell, found);                        \
  }                                                                                              \
  extern "C" __global__ void contradictions_##suffix(                                            \
      hdseg::Band band, int64_t size, const T* label, int64_t kept, const T* classes,            \
      hdseg::Distances distances, hdseg::Near near, int64_t count, uint64_t* counts) {           \
    hdseg::contradictions(band, size, label, kept, classes, distances, near, count, counts);     \
  }
HDSEG_CLASS_KERNELS(uint8_t, u8)
HDSEG_CLASS_KERNELS(uint16_t, u16)
HDSEG_CLASS_KERNELS(uint32_t, u32)
#undef HDSEG_CLASS_KERNELS

// tanh(log log1p(d) + linear d); d: distance to the boundary, from that between centres of cells.
extern "C" __global__ void confidence(const float* distance, int64_t count, float log, float linear,
                                      float cell, float* sure) {
  for (int64_t i = hdseg::first_item(); i < count; i += hdseg::item_step()) {
    const float far = hdseg::to_boundary(distance[i] < 1e6f ? distance[i] : 1e6f, cell);
    const float d = far < 0.0f ? 0.0f : far;
    sure[i] = tanhf(log * log1pf(d) + linear * d);
  }
}
