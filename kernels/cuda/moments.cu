// Sums of 1, x_i and x_i x_j over the pixels of each cell, see common/cells.h.
#include "common/cells.h"
#include "cuda/launch.h"

namespace hdseg {

constexpr int64_t kStaged = 64;         // values of a row of a cell that a warp reads at once
constexpr int64_t kPixelsAtOnce = 16;   // pixels read at once, at most
constexpr int64_t kLane = kStaged | 1;  // odd, to avoid bank conflicts
constexpr int64_t kWarps = 4;           // of a block, for its static shared memory

// Reads `piece` pixels of one row, from x on, for each of a warp's cells, standardised in float64:
// staged[lane][pixel][channel], 0 beyond the border.
template <class T>
__device__ void stage(const T* row, int64_t x, int64_t cell, int64_t width, int64_t piece,
                      int64_t channels, const double* center, double scale, float* staged) {
  const auto step = static_cast<uint32_t>(channels), values = static_cast<uint32_t>(piece) * step;
  for (uint32_t k = static_cast<uint32_t>(lane_of()); k < kWarp * values; k += kWarp) {
    const uint32_t lane = k / values, v = k % values;
    const int64_t first = x + lane * cell;
    staged[lane * kLane + v] =
        first + v / step < width
            ? standardised(static_cast<double>(row[first * channels + v]), center[v % step], scale)
            : 0.0f;
  }
}

// A warp sums 32 adjacent cells, one thread per cell, pixel by pixel. Reads the image once, writes
// moments once. kChannels: 0 if only known at run time.
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
#pragma unroll 1
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

// Numbers of channels known at compile time; 0: any.
constexpr int64_t k_1 = 1, k_3 = 3, k_any = 0;

}  // namespace hdseg

#define HDSEG_MOMENT_KERNEL(T, suffix, name)                                                     \
  extern "C" __global__ void cell_moments_##suffix##_##name(                                     \
      const T* image, int64_t height, int64_t width, int64_t channels, int64_t cell,             \
      const double* center, double scale, float* moments) {                                      \
    hdseg::cell_moments<T, hdseg::k_##name>(image, height, width, channels, cell, center, scale, \
                                            moments);                                            \
  }
HDSEG_MOMENT_KERNEL(uint8_t, u8, 1)
HDSEG_MOMENT_KERNEL(uint8_t, u8, 3)
HDSEG_MOMENT_KERNEL(uint8_t, u8, any)
HDSEG_MOMENT_KERNEL(uint16_t, u16, 1)
HDSEG_MOMENT_KERNEL(uint16_t, u16, 3)
HDSEG_MOMENT_KERNEL(uint16_t, u16, any)
HDSEG_MOMENT_KERNEL(float, f32, 1)
HDSEG_MOMENT_KERNEL(float, f32, 3)
HDSEG_MOMENT_KERNEL(float, f32, any)
HDSEG_MOMENT_KERNEL(double, f64, 1)
HDSEG_MOMENT_KERNEL(double, f64, 3)
HDSEG_MOMENT_KERNEL(double, f64, any)
#undef HDSEG_MOMENT_KERNEL
