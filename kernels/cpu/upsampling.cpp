#include "cpu/upsampling.h"

#include <vector>

namespace hdseg {
namespace {

Taps taps_for(Interpolation how, int64_t i, int64_t coarse, int64_t fine) {
  return how == Interpolation::kLinear ? linear_taps(i, coarse, fine) : cubic_taps(i, coarse, fine);
}

// Columns first, then rows: the reference sums in the same order, so ties fall alike.
double interpolate(const float* plane, const Grid& grid, const Taps& rows, const Taps& columns) {
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

}  // namespace

void upsample_labels(const int32_t* coarse, const Grid& from, int32_t* fine, const Grid& to) {
#pragma omp parallel for schedule(static)
  for (int64_t y = 0; y < to.height; ++y) {
    const int32_t* row = coarse + nearest(y, from.height, to.height) * from.width;
    for (int64_t x = 0; x < to.width; ++x) {
      fine[y * to.width + x] = row[nearest(x, from.width, to.width)];
    }
  }
}

void upsample_argmax(const float* planes, int64_t classes, const Grid& from, Interpolation how,
                     int32_t* fine, const Grid& to) {
  std::vector<Taps> columns(static_cast<size_t>(to.width));
  for (int64_t x = 0; x < to.width; ++x) {
    columns[static_cast<size_t>(x)] = taps_for(how, x, from.width, to.width);
  }
#pragma omp parallel for schedule(static)
  for (int64_t y = 0; y < to.height; ++y) {
    const Taps rows = taps_for(how, y, from.height, to.height);
    for (int64_t x = 0; x < to.width; ++x) {
      int32_t best = 0;
      double largest = 0.0;
      for (int64_t k = 0; k < classes; ++k) {
        const double value = interpolate(planes + k * from.height * from.width, from, rows,
                                         columns[static_cast<size_t>(x)]);
        if (k == 0 || value > largest) {
          largest = value;
          best = static_cast<int32_t>(k);
        }
      }
      fine[y * to.width + x] = best;
    }
  }
}

void sample_planes(const float* planes, int64_t classes, const Grid& from, Interpolation how,
                   const int64_t* pixels, int64_t count, double* samples, const Grid& to) {
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < count; ++i) {
    const Taps rows = taps_for(how, pixels[i] / to.width, from.height, to.height);
    const Taps columns = taps_for(how, pixels[i] % to.width, from.width, to.width);
    for (int64_t k = 0; k < classes; ++k) {
      samples[i * classes + k] =
          interpolate(planes + k * from.height * from.width, from, rows, columns);
    }
  }
}

}  // namespace hdseg
