// Bit planes: one bit per pixel, 64 pixels in a word, the lowest bit leftmost. A plane is its rows
// one after the other, a row is ceil(width / 64) words. The unused bits of a row's last word repeat
// its last pixel, so that the highest bit of a row always is its last pixel.
#pragma once
#include "cuda/launch.h"

namespace hdseg {

constexpr int64_t kWordBits = 64;

__device__ inline int64_t words_of(int64_t width) { return (width + kWordBits - 1) / kWordBits; }

// The bits of word w of a row that are pixels.
__device__ inline uint64_t pixels_of(int64_t width, int64_t w) {
  const int64_t unused = (w + 1) * kWordBits - width;
  return unused > 0 ? ~uint64_t{0} >> unused : ~uint64_t{0};
}

// A row's last word, with what is no pixel set to the last pixel; `pixels` are its lowest bits.
__device__ inline uint64_t with_last_repeated(uint64_t word, uint64_t pixels) {
  const uint64_t last = pixels ^ (pixels >> 1);
  return (word & last) != 0 ? word | ~pixels : word & pixels;
}

// 64 copies of the first or of the last pixel of a row: what lies beside it.
__device__ inline uint64_t left_of(uint64_t first_word) { return ~(first_word & 1) + 1; }
__device__ inline uint64_t right_of(uint64_t last_word) { return ~(last_word >> 63) + 1; }

}  // namespace hdseg
