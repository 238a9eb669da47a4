#include "cpu/reduction.h"

#include <algorithm>

namespace hdseg {
namespace {

// 1 / A_ii, padded like the edges.
std::vector<float> inverse_diagonal(const Band& band, const Edges& edges) {
  const int64_t size = band.size();
  std::vector<float> inverse(static_cast<size_t>(size + 2 * kPadding), 1.0f);
  float* to = inverse.data() + kPadding;
#pragma omp parallel for simd schedule(static)
  for (int64_t i = 0; i < size; ++i) {
    to[i] = 1.0f / diagonal(edges, i);
  }
  return inverse;
}

// Calls each(run, piece, first, count) for each piece of the band that has pixels of a colour:
// `count` of them, at positions first, first + 2, ...
template <class Each>
void for_each_piece(const Band& band, const std::vector<Piece>& pieces, int64_t colour, Each each) {
  // Pieces are in the order of runs: find the first run of each block once.
  constexpr int64_t kBlock = 256;
  const int64_t count = static_cast<int64_t>(pieces.size());
#pragma omp parallel for schedule(static)
  for (int64_t block = 0; block < count; block += kBlock) {
    const int32_t start = pieces[static_cast<size_t>(block)].start;
    int64_t run = std::upper_bound(band.start, band.start + band.runs + 1, start) - band.start - 1;
    for (int64_t p = block; p < std::min(count, block + kBlock); ++p) {
      const Piece& piece = pieces[static_cast<size_t>(p)];
      while (piece.start >= band.start[run + 1]) ++run;
      const int64_t pixel = band.pixel[run] + piece.start - band.start[run];
      const int64_t first = piece.start + (colour_of(pixel, band.grid.width) != colour);
      if (first < piece.end) each(run, piece, first, (piece.end - first + 1) / 2);
    }
  }
}

// The entry of the black pixel at a position of a run.
int64_t entry_of(const Band& band, const int32_t* first_entry, int64_t run, int64_t position) {
  const int64_t lead = colour_of(band.pixel[run], band.grid.width);  // red pixels before
  return first_entry[run] + (position - band.start[run] - lead) / 2;
}

}  // namespace

void eliminate_red(const Band& band, const Edges& edges, const int32_t* first_entry,
                   float* const weight[kStencil], float* row_sum, float* inverse) {
  const std::vector<Piece> pieces = link_pixels(band);
  const std::vector<float> padded = inverse_diagonal(band, edges);
  const float* of_pixel = padded.data() + kPadding;
  for_each_piece(band, pieces, 0, [&](int64_t run, const Piece& piece, int64_t i0, int64_t count) {
    const int64_t k0 = entry_of(band, first_entry, run, i0);
#pragma omp simd
    for (int64_t c = 0; c < count; ++c) {
      const ReducedRow row = reduced_row(edges, of_pixel, i0 + 2 * c, piece.north, piece.south);
      for (int d = 0; d < kStencil; ++d) weight[d][k0 + c] = row.weight[d];
      row_sum[k0 + c] = row.row_sum;
      inverse[k0 + c] = row.inverse;
    }
  });
}

void eliminate_red_rhs(const Band& band, const Edges& edges, const int32_t* first_entry,
                       const float* b, int64_t stride, int64_t columns, float* rhs,
                       int64_t rhs_stride) {
  const std::vector<Piece> pieces = link_pixels(band);
  const std::vector<float> padded = inverse_diagonal(band, edges);
  const float* inverse = padded.data() + kPadding;
  for_each_piece(band, pieces, 0, [&](int64_t run, const Piece& piece, int64_t i0, int64_t count) {
    const int64_t k0 = entry_of(band, first_entry, run, i0);
    for (int64_t j = 0; j < columns; ++j) {
      const float* from = b + j * stride;
      float* to = rhs + j * rhs_stride + k0;
#pragma omp simd
      for (int64_t c = 0; c < count; ++c) {
        to[c] = reduced_value(edges, inverse, from, i0 + 2 * c, piece.north, piece.south);
      }
    }
  });
}

void back_substitute(const Band& band, const Edges& edges, const int32_t* first_entry,
                     const float* x, int64_t x_stride, int64_t columns, float* b, int64_t stride) {
  const std::vector<Piece> pieces = link_pixels(band);
  const std::vector<float> padded = inverse_diagonal(band, edges);
  const float* inverse = padded.data() + kPadding;
  for_each_piece(band, pieces, 0, [&](int64_t run, const Piece&, int64_t i0, int64_t count) {
    const int64_t k0 = entry_of(band, first_entry, run, i0);
    for (int64_t j = 0; j < columns; ++j) {
      for (int64_t c = 0; c < count; ++c) b[j * stride + i0 + 2 * c] = x[j * x_stride + k0 + c];
    }
  });
  for_each_piece(band, pieces, 1, [&](int64_t, const Piece& piece, int64_t i0, int64_t count) {
    for (int64_t j = 0; j < columns; ++j) {
      float* v = b + j * stride;
      for (int64_t i = i0; i < i0 + 2 * count; i += 2) {
        v[i] = red_value(edges, inverse, v, i, piece.north, piece.south);
      }
    }
  });
}

}  // namespace hdseg
