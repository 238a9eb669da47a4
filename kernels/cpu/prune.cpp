#include "cpu/prune.h"

#include <algorithm>
#include <vector>

namespace hdseg {
namespace {

// Consecutive seeds of one label in a row, all thick or all thin.
template <class T>
struct Stretch {
  int64_t row, first, last;  // inclusive
  T label;
};

template <class T>
using Row = std::vector<Stretch<T>>;

// The maximum length of thin stretches: one word, so that repeated scans of its pixels are cheap.
constexpr int64_t kLongest = 64;

// core[x] = 1 where the 3 x 3 window around pixel (y, x) has only seeds of one label.
template <class T>
void find_core(const T* seeds, const Grid& grid, int64_t y, uint8_t* core) {
  const T* middle = seeds + y * grid.width;
  const T* above = y > 0 ? middle - grid.width : middle;
  const T* below = y + 1 < grid.height ? middle + grid.width : middle;
  const auto column = [&](int64_t x, T label) {
    return (above[x] == label) & (middle[x] == label) & (below[x] == label);
  };
  const auto set = [&](int64_t x, int64_t left, int64_t right) {
    const T label = middle[x];
    core[x] = static_cast<uint8_t>((label != 0) & column(left, label) & column(x, label) &
                                   column(right, label));
  };
  const int64_t last = grid.width - 1;
  set(0, 0, std::min<int64_t>(1, last));
  for (int64_t x = 1; x < last; ++x) set(x, x - 1, x + 1);
  set(last, std::max<int64_t>(last - 1, 0), last);
}

// Finds the stretches of one row. A seed survives the opening if and only if its 3 x 3 window has a
// core, because all seeds around a core have the core's label.
template <class T>
void find_stretches(const T* row, int64_t y, const uint8_t* const core[3], int64_t width,
                    Row<T>* thick, Row<T>* thin) {
  const auto is_core = [&](int64_t x) { return (core[0][x] | core[1][x] | core[2][x]) != 0; };
  const auto is_thick = [&](int64_t x) {
    return is_core(x) || (x > 0 && is_core(x - 1)) || (x + 1 < width && is_core(x + 1));
  };
  for (int64_t x = 0; x < width;) {
    const T label = row[x];
    const int64_t first = x;
    if (label == 0) {
      while (x < width && row[x] == 0) ++x;
      continue;
    }
    const bool survives = is_thick(x);
    while (++x < width && row[x] == label && is_thick(x) == survives) {
      if (!survives && x - first == kLongest) break;
    }
    (survives ? thick : thin)->push_back({y, first, x - 1, label});
  }
}

template <class T>
class Picture {
 public:
  Picture(const T* seeds, const Grid& grid) : grid_(grid), thin_(static_cast<size_t>(grid.height)) {
    constexpr int64_t kRows = 64;
    std::vector<Row<T>> thick(static_cast<size_t>(grid.height));
#pragma omp parallel
    {
      std::vector<uint8_t> buffer(static_cast<size_t>(3 * grid.width));
#pragma omp for schedule(static)
      for (int64_t top = 0; top < grid.height; top += kRows) {
        read_rows(seeds, top, std::min(top + kRows, grid.height), buffer.data(), thick);
      }
    }
    sort_by_label(thick);
  }

  // Sets the spurs of row y to 0 in `pruned`, a copy of the seeds.
  void clear_spurs(int64_t y, int64_t length, T* pruned) const {
    for (const Stretch<T>& spur : thin_[static_cast<size_t>(y)]) {
      if (static_cast<size_t>(spur.label) + 1 >= start_.size()) continue;  // no thick seeds
      const Range of{thick_.data() + start_[spur.label], thick_.data() + start_[spur.label + 1]};
      if (of.first == of.end) continue;
      int64_t left = spur.last - spur.first + 1;
      const int64_t top = of.first->row, bottom = (of.end - 1)->row;
      const int64_t nearest = std::max<int64_t>({0, top - y, y - bottom});
      const int64_t farthest = std::min(length, std::max(y - top, bottom - y));
      // Near rows first: thick seeds are usually close.
      for (int64_t d = nearest; d <= farthest && left > 0; ++d) {
        if (y - d >= top) left -= clear_beside(spur, of, y - d, length, pruned);
        if (d > 0 && y + d <= bottom) left -= clear_beside(spur, of, y + d, length, pruned);
      }
    }
  }

