// Operations of the iteration on a level. Columns are padded. A thread handles one entry of a few
// columns, so that weights are read once: 52 bytes per entry of the finest level, and 8 to 16 per
// column.
#include "common/vectors.h"
#include "cuda/level.h"

namespace hdseg {

// Columns per blockIdx.y.
constexpr int64_t kTogether = 4;

__device__ inline int64_t first_column() { return blockIdx.y * kTogether; }

__device__ inline int64_t last_column(int64_t columns) {
  const int64_t behind = first_column() + kTogether;
  return behind < columns ? behind : columns;
}

// The entries of column j.
template <class T>
__device__ T* entries_of(T* columns, int64_t size, int64_t j) {
  return columns + j * stride_of(size) + kPadding;
}

// Calls row(i, j, c, (A x_j)_i) for this thread's entries i and this block's columns j; j is the
// block's c-th column, and x(j) its vector.
template <class Real, class Level, class Vectors, class Row>
__device__ void for_each_product(const Level& level, int64_t columns, Vectors x, Row row) {
  const int64_t first = first_column();
  for (int64_t i = first_item(); i < level.size; i += item_step()) {
    Real value[kTogether] = {};
#pragma unroll
    for (int64_t c = 0; c < kTogether; ++c) {
      if (first + c < columns) value[c] = product_at(level, x(first + c), i);
    }
#pragma unroll
    for (int64_t c = 0; c < kTogether; ++c) {
      if (first + c < columns) row(i, first + c, c, value[c]);
    }
  }
}

// Two sums over all rows for each column: block b writes its own to parts[k, j, b], and one thread
// of the last block calls done(j, sums). arrived: 0 for each blockIdx.y.
template <class Done>
__device__ void add_up(const double (&sum)[2][kTogether], double* parts, uint32_t* arrived,
                       int64_t columns, Done done) {
  __shared__ double scratch[kWarp];
  const int64_t first = first_column(), blocks = gridDim.x;
#pragma unroll
  for (int64_t k = 0; k < 2; ++k) {
#pragma unroll
    for (int64_t c = 0; c < kTogether; ++c) {
      if (first + c >= columns) break;
      const double total = block_sum(sum[k][c], scratch);
      if (threadIdx.x == 0) parts[(k * columns + first + c) * blocks + blockIdx.x] = total;
    }
  }
  if (!is_last_block(arrived + blockIdx.y, static_cast<uint32_t>(blocks))) return;
  for (int64_t j = first; j < last_column(columns); ++j) {
    double total[2];
    for (int64_t k = 0; k < 2; ++k) {
      total[k] = sum_of(parts + (k * columns + j) * blocks, blocks, scratch);
    }
    if (threadIdx.x == 0) done(j, total);
  }
}

// q = A p, energy = p . q, and ahead = p . r / energy, the step length along p.
template <class Level>
__device__ void look_ahead(const Level& level, const float* p, const float* r, float* q,
                           double* parts, uint32_t* arrived, double* energy, double* ahead,
                           int64_t columns) {
  double sum[2][kTogether] = {};
  for_each_product<float>(
      level, columns, [&](int64_t j) { return entries_of(p, level.size, j); },
      [&](int64_t i, int64_t j, int64_t c, float value) {
        const double here = entries_of(p, level.size, j)[i];
        entries_of(q, level.size, j)[i] = value;
        sum[0][c] += here * static_cast<double>(value);
        sum[1][c] += here * static_cast<double>(entries_of(r, level.size, j)[i]);
      });
  add_up(sum, parts, arrived, columns, [&](int64_t j, const double (&total)[2]) {
    energy[j] = total[0];
    ahead[j] = quotient(total[1], total[0]);
  });
}

template <class Level>
__device__ void residual(const Level& level, const float* b, const double* x, float* out,
                         int64_t columns) {
  for_each_product<double>(
      level, columns, [&](int64_t j) { return entries_of(x, level.size, j); },
      [&](int64_t i, int64_t j, int64_t, double value) {
        entries_of(out, level.size, j)[i] =
            static_cast<float>(static_cast<double>(entries_of(b, level.size, j)[i]) - value);
      });
}

// The same; found: r . r before and after, and max abs(D^-1 r), (3, columns). worst: the bits of
// the latter, one per column, 0 before and after.
template <class Level>
__device__ void refresh(const Level& level, const float* inverse, const float* b, const double* x,
                        float* r, double* parts, uint32_t* arrived, uint32_t* worst, double* found,
                        int64_t columns) {
  double sum[2][kTogether] = {};
  uint32_t most[kTogether] = {};
  for_each_product<double>(
      level, columns, [&](int64_t j) { return entries_of(x, level.size, j); },
      [&](int64_t i, int64_t j, int64_t c, double value) {
        float& rest = entries_of(r, level.size, j)[i];
        sum[0][c] += exact_product(rest, rest);
        rest = static_cast<float>(static_cast<double>(entries_of(b, level.size, j)[i]) - value);
        sum[1][c] += exact_product(rest, rest);
        const uint32_t here = magnitude(relaxed(inverse[kPadding + i], rest));
        most[c] = here > most[c] ? here : most[c];
      });
  __shared__ uint32_t scratch[kWarp];
#pragma unroll
  for (int64_t c = 0; c < kTogether; ++c) {
    if (first_column() + c >= columns) break;
    const uint32_t here = block_max(most[c], scratch);
    if (threadIdx.x == 0) atomicMax(worst + first_column() + c, here);
  }
  add_up(sum, parts, arrived, columns, [&](int64_t j, const double (&total)[2]) {
    found[j] = total[0];
    found[columns + j] = total[1];
    found[2 * columns + j] = static_cast<double>(float_of_bits(atomicExch(worst + j, 0u)));
  });
}

// out = y plus a Jacobi step, where y is x plus the coarse level's correction.
template <class Level>
__device__ void prolong(const Level& level, const float* inverse, const int32_t* aggregate,
                        const float* r, const float* coarse, int64_t aggregates, const float* x,
                        float* out, int64_t columns) {
  const auto corrected = [&](int64_t j) {
    return Corrected{entries_of(x, level.size, j), aggregate, level.size,
                     entries_of(coarse, aggregates, j)};
  };
  for_each_product<float>(
      level, columns, corrected, [&](int64_t i, int64_t j, int64_t, float value) {
        const float rest = entries_of(r, level.size, j)[i] - value;
        entries_of(out, level.size, j)[i] = corrected(j)[i] + jacobi(inverse[kPadding + i], rest);
      });
}

}  // namespace hdseg

