// The hit-or-miss transform on bit planes, 64 pixels at a time.
#pragma once
#include "portable.h"

namespace hdseg {

// A cell of a structuring element that matters (don't-cares are left out), relative to its origin.
struct Cell {
  int8_t dy, dx;
  int8_t hit;  // 1: the pixel must lie in the set, 0: it must lie outside
};

// The word whose bit b is the pixel dx to the right of bit b of `centre`; |dx| < 64.
// Bit 0 is the leftmost pixel of a word.
HDSEG_FN uint64_t shifted(uint64_t left, uint64_t centre, uint64_t right, int dx) {
  if (dx > 0) return (centre >> dx) | (right << (64 - dx));
  if (dx < 0) return (centre << -dx) | (left >> (64 + dx));
  return centre;
}

// Pixels of word w of the set at which the element matches. rows(dy) is the row dy below, with one
// word of padding on either side. Cells sorted by distance from the origin end the loop soonest:
// away from boundaries the first miss cell already empties the word.
template <class Rows>
HDSEG_FN uint64_t hit_or_miss(const Rows& rows, int64_t w, const Cell* cells, int count) {
  uint64_t match = rows(0)[w];  // thinning only ever removes pixels of the set
  for (int i = 0; i < count && match != 0; ++i) {
    const uint64_t* word = rows(cells[i].dy) + w;
    const uint64_t pixels = shifted(word[-1], word[0], word[1], cells[i].dx);
    match &= cells[i].hit ? pixels : ~pixels;
  }
  return match;
}

}  // namespace hdseg
