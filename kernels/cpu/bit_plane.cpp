#include "cpu/bit_plane.h"

#include <algorithm>
#include <new>

#include "cpu/elements.h"

namespace hdseg {

namespace {

int64_t words_for(int64_t width) { return (width + 63) / 64; }

// The padding below a column overlaps the unread half of the padding above the next one.
int64_t stride_for(int64_t height, int64_t above) {
  return (height + above - 1) / above * above + above;
}

}  // namespace

int64_t BitPlane::bytes(int64_t height, int64_t width) {
  return ((words_for(width) + 2) * stride_for(height, kAbove) + kAbove) * 8;
}

BitPlane::BitPlane(int64_t height, int64_t width)
    : height_(height),
      width_(width),
      words_(words_for(width)),
      stride_(stride_for(height, kAbove)),
      // calloc: the system allocates zeroed pages on first write.
      data_(static_cast<uint64_t*>(std::calloc(static_cast<size_t>(bytes(height, width)), 1))) {
  if (!data_) throw std::bad_alloc();
}

void BitPlane::repeat_edges(int64_t w, int64_t tile_row) {
  const int64_t top = tile_row * kTileRows, bottom = std::min(top + kTileRows, height_);
  // The first and last rows are repeated in the corners too.
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
