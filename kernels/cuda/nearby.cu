// The classes that need a colour model in each window, and the fields in which these are smoothed.
#include "common/evidence.h"
#include "cuda/scan.h"
#include "cuda/tasks.h"

namespace hdseg {

// A set of classes in shared memory, one bit each. Most classes added are there already, and
// reading is cheaper than an atomic operation.
struct ClassSet {
  uint32_t* bits;
  int64_t words;

  __device__ void add(uint32_t k) const {
    const uint32_t bit = 1u << k % 32;
    uint32_t* word = bits + k / 32;
    if ((*static_cast<volatile uint32_t*>(word) & bit) == 0) atomicOr(word, bit);
  }
};

// Cells of `cell` pixels along one axis, and windows of `group` cells.
struct CellAxis {
  int64_t cells, cell, group;

  __device__ int64_t windows() const { return (cells - 1) / group + 1; }

  // The first and the last window used by the pixels around a cell.
  __device__ int64_t first_of(int64_t c) const {
    const int64_t begin = c * cell - (cell + 1) / 2;
    return between_centres(begin < 0 ? 0 : begin, cell * group, windows()).first;
  }

  __device__ int64_t last_of(int64_t c) const {
    const int64_t end = (c + 1) * cell - 1 + (cell + 1) / 2;
    const Between around = between_centres(end, cell * group, windows());
    return around.weight > 0.0f ? around.second : around.first;
  }

  // The cells begin .. end - 1 whose pixels use a window: they are less than its side, plus two
  // cells, from its centre.
  __device__ int64_t begin_of(int64_t window) const {
    const int64_t least = (2 * window - 1) * group / 2 - 3;
    int64_t c = least < 0 ? 0 : least;
    while (last_of(c) < window) ++c;
    return c;
  }

  __device__ int64_t end_of(int64_t window) const {
    const int64_t most = (2 * window + 3) * group / 2 + 4;
    int64_t c = most < cells ? most : cells;
    while (first_of(c - 1) > window) --c;
    return c;
  }
};

constexpr int kMostNear = 4;  // maps

template <class T>
struct NearMaps {
  const T* of[kMostNear];
  int64_t count;
  CellAxis rows, columns;

