// Pruning of spurs: thin seeds beside thick ones.
#pragma once
#include "common/grid.h"

namespace hdseg {

// pruned = seeds without spurs. A seed is thick if it survives the opening of its class's seeds by
// a 3 x 3 square, and thin otherwise; a thin seed is a spur if a thick one of its class lies within
// `length` rows and columns. Border pixels repeat.
template <class T>
void prune(const T* seeds, const Grid& grid, int64_t length, T* pruned);

}  // namespace hdseg
