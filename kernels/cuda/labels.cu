// The label of each pixel of the band, from its potentials.
#include "common/winner.h"
#include "cuda/columns.h"
#include "cuda/runs.h"

namespace hdseg {

// Reads each potential once: 4 bytes per column and pixel. of_all: the bound for all pixels,
// negative if each has its own.
template <class Seed>
__device__ void decide(const Band& band, int64_t size, const float* x, int64_t stride,
                       const ColumnLabels<Seed>& labels, const float* bound, float of_all,
                       const Core& core, Seed* seeds, int32_t* uncertain) {
  const int64_t columns = labels.count - 1;
  int32_t found = 0;
  for (int64_t i = first_item(); i < size; i += item_step()) {
    const int64_t run = run_at(band, i);
    const Winner won =
        winner(column_of(x, stride, 0) + i, stride, columns, of_all < 0.0f ? bound[i] : of_all);
    const int64_t pixel = pixel_at(band, run, i);
    const int64_t place = place_of(band, labels.places, run, pixel);
    seeds[pixel] = labels.label[place * labels.count + won.index];
    const int64_t row = pixel / band.grid.width;
    found += !won.certain && core.has(row, pixel - row * band.grid.width) ? 1 : 0;
  }
  __shared__ int32_t scratch[kWarp];
  found = block_sum(found, scratch);
  if (threadIdx.x == 0 && found > 0) atomicAdd(uncertain, found);
}

}  // namespace hdseg

#define HDSEG_DECIDE(Seed, suffix)                                                               \
  extern "C" __global__ void decide_##suffix(hdseg::Band band, int64_t size, const float* x,     \
                                             int64_t stride, hdseg::ColumnLabels<Seed> labels,   \
                                             const float* bound, float of_all, hdseg::Core core, \
                                             Seed* seeds, int32_t* uncertain) {                  \
    hdseg::decide(band, size, x, stride, labels, bound, of_all, core, seeds, uncertain);         \
  }
HDSEG_DECIDE(uint8_t, u8)
HDSEG_DECIDE(uint16_t, u16)
HDSEG_DECIDE(uint32_t, u32)
#undef HDSEG_DECIDE
