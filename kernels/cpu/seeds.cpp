#include "cpu/seeds.h"

#include <algorithm>
#include <cstring>
#include <mutex>

#include "common/bits.h"
#include "cpu/thinning.h"

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

  // Room for one row or column of other classes on each side that is not the picture's frame:
  // thinning inside this box then equals thinning the whole picture, because the repeated border
  // is what lies outside, and pixels are only ever removed. Whole words, so that the words of all
  // boxes are those of the picture.
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

template <class T>
class Picture {
 public:
  Picture(const T* classes, int64_t height, int64_t width)
      : classes_(classes), height_(height), width_(width), words_((width + 63) / 64) {}

  // Labels every pixel with its class + 1 and returns where the classes are.
  std::vector<Box> label(int64_t class_count, T* seeds) const;

  // The planes of these classes, inside their boxes.
  std::vector<ThinPlane> planes(const std::vector<T>& members, const std::vector<Box>& boxes) const;

  // Sets to 0 what the classes have lost.
  void clear_removed(const std::vector<T>& members, const std::vector<Box>& boxes,
                     const std::vector<ThinPlane>& planes, T* seeds) const;

 private:
  Chunk<T> chunk(int64_t y, int64_t w) const {
    return {classes_ + y * width_ + 64 * w, std::min<int64_t>(64, width_ - 64 * w)};
  }
  int threads() const { return threads_for((height_ * words_) / (8 * kTileRows)); }

  const T* classes_;
  int64_t height_, width_, words_;
};

template <class T>
std::vector<Box> Picture<T>::label(int64_t class_count, T* seeds) const {
  const std::vector<Box> none(static_cast<size_t>(class_count), Box{height_, -1, width_, -1});
  std::vector<Box> boxes = none;
  std::mutex adding;
#pragma omp parallel num_threads(threads())
  {
    std::vector<Box> found = none;
#pragma omp for schedule(static)
    for (int64_t y = 0; y < height_; ++y) {
      for (int64_t w = 0; w < words_; ++w) {
        const Chunk<T> c = chunk(y, w);
        T* labels = seeds + y * width_ + 64 * w;
        for (int64_t i = 0; i < c.count; ++i) labels[i] = static_cast<T>(c.pixels[i] + 1);
        if (c.uniform()) {
          found[c.pixels[0]].add(y, 64 * w, 64 * w + c.count - 1);
          continue;
        }
        for (int64_t i = 0; i < c.count;) {
          const int64_t start = i;
          while (i < c.count && c.pixels[i] == c.pixels[start]) ++i;
          found[c.pixels[start]].add(y, 64 * w + start, 64 * w + i - 1);
        }
      }
    }
    const std::lock_guard<std::mutex> alone(adding);
    for (size_t k = 0; k < boxes.size(); ++k) boxes[k].add(found[k]);
  }
  return boxes;
}

template <class T>
std::vector<ThinPlane> Picture<T>::planes(const std::vector<T>& members,
                                          const std::vector<Box>& boxes) const {
  std::vector<ThinPlane> planes;
  std::vector<int64_t> place(boxes.size(), -1);  // of a class among the members
  for (const T k : members) {
    const Box& box = boxes[k];
    place[k] = static_cast<int64_t>(planes.size());
    planes.emplace_back(box.bottom - box.top + 1, box.right - box.left + 1);
  }
  const auto set = [&](T k, int64_t y, int64_t w, uint64_t word) {
    if (place[k] < 0) return;
    const Box& box = boxes[k];
    planes[static_cast<size_t>(place[k])].plane.column(w - box.left / 64)[y - box.top] = word;
  };
  // Eight rows at a time: their words share a cache line.
#pragma omp parallel for schedule(static) num_threads(threads())
  for (int64_t top = 0; top < height_; top += 8) {
    for (int64_t w = 0; w < words_; ++w) {
      for (int64_t y = top; y < std::min(top + 8, height_); ++y) {
        const Chunk<T> c = chunk(y, w);
        if (c.uniform()) {
          set(c.pixels[0], y, w, ~uint64_t{0});
          continue;
        }
        uint64_t rest = ~uint64_t{0} >> (64 - c.count);
        for (int64_t i = 0; rest != 0; ++i) {
          if ((rest >> i & 1) == 0) continue;
          const uint64_t word = c.word_of(c.pixels[i]);
          set(c.pixels[i], y, w, word);
          rest &= ~word;
        }
      }
    }
  }
  return planes;
}

template <class T>
void Picture<T>::clear_removed(const std::vector<T>& members, const std::vector<Box>& boxes,
                               const std::vector<ThinPlane>& planes, T* seeds) const {
  // Row by row of tiles, not plane by plane: pixels of several planes share a cache line.
#pragma omp parallel for schedule(dynamic) num_threads(threads())
  for (int64_t top = 0; top < height_; top += kTileRows) {
    for (size_t p = 0; p < planes.size(); ++p) {
      const T k = members[p];
      const Box& box = boxes[k];
      const int64_t first = std::max(top, box.top);
      const int64_t last = std::min({top + kTileRows - 1, box.bottom, height_ - 1});
      for (int64_t w = 0; w < (first <= last ? planes[p].plane.words() : 0); ++w) {
        for (int64_t y = first; y <= last; ++y) {
          if (!planes[p].ever_changed(w, (y - box.top) / kTileRows)) continue;
          const uint64_t kept = planes[p].plane.column(w)[y - box.top];
          const Chunk<T> c = chunk(y, w + box.left / 64);
          T* labels = seeds + (c.pixels - classes_);
          uint64_t keep[8];
          for (int i = 0; i < 8; ++i) keep[i] = spread(kept >> 8 * i);
          const uint8_t* keeps = reinterpret_cast<const uint8_t*>(keep);
          for (int64_t i = 0; i < c.count; ++i) {
            labels[i] = c.pixels[i] == k && keeps[i] == 0 ? T{0} : labels[i];
          }
        }
      }
    }
  }
}

}  // namespace

template <class T>
void thin_classes(const T* classes, int64_t height, int64_t width, int64_t class_count,
                  const ElementSet& set, int64_t passes, T* seeds) {
  const Picture<T> picture(classes, height, width);
  std::vector<Box> boxes = picture.label(class_count, seeds);
  // Classes whose boxes do not overlap cost one plane together. Where they do, batches bound the
  // memory, at the price of reading the picture again.
  constexpr int64_t kPlanesAtOnce = 16;
  const int64_t limit = kPlanesAtOnce * BitPlane::bytes(height, width);
  for (int64_t k = 0; k < class_count;) {
    std::vector<T> members;
    int64_t bytes = 0;
    for (; k < class_count; ++k) {
      Box& box = boxes[static_cast<size_t>(k)];
      if (box.bottom < 0) continue;  // no pixel has this class
      const Box wider = box.with_margin(height, width);
      bytes += BitPlane::bytes(wider.bottom - wider.top + 1, wider.right - wider.left + 1);
      if (bytes > limit && !members.empty()) break;
      box = wider;
      members.push_back(static_cast<T>(k));
    }
    std::vector<ThinPlane> planes = picture.planes(members, boxes);
    thin(planes, set, passes);
    picture.clear_removed(members, boxes, planes, seeds);
  }
}

template void thin_classes<uint8_t>(const uint8_t*, int64_t, int64_t, int64_t, const ElementSet&,
                                    int64_t, uint8_t*);
template void thin_classes<uint16_t>(const uint16_t*, int64_t, int64_t, int64_t, const ElementSet&,
                                     int64_t, uint16_t*);

}  // namespace hdseg
