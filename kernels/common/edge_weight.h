// Edge weights between neighbouring pixels.
#pragma once
#include "portable.h"

namespace hdseg {

enum class EdgeRule : int32_t {
  kIntensity = 0,  // exp(-strength * sum_c (I_i - I_j)^2) + eps   (Grady 2006)
  kBoundary = 1    // exp(-strength * (g_i + g_j)^2) + eps          (Saravanan, Challa, Danda 2022)
};

// Keeps every pixel tied to its neighbours, however sharp the edge, so that the system is regular.
constexpr double kEdgeFloor = 1e-10;

template <class T>
HDSEG_FN double edge_weight(const T* a, const T* b, int64_t channels, EdgeRule rule,
                            double strength) {
  double sum = 0.0;
  for (int64_t c = 0; c < channels; ++c) {
    const double p = static_cast<double>(a[c]), q = static_cast<double>(b[c]);
    const double d = rule == EdgeRule::kIntensity ? p - q : p + q;
    sum += d * d;
  }
  return exp(-strength * sum) + kEdgeFloor;
}

}  // namespace hdseg
