// From the coarse grid to the image's grid.
#pragma once
#include "common/grid.h"

namespace hdseg {

enum class Interpolation : int32_t { kLinear = 0, kCubic = 1 };

// Nearest neighbour, half-pixel centres.
void upsample_labels(const int32_t* coarse, const Grid& from, int32_t* fine, const Grid& to);

// Index of the largest interpolated plane; the first one wins a tie. planes: (classes, from).
void upsample_argmax(const float* planes, int64_t classes, const Grid& from, Interpolation how,
                     int32_t* fine, const Grid& to);

// All planes interpolated at some pixels of the fine grid: (count, classes).
void sample_planes(const float* planes, int64_t classes, const Grid& from, Interpolation how,
                   const int64_t* pixels, int64_t count, double* samples, const Grid& to);

}  // namespace hdseg
