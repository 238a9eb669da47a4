// The hit-or-miss transform on bit planes, 64 pixels at a time.
#pragma once
#include "portable.h"

namespace hdseg {

// Bit 0 is the leftmost pixel of a word. Word is uint64_t, or a vector of several. A pixel
// "against" a match is one that rules it out: results have 1 where the element does not match.

// The pixels dx to the right of those of `centre`; right: the next word; 0 < dx < 64.
template <class Word>
HDSEG_FN Word from_right(const Word& centre, const Word& right, int dx) {
  return (centre >> dx) | (right << (64 - dx));
}

// The pixels dx to the left of those of `centre`; left: the previous word.
template <class Word>
HDSEG_FN Word from_left(const Word& centre, const Word& left, int dx) {
  return (centre << dx) | (left >> (64 - dx));
}

// A hit or miss cell of a structuring element.
struct RowCell {
  int64_t dy;
  uint64_t flip;  // 0 for a miss: ruled out by a 1; all ones for a hit: ruled out by a 0
};

// The cells at one horizontal distance. They share one shift, applied after combining the rows. If
// `fresh` is false, the column has all cells of the previous one, and lists only the others.
struct CellColumn {
  int32_t distance;
  int32_t cells;
  bool fresh;
};

// The cells of an element on one side of its centre, column by column.
struct CellColumns {
  const CellColumn* columns;
  int32_t count;
  const RowCell* cells;
};

// Pixels against a match in the centre's own column. load(side, dy): the word dy rows below, in the
// same (0), the left (-1) or the right (1) column of words.
template <class Word, class Load>
HDSEG_FN Word against_in_centre(const Load& load, const RowCell* cells, int32_t count) {
  Word found = Word{};
  for (int32_t i = 0; i < count; ++i) found = found | (load(0, cells[i].dy) ^ cells[i].flip);
  return found;
}

// Pixels against a match to the right (side = 1) or to the left (side = -1) of the centre.
template <int side, class Word, class Load>
HDSEG_FN Word against_on_side(const Load& load, const CellColumns& cells) {
  Word found = Word{}, centre = Word{}, beside = Word{};
  const RowCell* cell = cells.cells;
  for (int32_t i = 0; i < cells.count; ++i) {
    const CellColumn& column = cells.columns[i];
    if (column.fresh) centre = beside = Word{};
    for (const RowCell* end = cell + column.cells; cell != end; ++cell) {
      centre = centre | (load(0, cell->dy) ^ cell->flip);
      beside = beside | (load(side, cell->dy) ^ cell->flip);
    }
    found = found | (side > 0 ? from_right(centre, beside, column.distance)
                              : from_left(centre, beside, column.distance));
  }
  return found;
}

}  // namespace hdseg
