// Vector operations of the iteration, entry by entry.
#pragma once
#include "portable.h"

namespace hdseg {

// x + a y; a is float64, and rounded to float32 first.
HDSEG_FN float moved(float x, double a, float y) { return x + static_cast<float>(a) * y; }

// x + a p in float64; only x and a are stored in float64.
HDSEG_FN double advanced(double x, double a, float p) { return x + a * static_cast<double>(p); }

// a / b, the step length; 0 for a column that is already solved.
HDSEG_FN double quotient(double a, double b) { return b > 0.0 ? a / b : 0.0; }

HDSEG_FN float relaxed(float inverse, float r) { return inverse * r; }

HDSEG_FN double exact_product(float x, float y) {
  return static_cast<double>(x) * static_cast<double>(y);
}

// The bits of abs(x), which are ordered like the floats; NaN is above all others.
HDSEG_FN uint32_t magnitude(float x) { return bits_of_float(x) & 0x7fffffffu; }

}  // namespace hdseg
