#include "cpu/values.h"

#include <algorithm>
#include <mutex>
#include <vector>

namespace hdseg {
namespace {

constexpr int64_t kPixels = 512;        // that are worked on together, at most
constexpr int64_t kTogether = 1 << 16;  // values of theirs, about: they stay in a core's cache
constexpr int64_t kFew = 64;         // pixels side by side that are not worth a loop of their own
constexpr int64_t kBlock = 1 << 14;  // values that are not worth a thread

// The values of some pixels: class k of pixel p of them is values[k * step + p].
template <class T>
struct Piece {
  const T* values;
  int64_t step, first, pixels;
};

// The same for any layout: pixels of which classes or only a few pixels lie side by side are
// copied.
template <class T>
Piece<T> gathered(const ClassValues<T>& stack, int64_t first, int64_t pixels, T* scratch) {
  constexpr int64_t kTile = 16;
  for (int64_t begin = 0; begin < stack.classes; begin += kTile) {
    const int64_t end = std::min(begin + kTile, stack.classes);
    for (int64_t p = 0; p < pixels; ++p) {
      const int64_t outer = (first + p) / stack.inner, inner = (first + p) % stack.inner;
      const T* from = stack.values + outer * stack.classes * stack.inner + inner;
      for (int64_t k = begin; k < end; ++k) scratch[k * pixels + p] = from[k * stack.inner];
    }
  }
  return {scratch, pixels, first, pixels};
}

// Calls use(piece, state) for pieces that together are all pixels, with a State for each thread,
// and done(state) for these in the end, one at a time.
template <class State, class T, class Use, class Done>
void each_piece(const ClassValues<T>& stack, Use use, Done done) {
  const bool direct = stack.inner >= kFew;
  const int64_t most = std::clamp(kTogether / stack.classes, int64_t{16}, kPixels);
  // Direct pieces lie within one of the outer parts.
  const int64_t length = direct ? stack.inner : stack.outer * stack.inner;
  const int64_t across = (length + most - 1) / most, pieces = across * (direct ? stack.outer : 1);
  std::mutex finishing;
#pragma omp parallel if (stack.outer * stack.inner * stack.classes > 8 * kBlock)
  {
    State state;
    std::vector<T> scratch(direct ? 0 : static_cast<size_t>(most * stack.classes));
#pragma omp for schedule(static)
    for (int64_t i = 0; i < pieces; ++i) {
      const int64_t outer = i / across, begin = i % across * most;
      const int64_t pixels = std::min(most, length - begin);
      if (direct) {
        const T* values = stack.values + outer * stack.classes * stack.inner + begin;
        use(Piece<T>{values, stack.inner, outer * stack.inner + begin, pixels}, state);
      } else {
        use(gathered(stack, begin, pixels, scratch.data()), state);
      }
    }
    const std::lock_guard<std::mutex> alone(finishing);
    done(state);
  }
}

// Extremes that nothing has been added to yet.
template <class R>
struct Found {
  Extremes<R> all{};
  bool any = false;

  void add(const Extremes<R>& more) {
    if (any) {
      all.add(more);
    } else {
      all = more;
    }
    any = true;
  }
};

// What has been found of each of some pixels, in columns.
template <class R>
struct Columns {
  R lowest[kPixels], highest[kPixels], sum[kPixels], lost[kPixels], odd[kPixels];

