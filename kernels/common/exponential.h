// exp and log in float32 from basic operations only: they vectorise, and round alike everywhere.
#pragma once
#include "portable.h"

namespace hdseg {

// exp(x) for x <= 0, within 2 units in the last place; 0 below the normal numbers, for x = -inf
// too. x = k log 2 + r with |r| <= log(2) / 2 (Cody & Waite 1980), then Taylor's polynomial in r.
HDSEG_FN float exp_of_negative(float x) {
  constexpr float kLowest = -87.0f;      // exp(-87) is still a normal number
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  constexpr float kLog2High = 0.693359375f, kLog2Low = -2.12194440e-4f;
  const float bounded = x < kLowest ? kLowest : x;
  const float shifted = bounded * 1.44269504f + kRound;
  const float k = shifted - kRound;
  const float r = (bounded - k * kLog2High) - k * kLog2Low;
  float p = 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  // The low bits of `shifted` hold k; moved to the exponent they make 2^k.
  const float power = float_of_bits((bits_of_float(shifted) + 127u) << 23);
  return x < kLowest ? 0.0f : p * power;
}

// log(x) for x >= 1, within 2e-7 of itself or of 1: x = m 2^k with m in [sqrt(1/2), sqrt(2)), and
// log m = 2 artanh((m - 1) / (m + 1)).
HDSEG_FN float log_of(float x) {
  constexpr uint32_t kRootHalf = 0x3f3504f3u;  // sqrt(1/2)
  const uint32_t shifted = bits_of_float(x) - kRootHalf;
  const auto k = static_cast<int32_t>(shifted) >> 23;
  const float m = float_of_bits((shifted & 0x007fffffu) + kRootHalf);
  const float s = (m - 1.0f) / (m + 1.0f), q = s * s;
  const float series = s + s * q * (1.0f / 3.0f + q * (0.2f + q * (1.0f / 7.0f + q / 9.0f)));
  return 2.0f * series + static_cast<float>(k) * 0.693147181f;
}

}  // namespace hdseg
