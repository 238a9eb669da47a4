#include "cpu/class_evidence.h"

#include <algorithm>
#include <vector>

namespace hdseg {
namespace {

// For `pixels` pixels from the first on.
std::vector<Between> all_between(int64_t first, int64_t pixels, int64_t size, int64_t count) {
  std::vector<Between> all(static_cast<size_t>(pixels));
  for (int64_t i = 0; i < pixels; ++i)
    all[static_cast<size_t>(i)] = between_centres(first + i, size, count);
  return all;
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
    if (models_.first[k] < 0) return kUnknownColours;
    const float left = density(column(place, k, x.first), colour);
    if (!(x.weight > 0.0f)) return models_.weight * left;
    const float right = density(column(place, k, x.second), colour);
    return models_.weight * blended(left, right, x.weight);
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
    const BlendedModel model = model_at(models_, count_, static_cast<int64_t>(k), y_, x);
    for (int64_t q = 0; q < count_; ++q) {
      kept[q] = model[q];
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

}  // namespace

template <class Value, class T>
void class_evidence(const Band& band, const Picture<Value>& picture, const ColourModels& models,
                    const DistanceTerms<T>& distances, const NetworkTerm& network, int64_t kept,
                    T* label, float* share) {
  const Grid& grid = picture.grid;
  const std::vector<Between> cells =
      all_between(picture.left, grid.width, distances.size, distances.cells.width);
  const std::vector<Between> windows =
      all_between(picture.left, grid.width, models.size, models.windows.width);
#pragma omp parallel
  {
    RowModels<T> row_models(models, picture.channels);
#pragma omp for schedule(dynamic, 256)
    for (int64_t r = 0; r < band.runs; ++r) {
      const int64_t y = band.pixel[r] / grid.width, left = band.pixel[r] % grid.width;
      const int64_t at = picture.top + y;
      const Between cell_row = between_centres(at, distances.size, distances.cells.height);
      row_models.start(between_centres(at, models.size, models.windows.height));
      for (int32_t i = 0; i < band.length(r); ++i) {
        const auto x = static_cast<size_t>(left + i);
        const Value* value = picture.values + (band.pixel[r] + i) * picture.channels;
        float colour[kMostChannels];
        for (int64_t c = 0; c < picture.channels; ++c) {
          colour[c] = standardised(static_cast<double>(value[c]), picture.centre[c], picture.scale);
        }
        Candidates<T> found;
        add_distances(distances, cell_row, cells[x], found);
        if (network.planes != nullptr) add_network(network, y, left + i, found);
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
