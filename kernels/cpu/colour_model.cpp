#include "cpu/colour_model.h"

#include <algorithm>
#include <utility>

#include "common/gaussian.h"
#include "common/smoothing.h"

namespace hdseg {
namespace {

constexpr int64_t kFewEntries = 1 << 14;  // below this, waking other threads takes longer

// Rows top .. bottom - 1 and columns left .. right - 1 of the grid of windows.
struct Extent {
  int64_t top, left, bottom, right;

  int64_t height() const { return bottom - top; }
  int64_t width() const { return right - left; }
  int64_t area() const { return height() * width(); }
  bool empty() const { return bottom <= top || right <= left; }
  bool many() const { return area() > kFewEntries; }

  void add(int64_t y, int64_t x) {
    top = std::min(top, y);
    left = std::min(left, x);
    bottom = std::max(bottom, y + 1);
    right = std::max(right, x + 1);
  }

  Extent grown(int64_t rows, int64_t columns) const {
    return {top - rows, left - columns, bottom + rows, right + columns};
  }

  Extent common(const Extent& other) const {
    return {std::max(top, other.top), std::max(left, other.left), std::min(bottom, other.bottom),
            std::min(right, other.right)};
  }
};

constexpr Extent kNothing{INT64_MAX, INT64_MAX, INT64_MIN, INT64_MIN};

// The range of colour windows, first .. last, that pixels of each row or column of cells use.
struct WindowRange {
  std::vector<int64_t> first, last;

  WindowRange(int64_t cells, int64_t cell, int64_t group)
      : first(static_cast<size_t>(cells)), last(first) {
    const int64_t half = (cell + 1) / 2, size = cell * group;
    const int64_t windows = (cells - 1) / group + 1;
    for (int64_t c = 0; c < cells; ++c) {
      const auto i = static_cast<size_t>(c);
      first[i] = between_centres(std::max<int64_t>(c * cell - half, 0), size, windows).first;
      const Between end = between_centres((c + 1) * cell - 1 + half, size, windows);
      last[i] = end.weight > 0.0f ? end.second : end.first;
    }
  }

  // The cells begin .. end - 1 whose pixels use a window.
  std::pair<int64_t, int64_t> cells_of(int64_t window) const {
    const auto begin = std::lower_bound(last.begin(), last.end(), window) - last.begin();
    const auto end = std::upper_bound(first.begin(), first.end(), window) - first.begin();
    return {begin, end};
  }
};

}  // namespace

template <class T>
Nearby<T> nearby_classes(const T* maps, int64_t map_count, const Grid& cells, int64_t class_count,
                         int64_t cell, int64_t group) {
  const Grid grid = cells_of(cells, group);
  const WindowRange rows(cells.height, cell, group), columns(cells.width, cell, group);
  const int64_t plane = cells.height * cells.width;
  std::vector<std::vector<T>> found(static_cast<size_t>(grid.height));
  Nearby<T> nearby;
  nearby.start.resize(static_cast<size_t>(grid.height * grid.width) + 1);
#pragma omp parallel if (plane > kFewEntries)
  {
    std::vector<int64_t> seen(static_cast<size_t>(class_count),
                              -1);  // the last window with a class
#pragma omp for schedule(dynamic)
    for (int64_t y = 0; y < grid.height; ++y) {
      std::vector<T>& list = found[static_cast<size_t>(y)];
      const auto [top, bottom] = rows.cells_of(y);
      for (int64_t x = 0; x < grid.width; ++x) {
        const int64_t window = y * grid.width + x;
        const auto [left, right] = columns.cells_of(x);
        const auto before = static_cast<int64_t>(list.size());
        for (int64_t m = 0; m < map_count; ++m) {
          for (int64_t i = top; i < bottom; ++i) {
            const T* row = maps + m * plane + i * cells.width;
            for (int64_t j = left; j < right; ++j) {
              int64_t& last = seen[row[j]];
              if (last == window) continue;
              last = window;
              list.push_back(row[j]);
            }
          }
        }
        std::sort(list.begin() + before, list.end());
        nearby.start[static_cast<size_t>(window) + 1] = static_cast<int64_t>(list.size()) - before;
      }
    }
  }
  for (size_t w = 1; w < nearby.start.size(); ++w) nearby.start[w] += nearby.start[w - 1];
  nearby.label.reserve(static_cast<size_t>(nearby.start.back()));
  for (const std::vector<T>& list : found) {
    nearby.label.insert(nearby.label.end(), list.begin(), list.end());
  }
  return nearby;
}

namespace {

// The items of all windows, sorted by class and then by window: those of class k are
// [start[k], start[k + 1]).
struct OfClasses {
  std::vector<int64_t> start;
  std::vector<int64_t> window;
  std::vector<int64_t> item;

