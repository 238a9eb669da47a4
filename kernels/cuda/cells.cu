// From pixels to cells; common/cells.h says what they are. And what counts cells or classes.
#include "common/cells.h"
#include "cuda/positions.h"

namespace hdseg {

constexpr int64_t kStaged = 64;         // values of a row of a cell that a warp reads at once
constexpr int64_t kPixelsAtOnce = 16;   // and pixels, at most
constexpr int64_t kLane = kStaged | 1;  // odd: lanes meet no other's bank
constexpr int64_t kWarps = 4;           // of a block, for its static shared memory

// Reads `piece` pixels of one row for each of a warp's cells, standardised in float64 as the
// contract has it: staged[lane][pixel][channel]. What is beyond the border is 0 and adds nothing.
template <class T>
__device__ void stage(const T* row, int64_t x, int64_t cell, int64_t width, int64_t piece,
                      int64_t channels, const double* center, double scale, float* staged) {
  for (int64_t lane = 0; lane < kWarp; ++lane, x += cell) {
    const int64_t left = width - x, present = left < 0 ? 0 : (left < piece ? left : piece);
    const T* from = row + x * channels;
    for (int64_t k = lane_of(); k < piece * channels; k += kWarp) {
      staged[lane * kLane + k] =
          k < present * channels
              ? standardised(static_cast<double>(from[k]),
                             center[static_cast<uint32_t>(k) % static_cast<uint32_t>(channels)],
                             scale)
              : 0.0f;
    }
  }
}

// A warp sums 32 cells side by side, a thread each cell, pixel after pixel. Reads the image once,
// writes moments once. kChannels: 0 where it is not known to the compiler.
template <class T, int64_t kChannels>
__device__ void cell_moments(const T* image, int64_t height, int64_t width, int64_t channels,
                             int64_t cell, const double* center, double scale, float* moments) {
  __shared__ float of_block[kWarps * kWarp * kLane];
  float* staged = of_block + threadIdx.x / kWarp * kWarp * kLane;
  const int64_t known = kChannels > 0 ? kChannels : channels;
  constexpr int64_t kMost = moment_count(kChannels > 0 ? kChannels : kMostChannels);
  const int64_t count = moment_count(known), room = kStaged / known;
  const int64_t at_once = room < kPixelsAtOnce ? room : kPixelsAtOnce;
  const Grid cells = cells_of({height, width}, cell);
  const int64_t across = (cells.width + kWarp - 1) / kWarp;
  for (int64_t w = first_item() / kWarp; w < across * cells.height; w += item_step() / kWarp) {
    const int64_t top = w / across * cell, x = w % across * kWarp;
    const int64_t bottom = top + cell < height ? top + cell : height;
    const int64_t wide = cell < width ? cell : width;
    float sums[kMost - 1];
    for (int64_t m = 0; m < kMost - 1; ++m) sums[m] = 0.0f;
    for (int64_t y = top; y < bottom; ++y) {
      for (int64_t p = 0; p < wide; p += at_once) {
        const int64_t piece = wide - p < at_once ? wide - p : at_once;
        __syncwarp();
        stage(image + y * width * known, x * cell + p, cell, width, piece, known, center, scale,
              staged);
        __syncwarp();
        const float* mine = staged + lane_of() * kLane;
        for (int64_t k = 0; k < piece; ++k) add_moments<1>(mine + k * known, known, sums);
      }
    }
    if (x + lane_of() >= cells.width) continue;
    const int64_t left = (x + lane_of()) * cell;
    float* to = moments + (w / across * cells.width + x + lane_of()) * count;
    to[0] = static_cast<float>((bottom - top) * (left + cell < width ? cell : width - left));
    for (int64_t m = 1; m < kMost; ++m) {
      if (m < count) to[m] = sums[m - 1];
    }
  }
}

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
    const uint32_t other = __shfl_xor_sync(kAllLanes, value, step);
    value = other < value ? other : value;
  }
  return value;
}

template <int kLanes>
__device__ uint32_t over_lanes_sum(uint32_t value) {
  for (int step = kLanes / 2; step > 0; step /= 2) value += __shfl_xor_sync(kAllLanes, value, step);
  return value;
}

