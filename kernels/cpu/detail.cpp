#include "cpu/detail.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <vector>

#include "common/window.h"

namespace hdseg {
namespace {

// The size of a tile: a part of the image, with a margin for its windows. Border pixels repeat.
constexpr int64_t kRows = 16, kColumns = 64;
constexpr int64_t kStride = kColumns + 2 * kWindowReach;
constexpr int64_t kSize = (kRows + 2 * kWindowReach) * kStride;

// The pixels of a window, grouped by weight, so that pixels of equal weight are counted in the type
// of their class. (Nested loops would be unrolled into single bytes by GCC.)
struct Step {
  int64_t offset;  // within a tile
  double weight;   // 0 within a group; at its end the weight of all its pixels
};

struct Window {
  std::vector<Step> steps;
  double total = 0.0;
};

Window whole_window() {
  Window window;
  for (int64_t a = 0; a <= kWindowReach; ++a) {
    for (int64_t b = a; b <= kWindowReach; ++b) {
      double count = 0.0;
      for (int64_t y = -kWindowReach; y <= kWindowReach; ++y) {
        for (int64_t x = -kWindowReach; x <= kWindowReach; ++x) {
          const auto [least, most] = std::minmax({std::abs(y), std::abs(x)});
          if (least != a || most != b) continue;
          window.steps.push_back({y * kStride + x, 0.0});
          count += 1.0;
        }
      }
      window.steps.back().weight = window_weight(a, b);
      window.total += window_weight(a, b) * count;
    }
  }
  return window;
}

template <class T>
class Tile {
 public:
  Tile(const T* labels, const Grid& grid, int64_t top, int64_t left)
      : height_(std::min(kRows, grid.height - top)), width_(std::min(kColumns, grid.width - left)) {
    const int64_t first = left - kWindowReach;
    const bool inside = first >= 0 && first + kStride <= grid.width;
    for (int64_t i = 0; i < kSize / kStride; ++i) {
      const int64_t y = std::clamp<int64_t>(top + i - kWindowReach, 0, grid.height - 1);
      const T* row = labels + y * grid.width;
      T* to = labels_ + i * kStride;
      if (inside) {
        std::copy_n(row + first, kStride, to);
      } else {
        for (int64_t x = 0; x < kStride; ++x) {
          to[x] = row[std::clamp<int64_t>(first + x, 0, grid.width - 1)];
        }
      }
    }
  }

  bool has_boundary() const {
    T differs = 0;
    for (int64_t i = 0; i < kSize; ++i) differs |= labels_[i] ^ labels_[0];
    return differs != 0;
  }

  int64_t edges() const {
    int64_t found = 0;
    for (int64_t y = 0; y < height_; ++y) {
      const T* own = row(y);
      for (int64_t x = 0; x < width_; ++x) {
        found += (own[x] != own[x + 1]) + (own[x] != own[x + kStride]);
      }
    }
    return found;
  }

  int64_t flips(const Window& window) const {
    int64_t found = 0;
    for (int64_t y = 0; y < height_; ++y) {
      const T* own = row(y);
      T same[kColumns] = {};
      double weight[kColumns] = {};
      for (const Step& step : window.steps) {
        const T* other = own + step.offset;
#pragma omp simd
        for (int64_t x = 0; x < kColumns; ++x) {
          same[x] = static_cast<T>(same[x] + (own[x] == other[x]));
        }
        if (step.weight == 0.0) continue;
        for (int64_t x = 0; x < kColumns; ++x) weight[x] += step.weight * same[x];
        std::fill_n(same, kColumns, T{0});
      }
      for (int64_t x = 0; x < width_; ++x) found += weight[x] < window.total / 2.0;
    }
    return found;
  }

 private:
  const T* row(int64_t y) const { return labels_ + (y + kWindowReach) * kStride + kWindowReach; }

  int64_t height_, width_;
  T labels_[kSize];
};

}  // namespace

template <class T>
Detail boundary_detail(const T* labels, const Grid& grid) {
  const Window window = whole_window();
  const int64_t across = (grid.width + kColumns - 1) / kColumns;
  const int64_t tiles = across * ((grid.height + kRows - 1) / kRows);
  std::atomic<int64_t> flips{0}, edges{0};
#pragma omp parallel for schedule(dynamic, 64) if (tiles > 64)
  for (int64_t t = 0; t < tiles; ++t) {
    const Tile<T> tile(labels, grid, t / across * kRows, t % across * kColumns);
    if (!tile.has_boundary()) continue;
    flips += tile.flips(window);
    edges += tile.edges();
  }
  return {flips, edges};
}

template Detail boundary_detail<uint8_t>(const uint8_t*, const Grid&);
template Detail boundary_detail<uint16_t>(const uint16_t*, const Grid&);
template Detail boundary_detail<uint32_t>(const uint32_t*, const Grid&);

}  // namespace hdseg
