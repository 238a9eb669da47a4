// The majority filter on the band.
#include "cuda/runs.h"

namespace hdseg {

// The window around a pixel; the border repeats its pixels.
template <class T>
struct LabelWindow {
  const T* labels;
  Grid grid;
  int64_t y, x, reach;

  template <class Act>
  __device__ void each(Act act) const {
    for (int64_t v = y - reach; v <= y + reach; ++v) {
      const int64_t last = grid.height - 1, inside = v < 0 ? 0 : (v > last ? last : v);
      const T* row = labels + inside * grid.width;
      for (int64_t u = x - reach; u <= x + reach; ++u) {
        const int64_t right = grid.width - 1;
        act(row[u < 0 ? 0 : (u > right ? right : u)]);
      }
    }
  }
};

// The pixel's own label wins ties, else the smallest; walls are not counted. The window is read
// once per label, in ascending order, until the remaining ones cannot win: usually once or twice.
template <class T>
__device__ T most_frequent(const LabelWindow<T>& window, T own) {
  int32_t most = 0, left = 0;
  T next = kWall<T>;
  window.each([&](T label) {
    most += label == own;
    left += label != own && label != kWall<T>;
    next = label != own && label < next ? label : next;
  });
  T best = own;
  while (left > most) {  // `next` is the smallest label not yet counted
    const T label = next;
    int32_t votes = 0;
    next = kWall<T>;
    window.each([&](T other) {
      votes += other == label;
      next = other != own && other > label && other < next ? other : next;
    });
    left -= votes;
    if (votes > most) {
      most = votes;
      best = label;
    }
  }
  return best;
}

template <class T>
__device__ void majority(const T* labels, const Band& band, int64_t size, int64_t window,
                         T* found) {
  for (int64_t i = first_item(); i < size; i += item_step()) {
    const int64_t pixel = pixel_at(band, run_at(band, i), i), width = band.grid.width;
    found[i] = most_frequent(
        LabelWindow<T>{labels, band.grid, pixel / width, pixel % width, window / 2}, labels[pixel]);
  }
}

}  // namespace hdseg

#define HDSEG_MAJORITY(T, suffix)                                                               \
  extern "C" __global__ void majority_##suffix(const T* labels, hdseg::Band band, int64_t size, \
                                               int64_t window, T* found) {                      \
    hdseg::majority(labels, band, size, window, found);                                         \
  }
HDSEG_MAJORITY(uint8_t, u8)
HDSEG_MAJORITY(uint16_t, u16)
HDSEG_MAJORITY(uint32_t, u32)
#undef HDSEG_MAJORITY
