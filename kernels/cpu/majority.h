// The majority filter (mode filter) of labels.
#pragma once
#include "cpu/band.h"

namespace hdseg {

// found[i] = the most frequent label in the size x size window around pixel i of the band; edge
// pixels are repeated outside the image. The pixel's own label wins ties, else the smallest. Walls
// are not counted. size is odd.
template <class T>
void majority(const Band& band, const T* labels, int64_t size, T* found);

}  // namespace hdseg
