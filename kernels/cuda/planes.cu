// From pixels to bit planes and back, and the dilation of planes.
#include "cuda/plane.h"

namespace hdseg {

// Classes whose planes are made together: with a second buffer, they take a byte for each pixel.
constexpr int kTogether = 4;

// Calls act(y, first, end) for words [first, end) of row y, at most one for each lane of a warp.
template <class Act>
__device__ void each_piece(int64_t height, int64_t words, Act act) {
  const int64_t across = (words + kWarp - 1) / kWarp;
  for (int64_t i = first_item() / kWarp; i < height * across; i += item_step() / kWarp) {
    const int64_t first = i % across * kWarp;
    act(i / across, first, first + kWarp < words ? first + kWarp : words);
  }
}

// Makes planes of pixels: bit p of bits(y, x) is that of plane p. A warp reads 32 pixels side by
// side, whatever the width, and writes up to 32 words.
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
      // Of many classes, few occur here.
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

// Calls act(pixel, bit, word) for each pixel, with its word in a plane.
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

// Which of some classes a pixel has, one bit for each; what is not there is -1.
struct Members {
  int32_t of[kTogether];

  __device__ explicit Members(const int32_t* members) {
    for (int p = 0; p < kTogether; ++p) of[p] = members[p];
  }

  __device__ uint32_t bits(int32_t value) const {
    uint32_t found = 0;
    for (int p = 0; p < kTogether; ++p) found |= static_cast<uint32_t>(value == of[p]) << p;
    return found;
  }
};

__device__ inline bool bit_at(const uint64_t* plane, int64_t word, int bit) {
  return (plane[word] >> bit & 1) != 0;
}

// The planes of some classes.
template <class T>
__device__ void pack_classes(const T* classes, int64_t height, int64_t width, const int32_t* of,
                             int32_t used, uint64_t* planes) {
  const Members members(of);
  const auto bits = [&](int64_t y, int64_t x) { return members.bits(classes[y * width + x]); };
  pack<kTogether>(bits, height, width, used, planes);
}

// Sets the seeds of the pixels that have one of these classes: class + 1 where its bit is left.
template <class T>
__device__ void unpack_seeds(const T* classes, int64_t height, int64_t width, const int32_t* of,
                             const uint64_t* planes, T* seeds) {
  const Members members(of);
  const int64_t size = height * words_of(width);
  unpack(height, width, [&](int64_t pixel, int bit, int64_t word) {
    const T value = classes[pixel];
    for (int p = 0; p < kTogether; ++p) {
      if (static_cast<int32_t>(value) != members.of[p]) continue;
      seeds[pixel] = bit_at(planes + p * size, word, bit) ? static_cast<T>(value + 1) : T{0};
    }
  });
}

// The plane of the pixels with a 3 x 3 window of seeds of one label alone; the border repeats.
template <class T>
__device__ void pack_cores(const T* seeds, int64_t height, int64_t width, uint64_t* plane) {
  const auto is_core = [&](int64_t y, int64_t x) {
    const T label = seeds[y * width + x];
    if (label == 0) return uint32_t{0};
    const int64_t left = x > 0 ? -1 : 0, right = x + 1 < width ? 1 : 0;
    bool same = true;
    for (int dy = -1; dy <= 1; ++dy) {
      const bool inside = y + dy >= 0 && y + dy < height;
      const T* at = seeds + (inside ? y + dy : y) * width + x;
      same = same && at[left] == label && at[0] == label && at[right] == label;
    }
    return static_cast<uint32_t>(same);
  };
  pack<1>(is_core, height, width, 1, plane);
}

// The planes of the thick seeds of some labels.
template <class T>
__device__ void pack_thick(const T* seeds, int64_t height, int64_t width, const uint64_t* thick,
                           const int32_t* of, int32_t used, uint64_t* planes) {
  const Members members(of);
  const int64_t words = words_of(width);
  const auto bits = [&](int64_t y, int64_t x) {
    const bool is_thick = bit_at(thick, y * words + x / kWordBits, static_cast<int>(x % kWordBits));
    return is_thick ? members.bits(seeds[y * width + x]) : 0;
  };
  pack<kTogether>(bits, height, width, used, planes);
}

// Sets to 0 the thin seeds of some labels with a bit in the plane of their label.
template <class T>
__device__ void clear_near(const T* seeds, int64_t height, int64_t width, const uint64_t* thick,
                           const int32_t* of, const uint64_t* near, T* pruned) {
  const Members members(of);
  const int64_t size = height * words_of(width);
  unpack(height, width, [&](int64_t pixel, int bit, int64_t word) {
    const T label = seeds[pixel];
    if (label == 0 || bit_at(thick, word, bit)) return;
    for (int p = 0; p < kTogether; ++p) {
      if (static_cast<int32_t>(label) == members.of[p] && bit_at(near + p * size, word, bit))
        pruned[pixel] = 0;
    }
  });
}

// found[v] = 1 for each value v that occurs. Who comes later mostly sees that nothing is to do.
template <class T>
__device__ void mark_present(const T* values, int64_t count, uint8_t* found) {
  for (int64_t i = first_item(); i < count; i += item_step()) {
    const T value = values[i];
    if (found[value] == 0) found[value] = 1;
  }
}

// The pixels of a word that have a bit exactly `by` to the left or to the right of them in a row.
__device__ inline uint64_t beside(const uint64_t* row, int64_t words, int64_t w, int64_t by) {
  const int64_t whole = by / kWordBits;
  const int rest = static_cast<int>(by % kWordBits);
  const auto at = [&](int64_t i) { return i >= 0 && i < words ? row[i] : uint64_t{0}; };
  if (rest == 0) return at(w - whole) | at(w + whole);
  return at(w - whole) << rest | at(w - whole - 1) >> (kWordBits - rest) | at(w + whole) >> rest |
         at(w + whole + 1) << (kWordBits - rest);
}

// Adds to planes their copies that are moved by 0 or `by` along the rows and along the columns. If
// they have been dilated by a square of a reach of at least by - 1, so they are by one of `by`
// more.
__device__ void widen(const uint64_t* from, int64_t planes, int64_t height, int64_t words,
                      int64_t by, uint64_t* to) {
  for (int64_t i = first_item(); i < planes * height * words; i += item_step()) {
    const int64_t w = i % words, y = i / words % height;
    const uint64_t* row = from + (i - w);
    uint64_t found = row[w] | beside(row, words, w, by);
    if (y >= by) found |= row[w - by * words] | beside(row - by * words, words, w, by);
    if (y + by < height) found |= row[w + by * words] | beside(row + by * words, words, w, by);
    to[i] = found;
  }
}

}  // namespace hdseg

