// The band: runs from seeds, positions from runs, and writing the band's values into the image.
#include "common/band_matrix.h"
#include "cuda/runs.h"
#include "cuda/scan.h"

namespace hdseg {

// Pixels of a row per warp, so that several warps find the runs of a row.
constexpr int64_t kChunk = 1024;

__device__ inline int64_t chunks_of(int64_t width) { return (width + kChunk - 1) / kChunk; }

// A mask of the 32 pixels from x on that begin a run.
template <class Seed>
__device__ uint32_t beginnings(const Seed* row, int64_t x, int64_t end) {
  const bool unknown = x < end && row[x] == 0;
  const bool before = x > 0 && x < end && row[x - 1] == 0;
  return __ballot_sync(kAllLanes, unknown && !before);
}

// A mask of those that are unknown.
template <class Seed>
__device__ uint32_t unknown(const Seed* row, int64_t x, int64_t end) {
  return __ballot_sync(kAllLanes, x < end && row[x] == 0);
}

// counts (3, chunks): the runs that begin in each chunk, its unknown pixels, and the black ones of
// these; chunks are in row order.
template <class Seed>
__device__ void count_runs(const Seed* seeds, int64_t height, int64_t width, int32_t* counts) {
  const int64_t across = chunks_of(width), chunks = height * across;
  for (int64_t c = first_item() / kWarp; c < chunks; c += item_step() / kWarp) {
    const Seed* row = seeds + c / across * width;
    const int64_t first = c % across * kChunk;
    const int64_t end = first + kChunk < width ? first + kChunk : width;
    // A chunk begins at an even column.
    const uint32_t black = c / across % 2 == 0 ? 0x55555555u : 0xaaaaaaaau;
    int32_t runs = 0, found = 0, even = 0;
    for (int64_t x = first; x < end; x += kWarp) {
      runs += __popc(beginnings(row, x + lane_of(), end));
      const uint32_t here = unknown(row, x + lane_of(), end);
      found += __popc(here);
      even += __popc(here & black);
    }
    if (lane_of() == 0) {
      counts[c] = runs;
      counts[chunks + c] = found;
      counts[2 * chunks + c] = even;
    }
  }
}

// Writes the first pixel and the first position of each run.
template <class Seed>
__device__ void write_runs(const Seed* seeds, int64_t height, int64_t width, const Before& before,
                           int64_t* pixel, int32_t* start) {
  const int64_t across = chunks_of(width), chunks = height * across;
  for (int64_t c = first_item() / kWarp; c < chunks; c += item_step() / kWarp) {
    const int64_t y = c / across;
    const Seed* row = seeds + y * width;
    const int64_t first = c % across * kChunk;
    const int64_t end = first + kChunk < width ? first + kChunk : width;
    int64_t run = before.at(c, 0), position = before.at(c, 1);
    for (int64_t x = first; x < end; x += kWarp) {
      const uint32_t begins = beginnings(row, x + lane_of(), end);
      const uint32_t gaps = unknown(row, x + lane_of(), end);
      const uint32_t earlier = (1u << lane_of()) - 1;
      if (begins >> lane_of() & 1u) {
        const int64_t r = run + __popc(begins & earlier);
        pixel[r] = y * width + x + lane_of();
        start[r] = static_cast<int32_t>(position + __popc(gaps & earlier));
      }
      run += __popc(begins);
      position += __popc(gaps);
    }
    if (c + 1 == chunks && lane_of() == 0) start[run] = static_cast<int32_t>(position);
  }
}

// Writes values[i * step] - less to pixel i of the band.
template <class T>
__device__ void put(const Band& band, int64_t size, const T* values, int64_t step, int32_t less,
                    T* picture) {
  for (int64_t i = first_item(); i < size; i += item_step()) {
    picture[pixel_at(band, run_at(band, i), i)] = static_cast<T>(values[i * step] - less);
  }
}

// counts (3, runs): 1, the pixels and the black pixels of each run; 0 for runs whose component has
// a negative place.
__device__ inline void count_part(const Band& band, const int32_t* component, const int32_t* place,
                                  int32_t* counts) {
  for (int64_t r = first_item(); r < band.runs; r += item_step()) {
    const int32_t length = place[component[r]] >= 0 ? band.length(r) : 0;
    const auto colour = static_cast<int32_t>(colour_of(band.pixel[r], band.grid.width));
    counts[r] = length > 0 ? 1 : 0;
    counts[band.runs + r] = length;
    counts[2 * band.runs + r] = (length + 1 - colour) / 2;
  }
}

struct Part {
  int64_t* pixel;     // (runs of the part)
  int32_t* start;     // (runs + 1)
  int32_t* place;     // (runs)
  int32_t* position;  // (pixels): positions in the whole band
};
static_assert(sizeof(Part) == 32);

__device__ inline void write_part(const Band& band, int64_t size, const int32_t* component,
                                  const int32_t* place, const Before& before, const Part& part) {
  for (int64_t i = first_item(); i < size; i += item_step()) {
    const int64_t run = run_at(band, i);
    const int32_t of_component = place[component[run]];
    const int64_t first = before.at(run, 1), inside = i - band.start[run];
    if (of_component >= 0) {
      part.position[first + inside] = static_cast<int32_t>(i);
      if (inside == 0) {
        const int64_t r = before.at(run, 0);
        part.pixel[r] = band.pixel[run];
        part.start[r] = static_cast<int32_t>(first);
        part.place[r] = of_component;
      }
    }
    if (i + 1 == size) {
      part.start[before.at(band.runs, 0)] = static_cast<int32_t>(before.at(band.runs, 1));
    }
  }
}

}  // namespace hdseg

