// Structuring elements, prepared for 64-pixel words.
#pragma once
#include <vector>

#include "common/hit_or_miss.h"

namespace hdseg {

constexpr int64_t kMaxRadius = 4;

// Some cells of an element: in the centre's column, to its right, and to its left.
class Cells {
 public:
  void add(int64_t dy, int64_t dx, bool hit);
  // Orders the columns so that as many as possible contain all cells of the previous one.
  void arrange();

  const std::vector<RowCell>& centre() const { return centre_; }
  CellColumns right() const { return right_.view(); }
  CellColumns left() const { return left_.view(); }

 private:
  struct Side {
    std::vector<std::vector<RowCell>> at_distance{static_cast<size_t>(kMaxRadius + 1)};
    std::vector<CellColumn> columns;
    std::vector<RowCell> cells;

    void arrange();
    CellColumns view() const {
      return {columns.data(), static_cast<int32_t>(columns.size()), cells.data()};
    }
  };

  std::vector<RowCell> centre_;
  Side right_, left_;
};

// The centre is always a hit, as thinning only removes pixels of the set.
struct Element {
  std::vector<int8_t> all;  // (2 radius + 1)^2 cells of +1 hit, -1 miss, 0 don't care
  int64_t radius;
  Cells near;  // at distance 1: these decide most words
  Cells far;   // all others

  int8_t cell(int64_t dx, int64_t dy) const {
    return dx == 0 && dy == 0
               ? int8_t{0}
               : all[static_cast<size_t>((dy + radius) * (2 * radius + 1) + dx + radius)];
  }
};

struct ElementSet {
  std::vector<Element> elements;
  int64_t reach;       // how many pixels away a change can have an effect in one pass
  bool at_boundaries;  // every match needs a pixel outside the set: none in uniform areas
};

// (count, size, size) cells of +1 hit, -1 miss, 0 don't care; size odd, at most 9.
ElementSet read_elements(const int8_t* cells, int64_t count, int64_t size);

}  // namespace hdseg
