// Class evidence of one pixel, step by step: its candidate classes and their scores.
#pragma once
#include "evidence.h"
#include "grid.h"

namespace hdseg {

// The grid of colour windows of `size` pixels over a grid of cells; both begin at the same pixel.
HDSEG_FN Grid windows_of(const Grid& cells, int64_t cell, int64_t size) {
  return cells_of(cells, size / cell);
}

// Colour models by colour window; the classes of a window are in ascending order.
template <class T>
struct ColourModels {
  const float* coefficients;  // (entries, moments)
  const int64_t* start;       // (windows + 1) the first entry of each window
  const T* label;             // (entries)
  int64_t size;               // side of a window in pixels
  Grid windows;               // windows that contain cells
  float weight;

  // The entry of class k in window w, -1 for none.
  HDSEG_FN int64_t entry(T k, int64_t w) const {
    int64_t low = start[w], high = start[w + 1];
    while (low < high) {
      const int64_t middle = low + (high - low) / 2;
      if (label[middle] < k) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low < start[w + 1] && label[low] == k ? low : -1;
  }
};

// Maps of cells: the class of each, the nearest other class, and the distance to it in cells.
template <class T>
struct NearestMap {
  const T* own;
  const T* nearest_other;
  const float* distance;
  Trust trust;
};

// A fixed bound for loops over maps: compilers unroll them and keep the maps in registers.
constexpr int kMostMaps = 2;

template <class T>
struct DistanceTerms {
  NearestMap<T> first, second;
  int64_t count;  // of maps; with one the second is unused
  int64_t size;   // side of a cell in pixels
  Grid cells;
  float unit;  // pixels per unit of distance

  HDSEG_FN const NearestMap<T>& map(int m) const { return m == 0 ? first : second; }
};

// The network's interpolated probabilities p score log log(p) + linear p.
struct CoarseTerm {
  const float* planes;  // (classes, place.part), or null
  GridMapping place;    // its window is the image
  Interpolation how;
  Trust trust;
};

// Everything that scores the classes of a pixel.
template <class T>
struct EvidenceTerms {
  const double* centre;  // (channels)
  double scale;          // a colour is (value - centre) scale
  ColourModels<T> models;
  DistanceTerms<T> distances;
  CoarseTerm network;
};
static_assert(sizeof(EvidenceTerms<uint8_t>) == 312);

constexpr float kLeastProbability = 0.01f;  // probabilities are clipped to [0.01, 0.99]
constexpr float kUnknownColours = -1e9f;    // below the score of any colour

// The candidate classes of a pixel, with their scores.
template <class T>
struct Candidates {
  T label[kConsidered];
  float score[kConsidered];
  int count = 0;

  HDSEG_FN void add(T k) {
    for (int c = 0; c < count; ++c) {
      if (label[c] == k) return;
    }
    if (count < kConsidered) label[count++] = k;
  }
};

// The entries of a grid around a pixel, with bilinear weights; entries of weight 0 are not read.
struct Corners {
  int64_t index[4];
  float weight[4];
};

HDSEG_FN Corners corners_of(const Between& y, const Between& x, int64_t width) {
  const float top = 1.0f - y.weight, left = 1.0f - x.weight;
  return {{y.first * width + x.first, y.first * width + x.second, y.second * width + x.first,
           y.second * width + x.second},
          {top * left, top * x.weight, y.weight * left, y.weight * x.weight}};
}

// The interpolated distance from the boundary of class k, negative outside, in units of the scale;
// cell: the side of a cell in these units.
template <class T>
HDSEG_FN float signed_distance(const NearestMap<T>& map, const Corners& cells, T k, float cell) {
  float sum = 0.0f;
  for (int c = 0; c < 4; ++c) {
    if (!(cells.weight[c] > 0.0f)) continue;
    const int64_t i = cells.index[c];
    const float bounded = map.distance[i] < 1e6f ? map.distance[i] : 1e6f;
    const float far = bounded - 0.5f;  // from centres to the boundary
    const float there = map.own[i] == k ? far : (map.nearest_other[i] == k ? -far : -far - 1.0f);
    sum += cells.weight[c] * there;
  }
  return sum * cell;
}

template <class T>
HDSEG_FN void add_distances(const DistanceTerms<T>& terms, const Between& y, const Between& x,
                            Candidates<T>& found) {
  const Corners cells = corners_of(y, x, terms.cells.width);
  for (int m = 0; m < kMostMaps; ++m) {
    if (m >= terms.count) break;
    const NearestMap<T>& map = terms.map(m);
    for (int c = 0; c < 4; ++c) {
      if (!(cells.weight[c] > 0.0f)) continue;
      found.add(map.own[cells.index[c]]);
      found.add(map.nearest_other[cells.index[c]]);
    }
  }
  const float cell = static_cast<float>(terms.size) / terms.unit;
  // With two classes, the distance into one is the distance out of the other.
  const bool opposite = found.count == 2;
  for (int c = 0; c < found.count; ++c) {
    if (opposite && c == 1) {
      found.score[1] = -found.score[0];
      break;
    }
    found.score[c] = 0.0f;
    for (int m = 0; m < kMostMaps; ++m) {
      if (m >= terms.count) break;
      const NearestMap<T>& map = terms.map(m);
      const float d = signed_distance(map, cells, found.label[c], cell);
      found.score[c] += 0.5f * log_odds(d, map.trust);
    }
  }
}

HDSEG_FN float blended(float first, float second, float weight) {
  return (1.0f - weight) * first + weight * second;
}

// A model interpolated between two colour windows, one above the other.
struct BlendedModel {
  const float* above;
  const float* below;
  float weight;  // of `below`

