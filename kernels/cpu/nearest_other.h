// The nearest entry of another class, for each entry of a grid.
#pragma once
#include "common/grid.h"

namespace hdseg {

// Euclidean distances, and the nearest other class, the lowest if several are equally near;
// infinity and the entry's own class if none is within `reach`. Sides of the grid are below 2^22.
template <class T>
void nearest_others(const T* classes, const Grid& grid, int64_t reach, float* distance,
                    T* nearest_other);

}  // namespace hdseg
