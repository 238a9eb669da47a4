// Edge weights between neighbouring pixels.
#pragma once
#include "exponential.h"

namespace hdseg {

enum class EdgeRule : int32_t {
  kIntensity = 0,  // exp(-edge_scale * sum_c (I_i - I_j)^2) + eps   (Grady 2006)
  kBoundary = 1  // exp(-edge_scale * sum_c (g_i + g_j)^2) + eps    (Saravanan, Challa, Danda 2022)
};

// Added to each weight: however sharp an edge, pixels stay connected and the system is regular.
constexpr float kEdgeFloor = 1e-10f;

// The type in which squares are summed: float32 for 8- and 16-bit integers, float64 for floats,
// which may have any magnitude.
template <class T>
struct Exact {
  using Sum = float;
};
template <>
struct Exact<float> {
  using Sum = double;
};
template <>
struct Exact<double> {
  using Sum = double;
};

// sum_c (a_c - b_c)^2, or (a_c + b_c)^2.
template <class T, EdgeRule kRule>
HDSEG_FN typename Exact<T>::Sum squared(const T* a, const T* b, int64_t channels) {
  using Sum = typename Exact<T>::Sum;
  Sum sum = 0;
  for (int64_t c = 0; c < channels; ++c) {
    const Sum p = static_cast<Sum>(a[c]), q = static_cast<Sum>(b[c]);
    const Sum d = kRule == EdgeRule::kIntensity ? p - q : p + q;
    sum += d * d;
  }
  return sum;
}

template <class Sum>
HDSEG_FN float edge_weight(Sum squares, Sum edge_scale) {
  return exp_of_negative(static_cast<float>(-edge_scale * squares)) + kEdgeFloor;
}

}  // namespace hdseg