// The kernels for one kind of level; the arguments after `level` are its parts.
#define HDSEG_LEVEL_KERNELS(kind, level, ...)                                                     \
  extern "C" __global__ void kind##_look_ahead(                                                   \
      __VA_ARGS__, int64_t size, const float* p, const float* r, float* q, double* parts,         \
      uint32_t* arrived, double* energy, double* ahead, int64_t columns) {                        \
    hdseg::look_ahead(hdseg::level, p, r, q, parts, arrived, energy, ahead, columns);             \
  }                                                                                               \
  extern "C" __global__ void kind##_residual(__VA_ARGS__, int64_t size, const float* b,           \
                                             const double* x, float* out, int64_t columns) {      \
    hdseg::residual(hdseg::level, b, x, out, columns);                                            \
  }                                                                                               \
  extern "C" __global__ void kind##_refresh(                                                      \
      __VA_ARGS__, int64_t size, const float* inverse, const float* b, const double* x, float* r, \
      double* parts, uint32_t* arrived, uint32_t* worst, double* found, int64_t columns) {        \
    hdseg::refresh(hdseg::level, inverse, b, x, r, parts, arrived, worst, found, columns);        \
  }                                                                                               \
  extern "C" __global__ void kind##_prolong(                                                      \
      __VA_ARGS__, int64_t size, const float* inverse, const int32_t* aggregate, const float* r,  \
      const float* coarse, int64_t aggregates, const float* x, float* out, int64_t columns) {     \
    hdseg::prolong(hdseg::level, inverse, aggregate, r, coarse, aggregates, x, out, columns);     \
  }
HDSEG_LEVEL_KERNELS(stencil, stencil_level(offset, weights, row_sum, size), const int32_t* offset,
                    const float* weights, const float* row_sum)
HDSEG_LEVEL_KERNELS(sparse, sparse_level(start, column, weight, row_sum, size),
                    const int32_t* start, const int32_t* column, const float* weight,
                    const float* row_sum)
#undef HDSEG_LEVEL_KERNELS

// Restriction from a stencil level in two kernels, which read its weights in order: first x = a
// Jacobi step from 0 and rest = r - A x; then coarse = P^T rest.
extern "C" __global__ void stencil_restrict(const int32_t* offset, const float* weights,
                                            const float* row_sum, int64_t size,
                                            const float* inverse, const float* r, float* x,
                                            float* rest, int64_t columns) {
  using namespace hdseg;
  const auto step = [&](int64_t j) {
    return FirstStep{inverse + kPadding, entries_of(r, size, j)};
  };
  for_each_product<float>(stencil_level(offset, weights, row_sum, size), columns, step,
                          [&](int64_t i, int64_t j, int64_t, float value) {
                            entries_of(x, size, j)[i] = step(j)[i];
                            entries_of(rest, size, j)[i] = entries_of(r, size, j)[i] - value;
                          });
}

