// Converting pixels to bit planes and back, and separating thick from thin parts.
#include "cuda/plane.h"

namespace hdseg {

// Classes whose planes are made together: with a second buffer they take one byte per pixel.
constexpr int kTogether = 4;

// Calls act(y, first, end) for words [first, end) of row y, at most one per lane of a warp.
template <class Act>
__device__ void each_piece(int64_t height, int64_t words, Act act) {
  const int64_t across = (words + kWarp - 1) / kWarp;
  for (int64_t i = first_item() / kWarp; i < height * across; i += item_step() / kWarp) {
    const int64_t first = i % across * kWarp;
    act(i / across, first, first + kWarp < words ? first + kWarp : words);
  }
}

// Packs pixels into planes: bit p of bits(y, x) belongs to plane p. A warp reads 32 adjacent pixels
// at a time, whatever the width, and writes up to 32 words.
template <int count, class Bits>
__device__ void pack(const Bits& bits, int64_t height, int64_t width, int32_t used,
                     uint64_t* planes) {
  const int64_t words = words_of(width);
  each_piece(height, words, [&](int64_t y, int64_t first, int64_t end) {
    uint64_t mine[count] = {};
    const auto at = [&](int64_t x) { return bits(y, x < width ? x : width - 1); };
#pragma unroll 4
    for (int64_t w = first; w < end; ++w) {
      const int64_t x = w * kWordBits + lane_of();
      const uint32_t left = at(x), right = at(x + kWarp);
      // Usually none of these classes occurs here.
      if (count > 1 && !__any_sync(kAllLanes, static_cast<int>(left | right))) continue;
      for (int p = 0; p < count; ++p) {
        const uint64_t low = __ballot_sync(kAllLanes, left >> p & 1);
        const uint64_t high = __ballot_sync(kAllLanes, right >> p & 1);
        if (w - first == lane_of()) mine[p] = low | high << kWarp;
      }
    }
    if (first + lane_of() >= end) return;
    for (int p = 0; p < count; ++p) {
      if (p < used) planes[(p * height + y) * words + first + lane_of()] = mine[p];
    }
  });
}

// Calls act(pixel, bit, word) for each pixel; word: index of its word in a plane.
template <class Act>
__device__ void unpack(int64_t height, int64_t width, Act act) {
  const int64_t words = words_of(width);
  each_piece(height, words, [&](int64_t y, int64_t first, int64_t end) {
#pragma unroll 4
    for (int64_t w = first; w < end; ++w) {
      for (int half = 0; half < 2; ++half) {
        const int bit = half * kWarp + lane_of();
        const int64_t x = w * kWordBits + bit;
        if (x < width) act(y * width + x, bit, y * words + w);
      }
    }
  });
}

// The classes whose planes blocks (x, g) make or read: entries kTogether g, kTogether g + 1, ... of
// a list, or these numbers themselves; -1 for none.
struct Members {
  int32_t of[kTogether];
  int32_t count;  // the number of their planes

  __device__ Members(const int32_t* list, bool is_listed, int32_t classes) {
    const auto first = static_cast<int32_t>(blockIdx.y) * kTogether;
    count = classes - first < kTogether ? classes - first : kTogether;
    for (int p = 0; p < kTogether; ++p) {
      of[p] = p >= count ? -1 : (is_listed ? list[first + p] : first + p);
    }
  }

  __device__ uint32_t bits(int32_t value) const {
    uint32_t found = 0;
    for (int p = 0; p < kTogether; ++p) found |= static_cast<uint32_t>(value == of[p]) << p;
    return found;
  }
};

// The first of the planes of blocks (x, g).
__device__ inline int64_t first_plane(int64_t height, int64_t width) {
  return static_cast<int64_t>(blockIdx.y) * kTogether * height * words_of(width);
}

__device__ inline bool bit_at(const uint64_t* plane, int64_t word, int bit) {
  return (plane[word] >> bit & 1) != 0;
}

// Makes the planes of some classes.
template <class T>
__device__ void pack_classes(const T* classes, int64_t height, int64_t width,
                             const Members& members, uint64_t* planes) {
  const auto bits = [&](int64_t y, int64_t x) { return members.bits(classes[y * width + x]); };
  pack<kTogether>(bits, height, width, members.count, planes + first_plane(height, width));
}

// Whether a row has a bit at most `length` pixels from x.
__device__ inline bool has_near(const uint64_t* row, int64_t words, int64_t x, int64_t length) {
  const int64_t left = x > length ? x - length : 0, end = words * kWordBits;
  const int64_t right = end - 1 - x > length ? x + length : end - 1;
  uint64_t inside = ~uint64_t{0} << left % kWordBits;
  for (int64_t w = left / kWordBits; w < right / kWordBits; ++w) {
    if ((row[w] & inside) != 0) return true;
    inside = ~uint64_t{0};
  }
  return (row[right / kWordBits] & inside & ~uint64_t{0} >> (kWordBits - 1 - right % kWordBits)) !=
         0;
}

// Spurs: thin pixels near thick ones of their class. near: `thick` dilated along columns by
// `length`; length 0: no pixel is a spur.
struct Spurs {
  const uint64_t *thick, *near;
  int64_t length;

