// What colours, distances and the network say about the class of each pixel of a band, and what
// becomes of it.
#include "common/evidence_pixel.h"
#include "cuda/grid_mapping.h"
#include "cuda/positions.h"

namespace hdseg {

template <class Value>
struct Pixels {
  const Value* values;  // (rows, width, channels)
  int64_t first;        // pixel of the image that they begin with
  int64_t top, left;    // of the image's first pixel on the grid of cells and windows
  int64_t channels;
  const double* centre;  // (channels)
  double scale;          // x = (value - centre) scale, in float64 as the contract has it
};

template <class Value>
__device__ void colour_of(const Pixels<Value>& picture, int64_t pixel, int64_t channels,
                          float* colour) {
  const Value* value = picture.values + (pixel - picture.first) * channels;
  for (int64_t c = 0; c < channels; ++c) {
    colour[c] = standardised(static_cast<double>(value[c]), picture.centre[c], picture.scale);
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
__device__ void class_evidence(const Runs& runs, const Range& range, const Pixels<Value>& picture,
                               const ColourModels<T>& models, const DistanceTerms<T>& distances,
                               const CoarseTerm& network, int64_t kept, T* label,
                               float* probability) {
  const int64_t width = runs.grid.width, channels = picture.channels;
  each_position<false>(runs, range, [&](int64_t run, int64_t i) {
    const int64_t pixel = pixel_at(runs, run, i), row = pixel / width, column = pixel % width;
    const int64_t y = picture.top + row, x = picture.left + column;
    Candidates<T> found;
    add_distances(distances, between_centres(y, distances.size, distances.cells.height),
                  between_centres(x, distances.size, distances.cells.width), found);
    if (network.planes != nullptr) add_coarse(network, row, column, found);
    float colour[kMostChannels];
    colour_of(picture, pixel, channels, colour);
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
__device__ void add_evidence(const Runs& runs, int64_t size, const int32_t* position,
                             const T* label, const float* probability, int64_t kept,
                             const T* columns, int64_t column_count, const Places& places,
                             float gamma, float* b, int64_t stride) {
  each_position<false>(runs, {0, size}, [&](int64_t run, int64_t i) {
    const int64_t at = (position == nullptr ? i : position[i]) * kept;
    const T* column = columns + place_of(runs, places, run, pixel_at(runs, run, i)) * column_count;
    for (int64_t m = 0; m < kept; ++m) {
      const T k = label[at + m];
      if (k == 0) continue;
      for (int64_t j = 0; j < column_count; ++j) {
        if (column[j] == k) b[j * stride + i] += gamma * probability[at + m];
      }
    }
  });
}

}  // namespace hdseg

#define HDSEG_EVIDENCE_KERNEL(Value, value_suffix, T, suffix)                                     \
  extern "C" __global__ void class_evidence_##value_suffix##_##suffix(                            \
      const int64_t* pixel, const int32_t* start, int64_t runs, int64_t begin, int64_t end,       \
      int64_t height, int64_t width, const Value* image, int64_t image_first, int64_t top,        \
      int64_t left, int64_t channels, const double* centre, double scale,                         \
      const float* coefficients, const int64_t* first, const T* of, int64_t window, float weight, \
      int64_t maps, int64_t cells_height, int64_t cells_width, const T* own,                      \
      const T* nearest_other, const float* distance, float log, float linear, const T* other_own, \
      const T* other_nearest, const float* other_distance, float other_log, float other_linear,   \
      int64_t cell, float unit, const float* planes, HDSEG_PLACEMENT, int32_t how,                \
      float plane_log, float plane_linear, int64_t kept, T* label, float* probability) {          \
    const hdseg::Runs band{{height, width}, pixel, start, runs};                                  \
    const hdseg::Grid cells{cells_height, cells_width};                                           \
    const hdseg::Pixels<Value> picture{image, image_first, top, left, channels, centre, scale};   \
    const hdseg::ColourModels<T> models{                                                          \
        coefficients, first, of, window, hdseg::windows_of(cells, cell, window), weight};         \
    const hdseg::DistanceTerms<T> distances{                                                      \
        {{own, nearest_other, distance, {log, linear}},                                           \
         {other_own, other_nearest, other_distance, {other_log, other_linear}}},                  \
        maps,                                                                                     \
        cell,                                                                                     \
        cells,                                                                                    \
        unit};                                                                                    \
    const hdseg::CoarseTerm network{part_height > 0 ? planes : nullptr,                           \
                                    HDSEG_GRID_MAPPING,                                           \
                                    static_cast<hdseg::Interpolation>(how),                       \
                                    {plane_log, plane_linear}};                                   \
    hdseg::class_evidence(band, {begin, end}, picture, models, distances, network, kept, label,   \
                          probability);                                                           \
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

#define HDSEG_LABEL_KERNELS(T, suffix)                                                            \
  extern "C" __global__ void add_evidence_##suffix(                                               \
      const int64_t* pixel, const int32_t* start, int64_t runs, int64_t size,                     \
      const int32_t* position, int64_t positions, const T* label, const float* probability,       \
      int64_t kept, const T* columns, int64_t column_count, const int32_t* first, int64_t across, \
      int64_t width, float gamma, float* b, int64_t padding, int64_t stride) {                    \
    hdseg::add_evidence({{0, width}, pixel, start, runs}, size,                                   \
                        positions > 0 ? position : nullptr, label, probability, kept, columns,    \
                        column_count, {first, across}, gamma, b + padding, stride);               \
  }
HDSEG_LABEL_KERNELS(uint8_t, u8)
HDSEG_LABEL_KERNELS(uint16_t, u16)
HDSEG_LABEL_KERNELS(uint32_t, u32)
#undef HDSEG_LABEL_KERNELS