 private:
  struct Range {
    const Stretch<T>*first, *end;
  };

  void sort_by_label(const std::vector<Row<T>>& thick) {
    for (const Row<T>& row : thick) {
      for (const Stretch<T>& s : row) {
        const auto k = static_cast<size_t>(s.label);
        if (start_.size() < k + 2) start_.resize(k + 2);
        ++start_[k + 1];
      }
    }
    for (size_t k = 1; k < start_.size(); ++k) start_[k] += start_[k - 1];
    if (start_.empty()) return;
    std::vector<int64_t> next(start_.begin(), start_.end() - 1);
    thick_.resize(static_cast<size_t>(start_.back()));
    for (const Row<T>& row : thick) {
      for (const Stretch<T>& s : row) thick_[static_cast<size_t>(next[s.label]++)] = s;
    }
  }

  void read_rows(const T* seeds, int64_t top, int64_t bottom, uint8_t* buffer,
                 std::vector<Row<T>>& thick) {
    const auto at = [&](int64_t y) { return buffer + y % 3 * grid_.width; };
    if (top > 0) find_core(seeds, grid_, top - 1, at(top - 1));
    find_core(seeds, grid_, top, at(top));
    for (int64_t y = top; y < bottom; ++y) {
      if (y + 1 < grid_.height) find_core(seeds, grid_, y + 1, at(y + 1));
      const uint8_t* core[] = {at(std::max<int64_t>(y - 1, 0)), at(y),
                               at(std::min(y + 1, grid_.height - 1))};
      find_stretches(seeds + y * grid_.width, y, core, grid_.width, &thick[static_cast<size_t>(y)],
                     &thin_[static_cast<size_t>(y)]);
    }
  }

  // Clears pixels of a thin stretch near thick seeds of its label in row y; returns their number.
  int64_t clear_beside(const Stretch<T>& spur, const Range& of, int64_t y, int64_t length,
                       T* row) const {
    int64_t cleared = 0;
    const auto before = [y](const Stretch<T>& s, int64_t x) {
      return s.row < y || (s.row == y && s.last < x);
    };
    auto near = std::lower_bound(of.first, of.end, spur.first - length, before);
    for (; near != of.end && near->row == y && near->first <= spur.last + length; ++near) {
      const int64_t last = std::min(spur.last, near->last + length);
      for (int64_t x = std::max(spur.first, near->first - length); x <= last; ++x) {
        cleared += row[x] != 0;
        row[x] = 0;
      }
    }
    return cleared;
  }

  Grid grid_;
  std::vector<Row<T>> thin_;
  // The thick stretches of label k, row by row, are thick_[start_[k]] .. thick_[start_[k + 1] - 1].
  std::vector<int64_t> start_;
  std::vector<Stretch<T>> thick_;
};

}  // namespace

template <class T>
void prune(const T* seeds, const Grid& grid, int64_t length, T* pruned) {
  const Picture<T> picture(seeds, grid);
  const int64_t reach = std::min(length, std::max(grid.height, grid.width));  // may be huge
#pragma omp parallel for schedule(dynamic, 16)
  for (int64_t y = 0; y < grid.height; ++y) {
    const int64_t first = y * grid.width;
    std::copy_n(seeds + first, grid.width, pruned + first);
    picture.clear_spurs(y, reach, pruned + first);
  }
}

template void prune<uint8_t>(const uint8_t*, const Grid&, int64_t, uint8_t*);
template void prune<uint16_t>(const uint16_t*, const Grid&, int64_t, uint16_t*);
template void prune<uint32_t>(const uint32_t*, const Grid&, int64_t, uint32_t*);

}  // namespace hdseg
