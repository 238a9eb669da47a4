// What the iterations do with a level. Columns are padded; a thread has an entry of a few of them,
// so that weights are read once: 52 bytes of the finest level for each entry, and 8 to 16 for each
// column.
#include "cuda/level.h"

namespace hdseg {

// blockIdx.y counts so many columns.
constexpr int64_t kTogether = 4;

__device__ inline int64_t first_column() { return blockIdx.y * kTogether; }

__device__ inline int64_t last_column(int64_t columns) {
  const int64_t behind = first_column() + kTogether;
  return behind < columns ? behind : columns;
}

// Calls row(i, j, (A x_j)_i) for this block's columns j and this thread's entries i.
template <class Level, class Real, class Row>
__device__ void for_each_product(const Level& level, const Real* x, int64_t columns, Row row) {
  const int64_t stride = stride_of(level.size), first = first_column();
  for (int64_t i = first_item(); i < level.size; i += item_step()) {
    Real value[kTogether] = {};
#pragma unroll
    for (int64_t c = 0; c < kTogether; ++c) {
      if (first + c < columns) value[c] = product_at(level, x + (first + c) * stride, i);
    }
#pragma unroll
    for (int64_t c = 0; c < kTogether; ++c) {
      if (first + c < columns) row(i, c, value[c]);
    }
  }
}

// parts[j, b]: what block b has of x . A x in float64, as the contract wants it.
template <class Level>
__device__ void apply(const Level& level, const float* x, float* out, double* parts,
                      int64_t columns) {
  __shared__ double scratch[kWarp];
  const int64_t stride = stride_of(level.size), first = first_column();
  const float* from = x + kPadding;
  float* to = out + kPadding;
  double sum[kTogether] = {};
  for_each_product(level, from, columns, [&](int64_t i, int64_t c, float value) {
    const int64_t at = (first + c) * stride + i;
    to[at] = value;
    sum[c] += static_cast<double>(from[at]) * static_cast<double>(value);
  });
#pragma unroll
  for (int64_t c = 0; c < kTogether; ++c) {
    if (first + c >= columns) break;
    const double total = block_sum(sum[c], scratch);
    if (threadIdx.x == 0) parts[(first + c) * gridDim.x + blockIdx.x] = total;
  }
}

template <class Level>
__device__ void residual(const Level& level, const float* b, const double* x, float* out,
                         int64_t columns) {
  const int64_t stride = stride_of(level.size), first = first_column();
  for_each_product(level, x + kPadding, columns, [&](int64_t i, int64_t c, double value) {
    const int64_t at = (first + c) * stride + kPadding + i;
    out[at] = static_cast<float>(static_cast<double>(b[at]) - value);
  });
}

// out = x and a Jacobi step.
template <class Level>
__device__ void smooth(const Level& level, const float* inverse, const float* r, const float* x,
                       float* out, int64_t columns) {
  const int64_t stride = stride_of(level.size), first = first_column();
  for_each_product(level, x + kPadding, columns, [&](int64_t i, int64_t c, float value) {
    const int64_t at = (first + c) * stride + kPadding + i;
    out[at] = x[at] + jacobi(inverse[kPadding + i], r[at] - value);
  });
}

}  // namespace hdseg

// Kernels for one kind of level; what follows `level` are its parts.
#define HDSEG_LEVEL_KERNELS(kind, level, ...)                                                    \
  extern "C" __global__ void kind##_apply(__VA_ARGS__, int64_t size, const float* x, float* out, \
                                          double* parts, int64_t columns) {                      \
    hdseg::apply(hdseg::level, x, out, parts, columns);                                          \
  }                                                                                              \
  extern "C" __global__ void kind##_residual(__VA_ARGS__, int64_t size, const float* b,          \
                                             const double* x, float* out, int64_t columns) {     \
    hdseg::residual(hdseg::level, b, x, out, columns);                                           \
  }                                                                                              \
  extern "C" __global__ void kind##_smooth(__VA_ARGS__, int64_t size, const float* inverse,      \
                                           const float* r, const float* x, float* out,           \
                                           int64_t columns) {                                    \
    hdseg::smooth(hdseg::level, inverse, r, x, out, columns);                                    \
  }
