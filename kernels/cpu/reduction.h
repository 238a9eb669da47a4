// Red-black reduction. Red pixels (odd x + y) have only black neighbours, so they are eliminated
// exactly. The matrix of the black pixels is the Schur complement S = A_bb - A_br A_rr^-1 A_rb:
// half the size, again an M-matrix, at most eight neighbours each, better conditioned (Reid 1972).
#pragma once
#include "cpu/edges.h"
#include "cpu/level.h"

namespace hdseg {

// first_entry: the entry of the first black pixel of each run, as in BlackLinks.

// Computes the weights of S by direction, its row sums and 1 / its diagonal.
void eliminate_red(const Band& band, const Edges& edges, const int32_t* first_entry,
                   float* const weight[kStencil], float* row_sum, float* inverse);

// rhs = b_b - A_br A_rr^-1 b_r, for each column of b.
void eliminate_red_rhs(const Band& band, const Edges& edges, const int32_t* first_entry,
                       const float* b, int64_t stride, int64_t columns, float* rhs,
                       int64_t rhs_stride);

// Replaces right-hand sides b by the solution: x at black pixels, A_rr^-1 (b_r - A_rb x) at red.
void back_substitute(const Band& band, const Edges& edges, const int32_t* first_entry,
                     const float* x, int64_t x_stride, int64_t columns, float* b, int64_t stride);

}  // namespace hdseg
