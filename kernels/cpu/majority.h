// The majority filter: what most of a pixel's neighbours are.
#pragma once
#include "cpu/band.h"

namespace hdseg {

// found[i] = the most frequent label in the size x size window around pixel i of the band; outside
// the picture its edge pixels are repeated. The pixel's own label wins a tie, else the smallest.
// A wall has no vote. size is odd.
template <class T>
void majority(const Band& band, const T* labels, int64_t size, T* found);

}  // namespace hdseg
