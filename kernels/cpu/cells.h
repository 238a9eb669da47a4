// Reducing pixels to cells, see common/cells.h.
#pragma once
#include "common/cells.h"
#include "common/labels.h"

namespace hdseg {

// Sums of 1, x_i and x_i x_j over the pixels of each cell: (cells, moment_count). At most 16
// channels; x is standardised.
template <class T>
void cell_moments(const T* image, const Grid& grid, int64_t channels, int64_t cell,
                  const double* center, double scale, float* moments);

// The most frequent class of each cell; the lowest wins ties.
template <class T>
void cell_labels(const T* labels, const Grid& grid, int64_t cell, T* found);

}  // namespace hdseg
