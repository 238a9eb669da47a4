// The matrix A = L_UU + gamma I of a band and its right-hand sides, from the image; and A in
// compressed sparse rows.
#include "common/edge_weight.h"
#include "cuda/columns.h"
#include "cuda/positions.h"

namespace hdseg {

// Not inlined: compiled once instead of for each of four neighbours, as the first call waits for
// the compiler.
template <class T, EdgeRule kRule>
__device__ __noinline__ typename Exact<T>::Sum squared_of_any(const T* a, const T* b,
                                                              int64_t channels) {
  return squared<T, kRule>(a, b, channels);
}

template <class T>
struct Weigh {
  using Sum = typename Exact<T>::Sum;
  const T* values;  // (rows, width, channels)
  int64_t first;    // pixel of the image at which they begin
  int64_t channels;
  EdgeRule rule;
  Sum edge_scale;

  __device__ float operator()(int64_t pixel, int64_t other) const {
    const T *a = values + (pixel - first) * channels, *b = values + (other - first) * channels;
    return edge_weight(squares(a, b), edge_scale);
  }

  __device__ Sum squares(const T* a, const T* b) const {
    if (rule == EdgeRule::kBoundary) return squared_of_any<T, EdgeRule::kBoundary>(a, b, channels);
    if (channels == 3) return squared<T, EdgeRule::kIntensity>(a, b, 3);
    return squared_of_any<T, EdgeRule::kIntensity>(a, b, channels);
  }
};
static_assert(sizeof(Weigh<uint8_t>) == 32);
static_assert(sizeof(Weigh<float>) == 40);

// An edge from one of its pixels: the other pixel's seed, and the weight. Beyond the image is a
// wall, and no edge leads to walls.
template <class Seed>
struct Seen {
  Seed seed = kWall<Seed>;
  float weight = 0.0f;

  __device__ float inner() const { return seed == 0 ? weight : 0.0f; }
  __device__ float outer() const { return seed == 0 ? 0.0f : weight; }
  // Label 0 is no label: there is no flux to unknown pixels.
  __device__ float flux(Seed label) const { return seed == label ? outer() : 0.0f; }
};

template <class Seed, class Weight>
__device__ Seen<Seed> seen(bool inside, const Seed* seeds, int64_t pixel, int64_t other,
                           const Weight& weigh) {
  Seen<Seed> edge;
  if (!inside) return edge;
  edge.seed = seeds[other];
  if (edge.seed != kWall<Seed>) edge.weight = weigh(pixel, other);
  return edge;
}

// Fills the padding with 0, and row sums with 1, because kernels may divide by them.
__device__ inline void write_padding(float* rows, float* flux, int64_t columns, int64_t stride) {
  for (int64_t i = first_item(); i < (4 + columns) * 2 * kPadding; i += item_step()) {
    const int64_t j = i / (2 * kPadding), k = i % (2 * kPadding);
    float* column = j < 4 ? rows + j * stride : flux + (j - 4) * stride;
    column[k < kPadding ? k : stride - 2 * kPadding + k] = j == 3 ? 1.0f : 0.0f;
  }
}

// One thread for each pixel of the band, which looks at its four neighbours: what two of them read
// twice is still in the cache. Writes 16 bytes for each pixel and 4 for each of its columns. Only
// the positions from `begin` on: values need to reach one row beyond their pixels.
template <class Seed, class Weight>
__device__ void assemble(const Band& band, const Range& range, const Weight& weigh,
                         const Seed* seeds, const ColumnLabels<Seed>& labels, float gamma,
                         float* rows, float* flux, int64_t stride) {
  const int64_t columns = labels.count;
  const int64_t width = band.grid.width, pixels = band.grid.height * width;
  if (range.begin == 0) write_padding(rows, flux, columns, stride);
  for (int64_t i = range.begin + first_item(); i < range.end; i += item_step()) {
    const int64_t run = run_at(band, i), pixel = pixel_at(band, run, i);
    const bool begins = i == band.start[run], ends = i + 1 == band.start[run + 1];
    const auto look = [&](bool inside, int64_t other) {
      return seen(inside, seeds, pixel, other, weigh);
    };
    const Seen<Seed> north = look(pixel >= width, pixel - width);
    const Seen<Seed> south = look(pixel + width < pixels, pixel + width);
    // Within a run the edge to the west is the neighbour's to write, and no seed is there.
    const Seen<Seed> west = look(begins && pixel % width > 0, pixel - 1);
    const Seen<Seed> east = look(!ends || (pixel + 1) % width > 0, pixel + 1);
    column_of(rows, stride, 0)[i] = north.inner();
    column_of(rows, stride, 1)[i] = east.inner();
    column_of(rows, stride, 2)[i] = south.inner();
    column_of(rows, stride, 3)[i] =
        gamma + north.outer() + south.outer() + west.outer() + east.outer();
    const int64_t place = place_of(band, labels.places, run, pixel);
    for (int64_t j = 0; j < columns; ++j) {
      const Seed own = labels.label[place * columns + j];
      column_of(flux, stride, j)[i] =
          north.flux(own) + south.flux(own) + west.flux(own) + east.flux(own);
    }
  }
}

}  // namespace hdseg

