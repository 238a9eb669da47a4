#include "cpu/class_evidence.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace hdseg {
namespace {

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

std::vector<Between> all_between(int64_t pixels, int64_t size, int64_t count) {
  std::vector<Between> all(static_cast<size_t>(pixels));
  for (int64_t i = 0; i < pixels; ++i)
    all[static_cast<size_t>(i)] = between_centres(i, size, count);
  return all;
}

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
void add_distances(const DistanceTerms<T>& terms, const Between& y, const Between& x,
                   Candidates<T>& found) {
  const Corners cells(y, x, terms.cells.width);
  for (int64_t m = 0; m < terms.count; ++m) {
    for (int c = 0; c < cells.count; ++c) {
      const int64_t i = cells.corner[c].index;
      found.add(terms.maps[m].own[i]);
      found.add(terms.maps[m].rival[i]);
    }
  }
  const float cell = static_cast<float>(terms.size) / terms.unit;
  // Of two classes, what lies in one lies as far outside the other.
  const bool opposite = found.count == 2;
  for (int c = 0; c < found.count; ++c) {
    if (opposite && c == 1) {
      found.score[1] = -found.score[0];
      break;
    }
    found.score[c] = 0.0f;
    for (int64_t m = 0; m < terms.count; ++m) {
      const float d = signed_distance(terms.maps[m], cells, found.label[c], cell);
      found.score[c] += 0.5f * log_odds(d, terms.maps[m].trust);
    }
  }
}

// The models of one row of pixels: interpolated between two rows of windows once for each window.
template <class T>
class RowModels {
 public:
  RowModels(const ColourModels& models, int64_t channels)
      : models_(models), channels_(channels), count_(moment_count(channels)) {
    kept_.resize(static_cast<size_t>(2 * kConsidered * count_));
  }

  void start(const Between& y) {
    y_ = y;
    std::fill_n(window_, kSlots, -1);
  }

  // weight log N(x) of class k, less than anything where no colours of the class are known.
  // `place` is that of the class among the pixel's: neighbours mostly agree on it.
  float score(int place, T k, const float* colour, const Between& x) {
    if (models_.first[k] < 0) return -1e9f;
    const float left = density(column(place, k, x.first), colour);
    if (!(x.weight > 0.0f)) return models_.weight * left;
    const float right = density(column(place, k, x.second), colour);
    return models_.weight * ((1.0f - x.weight) * left + x.weight * right);
  }

 private:
  float density(const float* coefficients, const float* colour) const {
    if (channels_ == 3) return quadratic(coefficients, colour, 3);  // unrolled
    return quadratic(coefficients, colour, channels_);
  }

  // Coefficients of class k in a column of windows, at this row of pixels.
  const float* column(int place, T k, int64_t x) {
    const int64_t slot = 2 * place + (x & 1);
    float* kept = kept_.data() + slot * count_;
    if (label_[slot] == k && window_[slot] == x) return kept;
    label_[slot] = k;
    window_[slot] = x;
    const int64_t* box = models_.box + 4 * static_cast<int64_t>(k);
    const auto row = [&](int64_t y) {
      const int64_t i = std::clamp<int64_t>(y - box[0], 0, box[2] - 1);
      const int64_t j = std::clamp<int64_t>(x - box[1], 0, box[3] - 1);
      return models_.coefficients + (models_.first[k] + i * box[3] + j) * count_;
    };
    const float *above = row(y_.first), *below = row(y_.second);
    for (int64_t q = 0; q < count_; ++q) {
      kept[q] = (1.0f - y_.weight) * above[q] + y_.weight * below[q];
    }
    return kept;
  }

  static constexpr int kSlots = 2 * kConsidered;
  const ColourModels& models_;
  int64_t channels_, count_;
  Between y_{};
  std::vector<float> kept_;
  T label_[kSlots] = {};
  int64_t window_[kSlots];
};

template <class T>
void add_network(const NetworkTerm& network, const Grid& grid, int64_t row, int64_t column,
                 Candidates<T>& found) {
  const Taps rows = taps_for(network.how, row, network.grid.height, grid.height);
  const Taps columns = taps_for(network.how, column, network.grid.width, grid.width);
  const int64_t plane = network.grid.height * network.grid.width;
  for (int c = 0; c < found.count; ++c) {
    const float* values = network.planes + static_cast<int64_t>(found.label[c]) * plane;
    const auto p = static_cast<float>(interpolate(values, network.grid, rows, columns));
    const float sure = std::clamp(p, kLeastProbability, 1.0f - kLeastProbability);
    found.score[c] += network.trust.log * -log_of(1.0f / sure) + network.trust.linear * p;
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
  const Grid& grid = picture.grid;
  const std::vector<Between> cells = all_between(grid.width, distances.size, distances.cells.width);
  const std::vector<Between> windows = all_between(grid.width, models.size, models.windows.width);
#pragma omp parallel
  {
    RowModels<T> row_models(models, picture.channels);
#pragma omp for schedule(dynamic, 256)
    for (int64_t r = 0; r < band.runs; ++r) {
      const int64_t y = band.pixel[r] / grid.width, left = band.pixel[r] % grid.width;
      const Between cell_row = between_centres(y, distances.size, distances.cells.height);
      row_models.start(between_centres(y, models.size, models.windows.height));
      for (int32_t i = 0; i < band.length(r); ++i) {
        const auto x = static_cast<size_t>(left + i);
        const Value* value = picture.values + (band.pixel[r] + i) * picture.channels;
        float colour[kMostChannels];
        for (int64_t c = 0; c < picture.channels; ++c) {
          colour[c] = standardised(static_cast<double>(value[c]), picture.centre[c], picture.scale);
        }
        Candidates<T> found;
        add_distances(distances, cell_row, cells[x], found);
        if (network.planes != nullptr) add_network(network, grid, y, left + i, found);
        for (int c = 0; c < found.count; ++c) {
          found.score[c] += row_models.score(c, found.label[c], colour, windows[x]);
        }
        const int64_t to = (static_cast<int64_t>(band.start[r]) + i) * kept;
        rank(found, kept, label + to, share + to);
      }
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
