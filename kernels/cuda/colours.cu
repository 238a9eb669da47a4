// Gaussian models of the classes' colours (kernels/cpu/colour_model.h), for all tasks at once.
#include "common/gaussian.h"
#include "common/smoothing.h"
#include "cuda/tasks.h"

namespace hdseg {

// The sums over cells, and how much they count for the class `own`; a window is group x group
// cells, one pixel of which is `share` of it.
template <class T>
struct WeightedCells {
  const float* moments;  // (grid, moments)
  const T* own;          // (grid)
  const float* weight;
  Grid grid;
  int64_t group;
  float share;
};
static_assert(sizeof(WeightedCells<uint8_t>) == 56);

// sums: over the cells of each window that are of the task's class, times weight and share, row by
// row as on the processor. A thread each entry; those of a window read its cells together.
template <class T>
__device__ void window_sums(const WeightedCells<T>& cells, const Tasks& tasks, float* sums) {
  const int64_t group = cells.group;
  const int64_t count = tasks.count, values = tasks.values();
  for (int64_t e = first_item(); e < values; e += item_step()) {
    const int64_t q = e % count, t = tasks.at(e / count);
    const int64_t window = e / count + tasks.begin[tasks.first] - tasks.begin[t];
    const Task& task = tasks.task[t];
    const int64_t y = (task.top + window / task.width) * group;
    const int64_t x = (task.left + window % task.width) * group;
    const int64_t bottom = y + group < cells.grid.height ? y + group : cells.grid.height;
    const int64_t right = x + group < cells.grid.width ? x + group : cells.grid.width;
    float sum = 0.0f;
    for (int64_t i = y; i < bottom; ++i) {
      for (int64_t j = x; j < right; ++j) {
        const int64_t cell = i * cells.grid.width + j;
        if (cells.own[cell] != task.k || !(cells.weight[cell] > 0.0f)) continue;
        sum += cells.weight[cell] * cells.share * cells.moments[cell * count + q];
      }
    }
    sums[tasks.place(t, q) + window] = sum;
  }
}

// The means of 2 radius + 1 entries along the rows or the columns of a field, by a block; outside
// it there is nothing.
template <bool kDown>
__device__ void field_means(const float* in, const Task& task, int32_t radius, float* out) {
  const double share = 1.0 / static_cast<double>(2 * radius + 1);
  const auto width = static_cast<int32_t>(task.width);
  const auto length = static_cast<int32_t>(kDown ? task.height : task.width);
  const auto area = static_cast<int32_t>(task.area());
  for (auto i = static_cast<int32_t>(threadIdx.x); i < area;
       i += static_cast<int32_t>(blockDim.x)) {
    const int32_t at = kDown ? i / width : i % width;
    const int32_t before = at < radius ? at : radius;
    const int32_t behind = length - 1 - at < radius ? length - 1 - at : radius;
    box_means<1>(in + i, before, behind, kDown ? width : 1, share, out + i);
  }
}

// Three box filters along each axis. A block (task and moment, radius) has a field to itself, which
// its caches hold from pass to pass. found, between: (radii, entries); radii: 16 bits each.
__device__ inline void smooth(const float* sums, const Tasks& tasks, int64_t entries, int64_t radii,
                              float* between, float* found) {
  const auto radius = static_cast<int32_t>(radii >> 16 * blockIdx.y & 0xffff);
  for (int64_t b = blockIdx.x; b < (tasks.end - tasks.first) * tasks.count; b += gridDim.x) {
    const int64_t t = tasks.first + b / tasks.count, place = tasks.place(t, b % tasks.count);
    const Task& task = tasks.task[t];
    float* across = between + blockIdx.y * entries + place;
    float* down = found + blockIdx.y * entries + place;
    for (int64_t pass = 0; pass < kBoxPasses; ++pass) {
      field_means<false>(pass == 0 ? sums + place : down, task, radius, across);
      __syncthreads();
      field_means<true>(across, task, radius, down);
      __syncthreads();
    }
  }
}

// What is found at an entry, from the widest windows to the narrowest, which take over where they
// have something.
struct Found {
  const float* values;  // (radii, entries)
  int64_t entries, radii;
  double prior, start_prior;

  // Moment q, `next` further on, of what is at `place`.
  __device__ double mean(int64_t place, int64_t q, int64_t next, int64_t channels) const {
    double value = standard_moment(q, channels);
    for (int64_t r = radii - 1; r >= 0; --r) {
      const float* at = values + r * entries + place;
      value = shrunken(at[q * next], *at, r + 1 == radii ? start_prior : prior, value);
    }
    return value;
  }
};
static_assert(sizeof(Found) == 40);

// The coefficients of each entry whose task is among these, a thread each. Local memory is set
// aside for every thread that a device can hold: the usual numbers of channels are kernels of their
// own, with little or none; others have their means in `means`.
template <int64_t kMost, bool kExactly>
__device__ void gaussians(const Found& found, const Tasks& tasks, const int32_t* where,
                          int64_t wanted, int64_t channels, double ridge, double* means,
                          float* coefficients) {
  const int64_t known = kExactly ? kMost : channels, count = moment_count(known);
  for (int64_t i = first_item(); i < wanted; i += item_step()) {
    const int64_t t = where[2 * i];
    if (t < tasks.first || t >= tasks.end) continue;
    const int64_t place = tasks.place(t, 0) + where[2 * i + 1];
    const int64_t next = tasks.begin[t + 1] - tasks.begin[t];
    double local[kExactly ? moment_count(kMost) : 1];
    double* mean = kExactly ? local : means + i * count;
    for (int64_t q = 0; q < count; ++q) mean[q] = found.mean(place, q, next, known);
    gaussian<kMost>(mean, known, ridge, coefficients + i * count);
  }
}

}  // namespace hdseg

#define HDSEG_WINDOW_KERNEL(T, suffix)                                                   \
  extern "C" __global__ void window_sums_##suffix(hdseg::WeightedCells<T> cells,         \
                                                  hdseg::SomeTasks tasks, float* sums) { \
    hdseg::window_sums(cells, tasks.known(), sums);                                      \
  }
HDSEG_WINDOW_KERNEL(uint8_t, u8)
HDSEG_WINDOW_KERNEL(uint16_t, u16)
HDSEG_WINDOW_KERNEL(uint32_t, u32)
#undef HDSEG_WINDOW_KERNEL

extern "C" __global__ void __launch_bounds__(512)
    smooth(const float* sums, hdseg::SomeTasks tasks, int64_t entries, int64_t radii,
           float* between, float* found) {
  hdseg::smooth(sums, tasks.known(), entries, radii, between, found);
}

// As many channels as the compiler knows, or at most so many.
#define HDSEG_GAUSSIAN_KERNEL(most)                                                          \
  extern "C" __global__ void gaussians_##most(                                               \
      hdseg::Found found, hdseg::SomeTasks tasks, const int32_t* where, int64_t wanted,      \
      int64_t channels, double ridge, double* means, float* coefficients) {                  \
    hdseg::gaussians<most, (most < 4)>(found, tasks.known(), where, wanted, channels, ridge, \
                                       means, coefficients);                                 \
  }
HDSEG_GAUSSIAN_KERNEL(1)
HDSEG_GAUSSIAN_KERNEL(3)
HDSEG_GAUSSIAN_KERNEL(4)
HDSEG_GAUSSIAN_KERNEL(16)
#undef HDSEG_GAUSSIAN_KERNEL
