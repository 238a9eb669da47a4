// Pixel grids, and where a pixel of one lies on another.
#pragma once
#include "portable.h"

namespace hdseg {

// Row-major image of height x width pixels; pixel indices are 64-bit everywhere.
struct Grid {
  int64_t height, width;
};

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

enum class Interpolation : int32_t { kLinear = 0, kCubic = 1 };

// The samples of one axis around fine sample i.
HDSEG_FN Taps taps_for(Interpolation how, int64_t i, int64_t coarse, int64_t fine) {
  return how == Interpolation::kLinear ? linear_taps(i, coarse, fine) : cubic_taps(i, coarse, fine);
}

// A coarse row at one fine column.
HDSEG_FN double along_row(const float* row, const Taps& columns) {
  double sum = 0.0;
  for (int j = 0; j < columns.count; ++j) {
    sum += columns.weight[j] * static_cast<double>(row[columns.index[j]]);
  }
  return sum;
}

// A plane there: columns first, then rows, as the reference sums, so that ties fall alike.
HDSEG_FN double interpolate(const float* plane, const Grid& grid, const Taps& rows,
                            const Taps& columns) {
  double sum = 0.0;
  for (int i = 0; i < rows.count; ++i) {
    sum += rows.weight[i] * along_row(plane + rows.index[i] * grid.width, columns);
  }
  return sum;
}

}  // namespace hdseg
