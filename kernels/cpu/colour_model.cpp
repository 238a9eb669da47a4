#include "cpu/colour_model.h"

#include <algorithm>

#include "common/gaussian.h"

namespace hdseg {
namespace {

constexpr int64_t kFewEntries = 1 << 14;  // less work than waking other threads

// One running mean of 2 r + 1 entries along a line; outside it there is nothing.
void running_mean(const float* in, float* out, int64_t count, int64_t stride, int64_t moments,
                  int64_t radius, double* sum) {
  std::fill_n(sum, moments, 0.0);
  const double share = 1.0 / static_cast<double>(2 * radius + 1);
  const auto add = [&](int64_t i, double sign) {
    const float* entry = in + i * stride;
    for (int64_t q = 0; q < moments; ++q) sum[q] += sign * static_cast<double>(entry[q]);
  };
  for (int64_t i = 0; i < std::min(radius, count); ++i) add(i, 1.0);
  for (int64_t i = 0; i < count; ++i) {
    if (i + radius < count) add(i + radius, 1.0);
    if (i > radius) add(i - radius - 1, -1.0);
    float* entry = out + i * stride;
    for (int64_t q = 0; q < moments; ++q) entry[q] = static_cast<float>(sum[q] * share);
  }
}

// Three running means along each axis: nearly a Gaussian, whatever its width costs the same.
void smooth(std::vector<float>& values, std::vector<float>& other, const Box& box, int64_t moments,
            int64_t radius) {
  const int64_t row = box.width * moments;
  const bool many = box.height * box.width > kFewEntries;
  for (int pass = 0; pass < 3; ++pass) {
#pragma omp parallel for schedule(static) if (many)
    for (int64_t y = 0; y < box.height; ++y) {
      double sum[moment_count(kMostChannels)];
      running_mean(values.data() + y * row, other.data() + y * row, box.width, moments, moments,
                   radius, sum);
    }
#pragma omp parallel for schedule(static) if (many)
    for (int64_t x = 0; x < box.width; ++x) {
      double sum[moment_count(kMostChannels)];
      running_mean(other.data() + x * moments, values.data() + x * moments, box.height, row,
                   moments, radius, sum);
    }
  }
}

template <class T>
void add_up(const float* moments, int64_t count, const T* own, const float* weight,
            const Grid& cells, T k, int64_t group, float share, const Box& box, float* sums) {
#pragma omp parallel for schedule(static)
  for (int64_t y = 0; y < box.height; ++y) {
    float* row = sums + y * box.width * count;
    std::fill_n(row, box.width * count, 0.0f);
    const int64_t top = (box.top + y) * group, bottom = std::min(top + group, cells.height);
    for (int64_t i = top; i < bottom; ++i) {
      const int64_t first = box.left * group;
      const int64_t last = std::min((box.left + box.width) * group, cells.width);
      for (int64_t j = first; j < last; ++j) {
        const int64_t cell = i * cells.width + j;
        if (own[cell] != k || !(weight[cell] > 0.0f)) continue;
        const float counts = weight[cell] * share;
        const float* from = moments + cell * count;
        float* to = row + (j - first) / group * count;
        for (int64_t q = 0; q < count; ++q) to[q] += counts * from[q];
      }
    }
  }
}

}  // namespace

template <class T>
void colour_model(const float* moments, int64_t channels, const T* own, const float* weight,
                  const Grid& cells, T k, int64_t group, double window_area, const Box& box,
                  const Shrinkage& shrinkage, float* coefficients) {
  const int64_t count = moment_count(channels), windows = box.height * box.width;
  std::vector<float> sums(static_cast<size_t>(windows * count)), level(sums), other(sums);
  add_up(moments, count, own, weight, cells, k, group, static_cast<float>(1.0 / window_area), box,
         sums.data());
  std::vector<double> mean(static_cast<size_t>(windows * count));
  double total[moment_count(kMostChannels)] = {};
  for (int64_t i = 0; i < windows; ++i) {
    for (int64_t q = 0; q < count; ++q)
      total[q] += static_cast<double>(sums[static_cast<size_t>(i * count + q)]);
  }
  const double pixels = std::max(total[0], 1e-300);
  for (int64_t i = 0; i < windows * count; ++i)
    mean[static_cast<size_t>(i)] = total[i % count] / pixels;
  for (int64_t l = shrinkage.levels - 1; l >= 0; --l) {
    level = sums;
    smooth(level, other, box, count, shrinkage.radius[l]);
#pragma omp parallel for schedule(static) if (windows > kFewEntries)
    for (int64_t i = 0; i < windows; ++i) {
      const float* found = level.data() + i * count;
      double* m = mean.data() + i * count;
      const double share = 1.0 / (static_cast<double>(found[0]) + shrinkage.prior);
      for (int64_t q = 0; q < count; ++q)
        m[q] = (static_cast<double>(found[q]) + shrinkage.prior * m[q]) * share;
    }
  }
#pragma omp parallel for schedule(static) if (windows > kFewEntries / 4)
  for (int64_t i = 0; i < windows; ++i) {
    gaussian<kMostChannels>(mean.data() + i * count, channels, shrinkage.ridge,
                            coefficients + i * count);
  }
}

template void colour_model<uint8_t>(const float*, int64_t, const uint8_t*, const float*,
                                    const Grid&, uint8_t, int64_t, double, const Box&,
                                    const Shrinkage&, float*);
template void colour_model<uint16_t>(const float*, int64_t, const uint16_t*, const float*,
                                     const Grid&, uint16_t, int64_t, double, const Box&,
                                     const Shrinkage&, float*);

}  // namespace hdseg
