// Products, smoothing and coarsening of the multigrid hierarchy, entry by entry. A matrix is stored
// as weights w_ij = -a_ij > 0 and row sums. These are computed without subtraction, so they are
// accurate however small, and
//   (A x)_i = row_sum_i x_i + sum_j w_ij (x_i - x_j)
// is accurate for clusters of equal x connected to the rest by edges of 1e-10.
#pragma once
#include "band_matrix.h"

namespace hdseg {

// A reduced matrix: weights by direction.
struct Stencil {
  const float* weight[kStencil];
  const float* row_sum;
};

// Offsets from an entry to its neighbours: two rows up, up and right, down and right, two rows
// down. A left neighbour is the entry before the right one.
struct Offsets {
  int32_t up2, up, down, down2;
};

// (A x)_i; x: an array, or a vector computed on the fly (FirstStep, Corrected).
template <class Vector>
HDSEG_FN auto product(const Stencil& a, const Offsets& to, const Vector& x, int64_t i) {
  const auto v = x[i];
  const int64_t up = i + to.up, down = i + to.down;
  return a.row_sum[i] * v + a.weight[kUp2][i] * (v - x[i + to.up2]) +
         a.weight[kUpLeft][i] * (v - x[up - 1]) + a.weight[kUpRight][i] * (v - x[up]) +
         a.weight[kRight2][i - 1] * (v - x[i - 1]) + a.weight[kRight2][i] * (v - x[i + 1]) +
         a.weight[kDownLeft][i] * (v - x[down - 1]) + a.weight[kDownRight][i] * (v - x[down]) +
         a.weight[kDown2][i] * (v - x[i + to.down2]);
}

// A coarse matrix in compressed sparse rows, without the diagonal.
struct SparseRows {
  const int32_t *start, *column;
  const float *weight, *row_sum;
};

template <class Vector>
HDSEG_FN auto product(const SparseRows& a, const Vector& x, int64_t i) {
  const auto v = x[i];
  auto sum = a.row_sum[i] * v;
  for (int32_t k = a.start[i]; k < a.start[i + 1]; ++k) {
    sum += a.weight[k] * (v - x[a.column[k]]);
  }
  return sum;
}

// (M x)_i of a dense matrix, summed in float64 from left to right.
HDSEG_FN float dense_product(const double* matrix, int64_t size, const float* x, int64_t i) {
  double sum = 0.0;
  for (int64_t j = 0; j < size; ++j) sum += matrix[i * size + j] * static_cast<double>(x[j]);
  return static_cast<float>(sum);
}

// A damped Jacobi step for the residual `rest`; inverse: 1 / diagonal. The eigenvalues of D^-1 A
// lie in (0, 2).
HDSEG_FN float jacobi(float inverse, float rest) { return 0.8f * inverse * rest; }

// The result of a Jacobi step from x = 0, computed on the fly.
struct FirstStep {
  const float *inverse, *rest;
  HDSEG_FN float operator[](int64_t i) const { return jacobi(inverse[i], rest[i]); }
};

// x plus the coarse level's correction. Entries below 0, and from `size` on, are padding.
struct Corrected {
  const float* x;
  const int32_t* aggregate;
  int64_t size;
  const float* coarse;
  HDSEG_FN float operator[](int64_t i) const {
    const int32_t a = i >= 0 && i < size ? aggregate[i] : -1;
    return a < 0 ? x[i] : x[i] + coarse[a];
  }
};

// The constants below were chosen by measurement: docs/decisions/0005-solver.md.

// Whether the smoother alone can handle an entry with this row sum and sum of weights.
HDSEG_FN bool is_dominant(float row_sum, float weights) { return row_sum > 0.5f * weights; }

// An edge is strong if its weight is at least this fraction of the aggregate's largest.
constexpr float kStrong = 0.25f;

HDSEG_FN bool is_strong(float weight, float strongest) { return weight >= kStrong * strongest; }

// Aggregates a and b may be merged if the modes lost by that are high in energy: the weight between
// them is at least 1/4 d_a d_b / (d_a + d_b), d the sum of the diagonals of each. Without this
// condition clusters with weak edges are merged with the rest and never converge (Notay 2010).
constexpr float kQuality = 0.25f;

struct Bond {
  float strength, limit;  // their ratio is the quality
};

HDSEG_FN Bond bond_between(float weight, float diagonal_a, float diagonal_b) {
  return {weight * (diagonal_a + diagonal_b), diagonal_a * diagonal_b};
}

HDSEG_FN bool may_be_one(const Bond& bond) { return bond.strength >= kQuality * bond.limit; }

// The resistance of an aggregate's inner edges, of total weight `inner`, as a chain of equal edges.
HDSEG_FN float chain_resistance(int32_t members, float inner) {
  return members > 1 ? static_cast<float>(members - 1) / inner : 0.0f;
}

// A piecewise constant correction puts the whole difference between two aggregates on the edges
// between them, although it spreads over both: their inner resistance is in series. A fifth of it
// is added, and weights are reduced by at most 40 %, so that the matrix stays spectrally equivalent
// to P^T A P. This makes a V-cycle as good as a K-cycle without it (over-correction, Braess 1995).
HDSEG_FN float in_series(float weight, float resistance) {
  const float reduced = 1.0f / (1.0f + 0.2f * weight * resistance);
  return weight * (reduced < 0.6f ? 0.6f : reduced);
}

}  // namespace hdseg
