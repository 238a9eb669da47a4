// Loops over the positions of a band and their runs: a warp handles one piece of positions.
#pragma once
#include "cuda/runs.h"

namespace hdseg {

constexpr int64_t kPiece = 256;  // as PIECE in hdseg_gpu/backends/cuda/kernels.py

// The positions begin .. end - 1.
struct Range {
  int64_t begin, end;
};
static_assert(sizeof(Range) == 16);

// Calls use(run, position) for all positions; with kWhole use(inside, run, position), by all lanes
// of a warp together. Searches for the first run of a piece, then steps from run to run.
template <bool kWhole, class Use>
__device__ void each_position(const Band& band, const Range& range, Use use) {
  const int64_t pieces = (range.end - range.begin + kPiece - 1) / kPiece;
  for (int64_t p = first_item() / kWarp; p < pieces; p += item_step() / kWarp) {
    const int64_t first = range.begin + p * kPiece;
    const int64_t end = first + kPiece < range.end ? first + kPiece : range.end;
    int64_t run = run_at(band, first);
    for (int64_t i = first + lane_of(); i - lane_of() < end; i += kWarp) {
      const bool inside = i < end;
      while (inside && band.start[run + 1] <= i) ++run;
      if constexpr (kWhole) {
        use(inside, run, i);
      } else {
        if (inside) use(run, i);
      }
    }
  }
}

}  // namespace hdseg
