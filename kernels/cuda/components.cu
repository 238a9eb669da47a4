// Connected components of the band, and the labels of seeds beside it.
#include "cuda/runs.h"
#include "cuda/scan.h"

namespace hdseg {

// Components as trees of runs: parent[r] < r, or r itself at a root. Threads of any block may link
// and read at the same time, without waiting for each other:
// * Only roots are linked, by atomicCAS and to a smaller run: there are no cycles, and no link is
//   lost, as a thread that no longer finds a root goes on from its new parent.
// * A run that is not a root never becomes one. Its parent is only replaced by an ancestor
//   (root_of), so plain stores suffice in any order; an old value was an ancestor, too.
__device__ inline int32_t root_of(volatile int32_t* parent, int32_t i) {
  for (;;) {
    const int32_t up = parent[i];
    if (up == i) return i;
    const int32_t next = parent[up];
    if (next == up) return up;
    parent[i] = next;  // path halving: shortens chains as long as the image is high
    i = next;
  }
}

__device__ inline void link(int32_t* parent, int32_t a, int32_t b) {
  for (;;) {
    a = root_of(parent, a);
    b = root_of(parent, b);
    if (a == b) return;
    const int32_t high = a < b ? b : a, low = a < b ? a : b;
    if (atomicCAS(parent + high, high, low) == high) return;
  }
}

// If two runs of adjacent rows overlap, the first pixel of one is next to the other. So each run
// checks above and below its first pixel only, which is the same work for all runs.
__device__ inline void link_run(const Band& band, int64_t r, int32_t* parent) {
  const int64_t width = band.grid.width, pixel = band.pixel[r];
  const int64_t above = pixel >= width ? run_with(band, pixel - width) : -1;
  if (above >= 0) link(parent, static_cast<int32_t>(r), static_cast<int32_t>(above));
  const int64_t below =
      pixel + width < band.grid.height * width ? run_with(band, pixel + width) : -1;
  if (below >= 0) link(parent, static_cast<int32_t>(r), static_cast<int32_t>(below));
}

// The set of pairs (place, label): a list of keys, and a hash table of keys + 1 with linear
// probing. A thread takes a free entry by atomicCAS and then lists the key; entries are never
// removed. The order of list and table depends on timing, their contents do not.
struct PairSet {
  // 1 if a key found no entry; the number of keys; the list (size); the table. All 0 on entry.
  unsigned long long *full, *count, *list, *table;
  int64_t size;  // a power of two

  static constexpr int64_t kTries = 64;

  __device__ void add(int64_t place, int64_t label) const {
    const auto key = static_cast<unsigned long long>(place * int64_t{kMostLabels + 1} + label);
    unsigned long long at = key * 0x9e3779b97f4a7c15ull;
    at ^= at >> 29;
    for (int64_t i = 0; i < kTries; ++i) {
      unsigned long long* entry =
          table + static_cast<int64_t>((at + static_cast<unsigned long long>(i)) &
                                       static_cast<unsigned long long>(size - 1));
      // Usually the key is there already, and reading is cheaper than an atomic operation.
      unsigned long long found = *static_cast<volatile unsigned long long*>(entry);
      if (found == 0) {
        found = atomicCAS(entry, 0ull, key + 1);
        if (found == 0) list[atomicAdd(count, 1ull)] = key;
      }
      if (found == 0 || found == key + 1) return;
    }
    *full = 1;
  }
};

// The header of the result of labels_at(), as _HEAD in backends/cuda/band.py: full, count, a
// number; then the list follows.
constexpr int64_t kHead = 8;

__device__ inline PairSet pair_set_in(uint64_t* memory, int64_t size) {
  auto* words = reinterpret_cast<unsigned long long*>(memory);
  return {words, words + 1, words + kHead, words + kHead + size, size};
}

// The labels of seeds beside the pixels of each place, and of their evidence (n, kept).
template <class Seed>
__device__ void labels_at(const Band& band, int64_t size, const Seed* seeds, const Places& places,
                          const Seed* evidence, int64_t kept, const PairSet& pairs) {
  const int64_t width = band.grid.width, pixels = band.grid.height * width;
  for (int64_t i = first_item(); i < size; i += item_step()) {
    const int64_t run = run_at(band, i), pixel = pixel_at(band, run, i);
    if (places.first[run] < 0) continue;
    const int64_t place = place_of(band, places, run, pixel);
    const auto visit = [&](int64_t other) {
      const Seed seed = seeds[other];
      if (seed != 0 && seed != kWall<Seed>) pairs.add(place, seed);
    };
    if (i == band.start[run] && pixel % width > 0) visit(pixel - 1);
    if (i + 1 == band.start[run + 1] && (pixel + 1) % width > 0) visit(pixel + 1);
    if (pixel >= width) visit(pixel - width);
    if (pixel + width < pixels) visit(pixel + width);
    for (int64_t m = 0; m < kept; ++m) {
      const Seed label = evidence[i * kept + m];
      if (label != 0) pairs.add(place, label);
    }
  }
}

}  // namespace hdseg

extern "C" __global__ void begin_apart(int64_t runs, int32_t* parent) {
  for (int64_t r = hdseg::first_item(); r < runs; r += hdseg::item_step()) {
    parent[r] = static_cast<int32_t>(r);
  }
}

extern "C" __global__ void link_runs(hdseg::Band band, int32_t* parent) {
  for (int64_t r = hdseg::first_item(); r < band.runs; r += hdseg::item_step()) {
    hdseg::link_run(band, r, parent);
  }
}

// counts[r]: 1 for the first run of a component.
extern "C" __global__ void count_roots(const int32_t* parent, int64_t runs, int32_t* counts,
                                       int64_t* done) {
  if (hdseg::first_item() == 0) *done = 0;
  for (int64_t r = hdseg::first_item(); r < runs; r += hdseg::item_step()) {
    counts[r] = parent[r] == r ? 1 : 0;
  }
}

extern "C" __global__ void number_components(int32_t* parent, int64_t runs, const int64_t* in_tile,
                                             const int64_t* tile, int32_t* component) {
  const hdseg::Before before{in_tile, tile, runs};
  for (int64_t r = hdseg::first_item(); r < runs; r += hdseg::item_step()) {
    const int32_t root = hdseg::root_of(parent, static_cast<int32_t>(r));
    component[r] = static_cast<int32_t>(before.at(root));
  }
}

// `number` is passed through to the result.
#define HDSEG_SEED_KERNELS(Seed, suffix)                                                           \
  extern "C" __global__ void labels_at_##suffix(hdseg::Band band, int64_t size, const Seed* seeds, \
                                                hdseg::Places places, const Seed* evidence,        \
                                                int64_t kept, uint64_t* pairs, int64_t entries,    \
                                                const int64_t* number) {                           \
    if (hdseg::first_item() == 0) pairs[2] = static_cast<uint64_t>(*number);                       \
    hdseg::labels_at(band, size, seeds, places, evidence, kept,                                    \
                     hdseg::pair_set_in(pairs, entries));                                          \
  }
HDSEG_SEED_KERNELS(uint8_t, u8)
HDSEG_SEED_KERNELS(uint16_t, u16)
HDSEG_SEED_KERNELS(uint32_t, u32)
#undef HDSEG_SEED_KERNELS
