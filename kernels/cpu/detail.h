// The length and the raggedness of the boundary of a class map.
#pragma once
#include "common/grid.h"

namespace hdseg {

struct Detail {
  int64_t flips;  // pixels whose class has less than half of the weight in their window
  int64_t edges;  // pairs of 4-neighbours with different classes
};

template <class T>
Detail boundary_detail(const T* labels, const Grid& grid);

}  // namespace hdseg
