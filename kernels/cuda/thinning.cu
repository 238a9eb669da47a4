// Thinning of bit planes. A block takes a tile into shared memory, with all that can influence it
// in one launch, and does one or more whole passes there, or some elements of a long one.
//
// A launch moves each active tile once: its words with the halo in (78 % more, of which L2 has
// most), and its own words out. Tiles around which nothing has changed end at once, so after the
// first launches what counts is the length of the classes' boundaries. In shared memory every word
// is looked at once for each element, with one neighbour; few pass, and only these get the whole
// test.
#include "common/presets.h"
#include "cuda/plane.h"

namespace hdseg {

// The tile: a thread for each line of words. A launch reaches at most kHalo pixels, and a change
// comes that far only.
constexpr int kHalo = 32;
constexpr int kLines = 256;
constexpr int kColumns = 8;
constexpr int kCoreLines = kLines - 2 * kHalo;
constexpr int kCoreColumns = kColumns - 2;
// Column after column of words, so that the 32 lines of a warp are read from all banks; with this
// stride, so are the 8 words x 4 lines that are loaded from memory together.
constexpr int kStride = 258;
constexpr int kMargin = 4;  // words, before and behind: elements look this far
constexpr int kPlaces = (kColumns + 2) * kStride + 2 * kMargin;
constexpr int kOfWarp = kWarp * kColumns;
constexpr int kWarps = kLines / kWarp;
// A patch is what a warp has of one column.
static_assert(kHalo <= kWarp && kHalo <= kWordBits, "no launch reaches beyond the next patch");

struct Scratch {
  uint64_t words[kPlaces];
  // For the patches of each warp, a bit for each column: whether pixels are set, or are not.
  uint32_t set[kWarps], gap[kWarps];
  // What each warp has found to look at more closely: where, and what matches there.
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

// What a launch works on.
struct Planes {
  const uint64_t* from;
  uint64_t* to;
  int64_t height, width;
  int32_t* stamp;      // of each tile: the last launch in which it has changed
  int32_t launch;      // this one's number, from 1 on
  int32_t since;       // launches ago these elements were tried here before
  bool at_boundaries;  // no element matches where all pixels are set
};

// A tile in its picture. Lines and columns of words in [first, end) are inside.
struct View {
  int64_t top, left, height, words;
  int first_line, end_line, first_column, end_column;
  int last_place;   // from here on: the last word of each row
  uint64_t pixels;  // of that

