// Red-black reduction: the red pixels (odd x + y) are neighbours of black ones only, so they are
// eliminated exactly. What is left is S = A_bb - A_br A_rr^-1 A_rb on the black pixels: half as
// many, again an M-matrix, with at most eight neighbours each, and better conditioned (Reid 1972).
#pragma once
#include "cpu/edges.h"
#include "cpu/level.h"

namespace hdseg {

// first_entry: for each run the entry of its first black pixel, as in BlackLinks.

// Fills the weights of S by direction, its row sums (row_sum) and 1 / its diagonal.
void eliminate_red(const Band& band, const Edges& edges, const int32_t* first_entry,
                   float* const weight[kStencil], float* row_sum, float* inverse);

// rhs = b_b - A_br A_rr^-1 b_r, for each column of b.
void eliminate_red_rhs(const Band& band, const Edges& edges, const int32_t* first_entry,
                       const float* b, int64_t stride, int64_t columns, float* rhs,
                       int64_t rhs_stride);

// b holds right-hand sides and receives the solution: x at the black pixels, and at the red ones
// A_rr^-1 (b_r - A_rb x).
void back_substitute(const Band& band, const Edges& edges, const int32_t* first_entry,
                     const float* x, int64_t x_stride, int64_t columns, float* b, int64_t stride);

}  // namespace hdseg
