// The label of a pixel, from the potentials of all classes except the last.
#pragma once
#include "portable.h"

namespace hdseg {

// The rectangle in which uncertain pixels are counted.
struct Core {
  int64_t top, left, bottom, right;

  HDSEG_FN bool has(int64_t row, int64_t column) const {
    return row >= top && row < bottom && column >= left && column < right;
  }
};
static_assert(sizeof(Core) == 32);

struct Winner {
  int64_t index;
  bool certain;
};

// The class with the largest potential; the lowest index wins ties. Potentials are x[0], x[stride],
// ..., clipped to [0, 1]; the last class has 1 minus their sum. Each has an error of at most
// `bound`, the last one of at most the sum of all others.
HDSEG_FN Winner winner(const float* x, int64_t stride, int64_t columns, float bound) {
  float best = -1.0f, second = -1.0f, rest = 1.0f;
  int64_t index = 0;
  for (int64_t j = 0; j <= columns; ++j) {
    float value = j < columns ? x[j * stride] : rest;
    value = value < 0.0f ? 0.0f : (value > 1.0f ? 1.0f : value);
    rest -= value;
    if (value > best) {
      second = best;
      best = value;
      index = j;
    } else if (value > second) {
      second = value;
    }
  }
  const float errors = bound * static_cast<float>(columns + 1);
  return {index, columns == 0 || best - second > errors};
}

}  // namespace hdseg
