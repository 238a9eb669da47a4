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
  const uint64_t used = pixels_of_last_word();
  const uint64_t left = pixel(y, 0) ? ~uint64_t{0} : 0;
  const uint64_t right = pixel(y, width_ - 1) ? ~uint64_t{0} : 0;
  words[-1] = left;
  words[words_ - 1] = (words[words_ - 1] & used) | (right & ~used);
  words[words_] = right;
}

}  // namespace hdseg
