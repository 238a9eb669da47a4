// Operations on a level for the proof of error bounds (solvers/certificate.py), row by row:
// products in float64, reduced to one number for the host.
#include "common/vectors.h"
#include "cuda/level.h"

namespace hdseg {

constexpr uint64_t kSign = uint64_t{1} << 63;  // of a double

// Adds the sum of `found` over all threads of the grid to *count. All threads must call.
__device__ inline void add_found(int32_t found, int32_t* count) {
  __shared__ int32_t scratch[kWarp];
  found = block_sum(found, scratch);
  if (threadIdx.x == 0 && found > 0) atomicAdd(count, found);
}

// Updates found: the maximum of `bits` and the sum of `count` over all threads. All must call.
__device__ inline void keep_found(unsigned long long bits, unsigned long long count,
                                  uint64_t* found) {
  __shared__ unsigned long long scratch[kWarp];
  bits = block_max(bits, scratch);
  count = block_sum(count, scratch);
  if (threadIdx.x == 0) {
    atomicMax(reinterpret_cast<unsigned long long*>(found), bits);
    atomicAdd(reinterpret_cast<unsigned long long*>(found + 1), count);
  }
}

// Adds to mask the rows where v is not a valid hitting time: not positive, above `longest`, or with
// (A v)_i < least a_ii. found: the bits of max v_i, and the number of rows in the mask; 0 on entry.
template <class Level>
__device__ void find_doubtful(const Level& level, const float* inverse, const double* v,
                              double longest, double least, uint8_t* mask, uint64_t* found) {
  unsigned long long most = 0, count = 0;
  for (int64_t i = first_item(); i < level.size; i += item_step()) {
    const double time = v[kPadding + i];
    const double diagonal = 1.0 / static_cast<double>(inverse[kPadding + i]);
    const bool good =
        time > 0.0 && time <= longest && product_at(level, v + kPadding, i) >= least * diagonal;
    if (!good) mask[i] = 1;
    count += mask[i] != 0;
    const unsigned long long bits = time <= 0.0 ? 0 : bits_of_double(time) & ~kSign;  // keeps NaN
    most = bits > most ? bits : most;
  }
  keep_found(most, count, found);
}

// max_j |r_ij|; NaN if any is.
__device__ inline double largest_rest(const float* r, int64_t size, int64_t i, int64_t columns) {
  uint32_t most = 0;
  for (int64_t j = 0; j < columns; ++j) {
    const uint32_t here = magnitude(r[j * stride_of(size) + kPadding + i]);
    most = here > most ? here : most;
  }
  return static_cast<double>(float_of_bits(most));
}

// most = the bits of the smallest c >= 0 with c (A v)_i >= max_j |r_ij| - (A w)_i outside the mask;
// infinity if some (A v)_i is not positive, NaN if any value is. 0 on entry.
template <class Level>
__device__ void find_factor(const Level& level, const double* v, const double* w, const float* r,
                            const uint8_t* mask, uint64_t* most, int64_t columns) {
  double factor = 0.0;
  for (int64_t i = first_item(); i < level.size; i += item_step()) {
    if (mask[i] != 0) continue;
    const double ahead = product_at(level, v + kPadding, i);
    const double rest =
        largest_rest(r, level.size, i, columns) - product_at(level, w + kPadding, i);
    const double here = ahead > 0.0 ? rest / ahead : 1.0 / 0.0;
    if (!(here <= factor)) factor = here;
    if (factor != factor) break;
  }
  if (factor == 0.0) return;
  const uint64_t bits = bits_of_double(factor) & ~kSign;  // keeps NaN
  atomicMax(reinterpret_cast<unsigned long long*>(most), static_cast<unsigned long long>(bits));
}

// bound = min(c v + w, 1). found: the bits of its maximum, and the number of rows with
// c (A v)_i + (A w)_i < max_j |r_ij|; both 0 on entry.
template <class Level>
__device__ void find_bound(const Level& level, const double* v, const double* w, const float* r,
                           double factor, double* bound, uint64_t* found, int64_t columns) {
  unsigned long long failed = 0, largest = 0;
  for (int64_t i = first_item(); i < level.size; i += item_step()) {
    const double ahead = product_at(level, v + kPadding, i);
    const double sent = product_at(level, w + kPadding, i);
    // 1e-12: rounding of the division that gave the factor.
    const double most = (1.0 + 1e-12) * factor * ahead + sent;
    failed += !(most >= largest_rest(r, level.size, i, columns));
    const double here = factor * v[kPadding + i] + w[kPadding + i];
    bound[i] = here > 0.0 ? (here < 1.0 ? here : 1.0) : 0.0;
    const unsigned long long bits = bits_of_double(bound[i]);
    largest = bits > largest ? bits : largest;
  }
  keep_found(largest, failed, found);
}

}  // namespace hdseg

// mask: rows with r_i > least a_ii; count: their number.
extern "C" __global__ void find_lagging(const float* inverse, const float* r, int64_t size,
                                        float least, uint8_t* mask, int32_t* count) {
  using namespace hdseg;
  int32_t found = 0;
  for (int64_t i = first_item(); i < size; i += item_step()) {
    mask[i] = relaxed(inverse[kPadding + i], r[kPadding + i]) > least;
    found += mask[i];
  }
  add_found(found, count);
}

#define HDSEG_PROOF_KERNELS(kind, level, ...)                                                    \
  extern "C" __global__ void kind##_doubtful(__VA_ARGS__, int64_t size, const float* inverse,    \
                                             const double* v, double longest, double least,      \
                                             uint8_t* mask, uint64_t* found) {                   \
    hdseg::find_doubtful(hdseg::level, inverse, v, longest, least, mask, found);                 \
  }                                                                                              \
  extern "C" __global__ void kind##_factor(__VA_ARGS__, int64_t size, const double* v,           \
                                           const double* w, const float* r, const uint8_t* mask, \
                                           uint64_t* most, int64_t columns) {                    \
    hdseg::find_factor(hdseg::level, v, w, r, mask, most, columns);                              \
  }                                                                                              \
  extern "C" __global__ void kind##_bound(__VA_ARGS__, int64_t size, const double* v,            \
                                          const double* w, const float* r, double factor,        \
                                          double* bound, uint64_t* found, int64_t columns) {     \
    hdseg::find_bound(hdseg::level, v, w, r, factor, bound, found, columns);                     \
  }
HDSEG_PROOF_KERNELS(stencil, stencil_level(offset, weights, row_sum, size), const int32_t* offset,
                    const float* weights, const float* row_sum)
HDSEG_PROOF_KERNELS(sparse, sparse_level(start, column, weight, row_sum, size),
                    const int32_t* start, const int32_t* column, const float* weight,
                    const float* row_sum)
#undef HDSEG_PROOF_KERNELS
