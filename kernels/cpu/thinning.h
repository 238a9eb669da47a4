// Thinning by hit-or-miss elements, and the seeds made of it.
#pragma once
#include <vector>

#include "common/hit_or_miss.h"
#include "cpu/bit_plane.h"

namespace hdseg {

using Element = std::vector<Cell>;

// (count, size, size) cells of +1 hit, -1 miss, 0 don't care; size odd.
std::vector<Element> read_elements(const int8_t* cells, int64_t count, int64_t size);

// `passes` times all elements, one after the other; stops early when a pass changes nothing.
void thin(BitPlane& plane, const std::vector<Element>& elements, int64_t passes);

void thin_mask(const bool* mask, int64_t height, int64_t width,
               const std::vector<Element>& elements, int64_t passes, bool* thinned);

// seeds = k + 1 where the pixel survives in the thinned mask of its class k, else 0.
void thin_classes(const int32_t* classes, int64_t height, int64_t width, int32_t class_count,
                  const std::vector<Element>& elements, int64_t passes, int32_t* seeds);

}  // namespace hdseg
