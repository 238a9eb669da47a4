#include "cpu/seeds.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "common/bits.h"
#include "cpu/thinning.h"
#include "cpu/union_find.h"

namespace hdseg {
namespace {

struct Box {
  int64_t top, bottom, left, right;  // inclusive

  void add(int64_t y, int64_t first, int64_t last) {
    top = std::min(top, y);
    bottom = std::max(bottom, y);
    left = std::min(left, first);
    right = std::max(right, last);
  }

  void add(const Box& other) {
    if (other.bottom < 0) return;
    add(other.top, other.left, other.right);
    add(other.bottom, other.left, other.right);
  }

  // Adds one row or column of other classes on each side that is not the image's border. Thinning
  // inside this box equals thinning the whole image: the repeated border is what lies outside, and
  // pixels are only removed. Boxes are aligned to words of the image.
  Box with_margin(int64_t height, int64_t width) const {
    return {std::max<int64_t>(top - 1, 0), std::min(bottom + 1, height - 1),
            std::max<int64_t>(left - 1, 0) / 64 * 64,
            std::min((right + 1) / 64 * 64 + 63, width - 1)};
  }
};

// Up to 64 pixels of a row.
template <class T>
struct Chunk {
  const T* pixels;
  int64_t count;

  bool uniform() const {
    T differing = 0;
    for (int64_t i = 1; i < count; ++i) {
      differing = static_cast<T>(differing | (pixels[i] ^ pixels[0]));
    }
    return differing == 0;
  }

  uint64_t word_of(T value) const {
    uint8_t equal[64] = {};
    for (int64_t i = 0; i < count; ++i) equal[i] = pixels[i] == value;
    uint64_t word = 0;
    for (int i = 0; i < 64; i += 8) {
      uint64_t eight;
      std::memcpy(&eight, equal + i, 8);
      word |= gathered(eight) << i;
    }
    return word;
  }
};

// The part of a class in a tile of the bit planes.
template <class T>
struct Piece {
  T k;
  Box box;
};

// Pieces of a class in adjoining tiles, also diagonally, form a cluster. Elements are smaller than
// a tile, so clusters are thinned independently: the cost of a scattered class depends on its
// pixels, not on its extent.
template <class T>
class Picture {
 public:
  Picture(const T* classes, int64_t height, int64_t width)
      : classes_(classes),
        height_(height),
        width_(width),
        words_((width + 63) / 64),
        tile_rows_((height + kTileRows - 1) / kTileRows) {}

  // Sets all seeds to class + 1, and finds the clusters; returns their boxes.
  std::vector<Box> label(int64_t class_count, T* seeds);

  // Makes the planes of clusters first .. end - 1, inside their boxes.
  std::vector<ThinPlane> planes(const std::vector<Box>& boxes, int64_t first, int64_t end) const;

  // Sets the pixels that these clusters have lost to 0.
  void clear_removed(const std::vector<Box>& boxes, int64_t first,
                     const std::vector<ThinPlane>& planes, T* seeds) const;

 private:
  Chunk<T> chunk(int64_t y, int64_t w) const {
    return {classes_ + y * width_ + 64 * w, std::min<int64_t>(64, width_ - 64 * w)};
  }
  int threads() const { return threads_for((height_ * words_) / (8 * kTileRows)); }
  void label_tile(int64_t tile, std::vector<int32_t>& place, std::vector<Piece<T>>& found,
                  T* seeds) const;
  void join(int64_t tile, int64_t other, UnionFind& sets) const;
  std::vector<Box> cluster();

  // The piece of a class in a tile.
  size_t piece(int64_t tile, T k) const {
    const auto first = pieces_.begin() + start_[static_cast<size_t>(tile)];
    const auto end = pieces_.begin() + start_[static_cast<size_t>(tile) + 1];
    const auto found = std::lower_bound(
        first, end, k, [](const Piece<T>& piece, T label) { return piece.k < label; });
    return static_cast<size_t>(found - pieces_.begin());
  }

  // Calls use(tile) for tiles with a piece of the clusters first .. end - 1.
  template <class Use>
  void each_tile(int64_t first, int64_t end, Use use) const {
#pragma omp parallel for schedule(dynamic, 16) num_threads(threads())
    for (int64_t tile = 0; tile < tile_rows_ * words_; ++tile) {
      bool has = false;
      for (int64_t i = start_[static_cast<size_t>(tile)]; i < start_[static_cast<size_t>(tile) + 1];
           ++i) {
        const int64_t c = cluster_[static_cast<size_t>(i)];
        has |= first <= c && c < end;
      }
      if (has) use(tile);
    }
  }

