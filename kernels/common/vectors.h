// What the iteration does with vectors, entry by entry.
#pragma once
#include "portable.h"

namespace hdseg {

HDSEG_FN float combined(float a, float x, float b, float y) { return a * x + b * y; }

// x moves by a p; x alone is float64.
HDSEG_FN double advanced(double x, double a, float p) { return x + a * static_cast<double>(p); }

HDSEG_FN float relaxed(float inverse, float r) { return inverse * r; }

HDSEG_FN double exact_product(float x, float y) {
  return static_cast<double>(x) * static_cast<double>(y);
}

// Without their sign, floats are ordered like their bits, and NaN is above them all.
HDSEG_FN uint32_t magnitude(float x) { return bits_of_float(x) & 0x7fffffffu; }

}  // namespace hdseg
