// The nearest entry of another class, exactly: along columns, then along rows, as in
// kernels/cpu/nearest_other.cpp, but without envelopes. All entries search in parallel to both
// sides of their row, up to the smaller of the best distance so far and the reach; beyond the
// nearest columns segment by segment.
#include "common/nearest_other.h"
#include "cuda/launch.h"

namespace hdseg {

// The packed nearest other class within the column of each entry, with squared distance; one thread
// per column. Moves 26 bytes per entry of one byte.
template <class T>
__device__ void nearest_others_in_columns(const T* classes, int64_t height, int64_t width,
                                          int64_t reach, int64_t* squared) {
  const int64_t beyond = beyond_reach(reach);
  for (int64_t x = first_item(); x < width; x += item_step()) {
    int64_t above = kNoOther, below = kNoOther;
    T before = classes[x];
    squared[x] = kNoOther;
#pragma unroll 8
    for (int64_t y = 1; y < height; ++y) {
      const T own = classes[y * width + x];
      above = next_in_column(above, before, own);
      squared[y * width + x] = above;
      before = own;
    }
#pragma unroll 8
    for (int64_t y = height - 1; y >= 0; --y) {
      const T own = classes[y * width + x];
      if (y < height - 1) below = next_in_column(below, before, own);
      const int64_t found = squared[y * width + x];
      squared[y * width + x] = squared_nearest_other(found < below ? found : below, beyond);
      before = own;
    }
  }
}

constexpr int64_t kSegment = kWarp;  // columns of a row
constexpr int64_t kMixed = -1;       // below any packed value

__device__ inline int64_t segments_of(int64_t width) { return (width + kSegment - 1) / kSegment; }

// least (height, segments): the smallest packed value in each segment of one class, else kMixed.
template <class T>
__device__ void nearest_others_in_segments(const T* classes, const int64_t* squared, int64_t height,
                                           int64_t width, int64_t* least) {
  const int64_t across = segments_of(width);
  for (int64_t s = first_item() / kWarp; s < height * across; s += item_step() / kWarp) {
    const int64_t left = s % across * kSegment, first = s / across * width + left;
    const bool inside = left + lane_of() < width;
    const bool alike = !inside || classes[first + lane_of()] == classes[first];
    int64_t found = inside ? squared[first + lane_of()] : kNoOther;
    for (int step = kWarp / 2; step > 0; step /= 2) {
      const int64_t shown = __shfl_xor_sync(kAllLanes, found, step);
      found = shown < found ? shown : found;
    }
    const bool uniform = __all_sync(kAllLanes, alike);
    if (lane_of() == 0) least[s] = uniform ? found : kMixed;
  }
}

// Checks column u of its row for an entry at x; an entry of another class ends the search.
template <class T>
__device__ bool look(const T* own, const int64_t* squared, int64_t x, int64_t u, int64_t* best) {
  const bool other = own[u] != own[x];
  const int64_t there = other ? static_cast<int64_t>(own[u]) : squared[u];
  if (there < kNoOther) {
    const int64_t seen = nearest_other_seen(x, u, there);
    *best = seen < *best ? seen : *best;
  }
  return !other;
}

// Whether no entry this far away can be better.
__device__ inline bool too_far(int64_t far, int64_t best) { return far * far * kRank > best; }

// Searches to one side, -1 or 1, beyond the nearest kSegment columns.
template <int kSide, class T>
__device__ void look_beyond(const T* own, const int64_t* squared, const int64_t* least,
                            int64_t width, int64_t x, int64_t* best) {
  const int64_t start = x + kSide * (kSegment + 1);
  if (start < 0) return;
  for (int64_t s = start / kSegment; s >= 0 && s < segments_of(width); s += kSide) {
    const int64_t end = (s + 1) * kSegment < width ? (s + 1) * kSegment : width;
    int64_t u = kSide < 0 ? end - 1 : s * kSegment;  // the nearest first
    const int64_t far = kSide * (u - x);
    if (too_far(far, *best)) return;
    const bool worse = least[s] != kMixed && least[s] + far * far * kRank >= *best;
    if (worse && own[u] == own[x]) continue;
    for (; s * kSegment <= u && u < end; u += kSide) {
      if (!look(own, squared, x, u, best)) return;
    }
  }
}

template <class T>
__device__ void nearest_others_in_rows(const T* classes, const int64_t* squared,
                                       const int64_t* least, int64_t height, int64_t width,
                                       int64_t reach, float* distance, T* nearest_other) {
  const int64_t beyond = beyond_reach(reach);
  for (int64_t i = first_item(); i < height * width; i += item_step()) {
    const int64_t x = i % width;
    const T* own = classes + (i - x);
    const int64_t* row = squared + (i - x);
    const int64_t* segments = least + i / width * segments_of(width);
    int64_t best = row[x] < beyond ? row[x] : beyond;
    bool left = true, right = true;
    for (int64_t far = 1; far <= kSegment && (left || right) && !too_far(far, best); ++far) {
      left = left && far <= x && look(own, row, x, x - far, &best);
      right = right && x + far < width && look(own, row, x, x + far, &best);
    }
    if (left) look_beyond<-1>(own, row, segments, width, x, &best);
    if (right) look_beyond<1>(own, row, segments, width, x, &best);
    distance[i] = nearest_other_distance(best, beyond);
    nearest_other[i] = static_cast<T>(nearest_other_class(best, beyond, own[x]));
  }
}

}  // namespace hdseg

#define HDSEG_RIVAL_KERNELS(T, suffix)                                                           \
  extern "C" __global__ void nearest_others_in_columns_##suffix(                                 \
      const T* classes, int64_t height, int64_t width, int64_t reach, int64_t* squared) {        \
    hdseg::nearest_others_in_columns(classes, height, width, reach, squared);                    \
  }                                                                                              \
  extern "C" __global__ void nearest_others_in_segments_##suffix(                                \
      const T* classes, const int64_t* squared, int64_t height, int64_t width, int64_t* least) { \
    hdseg::nearest_others_in_segments(classes, squared, height, width, least);                   \
  }                                                                                              \
  extern "C" __global__ void nearest_others_in_rows_##suffix(                                    \
      const T* classes, const int64_t* squared, const int64_t* least, int64_t height,            \
      int64_t width, int64_t reach, float* distance, T* nearest_other) {                         \
    hdseg::nearest_others_in_rows(classes, squared, least, height, width, reach, distance,       \
                                  nearest_other);                                                \
  }
HDSEG_RIVAL_KERNELS(uint8_t, u8)
HDSEG_RIVAL_KERNELS(uint16_t, u16)
HDSEG_RIVAL_KERNELS(uint32_t, u32)
#undef HDSEG_RIVAL_KERNELS
