// One bit per pixel: 1 Gpx is 125 MB.
#pragma once
#include <vector>

#include "common/portable.h"

namespace hdseg {

// A binary image packed into 64-pixel words, bit 0 leftmost. Each row carries one word of padding
// on either side; padding and the unused bits of the last word repeat the row's edge pixels, so a
// kernel reads across the border without asking.
class BitPlane {
 public:
  BitPlane(int64_t height, int64_t width);

  int64_t height() const { return height_; }
  int64_t width() const { return width_; }
  int64_t words() const { return words_; }  // per row, without padding

  // Row y, or the nearest row of the picture when y lies outside it.
  const uint64_t* row(int64_t y) const {
    return data_.data() + (y < 0 ? 0 : (y < height_ ? y : height_ - 1)) * stride_ + 1;
  }
  uint64_t* row(int64_t y) { return data_.data() + y * stride_ + 1; }

  bool pixel(int64_t y, int64_t x) const { return row(y)[x / 64] >> (x % 64) & 1; }

  // The bits of the last word of a row that are pixels.
  uint64_t pixels_of_last_word() const { return ~uint64_t{0} >> (64 * words_ - width_); }

  // Restores the padding of row y after its pixels have changed.
  void repeat_edges(int64_t y);

 private:
  int64_t height_, width_, words_, stride_;
  std::vector<uint64_t> data_;
};

// Sets row y to the pixels x for which inside(x) holds.
template <class Inside>
void pack_row(BitPlane& plane, int64_t y, Inside inside) {
  uint64_t* row = plane.row(y);
  for (int64_t w = 0; w < plane.words(); ++w) {
    const int64_t first = 64 * w, last = first + 64 < plane.width() ? first + 64 : plane.width();
    uint64_t word = 0;
    for (int64_t x = first; x < last; ++x) word |= static_cast<uint64_t>(inside(x)) << (x - first);
    row[w] = word;
  }
  plane.repeat_edges(y);
}

}  // namespace hdseg