  __device__ bool has(int64_t plane, int64_t words, int64_t word, int bit) const {
    if (length == 0 || bit_at(thick + plane, word, bit)) return false;
    const int64_t w = word % words;
    return has_near(near + plane + word - w, words, w * kWordBits + bit, length);
  }
};

// Writes the pixels of these classes: class + `more` where the bit is still set and not a spur,
// else 0.
template <class T>
__device__ void unpack_classes(const T* classes, int64_t height, int64_t width,
                               const Members& members, const uint64_t* planes, const Spurs& spurs,
                               int32_t more, T* seeds) {
  const int64_t words = words_of(width), size = height * words;
  const int64_t first = first_plane(height, width);
  unpack(height, width, [&](int64_t pixel, int bit, int64_t word) {
    const T value = classes[pixel];
    for (int p = 0; p < kTogether; ++p) {
      if (static_cast<int32_t>(value) != members.of[p]) continue;
      const int64_t plane = first + p * size;
      const bool stays = bit_at(planes + plane, word, bit) && !spurs.has(plane, words, word, bit);
      seeds[pixel] = stays ? static_cast<T>(value + more) : T{0};
    }
  });
}

// found[v] = 1 for each value v that occurs. Most are set already, so entries are read first.
template <class T>
__device__ void mark_present(const T* values, int64_t count, uint8_t* found) {
  for (int64_t i = first_item(); i < count; i += item_step()) {
    const T value = values[i];
    if (found[value] == 0) found[value] = 1;
  }
}

// A word of a plane eroded by a 3 x 3 square, and the adjacent bit of each neighbouring word; bits
// that are no pixels are 0. Border pixels repeat.
struct Eroded {
  uint64_t word, left, right;
};

__device__ inline Eroded eroded(const uint64_t* plane, int64_t height, int64_t words, int64_t y,
                                int64_t w, uint64_t pixels) {
  const uint64_t* row = plane + y * words;
  const uint64_t* above = y > 0 ? row - words : row;
  const uint64_t* below = y + 1 < height ? row + words : row;
  const auto all = [&](int64_t i) { return above[i] & row[i] & below[i]; };
  const uint64_t here = all(w), before = w > 0 ? all(w - 1) : left_of(here);
  const uint64_t behind = w + 1 < words ? all(w + 1) : right_of(here);
  const uint64_t word = here & (here << 1 | before >> 63) & (here >> 1 | behind << 63);
  const uint64_t last = w > 0 ? before & before << 1 & here << 63 : 0;
  const uint64_t first = w + 1 < words ? behind & behind >> 1 & here >> 63 : 0;
  // Repeated bits of the last word, and repeated neighbours, are no pixels.
  return {word & pixels, last >> 63, first & 1};
}

// Opens planes by a 3 x 3 square, which leaves their thick parts.
__device__ inline void open_planes(const uint64_t* from, int64_t planes, int64_t height,
                                   int64_t width, uint64_t* to) {
  const int64_t words = words_of(width);
  for (int64_t i = first_item(); i < planes * height * words; i += item_step()) {
    const int64_t w = i % words, y = i / words % height;
    const uint64_t* plane = from + (i - w - y * words);
    uint64_t found = 0;
    for (int64_t v = y > 0 ? y - 1 : 0; v <= y + 1 && v < height; ++v) {
      const Eroded core = eroded(plane, height, words, v, w, pixels_of(width, w));
      found |= core.word | core.word << 1 | core.left | core.word >> 1 | core.right << 63;
    }
    to[i] = found;
  }
}

// Dilates planes along columns by `length`; each thread handles a strip of at most 2 length + 1
// rows. The windows of all its rows share a middle part; the rest above and below are running ORs.
// Reads (2 length + rows) / rows words per word.
__device__ inline void spread_along_columns(const uint64_t* from, int64_t planes, int64_t height,
                                            int64_t words, int64_t length, int64_t rows,
                                            uint64_t* to) {
  const int64_t strips = (height + rows - 1) / rows;
  for (int64_t i = first_item(); i < planes * strips * words; i += item_step()) {
    const int64_t first = i / words / strips * height * words + i % words;
    const uint64_t* in = from + first;
    uint64_t* out = to + first;
    const int64_t top = i / words % strips * rows;
    const int64_t last = top + rows < height ? top + rows - 1 : height - 1;
    uint64_t found = 0;
    for (int64_t y = last; y >= top; --y) {
      out[y * words] = found;
      if (y - 1 - length >= 0) found |= in[(y - 1 - length) * words];
    }
    found = 0;
    const int64_t end = top + length < height ? top + length + 1 : height;
#pragma unroll 8
    for (int64_t y = last > length ? last - length : 0; y < end; ++y) found |= in[y * words];
    for (int64_t y = top; y <= last; ++y) {
      out[y * words] |= found;
      if (y + 1 + length < height) found |= in[(y + 1 + length) * words];
    }
  }
}

}  // namespace hdseg

