// The window that tells whether a pixel has the class of its surroundings.
#pragma once
#include "portable.h"

namespace hdseg {

constexpr int64_t kWindowReach = 4;
constexpr double kWindowSpread = 1.5;

// Weight of the pixels (a, b) or (b, a) away, in any direction.
HDSEG_FN double window_weight(int64_t a, int64_t b) {
  return exp(-static_cast<double>(a * a + b * b) / (2.0 * kWindowSpread * kWindowSpread));
}

}  // namespace hdseg