  // Of all the first pixels: halves are joined until one is left.
  Extremes<R> joined(int64_t pixels) {
    R *least = lost, *most = sum;
    for (int64_t p = 0; p < pixels; ++p) least[p] = sum[p];
    while (pixels > 1) {
      const int64_t half = (pixels + 1) / 2;
#pragma omp simd
      for (int64_t p = 0; p < pixels - half; ++p) {
        lowest[p] = lowest[p + half] < lowest[p] ? lowest[p + half] : lowest[p];
        highest[p] = highest[p + half] > highest[p] ? highest[p + half] : highest[p];
        least[p] = least[p + half] < least[p] ? least[p + half] : least[p];
        most[p] = most[p + half] > most[p] ? most[p + half] : most[p];
        odd[p] += odd[p + half];
      }
      pixels = half;
    }
    return {lowest[0], highest[0], least[0], most[0], odd[0]};
  }
};

template <bool kSums, class T>
Extremes<Computed<T>> of_piece(const Piece<T>& piece, int64_t classes) {
  using R = Computed<T>;
  Columns<R> of;
#pragma omp simd
  for (int64_t p = 0; p < piece.pixels; ++p) {
    const R value = computed(piece.values[p]);
    of.lowest[p] = of.highest[p] = of.sum[p] = value;
    of.lost[p] = R{0};
    of.odd[p] = oddness(value);
  }
  for (int64_t k = 1; k < classes; ++k) {
    const T* values = piece.values + k * piece.step;
#pragma omp simd
    for (int64_t p = 0; p < piece.pixels; ++p) {
      const R value = computed(values[p]);
      of.lowest[p] = value < of.lowest[p] ? value : of.lowest[p];
      of.highest[p] = value > of.highest[p] ? value : of.highest[p];
      if constexpr (kSums) add_to(of.sum[p], of.lost[p], value);
      of.odd[p] += oddness(value);
    }
  }
  return of.joined(piece.pixels);
}

template <class T>
void softmax_of(const Piece<T>& piece, int64_t classes, float* out, int64_t stride) {
  using R = Computed<T>;
  R top[kPixels];
  float sum[kPixels] = {}, lost[kPixels] = {};
  for (int64_t p = 0; p < piece.pixels; ++p) top[p] = computed(piece.values[p]);
  for (int64_t k = 1; k < classes; ++k) {
    const T* values = piece.values + k * piece.step;
#pragma omp simd
    for (int64_t p = 0; p < piece.pixels; ++p) {
      const R value = computed(values[p]);
      top[p] = value > top[p] ? value : top[p];
    }
  }
  for (int64_t k = 0; k < classes; ++k) {
    const T* values = piece.values + k * piece.step;
    float* found = out + k * stride;
#pragma omp simd
    for (int64_t p = 0; p < piece.pixels; ++p) {
      const float share = exp_below(computed(values[p]), top[p]);
      add_to(sum[p], lost[p], share);
      found[p] = share;
    }
  }
  for (int64_t k = 0; k < classes; ++k) {
    float* found = out + k * stride;
#pragma omp simd
    for (int64_t p = 0; p < piece.pixels; ++p) found[p] = found[p] / sum[p];
  }
}

template <class T>
void normalise_piece(const Piece<T>& piece, int64_t classes, float* out, int64_t stride) {
  using R = Computed<T>;
  R sum[kPixels] = {}, lost[kPixels] = {};
  for (int64_t k = 0; k < classes; ++k) {
    const T* values = piece.values + k * piece.step;
#pragma omp simd
    for (int64_t p = 0; p < piece.pixels; ++p) add_to(sum[p], lost[p], computed(values[p]));
  }
  for (int64_t k = 0; k < classes; ++k) {
    const T* values = piece.values + k * piece.step;
    float* found = out + k * stride;
#pragma omp simd
    for (int64_t p = 0; p < piece.pixels; ++p) found[p] = quotient_of(computed(values[p]), sum[p]);
  }
}

}  // namespace

template <class T>
Extremes<Computed<T>> extremes(const T* values, int64_t count) {
  Found<Computed<T>> found;
  std::mutex finishing;
#pragma omp parallel if (count > 8 * kBlock)
  {
    Found<Computed<T>> mine;
#pragma omp for schedule(static)
    for (int64_t start = 0; start < count; start += kBlock) {
      // Rows of as many values as are worked on together stand for classes.
      const int64_t size = std::min(kBlock, count - start), rows = size / kPixels;
      const T* block = values + start;
      const int64_t rest = size - rows * kPixels;
      if (rows > 0) mine.add(of_piece<false>(Piece<T>{block, kPixels, 0, kPixels}, rows));
      if (rest > 0) mine.add(of_piece<false>(Piece<T>{block + rows * kPixels, rest, 0, rest}, 1));
    }
    const std::lock_guard<std::mutex> alone(finishing);
    if (mine.any) found.add(mine.all);
  }
  return found.all;
}

template <class T>
Extremes<Computed<T>> stack_extremes(const ClassValues<T>& stack) {
  using R = Computed<T>;
  Found<R> found;
  each_piece<Found<R>>(
      stack,
      [&](const Piece<T>& piece, Found<R>& mine) {
        mine.add(of_piece<true>(piece, stack.classes));
      },
      [&](const Found<R>& mine) {
        if (mine.any) found.add(mine.all);
      });
  return found.all;
}

template <class T>
void normalise(const ClassValues<T>& stack, bool softmax, float* out, int64_t stride) {
  struct Nothing {};
  each_piece<Nothing>(
      stack,
      [&](const Piece<T>& piece, Nothing&) {
        float* found = out + piece.first;
        if (softmax) {
          softmax_of(piece, stack.classes, found, stride);
        } else {
          normalise_piece(piece, stack.classes, found, stride);
        }
      },
      [](Nothing&) {});
}

template <class T>
void mark_occurring(const T* labels, int64_t count, T low, uint8_t* found) {
  // Threads set the same bytes to the same value, so it does not matter who comes first. Who comes
  // later mostly sees that nothing is to do.
#pragma omp parallel for schedule(static) if (count > 8 * kBlock)
  for (int64_t start = 0; start < count; start += kBlock) {
    const int64_t end = std::min(count, start + kBlock);
    T before = labels[start];
    __atomic_store_n(found + static_cast<T>(before - low), uint8_t{1}, __ATOMIC_RELAXED);
    for (int64_t i = start + 1; i < end; ++i) {
      if (labels[i] == before) continue;
      before = labels[i];
      uint8_t* mark = found + static_cast<T>(before - low);
      if (__atomic_load_n(mark, __ATOMIC_RELAXED) == 0) {
        __atomic_store_n(mark, uint8_t{1}, __ATOMIC_RELAXED);
      }
    }
  }
}

template <class T, class Code>
void recode(const T* labels, int64_t count, T low, const Code* table, Code* codes) {
#pragma omp parallel for schedule(static) if (count > 8 * kBlock)
  for (int64_t start = 0; start < count; start += kBlock) {
    const int64_t end = std::min(count, start + kBlock);
    for (int64_t i = start; i < end; ++i) codes[i] = table[static_cast<T>(labels[i] - low)];
  }
}

template Extremes<float> extremes<float>(const float*, int64_t);
template Extremes<double> extremes<double>(const double*, int64_t);
template Extremes<int32_t> extremes<int32_t>(const int32_t*, int64_t);
template Extremes<int64_t> extremes<int64_t>(const int64_t*, int64_t);
template Extremes<uint32_t> extremes<uint32_t>(const uint32_t*, int64_t);
template Extremes<uint64_t> extremes<uint64_t>(const uint64_t*, int64_t);

#define HDSEG_STACKS(T)                                                    \
  template Extremes<Computed<T>> stack_extremes<T>(const ClassValues<T>&); \
  template void normalise<T>(const ClassValues<T>&, bool, float*, int64_t);
HDSEG_STACKS(uint8_t)
HDSEG_STACKS(uint16_t)
HDSEG_STACKS(Half)
HDSEG_STACKS(float)
HDSEG_STACKS(double)
#undef HDSEG_STACKS

#define HDSEG_LABELS(T)                                                                \
  template void mark_occurring<T>(const T*, int64_t, T, uint8_t*);                     \
  template void recode<T, uint8_t>(const T*, int64_t, T, const uint8_t*, uint8_t*);    \
  template void recode<T, uint16_t>(const T*, int64_t, T, const uint16_t*, uint16_t*); \
  template void recode<T, uint32_t>(const T*, int64_t, T, const uint32_t*, uint32_t*);
HDSEG_LABELS(uint8_t)
HDSEG_LABELS(uint16_t)
HDSEG_LABELS(uint32_t)
HDSEG_LABELS(uint64_t)
#undef HDSEG_LABELS

}  // namespace hdseg
