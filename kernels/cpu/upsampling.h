// From a part of the coarse grid to a window of the image's grid.
#pragma once
#include "common/grid.h"

namespace hdseg {

// Class indices T are unsigned integers.

// Nearest neighbour, half-pixel centres.
template <class T>
void upsample_labels(const T* coarse, const GridMapping& place, T* fine);

// Index of the largest interpolated plane; the first one wins a tie. planes: (classes, place.part).
template <class T>
void upsample_argmax(const float* planes, int64_t classes, const GridMapping& place,
                     Interpolation how, T* fine);

// The class whose indicator, 1 where a coarse pixel has it and else 0, is the largest when it is
// interpolated; the lowest wins a tie.
template <class T>
void upsample_classes(const T* coarse, const GridMapping& place, Interpolation how, T* fine);

// All planes interpolated at some pixels of the window: (count, classes).
void sample_planes(const float* planes, int64_t classes, const GridMapping& place,
                   Interpolation how, const int64_t* pixels, int64_t count, double* samples);

}  // namespace hdseg
