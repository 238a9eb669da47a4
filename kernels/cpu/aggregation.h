// Coarsening by aggregation: pairs of entries, then pairs of pairs (Notay 2010), and the Galerkin
// matrix P^T A P for the piecewise constant P that the aggregates stand for, its weights reduced by
// the resistance of the aggregates.
#pragma once
#include "cpu/level.h"

namespace hdseg {

struct Coarse {
  std::vector<int32_t> row_start, column;
  std::vector<float> value, row_sum, inverse;
};

// Fills aggregate (size), -1 for entries that the smoother alone can handle, and returns the coarse
// matrix. inverse: 1 / the diagonal, of the fine matrix here and of the coarse one there.
template <class Level>
Coarse coarsen(const Level& level, const float* inverse, int32_t* aggregate);

}  // namespace hdseg
