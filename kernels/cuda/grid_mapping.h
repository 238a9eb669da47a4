// A GridMapping (common/grid.h) as kernel arguments: the numbers of core.windows.GridMapping in
// order, since a kernel's arguments are constants and take no registers.
#pragma once
#include "common/grid.h"

#define HDSEG_PLACEMENT                                                                   \
  int64_t picture_height, int64_t picture_width, int64_t window_top, int64_t window_left, \
      int64_t window_height, int64_t window_width, int64_t map_height, int64_t map_width, \
      int64_t part_top, int64_t part_left, int64_t part_height, int64_t part_width

#define HDSEG_GRID_MAPPING                                              \
  hdseg::GridMapping {                                                  \
    {picture_height, map_height, window_top, part_top, part_height},    \
        {picture_width, map_width, window_left, part_left, part_width}, \
        {window_height, window_width}, {                                \
      part_height, part_width                                           \
    }                                                                   \
  }
