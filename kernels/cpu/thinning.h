// Thinning of bit planes by hit-or-miss elements.
#pragma once
#include <vector>

#include "cpu/bit_plane.h"
#include "cpu/elements.h"

namespace hdseg {

// The state of a tile.
struct TileState {
  int64_t active = -1;   // the last pass in which it is to be visited
  int64_t changed = -1;  // the last pass in which it lost pixels
  bool empty = false;
};

struct ThinPlane {
  BitPlane plane;
  std::vector<TileState> states;  // words x tile_rows

  ThinPlane(int64_t height, int64_t width);

  TileState& state(int64_t w, int64_t tile_row) {
    return states[static_cast<size_t>(w * plane.tile_rows() + tile_row)];
  }
  bool ever_changed(int64_t w, int64_t tile_row) const {
    return states[static_cast<size_t>(w * plane.tile_rows() + tile_row)].changed >= 0;
  }
};

// Applies all elements in turn, `passes` times, to every plane; stops early when a pass changes
// nothing. The planes' padding is set here. Planes are thinned together, so that many small ones
// keep all threads busy.
void thin(std::vector<ThinPlane>& planes, const ElementSet& set, int64_t passes);

// The number of threads worth waking for a number of tiles.
int threads_for(int64_t tiles);

}  // namespace hdseg
