// One row of (L_UU + gamma I) x = -L_US m + gamma lambda, from the four edge weights of a pixel.
#pragma once
#include "grid.h"

namespace hdseg {

// Diagonal entry: the degree of the pixel in the whole image, plus gamma. An edge that leaves the
// image has weight 0.
HDSEG_FN double diagonal(const double* weight, double gamma) {
  return weight[0] + weight[1] + weight[2] + weight[3] + gamma;
}

// Number of entries of the row: itself and the unknown neighbours.
HDSEG_FN int32_t row_length(const int32_t* unknown) {
  int32_t n = 1;
  for (int k = 0; k < kNeighbours; ++k) n += unknown[k] >= 0;
  return n;
}

// Writes the row with ascending columns. unknown[k]: position of neighbour k in the band, or -1.
HDSEG_FN void write_row(int32_t row, const int32_t* unknown, const double* weight, double gamma,
                        int32_t* column, double* value) {
  int n = 0;
  for (int k = 0; k < kNeighbours; ++k) {
    if (k == 2) {  // north and west lie before the pixel, east and south behind it
      column[n] = row;
      value[n++] = diagonal(weight, gamma);
    }
    if (unknown[k] >= 0) {
      column[n] = unknown[k];
      value[n++] = -weight[k];
    }
  }
}

// -L_US m: the weights of the edges that lead to seeds with this label.
HDSEG_FN double flux_from_seeds(const Grid& grid, int64_t pixel, const double* weight,
                                const int32_t* seeds, int32_t label) {
  double sum = 0.0;
  for (int k = 0; k < kNeighbours; ++k) {
    const int64_t j = neighbour(grid, pixel, k);
    if (j >= 0 && seeds[j] == label) sum += weight[k];
  }
  return sum;
}

}  // namespace hdseg