  // Finds the classes that a window needs; called by all lanes of a warp.
  __device__ void find(int64_t window, const ClassSet& found) const {
    for (int64_t i = lane_of(); i < found.words; i += kWarp) found.bits[i] = 0;
    __syncwarp();
    const int64_t across = columns.windows(), y = window / across, x = window % across;
    const int64_t top = rows.begin_of(y), left = columns.begin_of(x);
    const auto width = static_cast<uint32_t>(columns.end_of(x) - left);
    const uint32_t cells = static_cast<uint32_t>(rows.end_of(y) - top) * width;
    for (uint32_t i = static_cast<uint32_t>(lane_of()); i < cells; i += kWarp) {
      const int64_t cell = (top + i / width) * columns.cells + left + i % width;
      for (int m = 0; m < kMostNear; ++m) {
        if (m < count) found.add(of[m][cell]);
      }
    }
    __syncwarp();
  }
};

template <class T>
__device__ void count_nearby(const NearMaps<T>& maps, const ClassSet& found, int32_t* counts) {
  const int64_t windows = maps.rows.windows() * maps.columns.windows();
  for (int64_t w = first_item() / kWarp; w < windows; w += item_step() / kWarp) {
    maps.find(w, found);
    int32_t count = 0;
    for (int64_t i = lane_of(); i < found.words; i += kWarp) count += __popc(found.bits[i]);
    for (int step = kWarp / 2; step > 0; step /= 2) {
      count += __shfl_xor_sync(kAllLanes, count, step);
    }
    if (lane_of() == 0) counts[w] = count;
    __syncwarp();
  }
}

// Calls act(rank, class) for each class of a set; the lanes of a warp, all of which must call,
// share the classes. Returns their number.
template <class Act>
__device__ int64_t each_class(const ClassSet& found, Act act) {
  int64_t before = 0;
  for (int64_t start = 0; start < found.words; start += kWarp) {
    const int64_t i = start + lane_of();
    uint32_t left = i < found.words ? found.bits[i] : 0;
    int32_t sum = __popc(left);
    for (int step = 1; step < kWarp; step *= 2) {
      const int32_t shown = __shfl_up_sync(kAllLanes, sum, step);
      if (lane_of() >= step) sum += shown;
    }
    int64_t mine = before + sum - __popc(left);
    for (; left != 0; left &= left - 1) {
      act(mine++, i * 32 + __ffs(static_cast<int>(left)) - 1);
    }
    before += __shfl_sync(kAllLanes, sum, kWarp - 1);
  }
  return before;
}

template <class T>
__device__ void write_nearby(const NearMaps<T>& maps, const ClassSet& found, const Before& before,
                             int64_t* start, T* label) {
  const int64_t windows = maps.rows.windows() * maps.columns.windows();
  for (int64_t w = first_item() / kWarp; w < windows; w += item_step() / kWarp) {
    maps.find(w, found);
    const int64_t first = before.at(w);
    each_class(found, [&](int64_t i, int64_t k) { label[first + i] = static_cast<T>(k); });
    if (lane_of() == 0) start[w] = first;
    if (lane_of() == 0 && w + 1 == windows) start[windows] = before.at(windows);
    __syncwarp();
  }
}

// Windows of a class in the same square of kSquare x kSquare windows are smoothed together, with a
// margin around their bounding box; after a square's first kBoxes classes, around the whole square.
constexpr int64_t kSquare = 32;
constexpr int kBoxes = 1024;

// The classes of a square's windows, in shared memory.
struct SquareClasses {
  ClassSet found;
  int32_t* before;  // the number of classes in earlier words
  // The extent of each class's windows in the square.
  int32_t *first_v, *first_u, *last_v, *last_u;

  __device__ int64_t rank(uint32_t k) const {
    return before[k / 32] + __popc(found.bits[k / 32] & ((1u << k % 32) - 1));
  }
};

template <class T>
struct LabelLists {
  const int64_t* start;  // Nearby
  const T* label;
  Grid windows;
  int64_t reach;

  __device__ int64_t squares_across() const { return (windows.width - 1) / kSquare + 1; }
  __device__ int64_t squares() const {
    return ((windows.height - 1) / kSquare + 1) * squares_across();
  }

  // Calls use(v, u, entry) for all entries of a square, in its row v and column u.
  template <class Use>
  __device__ void each(int64_t square, Use use) const {
    const int64_t top = square / squares_across() * kSquare;
    const int64_t left = square % squares_across() * kSquare;
    for (auto i = static_cast<int32_t>(threadIdx.x); i < kSquare * kSquare;
         i += static_cast<int32_t>(blockDim.x)) {
      const int32_t v = i / kSquare, u = i % kSquare;
      if (top + v >= windows.height || left + u >= windows.width) continue;
      const int64_t w = (top + v) * windows.width + left + u;
      for (int64_t e = start[w]; e < start[w + 1]; ++e) use(v, u, e);
    }
  }

