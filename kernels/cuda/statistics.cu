// Statistics of an image's values. Blocks sum chunks of a fixed size, and the host or a fixed tree
// adds these, so that results are the same on every device. Each kernel reads its input once.
#include "cuda/launch.h"

namespace hdseg {

// Calls use(chunk, first, end) for each of this block's chunks, in all its threads.
template <class Use>
__device__ void each_chunk(int64_t count, int64_t chunk, Use use) {
  for (int64_t c = blockIdx.x; c * chunk < count; c += gridDim.x) {
    use(c, c * chunk, (c + 1) * chunk < count ? (c + 1) * chunk : count);
  }
}

// counts[v]: the number of values v. A thread's values are adjacent and mostly equal, so equal ones
// are added at once. table: shared memory for all bins, or null.
template <class T>
__device__ void histogram(const T* values, int64_t count, int64_t chunk, int64_t bins,
                          uint32_t* table, uint64_t* counts) {
  auto* all = reinterpret_cast<unsigned long long*>(counts);
  if (table != nullptr) {
    for (int64_t v = threadIdx.x; v < bins; v += blockDim.x) table[v] = 0;
    __syncthreads();
  }
  each_chunk(count, chunk, [=](int64_t, int64_t first, int64_t end) {
    uint32_t value = 0, found = 0;
    const auto flush = [&] {
      if (found == 0) return;
      if (table != nullptr) {
        atomicAdd(table + value, found);
      } else {
        atomicAdd(all + value, static_cast<unsigned long long>(found));
      }
    };
    for (int64_t i = first + threadIdx.x; i < end; i += blockDim.x) {
      if (values[i] != value) {
        flush();
        value = values[i];
        found = 0;
      }
      ++found;
    }
    flush();
  });
  if (table == nullptr) return;
  __syncthreads();
  for (int64_t v = threadIdx.x; v < bins; v += blockDim.x) {
    if (table[v] != 0) atomicAdd(all + v, static_cast<unsigned long long>(table[v]));
  }
}

// sums (chunks, channels + 1): the sum of each channel over a chunk's pixels, and of the squares of
// all values. Exact, as chunks have fewer than 2^32 values.
template <class T>
__device__ void integer_sums(const T* image, int64_t pixels, int64_t channels, int64_t chunk,
                             uint64_t* of_threads, uint64_t* sums) {
  __shared__ uint64_t scratch[kWarp];
  // Each thread handles only one channel.
  const int64_t working = blockDim.x / channels * channels;
  each_chunk(pixels, chunk, [=](int64_t c, int64_t first, int64_t end) {
    uint64_t sum = 0, squares = 0;
    for (int64_t i = first * channels + threadIdx.x; i < end * channels; i += working) {
      const uint32_t value = threadIdx.x < working ? image[i] : 0;
      sum += value;
      squares += value * value;  // below 2^32
    }
    of_threads[threadIdx.x] = sum;
    squares = block_sum(squares, scratch);
    __syncthreads();
    uint64_t* of_chunk = sums + c * (channels + 1);
    if (threadIdx.x < channels) {
      for (int64_t i = threadIdx.x + channels; i < working; i += channels) sum += of_threads[i];
      of_chunk[threadIdx.x] = sum;
    }
    if (threadIdx.x == 0) of_chunk[channels] = squares;
    __syncthreads();
  });
}

// sums[c]: the sum of x - x_0, or of (x - x_0 - mean)^2 if kSquared, in float64. Relative to one of
// its own values x_0, a constant image has sums of exactly 0.
template <class T, bool kSquared>
__device__ void float_sums(const T* values, int64_t count, int64_t chunk, const T* first_value,
                           double mean, double* sums) {
  __shared__ double scratch[kWarp];
  const auto origin = static_cast<double>(*first_value);
  each_chunk(count, chunk, [=](int64_t c, int64_t first, int64_t end) {
    double sum = 0.0;
    for (int64_t i = first + threadIdx.x; i < end; i += blockDim.x) {
      double term = static_cast<double>(values[i]) - origin;
      if (kSquared) {
        term -= mean;
        term *= term;
      }
      sum += term;
    }
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) sums[c] = sum;
  });
}

