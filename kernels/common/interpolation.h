// Interpolation between the samples of a coarse grid.
#pragma once
#include "grid.h"

namespace hdseg {

enum class Interpolation : int32_t { kLinear = 0, kCubic = 1 };

// The samples of one axis around fine sample i.
HDSEG_FN Taps taps_for(Interpolation how, int64_t i, int64_t coarse, int64_t fine) {
  return how == Interpolation::kLinear ? linear_taps(i, coarse, fine) : cubic_taps(i, coarse, fine);
}

// A plane there: columns first, then rows, as the reference sums, so that ties fall alike.
HDSEG_FN double interpolate(const float* plane, const Grid& grid, const Taps& rows,
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

}  // namespace hdseg
