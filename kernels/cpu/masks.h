// Thinning of one mask, in the two forms in which masks come.
#pragma once
#include "cpu/elements.h"

namespace hdseg {

// A byte for each pixel; those that are not 0 are inside and keep their value if they survive.
void thin_bytes(const uint8_t* mask, int64_t height, int64_t width, const ElementSet& set,
                int64_t passes, uint8_t* thinned);

// A bit for each pixel, every row filled up to whole bytes, the lowest bit leftmost.
void thin_bits(const uint8_t* mask, int64_t height, int64_t width, const ElementSet& set,
               int64_t passes, uint8_t* thinned);

}  // namespace hdseg
