// From the coarse grid to the image's grid.
#pragma once
#include "common/grid.h"

namespace hdseg {

// Class indices T are uint8_t or uint16_t.

// Nearest neighbour, half-pixel centres.
template <class T>
void upsample_labels(const T* coarse, const Grid& from, T* fine, const Grid& to);

// Index of the largest interpolated plane; the first one wins a tie. planes: (classes, from).
template <class T>
void upsample_argmax(const float* planes, int64_t classes, const Grid& from, Interpolation how,
                     T* fine, const Grid& to);

// All planes interpolated at some pixels of the fine grid: (count, classes).
void sample_planes(const float* planes, int64_t classes, const Grid& from, Interpolation how,
                   const int64_t* pixels, int64_t count, double* samples, const Grid& to);

}  // namespace hdseg
