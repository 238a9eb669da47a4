// A = L_UU + gamma I on a band, and its right-hand sides, from the image in one pass.
#pragma once
#include "common/band_matrix.h"
#include "common/edge_weight.h"
#include "cpu/band.h"

namespace hdseg {

// All vectors are padded by kPadding entries at both ends, which hold 0 (row_sum: 1).

template <class T>
struct Features {  // (height, width, channels) of the image
  const T* values;
  int64_t channels;
  EdgeRule rule;
  double edge_scale;
};

// Fills edges and flux: flux[j] is -L_US m, the weights to the seeds with the label of column j at
// each pixel's place; `stride` floats from column to column.
template <class T, class Seed>
void assemble(const Band& band, const Features<T>& features, const Seed* seeds,
              const ColumnLabels<Seed>& columns, float gamma, float* north, float* east,
              float* south, float* row_sum, float* flux, int64_t stride);

// The same matrix in compressed sparse rows, columns ascending. First row_starts() fills row_start
// (size + 1 entries); it returns the length of column and value.
int64_t row_starts(const Band& band, const Edges& edges, int32_t* row_start);
void laplacian(const Band& band, const Edges& edges, const int32_t* row_start, int32_t* column,
               double* value);

}  // namespace hdseg