  // begin: (windows + 1) the first item of each window; label: the class of each item.
  template <class T>
  OfClasses(const int64_t* begin, int64_t windows, const T* label, int64_t class_count)
      : start(static_cast<size_t>(class_count) + 1),
        window(static_cast<size_t>(begin[windows])),
        item(window.size()) {
    for (int64_t i = 0; i < begin[windows]; ++i) ++start[static_cast<size_t>(label[i]) + 1];
    for (size_t k = 1; k < start.size(); ++k) start[k] += start[k - 1];
    std::vector<int64_t> next(start.begin(), start.end() - 1);
    for (int64_t w = 0; w < windows; ++w) {
      for (int64_t i = begin[w]; i < begin[w + 1]; ++i) {
        const auto to = static_cast<size_t>(next[label[i]]++);
        window[to] = w;
        item[to] = i;
      }
    }
  }
};

// The moments of each class in each window that contains it.
template <class T>
struct WindowSums {
  std::vector<int64_t> start;  // (windows + 1)
  std::vector<T> label;
  std::vector<float> values;  // (entries, moments)

  WindowSums(const float* moments, int64_t count, const T* own, const float* weight,
             const Grid& cells, int64_t class_count, int64_t group, float share)
      : start(1) {
    const Grid grid = cells_of(cells, group);
    struct Row {
      std::vector<int64_t> sizes;
      std::vector<T> label;
      std::vector<float> values;
    };
    std::vector<Row> rows(static_cast<size_t>(grid.height));
#pragma omp parallel if (cells.height * cells.width > kFewEntries)
    {
      // The position of each class's sums; only valid if they belong to the current window.
      std::vector<int64_t> place(static_cast<size_t>(class_count), -1);
#pragma omp for schedule(static)
      for (int64_t y = 0; y < grid.height; ++y) {
        Row& row = rows[static_cast<size_t>(y)];
        for (int64_t x = 0; x < grid.width; ++x) {
          const auto before = static_cast<int64_t>(row.label.size());
          const int64_t bottom = std::min((y + 1) * group, cells.height);
          const int64_t right = std::min((x + 1) * group, cells.width);
          for (int64_t i = y * group; i < bottom; ++i) {
            for (int64_t j = x * group; j < right; ++j) {
              const int64_t cell = i * cells.width + j;
              if (!(weight[cell] > 0.0f)) continue;
              int64_t& at = place[own[cell]];
              if (at < before || at >= static_cast<int64_t>(row.label.size()) ||
                  row.label[static_cast<size_t>(at)] != own[cell]) {
                at = static_cast<int64_t>(row.label.size());
                row.label.push_back(own[cell]);
                row.values.resize(row.values.size() + static_cast<size_t>(count));
              }
              const float counts = weight[cell] * share;
              const float* from = moments + cell * count;
              float* to = row.values.data() + at * count;
              for (int64_t q = 0; q < count; ++q) to[q] += counts * from[q];
            }
          }
          row.sizes.push_back(static_cast<int64_t>(row.label.size()) - before);
        }
      }
    }
    for (const Row& row : rows) {
      for (const int64_t size : row.sizes) start.push_back(start.back() + size);
      label.insert(label.end(), row.label.begin(), row.label.end());
      values.insert(values.end(), row.values.begin(), row.values.end());
    }
  }
};

// Box filters over a field of windows, padded with zeros.
class Smoother {
 public:
  void start(const Extent& field, int64_t count, int64_t radius) {
    field_ = field;
    count_ = count;
    radius_ = radius;
    stride_ = (field.width() + 2 * radius) * count;
    values_.assign(static_cast<size_t>((field.height() + 2 * radius) * stride_), 0.0f);
    other_.assign(values_.size(), 0.0f);
  }

  void set(int64_t y, int64_t x, const float* moments) {
    std::copy_n(moments, count_, values_.data() + at(y, x));
  }

  // Smooths the `wanted` windows; only `filled` ones are not 0. Along columns and rows in turn:
  // with each pass the filled extent grows, and the extent still needed shrinks.
  void smooth(const Extent& filled, const Extent& wanted) {
    Extent now = filled;
    for (int64_t left = kBoxPasses - 1; left >= 0; --left) {
      const int64_t later = left * radius_;
      now = now.grown(0, radius_).common(wanted.grown(later + radius_, later)).common(field_);
      pass(values_, other_, now, count_);
      now = now.grown(radius_, 0).common(wanted.grown(later, later)).common(field_);
      pass(other_, values_, now, stride_);
    }
  }