// Sums the members of each aggregate in order: member[start[a]] .. member[start[a + 1] - 1].
extern "C" __global__ void add_members(const int32_t* start, const int32_t* member,
                                       int64_t aggregates, const float* rest, int64_t size,
                                       float* coarse, int64_t columns) {
  using namespace hdseg;
  for (int64_t a = first_item(); a < aggregates; a += item_step()) {
    for (int64_t j = first_column(); j < last_column(columns); ++j) {
      const float* from = rest + j * stride_of(size) + kPadding;
      float sum = 0.0f;
      for (int64_t m = start[a]; m < start[a + 1]; ++m) sum += from[member[m]];
      coarse[j * stride_of(aggregates) + kPadding + a] = sum;
    }
  }
}

namespace hdseg {

// A sparse level with all that a cycle needs.
struct CycleLevel {
  SparseLevel matrix;
  const float* inverse;
  // The entries by aggregate; those that are left out come last.
  const int32_t *start, *member;
  int64_t aggregates;

  // An item is an aggregate, or an entry that is left out.
  __device__ int64_t items() const { return aggregates + matrix.size - start[aggregates]; }
};

// x = a Jacobi step from 0 at the entries of an item, and coarse = P^T (r - A x).
__device__ inline void restrict_residual(const CycleLevel& level, int64_t item, const float* r,
                                         float* x, float* coarse) {
  const bool alone = item >= level.aggregates;
  const int64_t kept = level.start[level.aggregates];
  const int64_t begin = alone ? kept + item - level.aggregates : level.start[item];
  const int64_t end = alone ? begin + 1 : level.start[item + 1];
  const FirstStep step{level.inverse, r};
  float sum = 0.0f;
  for (int64_t m = begin; m < end; ++m) {
    const int64_t i = level.member[m];
    x[i] = step[i];
    if (!alone) sum += r[i] - product(level.matrix.matrix, step, i);
  }
  if (!alone) coarse[item] = sum;
}

}  // namespace hdseg

// The same from a sparse level in one kernel: there, a launch takes longer than the work.
extern "C" __global__ void sparse_restrict(const int32_t* row_start, const int32_t* column,
                                           const float* weight, const float* row_sum, int64_t size,
                                           const float* inverse, const int32_t* start,
                                           const int32_t* member, int64_t aggregates,
                                           const float* r, float* x, float* coarse,
                                           int64_t columns) {
  using namespace hdseg;
  const CycleLevel level{sparse_level(row_start, column, weight, row_sum, size), inverse + kPadding,
                         start, member, aggregates};
  for (int64_t a = first_item(); a < level.items(); a += item_step()) {
    for (int64_t j = first_column(); j < last_column(columns); ++j) {
      restrict_residual(level, a, entries_of(r, size, j), entries_of(x, size, j),
                        entries_of(coarse, aggregates, j));
    }
  }
}

// The whole cycle from a small level on, with one block per column, so that threads can
// synchronise. table: addresses and sizes, one row per level (backends/cuda/vectors.py).
extern "C" __global__ void __launch_bounds__(512)
    small_cycle(const int64_t* table, int64_t levels) {
  using namespace hdseg;
  constexpr int64_t kRow = 12;
  const int64_t j = blockIdx.x;
  const auto level_at = [&](int64_t l) {
    const int64_t* row = table + l * kRow;
    const auto words = [&](int64_t k) { return reinterpret_cast<const int32_t*>(row[k]); };
    const auto floats = [&](int64_t k) { return reinterpret_cast<const float*>(row[k]); };
    return CycleLevel{sparse_level(words(1), words(2), floats(3), floats(4), row[0]),
                      floats(5) + kPadding, words(6), words(7), row[kRow]};
  };
  const auto vector = [&](int64_t l, int64_t k) {
    return entries_of(reinterpret_cast<float*>(table[l * kRow + k]), table[l * kRow], j);
  };
  for (int64_t l = 0; l + 1 < levels; ++l) {
    const CycleLevel level = level_at(l);
    for (int64_t a = threadIdx.x; a < level.items(); a += blockDim.x) {
      restrict_residual(level, a, vector(l, 9), vector(l, 10), vector(l + 1, 9));
    }
    __syncthreads();
  }
  const int64_t last = levels - 1, size = table[last * kRow];
  const auto* inverse = reinterpret_cast<const double*>(table[last * kRow + 5]);
  for (int64_t i = threadIdx.x; i < size; i += blockDim.x) {
    vector(last, 11)[i] = dense_product(inverse, size, vector(last, 9), i);
  }
  __syncthreads();
  for (int64_t l = last - 1; l >= 0; --l) {
    const CycleLevel level = level_at(l);
    const Corrected x{vector(l, 10), reinterpret_cast<const int32_t*>(table[l * kRow + 8]),
                      level.matrix.size, vector(l + 1, 11)};
    for (int64_t i = threadIdx.x; i < level.matrix.size; i += blockDim.x) {
      const float rest = vector(l, 9)[i] - product(level.matrix.matrix, x, i);
      vector(l, 11)[i] = x[i] + jacobi(level.inverse[i], rest);
    }
    __syncthreads();
  }
}
