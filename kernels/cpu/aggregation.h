// Coarsening by aggregation: pairs of entries, then pairs of pairs (Notay 2010). The coarse matrix
// is the Galerkin product P^T A P for the piecewise constant prolongation P, with weights reduced
// by the aggregates' resistance.
#pragma once
#include "cpu/level.h"

namespace hdseg {

struct Coarse {
  std::vector<int32_t> row_start, column;
  std::vector<float> value, row_sum, inverse;
};

// Fills aggregate (size), with -1 for entries that the smoother alone can handle, and returns the
// coarse matrix. inverse: 1 / the fine diagonal; Coarse::inverse: 1 / the coarse one.
template <class Level>
Coarse coarsen(const Level& level, const float* inverse, int32_t* aggregate);

}  // namespace hdseg
