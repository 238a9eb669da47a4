#include "cpu/class_evidence.h"

#include <algorithm>
#include <cmath>

namespace hdseg {
namespace {

constexpr int64_t kMostChannels = 16;
constexpr float kLeastProbability = 0.01f;  // a network is never surer than this

// The classes that a pixel may have, with their scores.
template <class T>
struct Candidates {
  T label[kConsidered];
  float score[kConsidered];
  int count = 0;

  void add(T k) {
    for (int c = 0; c < count; ++c) {
      if (label[c] == k) return;
    }
    if (count < kConsidered) label[count++] = k;
  }
};

struct Corner {
  int64_t index;
  float weight;
};

// The entries of a grid around a pixel; those of weight 0 are left out.
struct Corners {
  Corner corner[4];
  int count = 0;

  Corners(const Between& y, const Between& x, int64_t width) {
    const float wy[2] = {1.0f - y.weight, y.weight}, wx[2] = {1.0f - x.weight, x.weight};
    const int64_t iy[2] = {y.first, y.second}, ix[2] = {x.first, x.second};
    for (int i = 0; i < 2; ++i) {
      for (int j = 0; j < 2; ++j) {
        const float weight = wy[i] * wx[j];
        if (weight > 0.0f) corner[count++] = {iy[i] * width + ix[j], weight};
      }
    }
  }
};

// Distance into class k, negative outside, in units of the terms.
template <class T>
float signed_distance(const NearestMap<T>& map, const Corners& cells, T k, float cell) {
  float sum = 0.0f;
  for (int c = 0; c < cells.count; ++c) {
    const int64_t i = cells.corner[c].index;
    const float far = std::min(map.distance[i], 1e6f) - 0.5f;  // from centres to the boundary
    const float there = map.own[i] == k ? far : (map.rival[i] == k ? -far : -far - 1.0f);
    sum += cells.corner[c].weight * there;
  }
  return sum * cell;
}

template <class T>
void add_distances(const DistanceTerms<T>& terms, int64_t y, int64_t x, Candidates<T>& found) {
  const Corners cells(between_centres(y, terms.size, terms.cells.height),
                      between_centres(x, terms.size, terms.cells.width), terms.cells.width);
  for (int64_t m = 0; m < terms.count; ++m) {
    for (int c = 0; c < cells.count; ++c) {
      const int64_t i = cells.corner[c].index;
      found.add(terms.maps[m].own[i]);
      found.add(terms.maps[m].rival[i]);
    }
  }
  const float cell = static_cast<float>(terms.size) / terms.unit;
  for (int c = 0; c < found.count; ++c) {
    found.score[c] = 0.0f;
    for (int64_t m = 0; m < terms.count; ++m) {
      const float d = signed_distance(terms.maps[m], cells, found.label[c], cell);
      found.score[c] += 0.5f * log_odds(d, terms.maps[m].trust);
    }
  }
}

template <class T>
void add_colours(const ColourModels& models, const float* x, int64_t channels, int64_t row,
                 int64_t column, Candidates<T>& found) {
  const int64_t count = moment_count(channels);
  const Between y = between_centres(row, models.size, models.windows.height);
  const Between z = between_centres(column, models.size, models.windows.width);
  for (int c = 0; c < found.count; ++c) {
    const auto k = static_cast<int64_t>(found.label[c]);
    if (models.first[k] < 0) {  // no colours of this class are known: they decide against it
      found.score[c] = -1e9f;
      continue;
    }
    const int64_t* box = models.box + 4 * k;
    const auto inside = [](int64_t i, int64_t start, int64_t length) {
      return std::clamp<int64_t>(i - start, 0, length - 1);
    };
    const Between in_y = {inside(y.first, box[0], box[2]), inside(y.second, box[0], box[2]),
                          y.weight};
    const Between in_x = {inside(z.first, box[1], box[3]), inside(z.second, box[1], box[3]),
                          z.weight};
    const Corners windows(in_y, in_x, box[3]);
    float sum = 0.0f;
    for (int w = 0; w < windows.count; ++w) {
      const float* coefficients =
          models.coefficients + (models.first[k] + windows.corner[w].index) * count;
      sum += windows.corner[w].weight * quadratic(coefficients, x, channels);
    }
    found.score[c] += models.weight * sum;
  }
}

template <class T>
void add_network(const NetworkTerm& network, const Grid& grid, int64_t row, int64_t column,
                 Candidates<T>& found) {
  const bool linear = network.how == Interpolation::kLinear;
  const Taps y = linear ? linear_taps(row, network.grid.height, grid.height)
                        : cubic_taps(row, network.grid.height, grid.height);
  const Taps x = linear ? linear_taps(column, network.grid.width, grid.width)
                        : cubic_taps(column, network.grid.width, grid.width);
  for (int c = 0; c < found.count; ++c) {
    const float* plane = network.planes + static_cast<int64_t>(found.label[c]) *
                                              network.grid.height * network.grid.width;
    double sum = 0.0;
    for (int i = 0; i < y.count; ++i) {
      for (int j = 0; j < x.count; ++j) {
        sum += y.weight[i] * x.weight[j] *
               static_cast<double>(plane[y.index[i] * network.grid.width + x.index[j]]);
      }
    }
    const auto p = static_cast<float>(sum);
    const float sure = std::clamp(p, kLeastProbability, 1.0f - kLeastProbability);
    found.score[c] += network.trust.log * std::log(sure) + network.trust.linear * p;
  }
}

// Softmax of the best scores, in descending order.
template <class T>
void rank(Candidates<T>& found, int64_t kept, T* label, float* share) {
  for (int i = 1; i < found.count; ++i) {  // stable: the first of equals stays first
    for (int j = i; j > 0 && found.score[j] > found.score[j - 1]; --j) {
      std::swap(found.score[j], found.score[j - 1]);
      std::swap(found.label[j], found.label[j - 1]);
    }
  }
  float sum = 0.0f;
  for (int64_t m = 0; m < kept; ++m) {
    float value = m < found.count ? exp_of_negative(found.score[m] - found.score[0]) : 0.0f;
    if (value < kLeastShare) value = 0.0f;
    share[m] = value;
    label[m] = value > 0.0f ? static_cast<T>(found.label[m] + 1) : T{0};
    sum += value;
  }
  for (int64_t m = 0; m < kept; ++m) share[m] /= sum;
}

}  // namespace

template <class Value, class T>
void class_evidence(const Band& band, const Picture<Value>& picture, const ColourModels& models,
                    const DistanceTerms<T>& distances, const NetworkTerm& network, int64_t kept,
                    T* label, float* share) {
#pragma omp parallel for schedule(dynamic, 256)
  for (int64_t r = 0; r < band.runs; ++r) {
    const int64_t y = band.pixel[r] / picture.grid.width, left = band.pixel[r] % picture.grid.width;
    for (int32_t i = 0; i < band.length(r); ++i) {
      const int64_t x = left + i;
      const Value* value = picture.values + (band.pixel[r] + i) * picture.channels;
      float colour[kMostChannels];
      for (int64_t c = 0; c < picture.channels; ++c) {
        colour[c] =
            static_cast<float>((static_cast<double>(value[c]) - picture.centre[c]) * picture.scale);
      }
      Candidates<T> found;
      add_distances(distances, y, x, found);
      if (network.planes != nullptr) add_network(network, picture.grid, y, x, found);
      add_colours(models, colour, picture.channels, y, x, found);
      const int64_t to = (static_cast<int64_t>(band.start[r]) + i) * kept;
      rank(found, kept, label + to, share + to);
    }
  }
}

template <class T>
void evident_classes(const Band& band, const T* label, int64_t kept, const int32_t* component,
                     int64_t classes, bool* touches) {
  for (int64_t r = 0; r < band.runs; ++r) {
    bool* row = touches + component[r] * classes;
    const int64_t last = static_cast<int64_t>(band.start[r + 1]) * kept;
    for (int64_t i = static_cast<int64_t>(band.start[r]) * kept; i < last; ++i) {
      if (label[i] != 0) row[label[i] - 1] = true;
    }
  }
}

template <class T>
void add_evidence(const Band& band, const int32_t* position, const T* label, const float* share,
                  int64_t kept, const T* columns, int64_t column_count, float gamma, float* b,
                  int64_t stride) {
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < band.runs; ++r) {
    const T* column = columns + r * column_count;
    for (int32_t i = band.start[r]; i < band.start[r + 1]; ++i) {
      const int64_t at = (position == nullptr ? i : position[i]) * kept;
      for (int64_t m = 0; m < kept; ++m) {
        if (label[at + m] == 0) continue;
        for (int64_t j = 0; j < column_count; ++j) {
          if (column[j] == label[at + m]) b[j * stride + i] += gamma * share[at + m];
        }
      }
    }
  }
}

#define HDSEG_VALUE(Value, T)                                                                      \
  template void class_evidence<Value, T>(const Band&, const Picture<Value>&, const ColourModels&,  \
                                         const DistanceTerms<T>&, const NetworkTerm&, int64_t, T*, \
                                         float*);
#define HDSEG_CLASS(T)                                                                        \
  HDSEG_VALUE(uint8_t, T)                                                                     \
  HDSEG_VALUE(uint16_t, T)                                                                    \
  HDSEG_VALUE(float, T)                                                                       \
  HDSEG_VALUE(double, T)                                                                      \
  template void evident_classes<T>(const Band&, const T*, int64_t, const int32_t*, int64_t,   \
                                   bool*);                                                    \
  template void add_evidence<T>(const Band&, const int32_t*, const T*, const float*, int64_t, \
                                const T*, int64_t, float, float*, int64_t);
HDSEG_CLASS(uint8_t)
HDSEG_CLASS(uint16_t)
#undef HDSEG_CLASS
#undef HDSEG_VALUE

}  // namespace hdseg
