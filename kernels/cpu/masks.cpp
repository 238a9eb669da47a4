#include "cpu/masks.h"

#include <algorithm>
#include <cstring>

#include "common/bits.h"
#include "cpu/thinning.h"

namespace hdseg {
namespace {

// Bit i is whether byte i is not 0, for up to 64 bytes.
uint64_t word_of_bytes(const uint8_t* bytes, int64_t count) {
  uint64_t word = 0;
  for (int64_t i = 0; i < count; i += 8) {
    uint64_t eight = 0;
    std::memcpy(&eight, bytes + i, static_cast<size_t>(std::min<int64_t>(8, count - i)));
    word |= gathered(nonzero_bytes(eight)) << i;
  }
  return word;
}

// Clears the bytes whose bit is 0.
void keep_bytes(uint64_t word, uint8_t* bytes, int64_t count) {
  for (int64_t i = 0; i < count; i += 8) {
    const size_t length = static_cast<size_t>(std::min<int64_t>(8, count - i));
    uint64_t eight = 0;
    std::memcpy(&eight, bytes + i, length);
    eight &= spread(word >> i);
    std::memcpy(bytes + i, &eight, length);
  }
}

// Calls row(y, words) for each row of the plane with its words side by side, tile row by tile
// row: a column's words of eight rows share a cache line.
template <class Row>
void for_each_strip(const BitPlane& plane, Row strip) {
  const int threads = threads_for(plane.tiles() / 8);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t top = 0; top < plane.height(); top += 8) {
    strip(top, std::min(top + 8, plane.height()));
  }
}

// fill(y, x, count): the word of `count` pixels that begin at column x of row y.
template <class Fill>
void pack(BitPlane& plane, Fill fill) {
  for_each_strip(plane, [&](int64_t top, int64_t bottom) {
    for (int64_t w = 0; w < plane.words(); ++w) {
      const int64_t count = std::min<int64_t>(64, plane.width() - 64 * w);
      uint64_t* words = plane.column(w);
      for (int64_t y = top; y < bottom; ++y) {
        const uint64_t word = fill(y, 64 * w, count);
        if (word != 0) words[y] = word;  // an empty plane takes no memory
      }
    }
  });
}

std::vector<ThinPlane> one_plane(int64_t height, int64_t width) {
  std::vector<ThinPlane> planes;
  planes.emplace_back(height, width);
  return planes;
}

}  // namespace

void thin_bytes(const uint8_t* mask, int64_t height, int64_t width, const ElementSet& set,
                int64_t passes, uint8_t* thinned) {
  std::vector<ThinPlane> planes = one_plane(height, width);
  pack(planes[0].plane, [&](int64_t y, int64_t x, int64_t count) {
    return word_of_bytes(mask + y * width + x, count);
  });
  thin(planes, set, passes);
  const ThinPlane& result = planes[0];
  for_each_strip(result.plane, [&](int64_t top, int64_t bottom) {
    const int64_t first = top * width, size = (bottom - top) * width;
    std::memcpy(thinned + first, mask + first, static_cast<size_t>(size));
    for (int64_t w = 0; w < result.plane.words(); ++w) {
      if (!result.ever_changed(w, top / kTileRows)) continue;
      const int64_t count = std::min<int64_t>(64, width - 64 * w);
      const uint64_t* words = result.plane.column(w);
      for (int64_t y = top; y < bottom; ++y) {
        keep_bytes(words[y], thinned + y * width + 64 * w, count);
      }
    }
  });
}

void thin_bits(const uint8_t* mask, int64_t height, int64_t width, const ElementSet& set,
               int64_t passes, uint8_t* thinned) {
  const int64_t stride = (width + 7) / 8;
  std::vector<ThinPlane> planes = one_plane(height, width);
  BitPlane& plane = planes[0].plane;
  pack(plane, [&](int64_t y, int64_t x, int64_t count) {
    uint64_t word = 0;
    std::memcpy(&word, mask + y * stride + x / 8, static_cast<size_t>((count + 7) / 8));
    return word;
  });
  thin(planes, set, passes);
  for_each_strip(plane, [&](int64_t top, int64_t bottom) {
    for (int64_t w = 0; w < plane.words(); ++w) {
      const size_t bytes = static_cast<size_t>(std::min<int64_t>(8, stride - 8 * w));
      for (int64_t y = top; y < bottom; ++y) {
        const uint64_t word = plane.column(w)[y] & plane.pixels(w);
        std::memcpy(thinned + y * stride + 8 * w, &word, bytes);
      }
    }
  });
}

}  // namespace hdseg
