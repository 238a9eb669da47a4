#include "cpu/colour_model.h"

#include <algorithm>

#include "common/gaussian.h"
#include "common/smoothing.h"

namespace hdseg {
namespace {

constexpr int64_t kFewEntries = 1 << 14;  // less work than waking other threads

// Rows top .. bottom - 1 and columns left .. right - 1 of the grid of windows.
struct Extent {
  int64_t top, left, bottom, right;

  int64_t height() const { return bottom - top; }
  int64_t width() const { return right - left; }
  bool many() const { return height() * width() > kFewEntries; }

  Extent grown(int64_t rows, int64_t columns) const {
    return {top - rows, left - columns, bottom + rows, right + columns};
  }

  Extent common(const Extent& other) const {
    return {std::max(top, other.top), std::max(left, other.left), std::min(bottom, other.bottom),
            std::min(right, other.right)};
  }
};

// The moments of some windows.
struct Sums {
  Extent at;
  int64_t count;  // moments
  std::vector<float> values;

  const float* row(int64_t y, int64_t x) const {
    return values.data() + ((y - at.top) * at.width() + x - at.left) * count;
  }

  // Where they are not 0.
  Extent filled() const {
    Extent found{at.bottom, at.right, at.top, at.left};
    for (int64_t y = at.top; y < at.bottom; ++y) {
      for (int64_t x = at.left; x < at.right; ++x) {
        const float* entry = row(y, x);
        if (std::all_of(entry, entry + count, [](float value) { return value == 0.0f; })) continue;
        found = {std::min(found.top, y), std::min(found.left, x), y + 1,
                 std::max(found.right, x + 1)};
      }
    }
    return found;
  }
};

template <class T>
void add_up(const float* moments, const T* own, const float* weight, const Grid& cells, T k,
            int64_t group, float share, Sums& sums) {
  const Extent& at = sums.at;
  const int64_t count = sums.count;
#pragma omp parallel for schedule(static) if (at.height() * at.width() * group * group > \
                                                  kFewEntries)
  for (int64_t y = at.top; y < at.bottom; ++y) {
    float* row = sums.values.data() + (y - at.top) * at.width() * count;
    const int64_t bottom = std::min((y + 1) * group, cells.height);
    for (int64_t i = y * group; i < bottom; ++i) {
      const int64_t first = at.left * group, last = std::min(at.right * group, cells.width);
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

// Box filters over a field of windows, with zeros around it as far as a filter reads.
class Smoother {
 public:
  Smoother(const Sums& sums, const Extent& field, int64_t radius)
      : field_(field),
        count_(sums.count),
        radius_(radius),
        stride_((field.width() + 2 * radius) * count_),
        values_(static_cast<size_t>((field.height() + 2 * radius) * stride_)),
        other_(values_) {
    for (int64_t y = field.top; y < field.bottom; ++y) {
      std::copy_n(sums.row(y, field.left), field.width() * count_,
                  values_.data() + at(y, field.left));
    }
  }

  // Smooths what is needed for the windows that are wanted; what is not `filled` is 0. Columns and
  // rows in turn: each pass fills more, and is wanted in less.
  void smooth(const Extent& filled, const Extent& wanted) {
    Extent now = filled.common(field_);
    for (int64_t left = kBoxPasses - 1; left >= 0; --left) {
      const int64_t later = left * radius_;
      now = now.grown(0, radius_).common(wanted.grown(later + radius_, later)).common(field_);
      pass(values_, other_, now, count_);
      now = now.grown(radius_, 0).common(wanted.grown(later, later)).common(field_);
      pass(other_, values_, now, stride_);
    }
  }

  const float* entry(int64_t y, int64_t x) const { return values_.data() + at(y, x); }

 private:
  int64_t at(int64_t y, int64_t x) const {
    return (y - field_.top + radius_) * stride_ + (x - field_.left + radius_) * count_;
  }

  void pass(const std::vector<float>& in, std::vector<float>& out, const Extent& to,
            int64_t stride) const {
    constexpr int kLanes = 16;
    const double share = 1.0 / static_cast<double>(2 * radius_ + 1);
    const int64_t length = to.width() * count_;
#pragma omp parallel for schedule(static) if (to.many())
    for (int64_t y = to.top; y < to.bottom; ++y) {
      const float* from = in.data() + at(y, to.left);
      float* found = out.data() + at(y, to.left);
      int64_t e = 0;
      for (; e + kLanes <= length; e += kLanes)
        box_means<kLanes>(from + e, radius_, radius_, stride, share, found + e);
      for (; e < length; ++e) box_means<1>(from + e, radius_, radius_, stride, share, found + e);
    }
  }

  Extent field_;
  int64_t count_, radius_, stride_;
  std::vector<float> values_, other_;
};

}  // namespace

template <class T>
void colour_model(const float* moments, int64_t channels, const T* own, const float* weight,
                  const Grid& cells, T k, int64_t group, double window_area, const Box& box,
                  const Shrinkage& shrinkage, float* coefficients) {
  const int64_t count = moment_count(channels), windows = box.height * box.width;
  const Grid grid = cells_of(cells, group);
  const Extent wanted{box.top, box.left, box.top + box.height, box.left + box.width};
  const Extent all{0, 0, grid.height, grid.width};
  const auto around = [&](int64_t radius) {
    return wanted.grown(kBoxPasses * radius, kBoxPasses * radius).common(all);
  };
  const int64_t most = *std::max_element(shrinkage.radius, shrinkage.radius + shrinkage.levels);
  Sums sums{around(most), count, {}};
  sums.values.resize(static_cast<size_t>(sums.at.height() * sums.at.width() * count));
  add_up(moments, own, weight, cells, k, group, static_cast<float>(1.0 / window_area), sums);
  const Extent filled = sums.filled();
  std::vector<double> mean(static_cast<size_t>(windows * count));
  for (int64_t i = 0; i < windows * count; ++i)
    mean[static_cast<size_t>(i)] = standard_moment(i % count, channels);
  for (int64_t l = shrinkage.levels - 1; l >= 0; --l) {
    Smoother level(sums, around(shrinkage.radius[l]), shrinkage.radius[l]);
    level.smooth(filled, wanted);
    const double prior = l == shrinkage.levels - 1 ? shrinkage.start : shrinkage.prior;
#pragma omp parallel for schedule(static) if (wanted.many())
    for (int64_t i = 0; i < windows; ++i) {
      const float* found = level.entry(box.top + i / box.width, box.left + i % box.width);
      double* m = mean.data() + i * count;
      for (int64_t q = 0; q < count; ++q) m[q] = shrunken(found[q], *found, prior, m[q]);
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
