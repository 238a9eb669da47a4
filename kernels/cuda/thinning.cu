// Thinning of bit planes. A block loads a tile into shared memory, with a halo of all that can
// influence it in one launch, and does one or more passes there, or some elements of a long pass.
//
// A launch reads each active tile once with its halo (78 % more words, mostly from L2), and writes
// its own words once. Tiles around which nothing has changed return at once, so after the first
// launches the cost depends on the length of the classes' boundaries. In shared memory, each
// element visits only patches with both ones and zeros nearby; their words first pass a test of one
// neighbour, and only those left get the full test.
#include "common/presets.h"
#include "cuda/tile.h"

namespace hdseg {

// The planes of a launch.
struct Planes {
  const uint64_t* from;
  uint64_t* to;
  int64_t height, width;
  int32_t* stamp;      // of each tile: the last launch that changed it; set by the first launch
  int32_t launch;      // the number of this launch, from 1 on
  int32_t since;       // how many launches ago these elements were last tried
  bool at_boundaries;  // no element matches where all pixels are set
};

// The length of a warp's list of candidates, and whether this thread found a match in it.
struct Found {
  int listed;
  bool match;
};

// Appends the place of each lane with `wanted` to a warp's list; returns its new length.
__device__ int append(uint16_t* list, int listed, bool wanted, int place) {
  const uint32_t others = __ballot_sync(kAllLanes, wanted);
  const uint32_t before = others & ((1u << lane_of()) - 1);
  if (wanted) list[listed + __popc(before)] = static_cast<uint16_t>(place);
  return listed + __popc(others);
}

// Lists the pixels that the element matches in a warp's lines, except in the outermost `done`
// lines, which no longer matter. First tests one neighbour of all words in the chosen columns, then
// all neighbours of those left. About half of the words pass each test; they are compacted, so that
// no lane is idle in the next one.
template <class Test>
__device__ Found look(const Test& test, uint32_t columns, const View& view, int done, Scratch& s) {
  const int line = static_cast<int>(threadIdx.x);
  uint16_t* place = s.place + line / kWarp * kOfWarp;
  uint64_t* match = s.match + line / kWarp * kOfWarp;
  const bool counts =
      line >= done && line < kLines - done && line >= view.first_line && line < view.end_line;
  int listed = 0;
  for (; columns != 0; columns &= columns - 1) {
    const int at = place_of(line, __ffs(static_cast<int>(columns)) - 1);
    const Window window{s.words + at};
    listed = append(place, listed, counts && test.first(window, window(0, 0)) != 0, at);
  }
  __syncwarp();
  if constexpr (Test::kHasNear) {
    int left = 0;
    for (int first = 0; first < listed; first += kWarp) {
      const bool is_listed = first + lane_of() < listed;
      const int at = is_listed ? place[first + lane_of()] : kMargin + kStride;
      const Window window{s.words + at};
      left = append(place, left, is_listed && test.near(window, window(0, 0)) != 0, at);
    }
    listed = left;
    __syncwarp();
  }
  uint64_t any = 0;
  for (int i = lane_of(); i < listed; i += kWarp) {
    const Window window{s.words + place[i]};
    uint64_t found = test.all(window, window(0, 0));
    if (place[i] >= view.last_place) found &= view.pixels;
    match[i] = found;
    any |= found;
  }
  return {listed, any != 0};
}

// A preset element, known at compile time.
template <int radius, int direction>
struct PresetTest {
  using Far = Preset<radius, direction>;
  static constexpr bool kHasNear = radius > 1;

  __device__ uint64_t first(const Window& window, uint64_t pixels) const {
    return after_first_look<Far, uint64_t>(window, pixels);
  }

  __device__ uint64_t near(const Window& window, uint64_t pixels) const {
    return pixels & ~against_preset<Preset<1, direction>, uint64_t>(window);
  }

  __device__ uint64_t all(const Window& window, uint64_t pixels) const {
    return pixels & ~against_preset<Far, uint64_t>(window);
  }
};

template <int radius>
struct Presets {
  uint64_t directions;  // 4 bits each
  int32_t count;

  __device__ int reached() const { return radius; }

  __device__ Found look_for(int32_t element, uint32_t columns, const View& view, int done,
                            Scratch& s) const {
    switch (directions >> 4 * element & 7) {
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

constexpr int kMostCells = 9;  // the largest side of an element

// The hit and miss cells of an element, column by column, with room for kMostCells in each.
struct CellTable {
  CellColumn columns[kMostCells];
  RowCell cells[kMostCells * kMostCells];
};

struct CellTest {
  static constexpr bool kHasNear = false;
  const CellTable& table;
  int radius;

  __device__ uint64_t first(const Window&, uint64_t pixels) const { return pixels; }

  __device__ uint64_t all(const Window& window, uint64_t pixels) const {
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

// Elements (count, size, size) that are only known at run time.
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

// Removes the pixels that a warp has listed; returns whether any is in the core.
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

// Applies all elements `repeats` times; returns whether this thread has changed the core. All
// threads match before any removes pixels.
template <class Elements>
__device__ bool thin_tile(const Elements& elements, int32_t repeats, bool at_boundaries,
                          const View& view, Scratch& s) {
  if (!may_change_core(view, at_boundaries, s)) return false;
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

// Whether the tile or an adjacent one has changed since these elements were last tried here. A tile
// that changes in this launch may count too, which does no harm.
__device__ bool is_active(const Planes& planes, const int32_t* stamp, int64_t tile_row,
                          int64_t tile_column, int64_t tile_rows, int64_t tile_columns) {
  bool active = false;
  if (planes.launch <= planes.since) return true;
  if (threadIdx.x < 9) {
    const int64_t row = tile_row + threadIdx.x / 3 - 1, column = tile_column + threadIdx.x % 3 - 1;
    active = row >= 0 && row < tile_rows && column >= 0 && column < tile_columns &&
             stamp[row * tile_columns + column] >= planes.launch - planes.since;
  }
  return __syncthreads_or(active);
}

// Block (tile, plane). Words that it does not write are the same in both buffers.
template <class Elements>
__device__ void thin(const Planes& planes, const Elements& elements, int32_t repeats, Scratch& s) {
  const int64_t words = words_of(planes.width);
  const int64_t tile_rows = (planes.height - 1) / kCoreLines + 1;
  const int64_t tile_columns = (words - 1) / kCoreColumns + 1;
  const int64_t tile_row = blockIdx.x / tile_columns, tile_column = blockIdx.x % tile_columns;
  int32_t* stamp = planes.stamp + blockIdx.y * tile_rows * tile_columns;
  // Read before any thread writes it below.
  const bool differs = planes.launch == 1 || stamp[blockIdx.x] >= planes.launch - 1;
  if (!is_active(planes, stamp, tile_row, tile_column, tile_rows, tile_columns)) return;

  const View view = view_of(planes.height, planes.width, tile_row, tile_column);
  const int64_t plane = blockIdx.y * planes.height * words;
  load_tile(planes.from + plane, view, s);
  bool changed = thin_tile(elements, repeats, planes.at_boundaries, view, s);
  changed = __syncthreads_or(changed);
  if ((changed || planes.launch == 1) && threadIdx.x == 0) {
    stamp[blockIdx.x] = changed ? planes.launch : 0;
  }
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
                            uint64_t directions, int32_t count, int32_t repeats) {                \
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