  // Finds the classes of a square and their extents; called by all threads of a block.
  __device__ void find(int64_t square, const SquareClasses& s) const {
    __syncthreads();  // the last use of the table is over
    for (int64_t i = threadIdx.x; i < s.found.words; i += blockDim.x) s.found.bits[i] = 0;
    for (int i = static_cast<int>(threadIdx.x); i < kBoxes; i += static_cast<int>(blockDim.x)) {
      s.first_v[i] = s.first_u[i] = kSquare;
      s.last_v[i] = s.last_u[i] = -1;
    }
    __syncthreads();
    each(square, [&](int32_t, int32_t, int64_t e) { s.found.add(label[e]); });
    __syncthreads();
    if (threadIdx.x < kWarp) {
      each_class(s.found, [&](int64_t i, int64_t k) {
        if ((s.found.bits[k / 32] & ((1u << k % 32) - 1)) == 0) {
          s.before[k / 32] = static_cast<int32_t>(i);
        }
      });
    }
    __syncthreads();
    each(square, [&](int32_t v, int32_t u, int64_t e) {
      const int64_t i = s.rank(label[e]);
      if (i >= kBoxes) return;
      const auto least = [](int32_t* at, int32_t value) {
        if (value < *static_cast<volatile int32_t*>(at)) atomicMin(at, value);
      };
      const auto most = [](int32_t* at, int32_t value) {
        if (value > *static_cast<volatile int32_t*>(at)) atomicMax(at, value);
      };
      least(s.first_v + i, v);
      most(s.last_v + i, v);
      least(s.first_u + i, u);
      most(s.last_u + i, u);
    });
    __syncthreads();
  }

  // The task of the i-th class of a square.
  __device__ Task task(int64_t square, const SquareClasses& s, int64_t i, int64_t k) const {
    const int64_t y = square / squares_across() * kSquare;
    const int64_t x = square % squares_across() * kSquare;
    const bool known = i < kBoxes;
    const int64_t top = y + (known ? s.first_v[i] : 0) - reach;
    const int64_t left = x + (known ? s.first_u[i] : 0) - reach;
    const int64_t bottom = y + (known ? s.last_v[i] : kSquare - 1) + reach + 1;
    const int64_t right = x + (known ? s.last_u[i] : kSquare - 1) + reach + 1;
    const int64_t first = top < 0 ? 0 : top, before = left < 0 ? 0 : left;
    return {k, first, before, (bottom < windows.height ? bottom : windows.height) - first,
            (right < windows.width ? right : windows.width) - before};
  }
};

// counts (2, squares): the number of tasks of each square, and of the windows in their fields.
template <class T>
__device__ void count_tasks(const LabelLists<T>& nearby, const SquareClasses& s, int32_t* counts) {
  const int64_t squares = nearby.squares();
  for (int64_t square = blockIdx.x; square < squares; square += gridDim.x) {
    nearby.find(square, s);
    if (threadIdx.x >= kWarp) continue;
    int32_t area = 0;
    const int64_t count = each_class(s.found, [&](int64_t i, int64_t k) {
      area += static_cast<int32_t>(nearby.task(square, s, i, k).area());
    });
    for (int step = kWarp / 2; step > 0; step /= 2) {
      area += __shfl_xor_sync(kAllLanes, area, step);
    }
    if (lane_of() == 0) {
      counts[square] = static_cast<int32_t>(count);
      counts[squares + square] = area;
    }
  }
}

// Writes the tasks, the beginning of each field, and each entry's task and window in its field.
template <class T>
__device__ void write_tasks(const LabelLists<T>& nearby, const SquareClasses& s,
                            const Before& before, Task* tasks, int64_t* begin, int32_t* where) {
  const int64_t squares = nearby.squares();
  for (int64_t square = blockIdx.x; square < squares; square += gridDim.x) {
    nearby.find(square, s);
    const int64_t first = before.at(square);
    if (threadIdx.x == 0) {
      // Sequential: squares have few classes, and other squares run in parallel.
      int64_t at = before.at(square, 1), i = 0;
      for (int64_t word = 0; word < s.found.words; ++word) {
        for (uint32_t left = s.found.bits[word]; left != 0; left &= left - 1, ++i) {
          const int64_t k = word * 32 + __ffs(static_cast<int>(left)) - 1;
          tasks[first + i] = nearby.task(square, s, i, k);
          begin[first + i] = at;
          at += tasks[first + i].area();
        }
      }
      if (square + 1 == squares) begin[first + i] = at;
    }
    __syncthreads();
    const int64_t top = square / nearby.squares_across() * kSquare;
    const int64_t left = square % nearby.squares_across() * kSquare;
    nearby.each(square, [&](int32_t v, int32_t u, int64_t e) {
      const int64_t t = first + s.rank(nearby.label[e]);
      const Task& task = tasks[t];
      where[2 * e] = static_cast<int32_t>(t);
      where[2 * e + 1] =
          static_cast<int32_t>((top + v - task.top) * task.width + left + u - task.left);
    });
  }
}

// A table for 32 * words classes in shared memory: 4 kBoxes numbers, and two per 32 classes.
__device__ inline SquareClasses square_classes(uint32_t* shared, int64_t words) {
  auto* numbers = reinterpret_cast<int32_t*>(shared);
  return {{shared + 4 * kBoxes, words}, numbers + 4 * kBoxes + words, numbers, numbers + kBoxes,
          numbers + 2 * kBoxes,         numbers + 3 * kBoxes};
}

}  // namespace hdseg

