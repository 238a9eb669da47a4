// The matrix A = L_UU + gamma I of a band, and its red-black reduction, pixel by pixel.
#pragma once
#include "portable.h"

namespace hdseg {

// The weights to unknown neighbours, 0 where there is none, and the row sums: the weights to seeds
// plus gamma. The weight to the west is `east` of the previous pixel. Arrays are padded, so that
// there is always a previous and a next pixel.
struct Edges {
  const float *north, *east, *south;
  const float* row_sum;
};

HDSEG_FN float diagonal(const Edges& a, int64_t i) {
  return a.row_sum[i] + a.north[i] + a.east[i] + a.east[i - 1] + a.south[i];
}

// The diagonal in float64.
HDSEG_FN double exact_diagonal(const Edges& a, int64_t i) {
  double sum = static_cast<double>(a.row_sum[i]);
  sum += static_cast<double>(a.north[i]);
  sum += static_cast<double>(a.east[i - 1]);
  sum += static_cast<double>(a.east[i]);
  return sum + static_cast<double>(a.south[i]);
}

// The number of nonzero entries of row i: a weight is at least 1e-10 where there is an edge.
HDSEG_FN int32_t row_entries(const Edges& a, int64_t i) {
  return 1 + (a.north[i] > 0) + (a.east[i - 1] > 0) + (a.east[i] > 0) + (a.south[i] > 0);
}

// Red-black colouring: 0 (black) where x + y is even, 1 (red) where it is odd.
HDSEG_FN int64_t colour_of(int64_t pixel, int64_t width) {
  return (pixel / width + pixel % width) & 1;
}

// Weights of the reduced matrix S by direction. The one to the left is kRight2 of the pixel there.
constexpr int kStencil = 7;
enum Direction { kUp2, kUpLeft, kUpRight, kRight2, kDownLeft, kDownRight, kDown2 };

struct ReducedRow {
  float weight[kStencil];
  float row_sum;
  float inverse;  // 1 / diagonal
};

// The row of S = A_bb - A_br A_rr^-1 A_rb for black pixel i, whose neighbours in the rows above and
// below are i + up and i + down; inverse: 1 / the diagonal of A. Nothing is subtracted, and
// (a * b) * c rounds the same from both ends of an edge, so S is symmetric to the last bit.
HDSEG_FN ReducedRow reduced_row(const Edges& a, const float* inverse, int64_t i, int64_t up,
                                int64_t down) {
  const float n = a.north[i], w = a.east[i - 1], e = a.east[i], s = a.south[i];
  const float in = inverse[i + up], iw = inverse[i - 1], ie = inverse[i + 1],
              is = inverse[i + down];
  ReducedRow row;
  row.weight[kUp2] = (n * a.north[i + up]) * in;
  row.weight[kUpLeft] = (w * a.north[i - 1]) * iw + (n * a.east[i + up - 1]) * in;
  row.weight[kUpRight] = (e * a.north[i + 1]) * ie + (n * a.east[i + up]) * in;
  row.weight[kRight2] = (e * a.east[i + 1]) * ie;
  row.weight[kDownLeft] = (w * a.south[i - 1]) * iw + (s * a.east[i + down - 1]) * is;
  row.weight[kDownRight] = (e * a.south[i + 1]) * ie + (s * a.east[i + down]) * is;
  row.weight[kDown2] = (s * a.south[i + down]) * is;
  row.row_sum = a.row_sum[i] + (n * a.row_sum[i + up]) * in + (w * a.row_sum[i - 1]) * iw +
                (e * a.row_sum[i + 1]) * ie + (s * a.row_sum[i + down]) * is;
  const float left2 = (w * a.east[i - 2]) * iw;
  row.inverse = 1.0f / (row.weight[kUp2] + row.weight[kUpLeft] + row.weight[kUpRight] + left2 +
                        row.weight[kRight2] + row.weight[kDownLeft] + row.weight[kDownRight] +
                        row.weight[kDown2] + row.row_sum);
  return row;
}

// (b_b - A_br A_rr^-1 b_r)_i.
HDSEG_FN float reduced_value(const Edges& a, const float* inverse, const float* b, int64_t i,
                             int64_t up, int64_t down) {
  return b[i] + (a.north[i] * b[i + up]) * inverse[i + up] +
         (a.east[i - 1] * b[i - 1]) * inverse[i - 1] + (a.east[i] * b[i + 1]) * inverse[i + 1] +
         (a.south[i] * b[i + down]) * inverse[i + down];
}

// w v[at]. Without an edge v[at] is not read: another thread may be writing it.
HDSEG_FN float from_neighbour(float w, const float* v, int64_t at) {
  return w == 0.0f ? 0.0f : w * v[at];
}

// (A_rr^-1 (b_r - A_rb x_b))_i of a red pixel; v holds b at red pixels and x at black ones.
HDSEG_FN float red_value(const Edges& a, const float* inverse, const float* v, int64_t i,
                         int64_t up, int64_t down) {
  return (v[i] + from_neighbour(a.north[i], v, i + up) + from_neighbour(a.east[i - 1], v, i - 1) +
          from_neighbour(a.east[i], v, i + 1) + from_neighbour(a.south[i], v, i + down)) *
         inverse[i];
}

}  // namespace hdseg
