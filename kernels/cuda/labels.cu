// The label of each pixel of the band, from its potentials.
#include "common/winner.h"
#include "cuda/columns.h"
#include "cuda/runs.h"

namespace hdseg {

// Reads each potential once: 4 bytes per column and pixel. of_all: the bound for all pixels,
// negative if each has its own.
template <class Seed>
__device__ void decide(const Runs& runs, int64_t size, const float* x, int64_t columns,
                       int64_t stride, const Seed* label, const Places& places, const float* bound,
                       float of_all, const Core& core, Seed* seeds, int32_t* uncertain) {
  int32_t found = 0;
  for (int64_t i = first_item(); i < size; i += item_step()) {
    const int64_t run = run_at(runs, i);
    const Winner won =
        winner(column_of(x, stride, 0) + i, stride, columns, of_all < 0.0f ? bound[i] : of_all);
    const int64_t pixel = pixel_at(runs, run, i);
    seeds[pixel] = label[place_of(runs, places, run, pixel) * (columns + 1) + won.index];
    const int64_t row = pixel / runs.grid.width;
    found += !won.certain && core.has(row, pixel - row * runs.grid.width) ? 1 : 0;
  }
  __shared__ int32_t scratch[kWarp];
  found = block_sum(found, scratch);
  if (threadIdx.x == 0 && found > 0) atomicAdd(uncertain, found);
}

}  // namespace hdseg

#define HDSEG_DECIDE(Seed, suffix)                                                                \
  extern "C" __global__ void decide_##suffix(                                                     \
      const int64_t* pixel, const int32_t* start, int64_t runs, int64_t size, const float* x,     \
      int64_t columns, int64_t stride, const Seed* label, const int32_t* first, int64_t across,   \
      const float* bound, float of_all, int64_t height, int64_t width, int64_t top, int64_t left, \
      int64_t bottom, int64_t right, Seed* seeds, int32_t* uncertain) {                           \
    hdseg::decide({{height, width}, pixel, start, runs}, size, x, columns, stride, label,         \
                  {first, across}, bound, of_all, {top, left, bottom, right}, seeds, uncertain);  \
  }
HDSEG_DECIDE(uint8_t, u8)
HDSEG_DECIDE(uint16_t, u16)
HDSEG_DECIDE(uint32_t, u32)
#undef HDSEG_DECIDE
