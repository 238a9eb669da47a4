#include "cpu/bit_plane.h"

#include <algorithm>
#include <new>

#include "cpu/elements.h"

namespace hdseg {

// A column's last rows of padding share the eight words above the next column: four each.
BitPlane::BitPlane(int64_t height, int64_t width)
    : height_(height),
      width_(width),
      words_((width + 63) / 64),
      stride_((height + kAbove - 1) / kAbove * kAbove + kAbove),
      // calloc: the system hands out zeroed pages, each when it is first written.
      data_(static_cast<uint64_t*>(
          std::calloc(static_cast<size_t>((words_ + 2) * stride_ + kAbove), sizeof(uint64_t)))) {
  if (!data_) throw std::bad_alloc();
}

void BitPlane::repeat_edges(int64_t w, int64_t tile_row) {
  const int64_t top = tile_row * kTileRows, bottom = std::min(top + kTileRows, height_);
  // The frame's rows are repeated beyond its corners too.
  const int64_t first = top == 0 ? -kMaxRadius : top;
  const int64_t last = bottom == height_ ? bottom + kMaxRadius : bottom;
  const auto repeat_rows = [&](uint64_t* words) {
    for (int64_t y = first; y < top; ++y) words[y] = words[0];
    for (int64_t y = bottom; y < last; ++y) words[y] = words[height_ - 1];
  };
  uint64_t* words = column(w);
  if (w + 1 == words_) {
    const uint64_t used = pixels(w);
    uint64_t* beside = column(w + 1);
    for (int64_t y = top; y < bottom; ++y) {
      beside[y] = words[y] >> ((width_ - 1) % 64) & 1 ? ~uint64_t{0} : 0;
      words[y] = (words[y] & used) | (beside[y] & ~used);
    }
    repeat_rows(beside);
  }
  if (w == 0) {
    uint64_t* beside = column(-1);
    for (int64_t y = top; y < bottom; ++y) beside[y] = words[y] & 1 ? ~uint64_t{0} : 0;
    repeat_rows(beside);
  }
  repeat_rows(words);
}

}  // namespace hdseg
