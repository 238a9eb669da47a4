// Checking and converting input values (kernels/cpu/values.h); each kernel reads them once.
#include "common/normalise.h"
#include "cuda/launch.h"

namespace hdseg {

template <class T>
using Computed = decltype(computed(T{}));

// Joins the extremes of a block's threads; thread 0 gets the result. All threads must call.
template <class R>
__device__ Extremes<R> joined(Extremes<R> mine, Extremes<R>* scratch) {
  for (int step = kWarp / 2; step > 0; step /= 2) {
    Extremes<R> other;
    other.lowest = __shfl_down_sync(kAllLanes, mine.lowest, step);
    other.highest = __shfl_down_sync(kAllLanes, mine.highest, step);
    other.least = __shfl_down_sync(kAllLanes, mine.least, step);
    other.most = __shfl_down_sync(kAllLanes, mine.most, step);
    other.odd = __shfl_down_sync(kAllLanes, mine.odd, step);
    mine.add(other);
  }
  if (lane_of() == 0) scratch[threadIdx.x / kWarp] = mine;
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int w = 1; w < static_cast<int>(blockDim.x / kWarp); ++w) mine.add(scratch[w]);
  }
  return mine;
}

// The class values of pixels, (outer, classes, inner).
template <class T>
struct ClassValues {
  const T* values;
  int64_t pixels, classes, inner;

  // The value of class 0 at a pixel; those of the other classes are `inner` apart.
  __device__ const T* of(int64_t pixel) const {
    if (inner == pixels) return values + pixel;
    return values + pixel / inner * classes * inner + pixel % inner;
  }
};

// parts[b]: the five extremes of block b. Threads without a pixel read the last one.
template <class T>
__device__ void stack_extremes(const ClassValues<T>& stack, Computed<T>* parts) {
  using R = Computed<T>;
  __shared__ Extremes<R> scratch[kWarp];
  Extremes<R> found;
  bool any = false;
  int64_t pixel = first_item();
  do {
    const T* values = stack.of(pixel < stack.pixels ? pixel : stack.pixels - 1);
    R value = computed(*values), sum = value, lost = 0;
    Extremes<R> here{value, value, value, value, oddness(value)};
    for (int64_t k = 1; k < stack.classes; ++k) {
      value = computed(values[k * stack.inner]);
      here.lowest = value < here.lowest ? value : here.lowest;
      here.highest = value > here.highest ? value : here.highest;
      here.odd += oddness(value);
      add_to(sum, lost, value);
    }
    here.least = here.most = sum;
    if (any) {
      found.add(here);
    } else {
      found = here;
    }
    any = true;
    pixel += item_step();
  } while (pixel < stack.pixels);
  found = joined(found, scratch);
  if (threadIdx.x == 0) {
    R* part = parts + 5 * static_cast<int64_t>(blockIdx.x);
    part[0] = found.lowest;
    part[1] = found.highest;
    part[2] = found.least;
    part[3] = found.most;
    part[4] = found.odd;
  }
}

// out[k * stride + pixel]: probabilities, by value / sum or softmax.
template <class T>
__device__ void normalise(const ClassValues<T>& stack, float* out, int64_t stride) {
  using R = Computed<T>;
  for (int64_t pixel = first_item(); pixel < stack.pixels; pixel += item_step()) {
    const T* values = stack.of(pixel);
    R sum = 0, lost = 0;
    for (int64_t k = 0; k < stack.classes; ++k) {
      add_to(sum, lost, computed(values[k * stack.inner]));
    }
    for (int64_t k = 0; k < stack.classes; ++k) {
      out[k * stride + pixel] = quotient_of(computed(values[k * stack.inner]), sum);
    }
  }
}

template <class T>
__device__ void softmax(const ClassValues<T>& stack, float* out, int64_t stride) {
  using R = Computed<T>;
  for (int64_t pixel = first_item(); pixel < stack.pixels; pixel += item_step()) {
    const T* values = stack.of(pixel);
    R top = computed(*values);
    for (int64_t k = 1; k < stack.classes; ++k) {
      const R value = computed(values[k * stack.inner]);
      top = value > top ? value : top;
    }
    float sum = 0.0f, lost = 0.0f;
    for (int64_t k = 0; k < stack.classes; ++k) {
      const float share = exp_below(computed(values[k * stack.inner]), top);
      add_to(sum, lost, share);
      out[k * stride + pixel] = share;
    }
    for (int64_t k = 0; k < stack.classes; ++k) out[k * stride + pixel] /= sum;
  }
}

// found[label - low] = 1, modulo 2^bits. Most are set already, so entries are read first.
template <class T>
__device__ void mark_occurring(const T* labels, int64_t count, T low, uint8_t* found) {
  for (int64_t i = first_item(); i < count; i += item_step()) {
    const T place = static_cast<T>(labels[i] - low);
    if (found[place] == 0) found[place] = 1;
  }
}

