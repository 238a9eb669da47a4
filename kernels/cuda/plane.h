// Bit planes: one bit per pixel, 64 pixels per word, the lowest bit leftmost, row by row, with
// ceil(width / 64) words per row. The unused bits of a row's last word repeat its last pixel, so
// that the highest bit of a row is always its last pixel.
#pragma once
#include "cuda/launch.h"

namespace hdseg {

constexpr int64_t kWordBits = 64;

__device__ inline int64_t words_of(int64_t width) { return (width + kWordBits - 1) / kWordBits; }

// A mask of the bits of a row's word w that are pixels.
__device__ inline uint64_t pixels_of(int64_t width, int64_t w) {
  const int64_t unused = (w + 1) * kWordBits - width;
  return unused > 0 ? ~uint64_t{0} >> unused : ~uint64_t{0};
}

// A row's last word with its unused bits set to the last pixel; pixels: mask of the used bits.
__device__ inline uint64_t with_last_repeated(uint64_t word, uint64_t pixels) {
  const uint64_t last = pixels ^ (pixels >> 1);
  return (word & last) != 0 ? word | ~pixels : word & pixels;
}

// 64 copies of the first, or of the last, pixel of a row: the word beyond its end.
__device__ inline uint64_t left_of(uint64_t first_word) { return ~(first_word & 1) + 1; }
__device__ inline uint64_t right_of(uint64_t last_word) { return ~(last_word >> 63) + 1; }

}  // namespace hdseg
