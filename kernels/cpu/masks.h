// Thinning of one mask, stored as bytes or as bits.
#pragma once
#include "cpu/elements.h"

namespace hdseg {

// One byte per pixel, nonzero inside; pixels that survive keep their value, others become 0.
void thin_bytes(const uint8_t* mask, int64_t height, int64_t width, const ElementSet& set,
                int64_t passes, uint8_t* thinned);

// One bit per pixel, rows padded to whole bytes, the lowest bit leftmost.
void thin_bits(const uint8_t* mask, int64_t height, int64_t width, const ElementSet& set,
               int64_t passes, uint8_t* thinned);

}  // namespace hdseg