  const float* entry(int64_t y, int64_t x) const { return values_.data() + at(y, x); }

 private:
  int64_t at(int64_t y, int64_t x) const {
    return (y - field_.top + radius_) * stride_ + (x - field_.left + radius_) * count_;
  }

  void pass(const std::vector<float>& in, std::vector<float>& out, const Extent& to,
            int64_t stride) const {
    if (to.empty()) return;
    const auto rows = [&](int64_t y) { row_means(in, out, to, y, stride); };
    if (to.many()) {
#pragma omp parallel for schedule(static)
      for (int64_t y = to.top; y < to.bottom; ++y) rows(y);
    } else {
      for (int64_t y = to.top; y < to.bottom; ++y) rows(y);
    }
  }

  void row_means(const std::vector<float>& in, std::vector<float>& out, const Extent& to, int64_t y,
                 int64_t stride) const {
    constexpr int kLanes = 16;
    const double share = 1.0 / static_cast<double>(2 * radius_ + 1);
    const int64_t length = to.width() * count_;
    const float* from = in.data() + at(y, to.left);
    float* found = out.data() + at(y, to.left);
    int64_t e = 0;
    for (; e + kLanes <= length; e += kLanes)
      box_means<kLanes>(from + e, radius_, radius_, stride, share, found + e);
    for (; e < length; ++e) box_means<1>(from + e, radius_, radius_, stride, share, found + e);
  }

  Extent field_{};
  int64_t count_ = 0, radius_ = 0, stride_ = 0;
  std::vector<float> values_, other_;
};

// Windows of one class close to each other, smoothed together.
struct Task {
  int64_t k;
  Extent wanted;
  std::vector<int64_t> chosen;  // of the class's items
};

// Divides the windows in which a class needs a model, until each part needs most of its extent.
void divide(const OfClasses& wanted, int64_t width, Task task, std::vector<Task>& tasks) {
  constexpr int64_t kSmall = 64, kSparse = 4;
  task.wanted = kNothing;
  for (const int64_t i : task.chosen) {
    const int64_t w = wanted.window[static_cast<size_t>(i)];
    task.wanted.add(w / width, w % width);
  }
  const Extent& all = task.wanted;
  if (all.area() <= std::max(kSmall, kSparse * static_cast<int64_t>(task.chosen.size()))) {
    tasks.push_back(std::move(task));
    return;
  }
  const bool down = all.height() >= all.width();
  const int64_t middle = down ? (all.top + all.bottom) / 2 : (all.left + all.right) / 2;
  const auto second = std::stable_partition(task.chosen.begin(), task.chosen.end(), [&](int64_t i) {
    const int64_t w = wanted.window[static_cast<size_t>(i)];
    return (down ? w / width : w % width) < middle;
  });
  Task other{task.k, {}, {second, task.chosen.end()}};
  task.chosen.erase(second, task.chosen.end());
  divide(wanted, width, std::move(task), tasks);
  divide(wanted, width, std::move(other), tasks);
}

// Computes the models of tasks; keeps its buffers between them.
template <class T>
class Modeller {
 public:
  Modeller(const WindowSums<T>& sums, const OfClasses& of_sums, const OfClasses& wanted,
           const Grid& grid, int64_t channels, const Estimation& how, float* coefficients)
      : sums_(sums),
        of_sums_(of_sums),
        wanted_(wanted),
        grid_(grid),
        channels_(channels),
        count_(moment_count(channels)),
        how_(how),
        coefficients_(coefficients) {}

  void take(const Task& task) {
    const auto size = static_cast<int64_t>(task.chosen.size());
    mean_.resize(static_cast<size_t>(size * count_));
    for (int64_t i = 0; i < size * count_; ++i)
      mean_[static_cast<size_t>(i)] = standard_moment(i % count_, channels_);
    for (int64_t l = how_.levels - 1; l >= 0; --l) {
      smooth(task, how_.radius[l]);
      const double prior = l == how_.levels - 1 ? how_.start : how_.prior;
      each(task, [&](int64_t i, int64_t item) {
        const int64_t w = wanted_.window[static_cast<size_t>(item)];
        const float* found = smoother_.entry(w / grid_.width, w % grid_.width);
        double* m = mean_.data() + i * count_;
        for (int64_t q = 0; q < count_; ++q) m[q] = shrunken(found[q], *found, prior, m[q]);
      });
    }
    each(task, [&](int64_t i, int64_t item) {
      float* to = coefficients_ + wanted_.item[static_cast<size_t>(item)] * count_;
      gaussian<kMostChannels>(mean_.data() + i * count_, channels_, how_.ridge, to);
    });
  }