  __device__ bool at_frame() const {
    return first_line > 0 || end_line < kLines || first_column > 0 || end_column < kColumns;
  }
};

__device__ inline View view_of(const Planes& planes, int64_t tile_row, int64_t tile_column) {
  View view;
  view.height = planes.height;
  view.words = words_of(planes.width);
  view.top = tile_row * kCoreLines - kHalo;
  view.left = tile_column * kCoreColumns - 1;
  const int64_t lines = view.height - view.top, columns = view.words - view.left;
  view.first_line = view.top < 0 ? kHalo : 0;
  view.end_line = lines < kLines ? static_cast<int>(lines) : kLines;
  view.first_column = view.left < 0 ? 1 : 0;
  view.end_column = columns < kColumns ? static_cast<int>(columns) : kColumns;
  view.last_place = columns <= kColumns ? place_of(0, view.end_column - 1) : kPlaces;
  view.pixels = pixels_of(planes.width, view.words - 1);
  return view;
}

__device__ inline bool in_core(int line, int column) {
  return line >= kHalo && line < kLines - kHalo && column > 0 && column <= kCoreColumns;
}

// The word of a plane, or what repeats its edge pixels outside.
__device__ inline uint64_t word_at(const uint64_t* plane, const View& view, int64_t y, int64_t w) {
  const int64_t row = y < 0 ? 0 : (y < view.height ? y : view.height - 1);
  const int64_t inside = w < 0 ? 0 : (w < view.words ? w : view.words - 1);
  const uint64_t word = plane[row * view.words + inside];
  return w < inside ? left_of(word) : (w > inside ? right_of(word) : word);
}

// Takes over the tile.
__device__ void load_tile(const uint64_t* plane, const View& view, Scratch& s) {
  const int column = static_cast<int>(threadIdx.x) % kColumns;
  for (int i = 0; i < kColumns; ++i) {
    const int line = i * kWarp + static_cast<int>(threadIdx.x) / kColumns;
    s.words[place_of(line, column)] = word_at(plane, view, view.top + line, view.left + column);
  }
  // What lies beyond the halo does not matter, but it should be the same each time.
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
__device__ uint32_t columns_to_visit(int warp, const View& view, bool at_boundaries,
                                     const Scratch& s) {
  const uint32_t inside = (1u << view.end_column) - (1u << view.first_column);
  if (!at_boundaries) return s.set[warp] & inside;
  const uint32_t gap =
      s.gap[warp] | s.gap[warp > 0 ? warp - 1 : 0] | s.gap[warp + 1 < kWarps ? warp + 1 : warp];
  return s.set[warp] & (gap | gap << 1 | gap >> 1) & inside;
}

// The list that a warp has made, and whether this thread has found a match in it.
struct Found {
  int listed;
  bool match;
};

// Lists what the element matches in the lines of a warp, but not in the outermost `done` lines,
// which no longer matter. First one neighbour is looked at of all words; those that pass, side by
// side on the lanes again, get the whole test.
template <class Test>
__device__ Found look(const Test& test, uint32_t columns, const View& view, int done, Scratch& s) {
  const int line = static_cast<int>(threadIdx.x), lane = lane_of();
  uint16_t* place = s.place + line / kWarp * kOfWarp;
  uint64_t* match = s.match + line / kWarp * kOfWarp;
  const bool counts =
      line >= done && line < kLines - done && line >= view.first_line && line < view.end_line;
  int listed = 0;
  for (; columns != 0; columns &= columns - 1) {
    const int at = place_of(line, __ffs(static_cast<int>(columns)) - 1);
    const Window window{s.words + at};
    const bool may_match = counts && test.first(window, window(0, 0)) != 0;
    const uint32_t others = __ballot_sync(kAllLanes, may_match);
    if (may_match) {
      place[listed + __popc(others & ((1u << lane) - 1))] = static_cast<uint16_t>(at);
    }
    listed += __popc(others);
  }
  __syncwarp();
  uint64_t any = 0;
  for (int i = lane; i < listed; i += kWarp) {
    const Window window{s.words + place[i]};
    uint64_t found = test.rest(window, window(0, 0));
    if (place[i] >= view.last_place) found &= view.pixels;
    match[i] = found;
    any |= found;
  }
  return {listed, any != 0};
}

// A preset that the compiler knows.
template <int radius, int direction>
struct PresetTest {
  using Far = Preset<radius, direction>;

  __device__ uint64_t first(const Window& window, uint64_t pixels) const {
    return after_first_look<Far, uint64_t>(window, pixels);
  }

  __device__ uint64_t rest(const Window& window, uint64_t pixels) const {
    const uint64_t left = pixels & ~against_preset<Preset<1, direction>, uint64_t>(window);
    if constexpr (radius == 1) return left;
    return left == 0 ? 0 : left & ~against_preset<Far, uint64_t>(window);
  }
};

template <int radius>
struct Presets {
  const int8_t* directions;
  int32_t count;

  __device__ int reached() const { return radius; }

  __device__ Found look_for(int32_t element, uint32_t columns, const View& view, int done,
                            Scratch& s) const {
    switch (directions[element]) {
      case 0:
        return look(PresetTest<radius, 0>(), columns, view, done, s);
      case 1:
        return look(PresetTest<radius, 1>(), columns, view, done, s);
      case 2:
        return look(PresetTest<radius, 2>(), columns, view, done, s);
      case 3:
        return look(PresetTest<radius, 3>(), columns, view, done, s);
      case 4:
        return look(PresetTest<radius, 4>(), columns, view, done, s);
      case 5:
        return look(PresetTest<radius, 5>(), columns, view, done, s);
      case 6:
        return look(PresetTest<radius, 6>(), columns, view, done, s);
      default:
        return look(PresetTest<radius, 7>(), columns, view, done, s);
    }
  }
};

constexpr int kMostCells = 9;  // along a side of an element

// The cells of an element that matter, column by column; kMostCells have room in each.
struct CellTable {
  CellColumn columns[kMostCells];
  RowCell cells[kMostCells * kMostCells];
};

struct CellTest {
  const CellTable& table;
  int radius;

  __device__ uint64_t first(const Window&, uint64_t pixels) const { return pixels; }

  __device__ uint64_t rest(const Window& window, uint64_t pixels) const {
    uint64_t against = against_in_centre<uint64_t>(window, cells(0), table.columns[radius].cells);
    for (int d = 1; d <= radius; ++d) {
      against |= against_on_side<1, uint64_t>(window, column(d));
      against |= against_on_side<-1, uint64_t>(window, column(-d));
    }
    return pixels & ~against;
  }

 private:
  __device__ const RowCell* cells(int dx) const { return table.cells + (radius + dx) * kMostCells; }
  __device__ CellColumns column(int dx) const {
    return {table.columns + radius + dx, 1, cells(dx)};
  }
};

// Elements (count, size, size) that are known at run time only.
struct AnyElements {
  const int8_t* elements;
  int32_t count, size;
  CellTable& table;

  __device__ int reached() const { return size / 2; }

  __device__ Found look_for(int32_t element, uint32_t columns, const View& view, int done,
                            Scratch& s) const {
    arrange(elements + element * size * size);
    __syncthreads();
    return look(CellTest{table, reached()}, columns, view, done, s);
  }

 private:
  __device__ void arrange(const int8_t* cells) const {
    const int dx = static_cast<int>(threadIdx.x) - reached();
    if (dx > reached()) return;
    RowCell* of_column = table.cells + (dx + reached()) * kMostCells;
    int32_t found = 0;
    for (int dy = -reached(); dy <= reached(); ++dy) {
      const int8_t cell = cells[(dy + reached()) * size + dx + reached()];
      if (cell == 0 || (dx == 0 && dy == 0)) continue;
      of_column[found++] = {dy, cell > 0 ? ~uint64_t{0} : 0};
    }
    table.columns[dx + reached()] = {dx < 0 ? -dx : dx, found, true};
  }
};

// Removes what a warp has listed; returns whether that is in the core.
__device__ bool remove(int listed, const View& view, Scratch& s) {
  const int first = static_cast<int>(threadIdx.x) / kWarp * kOfWarp;
  bool changed = false;
  for (int i = first + lane_of(); i < first + listed; i += kWarp) {
    if (s.match[i] == 0) continue;
    const int at = s.place[i];
    const uint64_t word = s.words[at] & ~s.match[i];
    s.words[at] = at >= view.last_place ? with_last_repeated(word, view.pixels) : word;
    changed = changed || in_core((at - kMargin) % kStride, (at - kMargin) / kStride - 1);
  }
  return changed;
}

// Outside, the edge pixels are repeated as they are now.
__device__ void repeat_edges(const View& view, Scratch& s) {
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

// Tries all elements `repeats` times; returns whether this thread has changed the core. First
// everybody looks, then everybody removes.
template <class Elements>
__device__ bool thin_tile(const Elements& elements, int32_t repeats, bool at_boundaries,
                          const View& view, Scratch& s) {
  uint32_t anywhere = 0;
  for (int warp = 0; warp < kWarps; ++warp) {
    anywhere |= columns_to_visit(warp, view, at_boundaries, s);
  }
  if (anywhere == 0) return false;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const uint32_t columns = columns_to_visit(warp, view, at_boundaries, s);
  bool changed = false;
  int done = 0;
  for (int32_t i = 0; i < repeats * elements.count; ++i) {
    done += elements.reached();
    const Found found = elements.look_for(i % elements.count, columns, view, done, s);
    if (!__syncthreads_or(found.match)) continue;
    changed = remove(found.listed, view, s) || changed;
    __syncthreads();
    if (!view.at_frame()) continue;
    repeat_edges(view, s);
    __syncthreads();
  }
  return changed;
}

// Whether the tile or one beside it has changed since the elements were tried here before. One that
// changes meanwhile looks as if it had: no harm.
__device__ bool is_active(const Planes& planes, const int32_t* stamp, int64_t tile_row,
                          int64_t tile_column, int64_t tile_rows, int64_t tile_columns) {
  bool active = false;
  if (threadIdx.x < 9) {
    const int64_t row = tile_row + threadIdx.x / 3 - 1, column = tile_column + threadIdx.x % 3 - 1;
    active = row >= 0 && row < tile_rows && column >= 0 && column < tile_columns &&
             stamp[row * tile_columns + column] >= planes.launch - planes.since;
  }
  return __syncthreads_or(active);
}

// Block (tile, plane). What it does not write is the same in both buffers.
template <class Elements>
__device__ void thin(const Planes& planes, const Elements& elements, int32_t repeats, Scratch& s) {
  const int64_t words = words_of(planes.width);
  const int64_t tile_rows = (planes.height - 1) / kCoreLines + 1;
  const int64_t tile_columns = (words - 1) / kCoreColumns + 1;
  const int64_t tile_row = blockIdx.x / tile_columns, tile_column = blockIdx.x % tile_columns;
  int32_t* stamp = planes.stamp + blockIdx.y * tile_rows * tile_columns;
  // Read before anybody comes to write it below.
  const bool differs = stamp[blockIdx.x] >= planes.launch - 1;
  if (!is_active(planes, stamp, tile_row, tile_column, tile_rows, tile_columns)) return;

  const View view = view_of(planes, tile_row, tile_column);
  const int64_t plane = blockIdx.y * planes.height * words;
  load_tile(planes.from + plane, view, s);
  bool changed = thin_tile(elements, repeats, planes.at_boundaries, view, s);
  changed = __syncthreads_or(changed);
  if (changed && threadIdx.x == 0) stamp[blockIdx.x] = planes.launch;
  if (!changed && !differs) return;
  for (int i = static_cast<int>(threadIdx.x); i < kCoreLines * kCoreColumns; i += kLines) {
    const int line = kHalo + i / kCoreColumns, column = 1 + i % kCoreColumns;
    if (line < view.end_line && column < view.end_column) {
      planes.to[plane + (view.top + line) * words + view.left + column] =
          s.words[place_of(line, column)];
    }
  }
}

}  // namespace hdseg

#define HDSEG_THIN_PRESETS(radius)                                                                \
  extern "C" __global__ void __launch_bounds__(256, 4)                                            \
      thin_presets_##radius(const uint64_t* from, uint64_t* to, int64_t height, int64_t width,    \
                            int32_t* stamp, int32_t launch, int32_t since, int32_t at_boundaries, \
                            const int8_t* directions, int32_t count, int32_t repeats) {           \
    __shared__ hdseg::Scratch scratch;                                                            \
    hdseg::thin({from, to, height, width, stamp, launch, since, at_boundaries != 0},              \
                hdseg::Presets<radius>{directions, count}, repeats, scratch);                     \
  }
HDSEG_THIN_PRESETS(4)
HDSEG_THIN_PRESETS(1)
#undef HDSEG_THIN_PRESETS

extern "C" __global__ void __launch_bounds__(256, 4)
    thin_cells(const uint64_t* from, uint64_t* to, int64_t height, int64_t width, int32_t* stamp,
               int32_t launch, int32_t since, int32_t at_boundaries, const int8_t* elements,
               int32_t count, int32_t size, int32_t repeats) {
  __shared__ hdseg::Scratch scratch;
  __shared__ hdseg::CellTable table;
  hdseg::thin({from, to, height, width, stamp, launch, since, at_boundaries != 0},
              hdseg::AnyElements{elements, count, size, table}, repeats, scratch);
}
