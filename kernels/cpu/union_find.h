// Sequential union-find, for the runs of a band and the pieces of a class.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

namespace hdseg {

// The root of a set is its smallest element.
class UnionFind {
 public:
  explicit UnionFind(size_t count) : parent_(count) {
    std::iota(parent_.begin(), parent_.end(), 0);
  }

  size_t size() const { return parent_.size(); }

  int32_t root(int32_t i) {
    while (parent_[static_cast<size_t>(i)] != i) {
      int32_t& up = parent_[static_cast<size_t>(i)];
      up = parent_[static_cast<size_t>(up)];  // path halving
      i = up;
    }
    return i;
  }

  void unite(int32_t i, int32_t j) {
    const int32_t a = root(i), b = root(j);
    parent_[static_cast<size_t>(std::max(a, b))] = std::min(a, b);
  }

 private:
  std::vector<int32_t> parent_;
};

}  // namespace hdseg
