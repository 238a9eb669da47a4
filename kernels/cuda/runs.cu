// The band: from seeds to runs, from runs to positions, and values into the picture.
#include "cuda/runs.h"

namespace hdseg {

// Pixels of a row that one warp compacts, so that a row's runs are found by several.
constexpr int64_t kChunk = 1024;

__device__ inline int64_t chunks_of(int64_t width) { return (width + kChunk - 1) / kChunk; }

// Which of the 32 pixels from x on begin a run.
template <class Seed>
__device__ uint32_t beginnings(const Seed* row, int64_t x, int64_t end) {
  const bool unknown = x < end && row[x] == 0;
  const bool before = x > 0 && x < end && row[x - 1] == 0;
  return __ballot_sync(kAllLanes, unknown && !before);
}

// found[c]: how many runs begin in chunk c, chunks row by row.
template <class Seed>
__device__ void count_runs(const Seed* seeds, int64_t height, int64_t width, int32_t* found) {
  const int64_t across = chunks_of(width), chunks = height * across;
  for (int64_t c = first_item() / kWarp; c < chunks; c += item_step() / kWarp) {
    const Seed* row = seeds + c / across * width;
    const int64_t first = c % across * kChunk;
    const int64_t end = first + kChunk < width ? first + kChunk : width;
    int32_t total = 0;
    for (int64_t x = first; x < end; x += kWarp) {
      total += __popc(beginnings(row, x + lane_of(), end));
    }
    if (lane_of() == 0) found[c] = total;
  }
}

// Writes the first and the last pixel of each run; behind[c]: the runs up to the end of chunk c.
template <class Seed>
__device__ void write_runs(const Seed* seeds, int64_t height, int64_t width, const int64_t* behind,
                           int64_t* pixel, int64_t* last) {
  const int64_t across = chunks_of(width), chunks = height * across;
  for (int64_t c = first_item() / kWarp; c < chunks; c += item_step() / kWarp) {
    const int64_t y = c / across;
    const Seed* row = seeds + y * width;
    const int64_t first = c % across * kChunk;
    const int64_t end = first + kChunk < width ? first + kChunk : width;
    int64_t run = c > 0 ? behind[c - 1] : 0;
    for (int64_t start = first; start < end; start += kWarp) {
      const int64_t x = start + lane_of();
      const uint32_t begins = beginnings(row, x, end);
      // The runs that begin up to here; the last of them is this pixel's.
      const int64_t r = run + __popc(begins << (kWarp - 1 - lane_of())) - 1;
      if (begins >> lane_of() & 1u) pixel[r] = y * width + x;
      const bool unknown = x < end && row[x] == 0;
      if (unknown && (x + 1 == width || row[x + 1] != 0)) last[r] = y * width + x;
      run += __popc(begins);
    }
  }
}

// Each pixel of the band gets every `step`-th value.
template <class T>
__device__ void put(const Runs& runs, int64_t size, const T* values, int64_t step, T* picture) {
  for (int64_t i = first_item(); i < size; i += item_step()) {
    picture[pixel_at(runs, run_at(runs, i), i)] = values[i * step];
  }
}

}  // namespace hdseg

#define HDSEG_SEED_KERNELS(T, suffix)                                                           \
  extern "C" __global__ void count_runs_##suffix(const T* seeds, int64_t height, int64_t width, \
                                                 int32_t* found) {                              \
    hdseg::count_runs(seeds, height, width, found);                                             \
  }                                                                                             \
  extern "C" __global__ void write_runs_##suffix(const T* seeds, int64_t height, int64_t width, \
                                                 const int64_t* behind, int64_t* pixel,         \
                                                 int64_t* last) {                               \
    hdseg::write_runs(seeds, height, width, behind, pixel, last);                               \
  }                                                                                             \
  extern "C" __global__ void put_##suffix(const int64_t* pixel, const int32_t* start,           \
                                          int64_t runs, int64_t size, const T* values,          \
                                          int64_t step, T* picture) {                           \
    hdseg::put({{0, 0}, pixel, start, runs}, size, values, step, picture);                      \
  }
HDSEG_SEED_KERNELS(uint8_t, u8)
HDSEG_SEED_KERNELS(uint16_t, u16)
HDSEG_SEED_KERNELS(uint32_t, u32)
#undef HDSEG_SEED_KERNELS

// run[i]: the run of position i.
extern "C" __global__ void runs_of_positions(const int32_t* start, int64_t runs, int64_t size,
                                             int32_t* run) {
  const hdseg::Runs band{{0, 0}, nullptr, start, runs};
  for (int64_t i = hdseg::first_item(); i < size; i += hdseg::item_step()) {
    run[i] = static_cast<int32_t>(hdseg::run_at(band, i));
  }
}
