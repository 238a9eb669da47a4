#include "cpu/prune.h"

#include <algorithm>
#include <vector>

namespace hdseg {
namespace {

// Seeds of one label beside one another in a row, all of them thick or all of them thin.
template <class T>
struct Stretch {
  int64_t first, last;  // inclusive
  T label;
};

template <class T>
using Row = std::vector<Stretch<T>>;

// Thin stretches are cut to this, so that the pixels of one are looked at again and again for free.
constexpr int64_t kLongest = 64;

// core[x] = 1 where the 3 x 3 window around pixel (y, x) has seeds of one label alone.
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

// Finds the stretches of one row. A seed survives the opening iff a core lies in its 3 x 3 window,
// because all seeds around a core have the core's label.
template <class T>
void find_stretches(const T* row, const uint8_t* const core[3], int64_t width, Row<T>* thick,
                    Row<T>* thin) {
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
    (survives ? thick : thin)->push_back({first, x - 1, label});
  }
}

template <class T>
class Picture {
 public:
  Picture(const T* seeds, const Grid& grid)
      : grid_(grid),
        thick_(static_cast<size_t>(grid.height)),
        thin_(static_cast<size_t>(grid.height)) {
    constexpr int64_t kRows = 64;
#pragma omp parallel
    {
      std::vector<uint8_t> buffer(static_cast<size_t>(3 * grid.width));
#pragma omp for schedule(static)
      for (int64_t top = 0; top < grid.height; top += kRows) {
        read_rows(seeds, top, std::min(top + kRows, grid.height), buffer.data());
      }
    }
  }

  // Sets to 0 in `pruned`, a copy of the seeds, what of row y is a spur.
  void clear_spurs(int64_t y, int64_t length, T* pruned) const {
    for (const Stretch<T>& hair : thin_[static_cast<size_t>(y)]) {
      int64_t left = hair.last - hair.first + 1;
      // Near rows first: a spur hangs on something.
      for (int64_t d = 0; d <= length && left > 0 && (y >= d || y + d < grid_.height); ++d) {
        if (y >= d) left -= clear_beside(hair, y - d, length, pruned);
        if (d > 0 && y + d < grid_.height) left -= clear_beside(hair, y + d, length, pruned);
      }
    }
  }

 private:
  void read_rows(const T* seeds, int64_t top, int64_t bottom, uint8_t* buffer) {
    const auto at = [&](int64_t y) { return buffer + y % 3 * grid_.width; };
    if (top > 0) find_core(seeds, grid_, top - 1, at(top - 1));
    find_core(seeds, grid_, top, at(top));
    for (int64_t y = top; y < bottom; ++y) {
      if (y + 1 < grid_.height) find_core(seeds, grid_, y + 1, at(y + 1));
      const uint8_t* core[] = {at(std::max<int64_t>(y - 1, 0)), at(y),
                               at(std::min(y + 1, grid_.height - 1))};
      find_stretches(seeds + y * grid_.width, core, grid_.width, &thick_[static_cast<size_t>(y)],
                     &thin_[static_cast<size_t>(y)]);
    }
  }

  // Clears what of a hair lies near thick seeds of row y; returns how many pixels these are.
  int64_t clear_beside(const Stretch<T>& hair, int64_t y, int64_t length, T* row) const {
    const Row<T>& thick = thick_[static_cast<size_t>(y)];
    int64_t cleared = 0;
    const auto ends_before = [](const Stretch<T>& s, int64_t x) { return s.last < x; };
    auto near = std::lower_bound(thick.begin(), thick.end(), hair.first - length, ends_before);
    for (; near != thick.end() && near->first <= hair.last + length; ++near) {
      if (near->label != hair.label) continue;
      const int64_t last = std::min(hair.last, near->last + length);
      for (int64_t x = std::max(hair.first, near->first - length); x <= last; ++x) {
        cleared += row[x] != 0;
        row[x] = 0;
      }
    }
    return cleared;
  }

  Grid grid_;
  std::vector<Row<T>> thick_, thin_;
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

}  // namespace hdseg
