// From a part of the coarse grid to a window of the image's grid.
#pragma once
#include "common/grid.h"

namespace hdseg {

// Class indices T are uint8_t or uint16_t.

// Nearest neighbour, half-pixel centres.
template <class T>
void upsample_labels(const T* coarse, const Placement& place, T* fine);

// Index of the largest interpolated plane; the first one wins a tie. planes: (classes, place.part).
template <class T>
void upsample_argmax(const float* planes, int64_t classes, const Placement& place,
                     Interpolation how, T* fine);

// All planes interpolated at some pixels of the window: (count, classes).
void sample_planes(const float* planes, int64_t classes, const Placement& place, Interpolation how,
                   const int64_t* pixels, int64_t count, double* samples);

}  // namespace hdseg