// sums[c, channel]: sums of the interleaved channels over a chunk of pixels, in float64. Each
// thread handles one channel; only as many threads work as make up whole pixels.
template <class T>
__device__ void channel_sums(const T* image, int64_t pixels, int64_t channels, int64_t chunk,
                             double* sums) {
  HDSEG_DYNAMIC_SHARED(double, of_threads);  // (blockDim)
  const int64_t working = blockDim.x / channels * channels;
  each_chunk(pixels, chunk, [=](int64_t c, int64_t first, int64_t end) {
    double sum = 0.0;
    for (int64_t i = first * channels + threadIdx.x; i < end * channels; i += working) {
      if (threadIdx.x < working) sum += static_cast<double>(image[i]);
    }
    of_threads[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x < channels) {
      for (int64_t i = threadIdx.x + channels; i < working; i += channels) sum += of_threads[i];
      sums[c * channels + threadIdx.x] = sum;
    }
    __syncthreads();
  });
}

}  // namespace hdseg

#define HDSEG_INTEGER_KERNELS(T, suffix)                                                       \
  extern "C" __global__ void histogram_##suffix(const T* values, int64_t count, int64_t chunk, \
                                                int64_t bins, uint64_t* counts) {              \
    HDSEG_DYNAMIC_SHARED(uint32_t, table);                                                     \
    hdseg::histogram(values, count, chunk, bins, table, counts);                               \
  }                                                                                            \
  extern "C" __global__ void histogram_of_many_##suffix(                                       \
      const T* values, int64_t count, int64_t chunk, int64_t bins, uint64_t* counts) {         \
    hdseg::histogram(values, count, chunk, bins, nullptr, counts);                             \
  }                                                                                            \
  extern "C" __global__ void integer_sums_##suffix(                                            \
      const T* image, int64_t pixels, int64_t channels, int64_t chunk, uint64_t* sums) {       \
    HDSEG_DYNAMIC_SHARED(uint64_t, of_threads);                                                \
    hdseg::integer_sums(image, pixels, channels, chunk, of_threads, sums);                     \
  }
HDSEG_INTEGER_KERNELS(uint8_t, u8)
HDSEG_INTEGER_KERNELS(uint16_t, u16)
HDSEG_INTEGER_KERNELS(uint32_t, u32)
#undef HDSEG_INTEGER_KERNELS

#define HDSEG_FLOAT_KERNELS(T, suffix)                                                             \
  extern "C" __global__ void float_sums_##suffix(const T* values, int64_t count, int64_t chunk,    \
                                                 const T* origin, double* sums) {                  \
    hdseg::float_sums<T, false>(values, count, chunk, origin, 0.0, sums);                          \
  }                                                                                                \
  extern "C" __global__ void float_squares_##suffix(const T* values, int64_t count, int64_t chunk, \
                                                    const T* origin, double mean, double* sums) {  \
    hdseg::float_sums<T, true>(values, count, chunk, origin, mean, sums);                          \
  }
HDSEG_FLOAT_KERNELS(float, f32)
HDSEG_FLOAT_KERNELS(double, f64)
#undef HDSEG_FLOAT_KERNELS

#define HDSEG_CHANNEL_KERNELS(T, suffix)                                               \
  extern "C" __global__ void channel_sums_##suffix(                                    \
      const T* image, int64_t pixels, int64_t channels, int64_t chunk, double* sums) { \
    hdseg::channel_sums(image, pixels, channels, chunk, sums);                         \
  }
HDSEG_CHANNEL_KERNELS(float, f32)
HDSEG_CHANNEL_KERNELS(double, f64)
#undef HDSEG_CHANNEL_KERNELS
