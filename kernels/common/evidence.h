// Class evidence of one pixel: the log-likelihood of its colour in each class, and scores by its
// distance to class boundaries.
#pragma once
#include "cells.h"
#include "exponential.h"
#include "grid.h"

namespace hdseg {

// Linear interpolation along one axis between values at the centres of cells or colour windows of
// `size` pixels: the two entries around a pixel, and the weight of the second.
struct Between {
  int64_t first, second;
  float weight;
};

HDSEG_FN Between between_centres(int64_t i, int64_t size, int64_t count) {
  const float position = (static_cast<float>(i % size) + 0.5f) / static_cast<float>(size) - 0.5f;
  const int64_t base = i / size - (position < 0.0f ? 1 : 0);
  const float t = position < 0.0f ? position + 1.0f : position;
  if (base < 0) return {0, 0, 0.0f};
  if (base >= count - 1) return {count - 1, count - 1, 0.0f};
  return {base, base + 1, t};
}

// a + b . x + x A x. Coefficients are in the order of the moments, in anything with operator[].
template <class Coefficients>
HDSEG_FN float quadratic(const Coefficients& coefficients, const float* x, int64_t channels) {
  float sum = coefficients[0];
  int64_t square = 1 + channels;
  for (int64_t i = 0; i < channels; ++i) {
    float inner = coefficients[1 + i];
    for (int64_t j = i; j < channels; ++j) inner += coefficients[square++] * x[j];
    sum += inner * x[i];
  }
  return sum;
}

// Weights of a distance d in units of the scale: it scores
// sign(d) (log log1p(abs d) + linear abs d).
struct Trust {
  float log, linear;
};

HDSEG_FN float log_odds(float distance, const Trust& trust) {
  const float far = distance < 0.0f ? -distance : distance;
  const float odds = trust.log * log_of(1.0f + far) + trust.linear * far;
  return distance < 0.0f ? -odds : odds;
}

// The number of candidate classes per pixel; those less likely than the threshold, relative to the
// likeliest, are dropped.
constexpr int kConsidered = 8;
constexpr float kLeastProbabilityKept = 1e-3f;

}  // namespace hdseg
