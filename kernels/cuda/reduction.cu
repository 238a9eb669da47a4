// Red-black reduction of the band's matrix (kernels/cpu/reduction.h): one thread per pixel of a
// colour, which searches for its neighbours in the rows above and below.
#include "cuda/level.h"
#include "cuda/runs.h"

namespace hdseg {

// The pixels of a colour (0 black, 1 red), numbered first[r] .. first[r + 1] - 1 in run r.
struct Coloured {
  Band band;
  const int32_t* first;
  int64_t colour;

  __device__ int64_t size() const { return first[band.runs]; }
};

// A pixel of the band.
struct Place {
  int64_t run, pixel, position;
};

// The offset of a run's first pixel of a colour from its first pixel: 0 or 1.
__device__ inline int64_t lead(const Band& band, int64_t run, int64_t colour) {
  return colour_of(band.pixel[run], band.grid.width) != colour ? 1 : 0;
}

// The k-th pixel of a colour.
__device__ inline Place place_of(const Coloured& of, int64_t k) {
  const int64_t run = last_at_most(of.first, of.band.runs, static_cast<int32_t>(k));
  const int64_t inside = lead(of.band, run, of.colour) + 2 * (k - of.first[run]);
  return {run, of.band.pixel[run] + inside, of.band.start[run] + inside};
}

// The number of a pixel among those of its colour, -1 if it is not in the run.
__device__ inline int64_t number_in_run(const Coloured& of, int64_t run, int64_t pixel) {
  if (!is_in_run(of.band, run, pixel)) return -1;
  return of.first[run] + (pixel - of.band.pixel[run] - lead(of.band, run, of.colour)) / 2;
}

// Offsets from a pixel's position to those straight above and below; 0 if these are not in the
// band, where the weight is 0.
struct Straight {
  int64_t up, down;
};

__device__ inline Straight straight_from(const Band& band, const Place& at) {
  const int64_t north = position_of(band, at.pixel - band.grid.width);
  const int64_t south = position_of(band, at.pixel + band.grid.width);
  return {north < 0 ? 0 : north - at.position, south < 0 ? 0 : south - at.position};
}

// The offset from entry k to the black pixel `pixel`, straight above or below; 0 if there is none.
__device__ inline int32_t offset_straight(const Coloured& black, int64_t k, int64_t pixel) {
  const int64_t found = number_in_run(black, run_before(black.band, pixel), pixel);
  return found < 0 ? 0 : static_cast<int32_t>(found - k);
}

// The offset from entry k to the black pixel to the right of `pixel`, which is straight above or
// below. The left one is the entry before; if only that exists, the offset is that of the next one.
__device__ inline int32_t offset_aside(const Coloured& black, int64_t k, int64_t pixel) {
  const Band& band = black.band;
  if (pixel < 0) return 0;
  const int64_t x = pixel % band.grid.width, run = run_before(band, pixel);
  if (x + 1 < band.grid.width) {
    int64_t right = number_in_run(black, run, pixel + 1);
    if (right < 0) right = number_in_run(black, run + 1, pixel + 1);
    if (right >= 0) return static_cast<int32_t>(right - k);
  }
  if (x > 0) {
    int64_t left = number_in_run(black, run, pixel - 1);
    if (left < 0) left = number_in_run(black, run - 1, pixel - 1);
    if (left >= 0) return static_cast<int32_t>(left + 1 - k);
  }
  return 0;
}

// Writes x to b at black pixels.
template <class Real>
__device__ void place_black(const Coloured& black, int64_t size, const Real* x, float* b,
                            int64_t columns) {
  const int64_t entries = black.size();
  for (int64_t k = first_item(); k < entries; k += item_step()) {
    const Place at = place_of(black, k);
    for (int64_t j = 0; j < columns; ++j) {
      b[j * stride_of(size) + kPadding + at.position] =
          static_cast<float>(x[j * stride_of(entries) + kPadding + k]);
    }
  }
}

}  // namespace hdseg

// found[r + 1]: the number of black pixels of run r; found[0] = 0.
extern "C" __global__ void count_black(hdseg::Band band, int32_t* found) {
  using namespace hdseg;
  for (int64_t r = first_item(); r < band.runs; r += item_step()) {
    found[r + 1] = static_cast<int32_t>((band.length(r) + 1 - lead(band, r, 0)) / 2);
    if (r == 0) found[0] = 0;
  }
}