#define HDSEG_SEED_KERNELS(T, suffix)                                                              \
  extern "C" __global__ void count_runs_##suffix(const T* seeds, int64_t height, int64_t width,    \
                                                 int32_t* counts, int64_t* done) {                 \
    if (hdseg::first_item() == 0) *done = 0;                                                       \
    hdseg::count_runs(seeds, height, width, counts);                                               \
  }                                                                                                \
  extern "C" __global__ void write_runs_##suffix(const T* seeds, int64_t height, int64_t width,    \
                                                 const int64_t* in_tile, const int64_t* tile,      \
                                                 int64_t chunks, int64_t* pixel, int32_t* start) { \
    hdseg::write_runs(seeds, height, width, {in_tile, tile, chunks}, pixel, start);                \
  }                                                                                                \
  extern "C" __global__ void put_##suffix(hdseg::Band band, int64_t size, const T* values,         \
                                          int64_t step, int32_t less, T* picture) {                \
    hdseg::put(band, size, values, step, less, picture);                                           \
  }
HDSEG_SEED_KERNELS(uint8_t, u8)
HDSEG_SEED_KERNELS(uint16_t, u16)
HDSEG_SEED_KERNELS(uint32_t, u32)
#undef HDSEG_SEED_KERNELS

// run[i]: the run of position i.
extern "C" __global__ void runs_of_positions(hdseg::Band band, int64_t size, int32_t* run) {
  for (int64_t i = hdseg::first_item(); i < size; i += hdseg::item_step()) {
    run[i] = static_cast<int32_t>(hdseg::run_at(band, i));
  }
}

extern "C" __global__ void count_part(hdseg::Band band, const int32_t* component,
                                      const int32_t* place, int32_t* counts, int64_t* done) {
  if (hdseg::first_item() == 0) *done = 0;
  hdseg::count_part(band, component, place, counts);
}

extern "C" __global__ void write_part(hdseg::Band band, int64_t size, const int32_t* component,
                                      const int32_t* place, hdseg::Before before,
                                      hdseg::Part part) {
  hdseg::write_part(band, size, component, place, before, part);
}
