#include "cpu/masks.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "common/bits.h"
#include "cpu/thinning.h"

namespace hdseg {
namespace {

// Packs 64 bytes into a word: bit i is 1 if byte i is not 0.
uint64_t word_of_bytes(const uint8_t* bytes) {
  uint64_t word = 0;
  for (int i = 0; i < 64; i += 8) {
    uint64_t eight;
    std::memcpy(&eight, bytes + i, 8);
    word |= gathered(nonzero_bytes(eight)) << i;
  }
  return word;
}

// Clears the bytes whose bit is 0.
void keep_bytes(uint64_t word, uint8_t* bytes) {
  for (int i = 0; i < 64; i += 8) {
    uint64_t eight;
    std::memcpy(&eight, bytes + i, 8);
    eight &= spread(word >> i);
    std::memcpy(bytes + i, &eight, 8);
  }
}

// Calls act(bytes) for up to 64 bytes, padded with zeros.
template <class Byte, class Act>
auto with_64_bytes(Byte* bytes, int64_t count, Act act) {
  if (count == 64) return act(bytes);
  std::remove_const_t<Byte> padded[64] = {};
  std::copy_n(bytes, count, padded);
  if constexpr (std::is_const_v<Byte>) {
    return act(padded);
  } else {
    act(padded);
    std::copy_n(padded, count, bytes);
  }
}

// Calls strip(top, bottom) for every eight rows: in each column their words share a cache line.
template <class Strip>
void for_each_strip(const BitPlane& plane, Strip strip) {
  const int threads = threads_for(plane.tiles() / 8);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t top = 0; top < plane.height(); top += 8) {
    strip(top, std::min(top + 8, plane.height()));
  }
}

// fill(y, x, count): returns the word of `count` pixels from column x of row y.
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
    return with_64_bytes(mask + y * width + x, count, word_of_bytes);
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
        with_64_bytes(thinned + y * width + 64 * w, count,
                      [&](uint8_t* bytes) { keep_bytes(words[y], bytes); });
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
