#include "cpu/graph.h"

#include <algorithm>
#include <vector>

#include "common/laplacian.h"

namespace hdseg {
namespace {

int32_t root(std::vector<int32_t>& parent, int32_t i) {
  while (parent[static_cast<size_t>(i)] != i) {
    int32_t& up = parent[static_cast<size_t>(i)];
    up = parent[static_cast<size_t>(up)];  // path halving
    i = up;
  }
  return i;
}

}  // namespace

template <class T>
void edge_weights(const T* features, const Grid& grid, int64_t channels, const int64_t* pixels,
                  int64_t count, EdgeRule rule, double strength, double* weights) {
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < count; ++i) {
    for (int k = 0; k < kNeighbours; ++k) {
      const int64_t j = neighbour(grid, pixels[i], k);
      weights[kNeighbours * i + k] =
          j < 0 ? 0.0
                : edge_weight(features + pixels[i] * channels, features + j * channels, channels,
                              rule, strength);
    }
  }
}

void neighbours(const int64_t* pixels, int64_t count, const Grid& grid, int32_t* unknown) {
  constexpr int64_t kBlock = 1 << 14;
#pragma omp parallel for schedule(static)
  for (int64_t block = 0; block < count; block += kBlock) {
    const int64_t end = std::min(count, block + kBlock);
    for (int k = 0; k < kNeighbours; ++k) {
      // Both lists ascend, so one search a block is enough; from there on both are walked.
      int64_t p = -1;
      for (int64_t i = block; i < end; ++i) {
        const int64_t j = neighbour(grid, pixels[i], k);
        int32_t& position = unknown[kNeighbours * i + k];
        position = -1;
        if (j < 0) continue;
        if (p < 0) p = std::lower_bound(pixels, pixels + count, j) - pixels;
        while (p < count && pixels[p] < j) ++p;
        if (p < count && pixels[p] == j) position = static_cast<int32_t>(p);
      }
    }
  }
}

int32_t components(const int32_t* unknown, int64_t count, int32_t* component) {
  std::vector<int32_t> parent(static_cast<size_t>(count));
  for (int32_t i = 0; i < count; ++i) {
    parent[static_cast<size_t>(i)] = i;
    for (int k = 0; k < 2; ++k) {  // north and west: every edge once
      const int32_t j = unknown[kNeighbours * static_cast<int64_t>(i) + k];
      if (j < 0) continue;
      const int32_t a = root(parent, i), b = root(parent, j);
      parent[static_cast<size_t>(std::max(a, b))] = std::min(a, b);
    }
  }
  int32_t found = 0;
  for (int32_t i = 0; i < count; ++i) {  // a root is its component's first pixel
    const int32_t r = root(parent, i);
    component[i] = r == i ? found++ : component[r];
  }
  return found;
}

void contacts(const int64_t* pixels, int64_t count, const Grid& grid, const int32_t* seeds,
              const int32_t* component, int32_t class_count, bool* touches) {
  for (int64_t i = 0; i < count; ++i) {
    for (int k = 0; k < kNeighbours; ++k) {
      const int64_t j = neighbour(grid, pixels[i], k);
      if (j < 0 || seeds[j] == 0) continue;
      touches[static_cast<int64_t>(component[i]) * class_count + seeds[j] - 1] = true;
    }
  }
}

int64_t row_starts(const int32_t* unknown, int64_t count, int32_t* row_start) {
  int64_t total = 0;
  for (int64_t i = 0; i < count; ++i) {
    row_start[i] = static_cast<int32_t>(total);
    total += row_length(unknown + kNeighbours * i);
  }
  row_start[count] = static_cast<int32_t>(total);
  return total;
}

void laplacian(const int32_t* unknown, const double* weights, int64_t count, double gamma,
               const int32_t* row_start, int32_t* column, double* value) {
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < count; ++i) {
    write_row(static_cast<int32_t>(i), unknown + kNeighbours * i, weights + kNeighbours * i, gamma,
              column + row_start[i], value + row_start[i]);
  }
}

void flux_from_seeds(const double* weights, const int64_t* pixels, int64_t count, const Grid& grid,
                     const int32_t* seeds, const int32_t* label, double* flux) {
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < count; ++i) {
    flux[i] = flux_from_seeds(grid, pixels[i], weights + kNeighbours * i, seeds, label[i]);
  }
}

#define HDSEG_INSTANTIATE(T)                                                                       \
  template void edge_weights<T>(const T*, const Grid&, int64_t, const int64_t*, int64_t, EdgeRule, \
                                double, double*);
HDSEG_INSTANTIATE(uint8_t)
HDSEG_INSTANTIATE(uint16_t)
HDSEG_INSTANTIATE(float)
HDSEG_INSTANTIATE(double)
#undef HDSEG_INSTANTIATE

}  // namespace hdseg
