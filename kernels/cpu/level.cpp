#include "cpu/level.h"

#include <algorithm>

#include "common/vectors.h"

namespace hdseg {
namespace {

// Below this, waking other threads takes longer than the work.
constexpr int64_t kFew = 16384;

// Calls row(i, (A x)_i) for the entries of chunk c, in vectors. It may also be called for a few
// entries after a piece; the next piece overwrites what is stored there.
template <class Real, class Row>
void product_of_chunk(const StencilLevel& level, int64_t c, const Real* x, Row row) {
  constexpr int64_t kLanes = 16;
  const int64_t chunk_end = level.first(c + 1);
  const Stencil matrix = level.matrix;
  for (int64_t p = level.chunk[c]; p < level.chunk[c + 1]; ++p) {
    const BlackPiece piece = level.pieces[p];
    int64_t i = piece.start;
    for (; i < piece.end && i + kLanes <= chunk_end; i += kLanes) {
      Real result[kLanes];
#pragma omp simd
      for (int64_t l = 0; l < kLanes; ++l) result[l] = product(matrix, piece.to, x, i + l);
#pragma omp simd
      for (int64_t l = 0; l < kLanes; ++l) row(i + l, result[l]);
    }
    for (; i < piece.end; ++i) row(i, product(matrix, piece.to, x, i));
  }
}

template <class Real, class Row>
void product_of_chunk(const SparseLevel& level, int64_t c, const Real* x, Row row) {
  for (int64_t i = level.first(c); i < level.first(c + 1); ++i) row(i, product(level.matrix, x, i));
}

double block_dot(const float* x, const float* y, int64_t count) {
  constexpr int64_t kLanes = 16;
  double lane[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
#pragma omp simd
    for (int64_t l = 0; l < kLanes; ++l) {
      lane[l] += exact_product(x[i + l], y[i + l]);
    }
  }
  for (; i < count; ++i) lane[0] += exact_product(x[i], y[i]);
  double sum = 0.0;
  for (const double v : lane) sum += v;
  return sum;
}

void add_up(const std::vector<double>& parts, int64_t chunks, double* product, int64_t columns) {
  for (int64_t j = 0; j < columns; ++j) {
    product[j] = 0.0;
    for (int64_t c = 0; c < chunks; ++c) {
      product[j] += parts[static_cast<size_t>(j * chunks + c)];
    }
  }
}

}  // namespace

template <class Level>
void step(const Level& level, const float* p, float* q, double* energy, double* x, float* r,
          int64_t columns, int64_t stride) {
  const auto parts = static_cast<size_t>(columns * level.chunks);
  std::vector<double> own(parts), along(parts), ahead(static_cast<size_t>(columns));
#pragma omp parallel if (level.size > kFew)
  {
#pragma omp for schedule(static)
    for (int64_t c = 0; c < level.chunks; ++c) {
      const int64_t first = level.first(c), count = level.first(c + 1) - first;
      for (int64_t j = 0; j < columns; ++j) {
        const float* from = p + j * stride;
        float* to = q + j * stride;
        product_of_chunk(level, c, from, [to](int64_t i, float value) { to[i] = value; });
        const auto part = static_cast<size_t>(j * level.chunks + c);
        own[part] = block_dot(from + first, to + first, count);
        along[part] = block_dot(from + first, r + j * stride + first, count);
      }
    }
#pragma omp single
    {
      add_up(own, level.chunks, energy, columns);
      add_up(along, level.chunks, ahead.data(), columns);
    }
    for (int64_t j = 0; j < columns; ++j) {
      const double a = quotient(ahead[static_cast<size_t>(j)], energy[j]);
#pragma omp for simd schedule(static) nowait
      for (int64_t i = j * stride; i < j * stride + level.size; ++i) {
        x[i] = advanced(x[i], a, p[i]);
        r[i] = moved(r[i], -a, q[i]);
      }
    }
  }
}

template <class Level>
void restrict_residual(const Level& level, const float* inverse, const int32_t* aggregate,
                       const float* r, float* x, int64_t columns, int64_t stride, float* coarse,
                       int64_t coarse_stride) {
#pragma omp parallel if (level.size > kFew)
  {
#pragma omp for schedule(static)
    for (int64_t c = 0; c < level.chunks; ++c) {
      for (int64_t j = 0; j < columns; ++j) {
#pragma omp simd
        for (int64_t i = level.first(c); i < level.first(c + 1); ++i) {
          x[j * stride + i] = jacobi(inverse[i], r[j * stride + i]);
        }
      }
    }
    std::vector<float> buffer;
#pragma omp for schedule(static)
    for (int64_t c = 0; c < level.chunks; ++c) {
      const int64_t first = level.first(c), last = level.first(c + 1);
      buffer.resize(static_cast<size_t>(last - first));
      for (int64_t j = 0; j < columns; ++j) {
        const float* from = r + j * stride;
        float* rest = buffer.data();
        product_of_chunk(level, c, x + j * stride,
                         [=](int64_t i, float value) { rest[i - first] = from[i] - value; });
        // Aggregates do not cross chunks and ascend with them: no other thread writes to these.
        float* to = coarse + j * coarse_stride;
        for (int64_t i = first; i < last; ++i) {
          if (aggregate[i] >= 0) to[aggregate[i]] += rest[i - first];
        }
      }
    }
  }
}

template <class Level>
void prolong(const Level& level, const float* inverse, const int32_t* aggregate, const float* r,
             const float* coarse, int64_t coarse_stride, float* x, float* out, int64_t columns,
             int64_t stride) {
#pragma omp parallel if (level.size > kFew)
  {
#pragma omp for schedule(static)
    for (int64_t c = 0; c < level.chunks; ++c) {
      for (int64_t j = 0; j < columns; ++j) {
        for (int64_t i = level.first(c); i < level.first(c + 1); ++i) {
          if (aggregate[i] >= 0) x[j * stride + i] += coarse[j * coarse_stride + aggregate[i]];
        }
      }
    }
#pragma omp for schedule(static)
    for (int64_t c = 0; c < level.chunks; ++c) {
      for (int64_t j = 0; j < columns; ++j) {
        const float *from = r + j * stride, *now = x + j * stride;
        float* to = out + j * stride;
        product_of_chunk(level, c, now, [=](int64_t i, float value) {
          to[i] = now[i] + jacobi(inverse[i], from[i] - value);
        });
      }
    }
  }
}

template <class Level>
void residual(const Level& level, const float* b, const double* x, float* r, int64_t columns,
              int64_t stride) {
#pragma omp parallel for schedule(static) if (level.size > kFew)
  for (int64_t c = 0; c < level.chunks; ++c) {
    for (int64_t j = 0; j < columns; ++j) {
      const float* from = b + j * stride;
      float* to = r + j * stride;
      product_of_chunk(level, c, x + j * stride, [=](int64_t i, double value) {
        to[i] = static_cast<float>(static_cast<double>(from[i]) - value);
      });
    }
  }
}

template <class Level>
void refresh(const Level& level, const float* inverse, const float* b, const double* x, float* r,
             double* found, int64_t columns, int64_t stride) {
  const auto parts = static_cast<size_t>(columns * level.chunks);
  std::vector<double> before(parts), after(parts);
  std::vector<uint32_t> worst(parts);
#pragma omp parallel for schedule(static) if (level.size > kFew)
  for (int64_t c = 0; c < level.chunks; ++c) {
    const int64_t first = level.first(c), count = level.first(c + 1) - first;
    for (int64_t j = 0; j < columns; ++j) {
      const float* from = b + j * stride;
      float* to = r + j * stride;
      const auto part = static_cast<size_t>(j * level.chunks + c);
      before[part] = block_dot(to + first, to + first, count);
      product_of_chunk(level, c, x + j * stride, [=](int64_t i, double value) {
        to[i] = static_cast<float>(static_cast<double>(from[i]) - value);
      });
      after[part] = block_dot(to + first, to + first, count);
      uint32_t most = 0;
#pragma omp simd reduction(max : most)
      for (int64_t i = first; i < first + count; ++i) {
        most = std::max(most, magnitude(relaxed(inverse[i], to[i])));
      }
      worst[part] = most;
    }
  }
  add_up(before, level.chunks, found, columns);
  add_up(after, level.chunks, found + columns, columns);
  for (int64_t j = 0; j < columns; ++j) {
    uint32_t most = 0;
    for (int64_t c = 0; c < level.chunks; ++c) {
      most = std::max(most, worst[static_cast<size_t>(j * level.chunks + c)]);
    }
    found[2 * columns + j] = static_cast<double>(float_of_bits(most));
  }
}

void conjugate(const float* z, const float* q, const double* energy, float* p, int64_t size,
               int64_t columns, int64_t stride) {
  const int64_t blocks = (size + kFew - 1) / kFew;
  std::vector<double> parts(static_cast<size_t>(columns * blocks)),
      shared(static_cast<size_t>(columns));
#pragma omp parallel if (size > kFew)
  {
#pragma omp for schedule(static)
    for (int64_t b = 0; b < blocks; ++b) {
      const int64_t first = b * kFew, count = std::min(kFew, size - first);
      for (int64_t j = 0; j < columns; ++j) {
        parts[static_cast<size_t>(j * blocks + b)] =
            block_dot(z + j * stride + first, q + j * stride + first, count);
      }
    }
#pragma omp single
    add_up(parts, blocks, shared.data(), columns);
    for (int64_t j = 0; j < columns; ++j) {
      const double a = -quotient(shared[static_cast<size_t>(j)], energy[j]);
#pragma omp for simd schedule(static) nowait
      for (int64_t i = j * stride; i < j * stride + size; ++i) {
        p[i] = a != 0.0 ? moved(z[i], a, p[i]) : z[i];
      }
    }
  }
}

void apply_inverse_diagonal(const float* inverse, const float* r, float* out, int64_t size,
                            int64_t columns, int64_t stride) {
  for (int64_t j = 0; j < columns; ++j) {
    const float* from = r + j * stride;
    float* to = out + j * stride;
#pragma omp parallel for simd schedule(static) if (size > kFew)
    for (int64_t i = 0; i < size; ++i) to[i] = relaxed(inverse[i], from[i]);
  }
}

void largest(const float* x, int64_t size, float* most, int64_t columns, int64_t stride) {
  for (int64_t j = 0; j < columns; ++j) {
    uint32_t top = 0;
#pragma omp parallel for simd schedule(static) reduction(max : top) if (size > kFew)
    for (int64_t i = j * stride; i < j * stride + size; ++i) {
      top = std::max(top, magnitude(x[i]));
    }
    most[j] = float_of_bits(top);
  }
}

#define HDSEG_INSTANTIATE(Level)                                                                   \
  template void step<Level>(const Level&, const float*, float*, double*, double*, float*, int64_t, \
                            int64_t);                                                              \
  template void refresh<Level>(const Level&, const float*, const float*, const double*, float*,    \
                               double*, int64_t, int64_t);                                         \
  template void restrict_residual<Level>(const Level&, const float*, const int32_t*, const float*, \
                                         float*, int64_t, int64_t, float*, int64_t);               \
  template void residual<Level>(const Level&, const float*, const double*, float*, int64_t,        \
                                int64_t);                                                          \
  template void prolong<Level>(const Level&, const float*, const int32_t*, const float*,           \
                               const float*, int64_t, float*, float*, int64_t, int64_t);
HDSEG_INSTANTIATE(StencilLevel)
HDSEG_INSTANTIATE(SparseLevel)
#undef HDSEG_INSTANTIATE

}  // namespace hdseg