// Counts one label after the other, in ascending order: few cells have more than two. The pixels
// are spread over kLanes threads, all of a warp or one.
template <int kLanes, class T>
__device__ T most_frequent(const CellPixels<T>& pixels) {
  constexpr uint32_t kNone = 1u << 16;
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
      const uint32_t other = pixels[i];
      same += other == label;
      next = other > label && other < next ? other : next;
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

// kLanes threads for each cell: one for small cells, a warp for large ones.
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

// boxes (classes, 4): least and largest row, least and largest column. Most entries find that they
// change nothing: what they read may be old, but only ever less than what is there.
template <class T>
__device__ void class_boxes(const T* classes, int64_t height, int64_t width, int32_t* boxes) {
  for (int64_t i = first_item(); i < height * width; i += item_step()) {
    int32_t* box = boxes + 4 * static_cast<int64_t>(classes[i]);
    const auto down = static_cast<int32_t>(i / width), along = static_cast<int32_t>(i % width);
    if (down < box[0]) atomicMin(box, down);
    if (down > box[1]) atomicMax(box + 1, down);
    if (along < box[2]) atomicMin(box + 2, along);
    if (along > box[3]) atomicMax(box + 3, along);
  }
}

// A pixel's distance to the boundary, of its cell's to the next centre of another class.
__device__ inline float to_boundary(float distance, float cell) { return (distance - 0.5f) * cell; }

// Adds the lanes' votes for classes, those for the same class at once. All lanes must call.
__device__ inline void add_votes(bool votes, uint32_t k, uint64_t* counts) {
  uint32_t left = __ballot_sync(kAllLanes, votes);
  while (left != 0) {
    const int first = __ffs(static_cast<int>(left)) - 1;
    const uint32_t same = __ballot_sync(kAllLanes, votes && k == __shfl_sync(kAllLanes, k, first));
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

// counts (2, classes): a band's pixels near a boundary, and those that look like other classes.
template <class T>
__device__ void contradictions(const Runs& runs, int64_t size, const T* label, int64_t kept,
                               const T* classes, const float* distance, int64_t cell,
                               const Near& near, int64_t count, uint64_t* counts) {
  const int64_t across = cells_of(runs.grid, cell).width;
  each_position<true>(runs, size, [=](bool inside, int64_t run, int64_t i) {
    const int64_t pixel = inside ? pixel_at(runs, run, i) : 0;
    const int64_t y = pixel / runs.grid.width, x = pixel % runs.grid.width;
    const float away =
        to_boundary(distance[y / cell * across + x / cell], static_cast<float>(cell));
    const bool close = inside && away >= near.least && away < near.below;
    const uint32_t own = classes[pixel];
    add_votes(close, own, counts);
    add_votes(close && label[i * kept] != own + 1, own, counts + count);
  });
}

}  // namespace hdseg

#define HDSEG_MOMENT_KERNEL(T, suffix, channel_count, name)                                    \
  extern "C" __global__ void __launch_bounds__(128) cell_moments_##suffix##_##name(            \
      const T* image, int64_t height, int64_t width, int64_t channels, int64_t cell,           \
      const double* center, double scale, float* moments) {                                    \
    hdseg::cell_moments<T, channel_count>(image, height, width, channels, cell, center, scale, \
                                          moments);                                            \
  }
#define HDSEG_MOMENT_KERNELS(T, suffix) \
  HDSEG_MOMENT_KERNEL(T, suffix, 1, 1)  \
  HDSEG_MOMENT_KERNEL(T, suffix, 3, 3)  \
  HDSEG_MOMENT_KERNEL(T, suffix, 4, 4)  \
  HDSEG_MOMENT_KERNEL(T, suffix, 0, any)
HDSEG_MOMENT_KERNELS(uint8_t, u8)
HDSEG_MOMENT_KERNELS(uint16_t, u16)
HDSEG_MOMENT_KERNELS(float, f32)
HDSEG_MOMENT_KERNELS(double, f64)
#undef HDSEG_MOMENT_KERNELS
#undef HDSEG_MOMENT_KERNEL

#define HDSEG_CLASS_KERNELS(T, suffix)                                                             \
  extern "C" __global__ void small_cell_labels_##suffix(const T* labels, int64_t height,           \
                                                        int64_t width, int64_t cell, T* found) {   \
    hdseg::cell_labels<1>(labels, height, width, cell, found);                                     \
  }                                                                                                \
  extern "C" __global__ void large_cell_labels_##suffix(const T* labels, int64_t height,           \
                                                        int64_t width, int64_t cell, T* found) {   \
    hdseg::cell_labels<hdseg::kWarp>(labels, height, width, cell, found);                          \
  }                                                                                                \
  extern "C" __global__ void class_boxes_##suffix(const T* classes, int64_t height, int64_t width, \
                                                  int32_t* boxes) {                                \
    hdseg::class_boxes(classes, height, width, boxes);                                             \
  }                                                                                                \
  extern "C" __global__ void contradictions_##suffix(                                              \
      const int64_t* pixel, const int32_t* start, int64_t runs, int64_t size, int64_t height,      \
      int64_t width, const T* label, int64_t kept, const T* classes, const float* distance,        \
      int64_t cell, float least, float below, int64_t count, uint64_t* counts) {                   \
    hdseg::contradictions({{height, width}, pixel, start, runs}, size, label, kept, classes,       \
                          distance, cell, {least, below}, count, counts);                          \
  }
HDSEG_CLASS_KERNELS(uint8_t, u8)
HDSEG_CLASS_KERNELS(uint16_t, u16)
#undef HDSEG_CLASS_KERNELS

// tanh(log log1p(d) + linear d), d from a distance between centres of cells.
extern "C" __global__ void certainty(const float* distance, int64_t count, float log, float linear,
                                     float cell, float* sure) {
  for (int64_t i = hdseg::first_item(); i < count; i += hdseg::item_step()) {
    const float far = hdseg::to_boundary(distance[i] < 1e6f ? distance[i] : 1e6f, cell);
    const float d = far < 0.0f ? 0.0f : far;
    sure[i] = tanhf(log * log1pf(d) + linear * d);
  }
}
