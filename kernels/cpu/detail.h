// How long the boundary of a class map is, and how ragged.
#pragma once
#include "common/grid.h"

namespace hdseg {

struct Detail {
  int64_t flips;  // pixels whose class has less than half of the weight around them
  int64_t edges;  // 4-neighbours of different classes
};

template <class T>
Detail boundary_detail(const T* labels, const Grid& grid);

}  // namespace hdseg
