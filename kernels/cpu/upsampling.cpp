#include "cpu/upsampling.h"

#include <algorithm>
#include <vector>

namespace hdseg {
namespace {

// Fewer pixels take less time than waking other threads.
constexpr int64_t kSmall = 1 << 16;

}  // namespace

template <class T>
void upsample_labels(const T* coarse, const GridMapping& place, T* fine) {
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
void upsample_argmax(const float* planes, int64_t classes, const GridMapping& place,
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

namespace {

constexpr int64_t kLanes = 8;  // columns at once, so many that their sums stay in registers

// Where the fine samples begin that lie between the same coarse ones, at most so many together;
// the last entry is the end of all.
std::vector<int64_t> stretches(const std::vector<Taps>& taps, int64_t most) {
  const auto count = static_cast<int64_t>(taps.size());
  std::vector<int64_t> starts;
  for (int64_t i = 0; i < count; ++i) {
    const Taps& own = taps[static_cast<size_t>(i)];
    if (i == 0 || i - starts.back() == most ||
        !std::equal(own.index, own.index + own.count, taps[static_cast<size_t>(i - 1)].index)) {
      starts.push_back(i);
    }
  }
  starts.push_back(count);
  return starts;
}

// Up to kLanes columns between the same coarse ones.
struct Columns {
  int64_t begin, end;
  const Taps* taps;          // of the first one
  double weight[4][kLanes];  // of each; 0 in lanes without a column

  Columns(const std::vector<Taps>& all, int64_t begin, int64_t end)
      : begin(begin), end(end), taps(&all[static_cast<size_t>(begin)]), weight{} {
    for (int64_t x = 0; x < end - begin; ++x) {
      for (int j = 0; j < taps->count; ++j) weight[j][x] = taps[x].weight[j];
    }
  }
};

// For pixels of some rows and columns between the same samples: largest_class(), with the same
// sums, but those along rows are shared.
template <int64_t lanes, class T>
void fill_lanes(const NearbyClasses<T>& near, const Taps* rows, int64_t height,
                const Columns& columns, T* fine, int64_t stride) {
  T found[16];
  const int count = near.distinct(found);
  double along[16][4][lanes];
  for (int c = 0; c < count; ++c) {
    for (int i = 0; i < near.rows; ++i) {
      double sum[lanes] = {};
      for (int j = 0; j < near.columns; ++j) {
        const double indicator = near.at[i][j] == found[c] ? 1.0 : 0.0;
        for (int64_t x = 0; x < lanes; ++x) sum[x] += columns.weight[j][x] * indicator;
      }
      std::copy_n(sum, lanes, along[c][i]);
    }
  }
  for (int64_t y = 0; y < height; ++y) {
    double largest[lanes];
    int64_t best[lanes];  // as wide as what is compared
    for (int c = 0; c < count; ++c) {
      const auto k = static_cast<int64_t>(found[c]);
      double value[lanes] = {};
      for (int i = 0; i < near.rows; ++i) {
        for (int64_t x = 0; x < lanes; ++x) value[x] += rows[y].weight[i] * along[c][i][x];
      }
      for (int64_t x = 0; x < lanes; ++x) {
        const bool larger =
            c == 0 || value[x] > largest[x] || (value[x] == largest[x] && k < best[x]);
        largest[x] = larger ? value[x] : largest[x];
        best[x] = larger ? k : best[x];
      }
    }
    T* out = fine + y * stride + columns.begin;
    for (int64_t x = 0; x < columns.end - columns.begin; ++x) out[x] = static_cast<T>(best[x]);
  }
}

// The same, with as few lanes as there are columns.
template <class T>
void fill_mixed(const NearbyClasses<T>& near, const Taps* rows, int64_t height,
                const Columns& columns, T* fine, int64_t stride) {
  const int64_t width = columns.end - columns.begin;
  if (width > 4) {
    fill_lanes<kLanes>(near, rows, height, columns, fine, stride);
  } else if (width > 2) {
    fill_lanes<4>(near, rows, height, columns, fine, stride);
  } else if (width > 1) {
    fill_lanes<2>(near, rows, height, columns, fine, stride);
  } else {
    for (int64_t y = 0; y < height; ++y) {
      fine[y * stride + columns.begin] = largest_class(near, rows[y], *columns.taps);
    }
  }
}

template <class T>
void fill_alike(T k, int64_t height, int64_t begin, int64_t end, T* fine, int64_t stride) {
  for (int64_t y = 0; y < height; ++y) {
    std::fill(fine + y * stride + begin, fine + y * stride + end, k);
  }
}

}  // namespace

template <class T>
void upsample_classes(const T* coarse, const GridMapping& place, Interpolation how, T* fine) {
  const Grid& to = place.window;
  constexpr int64_t kRows = 32;
  const std::vector<Taps> rows = all_taps(how, place.rows, to.height);
  const std::vector<Taps> taps = all_taps(how, place.columns, to.width);
  const std::vector<int64_t> tops = stretches(rows, kRows), lefts = stretches(taps, kLanes);
  std::vector<Columns> columns;
  for (size_t i = 0; i + 1 < lefts.size(); ++i) columns.emplace_back(taps, lefts[i], lefts[i + 1]);
  // Boundaries take the time, and they may be anywhere.
#pragma omp parallel for schedule(dynamic) if (to.height * to.width > kSmall)
  for (size_t i = 0; i < tops.size() - 1; ++i) {
    const Taps* down = &rows[static_cast<size_t>(tops[i])];
    const int64_t height = tops[i + 1] - tops[i];
    T* out = fine + tops[i] * to.width;
    int64_t begin = 0, end = 0;  // columns where one class is all around, not yet written
    T alone = 0;
    for (const Columns& some : columns) {
      const NearbyClasses<T> near(coarse, place.part, *down, *some.taps);
      if (!near.alike || near.first != alone) {
        fill_alike(alone, height, begin, end, out, to.width);
        begin = some.begin;
        alone = near.first;
      }
      end = some.end;
      if (near.alike) continue;
      fill_mixed(near, down, height, some, out, to.width);
      begin = some.end;
    }
    fill_alike(alone, height, begin, end, out, to.width);
  }
}

#define HDSEG_INSTANTIATE(T)                                                          \
  template void upsample_labels<T>(const T*, const GridMapping&, T*);                 \
  template void upsample_classes<T>(const T*, const GridMapping&, Interpolation, T*); \
  template void upsample_argmax<T>(const float*, int64_t, const GridMapping&, Interpolation, T*);
HDSEG_INSTANTIATE(uint8_t)
HDSEG_INSTANTIATE(uint16_t)
HDSEG_INSTANTIATE(uint32_t)
#undef HDSEG_INSTANTIATE

void sample_planes(const float* planes, int64_t classes, const GridMapping& place,
                   Interpolation how, const int64_t* pixels, int64_t count, double* samples) {
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
