// Columns: vectors padded with zeros at both ends, as in backends/cuda/layout.py.
#pragma once
#include "common/band_matrix.h"
#include "cuda/launch.h"

namespace hdseg {

constexpr int64_t kPadding = 32;

// The distance between two columns with a number of entries.
__device__ inline int64_t stride_of(int64_t entries) { return entries + 2 * kPadding; }

// The entries of column j; columns are `stride` values apart.
template <class T>
__device__ T* column_of(T* columns, int64_t stride, int64_t j) {
  return columns + j * stride + kPadding;
}

// The matrix of a band, from its four padded vectors.
__device__ inline Edges edges_of(const float* rows, int64_t stride) {
  return {column_of(rows, stride, 0), column_of(rows, stride, 1), column_of(rows, stride, 2),
          column_of(rows, stride, 3)};
}

}  // namespace hdseg
