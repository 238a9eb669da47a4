#include "cpu/elements.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>

namespace hdseg {
namespace {

bool operator==(const RowCell& a, const RowCell& b) { return a.dy == b.dy && a.flip == b.flip; }

// Whether b has all cells of a; others: the cells of b that are not in a.
bool goes_on_from(const std::vector<RowCell>& a, const std::vector<RowCell>& b,
                  std::vector<RowCell>& others) {
  const auto in = [](const std::vector<RowCell>& cells, const RowCell& cell) {
    return std::any_of(cells.begin(), cells.end(), [&](const RowCell& c) { return c == cell; });
  };
  others.clear();
  std::copy_if(b.begin(), b.end(), std::back_inserter(others),
               [&](const RowCell& cell) { return !in(a, cell); });
  return others.size() + a.size() == b.size();
}

}  // namespace

void Cells::add(int64_t dy, int64_t dx, bool hit) {
  const RowCell cell{dy, hit ? ~uint64_t{0} : 0};
  if (dx == 0) {
    centre_.push_back(cell);
  } else {
    (dx > 0 ? right_ : left_).at_distance[static_cast<size_t>(std::abs(dx))].push_back(cell);
  }
}

void Cells::arrange() {
  right_.arrange();
  left_.arrange();
}

void Cells::Side::arrange() {
  std::vector<int32_t> order;
  const auto at = [this](int32_t d) -> const std::vector<RowCell>& {
    return at_distance[static_cast<size_t>(d)];
  };
  for (int32_t d = 1; d <= kMaxRadius; ++d) {
    if (!at(d).empty()) order.push_back(d);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return at(a).size() < at(b).size(); });
  for (size_t i = 0; i < order.size(); ++i) {
    std::vector<RowCell> added;
    const bool fresh = i == 0 || !goes_on_from(at(order[i - 1]), at(order[i]), added);
    if (fresh) added = at(order[i]);
    columns.push_back({order[i], static_cast<int32_t>(added.size()), fresh});
    cells.insert(cells.end(), added.begin(), added.end());
  }
}

ElementSet read_elements(const int8_t* cells, int64_t count, int64_t size) {
  const int64_t r = size / 2;
  ElementSet set{{}, count * r, true};
  for (int64_t i = 0; i < count; ++i, cells += size * size) {
    if (cells[r * size + r] < 0) continue;  // the centre is a miss: removes nothing
    Element element{{cells, cells + size * size}, r, {}, {}};
    bool has_miss = false;
    for (int64_t dy = -r; dy <= r; ++dy) {
      for (int64_t dx = -r; dx <= r; ++dx) {
        const int8_t cell = cells[(dy + r) * size + dx + r];
        if (cell == 0 || (dy == 0 && dx == 0)) continue;
        const bool is_near = std::max(std::abs(dy), std::abs(dx)) == 1;
        (is_near ? element.near : element.far).add(dy, dx, cell > 0);
        has_miss = has_miss || cell < 0;
      }
    }
    element.near.arrange();
    element.far.arrange();
    set.at_boundaries = set.at_boundaries && has_miss;
    set.elements.push_back(std::move(element));
  }
  return set;
}

}  // namespace hdseg
