// Spurs: thin seeds beside thick ones.
#pragma once
#include "common/grid.h"

namespace hdseg {

// pruned = seeds without those that do not survive the opening of their class's seeds by a 3 x 3
// square, where a seed of their class that does lies within `length` rows and columns. The border
// repeats its pixels.
template <class T>
void prune(const T* seeds, const Grid& grid, int64_t length, T* pruned);

}  // namespace hdseg
