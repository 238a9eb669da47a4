// What the iteration does with columns; the column is the grid's y. All of it is bound by memory:
// each kernel reads and writes every entry once.
#include "common/vectors.h"
#include "cuda/columns.h"

namespace hdseg {

// Calls entry(i) for each of a column's entries.
template <class Entry>
__device__ void for_each_entry(int64_t size, Entry entry) {
  for (int64_t i = first_item(); i < size; i += item_step()) entry(i);
}

__device__ inline uint32_t block_max(uint32_t value, uint32_t* scratch) {
  for (int step = kWarp / 2; step > 0; step /= 2) {
    const uint32_t theirs = __shfl_xor_sync(kAllLanes, value, step);
    value = theirs > value ? theirs : value;
  }
  if (lane_of() == 0) scratch[threadIdx.x / kWarp] = value;
  __syncthreads();
  for (int w = 0; w < static_cast<int>(blockDim.x / kWarp); ++w) {
    value = scratch[w] > value ? scratch[w] : value;
  }
  return value;
}

}  // namespace hdseg

// parts[j, b] = the sum of x y over the entries of block b: float64, by contract. Launches have as
// many blocks on every card, so the sums are the same bits.
extern "C" __global__ void dot_parts_f32(const float* x, const float* y, int64_t size,
                                         int64_t stride, double* parts) {
  const int64_t j = blockIdx.y;
  const float *p = hdseg::column_of(x, stride, j), *q = hdseg::column_of(y, stride, j);
  double sum = 0.0;
  hdseg::for_each_entry(size, [&](int64_t i) { sum += hdseg::exact_product(p[i], q[i]); });
  __shared__ double scratch[hdseg::kWarp];
  sum = hdseg::block_sum(sum, scratch);
  if (threadIdx.x == 0) parts[j * gridDim.x + blockIdx.x] = sum;
}

// sums[j] = the sum of parts[j, 0 .. count - 1]; one block for each column.
extern "C" __global__ void add_parts(const double* parts, int64_t count, double* sums) {
  const int64_t j = blockIdx.y;
  double sum = 0.0;
  hdseg::for_each_entry(count, [&](int64_t b) { sum += parts[j * count + b]; });
  __shared__ double scratch[hdseg::kWarp];
  sum = hdseg::block_sum(sum, scratch);
  if (threadIdx.x == 0) sums[j] = sum;
}

// out = a x + b y; a and b are float64, but rounded before they meet the columns. out may be x or
// y.
extern "C" __global__ void combine_f32(const double* a, const float* x, const double* b,
                                       const float* y, int64_t size, int64_t stride, float* out) {
  const int64_t j = blockIdx.y;
  const float p = static_cast<float>(a[j]), q = static_cast<float>(b[j]);
  const float *from = hdseg::column_of(x, stride, j), *with = hdseg::column_of(y, stride, j);
  float* to = hdseg::column_of(out, stride, j);
  hdseg::for_each_entry(size, [&](int64_t i) { to[i] = hdseg::combined(p, from[i], q, with[i]); });
}

// x += a p, x in float64.
extern "C" __global__ void advance_f32(const double* a, const float* p, int64_t size,
                                       int64_t stride, double* x) {
  const int64_t j = blockIdx.y;
  const double step = a[j];
  const float* along = hdseg::column_of(p, stride, j);
  double* to = hdseg::column_of(x, stride, j);
  hdseg::for_each_entry(size, [&](int64_t i) { to[i] = hdseg::advanced(to[i], step, along[i]); });
}

// out = D^-1 r.
extern "C" __global__ void relax_f32(const float* inverse, const float* r, int64_t size,
                                     int64_t stride, float* out) {
  const int64_t j = blockIdx.y;
  const float *of = hdseg::column_of(inverse, 0, 0), *from = hdseg::column_of(r, stride, j);
  float* to = hdseg::column_of(out, stride, j);
  hdseg::for_each_entry(size, [&](int64_t i) { to[i] = hdseg::relaxed(of[i], from[i]); });
}

// most[j] = the bits of the largest absolute value of column j, 0 at first.
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
  if (threadIdx.x == 0) atomicMax(most + j, found);
}

// quotient = a / b, 0 where b is not above 0.
extern "C" __global__ void ratio(const double* a, const double* b, int64_t count,
                                 double* quotient) {
  hdseg::for_each_entry(count, [&](int64_t j) { quotient[j] = b[j] > 0.0 ? a[j] / b[j] : 0.0; });
}