#define HDSEG_NEARBY_KERNELS(T, suffix)                                                            \
  extern "C" __global__ void count_nearby_##suffix(                                                \
      const T* a, const T* b, const T* c, const T* d, int64_t maps, int64_t height, int64_t width, \
      int64_t cell, int64_t group, int64_t words, int32_t* counts, int64_t* done) {                \
    HDSEG_DYNAMIC_SHARED(uint32_t, shared);                                                        \
    if (hdseg::first_item() == 0) *done = 0;                                                       \
    hdseg::count_nearby<T>({{a, b, c, d}, maps, {height, cell, group}, {width, cell, group}},      \
                           {shared + threadIdx.x / hdseg::kWarp * words, words}, counts);          \
  }                                                                                                \
  extern "C" __global__ void write_nearby_##suffix(                                                \
      const T* a, const T* b, const T* c, const T* d, int64_t maps, int64_t height, int64_t width, \
      int64_t cell, int64_t group, int64_t words, const int64_t* in_tile, const int64_t* tile,     \
      int64_t windows, int64_t* start, T* label) {                                                 \
    HDSEG_DYNAMIC_SHARED(uint32_t, shared);                                                        \
    hdseg::write_nearby<T>({{a, b, c, d}, maps, {height, cell, group}, {width, cell, group}},      \
                           {shared + threadIdx.x / hdseg::kWarp * words, words},                   \
                           {in_tile, tile, windows}, start, label);                                \
  }                                                                                                \
  extern "C" __global__ void count_tasks_##suffix(const int64_t* start, const T* label,            \
                                                  int64_t height, int64_t width, int64_t reach,    \
                                                  int64_t words, int32_t* counts, int64_t* done) { \
    HDSEG_DYNAMIC_SHARED(uint32_t, shared);                                                        \
    if (hdseg::first_item() == 0) *done = 0;                                                       \
    hdseg::count_tasks<T>({start, label, {height, width}, reach},                                  \
                          hdseg::square_classes(shared, words), counts);                           \
  }                                                                                                \
  extern "C" __global__ void write_tasks_##suffix(                                                 \
      const int64_t* start, const T* label, int64_t height, int64_t width, int64_t reach,          \
      int64_t words, const int64_t* in_tile, const int64_t* tile, int64_t squares, int64_t* task,  \
      int64_t* begin, int32_t* where) {                                                            \
    HDSEG_DYNAMIC_SHARED(uint32_t, shared);                                                        \
    hdseg::write_tasks<T>({start, label, {height, width}, reach},                                  \
                          hdseg::square_classes(shared, words), {in_tile, tile, squares},          \
                          reinterpret_cast<hdseg::Task*>(task), begin, where);                     \
  }
HDSEG_NEARBY_KERNELS(uint8_t, u8)
HDSEG_NEARBY_KERNELS(uint16_t, u16)
HDSEG_NEARBY_KERNELS(uint32_t, u32)
#undef HDSEG_NEARBY_KERNELS
