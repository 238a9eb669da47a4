// The rows of a level, whatever its kind: for what is done once, not in every iteration.
#pragma once
#include "cpu/level.h"

namespace hdseg {

// The rows of one chunk: all neighbours, by their index in the whole level.
struct Rows {
  int64_t first = 0;
  std::vector<int32_t> start, column;
  std::vector<float> weight;

  void clear(int64_t from) {
    first = from;
    start.assign(1, 0);
    column.clear();
    weight.clear();
  }
  void add(int64_t j, float w) {
    if (w > 0.0f) {
      column.push_back(static_cast<int32_t>(j));
      weight.push_back(w);
    }
  }
  void end_row() { start.push_back(static_cast<int32_t>(column.size())); }
  int32_t count() const { return static_cast<int32_t>(start.size()) - 1; }
};

inline void read_rows(const StencilLevel& level, int64_t chunk, Rows& rows) {
  rows.clear(level.first(chunk));
  const float* const* w = level.weight;
  for (int64_t p = level.chunk[chunk]; p < level.chunk[chunk + 1]; ++p) {
    const BlackPiece& piece = level.pieces[p];
    for (int64_t i = piece.start; i < piece.end; ++i) {
      rows.add(i + piece.up2, w[0][i]);
      rows.add(i + piece.up - 1, w[1][i]);
      rows.add(i + piece.up, w[2][i]);
      rows.add(i - 1, w[3][i - 1]);
      rows.add(i + 1, w[3][i]);
      rows.add(i + piece.down - 1, w[4][i]);
      rows.add(i + piece.down, w[5][i]);
      rows.add(i + piece.down2, w[6][i]);
      rows.end_row();
    }
  }
}

inline void read_rows(const SparseLevel& level, int64_t chunk, Rows& rows) {
  rows.clear(level.first(chunk));
  for (int64_t i = level.first(chunk); i < level.first(chunk + 1); ++i) {
    for (int32_t k = level.row_start[i]; k < level.row_start[i + 1]; ++k) {
      rows.add(level.column[k], level.value[k]);
    }
    rows.end_row();
  }
}

}  // namespace hdseg
