#include "cpu/upsampling.h"

#include <algorithm>
#include <vector>

namespace hdseg {
namespace {

// Fewer pixels take less time than waking other threads.
constexpr int64_t kSmall = 1 << 16;

}  // namespace

template <class T>
void upsample_labels(const T* coarse, const Placement& place, T* fine) {
  const Grid &from = place.part, &to = place.window;
  std::vector<int64_t> columns(static_cast<size_t>(to.width));
  for (int64_t x = 0; x < to.width; ++x) {
    columns[static_cast<size_t>(x)] = nearest(x, place.columns);
  }
  constexpr int64_t kRows = 64;
#pragma omp parallel for schedule(static) if (to.height * to.width > kSmall)
  for (int64_t top = 0; top < to.height; top += kRows) {
    int64_t previous = -1;
    for (int64_t y = top; y < std::min(top + kRows, to.height); ++y) {
      const int64_t source = nearest(y, place.rows);
      T* out = fine + y * to.width;
      if (source == previous) {
        std::copy_n(out - to.width, to.width, out);
        continue;
      }
      const T* row = coarse + source * from.width;
      for (int64_t x = 0; x < to.width; ++x) out[x] = row[columns[static_cast<size_t>(x)]];
      previous = source;
    }
  }
}

namespace {

// Interpolates one block of the fine grid, plane after plane, and keeps the index of the largest.
class Block {
 public:
  static constexpr int64_t kRows = 32, kColumns = 512;

  // Rows [top, top + kRows) and columns [left, left + kColumns), as far as the grid goes.
  Block(const std::vector<Taps>& rows, const std::vector<Taps>& columns, int64_t top, int64_t left)
      : rows_(rows.data() + top),
        columns_(columns.data() + left),
        height_(std::min(kRows, static_cast<int64_t>(rows.size()) - top)),
        width_(std::min(kColumns, static_cast<int64_t>(columns.size()) - left)),
        first_(rows_[0].index[0]),
        largest_(static_cast<size_t>(height_ * width_)) {
    const Taps& last = rows_[height_ - 1];
    along_.resize(static_cast<size_t>((last.index[last.count - 1] - first_ + 1) * width_));
  }

  template <class T>
  void take(const float* plane, const Grid& from, T k, T* fine, int64_t stride) {
    interpolate_along_rows(plane, from);
    std::vector<double> values(static_cast<size_t>(width_));
    for (int64_t y = 0; y < height_; ++y) {
      const Taps& taps = rows_[y];
      std::fill(values.begin(), values.end(), 0.0);
      for (int i = 0; i < taps.count; ++i) {
        const double* along = along_.data() + (taps.index[i] - first_) * width_;
        const double weight = taps.weight[i];
        for (int64_t x = 0; x < width_; ++x) values[static_cast<size_t>(x)] += weight * along[x];
      }
      double* largest = largest_.data() + y * width_;
      T* best = fine + y * stride;
      for (int64_t x = 0; x < width_; ++x) {
        const double value = values[static_cast<size_t>(x)];
        const bool larger = k == 0 || value > largest[x];
        best[x] = larger ? k : best[x];
        largest[x] = larger ? value : largest[x];
      }
    }
  }

 private:
  // Columns first, then rows, as in interpolate(); a coarse row serves many fine ones.
  void interpolate_along_rows(const float* plane, const Grid& from) {
    double* along = along_.data();
    const int64_t rows = static_cast<int64_t>(along_.size()) / width_;
    for (int64_t i = first_; i < first_ + rows; ++i, along += width_) {
      const float* row = plane + i * from.width;
      for (int64_t x = 0; x < width_; ++x) along[x] = along_row(row, columns_[x]);
    }
  }

  const Taps *rows_, *columns_;
  int64_t height_, width_, first_;
  std::vector<double> along_;    // the coarse rows in reach, at the block's columns
  std::vector<double> largest_;  // of the planes so far
};

std::vector<Taps> all_taps(Interpolation how, const Axis& axis, int64_t count) {
  std::vector<Taps> taps(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) taps[static_cast<size_t>(i)] = taps_for(how, i, axis);
  return taps;
}

}  // namespace

template <class T>
void upsample_argmax(const float* planes, int64_t classes, const Placement& place,
                     Interpolation how, T* fine) {
  const Grid &from = place.part, &to = place.window;
  const std::vector<Taps> rows = all_taps(how, place.rows, to.height);
  const std::vector<Taps> columns = all_taps(how, place.columns, to.width);
  const int64_t across = (to.width + Block::kColumns - 1) / Block::kColumns;
  const int64_t blocks = across * ((to.height + Block::kRows - 1) / Block::kRows);
#pragma omp parallel for schedule(static) if (to.height * to.width > kSmall)
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t top = b / across * Block::kRows, left = b % across * Block::kColumns;
    Block block(rows, columns, top, left);
    for (int64_t k = 0; k < classes; ++k) {
      block.take(planes + k * from.height * from.width, from, static_cast<T>(k),
                 fine + top * to.width + left, to.width);
    }
  }
}

template <class T>
void upsample_classes(const T* coarse, const Placement& place, Interpolation how, T* fine) {
  const Grid& to = place.window;
  const std::vector<Taps> rows = all_taps(how, place.rows, to.height);
  const std::vector<Taps> columns = all_taps(how, place.columns, to.width);
#pragma omp parallel for schedule(static) if (to.height * to.width > kSmall)
  for (int64_t y = 0; y < to.height; ++y) {
    for (int64_t x = 0; x < to.width; ++x) {
      fine[y * to.width + x] = largest_class(coarse, place.part, rows[static_cast<size_t>(y)],
                                             columns[static_cast<size_t>(x)]);
    }
  }
}

#define HDSEG_INSTANTIATE(T)                                                        \
  template void upsample_labels<T>(const T*, const Placement&, T*);                 \
  template void upsample_classes<T>(const T*, const Placement&, Interpolation, T*); \
  template void upsample_argmax<T>(const float*, int64_t, const Placement&, Interpolation, T*);
HDSEG_INSTANTIATE(uint8_t)
HDSEG_INSTANTIATE(uint16_t)
HDSEG_INSTANTIATE(uint32_t)
#undef HDSEG_INSTANTIATE

void sample_planes(const float* planes, int64_t classes, const Placement& place, Interpolation how,
                   const int64_t* pixels, int64_t count, double* samples) {
  const Grid& from = place.part;
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < count; ++i) {
    const Taps rows = taps_for(how, pixels[i] / place.window.width, place.rows);
    const Taps columns = taps_for(how, pixels[i] % place.window.width, place.columns);
    for (int64_t k = 0; k < classes; ++k) {
      samples[i * classes + k] =
          interpolate(planes + k * from.height * from.width, from, rows, columns);
    }
  }
}

}  // namespace hdseg
