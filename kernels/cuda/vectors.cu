// Vector operations of the iteration; the grid's y is the column. All are limited by memory
// bandwidth: each kernel reads and writes every entry once.
#include "common/multigrid.h"
#include "common/vectors.h"
#include "cuda/columns.h"

namespace hdseg {

// Calls entry(i) for each entry of a column.
template <class Entry>
__device__ void for_each_entry(int64_t size, Entry entry) {
  for (int64_t i = first_item(); i < size; i += item_step()) entry(i);
}

}  // namespace hdseg

// back[j] = -(z . q / energy), summed in float64: block b of column j writes parts[j, b], and the
// column's last block adds them up. All devices use as many blocks, so sums are identical.
extern "C" __global__ void find_conjugate(const float* z, const float* q, const double* energy,
                                          int64_t size, int64_t stride, double* parts,
                                          uint32_t* arrived, double* back) {
  using namespace hdseg;
  const int64_t j = blockIdx.y;
  const float *x = column_of(z, stride, j), *y = column_of(q, stride, j);
  __shared__ double scratch[kWarp];
  double sum = 0.0;
  for_each_entry(size, [&](int64_t i) { sum += exact_product(x[i], y[i]); });
  sum = block_sum(sum, scratch);
  if (threadIdx.x == 0) parts[j * gridDim.x + blockIdx.x] = sum;
  if (!is_last_block(arrived + j, gridDim.x)) return;
  sum = sum_of(parts + j * gridDim.x, gridDim.x, scratch);
  if (threadIdx.x == 0) back[j] = -quotient(sum, energy[j]);
}

// p = z + back p.
extern "C" __global__ void conjugate(const double* back, const float* z, int64_t size,
                                     int64_t stride, float* p) {
  using namespace hdseg;
  const int64_t j = blockIdx.y;
  const double a = back[j];
  const float* from = column_of(z, stride, j);
  float* to = column_of(p, stride, j);
  for_each_entry(size, [&](int64_t i) { to[i] = a != 0.0 ? moved(from[i], a, to[i]) : from[i]; });
}

// x += a p and r -= a q, x in float64.
extern "C" __global__ void advance(const double* ahead, const float* p, const float* q,
                                   int64_t size, int64_t stride, double* x, float* r) {
  using namespace hdseg;
  const int64_t j = blockIdx.y;
  const double a = ahead[j];
  const float *along = column_of(p, stride, j), *change = column_of(q, stride, j);
  double* place = column_of(x, stride, j);
  float* rest = column_of(r, stride, j);
  for_each_entry(size, [&](int64_t i) {
    place[i] = advanced(place[i], a, along[i]);
    rest[i] = moved(rest[i], -a, change[i]);
  });
}

// out = D^-1 r.
extern "C" __global__ void relax_f32(const float* inverse, const float* r, int64_t size,
                                     int64_t stride, float* out) {
  const int64_t j = blockIdx.y;
  const float *of = hdseg::column_of(inverse, 0, 0), *from = hdseg::column_of(r, stride, j);
  float* to = hdseg::column_of(out, stride, j);
  hdseg::for_each_entry(size, [&](int64_t i) { to[i] = hdseg::relaxed(of[i], from[i]); });
}

// most = the bits of the largest absolute value in all columns; 0 on entry.
extern "C" __global__ void largest_f32(const float* x, int64_t size, int64_t stride,
                                       uint32_t* most) {
  const int64_t j = blockIdx.y;
  const float* from = hdseg::column_of(x, stride, j);
  uint32_t found = 0;
  hdseg::for_each_entry(size, [&](int64_t i) {
    const uint32_t here = hdseg::magnitude(from[i]);
    found = here > found ? here : found;
  });
  __shared__ uint32_t scratch[hdseg::kWarp];
  found = hdseg::block_max(found, scratch);
  if (threadIdx.x == 0) atomicMax(most, found);
}

// complement = the complemented bits of the smallest (A 1)_i / a_ii, which is >= 0; 0 on entry.
extern "C" __global__ void dominance(const float* row_sum, const float* inverse, int64_t size,
                                     uint32_t* complement) {
  using namespace hdseg;
  const float *sum = column_of(row_sum, 0, 0), *by = column_of(inverse, 0, 0);
  uint32_t found = 0;
  for_each_entry(size, [&](int64_t i) {
    const uint32_t here = ~magnitude(sum[i] * by[i]);
    found = here > found ? here : found;
  });
  __shared__ uint32_t scratch[kWarp];
  found = block_max(found, scratch);
  if (threadIdx.x == 0) atomicMax(complement, found);
}

// out = M r for a small dense matrix M, (size, size): one thread per entry.
extern "C" __global__ void multiply(const double* matrix, const float* r, int64_t size,
                                    int64_t stride, float* out) {
  using namespace hdseg;
  const int64_t j = blockIdx.y;
  const float* from = column_of(r, stride, j);
  float* to = column_of(out, stride, j);
  for_each_entry(size, [&](int64_t i) { to[i] = dense_product(matrix, size, from, i); });
}
