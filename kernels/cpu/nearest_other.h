// For each entry of a grid of classes the nearest one of another class.
#pragma once
#include "common/grid.h"

namespace hdseg {

// Euclidean distances, and the lowest of equally near classes; infinity and its own class where
// there is no other within `reach`. The sides of the grid are below 2^22.
template <class T>
void nearest_others(const T* classes, const Grid& grid, int64_t reach, float* distance,
                    T* nearest_other);

}  // namespace hdseg
