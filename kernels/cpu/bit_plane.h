// Binary images with one bit per pixel: 1 Gpx takes 125 MB.
#pragma once
#include <cstdlib>
#include <memory>

#include "common/portable.h"

namespace hdseg {

// A tile is one word (64 pixels) wide and this many rows high.
constexpr int64_t kTileRows = 128;

// A binary image packed into 64-pixel words, bit 0 leftmost, stored column by column of words:
// words of consecutive rows are adjacent, so that one instruction handles many rows. Four rows of
// padding above and below, a column of words on either side and the unused bits of the last word
// repeat the edge pixels, so that kernels read across the border without checks. A new plane is
// empty; memory is allocated where it is first written.
class BitPlane {
 public:
  BitPlane(int64_t height, int64_t width);

  // Size in memory.
  static int64_t bytes(int64_t height, int64_t width);

  int64_t height() const { return height_; }
  int64_t width() const { return width_; }
  int64_t words() const { return words_; }  // in a row, without padding
  int64_t tile_rows() const { return (height_ + kTileRows - 1) / kTileRows; }
  int64_t tiles() const { return tile_rows() * words_; }

  // The words of column w, from row 0; columns are stride() words apart.
  uint64_t* column(int64_t w) { return data_.get() + (w + 1) * stride_ + kAbove; }
  const uint64_t* column(int64_t w) const { return data_.get() + (w + 1) * stride_ + kAbove; }
  int64_t stride() const { return stride_; }

  // A mask of the bits of column w that are pixels.
  uint64_t pixels(int64_t w) const {
    return w + 1 < words_ ? ~uint64_t{0} : ~uint64_t{0} >> (64 * words_ - width_);
  }

  // Updates the padding that repeats pixels of a tile.
  void repeat_edges(int64_t w, int64_t tile_row);

 private:
  static constexpr int64_t kAbove = 8;  // 4 are read; 8 keep row 0 aligned

  struct Free {
    void operator()(uint64_t* words) const { std::free(words); }
  };

  int64_t height_, width_, words_, stride_;
  std::unique_ptr<uint64_t[], Free> data_;
};

}  // namespace hdseg
