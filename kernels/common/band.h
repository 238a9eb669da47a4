// The unknown band as runs of pixels. Pixel indices are 64-bit; positions count the band's pixels
// and fit 32 bits.
#pragma once
#include "grid.h"

namespace hdseg {

// The pixels of run r are pixel[r], pixel[r] + 1, ... in one row of the image; they have the
// positions start[r] .. start[r + 1] - 1 in the band. Runs ascend and never touch in a row.
struct Band {
  Grid grid;
  const int64_t* pixel;
  const int32_t* start;
  int64_t runs;

  HDSEG_FN int32_t size() const { return start[runs]; }
  HDSEG_FN int32_t length(int64_t r) const { return start[r + 1] - start[r]; }
};
// Structures that cuda's kernels take by value have the same layout for every compiler.
static_assert(sizeof(Band) == 40);

// The table row of each pixel of a band: first[r] + x / across in column x of run r.
struct Places {
  const int32_t* first;
  int64_t across;
};
static_assert(sizeof(Places) == 16);

// The labels of a system's columns: label[row * count + j] for column j in table row `row`.
template <class Seed>
struct ColumnLabels {
  const Seed* label;
  int64_t count;
  Places places;
};
static_assert(sizeof(ColumnLabels<uint8_t>) == 32);

}  // namespace hdseg
