// The Gaussian window that decides whether a blur would flip a pixel's class.
#pragma once
#include "portable.h"

namespace hdseg {

constexpr int64_t kWindowReach = 4;
constexpr double kWindowSpread = 1.5;

// Weight of a pixel a rows and b columns away.
HDSEG_FN double window_weight(int64_t a, int64_t b) {
  return exp(-static_cast<double>(a * a + b * b) / (2.0 * kWindowSpread * kWindowSpread));
}

}  // namespace hdseg
