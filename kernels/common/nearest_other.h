// The nearest entry of another class. Distance and class are packed into one integer, so that the
// smallest is the nearest and, among equally near ones, the lowest class.
#pragma once
#include "portable.h"

namespace hdseg {

constexpr int64_t kRank = 1 << 17;  // above every class
constexpr int64_t kNoOther = int64_t{1} << 62;
constexpr int64_t kMostReach = 5931641;  // above any distance between entries: 2^22 sqrt(2)

// The smallest packed value, with squared distance, that is beyond the reach: distance^2 > reach^2.
HDSEG_FN int64_t beyond_reach(int64_t reach) {
  return reach < kMostReach ? (reach * reach + 1) * kRank : kNoOther;
}

// The nearest other class above an entry (distance kRank + class), from that of the entry above.
HDSEG_FN int64_t next_in_column(int64_t nearest_other, int64_t neighbour, int64_t own) {
  return kRank + (neighbour == own ? nearest_other : neighbour);
}

// The same with the distance squared; kNoOther from `beyond` on.
HDSEG_FN int64_t squared_nearest_other(int64_t nearest_other, int64_t beyond) {
  if (nearest_other >= kNoOther) return kNoOther;
  const int64_t distance = nearest_other / kRank;
  const int64_t squared = distance * distance * kRank + nearest_other % kRank;
  return squared < beyond ? squared : kNoOther;
}

// The distance: a float64 square root of an exact integer, rounded; infinity from `beyond` on.
HDSEG_FN float nearest_other_distance(int64_t squared, int64_t beyond) {
  if (squared >= beyond) return float_of_bits(0x7f800000u);
  return static_cast<float>(sqrt(static_cast<double>(squared / kRank)));
}

// The nearest other class; the entry's own class from `beyond` on.
HDSEG_FN int64_t nearest_other_class(int64_t squared, int64_t beyond, int64_t own) {
  return squared >= beyond ? own : squared % kRank;
}

// The packed value for an entry at x by way of column u, whose own value is `squared`.
HDSEG_FN int64_t nearest_other_seen(int64_t x, int64_t u, int64_t squared) {
  return (x - u) * (x - u) * kRank + squared;
}

// The first x from which column v > u gives a smaller value than u: two shifted, equal parabolas.
HDSEG_FN int64_t first_better(int64_t u, int64_t squared_u, int64_t v, int64_t squared_v) {
  const int64_t rise = (v * v - u * u) * kRank + squared_v - squared_u;
  const int64_t slope = 2 * kRank * (v - u);
  const int64_t quotient = rise / slope;
  return quotient + (rise % slope < 0 ? 0 : 1);  // floor(rise / slope) + 1
}

}  // namespace hdseg
