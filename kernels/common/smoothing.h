// Means of moments over ever narrower windows: what is known of a class's colours around a place.
#pragma once
#include "cells.h"

namespace hdseg {

// Box filters along each axis: nearly a Gaussian. A window knows of windows so many radii away.
constexpr int64_t kBoxPasses = 3;

// For each of kLanes entries side by side the mean of the 2 radius + 1 that are `stride` apart, of
// which those `before` and `behind` are not 0: in float64 and in ascending order, because a running
// sum would depend on where it began. share: 1 / (2 radius + 1).
template <int kLanes>
HDSEG_FN void box_means(const float* in, int64_t before, int64_t behind, int64_t stride,
                        double share, float* out) {
  double sum[kLanes] = {};
  for (int64_t i = -before; i <= behind; ++i) {
    for (int k = 0; k < kLanes; ++k) sum[k] += static_cast<double>(in[i * stride + k]);
  }
  for (int k = 0; k < kLanes; ++k) out[k] = static_cast<float>(sum[k] * share);
}

// Moment q where nothing is known of a class: that of the whole picture, whose colours have been
// standardised. Mean 0, covariance I.
HDSEG_FN double standard_moment(int64_t q, int64_t channels) {
  int64_t square = 1 + channels;  // of x_i x_i
  for (int64_t i = 0; i < channels; ++i) {
    if (q == square) return 1.0;
    square += channels - i;
  }
  return q == 0 ? 1.0 : 0.0;
}

// A moment after narrower windows have spoken, which have `found` of it and `pixels` of the class.
HDSEG_FN double shrunken(float found, float pixels, double prior, double mean) {
  const double share = 1.0 / (static_cast<double>(pixels) + prior);
  return (static_cast<double>(found) + prior * mean) * share;
}

}  // namespace hdseg
