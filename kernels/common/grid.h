// Pixel grids: where a fine pixel lies on a coarse grid, and the four neighbours of a pixel.
#pragma once
#include "portable.h"

namespace hdseg {

// Row-major image of height x width pixels; pixel indices are 64-bit everywhere.
struct Grid {
  int64_t height, width;
};

// The order of the four neighbours is that of their pixel indices: north, west, east, south.
constexpr int kNeighbours = 4;

// Pixel index of neighbour k, or -1 outside the image.
HDSEG_FN int64_t neighbour(const Grid& grid, int64_t pixel, int k) {
  const int64_t x = pixel % grid.width;
  switch (k) {
    case 0:
      return pixel >= grid.width ? pixel - grid.width : -1;
    case 1:
      return x > 0 ? pixel - 1 : -1;
    case 2:
      return x + 1 < grid.width ? pixel + 1 : -1;
    default:
      return pixel + grid.width < grid.height * grid.width ? pixel + grid.width : -1;
  }
}

// Nearest neighbour with half-pixel centres, floor((i + 1/2) * coarse / fine), in exact integers.
HDSEG_FN int64_t nearest(int64_t i, int64_t coarse, int64_t fine) {
  return (2 * i + 1) * coarse / (2 * fine);
}

// Samples of the coarse grid and their weights that make up one fine sample.
struct Taps {
  int64_t index[4];
  double weight[4];
  int count;
};

// The `count` coarse samples around fine sample i, half-pixel centres, edge samples repeated.
// t is the position between the middle two. The weights are left to the caller.
HDSEG_FN Taps taps_around(int64_t i, int64_t coarse, int64_t fine, int count, double* t) {
  const double position =
      (static_cast<double>(i) + 0.5) * static_cast<double>(coarse) / static_cast<double>(fine) -
      0.5;
  const double base = floor(position);
  *t = position - base;
  Taps taps{};
  taps.count = count;
  for (int k = 0; k < count; ++k) {
    const int64_t j = static_cast<int64_t>(base) + 1 - count / 2 + k, last = coarse - 1;
    taps.index[k] = j < 0 ? 0 : (j > last ? last : j);
  }
  return taps;
}

// Linear interpolation.
HDSEG_FN Taps linear_taps(int64_t i, int64_t coarse, int64_t fine) {
  double t;
  Taps taps = taps_around(i, coarse, fine, 2, &t);
  taps.weight[0] = 1.0 - t;
  taps.weight[1] = t;
  return taps;
}

// Cubic convolution with a = -1/2 (Keys 1981).
HDSEG_FN Taps cubic_taps(int64_t i, int64_t coarse, int64_t fine) {
  double t;
  Taps taps = taps_around(i, coarse, fine, 4, &t);
  taps.weight[0] = ((-0.5 * t + 1.0) * t - 0.5) * t;
  taps.weight[1] = (1.5 * t - 2.5) * t * t + 1.0;
  taps.weight[2] = ((-1.5 * t + 2.0) * t + 0.5) * t;
  taps.weight[3] = (0.5 * t - 0.5) * t * t;
  return taps;
}

}  // namespace hdseg
