// What the iteration does with vectors, entry by entry.
#pragma once
#include "portable.h"

namespace hdseg {

// x + a y; a is float64, but rounded before it meets columns.
HDSEG_FN float moved(float x, double a, float y) { return x + static_cast<float>(a) * y; }

// x moves by a p; x alone is float64.
HDSEG_FN double advanced(double x, double a, float p) { return x + a * static_cast<double>(p); }

// What to go along a direction, of these products; 0 for a column that is solved already.
HDSEG_FN double quotient(double a, double b) { return b > 0.0 ? a / b : 0.0; }

HDSEG_FN float relaxed(float inverse, float r) { return inverse * r; }

HDSEG_FN double exact_product(float x, float y) {
  return static_cast<double>(x) * static_cast<double>(y);
}

// Without their sign, floats are ordered like their bits, and NaN is above them all.
HDSEG_FN uint32_t magnitude(float x) { return bits_of_float(x) & 0x7fffffffu; }

}  // namespace hdseg
