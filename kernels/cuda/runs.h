// The unknown band as runs (common/band.h); threads find their run by binary search.
#pragma once
#include "common/band.h"
#include "common/labels.h"
#include "cuda/launch.h"

namespace hdseg {

// The index of the last entry <= value of an ascending array, whose first entry is <= value.
template <class T>
__device__ int64_t last_at_most(const T* ascending, int64_t count, T value) {
  int64_t low = 0, high = count;
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    if (ascending[middle] <= value) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

// The run that contains a position of the band.
__device__ inline int64_t run_at(const Band& band, int64_t position) {
  return last_at_most(band.start, band.runs, static_cast<int32_t>(position));
}

__device__ inline int64_t pixel_at(const Band& band, int64_t run, int64_t position) {
  return band.pixel[run] + position - band.start[run];
}

// The last run that begins at or before a pixel, -1 if there is none.
__device__ inline int64_t run_before(const Band& band, int64_t pixel) {
  if (band.runs == 0 || pixel < band.pixel[0]) return -1;
  return last_at_most(band.pixel, band.runs, pixel);
}

__device__ inline bool is_in_run(const Band& band, int64_t run, int64_t pixel) {
  if (run < 0 || run >= band.runs) return false;
  const int64_t inside = pixel - band.pixel[run];
  return inside >= 0 && inside < band.start[run + 1] - band.start[run];
}

// The run that contains a pixel of the image, -1 if it is not in the band.
__device__ inline int64_t run_with(const Band& band, int64_t pixel) {
  const int64_t run = run_before(band, pixel);
  return is_in_run(band, run, pixel) ? run : -1;
}

// The position of a pixel, -1 if it is not in the band.
__device__ inline int64_t position_of(const Band& band, int64_t pixel) {
  const int64_t run = run_with(band, pixel);
  return run < 0 ? -1 : band.start[run] + pixel - band.pixel[run];
}

// The place of a pixel of a run.
__device__ inline int64_t place_of(const Band& band, const Places& places, int64_t run,
                                   int64_t pixel) {
  return places.first[run] + pixel % band.grid.width / places.across;
}

}  // namespace hdseg
