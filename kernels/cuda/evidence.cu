// Evidence: scores and probabilities of classes at each pixel of a band, from colours, distances
// and the network.
#include "common/evidence_pixel.h"
#include "cuda/positions.h"

namespace hdseg {

template <class Value>
struct Pixels {
  const Value* values;  // (rows, width, channels)
  int64_t first;        // pixel of the image that they begin with
  int64_t top, left;    // of the image's first pixel on the grid of cells and windows
  int64_t channels;
};
static_assert(sizeof(Pixels<uint8_t>) == 40);

// In float64 until it is a colour, as the contract has it.
template <class Value, class T>
__device__ void colour_of(const Pixels<Value>& picture, const EvidenceTerms<T>& terms,
                          int64_t pixel, float* colour) {
  const Value* value = picture.values + (pixel - picture.first) * picture.channels;
  for (int64_t c = 0; c < picture.channels; ++c) {
    colour[c] = standardised(static_cast<double>(value[c]), terms.centre[c], terms.scale);
  }
}

// log N(x) of a class in a column of windows.
__device__ inline float density(const BlendedModel& model, int64_t channels, const float* colour) {
  if (channels == 3) return quadratic(model, colour, 3);  // unrolled
  return quadratic(model, colour, channels);
}

// weight log N(x) of class k, interpolated between the windows around a pixel.
template <class T>
__device__ float colour_score(const ColourModels<T>& models, int64_t channels, T k,
                              const Between& y, const Between& x, const float* colour) {
  const int64_t moments = moment_count(channels);
  const BlendedModel at_left = model_at(models, moments, k, y, x.first);
  if (!at_left.known()) return kUnknownColours;
  const float left = density(at_left, channels, colour);
  if (!(x.weight > 0.0f)) return models.weight * left;
  const BlendedModel at_right = model_at(models, moments, k, y, x.second);
  if (!at_right.known()) return kUnknownColours;
  const float right = density(at_right, channels, colour);
  return models.weight * blended(left, right, x.weight);
}

// A thread for each position. Moves a pixel, and for each class that is kept 4 bytes and its label;
// cells, windows and planes are small and come from the caches.
template <class Value, class T>
__device__ void class_evidence(const Band& band, const Range& range, const Pixels<Value>& picture,
                               const EvidenceTerms<T>& terms, int64_t kept, T* label,
                               float* probability) {
  const ColourModels<T>& models = terms.models;
  const DistanceTerms<T>& distances = terms.distances;
  const int64_t width = band.grid.width, channels = picture.channels;
  each_position<false>(band, range, [&](int64_t run, int64_t i) {
    const int64_t pixel = pixel_at(band, run, i), row = pixel / width, column = pixel % width;
    const int64_t y = picture.top + row, x = picture.left + column;
    Candidates<T> found;
    add_distances(distances, between_centres(y, distances.size, distances.cells.height),
                  between_centres(x, distances.size, distances.cells.width), found);
    if (terms.network.planes != nullptr) add_coarse(terms.network, row, column, found);
    float colour[kMostChannels];
    colour_of(picture, terms, pixel, colour);
    const Between rows = between_centres(y, models.size, models.windows.height);
    const Between columns = between_centres(x, models.size, models.windows.width);
    for (int c = 0; c < found.count; ++c) {
      found.score[c] += colour_score(models, channels, found.label[c], rows, columns, colour);
    }
    rank(found, kept, label + i * kept, probability + i * kept);
  });
}

// Adds gamma times the probability of its place's label to each entry of the columns b; the
// evidence is that of row position[i], or of row i where there are no positions.
template <class T>
__device__ void add_evidence(const Band& band, int64_t size, const int32_t* position,
                             const T* label, const float* probability, int64_t kept,
                             const ColumnLabels<T>& columns, float gamma, float* b,
                             int64_t stride) {
  each_position<false>(band, {0, size}, [&](int64_t run, int64_t i) {
    const int64_t at = (position == nullptr ? i : position[i]) * kept;
    const int64_t place = place_of(band, columns.places, run, pixel_at(band, run, i));
    const T* column = columns.label + place * columns.count;
    for (int64_t m = 0; m < kept; ++m) {
      const T k = label[at + m];
      if (k == 0) continue;
      for (int64_t j = 0; j < columns.count; ++j) {
        if (column[j] == k) b[j * stride + i] += gamma * probability[at + m];
      }
    }
  });
}

}  // namespace hdseg

#define HDSEG_EVIDENCE_KERNEL(Value, value_suffix, T, suffix)                      \
  extern "C" __global__ void class_evidence_##value_suffix##_##suffix(             \
      hdseg::Band band, hdseg::Range range, hdseg::Pixels<Value> picture,          \
      hdseg::EvidenceTerms<T> terms, int64_t kept, T* label, float* probability) { \
    hdseg::class_evidence(band, range, picture, terms, kept, label, probability);  \
  }

HDSEG_EVIDENCE_KERNEL(uint8_t, u8, uint8_t, u8)
HDSEG_EVIDENCE_KERNEL(uint8_t, u8, uint16_t, u16)
HDSEG_EVIDENCE_KERNEL(uint8_t, u8, uint32_t, u32)
HDSEG_EVIDENCE_KERNEL(uint16_t, u16, uint8_t, u8)
HDSEG_EVIDENCE_KERNEL(uint16_t, u16, uint16_t, u16)
HDSEG_EVIDENCE_KERNEL(uint16_t, u16, uint32_t, u32)
HDSEG_EVIDENCE_KERNEL(float, f32, uint8_t, u8)
HDSEG_EVIDENCE_KERNEL(float, f32, uint16_t, u16)
HDSEG_EVIDENCE_KERNEL(float, f32, uint32_t, u32)
HDSEG_EVIDENCE_KERNEL(double, f64, uint8_t, u8)
HDSEG_EVIDENCE_KERNEL(double, f64, uint16_t, u16)
HDSEG_EVIDENCE_KERNEL(double, f64, uint32_t, u32)
#undef HDSEG_EVIDENCE_KERNEL

#define HDSEG_LABEL_KERNELS(T, suffix)                                                     \
  extern "C" __global__ void add_evidence_##suffix(                                        \
      hdseg::Band band, int64_t size, const int32_t* position, const T* label,             \
      const float* probability, int64_t kept, hdseg::ColumnLabels<T> columns, float gamma, \
      float* b, int64_t padding, int64_t stride) {                                         \
    hdseg::add_evidence(band, size, position, label, probability, kept, columns, gamma,    \
                        b + padding, stride);                                              \
  }
HDSEG_LABEL_KERNELS(uint8_t, u8)
HDSEG_LABEL_KERNELS(uint16_t, u16)
HDSEG_LABEL_KERNELS(uint32_t, u32)
#undef HDSEG_LABEL_KERNELS
