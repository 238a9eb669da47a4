// Pixel grids, and interpolation from a coarse grid to a fine one.
#pragma once
#include "portable.h"

namespace hdseg {

// Row-major image of height x width pixels; pixel indices are 64-bit everywhere.
struct Grid {
  int64_t height, width;
};

// One axis of a window of the image and of a part of the coarse map. Interpolation depends on a
// sample's position in the whole image, not on the window or the part.
struct Axis {
  int64_t fine, coarse;  // samples of the whole image and of the whole map
  int64_t first;         // first sample of the window, in the image
  int64_t begin, count;  // samples of the map in the part

  // The index within the part of sample j of the whole map, clamped. A part has all samples that
  // its window needs, so clamping only repeats those at the map's border.
  HDSEG_FN int64_t in_part(int64_t j) const {
    const int64_t last = begin + count - 1;
    return (j < begin ? begin : (j > last ? last : j)) - begin;
  }
};

// The position of a window in the image, and of a part of the coarse map in the map.
struct GridMapping {
  Axis rows, columns;
  Grid window, part;
};
static_assert(sizeof(GridMapping) == 112);

// Nearest neighbour of sample i of a window, half-pixel centres: floor((i + 1/2) * coarse / fine),
// in exact integers.
HDSEG_FN int64_t nearest(int64_t i, const Axis& axis) {
  return axis.in_part((2 * (axis.first + i) + 1) * axis.coarse / (2 * axis.fine));
}

// The coarse samples, and their weights, from which one fine sample is interpolated.
struct Taps {
  int64_t index[4];
  double weight[4];
  int count;
};

// The `count` samples of the part around sample i of the window, half-pixel centres, edge samples
// repeated. t: position between the middle two. The caller sets the weights.
HDSEG_FN Taps taps_around(int64_t i, const Axis& axis, int count, double* t) {
  const double position = (static_cast<double>(axis.first + i) + 0.5) *
                              static_cast<double>(axis.coarse) / static_cast<double>(axis.fine) -
                          0.5;
  const double base = floor(position);
  *t = position - base;
  Taps taps{};
  taps.count = count;
  for (int k = 0; k < count; ++k) {
    taps.index[k] = axis.in_part(static_cast<int64_t>(base) + 1 - count / 2 + k);
  }
  return taps;
}

// Linear interpolation.
HDSEG_FN Taps linear_taps(int64_t i, const Axis& axis) {
  double t;
  Taps taps = taps_around(i, axis, 2, &t);
  taps.weight[0] = 1.0 - t;
  taps.weight[1] = t;
  return taps;
}

// Cubic convolution with a = -1/2 (Keys 1981).
HDSEG_FN Taps cubic_taps(int64_t i, const Axis& axis) {
  double t;
  Taps taps = taps_around(i, axis, 4, &t);
  taps.weight[0] = ((-0.5 * t + 1.0) * t - 0.5) * t;
  taps.weight[1] = (1.5 * t - 2.5) * t * t + 1.0;
  taps.weight[2] = ((-1.5 * t + 2.0) * t + 0.5) * t;
  taps.weight[3] = (0.5 * t - 0.5) * t * t;
  return taps;
}

enum class Interpolation : int32_t { kLinear = 0, kCubic = 1 };

// The samples of one axis around sample i of the window.
HDSEG_FN Taps taps_for(Interpolation how, int64_t i, const Axis& axis) {
  return how == Interpolation::kLinear ? linear_taps(i, axis) : cubic_taps(i, axis);
}

// Interpolates a coarse row at one fine column.
HDSEG_FN double along_row(const float* row, const Taps& columns) {
  double sum = 0.0;
  for (int j = 0; j < columns.count; ++j) {
    sum += columns.weight[j] * static_cast<double>(row[columns.index[j]]);
  }
  return sum;
}

// Interpolates a plane: columns first, then rows, in the reference's order of summation, so that
// ties are decided identically.
HDSEG_FN double interpolate(const float* plane, const Grid& grid, const Taps& rows,
                            const Taps& columns) {
  double sum = 0.0;
  for (int i = 0; i < rows.count; ++i) {
    sum += rows.weight[i] * along_row(plane + rows.index[i] * grid.width, columns);
  }
  return sum;
}

// The classes of the samples around a pixel, one for each pair of its taps.
template <class T>
struct NearbyClasses {
  T at[4][4];
  int rows, columns;
  T first;
  bool alike;  // whether all are equal to the first

  HDSEG_FN NearbyClasses(const T* classes, const Grid& grid, const Taps& down, const Taps& along)
      : rows(down.count),
        columns(along.count),
        first(classes[down.index[0] * grid.width + along.index[0]]),
        alike(true) {
    for (int i = 0; i < rows; ++i) {
      for (int j = 0; j < columns; ++j) {
        at[i][j] = classes[down.index[i] * grid.width + along.index[j]];
        alike = alike && at[i][j] == first;
      }
    }
  }

  // Writes the distinct classes in order of occurrence; returns their number.
  HDSEG_FN int distinct(T found[16]) const {
    int count = 0;
    for (int i = 0; i < rows; ++i) {
      for (int j = 0; j < columns; ++j) {
        const T k = at[i][j];
        bool known = false;
        for (int c = 0; c < count; ++c) known = known || found[c] == k;
        if (known) continue;
        found[count++] = k;
      }
    }
    return count;
  }
};

// The class whose interpolated indicator (1 where a sample has the class, else 0) is the largest;
// the lowest class wins ties. Classes not among the samples have 0, and as the indicators sum to 1,
// some other class has more.
template <class T>
HDSEG_FN T largest_class(const NearbyClasses<T>& near, const Taps& rows, const Taps& columns) {
  if (near.alike) return near.first;
  T found[16];
  const int count = near.distinct(found);
  double largest = 0.0;
  T best = found[0];
  for (int c = 0; c < count; ++c) {
    double value = 0.0;  // same order of summation as interpolate()
    for (int i = 0; i < rows.count; ++i) {
      double along = 0.0;
      for (int j = 0; j < columns.count; ++j) {
        along += columns.weight[j] * (near.at[i][j] == found[c] ? 1.0 : 0.0);
      }
      value += rows.weight[i] * along;
    }
    if (c == 0 || value > largest || (value == largest && found[c] < best)) {
      largest = value;
      best = found[c];
    }
  }
  return best;
}

}  // namespace hdseg
