// From a part of the coarse grid to a window of the image's grid. Interpolation is in float64, as
// its contract wants it.
#include "common/grid.h"
#include "cuda/launch.h"

namespace hdseg {

// A block has some columns, one for each thread, and rows of the fine grid: blockIdx.x counts
// blocks row by row.
constexpr int64_t kColumns = 128;
constexpr int64_t kRows = 32;
constexpr int64_t kRowsAtOnce = 8;  // with their best values in registers

struct Block {
  int64_t x, top, end;  // the thread's column; the block's rows
};

__device__ inline Block block_of(const Grid& grid) {
  const int64_t across = (grid.width + kColumns - 1) / kColumns;
  const int64_t x = blockIdx.x % across * kColumns + threadIdx.x;
  const int64_t top = blockIdx.x / across * kRows;
  return {x, top, top + kRows < grid.height ? top + kRows : grid.height};
}

template <class T>
__device__ void upsample_labels(const T* coarse, const GridMapping& place, T* fine,
                                int64_t* sources) {
  const int64_t width = place.window.width;
  const Block block = block_of(place.window);
  if (threadIdx.x < kRows) sources[threadIdx.x] = nearest(block.top + threadIdx.x, place.rows);
  __syncthreads();
  if (block.x >= width) return;
  const int64_t column = nearest(block.x, place.columns);
  for (int64_t y = block.top; y < block.end; ++y) {
    fine[y * width + block.x] = coarse[sources[y - block.top] * place.part.width + column];
  }
}

// The coarse rows around a fine one, each at one fine column. A coarse row serves several fine
// ones.
template <int count>
struct RowWindow {
  double along[count];
  int64_t index[count];

  __device__ void move_to(const Taps& rows, const float* plane, int64_t width,
                          const Taps& columns) {
    for (int i = 0; i < count; ++i) {
      const int64_t wanted = rows.index[i];
      if (wanted == index[i]) continue;
      if (i + 1 < count && wanted == index[i + 1]) {
        along[i] = along[i + 1];
      } else {
        along[i] = along_row(plane + wanted * width, columns);
      }
      index[i] = wanted;
    }
  }

  __device__ double sum(const Taps& rows) const {
    double found = 0.0;
    for (int i = 0; i < count; ++i) found += rows.weight[i] * along[i];
    return found;
  }
};

// Index of the largest interpolated plane; the first one wins a tie.
template <int count, class T>
__device__ void upsample_argmax(const float* planes, int64_t classes, const GridMapping& place,
                                T* fine, Taps* rows) {
  constexpr Interpolation how = count == 2 ? Interpolation::kLinear : Interpolation::kCubic;
  const Grid &from = place.part, &to = place.window;
  const Block block = block_of(to);
  if (threadIdx.x < kRows) {
    rows[threadIdx.x] = taps_for(how, block.top + threadIdx.x, place.rows);
    rows[threadIdx.x].count = count;
  }
  __syncthreads();
  if (block.x >= to.width) return;
  Taps columns = taps_for(how, block.x, place.columns);
  columns.count = count;
  for (int64_t top = 0; block.top + top < block.end; top += kRowsAtOnce) {
    double largest[kRowsAtOnce];
    T best[kRowsAtOnce];
    for (int64_t k = 0; k < classes; ++k) {
      const float* plane = planes + k * from.height * from.width;
      RowWindow<count> window;
      for (int i = 0; i < count; ++i) window.index[i] = -1;
#pragma unroll
      for (int64_t i = 0; i < kRowsAtOnce; ++i) {  // those below the window are computed in vain
        window.move_to(rows[top + i], plane, from.width, columns);
        const double value = window.sum(rows[top + i]);
        const bool larger = k == 0 || value > largest[i];
        largest[i] = larger ? value : largest[i];
        best[i] = larger ? static_cast<T>(k) : best[i];
      }
    }
#pragma unroll
    for (int64_t i = 0; i < kRowsAtOnce; ++i) {
      const int64_t y = block.top + top + i;
      if (y < block.end) fine[y * to.width + block.x] = best[i];
    }
  }
}

// The class whose interpolated indicator is the largest.
template <class T>
__device__ void upsample_classes(const T* coarse, const GridMapping& place, Interpolation how,
                                 T* fine, Taps* rows) {
  const Grid& to = place.window;
  const Block block = block_of(to);
  if (threadIdx.x < kRows) rows[threadIdx.x] = taps_for(how, block.top + threadIdx.x, place.rows);
  __syncthreads();
  if (block.x >= to.width) return;
  const Taps columns = taps_for(how, block.x, place.columns);
  for (int64_t y = block.top; y < block.end; ++y) {
    const Taps& around = rows[y - block.top];
    const NearbyClasses<T> near(coarse, place.part, around, columns);
    fine[y * to.width + block.x] = largest_class(near, around, columns);
  }
}

}  // namespace hdseg

#define HDSEG_UPSAMPLING(T, suffix)                                                               \
  extern "C" __global__ void upsample_labels_##suffix(const T* coarse, hdseg::GridMapping place,  \
                                                      T* fine) {                                  \
    __shared__ int64_t sources[hdseg::kRows];                                                     \
    hdseg::upsample_labels(coarse, place, fine, sources);                                         \
  }                                                                                               \
  extern "C" __global__ void upsample_classes_##suffix(const T* coarse, hdseg::GridMapping place, \
                                                       hdseg::Interpolation how, T* fine) {       \
    __shared__ hdseg::Taps rows[hdseg::kRows];                                                    \
    hdseg::upsample_classes(coarse, place, how, fine, rows);                                      \
  }                                                                                               \
  extern "C" __global__ void upsample_linear_##suffix(const float* planes, int64_t classes,       \
                                                      hdseg::GridMapping place, T* fine) {        \
    __shared__ hdseg::Taps rows[hdseg::kRows];                                                    \
    hdseg::upsample_argmax<2>(planes, classes, place, fine, rows);                                \
  }                                                                                               \
  extern "C" __global__ void upsample_cubic_##suffix(const float* planes, int64_t classes,        \
                                                     hdseg::GridMapping place, T* fine) {         \
    __shared__ hdseg::Taps rows[hdseg::kRows];                                                    \
    hdseg::upsample_argmax<4>(planes, classes, place, fine, rows);                                \
  }
HDSEG_UPSAMPLING(uint8_t, u8)
HDSEG_UPSAMPLING(uint16_t, u16)
HDSEG_UPSAMPLING(uint32_t, u32)
#undef HDSEG_UPSAMPLING

// samples (count, classes): all planes at some pixels of the window.
extern "C" __global__ void sample_planes(const float* planes, int64_t classes,
                                         hdseg::GridMapping place, hdseg::Interpolation how,
                                         const int64_t* pixels, int64_t count, double* samples) {
  using namespace hdseg;
  for (int64_t i = first_item(); i < count; i += item_step()) {
    const Taps rows = taps_for(how, pixels[i] / place.window.width, place.rows);
    const Taps columns = taps_for(how, pixels[i] % place.window.width, place.columns);
    for (int64_t k = 0; k < classes; ++k) {
      const float* plane = planes + k * place.part.height * place.part.width;
      samples[i * classes + k] = interpolate(plane, place.part, rows, columns);
    }
  }
}
