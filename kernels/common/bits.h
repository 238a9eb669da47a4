// Converting eight bytes to eight bits and back. Byte 0 of a little-endian word is its first pixel.
#pragma once
#include "portable.h"

namespace hdseg {

constexpr uint64_t kEachByte = 0x0101010101010101;

// 1 in each byte that is not 0.
HDSEG_FN uint64_t nonzero_bytes(uint64_t bytes) {
  const uint64_t low = 0x7f * kEachByte;
  return (((bytes & low) + low) | bytes) >> 7 & kEachByte;
}

// Packs bytes that are 0 or 1 into bits: bit i is byte i.
HDSEG_FN uint64_t gathered(uint64_t bytes) { return bytes * 0x0102040810204080 >> 56; }

// Expands the lowest eight bits to bytes: byte i is 0xff if bit i is 1, else 0.
HDSEG_FN uint64_t spread(uint64_t bits) {
  return nonzero_bytes((bits & 0xff) * kEachByte & 0x8040201008040201) * 0xff;
}

}  // namespace hdseg
