// The unknown band as runs (kernels/cpu/band.h); threads find their run by binary search.
#pragma once
#include "common/grid.h"
#include "common/labels.h"
#include "cuda/launch.h"

namespace hdseg {

// The pixels of run r are pixel[r], pixel[r] + 1, ... in one row of the image; they have the
// positions start[r] .. start[r + 1] - 1 in the band.
struct Runs {
  Grid grid;
  const int64_t* pixel;
  const int32_t* start;
  int64_t count;
};

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
__device__ inline int64_t run_at(const Runs& runs, int64_t position) {
  return last_at_most(runs.start, runs.count, static_cast<int32_t>(position));
}

__device__ inline int64_t pixel_at(const Runs& runs, int64_t run, int64_t position) {
  return runs.pixel[run] + position - runs.start[run];
}

// The last run that begins at or before a pixel, -1 if there is none.
__device__ inline int64_t run_before(const Runs& runs, int64_t pixel) {
  if (runs.count == 0 || pixel < runs.pixel[0]) return -1;
  return last_at_most(runs.pixel, runs.count, pixel);
}

__device__ inline bool is_in_run(const Runs& runs, int64_t run, int64_t pixel) {
  if (run < 0 || run >= runs.count) return false;
  const int64_t inside = pixel - runs.pixel[run];
  return inside >= 0 && inside < runs.start[run + 1] - runs.start[run];
}

// The run that contains a pixel of the image, -1 if it is not in the band.
__device__ inline int64_t run_with(const Runs& runs, int64_t pixel) {
  const int64_t run = run_before(runs, pixel);
  return is_in_run(runs, run, pixel) ? run : -1;
}

// The position of a pixel, -1 if it is not in the band.
__device__ inline int64_t position_of(const Runs& runs, int64_t pixel) {
  const int64_t run = run_with(runs, pixel);
  return run < 0 ? -1 : runs.start[run] + pixel - runs.pixel[run];
}

// The place of a pixel of a run.
__device__ inline int64_t place_of(const Runs& runs, const Places& places, int64_t run,
                                   int64_t pixel) {
  return places.first[run] + pixel % runs.grid.width / places.across;
}

}  // namespace hdseg