#define HDSEG_PLANE_KERNELS(T, suffix)                                                         \
  extern "C" __global__ void pack_classes_##suffix(                                            \
      const T* classes, int64_t height, int64_t width, const int32_t* list, int32_t is_listed, \
      int32_t count, uint64_t* planes) {                                                       \
    hdseg::pack_classes(classes, height, width, hdseg::Members(list, is_listed != 0, count),   \
                        planes);                                                               \
  }                                                                                            \
  extern "C" __global__ void unpack_classes_##suffix(                                          \
      const T* classes, int64_t height, int64_t width, const int32_t* list, int32_t is_listed, \
      int32_t count, const uint64_t* planes, const uint64_t* thick, const uint64_t* near,      \
      int64_t length, int32_t more, T* seeds) {                                                \
    hdseg::unpack_classes(classes, height, width, hdseg::Members(list, is_listed != 0, count), \
                          planes, {thick, near, length}, more, seeds);                         \
  }                                                                                            \
  extern "C" __global__ void mark_present_##suffix(const T* values, int64_t count,             \
                                                   uint8_t* found) {                           \
    hdseg::mark_present(values, count, found);                                                 \
  }
HDSEG_PLANE_KERNELS(uint8_t, u8)
HDSEG_PLANE_KERNELS(uint16_t, u16)
HDSEG_PLANE_KERNELS(uint32_t, u32)
#undef HDSEG_PLANE_KERNELS

extern "C" __global__ void open_planes(const uint64_t* from, int64_t planes, int64_t height,
                                       int64_t width, uint64_t* to) {
  hdseg::open_planes(from, planes, height, width, to);
}

extern "C" __global__ void spread_along_columns(const uint64_t* from, int64_t planes,
                                                int64_t height, int64_t words, int64_t length,
                                                int64_t rows, uint64_t* to) {
  hdseg::spread_along_columns(from, planes, height, words, length, rows, to);
}

// A mask of bytes to its plane, and the thinned plane back to bytes.
extern "C" __global__ void pack_bytes(const uint8_t* mask, int64_t height, int64_t width,
                                      uint64_t* plane) {
  const auto is_set = [&](int64_t y, int64_t x) {
    return static_cast<uint32_t>(mask[y * width + x] != 0);
  };
  hdseg::pack<1>(is_set, height, width, 1, plane);
}

extern "C" __global__ void unpack_bytes(const uint8_t* mask, int64_t height, int64_t width,
                                        const uint64_t* plane, uint8_t* thinned) {
  hdseg::unpack(height, width, [&](int64_t pixel, int bit, int64_t word) {
    thinned[pixel] = hdseg::bit_at(plane, word, bit) ? mask[pixel] : uint8_t{0};
  });
}

// A mask of bits, with ceil(width / 8) bytes per row.
extern "C" __global__ void pack_bits(const uint8_t* mask, int64_t height, int64_t width,
                                     uint64_t* plane) {
  const int64_t words = hdseg::words_of(width), stride = (width + 7) / 8;
  for (int64_t i = hdseg::first_item(); i < height * words; i += hdseg::item_step()) {
    const int64_t w = i % words;
    const uint8_t* bytes = mask + i / words * stride;
    uint64_t word = 0;
    for (int64_t k = 0; k < 8 && 8 * w + k < stride; ++k) {
      word |= static_cast<uint64_t>(bytes[8 * w + k]) << 8 * k;
    }
    plane[i] = hdseg::with_last_repeated(word, hdseg::pixels_of(width, w));
  }
}

extern "C" __global__ void unpack_bits(const uint64_t* plane, int64_t height, int64_t width,
                                       uint8_t* mask) {
  const int64_t words = hdseg::words_of(width), stride = (width + 7) / 8;
  for (int64_t i = hdseg::first_item(); i < height * stride; i += hdseg::item_step()) {
    const int64_t k = i % stride, w = k / 8;
    const uint64_t word = plane[i / stride * words + w] & hdseg::pixels_of(width, w);
    mask[i] = static_cast<uint8_t>(word >> k % 8 * 8);
  }
}
