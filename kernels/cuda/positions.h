// The positions of a band, each with its run: a warp walks along a piece of them.
#pragma once
#include "cuda/runs.h"

namespace hdseg {

constexpr int64_t kPiece = 256;  // as PIECE in hdseg_gpu/backends/cuda_cells.py

// Calls use(run, position) for all positions; with kWhole use(inside, run, position), by all lanes
// of a warp together. A search for the first run of a piece, then steps from run to run.
template <bool kWhole, class Use>
__device__ void each_position(const Runs& runs, int64_t size, Use use) {
  const int64_t pieces = (size + kPiece - 1) / kPiece;
  for (int64_t p = first_item() / kWarp; p < pieces; p += item_step() / kWarp) {
    const int64_t first = p * kPiece, end = first + kPiece < size ? first + kPiece : size;
    int64_t run = run_at(runs, first);
    for (int64_t i = first + lane_of(); i - lane_of() < end; i += kWarp) {
      const bool inside = i < end;
      while (inside && runs.start[run + 1] <= i) ++run;
      if constexpr (kWhole) {
        use(inside, run, i);
      } else {
        if (inside) use(run, i);
      }
    }
  }
}

}  // namespace hdseg
