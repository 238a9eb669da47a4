// Gaussian models of the classes' colours (kernels/cpu/colour_model.h), step by step, for all
// classes at once. A task is a class and a field of windows around those it is wanted in; the
// fields lie one after the other. Entries are (window, moment), moments beside one another; all
// steps are short against class_evidence.
#include "common/gaussian.h"
#include "common/smoothing.h"
#include "cuda/runs.h"

namespace hdseg {

struct Task {
  int64_t k, top, left, height, width;
};

struct Tasks {
  const int64_t* begin;  // (count + 1) the first window of each field
  const Task* task;
  int64_t count;

  // The task of a window of all fields.
  __device__ int64_t at(int64_t window) const { return last_at_most(begin, count, window); }
};

// sums (windows of all fields, moments): over the cells of each window that are of the task's
// class, times weight and share, row by row as on the processor. A thread each entry.
template <class T>
__device__ void window_sums(const float* moments, int64_t count, const T* own, const float* weight,
                            const Grid& cells, int64_t group, float share, const Tasks& tasks,
                            float* sums) {
  for (int64_t e = first_item(); e < tasks.begin[tasks.count] * count; e += item_step()) {
    const int64_t q = e % count, t = tasks.at(e / count), window = e / count - tasks.begin[t];
    const Task& task = tasks.task[t];
    const int64_t y = (task.top + window / task.width) * group;
    const int64_t x = (task.left + window % task.width) * group;
    const int64_t bottom = y + group < cells.height ? y + group : cells.height;
    const int64_t right = x + group < cells.width ? x + group : cells.width;
    float sum = 0.0f;
    for (int64_t i = y; i < bottom; ++i) {
      for (int64_t j = x; j < right; ++j) {
        const int64_t cell = i * cells.width + j;
        if (own[cell] != task.k || !(weight[cell] > 0.0f)) continue;
        sum += weight[cell] * share * moments[cell * count + q];
      }
    }
    sums[e] = sum;
  }
}

// The means of 2 radius + 1 entries along a row or a column of their field; outside it there is
// nothing. Radii are small: the cache has what neighbours read.
template <bool kDown>
__device__ void field_means(const float* in, int64_t count, const Tasks& tasks, int64_t radius,
                            float* out) {
  const double share = 1.0 / static_cast<double>(2 * radius + 1);
  for (int64_t e = first_item(); e < tasks.begin[tasks.count] * count; e += item_step()) {
    const int64_t t = tasks.at(e / count), window = e / count - tasks.begin[t];
    const Task& task = tasks.task[t];
    const int64_t at = kDown ? window / task.width : window % task.width;
    const int64_t length = kDown ? task.height : task.width;
    const int64_t before = at < radius ? at : radius;
    const int64_t behind = length - 1 - at < radius ? length - 1 - at : radius;
    box_means<1>(in + e, before, behind, kDown ? task.width * count : count, share, out + e);
  }
}

// The coefficients of each window, a thread each. Local memory is set aside for every thread that a
// device can hold: the usual numbers of channels are kernels of their own, with little or none.
template <int64_t kMost, bool kExactly>
__device__ void gaussians(const double* mean, int64_t windows, int64_t channels, double ridge,
                          float* coefficients) {
  const int64_t count = moment_count(channels);
  for (int64_t i = first_item(); i < windows; i += item_step()) {
    gaussian<kMost>(mean + i * count, kExactly ? kMost : channels, ridge, coefficients + i * count);
  }
}

}  // namespace hdseg

#define HDSEG_WINDOW_KERNEL(T, suffix)                                                        \
  extern "C" __global__ void window_sums_##suffix(                                            \
      const float* moments, int64_t count, const T* own, const float* weight, int64_t height, \
      int64_t width, int64_t group, float share, const int64_t* begin, const int64_t* task,   \
      int64_t tasks, float* sums) {                                                           \
    hdseg::window_sums(moments, count, own, weight, {height, width}, group, share,            \
                       {begin, reinterpret_cast<const hdseg::Task*>(task), tasks}, sums);     \
  }
HDSEG_WINDOW_KERNEL(uint8_t, u8)
HDSEG_WINDOW_KERNEL(uint16_t, u16)
HDSEG_WINDOW_KERNEL(uint32_t, u32)
#undef HDSEG_WINDOW_KERNEL

extern "C" __global__ void means_along_rows(const float* in, int64_t count, const int64_t* begin,
                                            const int64_t* task, int64_t tasks, int64_t radius,
                                            float* out) {
  const hdseg::Tasks all{begin, reinterpret_cast<const hdseg::Task*>(task), tasks};
  hdseg::field_means<false>(in, count, all, radius, out);
}

extern "C" __global__ void means_along_columns(const float* in, int64_t count, const int64_t* begin,
                                               const int64_t* task, int64_t tasks, int64_t radius,
                                               float* out) {
  const hdseg::Tasks all{begin, reinterpret_cast<const hdseg::Task*>(task), tasks};
  hdseg::field_means<true>(in, count, all, radius, out);
}

// What is known of a class before any window has spoken: mean (windows, moments).
extern "C" __global__ void start_means(int64_t windows, int64_t channels, double* mean) {
  const int64_t count = hdseg::moment_count(channels);
  for (int64_t e = hdseg::first_item(); e < windows * count; e += hdseg::item_step()) {
    mean[e] = hdseg::standard_moment(e % count, channels);
  }
}

// Narrower windows take over where they have something. mean is of the windows that are wanted,
// which are number where[i] of all fields.
extern "C" __global__ void shrink_means(const float* found, const int64_t* where, int64_t windows,
                                        int64_t count, double prior, double* mean) {
  for (int64_t e = hdseg::first_item(); e < windows * count; e += hdseg::item_step()) {
    const float* there = found + where[e / count] * count;
    mean[e] = hdseg::shrunken(there[e % count], *there, prior, mean[e]);
  }
}

// As many channels as the compiler knows, or at most so many.
#define HDSEG_GAUSSIAN_KERNEL(most)                                                               \
  extern "C" __global__ void gaussians_##most(                                                    \
      const double* mean, int64_t windows, int64_t channels, double ridge, float* coefficients) { \
    hdseg::gaussians<most, (most < 4)>(mean, windows, channels, ridge, coefficients);             \
  }
HDSEG_GAUSSIAN_KERNEL(1)
HDSEG_GAUSSIAN_KERNEL(3)
HDSEG_GAUSSIAN_KERNEL(4)
HDSEG_GAUSSIAN_KERNEL(16)
#undef HDSEG_GAUSSIAN_KERNEL
