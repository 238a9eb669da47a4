#include "cpu/cells.h"

#include <algorithm>
#include <vector>

namespace hdseg {
namespace {

// Below this, waking other threads takes longer than the work.
constexpr int64_t kSmall = 1 << 16;

// Finds the classes of rows of cells; keeps its buffers between rows.
template <class T>
class Majority {
 public:
  Majority(const Grid& grid, int64_t cell)
      : width_(grid.width),
        cell_(cell),
        differs_(static_cast<size_t>(grid.width)),
        counts_(static_cast<size_t>(kValues<T>)) {}

  // labels: the first pixel of a row of cells that is `height` pixels high.
  void take(const T* labels, int64_t height, T* found) {
    T* differs = differs_.data();
    std::fill_n(differs, width_, T{0});
    for (int64_t y = 1; y < height; ++y) {
      const T* row = labels + y * width_;
      for (int64_t x = 0; x < width_; ++x) differs[x] |= row[x] ^ labels[x];
    }
    for (int64_t left = 0; left < width_; left += cell_, ++found) {
      const int64_t across = std::min(cell_, width_ - left);
      T any = 0;
      for (int64_t x = left; x < left + across; ++x) any |= differs[x] | (labels[x] ^ labels[left]);
      *found = any == 0 ? labels[left] : most_frequent(labels + left, {height, across});
    }
  }

 private:
  T most_frequent(const T* labels, const Grid& box) {
    T best = *labels;
    each(labels, box, [this](T label) { ++count(label); });
    each(labels, box, [this, &best](T label) {
      const int64_t more = count(label) - count(best);
      if (more > 0 || (more == 0 && label < best)) best = label;
    });
    each(labels, box, [this](T label) { count(label) = 0; });
    return best;
  }

  template <class Use>
  void each(const T* labels, const Grid& box, Use use) {
    for (int64_t y = 0; y < box.height; ++y) {
      for (int64_t x = 0; x < box.width; ++x) use(labels[y * width_ + x]);
    }
  }

  int64_t& count(T label) { return counts_[static_cast<size_t>(label)]; }

  int64_t width_, cell_;
  std::vector<T> differs_;       // bits in which the pixels of a column differ
  std::vector<int64_t> counts_;  // of each class; 0 between cells
};

}  // namespace

template <class T>
void cell_labels(const T* labels, const Grid& grid, int64_t cell, T* found) {
  const Grid cells = cells_of(grid, cell);
#pragma omp parallel if (grid.height * grid.width > kSmall)
  {
    Majority<T> majority(grid, cell);
#pragma omp for schedule(static)
    for (int64_t y = 0; y < cells.height; ++y) {
      const int64_t height = std::min(cell, grid.height - y * cell);
      majority.take(labels + y * cell * grid.width, height, found + y * cells.width);
    }
  }
}

template void cell_labels<uint8_t>(const uint8_t*, const Grid&, int64_t, uint8_t*);
template void cell_labels<uint16_t>(const uint16_t*, const Grid&, int64_t, uint16_t*);
template void cell_labels<uint32_t>(const uint32_t*, const Grid&, int64_t, uint32_t*);

}  // namespace hdseg
