// Cells: squares of pixels from the top left corner, each an entry of a coarser grid.
#pragma once
#include "grid.h"

namespace hdseg {

// The grid of cells; those of the last row and column may be cut off by the border.
HDSEG_FN Grid cells_of(const Grid& grid, int64_t cell) {
  return {(grid.height - 1) / cell + 1, (grid.width - 1) / cell + 1};
}

// Standardised values are clipped to this: larger squares would ruin variances in float32.
constexpr double kFarthest = 30.0;

// A channel's standardised value. Large offsets cancel before rounding to float32.
HDSEG_FN float standardised(double value, double center, double scale) {
  const double x = (value - center) * scale;
  return static_cast<float>(x < -kFarthest ? -kFarthest : (x > kFarthest ? kFarthest : x));
}

constexpr int64_t kMostChannels = 16;

// The number of moments up to the second: 1, x_i for each channel, x_i x_j for each pair i <= j.
HDSEG_FN constexpr int64_t moment_count(int64_t channels) {
  return (channels + 1) * (channels + 2) / 2;
}

// Adds x_i and x_i x_j to the moments after the first; each lane has its own pixel:
// x[channel][lane], sums[moment - 1][lane].
template <int kLanes>
HDSEG_FN void add_moments(const float* x, int64_t channels, float* sums) {
  for (int64_t k = 0; k < channels * kLanes; ++k) sums[k] += x[k];
  sums += channels * kLanes;
  for (int64_t i = 0; i < channels; ++i) {
    for (int64_t j = i; j < channels; ++j, sums += kLanes) {
      for (int k = 0; k < kLanes; ++k) sums[k] += x[i * kLanes + k] * x[j * kLanes + k];
    }
  }
}

}  // namespace hdseg