 private:
  template <class Use>
  void each(const Task& task, Use use) {
    const auto size = static_cast<int64_t>(task.chosen.size());
    const auto one = [&](int64_t i) { use(i, task.chosen[static_cast<size_t>(i)]); };
    if (size > kFewEntries / 4) {
#pragma omp parallel for schedule(static)
      for (int64_t i = 0; i < size; ++i) one(i);
    } else {
      for (int64_t i = 0; i < size; ++i) one(i);
    }
  }

  void smooth(const Task& task, int64_t radius) {
    const int64_t reach = kBoxPasses * radius;
    const Extent field = task.wanted.grown(reach, reach).common({0, 0, grid_.height, grid_.width});
    smoother_.start(field, count_, radius);
    const auto windows = of_sums_.window.begin();
    const auto k = static_cast<size_t>(task.k);
    auto next = windows + of_sums_.start[k];
    const auto end = windows + of_sums_.start[k + 1];
    Extent filled = kNothing;
    for (int64_t y = field.top; y < field.bottom; ++y) {
      const int64_t first = y * grid_.width + field.left, last = first + field.width();
      next = std::lower_bound(next, end, first);
      for (; next != end && *next < last; ++next) {
        const auto sum = of_sums_.item[static_cast<size_t>(next - windows)];
        const int64_t x = *next - y * grid_.width;
        smoother_.set(y, x, sums_.values.data() + sum * count_);
        filled.add(y, x);
      }
    }
    if (!filled.empty()) smoother_.smooth(filled, task.wanted);
  }

  const WindowSums<T>& sums_;
  const OfClasses &of_sums_, &wanted_;
  Grid grid_;
  int64_t channels_, count_;
  const Estimation& how_;
  float* coefficients_;
  Smoother smoother_;
  std::vector<double> mean_;
};

}  // namespace

template <class T>
void colour_models(const float* moments, int64_t channels, const T* own, const float* weight,
                   const Grid& cells, int64_t class_count, const int64_t* start, const T* label,
                   const Estimation& how, float* coefficients) {
  const Grid grid = cells_of(cells, how.group);
  const int64_t windows = grid.height * grid.width;
  const WindowSums<T> sums(moments, moment_count(channels), own, weight, cells, class_count,
                           how.group, static_cast<float>(1.0 / how.area));
  const OfClasses of_sums(sums.start.data(), windows, sums.label.data(), class_count);
  const OfClasses wanted(start, windows, label, class_count);
  std::vector<Task> tasks;
  for (int64_t k = 0; k < class_count; ++k) {
    const int64_t first = wanted.start[static_cast<size_t>(k)];
    const int64_t size = wanted.start[static_cast<size_t>(k) + 1] - first;
    if (size == 0) continue;
    Task task{k, {}, std::vector<int64_t>(static_cast<size_t>(size))};
    for (int64_t i = 0; i < size; ++i) task.chosen[static_cast<size_t>(i)] = first + i;
    divide(wanted, grid.width, std::move(task), tasks);
  }
  // All threads work on each large task together; small tasks go to one thread each.
  const auto large = std::stable_partition(tasks.begin(), tasks.end(),
                                           [](const Task& task) { return !task.wanted.many(); });
  const auto few = static_cast<int64_t>(large - tasks.begin());
  Modeller<T> shared(sums, of_sums, wanted, grid, channels, how, coefficients);
  for (auto task = large; task != tasks.end(); ++task) shared.take(*task);
#pragma omp parallel if (few > 1)
  {
    Modeller<T> own_modeller(sums, of_sums, wanted, grid, channels, how, coefficients);
#pragma omp for schedule(dynamic)
    for (int64_t i = 0; i < few; ++i) own_modeller.take(tasks[static_cast<size_t>(i)]);
  }
}

#define HDSEG_INSTANTIATE(T)                                                                       \
  template Nearby<T> nearby_classes<T>(const T*, int64_t, const Grid&, int64_t, int64_t, int64_t); \
  template void colour_models<T>(const float*, int64_t, const T*, const float*, const Grid&,       \
                                 int64_t, const int64_t*, const T*, const Estimation&, float*);
HDSEG_INSTANTIATE(uint8_t)
HDSEG_INSTANTIATE(uint16_t)
HDSEG_INSTANTIATE(uint32_t)
#undef HDSEG_INSTANTIATE

}  // namespace hdseg
