#include "cpu/statistics.h"

#include <algorithm>
#include <mutex>
#include <type_traits>
#include <vector>

namespace hdseg {
namespace {

constexpr int64_t kBlock = 1 << 14;

// Sum of term(value) in fixed blocks with a fixed number of lanes; blocks are added in order, so
// that the result does not depend on the number of threads.
template <class T, class Term>
double blockwise_sum(const T* values, int64_t count, Term term) {
  constexpr int kLanes = 16;
  const int64_t blocks = (count + kBlock - 1) / kBlock;
  std::vector<double> sums(static_cast<size_t>(blocks));
#pragma omp parallel for schedule(static) if (blocks > 8)
  for (int64_t b = 0; b < blocks; ++b) {
    const T* block = values + b * kBlock;
    const int64_t size = std::min(kBlock, count - b * kBlock), whole = size / kLanes * kLanes;
    double lanes[kLanes] = {};
    for (int64_t i = 0; i < whole; i += kLanes) {
      for (int j = 0; j < kLanes; ++j) lanes[j] += term(static_cast<double>(block[i + j]));
    }
    for (int64_t i = whole; i < size; ++i) {
      lanes[i - whole] += term(static_cast<double>(block[i]));
    }
    double sum = 0.0;
    for (const double lane : lanes) sum += lane;
    sums[static_cast<size_t>(b)] = sum;
  }
  double total = 0.0;
  for (const double sum : sums) total += sum;
  return total;
}

template <class T>
double float_variance(const T* values, int64_t count) {
  const double n = static_cast<double>(count);
  // Relative to the first value, so that a constant image has a variance of exactly 0.
  const double first = static_cast<double>(values[0]);
  const double mean = blockwise_sum(values, count, [=](double v) { return v - first; }) / n;
  const auto squared = [=](double v) { return (v - first - mean) * (v - first - mean); };
  return blockwise_sum(values, count, squared) / n;
}

__extension__ typedef unsigned __int128 Wide;

// (n sum(x^2) - sum(x)^2) / n^2, exact up to the division.
template <class T>
double integer_variance(const T* values, int64_t count) {
  Wide sum = 0, squares = 0;
  std::mutex adding;
#pragma omp parallel if (count > 8 * kBlock)
  {
    uint64_t thread_sum = 0;
    Wide thread_squares = 0;
#pragma omp for schedule(static)
    for (int64_t start = 0; start < count; start += kBlock) {
      const T* block = values + start;
      const int64_t size = std::min(kBlock, count - start);
      // A sum of 2^14 squares of 8-bit values fits 32 bits, and so does one square of 16 bits.
      std::conditional_t<sizeof(T) == 1, uint32_t, uint64_t> block_squares = 0;
      uint32_t block_sum = 0;
      for (int64_t i = 0; i < size; ++i) {
        const uint32_t value = block[i];
        block_sum += value;
        block_squares += value * value;
      }
      thread_sum += block_sum;
      thread_squares += block_squares;
    }
    const std::lock_guard<std::mutex> alone(adding);
    sum += thread_sum;
    squares += thread_squares;
  }
  const Wide spread = static_cast<Wide>(count) * squares - sum * sum;
  return static_cast<double>(spread) / (static_cast<double>(count) * static_cast<double>(count));
}

}  // namespace

template <class T>
double variance(const T* values, int64_t count) {
  if constexpr (std::is_integral_v<T>) {
    return integer_variance(values, count);
  } else {
    return float_variance(values, count);
  }
}

template <class T>
void channel_means(const T* image, int64_t pixels, int64_t channels, double* means) {
  constexpr int64_t kLanes = 16;
  const int64_t blocks = (pixels + kBlock - 1) / kBlock, step = kLanes * channels;
  std::vector<double> sums(static_cast<size_t>(blocks * channels));
#pragma omp parallel for schedule(static) if (blocks > 8)
  for (int64_t b = 0; b < blocks; ++b) {
    const T* block = image + b * kBlock * channels;
    const int64_t size = std::min(kBlock, pixels - b * kBlock) * channels;
    std::vector<double> lanes(static_cast<size_t>(step));
    for (int64_t start = 0; start < size; start += step) {
      const int64_t count = std::min(step, size - start);
      double* lane = lanes.data();
      for (int64_t i = 0; i < count; ++i) lane[i] += static_cast<double>(block[start + i]);
    }
    double* sum = sums.data() + b * channels;
    for (int64_t i = 0; i < step; ++i) sum[i % channels] += lanes[static_cast<size_t>(i)];
  }
  std::fill_n(means, channels, 0.0);
  for (int64_t i = 0; i < blocks * channels; ++i)
    means[i % channels] += sums[static_cast<size_t>(i)];
  for (int64_t c = 0; c < channels; ++c) means[c] /= static_cast<double>(pixels);
}

template <class T>
void histogram(const T* values, int64_t count, int64_t bins, int64_t* counts) {
  std::fill(counts, counts + bins, 0);
  std::mutex adding;
#pragma omp parallel if (count > 8 * kBlock)
  {
    // Four tables, so that consecutive equal values do not wait for each other's increment.
    constexpr int64_t kTables = 4;
    std::vector<int64_t> found(static_cast<size_t>(kTables * bins));
#pragma omp for schedule(static)
    for (int64_t start = 0; start < count; start += kBlock) {
      const int64_t end = std::min(count, start + kBlock);
      for (int64_t i = start; i < end; ++i) {
        ++found[static_cast<size_t>(i % kTables * bins + values[i])];
      }
    }
    const std::lock_guard<std::mutex> alone(adding);
    for (int64_t i = 0; i < kTables * bins; ++i) counts[i % bins] += found[static_cast<size_t>(i)];
  }
}

template double variance<uint8_t>(const uint8_t*, int64_t);
template double variance<uint16_t>(const uint16_t*, int64_t);
template double variance<float>(const float*, int64_t);
template double variance<double>(const double*, int64_t);
template void channel_means<uint8_t>(const uint8_t*, int64_t, int64_t, double*);
template void channel_means<uint16_t>(const uint16_t*, int64_t, int64_t, double*);
template void channel_means<float>(const float*, int64_t, int64_t, double*);
template void channel_means<double>(const double*, int64_t, int64_t, double*);
template void histogram<uint8_t>(const uint8_t*, int64_t, int64_t, int64_t*);
template void histogram<uint16_t>(const uint16_t*, int64_t, int64_t, int64_t*);
template void histogram<uint32_t>(const uint32_t*, int64_t, int64_t, int64_t*);

}  // namespace hdseg
