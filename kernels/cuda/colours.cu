// Gaussian models of one class's colours (kernels/cpu/colour_model.h), step by step. Entries are
// (window, moment), moments beside one another; all steps are short against class_evidence.
#include "common/gaussian.h"
#include "common/smoothing.h"
#include "cuda/launch.h"

namespace hdseg {

// sums (box, moments): over the cells of each window that are of class k, times weight and share,
// row by row as on the processor. A thread each entry.
template <class T>
__device__ void window_sums(const float* moments, int64_t count, const T* own, const float* weight,
                            const Grid& cells, int64_t k, int64_t group, float share, int64_t top,
                            int64_t left, const Grid& box, float* sums) {
  for (int64_t e = first_item(); e < box.height * box.width * count; e += item_step()) {
    const int64_t window = e / count, q = e - window * count;
    const int64_t y = (top + window / box.width) * group, x = (left + window % box.width) * group;
    const int64_t bottom = y + group < cells.height ? y + group : cells.height;
    const int64_t right = x + group < cells.width ? x + group : cells.width;
    float sum = 0.0f;
    for (int64_t i = y; i < bottom; ++i) {
      for (int64_t j = x; j < right; ++j) {
        const int64_t cell = i * cells.width + j;
        if (own[cell] != k || !(weight[cell] > 0.0f)) continue;
        sum += weight[cell] * share * moments[cell * count + q];
      }
    }
    sums[e] = sum;
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

#define HDSEG_WINDOW_KERNEL(T, suffix)                                                           \
  extern "C" __global__ void window_sums_##suffix(                                               \
      const float* moments, int64_t count, const T* own, const float* weight, int64_t height,    \
      int64_t width, int64_t k, int64_t group, float share, int64_t top, int64_t left,           \
      int64_t box_height, int64_t box_width, float* sums) {                                      \
    hdseg::window_sums(moments, count, own, weight, {height, width}, k, group, share, top, left, \
                       {box_height, box_width}, sums);                                           \
  }
HDSEG_WINDOW_KERNEL(uint8_t, u8)
HDSEG_WINDOW_KERNEL(uint16_t, u16)
#undef HDSEG_WINDOW_KERNEL

// The means of 2 radius + 1 entries that are `stride` apart; outside the line, which has `length`
// entries, there is nothing. Radii are small: the cache has what neighbours read.
extern "C" __global__ void box_means(const float* in, int64_t entries, int64_t stride,
                                     int64_t length, int64_t radius, float* out) {
  const double share = 1.0 / static_cast<double>(2 * radius + 1);
  for (int64_t e = hdseg::first_item(); e < entries; e += hdseg::item_step()) {
    const int64_t at = e / stride % length;
    const int64_t before = at < radius ? at : radius;
    const int64_t behind = length - 1 - at < radius ? length - 1 - at : radius;
    hdseg::box_means<1>(in + e, before, behind, stride, share, out + e);
  }
}

// What is known of a class before any window has spoken: mean (windows, moments).
extern "C" __global__ void start_means(int64_t windows, int64_t channels, double* mean) {
  const int64_t count = hdseg::moment_count(channels);
  for (int64_t e = hdseg::first_item(); e < windows * count; e += hdseg::item_step()) {
    mean[e] = hdseg::standard_moment(e % count, channels);
  }
}

// Narrower windows take over where they have something. mean is of a box, found of the windows
// around it, too: `across` in a row, and the box begins with the one at (top, left).
extern "C" __global__ void shrink_means(const float* found, int64_t across, int64_t top,
                                        int64_t left, int64_t height, int64_t width, int64_t count,
                                        double prior, double* mean) {
  for (int64_t e = hdseg::first_item(); e < height * width * count; e += hdseg::item_step()) {
    const int64_t window = e / count, y = top + window / width, x = left + window % width;
    const float* there = found + (y * across + x) * count;
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
