#include "cpu/graph.h"

#include <algorithm>
#include <vector>

namespace hdseg {
namespace {

// Sum of term(value) over fixed blocks, the blocks added one after the other: the same bits for
// any number of threads.
template <class T, class Term>
double blockwise_sum(const T* values, int64_t count, Term term) {
  constexpr int64_t kBlock = 1 << 14;
  const int64_t blocks = (count + kBlock - 1) / kBlock;
  std::vector<double> sums(static_cast<size_t>(blocks));
#pragma omp parallel for schedule(static)
  for (int64_t b = 0; b < blocks; ++b) {
    double sum = 0.0;
    for (int64_t i = b * kBlock; i < std::min(count, (b + 1) * kBlock); ++i) {
      sum += term(static_cast<double>(values[i]));
    }
    sums[static_cast<size_t>(b)] = sum;
  }
  double total = 0.0;
  for (const double sum : sums) total += sum;
  return total;
}

}  // namespace

template <class T>
double variance(const T* values, int64_t count) {
  const double n = static_cast<double>(count);
  // Relative to the first value, so that a constant picture has a variance of exactly 0.
  const double first = static_cast<double>(values[0]);
  const double mean = blockwise_sum(values, count, [=](double v) { return v - first; }) / n;
  const auto squared = [=](double v) { return (v - first - mean) * (v - first - mean); };
  return blockwise_sum(values, count, squared) / n;
}

#define HDSEG_INSTANTIATE(T) template double variance<T>(const T*, int64_t);
HDSEG_INSTANTIATE(uint8_t)
HDSEG_INSTANTIATE(uint16_t)
HDSEG_INSTANTIATE(float)
HDSEG_INSTANTIATE(double)
#undef HDSEG_INSTANTIATE

}  // namespace hdseg
