// The levels of the multigrid hierarchy (common/multigrid.h), in chunks: threads' units of work.
#pragma once
#include <vector>

#include "common/multigrid.h"
#include "cpu/band.h"

namespace hdseg {

// The reduced matrix S of a band. Vectors and weights are padded by kPadding zeros at both ends.
struct StencilLevel {
  int64_t size;
  const BlackPiece* pieces;
  const int64_t* chunk;  // (chunks + 1): first piece of each
  int64_t chunks;
  Stencil matrix;

  int64_t first(int64_t c) const {
    return chunk[c] < chunk[chunks] ? pieces[chunk[c]].start : size;
  }
};

// A coarse matrix. rows: of a chunk.
struct SparseLevel {
  int64_t size = 0;
  SparseRows matrix{};
  int64_t rows = 1;

  int64_t chunks = (size + rows - 1) / rows;
  int64_t first(int64_t c) const { return c < chunks ? c * rows : size; }
};

// Vectors are (columns, stride); entry i of column j is v[j * stride + i].

// q = A p and energy = p . q; then a step along p: x += a p and r -= a q, a = p . r / energy.
template <class Level>
void step(const Level& level, const float* p, float* q, double* energy, double* x, float* r,
          int64_t columns, int64_t stride);

// Pre-smoothing and restriction: x = a Jacobi step from 0, coarse = P^T (r - A x), where
// (P v)_i = v[aggregate[i]], or 0 if aggregate[i] < 0. inverse: 1 / the diagonal.
template <class Level>
void restrict_residual(const Level& level, const float* inverse, const int32_t* aggregate,
                       const float* r, float* x, int64_t columns, int64_t stride, float* coarse,
                       int64_t coarse_stride);

// Prolongation and post-smoothing: x += P coarse, then out = x plus a Jacobi step.
template <class Level>
void prolong(const Level& level, const float* inverse, const int32_t* aggregate, const float* r,
             const float* coarse, int64_t coarse_stride, float* x, float* out, int64_t columns,
             int64_t stride);

// The chosen rows and columns of the matrix, columns ascending. number[i]: the new number of
// entry i, ascending, or -1.
template <class Level>
void submatrix(const Level& level, const int32_t* number, std::vector<int32_t>& row_start,
               std::vector<int32_t>& column, std::vector<double>& value);

// r = b - A x, computed in float64 and then rounded.
template <class Level>
void residual(const Level& level, const float* b, const double* x, float* r, int64_t columns,
              int64_t stride);

// The same; found: r . r of each column before and after, and max abs(D^-1 r), (3, columns).
template <class Level>
void refresh(const Level& level, const float* inverse, const float* b, const double* x, float* r,
             double* found, int64_t columns, int64_t stride);

// p = z - (z . q / energy) p; p = z where energy is 0. Sums do not depend on the number of threads:
// they are added up in fixed blocks.
void conjugate(const float* z, const float* q, const double* energy, float* p, int64_t size,
               int64_t columns, int64_t stride);
// out = D^-1 r.
void apply_inverse_diagonal(const float* inverse, const float* r, float* out, int64_t size,
                            int64_t columns, int64_t stride);
// max abs(x) of each column; NaN if the column has one.
void largest(const float* x, int64_t size, float* most, int64_t columns, int64_t stride);

}  // namespace hdseg
