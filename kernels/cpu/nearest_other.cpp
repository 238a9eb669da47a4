// First along columns, then along rows (Meijster, Roerdink, Hesselink 2000), for all classes at
// once. One sweep each way finds the nearest other class straight above and below. Along a row, an
// entry needs no more than its own run and the entries at its ends, which have other classes.
#include "cpu/nearest_other.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "common/nearest_other.h"

namespace hdseg {
namespace {

// Below this, waking other threads takes longer than the work.
constexpr int64_t kSmall = 1 << 14;
constexpr int64_t kColumns = 64;

// The packed nearest other class within each of columns left .. left + count - 1, with squared
// distance; kNoOther from `beyond` on.
template <class T>
void nearest_others_in_columns(const T* classes, const Grid& grid, int64_t left, int64_t count,
                               int64_t beyond, int64_t* squared) {
  int64_t below[kColumns];
  std::fill_n(squared + left, count, kNoOther);
  for (int64_t y = 1; y < grid.height; ++y) {
    const T* own = classes + y * grid.width + left;
    int64_t* found = squared + y * grid.width + left;
    for (int64_t x = 0; x < count; ++x) {
      found[x] = next_in_column(found[x - grid.width], own[x - grid.width], own[x]);
    }
  }
  std::fill_n(below, count, kNoOther);
  for (int64_t y = grid.height - 1; y >= 0; --y) {
    const T* own = classes + y * grid.width + left;
    int64_t* found = squared + y * grid.width + left;
    if (y < grid.height - 1) {
      for (int64_t x = 0; x < count; ++x) {
        below[x] = next_in_column(below[x], own[x + grid.width], own[x]);
      }
    }
    for (int64_t x = 0; x < count; ++x) {
      found[x] = squared_nearest_other(std::min(found[x], below[x]), beyond);
    }
  }
}

// The lower envelope of a row's columns: which of them gives the nearest other class, by entry.
class Envelope {
 public:
  // Starts a run of entries [first, end).
  void restart(int64_t first, int64_t end) {
    best_.clear();
    first_ = first;
    end_ = end;
  }

  // Columns are added from left to right.
  void add(int64_t column, int64_t squared) {
    int64_t from = first_;
    for (; !best_.empty(); best_.pop_back()) {
      const Best& last = best_.back();
      from = first_better(last.column, last.squared, column, squared);
      if (from > last.from) break;
      from = first_;
    }
    if (from < end_) best_.push_back({column, squared, from});
  }

  template <class Use>
  void each(Use use) const {
    for (size_t i = 0; i < best_.size(); ++i) {
      const int64_t until = i + 1 < best_.size() ? best_[i + 1].from : end_;
      for (int64_t x = best_[i].from; x < until; ++x) {
        use(x, nearest_other_seen(x, best_[i].column, best_[i].squared));
      }
    }
  }

  bool empty() const { return best_.empty(); }

 private:
  struct Best {
    int64_t column, squared, from;  // from: the first entry for which the column is best
  };
  std::vector<Best> best_;
  int64_t first_ = 0, end_ = 0;
};

template <class T>
void nearest_others_in_row(const T* own, const int64_t* squared, int64_t width, int64_t beyond,
                           Envelope& envelope, float* distance, T* nearest_other) {
  for (int64_t first = 0, end = 0; first < width; first = end) {
    while (end < width && own[end] == own[first]) ++end;
    envelope.restart(first, end);
    if (first > 0) envelope.add(first - 1, own[first - 1]);
    for (int64_t x = first; x < end; ++x) {
      if (squared[x] < kNoOther) envelope.add(x, squared[x]);
    }
    if (end < width) envelope.add(end, own[end]);
    envelope.each([=](int64_t x, int64_t seen) {
      distance[x] = nearest_other_distance(seen, beyond);
      nearest_other[x] = static_cast<T>(nearest_other_class(seen, beyond, own[x]));
    });
    if (envelope.empty()) {
      std::fill(distance + first, distance + end, std::numeric_limits<float>::infinity());
      std::copy(own + first, own + end, nearest_other + first);
    }
  }
}

}  // namespace

template <class T>
void nearest_others(const T* classes, const Grid& grid, int64_t reach, float* distance,
                    T* nearest_other) {
  const int64_t entries = grid.height * grid.width, beyond = beyond_reach(reach);
  std::vector<int64_t> squared(static_cast<size_t>(entries));
#pragma omp parallel if (entries > kSmall)
  {
#pragma omp for schedule(static)
    for (int64_t left = 0; left < grid.width; left += kColumns) {
      const int64_t count = std::min(kColumns, grid.width - left);
      nearest_others_in_columns(classes, grid, left, count, beyond, squared.data());
    }
    Envelope envelope;
#pragma omp for schedule(static)
    for (int64_t y = 0; y < grid.height; ++y) {
      const int64_t start = y * grid.width;
      nearest_others_in_row(classes + start, squared.data() + start, grid.width, beyond, envelope,
                            distance + start, nearest_other + start);
    }
  }
}

template void nearest_others<uint8_t>(const uint8_t*, const Grid&, int64_t, float*, uint8_t*);
template void nearest_others<uint16_t>(const uint16_t*, const Grid&, int64_t, float*, uint16_t*);
template void nearest_others<uint32_t>(const uint32_t*, const Grid&, int64_t, float*, uint32_t*);

}  // namespace hdseg
