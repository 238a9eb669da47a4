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
    to[i] = 1.0f /
            (edges.excess[i] + edges.north[i] + edges.east[i] + edges.east[i - 1] + edges.south[i]);
  }
  return inverse;
}

// Calls each(piece, k, i): the entries k, k + 1, ... are the pixels i, i + 2, ... of one colour in
// the piece of the band, `count` of them.
template <class Each>
void for_each_piece(const Band& band, const std::vector<Piece>& pieces, int64_t colour, Each each) {
  // Pieces of a run follow one another; find each block's first run once.
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
      const int64_t parity = (pixel / band.grid.width + pixel % band.grid.width) & 1;
      const int64_t first = piece.start + (parity != colour);
      if (first < piece.end) each(run, piece, first, (piece.end - first + 1) / 2);
    }
  }
}

// Entry of the black pixel at a position of the run.
int64_t entry_of(const Band& band, const int32_t* first_entry, int64_t run, int64_t position) {
  const int64_t pixel = band.pixel[run];
  const int64_t parity = (pixel / band.grid.width + pixel % band.grid.width) & 1;
  return first_entry[run] + (position - band.start[run] - parity) / 2;
}

}  // namespace

void reduce(const Band& band, const Edges& edges, const int32_t* first_entry,
            float* const weight[kStencil], float* excess, float* inverse) {
  const std::vector<Piece> pieces = link_pixels(band);
  const std::vector<float> padded = inverse_diagonal(band, edges);
  const float* reds = padded.data() + kPadding;
  const float *north = edges.north, *east = edges.east, *south = edges.south;
  for_each_piece(band, pieces, 0, [&](int64_t run, const Piece& piece, int64_t i0, int64_t count) {
    const int64_t k0 = entry_of(band, first_entry, run, i0);
    const int64_t up = piece.north, down = piece.south;
#pragma omp simd
    for (int64_t c = 0; c < count; ++c) {
      const int64_t i = i0 + 2 * c, k = k0 + c;
      // The four red neighbours; (a * b) / c rounds alike from either end of an edge.
      const float n = north[i], w = east[i - 1], e = east[i], s = south[i];
      const float in = reds[i + up], iw = reds[i - 1], ie = reds[i + 1], is = reds[i + down];
      const float weights[kStencil] = {
          (n * north[i + up]) * in,                                 // two rows up
          (w * north[i - 1]) * iw + (n * east[i + up - 1]) * in,    // up and left
          (e * north[i + 1]) * ie + (n * east[i + up]) * in,        // up and right
          (e * east[i + 1]) * ie,                                   // two to the right
          (w * south[i - 1]) * iw + (s * east[i + down - 1]) * is,  // down and left
          (e * south[i + 1]) * ie + (s * east[i + down]) * is,      // down and right
          (s * south[i + down]) * is,                               // two rows down
      };
      for (int d = 0; d < kStencil; ++d) weight[d][k] = weights[d];
      excess[k] = edges.excess[i] + (n * edges.excess[i + up]) * in +
                  (w * edges.excess[i - 1]) * iw + (e * edges.excess[i + 1]) * ie +
                  (s * edges.excess[i + down]) * is;
      inverse[k] = 1.0f / (weights[0] + weights[1] + weights[2] + weights[3] + weights[4] +
                           weights[5] + weights[6] + (w * east[i - 2]) * iw + excess[k]);
    }
  });
}

void reduce_columns(const Band& band, const Edges& edges, const int32_t* first_entry,
                    const float* b, int64_t stride, int64_t columns, float* rhs,
                    int64_t rhs_stride) {
  const std::vector<Piece> pieces = link_pixels(band);
  const std::vector<float> padded = inverse_diagonal(band, edges);
  const float* inverse = padded.data() + kPadding;
  for_each_piece(band, pieces, 0, [&](int64_t run, const Piece& piece, int64_t i0, int64_t count) {
    const int64_t k0 = entry_of(band, first_entry, run, i0);
    const int64_t up = piece.north, down = piece.south;
    for (int64_t j = 0; j < columns; ++j) {
      const float* from = b + j * stride;
      float* to = rhs + j * rhs_stride + k0;
#pragma omp simd
      for (int64_t c = 0; c < count; ++c) {
        const int64_t i = i0 + 2 * c;
        to[c] = from[i] + (edges.north[i] * from[i + up]) * inverse[i + up] +
                (edges.east[i - 1] * from[i - 1]) * inverse[i - 1] +
                (edges.east[i] * from[i + 1]) * inverse[i + 1] +
                (edges.south[i] * from[i + down]) * inverse[i + down];
      }
    }
  });
}

void expand(const Band& band, const Edges& edges, const int32_t* first_entry, const float* x,
            int64_t x_stride, int64_t columns, float* b, int64_t stride) {
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
    const int64_t up = piece.north, down = piece.south;
    for (int64_t j = 0; j < columns; ++j) {
      float* to = b + j * stride;
      for (int64_t c = 0; c < count; ++c) {
        const int64_t i = i0 + 2 * c;
        to[i] = (to[i] + edges.north[i] * to[i + up] + edges.east[i - 1] * to[i - 1] +
                 edges.east[i] * to[i + 1] + edges.south[i] * to[i + down]) *
                inverse[i];
      }
    }
  });
}

}  // namespace hdseg