#define HDSEG_PLANE_KERNELS(T, suffix)                                                          \
  extern "C" __global__ void pack_classes_##suffix(const T* classes, int64_t height,            \
                                                   int64_t width, const int32_t* members,       \
                                                   int32_t used, uint64_t* planes) {            \
    hdseg::pack_classes(classes, height, width, members, used, planes);                         \
  }                                                                                             \
  extern "C" __global__ void unpack_seeds_##suffix(const T* classes, int64_t height,            \
                                                   int64_t width, const int32_t* members,       \
                                                   const uint64_t* planes, T* seeds) {          \
    hdseg::unpack_seeds(classes, height, width, members, planes, seeds);                        \
  }                                                                                             \
  extern "C" __global__ void pack_cores_##suffix(const T* seeds, int64_t height, int64_t width, \
                                                 uint64_t* plane) {                             \
    hdseg::pack_cores(seeds, height, width, plane);                                             \
  }                                                                                             \
  extern "C" __global__ void pack_thick_##suffix(const T* seeds, int64_t height, int64_t width, \
                                                 const uint64_t* thick, const int32_t* members, \
                                                 int32_t used, uint64_t* planes) {              \
    hdseg::pack_thick(seeds, height, width, thick, members, used, planes);                      \
  }                                                                                             \
  extern "C" __global__ void clear_near_##suffix(const T* seeds, int64_t height, int64_t width, \
                                                 const uint64_t* thick, const int32_t* members, \
                                                 const uint64_t* near, T* pruned) {             \
    hdseg::clear_near(seeds, height, width, thick, members, near, pruned);                      \
  }                                                                                             \
  extern "C" __global__ void mark_present_##suffix(const T* values, int64_t count,              \
                                                   uint8_t* found) {                            \
    hdseg::mark_present(values, count, found);                                                  \
  }
HDSEG_PLANE_KERNELS(uint8_t, u8)
HDSEG_PLANE_KERNELS(uint16_t, u16)
HDSEG_PLANE_KERNELS(uint32_t, u32)
#undef HDSEG_PLANE_KERNELS

extern "C" __global__ void widen(const uint64_t* from, int64_t planes, int64_t height,
                                 int64_t words, int64_t by, uint64_t* to) {
  hdseg::widen(from, planes, height, words, by, to);
}

// A mask of bytes: its plane, and what of it is left.
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

// A mask of bits, each row ceil(width / 8) bytes.
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
