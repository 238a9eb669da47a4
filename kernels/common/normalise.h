// What a network says of a pixel's classes: numbers of any type, from which probabilities are
// computed.
#pragma once
#include "exponential.h"

namespace hdseg {

// A float16 by its bits.
struct Half {
  uint16_t bits;
};

// Values as they are computed with: counts are added exactly.
HDSEG_FN uint32_t computed(uint8_t value) { return value; }
HDSEG_FN uint32_t computed(uint16_t value) { return value; }
HDSEG_FN uint32_t computed(uint32_t value) { return value; }
HDSEG_FN uint64_t computed(uint64_t value) { return value; }
HDSEG_FN int32_t computed(int32_t value) { return value; }
HDSEG_FN int64_t computed(int64_t value) { return value; }
HDSEG_FN float computed(float value) { return value; }
HDSEG_FN double computed(double value) { return value; }
// Without branches, and without a float32 below the normal ones, which a device takes for 0: what
// is below float16's normal ones gets a leading 1 that is subtracted again.
HDSEG_FN float computed(Half value) {
  constexpr uint32_t kNormal = 0x38000000u, kSmall = 0x38800000u, kOdd = 0x70000000u;
  const uint32_t sign = (value.bits & 0x8000u) << 16, bits = value.bits & 0x7fffu;
  const uint32_t subtracted = bits < 0x0400u ? kSmall : 0u;
  const uint32_t added = bits < 0x0400u ? kSmall : bits < 0x7c00u ? kNormal : kOdd;
  const float found = float_of_bits((bits << 13) + added) - float_of_bits(subtracted);
  return float_of_bits(sign | bits_of_float(found));
}

// 0 for a finite value, NaN for infinities and NaN.
template <class R>
HDSEG_FN R oddness(R) {
  return R{0};
}
HDSEG_FN float oddness(float value) { return value - value; }
HDSEG_FN double oddness(double value) { return value - value; }

// Adds a value to a sum. That of float32 is as good as the last bit for any number of classes: what
// one addition loses enters the next (Kahan 1965).
template <class R>
HDSEG_FN void add_to(R& sum, R&, R value) {
  sum += value;
}
HDSEG_FN void add_to(float& sum, float& lost, float value) {
  const float corrected = value - lost, larger = sum + corrected;
  lost = (larger - sum) - corrected;
  sum = larger;
}

HDSEG_FN float quotient_of(uint32_t value, uint32_t total) {
  return static_cast<float>(value) / static_cast<float>(total);
}
HDSEG_FN float quotient_of(float value, float total) { return value / total; }
HDSEG_FN float quotient_of(double value, double total) { return static_cast<float>(value / total); }

// exp(value - top) for a value that is at most top.
template <class R>
HDSEG_FN float exp_below(R value, R top) {
  return exp_of_negative(static_cast<float>(value - top));
}

// The least and the greatest of some values, and of their sums; `odd` is not 0 if one is not
// finite.
template <class R>
struct Extremes {
  R lowest, highest, least, most, odd;

  HDSEG_FN void add(const Extremes& other) {
    lowest = other.lowest < lowest ? other.lowest : lowest;
    highest = other.highest > highest ? other.highest : highest;
    least = other.least < least ? other.least : least;
    most = other.most > most ? other.most : most;
    odd += other.odd;
  }
};

}  // namespace hdseg
