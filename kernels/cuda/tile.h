// A tile of a bit plane in shared memory, with its surroundings.
#pragma once
#include "cuda/plane.h"

namespace hdseg {

// A tile has one thread per line of words. In one launch, changes spread by at most kHalo pixels.
constexpr int kHalo = 32;
constexpr int kLines = 256;
constexpr int kColumns = 8;
constexpr int kCoreLines = kLines - 2 * kHalo;
constexpr int kCoreColumns = kColumns - 2;
// Column by column of words, so that the 32 lines of a warp use all banks; with this stride the
// 8 words x 4 lines that are loaded from memory together do so too.
constexpr int kStride = 258;
constexpr int kMargin = 4;  // words at both ends: the largest radius of elements
constexpr int kPlaces = (kColumns + 2) * kStride + 2 * kMargin;
constexpr int kOfWarp = kWarp * kColumns;
constexpr int kWarps = kLines / kWarp;
// A patch is the part of one column that a warp handles.
static_assert(kHalo <= kWarp && kHalo <= kWordBits, "no launch reaches beyond the next patch");

struct Scratch {
  uint64_t words[kPlaces];
  // For each warp a bit per column: whether its patch has any 1, and whether it has any 0.
  uint32_t set[kWarps], gap[kWarps];
  // Each warp's list of candidates: their places, and the pixels that match there.
  uint64_t match[kLines * kColumns];
  uint16_t place[kLines * kColumns];
};

__device__ constexpr int place_of(int line, int column) {
  return kMargin + (column + 1) * kStride + line;
}

struct Window {
  const uint64_t* centre;

  __device__ uint64_t operator()(int side, int64_t dy) const { return centre[side * kStride + dy]; }
};

// The position of a tile in its plane. Lines and columns of words in [first, end) are inside.
struct View {
  int64_t top, left, height, words;
  int first_line, end_line, first_column, end_column;
  int last_place;   // places from here on belong to the last word of each row
  uint64_t pixels;  // mask of that word's pixels

  __device__ bool at_frame() const {
    return first_line > 0 || end_line < kLines || first_column > 0 || end_column < kColumns;
  }
};

__device__ inline View view_of(int64_t height, int64_t width, int64_t tile_row,
                               int64_t tile_column) {
  View view;
  view.height = height;
  view.words = words_of(width);
  view.top = tile_row * kCoreLines - kHalo;
  view.left = tile_column * kCoreColumns - 1;
  const int64_t lines = view.height - view.top, columns = view.words - view.left;
  view.first_line = view.top < 0 ? kHalo : 0;
  view.end_line = lines < kLines ? static_cast<int>(lines) : kLines;
  view.first_column = view.left < 0 ? 1 : 0;
  view.end_column = columns < kColumns ? static_cast<int>(columns) : kColumns;
  view.last_place = columns <= kColumns ? place_of(0, view.end_column - 1) : kPlaces;
  view.pixels = pixels_of(width, view.words - 1);
  return view;
}

__device__ inline bool in_core(int line, int column) {
  return line >= kHalo && line < kLines - kHalo && column > 0 && column <= kCoreColumns;
}

// A word of a plane; outside, edge pixels are repeated.
__device__ inline uint64_t word_at(const uint64_t* plane, const View& view, int64_t y, int64_t w) {
  const int64_t row = y < 0 ? 0 : (y < view.height ? y : view.height - 1);
  const int64_t inside = w < 0 ? 0 : (w < view.words ? w : view.words - 1);
  const uint64_t word = plane[row * view.words + inside];
  return w < inside ? left_of(word) : (w > inside ? right_of(word) : word);
}

// Loads the tile with its halo into shared memory.
__device__ inline void load_tile(const uint64_t* plane, const View& view, Scratch& s) {
  const int column = static_cast<int>(threadIdx.x) % kColumns;
  for (int i = 0; i < kColumns; ++i) {
    const int line = i * kWarp + static_cast<int>(threadIdx.x) / kColumns;
    s.words[place_of(line, column)] = word_at(plane, view, view.top + line, view.left + column);
  }
  // Words beyond the halo do not matter, but should be the same in every run.
  for (int i = static_cast<int>(threadIdx.x); i < kStride + kMargin; i += kLines) {
    s.words[i] = s.words[kPlaces - 1 - i] = 0;
  }
  if (threadIdx.x < kColumns) {
    const int behind = place_of(kLines, static_cast<int>(threadIdx.x));
    for (int i = 0; i < kStride - kLines; ++i) s.words[behind + i] = 0;
  }
  __syncthreads();
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  uint32_t set = 0, gap = 0;
  for (int c = 0; c < kColumns; ++c) {
    const uint64_t word = s.words[place_of(static_cast<int>(threadIdx.x), c)];
    set |= static_cast<uint32_t>(__any_sync(kAllLanes, word != 0)) << c;
    gap |= static_cast<uint32_t>(__any_sync(kAllLanes, ~word != 0)) << c;
  }
  if (lane_of() == 0) {
    s.set[warp] = set;
    s.gap[warp] = gap;
  }
  __syncthreads();
}

// The columns in which a warp may find matches in this launch.
__device__ inline uint32_t columns_to_visit(int warp, const View& view, bool at_boundaries,
                                            const Scratch& s) {
  const uint32_t inside = (1u << view.end_column) - (1u << view.first_column);
  if (!at_boundaries) return s.set[warp] & inside;
  const uint32_t gap =
      s.gap[warp] | s.gap[warp > 0 ? warp - 1 : 0] | s.gap[warp + 1 < kWarps ? warp + 1 : warp];
  return s.set[warp] & (gap | gap << 1 | gap >> 1) & inside;
}

// Whether any warp may find matches in the core.
__device__ inline bool may_change_core(const View& view, bool at_boundaries, const Scratch& s) {
  static_assert(kHalo == kWarp, "the first and the last warp have the halo");
  uint32_t columns = 0;
  for (int warp = 1; warp + 1 < kWarps; ++warp) {
    columns |= columns_to_visit(warp, view, at_boundaries, s);
  }
  return (columns >> 1 & ((1u << kCoreColumns) - 1)) != 0;
}

// Repeats the current edge pixels outside the plane.
__device__ inline void repeat_edges(const View& view, Scratch& s) {
  const int line = static_cast<int>(threadIdx.x), last = view.end_line - 1;
  const int inside = line < view.first_line ? view.first_line : (line > last ? last : line);
  for (int column = 0; column < kColumns; ++column) {
    const bool before = column < view.first_column, behind = column >= view.end_column;
    if (line == inside && !before && !behind) continue;
    const int beside = before ? view.first_column : (behind ? view.end_column - 1 : column);
    const uint64_t word = s.words[place_of(inside, beside)];
    s.words[place_of(line, column)] = before ? left_of(word) : (behind ? right_of(word) : word);
  }
}

}  // namespace hdseg
