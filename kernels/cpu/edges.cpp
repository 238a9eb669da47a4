#include "cpu/edges.h"

#include <algorithm>

namespace hdseg {
namespace {

// Weights of the edges a[i] - b[i] between two rows of pixels.
template <class T, EdgeRule kRule, int64_t kChannels>
void row_weights(const T* a, const T* b, int64_t count, int64_t channels, double edge_scale,
                 float* weight) {
  using Sum = typename Exact<T>::Sum;
  const Sum factor = static_cast<Sum>(edge_scale);
  if constexpr (kChannels > 0) channels = kChannels;  // known to the compiler: it vectorises
  constexpr int64_t kBlock = 64;
  Sum squares[kBlock];
  for (int64_t start = 0; start < count; start += kBlock) {
    const int64_t n = std::min(kBlock, count - start);
    for (int64_t i = 0; i < n; ++i) {
      const int64_t at = (start + i) * channels;
      squares[i] = squared<T, kRule>(a + at, b + at, channels);
    }
    for (int64_t i = 0; i < n; ++i) weight[start + i] = edge_weight(squares[i], factor);
  }
}

template <class T>
using RowWeights = void (*)(const T*, const T*, int64_t, int64_t, double, float*);

template <class T>
RowWeights<T> row_weights_for(const Features<T>& features) {
  if (features.rule == EdgeRule::kBoundary) {
    return features.channels == 1 ? row_weights<T, EdgeRule::kBoundary, 1>
                                  : row_weights<T, EdgeRule::kBoundary, 0>;
  }
  switch (features.channels) {
    case 1:
      return row_weights<T, EdgeRule::kIntensity, 1>;
    case 3:
      return row_weights<T, EdgeRule::kIntensity, 3>;
    default:
      return row_weights<T, EdgeRule::kIntensity, 0>;
  }
}

// Distributes the weights of edges to pixels `other`: to `inner` if these are unknown, to the row
// sums if they are seeds; walls have no edges.
template <class Seed>
void share(const float* weight, const Seed* other, int64_t count, float* inner, float* row_sum) {
  for (int64_t i = 0; i < count; ++i) {
    inner[i] = other[i] == 0 ? weight[i] : 0.0f;
    row_sum[i] += other[i] == 0 || other[i] == kWall<Seed> ? 0.0f : weight[i];
  }
}

}  // namespace

template <class T, class Seed>
void assemble(const Band& band, const Features<T>& features, const Seed* seeds,
              const ColumnLabels<Seed>& columns, float gamma, float* north, float* east,
              float* south, float* row_sum, float* flux, int64_t stride) {
  const int64_t width = band.grid.width, channels = features.channels;
  const RowWeights<T> weigh = row_weights_for(features);
  const auto weigh_rows = [&](int64_t pixel, int64_t other, int64_t count, float* weight) {
    weigh(features.values + pixel * channels, features.values + other * channels, count, channels,
          features.edge_scale, weight);
  };
  int32_t longest = 0;  // the longest run, which may be far shorter than a row of the image
  for (int64_t r = 0; r < band.runs; ++r) longest = std::max(longest, band.length(r));
#pragma omp parallel
  {
    std::vector<float> buffer(static_cast<size_t>(longest) + 1);
    float* weight = buffer.data();
    ColumnFinder<Seed> finder(columns);
#pragma omp for schedule(dynamic, 64)
    for (int64_t r = 0; r < band.runs; ++r) {
      const int64_t first = band.pixel[r], count = band.length(r), end = first + count;
      const int64_t at = band.start[r];
      std::fill(row_sum + at, row_sum + at + count, gamma);
      for (int64_t j = 0; j < columns.count; ++j) {
        std::fill(flux + j * stride + at, flux + j * stride + at + count, 0.0f);
      }
      // Adds the weights of edges begin .. end - 1, to seeds `other`, to the flux of their labels.
      const auto flow = [&](const Seed* other, int64_t begin, int64_t end, const float* weights) {
        for (int64_t i = begin; i < end; ++i) {
          if (other[i] == 0 || other[i] == kWall<Seed>) continue;
          const int64_t place = (first % width + i) / columns.places.across;
          const int64_t j = finder.find(columns.places.first[r] + place, other[i]);
          if (j >= 0) flux[j * stride + at + i] += weights[i];
        }
      };
      const auto across = [&](bool exists, int64_t down, float* inner) {
        if (!exists) {
          std::fill(inner + at, inner + at + count, 0.0f);
          return;
        }
        weigh_rows(first, first + down, count, weight);
        const Seed* other = seeds + first + down;
        share(weight, other, count, inner + at, row_sum + at);
        flow(other, 0, count, weight);
      };
      across(first >= width, -width, north);
      across(end + width <= band.grid.height * width, width, south);
      // A run ends at the image's border, a seed or a wall; within it all edges lead to unknown
      // pixels.
      const auto visit = [&](int64_t seed, int64_t i) {
        if (seeds[seed] == kWall<Seed>) return;
        row_sum[at + i] += weight[0];
        flow(seeds + seed - i, i, i + 1, weight - i);
      };
      weigh_rows(first, first + 1, count - 1, east + at);
      east[at + count - 1] = 0.0f;
      if (first % width > 0) {
        weigh_rows(first - 1, first, 1, weight);
        visit(first - 1, 0);
      }
      if (end % width > 0) {
        weigh_rows(end - 1, end, 1, weight);
        visit(end, count - 1);
      }
    }
  }
}

int64_t row_starts(const Band& band, const Edges& edges, int32_t* row_start) {
  int32_t total = 0;
  for (int64_t i = 0; i < band.size(); ++i) {
    row_start[i] = total;
    total += row_entries(edges, i);
  }
  row_start[band.size()] = total;
  return total;
}

void laplacian(const Band& band, const Edges& edges, const int32_t* row_start, int32_t* column,
               double* value) {
  const std::vector<Piece> pieces = link_pixels(band);
  const int64_t count = static_cast<int64_t>(pieces.size());
#pragma omp parallel for schedule(static)
  for (int64_t p = 0; p < count; ++p) {
    const Piece piece = pieces[static_cast<size_t>(p)];
    for (int32_t i = piece.start; i < piece.end; ++i) {
      int32_t* to = column + row_start[i];
      double* entry = value + row_start[i];
      const auto write = [&](int32_t j, float weight) {
        if (weight == 0.0f) return;
        *to++ = j;
        *entry++ = -static_cast<double>(weight);
      };
      write(i + piece.north, edges.north[i]);
      write(i - 1, edges.east[i - 1]);
      *to++ = i;
      *entry++ = exact_diagonal(edges, i);
      write(i + 1, edges.east[i]);
      write(i + piece.south, edges.south[i]);
    }
  }
}

#define HDSEG_INSTANTIATE(T, Seed)                                                          \
  template void assemble<T, Seed>(const Band&, const Features<T>&, const Seed*,             \
                                  const ColumnLabels<Seed>&, float, float*, float*, float*, \
                                  float*, float*, int64_t);
#define HDSEG_INSTANTIATE_SEEDS(T) \
  HDSEG_INSTANTIATE(T, uint8_t)    \
  HDSEG_INSTANTIATE(T, uint16_t)   \
  HDSEG_INSTANTIATE(T, uint32_t)
HDSEG_INSTANTIATE_SEEDS(uint8_t)
HDSEG_INSTANTIATE_SEEDS(uint16_t)
HDSEG_INSTANTIATE_SEEDS(float)
HDSEG_INSTANTIATE_SEEDS(double)
#undef HDSEG_INSTANTIATE_SEEDS
#undef HDSEG_INSTANTIATE

}  // namespace hdseg
