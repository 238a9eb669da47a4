// From the coarse grid to the image's grid.
#pragma once
#include "common/grid.h"

namespace hdseg {

enum class Interpolation : int32_t { kLinear = 0, kCubic = 1 };

// The samples of one axis around fine sample i.
inline Taps taps_for(Interpolation how, int64_t i, int64_t coarse, int64_t fine) {
  return how == Interpolation::kLinear ? linear_taps(i, coarse, fine) : cubic_taps(i, coarse, fine);
}

// A plane there: columns first, then rows, as the reference sums, so that ties fall alike.
inline double interpolate(const float* plane, const Grid& grid, const Taps& rows,
                          const Taps& columns) {
  double sum = 0.0;
  for (int i = 0; i < rows.count; ++i) {
    const float* row = plane + rows.index[i] * grid.width;
    double along = 0.0;
    for (int j = 0; j < columns.count; ++j) {
      along += columns.weight[j] * static_cast<double>(row[columns.index[j]]);
    }
    sum += rows.weight[i] * along;
  }
  return sum;
}

// Class indices T are uint8_t or uint16_t.

// Nearest neighbour, half-pixel centres.
template <class T>
void upsample_labels(const T* coarse, const Grid& from, T* fine, const Grid& to);

// Index of the largest interpolated plane; the first one wins a tie. planes: (classes, from).
template <class T>
void upsample_argmax(const float* planes, int64_t classes, const Grid& from, Interpolation how,
                     T* fine, const Grid& to);

// All planes interpolated at some pixels of the fine grid: (count, classes).
void sample_planes(const float* planes, int64_t classes, const Grid& from, Interpolation how,
                   const int64_t* pixels, int64_t count, double* samples, const Grid& to);

}  // namespace hdseg