// 1 / the diagonal of A, and 1 in the padding.
extern "C" __global__ void invert_diagonal(const float* edges, int64_t size, float* inverse) {
  using namespace hdseg;
  const Edges a = edges_of(edges, stride_of(size));
  for (int64_t at = first_item(); at < stride_of(size); at += item_step()) {
    const int64_t i = at - kPadding;
    inverse[at] = i >= 0 && i < size ? 1.0f / diagonal(a, i) : 1.0f;
  }
}

// The reduced matrix: reads about 60 and writes 52 bytes per black pixel.
extern "C" __global__ void eliminate_red(hdseg::Band band, int64_t size, const float* edges,
                                         const int32_t* first, const float* inverse,
                                         int64_t entries, int32_t* offset, float* weights,
                                         float* row_sum, float* inverted) {
  using namespace hdseg;
  const Coloured black{band, first, 0};
  const int64_t width = band.grid.width;
  const Edges a = edges_of(edges, stride_of(size));
  for (int64_t k = first_item(); k < entries; k += item_step()) {
    const Place at = place_of(black, k);
    const Straight to = straight_from(black.band, at);
    offset[k] = offset_straight(black, k, at.pixel - 2 * width);
    offset[entries + k] = offset_aside(black, k, at.pixel - width);
    offset[2 * entries + k] = offset_aside(black, k, at.pixel + width);
    offset[3 * entries + k] = offset_straight(black, k, at.pixel + 2 * width);
    const ReducedRow found = reduced_row(a, inverse + kPadding, at.position, to.up, to.down);
#pragma unroll
    for (int64_t d = 0; d < kStencil; ++d) {
      weights[d * stride_of(entries) + kPadding + k] = found.weight[d];
    }
    row_sum[kPadding + k] = found.row_sum;
    inverted[kPadding + k] = found.inverse;
  }
}

extern "C" __global__ void eliminate_red_rhs(hdseg::Band band, int64_t size, const float* edges,
                                             const int32_t* first, const float* inverse,
                                             int64_t entries, const float* b, float* out,
                                             int64_t columns) {
  using namespace hdseg;
  const Coloured black{band, first, 0};
  const Edges a = edges_of(edges, stride_of(size));
  for (int64_t k = first_item(); k < entries; k += item_step()) {
    const Place at = place_of(black, k);
    const Straight to = straight_from(black.band, at);
    for (int64_t j = 0; j < columns; ++j) {
      out[j * stride_of(entries) + kPadding + k] = reduced_value(
          a, inverse + kPadding, b + j * stride_of(size) + kPadding, at.position, to.up, to.down);
    }
  }
}

// Solves for the red pixels in place: b holds x at black pixels, and right-hand sides at red ones;
// first: of the red pixels.
extern "C" __global__ void solve_red(hdseg::Band band, int64_t size, const float* edges,
                                     const int32_t* first, const float* inverse, int64_t count,
                                     float* b, int64_t columns) {
  using namespace hdseg;
  const Coloured red{band, first, 1};
  const Edges a = edges_of(edges, stride_of(size));
  for (int64_t k = first_item(); k < count; k += item_step()) {
    const Place at = place_of(red, k);
    const Straight to = straight_from(red.band, at);
    for (int64_t j = 0; j < columns; ++j) {
      float* v = b + j * stride_of(size) + kPadding;
      v[at.position] = red_value(a, inverse + kPadding, v, at.position, to.up, to.down);
    }
  }
}

// x of float32 or float64; with _f64 only the conversion is in float64.
#define HDSEG_COLUMN_KERNELS(T, suffix)                                                       \
  extern "C" __global__ void place_black_##suffix(hdseg::Band band, int64_t size,             \
                                                  const int32_t* first, const T* x, float* b, \
                                                  int64_t columns) {                          \
    hdseg::place_black(hdseg::Coloured{band, first, 0}, size, x, b, columns);                 \
  }
HDSEG_COLUMN_KERNELS(float, f32)
HDSEG_COLUMN_KERNELS(double, f64)
#undef HDSEG_COLUMN_KERNELS
