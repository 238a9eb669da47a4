#include "cpu/majority.h"

#include <algorithm>
#include <vector>

namespace hdseg {
namespace {

// The counts of labels in a window, with a list of the few labels that occur.
template <class T>
class Votes {
 public:
  Votes() : count_(static_cast<size_t>(kValues<T>)) {}

  // Whether all `pixels` pixels of the window have the label, which must not be a wall.
  bool only(T label, int64_t pixels) const { return count_[label] == pixels; }

  void add(T label) {
    if (label == kWall<T>) return;
    if (count_[label]++ == 0) present_.push_back(label);
  }

  void remove(T label) {
    if (label == kWall<T> || --count_[label] > 0) return;
    *std::find(present_.begin(), present_.end(), label) = present_.back();
    present_.pop_back();
  }

  void clear() {
    for (const T label : present_) count_[label] = 0;
    present_.clear();
  }

  T winner(T own) const {
    T best = own;
    for (const T label : present_) {
      const int32_t ahead = count_[label] - count_[best];
      if (ahead > 0 || (ahead == 0 && best != own && label < best)) best = label;
    }
    return best;
  }

 private:
  std::vector<int32_t> count_;
  std::vector<T> present_;
};

// The window's rows around one row of the image, read column by column.
template <class T>
struct Columns {
  std::vector<const T*> rows;
  int64_t width;

  Columns(const T* labels, const Grid& grid, int64_t y, int64_t reach) : width(grid.width) {
    for (int64_t v = y - reach; v <= y + reach; ++v) {
      rows.push_back(labels + std::clamp<int64_t>(v, 0, grid.height - 1) * width);
    }
  }

  template <class Act>
  void each(int64_t x, Act act) const {
    const int64_t inside = std::clamp<int64_t>(x, 0, width - 1);
    for (const T* row : rows) act(row[inside]);
  }

  bool all(int64_t x, T label) const {
    bool same = true;
    each(x, [&](T other) { same &= other == label; });
    return same;
  }
};

}  // namespace

template <class T>
void majority(const Band& band, const T* labels, int64_t size, T* found) {
  const int64_t reach = size / 2;
#pragma omp parallel
  {
    Votes<T> votes;
#pragma omp for schedule(dynamic, 64)
    for (int64_t r = 0; r < band.runs; ++r) {
      const int64_t y = band.pixel[r] / band.grid.width, x = band.pixel[r] % band.grid.width;
      const Columns<T> columns(labels, band.grid, y, reach);
      const auto add = [&](T label) { votes.add(label); };
      const auto remove = [&](T label) { votes.remove(label); };
      for (int64_t i = 0; i < band.length(r); ++i) {
        const int64_t entering = x + i + reach, leaving = entering - size;
        const T own = labels[band.pixel[r] + i];
        if (i == 0) {
          for (int64_t u = leaving + 1; u <= entering; ++u) columns.each(u, add);
        } else if (!votes.only(own, size * size) || !columns.all(entering, own)) {
          columns.each(entering, add);
          columns.each(leaving, remove);
        }  // else the window moves within one label, and the counts stay the same
        found[band.start[r] + i] = votes.winner(own);
      }
      votes.clear();
    }
  }
}

template void majority<uint8_t>(const Band&, const uint8_t*, int64_t, uint8_t*);
template void majority<uint16_t>(const Band&, const uint16_t*, int64_t, uint16_t*);
template void majority<uint32_t>(const Band&, const uint32_t*, int64_t, uint32_t*);

}  // namespace hdseg
