// A uniform view of the rows of any level, for set-up rather than iterations.
#pragma once
#include "cpu/level.h"

namespace hdseg {

// The rows of one chunk: row i has neighbours column[k], entries of the level, with weight[k] > 0,
// for start[i] <= k < start[i + 1].
struct Rows {
  int64_t first = 0;
  int32_t count = 0;
  const int32_t *start = nullptr, *column = nullptr;
  const float* weight = nullptr;
};

// Reads rows into its own buffers, where the level does not store them.
class RowReader {
 public:
  Rows read(const StencilLevel& level, int64_t chunk) {
    const int64_t first = level.first(chunk), count = level.first(chunk + 1) - first;
    start_.resize(static_cast<size_t>(count) + 1);
    column_.resize(static_cast<size_t>(count) * 8);
    weight_.resize(static_cast<size_t>(count) * 8);
    const float* const* w = level.matrix.weight;
    int32_t *column = column_.data(), *start = start_.data();
    float* weight = weight_.data();
    int32_t end = 0;
    const auto add = [&](int64_t j, float value) {
      column[end] = static_cast<int32_t>(j);  // branch-free: overwritten if there is no edge
      weight[end] = value;
      end += value > 0.0f;
    };
    *start++ = 0;
    for (int64_t p = level.chunk[chunk]; p < level.chunk[chunk + 1]; ++p) {
      const BlackPiece& piece = level.pieces[p];
      for (int64_t i = piece.start; i < piece.end; ++i) {
        add(i + piece.to.up2, w[kUp2][i]);
        add(i + piece.to.up - 1, w[kUpLeft][i]);
        add(i + piece.to.up, w[kUpRight][i]);
        add(i - 1, w[kRight2][i - 1]);
        add(i + 1, w[kRight2][i]);
        add(i + piece.to.down - 1, w[kDownLeft][i]);
        add(i + piece.to.down, w[kDownRight][i]);
        add(i + piece.to.down2, w[kDown2][i]);
        *start++ = end;
      }
    }
    return {first, static_cast<int32_t>(count), start_.data(), column_.data(), weight_.data()};
  }

  Rows read(const SparseLevel& level, int64_t chunk) {
    const int64_t first = level.first(chunk);
    return {first, static_cast<int32_t>(level.first(chunk + 1) - first), level.matrix.start + first,
            level.matrix.column, level.matrix.weight};
  }

 private:
  std::vector<int32_t> start_, column_;
  std::vector<float> weight_;
};

}  // namespace hdseg