  const T* classes_;
  int64_t height_, width_, words_, tile_rows_;
  std::vector<int64_t> start_;    // (tiles + 1) the first piece of each tile
  std::vector<Piece<T>> pieces_;  // ascending by class within a tile
  std::vector<int32_t> cluster_;  // of each piece
};

template <class T>
void Picture<T>::label_tile(int64_t tile, std::vector<int32_t>& place, std::vector<Piece<T>>& found,
                            T* seeds) const {
  const int64_t top = tile / words_ * kTileRows, w = tile % words_;
  const auto before = static_cast<int32_t>(found.size());
  const auto add = [&](T k, int64_t y, int64_t first, int64_t last) {
    int32_t& at = place[k];
    if (at < before || at >= static_cast<int32_t>(found.size()) ||
        found[static_cast<size_t>(at)].k != k) {
      at = static_cast<int32_t>(found.size());
      found.push_back({k, {height_, -1, width_, -1}});
    }
    found[static_cast<size_t>(at)].box.add(y, first, last);
  };
  for (int64_t y = top; y < std::min(top + kTileRows, height_); ++y) {
    const Chunk<T> c = chunk(y, w);
    T* labels = seeds + y * width_ + 64 * w;
    for (int64_t i = 0; i < c.count; ++i) labels[i] = static_cast<T>(c.pixels[i] + 1);
    if (c.uniform()) {
      add(c.pixels[0], y, 64 * w, 64 * w + c.count - 1);
      continue;
    }
    for (int64_t i = 0; i < c.count;) {
      const int64_t start = i;
      while (i < c.count && c.pixels[i] == c.pixels[start]) ++i;
      add(c.pixels[start], y, 64 * w + start, 64 * w + i - 1);
    }
  }
  std::sort(found.begin() + before, found.end(),
            [](const Piece<T>& a, const Piece<T>& b) { return a.k < b.k; });
}

template <class T>
std::vector<Box> Picture<T>::label(int64_t class_count, T* seeds) {
  std::vector<std::vector<Piece<T>>> found(static_cast<size_t>(tile_rows_));
  std::vector<int64_t> sizes(static_cast<size_t>(tile_rows_ * words_));
#pragma omp parallel num_threads(threads())
  {
    std::vector<int32_t> place(static_cast<size_t>(class_count), -1);
#pragma omp for schedule(dynamic)
    for (int64_t row = 0; row < tile_rows_; ++row) {
      std::vector<Piece<T>>& pieces = found[static_cast<size_t>(row)];
      for (int64_t w = 0; w < words_; ++w) {
        const size_t before = pieces.size();
        label_tile(row * words_ + w, place, pieces, seeds);
        sizes[static_cast<size_t>(row * words_ + w)] = static_cast<int64_t>(pieces.size() - before);
      }
    }
  }
  start_.assign(1, 0);
  for (const int64_t size : sizes) start_.push_back(start_.back() + size);
  pieces_.reserve(static_cast<size_t>(start_.back()));
  for (const auto& pieces : found) pieces_.insert(pieces_.end(), pieces.begin(), pieces.end());
  return cluster();
}

// Links the pieces of the same classes in two tiles.
template <class T>
void Picture<T>::join(int64_t tile, int64_t other, UnionFind& sets) const {
  int64_t i = start_[static_cast<size_t>(tile)], j = start_[static_cast<size_t>(other)];
  while (i < start_[static_cast<size_t>(tile) + 1] && j < start_[static_cast<size_t>(other) + 1]) {
    const T a = pieces_[static_cast<size_t>(i)].k, b = pieces_[static_cast<size_t>(j)].k;
    if (a == b) sets.unite(static_cast<int32_t>(i), static_cast<int32_t>(j));
    i += a <= b;
    j += b <= a;
  }
}

template <class T>
std::vector<Box> Picture<T>::cluster() {
  UnionFind sets(pieces_.size());
  for (int64_t tile = 0; tile < tile_rows_ * words_; ++tile) {
    const int64_t w = tile % words_;
    if (w + 1 < words_) join(tile, tile + 1, sets);
    if (tile / words_ + 1 == tile_rows_) continue;
    for (int64_t v = std::max<int64_t>(w - 1, 0); v <= std::min(w + 1, words_ - 1); ++v) {
      join(tile, tile + words_ + v - w, sets);
    }
  }
  std::vector<Box> boxes;
  cluster_.resize(pieces_.size());
  for (size_t i = 0; i < sets.size(); ++i) {
    const auto first = static_cast<size_t>(sets.root(static_cast<int32_t>(i)));
    if (first == i) {
      cluster_[i] = static_cast<int32_t>(boxes.size());
      boxes.push_back(pieces_[i].box);
    } else {
      cluster_[i] = cluster_[first];
      boxes[static_cast<size_t>(cluster_[i])].add(pieces_[i].box);
    }
  }
  for (Box& box : boxes) box = box.with_margin(height_, width_);
  return boxes;
}

template <class T>
std::vector<ThinPlane> Picture<T>::planes(const std::vector<Box>& boxes, int64_t first,
                                          int64_t end) const {
  std::vector<ThinPlane> planes;
  planes.reserve(static_cast<size_t>(end - first));
  for (int64_t c = first; c < end; ++c) {
    const Box& box = boxes[static_cast<size_t>(c)];
    planes.emplace_back(box.bottom - box.top + 1, box.right - box.left + 1);
  }
  each_tile(first, end, [&](int64_t tile) {
    const int64_t top = tile / words_ * kTileRows, w = tile % words_;
    T known = 0;
    size_t found = pieces_.size();
    const auto set = [&](T k, int64_t y, uint64_t word) {
      if (found == pieces_.size() || k != known) found = piece(tile, k);
      known = k;
      const int64_t c = cluster_[found];
      if (c < first || c >= end) return;
      const Box& box = boxes[static_cast<size_t>(c)];
      planes[static_cast<size_t>(c - first)].plane.column(w - box.left / 64)[y - box.top] = word;
    };
    for (int64_t y = top; y < std::min(top + kTileRows, height_); ++y) {
      const Chunk<T> c = chunk(y, w);
      if (c.uniform()) {
        set(c.pixels[0], y, ~uint64_t{0});
        continue;
      }
      uint64_t rest = ~uint64_t{0} >> (64 - c.count);
      while (rest != 0) {
        const T k = c.pixels[__builtin_ctzll(rest)];
        const uint64_t word = c.word_of(k);
        set(k, y, word);
        rest &= ~word;
      }
    }
  });
  return planes;
}

template <class T>
void Picture<T>::clear_removed(const std::vector<Box>& boxes, int64_t first,
                               const std::vector<ThinPlane>& planes, T* seeds) const {
  const int64_t end = first + static_cast<int64_t>(planes.size());
  each_tile(first, end, [&](int64_t tile) {
    const int64_t w = tile % words_;
    for (int64_t i = start_[static_cast<size_t>(tile)]; i < start_[static_cast<size_t>(tile) + 1];
         ++i) {
      const int64_t c = cluster_[static_cast<size_t>(i)];
      if (c < first || c >= end) continue;
      const Piece<T>& piece = pieces_[static_cast<size_t>(i)];
      const Box& box = boxes[static_cast<size_t>(c)];
      const ThinPlane& thinned = planes[static_cast<size_t>(c - first)];
      const int64_t column = w - box.left / 64;
      for (int64_t y = piece.box.top; y <= piece.box.bottom; ++y) {
        if (!thinned.ever_changed(column, (y - box.top) / kTileRows)) continue;
        const uint64_t kept = thinned.plane.column(column)[y - box.top];
        const Chunk<T> own = chunk(y, w);
        T* labels = seeds + (own.pixels - classes_);
        uint64_t keep[8];
        for (int b = 0; b < 8; ++b) keep[b] = spread(kept >> 8 * b);
        const uint8_t* keeps = reinterpret_cast<const uint8_t*>(keep);
        for (int64_t x = 0; x < own.count; ++x) {
          labels[x] = own.pixels[x] == piece.k && keeps[x] == 0 ? T{0} : labels[x];
        }
      }
    }
  });
}

}  // namespace

template <class T>
void thin_classes(const T* classes, int64_t height, int64_t width, int64_t class_count,
                  const ElementSet& set, int64_t passes, T* seeds) {
  Picture<T> picture(classes, height, width);
  const std::vector<Box> boxes = picture.label(class_count, seeds);
  // Clusters with disjoint boxes take the memory of one plane together. If boxes overlap, batches
  // bound the memory, but parts of the image are read again.
  constexpr int64_t kPlanesAtOnce = 16;
  const int64_t limit = kPlanesAtOnce * BitPlane::bytes(height, width);
  const auto count = static_cast<int64_t>(boxes.size());
  for (int64_t first = 0, end = 0; first < count; first = end) {
    for (int64_t bytes = 0; end < count; ++end) {
      const Box& box = boxes[static_cast<size_t>(end)];
      bytes += BitPlane::bytes(box.bottom - box.top + 1, box.right - box.left + 1);
      if (bytes > limit && end > first) break;
    }
    std::vector<ThinPlane> planes = picture.planes(boxes, first, end);
    thin(planes, set, passes);
    picture.clear_removed(boxes, first, planes, seeds);
  }
}

template void thin_classes<uint8_t>(const uint8_t*, int64_t, int64_t, int64_t, const ElementSet&,
                                    int64_t, uint8_t*);
template void thin_classes<uint16_t>(const uint16_t*, int64_t, int64_t, int64_t, const ElementSet&,
                                     int64_t, uint16_t*);
template void thin_classes<uint32_t>(const uint32_t*, int64_t, int64_t, int64_t, const ElementSet&,
                                     int64_t, uint32_t*);

}  // namespace hdseg
