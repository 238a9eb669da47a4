// Seeds: each class of an image, thinned.
#pragma once
#include "cpu/elements.h"

namespace hdseg {

// seeds = k + 1 where a pixel survives the thinning of its class k, else 0. T can hold class_count.
template <class T>
void thin_classes(const T* classes, int64_t height, int64_t width, int64_t class_count,
                  const ElementSet& set, int64_t passes, T* seeds);

}  // namespace hdseg
