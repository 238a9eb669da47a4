#include "cpu/bit_plane.h"

namespace hdseg {

BitPlane::BitPlane(int64_t height, int64_t width)
    : height_(height),
      width_(width),
      words_((width + 63) / 64),
      stride_(words_ + 2),
      data_(static_cast<size_t>(height * stride_)) {}

void BitPlane::repeat_edges(int64_t y) {
  uint64_t* words = row(y);
  const int64_t used = width_ - 64 * (words_ - 1);  // bits of the last word, 1..64
  const uint64_t left = words[0] & 1 ? ~uint64_t{0} : 0;
  const uint64_t right = words[words_ - 1] >> (used - 1) & 1 ? ~uint64_t{0} : 0;
  words[-1] = left;
  words[words_] = right;
  if (used < 64) {
    const uint64_t unused = ~uint64_t{0} << used;
    words[words_ - 1] = (words[words_ - 1] & ~unused) | (right & unused);
  }
}

}  // namespace hdseg
