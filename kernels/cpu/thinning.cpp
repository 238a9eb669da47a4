#include "cpu/thinning.h"

#include <algorithm>
#include <utility>

namespace hdseg {

std::vector<Element> read_elements(const int8_t* cells, int64_t count, int64_t size) {
  const int64_t r = size / 2;
  std::vector<Element> elements(static_cast<size_t>(count));
  for (Element& element : elements) {
    for (int64_t y = -r; y <= r; ++y) {
      for (int64_t x = -r; x <= r; ++x, ++cells) {
        if (*cells != 0) {
          element.push_back({static_cast<int8_t>(y), static_cast<int8_t>(x), *cells > 0});
        }
      }
    }
    // Nearest cells first: they decide most words (see hit_or_miss.h).
    std::stable_sort(element.begin(), element.end(), [](const Cell& a, const Cell& b) {
      return a.dy * a.dy + a.dx * a.dx < b.dy * b.dy + b.dx * b.dx;
    });
  }
  return elements;
}

void thin(BitPlane& plane, const std::vector<Element>& elements, int64_t passes) {
  BitPlane next = plane;
  bool changed = true;
  // Below about 2 Mpx an element takes less time than waking and awaiting the other threads.
  const bool large = plane.height() * plane.words() >= (int64_t{1} << 15);
  for (int64_t pass = 0; pass < passes && changed; ++pass) {
    changed = false;
    for (const Element& element : elements) {
      const BitPlane& now = plane;
      bool touched = false;
#pragma omp parallel for schedule(static) reduction(|| : touched) if (large)
      for (int64_t y = 0; y < now.height(); ++y) {
        const auto rows = [&now, y](int dy) { return now.row(y + dy); };
        uint64_t* out = next.row(y);
        uint64_t match = 0, removed = 0;
        for (int64_t w = 0; w < now.words(); ++w) {
          removed |= match;
          match = hit_or_miss(rows, w, element.data(), static_cast<int>(element.size()));
          out[w] = now.row(y)[w] & ~match;
        }
        removed |= match & now.pixels_of_last_word();  // padding may match for ever
        next.repeat_edges(y);
        touched = touched || removed != 0;
      }
      std::swap(plane, next);
      changed = changed || touched;
    }
  }
}

void thin_mask(const bool* mask, int64_t height, int64_t width,
               const std::vector<Element>& elements, int64_t passes, bool* thinned) {
  BitPlane plane(height, width);
#pragma omp parallel for schedule(static)
  for (int64_t y = 0; y < height; ++y) {
    pack_row(plane, y, [row = mask + y * width](int64_t x) { return row[x]; });
  }
  thin(plane, elements, passes);
#pragma omp parallel for schedule(static)
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) thinned[y * width + x] = plane.pixel(y, x);
  }
}

namespace {

struct Box {
  int64_t top, bottom, left, right;  // inclusive

  // Room for one row or column of other classes on each side that is not the picture's frame:
  // thinning inside this box then equals thinning the whole picture, because the repeated border
  // is what lies outside, and pixels are only ever removed.
  Box with_margin(int64_t height, int64_t width) const {
    return {std::max<int64_t>(top - 1, 0), std::min(bottom + 1, height - 1),
            std::max<int64_t>(left - 1, 0), std::min(right + 1, width - 1)};
  }
};

std::vector<Box> bounding_boxes(const int32_t* classes, int64_t height, int64_t width,
                                int32_t class_count) {
  std::vector<Box> boxes(static_cast<size_t>(class_count), Box{height, -1, width, -1});
  for (int64_t y = 0; y < height; ++y) {
    const int32_t* row = classes + y * width;
    for (int64_t x = 0; x < width;) {
      const int64_t start = x;
      while (x < width && row[x] == row[start]) ++x;
      Box& box = boxes[static_cast<size_t>(row[start])];
      box.top = std::min(box.top, y);
      box.bottom = y;
      box.left = std::min(box.left, start);
      box.right = std::max(box.right, x - 1);
    }
  }
  return boxes;
}

}  // namespace

void thin_classes(const int32_t* classes, int64_t height, int64_t width, int32_t class_count,
                  const std::vector<Element>& elements, int64_t passes, int32_t* seeds) {
  std::fill(seeds, seeds + height * width, 0);
  const std::vector<Box> boxes = bounding_boxes(classes, height, width, class_count);
  for (int32_t k = 0; k < class_count; ++k) {
    if (boxes[static_cast<size_t>(k)].bottom < 0) continue;  // no pixel has this class
    const Box box = boxes[static_cast<size_t>(k)].with_margin(height, width);
    BitPlane plane(box.bottom - box.top + 1, box.right - box.left + 1);
    const int64_t corner = box.top * width + box.left;
#pragma omp parallel for schedule(static)
    for (int64_t y = 0; y < plane.height(); ++y) {
      const int32_t* row = classes + corner + y * width;
      pack_row(plane, y, [row, k](int64_t x) { return row[x] == k; });
    }
    thin(plane, elements, passes);
#pragma omp parallel for schedule(static)
    for (int64_t y = 0; y < plane.height(); ++y) {
      int32_t* row = seeds + corner + y * width;
      for (int64_t x = 0; x < plane.width(); ++x) {
        if (plane.pixel(y, x)) row[x] = k + 1;
      }
    }
  }
}

}  // namespace hdseg
