// A level of the multigrid hierarchy: a symmetric M-matrix A given by the weights w_ij = -a_ij > 0
// between its entries and by its row sums (the excess). Nothing is ever subtracted to get these, so
// they are exact to the last digits however small, and
//   (A x)_i = excess_i x_i + sum_j w_ij (x_i - x_j)
// is exact for clusters of equal x that hang on the rest by edges of 1e-10.
#pragma once
#include <vector>

#include "cpu/band.h"

namespace hdseg {

// Stored directions of the reduced matrix; two to the left is two to the right of the entry before.
constexpr int kStencil = 7;

// The reduced matrix S of a band. Vectors and weights have kPadding zeros before and behind.
struct StencilLevel {
  int64_t size;
  const BlackPiece* pieces;
  const int64_t* chunk;  // (chunks + 1): first piece of each
  int64_t chunks;
  const float* weight[kStencil];
  const float* excess;

  int64_t first(int64_t c) const {
    return chunk[c] < chunk[chunks] ? pieces[chunk[c]].start : size;
  }
};

// A coarse matrix in compressed sparse rows, without the diagonal.
struct SparseLevel {
  int64_t size;
  const int32_t* row_start;
  const int32_t* column;
  const float* value;
  const float* excess;
  static constexpr int64_t kRows = 4096;

  int64_t chunks = (size + kRows - 1) / kRows;
  int64_t first(int64_t c) const { return c < chunks ? c * kRows : size; }
};

// Vectors are (columns, stride); entry i of column j is v[j * stride + i].

// y = A x, and the products x . y of each column.
template <class Level>
void apply(const Level& level, const float* x, float* y, double* product, int64_t columns,
           int64_t stride);

// Of the Jacobi steps; the eigenvalues of D^-1 A lie in (0, 2).
constexpr float kJacobi = 0.8f;

// inverse: 1 / the diagonal D. Restriction: x = kJacobi D^-1 r (a step from 0), coarse = P^T (r - A
// x), where P repeats the value of aggregate[i] at i; negative aggregates are left out.
template <class Level>
void descend(const Level& level, const float* inverse, const int32_t* aggregate, const float* r,
             float* x, int64_t columns, int64_t stride, float* coarse, int64_t coarse_stride);

// Prolongation: x += P coarse, then out = x + kJacobi D^-1 (r - A x).
template <class Level>
void ascend(const Level& level, const float* inverse, const int32_t* aggregate, const float* r,
            const float* coarse, int64_t coarse_stride, float* x, float* out, int64_t columns,
            int64_t stride);

// The chosen rows and columns of the matrix, without the diagonal. number[i]: the new number of
// entry i, ascending, or -1.
template <class Level>
void submatrix(const Level& level, const int32_t* number, std::vector<int32_t>& row_start,
               std::vector<int32_t>& column, std::vector<double>& value);

// r = b - A x in float64 for x in float64, rounded in the end; x has its own stride.
template <class Level>
void residual(const Level& level, const float* b, const double* x, float* r, int64_t columns,
              int64_t stride);

// Sums that no number of threads changes: fixed blocks, added one after the other.
void dot(const float* x, const float* y, int64_t size, double* product, int64_t columns,
         int64_t stride);
// out = a x + b y; out may be x or y.
void combine(const double* a, const float* x, const double* b, const float* y, float* out,
             int64_t size, int64_t columns, int64_t stride);
// x += a p.
void advance(const double* a, const float* p, double* x, int64_t size, int64_t columns,
             int64_t stride);
void largest(const float* x, int64_t size, float* most, int64_t columns, int64_t stride);

}  // namespace hdseg
