// A Gaussian from its moments, in float64 because of the cancellation in E[x^2] - E[x]^2.
#pragma once
#include "cells.h"

namespace hdseg {

// Cholesky: covariance = L L^T. Variances are at least the ridge, so nothing is divided by 0.
template <int64_t kMost>
HDSEG_FN void factorise(double (*a)[kMost], int64_t channels) {
  for (int64_t j = 0; j < channels; ++j) {
    for (int64_t q = 0; q < j; ++q) a[j][j] -= a[j][q] * a[j][q];
    a[j][j] = sqrt(a[j][j] < 1e-12 ? 1e-12 : a[j][j]);
    for (int64_t i = j + 1; i < channels; ++i) {
      for (int64_t q = 0; q < j; ++q) a[i][j] -= a[i][q] * a[j][q];
      a[i][j] /= a[j][j];
    }
  }
}

// The coefficients of -1/2 ((x - mean)^T C^-1 (x - mean) + log det C), from normalised moments.
// kMost: the largest number of channels; if it is exact, the compiler unrolls the loops.
template <int64_t kMost>
HDSEG_FN void gaussian(const double* moments, int64_t channels, double ridge, float* coefficients) {
  const double* mean = moments + 1;
  const double* square = moments + 1 + channels;
  double l[kMost][kMost], inverse[kMost][kMost] = {};
  for (int64_t i = 0; i < channels; ++i) {
    for (int64_t j = i; j < channels; ++j) l[j][i] = *square++ - mean[i] * mean[j];
    l[i][i] += ridge;
  }
  factorise(l, channels);
  double constant = 0.0;
  for (int64_t j = 0; j < channels; ++j) {  // inverse = L^-1, column by column
    constant -= log(l[j][j]);
    for (int64_t i = j; i < channels; ++i) {
      double sum = i == j ? 1.0 : 0.0;
      for (int64_t q = j; q < i; ++q) sum -= l[i][q] * inverse[q][j];
      inverse[i][j] = sum / l[i][i];
    }
  }
  float* linear = coefficients + 1;
  float* product = coefficients + 1 + channels;
  double slope[kMost] = {};
  for (int64_t i = 0; i < channels; ++i) {
    for (int64_t j = i; j < channels; ++j) {
      double precision = 0.0;
      for (int64_t q = j; q < channels; ++q) precision += inverse[q][i] * inverse[q][j];
      *product++ = static_cast<float>(i == j ? -0.5 * precision : -precision);
      slope[i] += precision * mean[j];
      if (i != j) slope[j] += precision * mean[i];
    }
  }
  for (int64_t i = 0; i < channels; ++i) {
    constant -= 0.5 * slope[i] * mean[i];
    linear[i] = static_cast<float>(slope[i]);
  }
  coefficients[0] = static_cast<float>(constant);
}

}  // namespace hdseg