HDSEG_LEVEL_KERNELS(stencil, stencil_level(offset, weights, excess, size), const int32_t* offset,
                    const float* weights, const float* excess)
HDSEG_LEVEL_KERNELS(sparse, sparse_level(start, column, weight, excess, size), const int32_t* start,
                    const int32_t* column, const float* weight, const float* excess)
#undef HDSEG_LEVEL_KERNELS

// The way down from a stencil in three kernels, which read its weights in order: x = a Jacobi step
// from 0, rest = r - A x, and coarse = P^T rest.
extern "C" __global__ void first_step(const float* inverse, int64_t size, const float* r, float* x,
                                      int64_t columns) {
  using namespace hdseg;
  for (int64_t i = first_item(); i < size; i += item_step()) {
    for (int64_t j = first_column(); j < last_column(columns); ++j) {
      const int64_t at = j * stride_of(size) + kPadding;
      x[at + i] = FirstStep{inverse + kPadding, r + at}[i];
    }
  }
}

extern "C" __global__ void stencil_defect(const int32_t* offset, const float* weights,
                                          const float* excess, int64_t size, const float* r,
                                          const float* x, float* rest, int64_t columns) {
  using namespace hdseg;
  const int64_t stride = stride_of(size), first = first_column();
  for_each_product(stencil_level(offset, weights, excess, size), x + kPadding, columns,
                   [&](int64_t i, int64_t c, float value) {
                     const int64_t at = (first + c) * stride + kPadding + i;
                     rest[at] = r[at] - value;
                   });
}

// Each aggregate adds its members, start[a] .. start[a + 1] of `member`, one after the other.
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

// The same from a coarse matrix, where starting kernels takes longer than what they do. A thread
// has an aggregate, or one of the entries that are left out, which come last in `member`.
extern "C" __global__ void sparse_descend(const int32_t* row_start, const int32_t* column,
                                          const float* weight, const float* excess, int64_t size,
                                          const float* inverse, const int32_t* start,
                                          const int32_t* member, int64_t aggregates, const float* r,
                                          float* x, float* coarse, int64_t columns) {
  using namespace hdseg;
  const SparseLevel level = sparse_level(row_start, column, weight, excess, size);
  const int64_t kept = start[aggregates], items = aggregates + size - kept;
  for (int64_t a = first_item(); a < items; a += item_step()) {
    const bool alone = a >= aggregates;
    const int64_t begin = alone ? kept + a - aggregates : start[a];
    const int64_t end = alone ? begin + 1 : start[a + 1];
    for (int64_t j = first_column(); j < last_column(columns); ++j) {
      const int64_t at = j * stride_of(size) + kPadding;
      const FirstStep step{inverse + kPadding, r + at};
      float sum = 0.0f;
      for (int64_t m = begin; m < end; ++m) {
        const int64_t i = member[m];
        x[at + i] = step[i];
        if (!alone) sum += r[at + i] - product(level.matrix, step, i);
      }
      if (!alone) coarse[j * stride_of(aggregates) + kPadding + a] = sum;
    }
  }
}

// x += P coarse.
extern "C" __global__ void add_coarse(const int32_t* aggregate, int64_t size, const float* coarse,
                                      int64_t aggregates, float* x, int64_t columns) {
  using namespace hdseg;
  for (int64_t i = first_item(); i < size; i += item_step()) {
    const int64_t a = aggregate[i];
    if (a < 0) continue;
    for (int64_t j = first_column(); j < last_column(columns); ++j) {
      x[j * stride_of(size) + kPadding + i] += coarse[j * stride_of(aggregates) + kPadding + a];
    }
  }
}
