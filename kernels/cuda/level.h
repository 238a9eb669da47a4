// The levels of the multigrid hierarchy (common/multigrid.h), row by row.
#pragma once
#include "common/multigrid.h"
#include "cuda/columns.h"

namespace hdseg {

// The reduced matrix S of a band; offset: (4, size), up2, up, down and down2 of each entry. Without
// a neighbour the weight is 0, and the offset leads to any entry or into the padding.
struct StencilLevel {
  const int32_t* offset;
  Stencil matrix;
  int64_t size;
};

// weights: (kStencil, padded size); row_sum: padded.
__device__ inline StencilLevel stencil_level(const int32_t* offset, const float* weights,
                                             const float* row_sum, int64_t size) {
  StencilLevel level{offset, {{}, row_sum + kPadding}, size};
  for (int64_t d = 0; d < kStencil; ++d) {
    level.matrix.weight[d] = weights + kPadding + d * stride_of(size);
  }
  return level;
}

__device__ inline Offsets offsets_at(const StencilLevel& level, int64_t i) {
  const int32_t* to = level.offset + i;
  return {to[0], to[level.size], to[2 * level.size], to[3 * level.size]};
}

// A coarse matrix.
struct SparseLevel {
  SparseRows matrix;
  int64_t size;
};

__device__ inline SparseLevel sparse_level(const int32_t* start, const int32_t* column,
                                           const float* weight, const float* row_sum,
                                           int64_t size) {
  return {{start, column, weight, row_sum + kPadding}, size};
}

// (A x)_i; x: an array, or a vector computed on the fly (common/multigrid.h).
template <class Vector>
__device__ auto product_at(const StencilLevel& level, const Vector& x, int64_t i) {
  return product(level.matrix, offsets_at(level, i), x, i);
}

template <class Vector>
__device__ auto product_at(const SparseLevel& level, const Vector& x, int64_t i) {
  return product(level.matrix, x, i);
}

}  // namespace hdseg