#define HDSEG_ASSEMBLE(T, suffix, Seed, seed_suffix)                                             \
  extern "C" __global__ void assemble_##suffix##_##seed_suffix(                                  \
      hdseg::Band band, hdseg::Range range, hdseg::Weigh<T> weigh, const Seed* seeds,            \
      hdseg::ColumnLabels<Seed> labels, float gamma, float* rows, float* flux, int64_t stride) { \
    hdseg::assemble(band, range, weigh, seeds, labels, gamma, rows, flux, stride);               \
  }
HDSEG_ASSEMBLE(uint8_t, u8, uint8_t, u8)
HDSEG_ASSEMBLE(uint8_t, u8, uint16_t, u16)
HDSEG_ASSEMBLE(uint8_t, u8, uint32_t, u32)
HDSEG_ASSEMBLE(uint16_t, u16, uint8_t, u8)
HDSEG_ASSEMBLE(uint16_t, u16, uint16_t, u16)
HDSEG_ASSEMBLE(uint16_t, u16, uint32_t, u32)
HDSEG_ASSEMBLE(float, f32, uint8_t, u8)
HDSEG_ASSEMBLE(float, f32, uint16_t, u16)
HDSEG_ASSEMBLE(float, f32, uint32_t, u32)
HDSEG_ASSEMBLE(double, f64, uint8_t, u8)
HDSEG_ASSEMBLE(double, f64, uint16_t, u16)
HDSEG_ASSEMBLE(double, f64, uint32_t, u32)
#undef HDSEG_ASSEMBLE

// count[i]: the number of entries of row i.
extern "C" __global__ void count_entries(const float* rows, int64_t stride, int64_t size,
                                         int32_t* count) {
  const hdseg::Edges a = hdseg::edges_of(rows, stride);
  for (int64_t i = hdseg::first_item(); i < size; i += hdseg::item_step()) {
    count[i] = hdseg::row_entries(a, i);
  }
}

// The entries of each row, from row_start[i] on, columns ascending, in float64 for solvers.
extern "C" __global__ void laplacian(hdseg::Band band, int64_t size, const float* rows,
                                     int64_t stride, const int32_t* row_start, int32_t* column,
                                     double* value) {
  const int64_t width = band.grid.width;
  const hdseg::Edges a = hdseg::edges_of(rows, stride);
  for (int64_t i = hdseg::first_item(); i < size; i += hdseg::item_step()) {
    const int64_t here = hdseg::pixel_at(band, hdseg::run_at(band, i), i);
    int32_t at = row_start[i];
    const auto write = [&](int64_t j, double entry) {
      column[at] = static_cast<int32_t>(j);
      value[at++] = entry;
    };
    const auto across = [&](float weight, int64_t other) {
      if (weight > 0.0f) write(hdseg::position_of(band, other), -static_cast<double>(weight));
    };
    const auto along = [&](float weight, int64_t j) {
      if (weight > 0.0f) write(j, -static_cast<double>(weight));
    };
    across(a.north[i], here - width);
    along(a.east[i - 1], i - 1);
    write(i, hdseg::exact_diagonal(a, i));
    along(a.east[i], i + 1);
    across(a.south[i], here + width);
  }
}
