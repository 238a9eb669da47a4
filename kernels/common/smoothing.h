// Moments of a class's colours smoothed over colour windows, with wider ones as prior.
#pragma once
#include "cells.h"

namespace hdseg {

// Box filters along each axis, which approximate a Gaussian; they reach kBoxPasses radii.
constexpr int64_t kBoxPasses = 3;

// For each of kLanes adjoining entries the mean of 2 radius + 1 entries that are `stride` apart;
// those more than `before` before or `behind` behind count as 0. Summed in float64 in ascending
// order: a running sum would depend on where it began. share: 1 / (2 radius + 1).
template <int kLanes>
HDSEG_FN void box_means(const float* in, int64_t before, int64_t behind, int64_t stride,
                        double share, float* out) {
  double sum[kLanes] = {};
  for (int64_t i = -before; i <= behind; ++i) {
    for (int k = 0; k < kLanes; ++k) sum[k] += static_cast<double>(in[i * stride + k]);
  }
  for (int k = 0; k < kLanes; ++k) out[k] = static_cast<float>(sum[k] * share);
}

// Moment q of the prior for all classes: the whole image's standardised colours, with mean 0 and
// covariance I.
HDSEG_FN double standard_moment(int64_t q, int64_t channels) {
  int64_t square = 1 + channels;  // of x_i x_i
  for (int64_t i = 0; i < channels; ++i) {
    if (q == square) return 1.0;
    square += channels - i;
  }
  return q == 0 ? 1.0 : 0.0;
}

// Combines a moment of narrower windows, `found` from `pixels` of the class, with the prior mean.
HDSEG_FN double shrunken(float found, float pixels, double prior, double mean) {
  const double share = 1.0 / (static_cast<double>(pixels) + prior);
  return (static_cast<double>(found) + prior * mean) * share;
}

}  // namespace hdseg
