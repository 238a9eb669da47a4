#include "cpu/class_evidence.h"

#include <algorithm>
#include <vector>

namespace hdseg {
namespace {

// between_centres() for consecutive pixels.
std::vector<Between> all_between(int64_t first, int64_t pixels, int64_t size, int64_t count) {
  std::vector<Between> all(static_cast<size_t>(pixels));
  for (int64_t i = 0; i < pixels; ++i)
    all[static_cast<size_t>(i)] = between_centres(first + i, size, count);
  return all;
}

// The models for a row of pixels, each interpolated once between two rows of colour windows.
template <class T>
class RowModels {
 public:
  RowModels(const ColourModels<T>& models, int64_t channels)
      : models_(models), channels_(channels), count_(moment_count(channels)) {
    kept_.resize(static_cast<size_t>(2 * kConsidered * count_));
  }

  void start(const Between& y) {
    y_ = y;
    std::fill_n(window_, kSlots, -1);
  }

  // weight log N(x) of class k; kUnknownColours without a model. place: the index of the class
  // among the pixel's candidates, mostly the same for neighbours.
  float score(int place, T k, const float* colour, const Between& x) {
    const float* at_left = column(place, k, x.first);
    if (at_left == nullptr) return kUnknownColours;
    const float left = density(at_left, colour);
    if (!(x.weight > 0.0f)) return models_.weight * left;
    const float* at_right = column(place, k, x.second);
    if (at_right == nullptr) return kUnknownColours;
    const float right = density(at_right, colour);
    return models_.weight * blended(left, right, x.weight);
  }

 private:
  float density(const float* coefficients, const float* colour) const {
    if (channels_ == 3) return quadratic(coefficients, colour, 3);  // unrolled
    return quadratic(coefficients, colour, channels_);
  }

  // Coefficients of class k in a column of windows, at this row of pixels; null if there are none.
  const float* column(int place, T k, int64_t x) {
    const int64_t slot = 2 * place + (x & 1);
    float* kept = kept_.data() + slot * count_;
    if (label_[slot] == k && window_[slot] == x) return known_[slot] ? kept : nullptr;
    label_[slot] = k;
    window_[slot] = x;
    const BlendedModel model = model_at(models_, count_, k, y_, x);
    known_[slot] = model.known();
    if (!known_[slot]) return nullptr;
    for (int64_t q = 0; q < count_; ++q) {
      kept[q] = model[q];
    }
    return kept;
  }

  static constexpr int kSlots = 2 * kConsidered;
  const ColourModels<T>& models_;
  int64_t channels_, count_;
  Between y_{};
  std::vector<float> kept_;
  T label_[kSlots] = {};
  int64_t window_[kSlots];
  bool known_[kSlots] = {};
};

}  // namespace

template <class Value, class T>
void class_evidence(const Band& band, const Picture<Value>& picture, const EvidenceTerms<T>& terms,
                    int64_t kept, T* label, float* probability) {
  const ColourModels<T>& models = terms.models;
  const DistanceTerms<T>& distances = terms.distances;
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
          colour[c] = standardised(static_cast<double>(value[c]), terms.centre[c], terms.scale);
        }
        Candidates<T> found;
        add_distances(distances, cell_row, cells[x], found);
        if (terms.network.planes != nullptr) add_coarse(terms.network, y, left + i, found);
        for (int c = 0; c < found.count; ++c) {
          found.score[c] += row_models.score(c, found.label[c], colour, windows[x]);
        }
        const int64_t to = (static_cast<int64_t>(band.start[r]) + i) * kept;
        rank(found, kept, label + to, probability + to);
      }
    }
  }
}

template <class T>
void add_evidence(const Band& band, const int32_t* position, const T* label,
                  const float* probability, int64_t kept, const ColumnLabels<T>& columns,
                  float gamma, float* b, int64_t stride) {
#pragma omp parallel
  {
    ColumnFinder<T> finder(columns);
#pragma omp for schedule(static)
    for (int64_t r = 0; r < band.runs; ++r) {
      each_place(band, columns.places, r, [&](int64_t row, int32_t begin, int32_t end) {
        for (int32_t i = begin; i < end; ++i) {
          const int64_t at = (position == nullptr ? i : position[i]) * kept;
          for (int64_t m = 0; m < kept; ++m) {
            if (label[at + m] == 0) continue;
            const int64_t j = finder.find(row, label[at + m]);
            if (j >= 0) b[j * stride + i] += gamma * probability[at + m];
          }
        }
      });
    }
  }
}

#define HDSEG_VALUE(Value, T)                                                \
  template void class_evidence<Value, T>(const Band&, const Picture<Value>&, \
                                         const EvidenceTerms<T>&, int64_t, T*, float*);
#define HDSEG_CLASS(T)                                                                        \
  HDSEG_VALUE(uint8_t, T)                                                                     \
  HDSEG_VALUE(uint16_t, T)                                                                    \
  HDSEG_VALUE(float, T)                                                                       \
  HDSEG_VALUE(double, T)                                                                      \
  template void add_evidence<T>(const Band&, const int32_t*, const T*, const float*, int64_t, \
                                const ColumnLabels<T>&, float, float*, int64_t);
HDSEG_CLASS(uint8_t)
HDSEG_CLASS(uint16_t)
HDSEG_CLASS(uint32_t)
#undef HDSEG_CLASS
#undef HDSEG_VALUE

}  // namespace hdseg
