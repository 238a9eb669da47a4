#pragma once
#include "common/grid.h"

namespace hdseg {

// Mean of (x - mean(x))^2 over all values, summed in an order that no thread count changes.
template <class T>
double variance(const T* values, int64_t count);

}  // namespace hdseg