  HDSEG_FN bool known() const { return above != nullptr && below != nullptr; }

  HDSEG_FN float operator[](int64_t q) const { return blended(above[q], below[q], weight); }
};

// The model of class k in column x of the grid of windows, interpolated vertically.
template <class T>
HDSEG_FN BlendedModel model_at(const ColourModels<T>& models, int64_t moments, T k,
                               const Between& y, int64_t x) {
  const int64_t above = models.entry(k, y.first * models.windows.width + x);
  const int64_t below =
      y.weight > 0.0f ? models.entry(k, y.second * models.windows.width + x) : above;
  return {above < 0 ? nullptr : models.coefficients + above * moments,
          below < 0 ? nullptr : models.coefficients + below * moments, y.weight};
}

template <class T>
HDSEG_FN void add_coarse(const CoarseTerm& network, int64_t row, int64_t column,
                         Candidates<T>& found) {
  const Taps rows = taps_for(network.how, row, network.place.rows);
  const Taps columns = taps_for(network.how, column, network.place.columns);
  const Grid& part = network.place.part;
  const int64_t plane = part.height * part.width;
  for (int c = 0; c < found.count; ++c) {
    const float* values = network.planes + static_cast<int64_t>(found.label[c]) * plane;
    const auto p = static_cast<float>(interpolate(values, part, rows, columns));
    const float most = 1.0f - kLeastProbability;
    const float sure = p < kLeastProbability ? kLeastProbability : (most < p ? most : p);
    found.score[c] += network.trust.log * -log_of(1.0f / sure) + network.trust.linear * p;
  }
}

// Writes the best classes + 1 and the softmax of their scores, in descending order.
template <class T>
HDSEG_FN void rank(Candidates<T>& found, int64_t kept, T* label, float* probability) {
  for (int i = 1; i < found.count; ++i) {  // stable insertion sort
    const float score = found.score[i];
    const T k = found.label[i];
    int j = i;
    for (; j > 0 && score > found.score[j - 1]; --j) {
      found.score[j] = found.score[j - 1];
      found.label[j] = found.label[j - 1];
    }
    found.score[j] = score;
    found.label[j] = k;
  }
  const int64_t count = found.count < kept ? found.count : kept;
  const float best = found.score[0];
  float sum = 0.0f;
  for (int64_t m = 0; m < count; ++m) {
    const float value = exp_of_negative(found.score[m] - best);
    found.score[m] = value < kLeastProbabilityKept ? 0.0f : value;
    sum += found.score[m];
  }
  for (int64_t m = 0; m < kept; ++m) {
    const float value = m < count ? found.score[m] : 0.0f;
    label[m] = value > 0.0f ? static_cast<T>(found.label[m] + 1) : T{0};
    probability[m] = value / sum;
  }
}

}  // namespace hdseg