template <class T, class Code>
__device__ void recode(const T* labels, int64_t count, T low, const Code* table, Code* codes) {
  for (int64_t i = first_item(); i < count; i += item_step()) {
    codes[i] = table[static_cast<T>(labels[i] - low)];
  }
}

}  // namespace hdseg

#define HDSEG_EXTREMES(T, suffix)                                                        \
  extern "C" __global__ void stack_extremes_##suffix(const T* values, int64_t pixels,    \
                                                     int64_t classes, int64_t inner,     \
                                                     hdseg::Computed<T>* parts) {        \
    hdseg::stack_extremes(hdseg::ClassValues<T>{values, pixels, classes, inner}, parts); \
  }
HDSEG_EXTREMES(uint8_t, u8)
HDSEG_EXTREMES(uint16_t, u16)
HDSEG_EXTREMES(uint32_t, u32)
HDSEG_EXTREMES(uint64_t, u64)
HDSEG_EXTREMES(int32_t, i32)
HDSEG_EXTREMES(int64_t, i64)
HDSEG_EXTREMES(float, f32)
HDSEG_EXTREMES(double, f64)
#undef HDSEG_EXTREMES

#define HDSEG_NORMALISE(T, suffix)                                                                \
  extern "C" __global__ void normalise_##suffix(const T* values, int64_t pixels, int64_t classes, \
                                                int64_t inner, float* found, int64_t stride) {    \
    hdseg::normalise(hdseg::ClassValues<T>{values, pixels, classes, inner}, found, stride);       \
  }                                                                                               \
  extern "C" __global__ void softmax_##suffix(const T* values, int64_t pixels, int64_t classes,   \
                                              int64_t inner, float* found, int64_t stride) {      \
    hdseg::softmax(hdseg::ClassValues<T>{values, pixels, classes, inner}, found, stride);         \
  }
HDSEG_NORMALISE(uint8_t, u8)
HDSEG_NORMALISE(uint16_t, u16)
HDSEG_NORMALISE(float, f32)
HDSEG_NORMALISE(double, f64)
#undef HDSEG_NORMALISE

// float16 is passed as its bits.
extern "C" __global__ void stack_extremes_f16(const uint16_t* values, int64_t pixels,
                                              int64_t classes, int64_t inner, float* parts) {
  const auto* halves = reinterpret_cast<const hdseg::Half*>(values);
  hdseg::stack_extremes(hdseg::ClassValues<hdseg::Half>{halves, pixels, classes, inner}, parts);
}
extern "C" __global__ void normalise_f16(const uint16_t* values, int64_t pixels, int64_t classes,
                                         int64_t inner, float* found, int64_t stride) {
  const auto* halves = reinterpret_cast<const hdseg::Half*>(values);
  hdseg::normalise(hdseg::ClassValues<hdseg::Half>{halves, pixels, classes, inner}, found, stride);
}
extern "C" __global__ void softmax_f16(const uint16_t* values, int64_t pixels, int64_t classes,
                                       int64_t inner, float* found, int64_t stride) {
  const auto* halves = reinterpret_cast<const hdseg::Half*>(values);
  hdseg::softmax(hdseg::ClassValues<hdseg::Half>{halves, pixels, classes, inner}, found, stride);
}

#define HDSEG_LABELS(T, suffix)                                                             \
  extern "C" __global__ void mark_occurring_##suffix(const T* labels, int64_t count, T low, \
                                                     uint8_t* found) {                      \
    hdseg::mark_occurring(labels, count, low, found);                                       \
  }
HDSEG_LABELS(uint8_t, u8)
HDSEG_LABELS(uint16_t, u16)
HDSEG_LABELS(uint32_t, u32)
HDSEG_LABELS(uint64_t, u64)
#undef HDSEG_LABELS

#define HDSEG_RECODE(T, suffix, Code, codes_suffix)                            \
  extern "C" __global__ void recode_##suffix##_##codes_suffix(                 \
      const T* labels, int64_t count, T low, const Code* table, Code* codes) { \
    hdseg::recode(labels, count, low, table, codes);                           \
  }
HDSEG_RECODE(uint8_t, u8, uint8_t, u8)
HDSEG_RECODE(uint8_t, u8, uint16_t, u16)
HDSEG_RECODE(uint8_t, u8, uint32_t, u32)
HDSEG_RECODE(uint16_t, u16, uint8_t, u8)
HDSEG_RECODE(uint16_t, u16, uint16_t, u16)
HDSEG_RECODE(uint16_t, u16, uint32_t, u32)
HDSEG_RECODE(uint32_t, u32, uint8_t, u8)
HDSEG_RECODE(uint32_t, u32, uint16_t, u16)
HDSEG_RECODE(uint32_t, u32, uint32_t, u32)
HDSEG_RECODE(uint64_t, u64, uint8_t, u8)
HDSEG_RECODE(uint64_t, u64, uint16_t, u16)
HDSEG_RECODE(uint64_t, u64, uint32_t, u32)
#undef HDSEG_RECODE
