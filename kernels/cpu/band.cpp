#include "cpu/band.h"

#include <algorithm>
#include <array>
#include <mutex>

#include "common/winner.h"
#include "cpu/union_find.h"

namespace hdseg {
namespace {

template <class Seed>
void find_runs_of_rows(const Seed* seeds, const Grid& grid, int64_t top, int64_t bottom,
                       std::vector<int64_t>& pixel, std::vector<int32_t>& length) {
  for (int64_t y = top; y < bottom; ++y) {
    const Seed* row = seeds + y * grid.width;
    for (int64_t x = 0; x < grid.width;) {
      if (row[x] != 0) {
        if constexpr (sizeof(Seed) == 1) {
          const void* zero = memchr(row + x, 0, static_cast<size_t>(grid.width - x));
          if (zero == nullptr) break;
          x = static_cast<const Seed*>(zero) - row;
        } else {
          ++x;
          continue;
        }
      }
      const int64_t first = x;
      while (x < grid.width && row[x] == 0) ++x;
      pixel.push_back(y * grid.width + first);
      length.push_back(static_cast<int32_t>(x - first));
    }
  }
}

}  // namespace

template <class Seed>
OwnedRuns find_runs(const Seed* seeds, const Grid& grid) {
  constexpr int64_t kRows = 64;
  const int64_t blocks = (grid.height + kRows - 1) / kRows;
  std::vector<std::vector<int64_t>> pixel(static_cast<size_t>(blocks));
  std::vector<std::vector<int32_t>> length(static_cast<size_t>(blocks));
#pragma omp parallel for schedule(dynamic)
  for (int64_t b = 0; b < blocks; ++b) {
    find_runs_of_rows(seeds, grid, b * kRows, std::min(grid.height, (b + 1) * kRows),
                      pixel[static_cast<size_t>(b)], length[static_cast<size_t>(b)]);
  }
  OwnedRuns found;
  found.start.push_back(0);
  for (size_t b = 0; b < pixel.size(); ++b) {
    found.pixel.insert(found.pixel.end(), pixel[b].begin(), pixel[b].end());
    for (const int32_t n : length[b]) found.start.push_back(found.start.back() + n);
  }
  return found;
}

namespace {

// Entries of a row that are `step` apart: x = first, first + step, ..., last.
struct Span {
  int64_t row, first, last;
  int32_t start;  // entry of `first`
};

// Calls near(r, s) for all spans r and s = spans of the row `down` rows below r, where some x of s
// lies within `reach` of r's; s ascends for each r.
template <class Near>
void for_each_overlap(const std::vector<Span>& spans, int64_t down, int64_t reach, Near near) {
  size_t s = 0;
  for (size_t r = 0; r < spans.size(); ++r) {
    const Span& here = spans[r];
    const int64_t row = here.row + down;
    while (s < spans.size() &&
           (spans[s].row < row || (spans[s].row == row && spans[s].last < here.first - reach))) {
      ++s;
    }
    for (size_t t = s;
         t < spans.size() && spans[t].row == row && spans[t].first <= here.last + reach; ++t) {
      near(r, t);
    }
  }
}

// Where the offset of a span to one other row changes: it is `offset` from entry `start` on.
struct Change {
  int32_t start;
  int32_t offset;
};

struct Direction {
  int64_t down, reach;  // neighbours are `down` rows below and up to `reach` columns aside
};

// Cuts the spans into pieces with a constant offset for each direction; emit(start, end, offsets).
template <size_t kDirections, class Emit>
void cut(const std::vector<Span>& spans, int64_t step, int32_t count,
         const std::array<Direction, kDirections>& directions, Emit emit) {
  std::array<std::vector<std::pair<size_t, Change>>, kDirections> changes;
  for (size_t d = 0; d < kDirections; ++d) {
    const Direction way = directions[d];
    size_t previous = spans.size();
    for_each_overlap(spans, way.down, way.reach, [&](size_t r, size_t s) {
      const Span &here = spans[r], &there = spans[s];
      // The first and the last x with neighbours in this span.
      const int64_t need = std::max(here.first, there.first - way.reach);
      const int64_t done = std::min(here.last, there.last + way.reach);
      const auto entry = [&](int64_t x) {
        return here.start + static_cast<int32_t>((x - here.first) / step);
      };
      const int32_t end = here.start + static_cast<int32_t>((here.last - here.first) / step) + 1;
      const int32_t offset = there.start - here.start +
                             static_cast<int32_t>((here.first + way.reach - there.first) / step);
      const bool continues = r == previous;
      const int32_t from = continues ? entry(need) : here.start;
      // Outside the overlap the offset is not used, but must not lead out of the array.
      const bool low = from + offset - 1 < -kSlack, high = end + offset > count + kSlack;
      if (low && !continues) changes[d].push_back({r, {here.start, 0}});
      changes[d].push_back({r, {low ? entry(need) : from, offset}});
      if (high && done < here.last) changes[d].push_back({r, {entry(done) + 1, 0}});
      previous = r;
    });
  }
  std::array<size_t, kDirections> next{};
  for (size_t r = 0; r < spans.size(); ++r) {
    std::array<int32_t, kDirections> offset{};
    const int32_t end =
        spans[r].start + static_cast<int32_t>((spans[r].last - spans[r].first) / step) + 1;
    for (int32_t start = spans[r].start; start < end;) {
      int32_t stop = end;
      for (size_t d = 0; d < kDirections; ++d) {
        while (next[d] < changes[d].size() && changes[d][next[d]].first == r &&
               changes[d][next[d]].second.start <= start) {
          offset[d] = changes[d][next[d]++].second.offset;
        }
        if (next[d] < changes[d].size() && changes[d][next[d]].first == r) {
          stop = std::min(stop, changes[d][next[d]].second.start);
        }
      }
      emit(start, stop, offset);
      start = stop;
    }
  }
}

std::vector<Span> pixel_spans(const Band& band) {
  std::vector<Span> spans(static_cast<size_t>(band.runs));
  for (int64_t r = 0; r < band.runs; ++r) {
    const int64_t y = band.pixel[r] / band.grid.width, x = band.pixel[r] % band.grid.width;
    spans[static_cast<size_t>(r)] = {y, x, x + band.length(r) - 1, band.start[r]};
  }
  return spans;
}

}  // namespace

int32_t components(const Band& band, int32_t* component) {
  UnionFind sets(static_cast<size_t>(band.runs));
  for_each_overlap(pixel_spans(band), 1, 0, [&](size_t r, size_t s) {
    sets.unite(static_cast<int32_t>(r), static_cast<int32_t>(s));
  });
  int32_t found = 0;
  for (int32_t r = 0; r < static_cast<int32_t>(band.runs); ++r) {
    const int32_t first = sets.root(r);  // a root is its component's first run
    component[r] = first == r ? found++ : component[first];
  }
  return found;
}

namespace {

// Collects pairs (place, label), and drops most duplicates by a small cache.
class PairCollector {
 public:
  explicit PairCollector(std::vector<PlaceLabel>& pairs) : pairs_(pairs) {}

  void add(int64_t place, int64_t label) {
    const auto mixed =
        static_cast<uint64_t>(place) * 0x9e3779b97f4a7c15u + static_cast<uint64_t>(label);
    PlaceLabel& last = last_[(mixed * 0xff51afd7ed558ccdu) >> (64 - kBits)];
    if (last.place == place && last.label == label) return;
    last = {place, label};
    pairs_.push_back(last);
  }

 private:
  static constexpr int kBits = 12;
  std::vector<PlaceLabel>& pairs_;
  std::vector<PlaceLabel> last_ = std::vector<PlaceLabel>(size_t{1} << kBits, PlaceLabel{-1, -1});
};

}  // namespace

template <class Seed>
std::vector<PlaceLabel> labels_at(const Band& band, const Seed* seeds, const Places& places,
                                  const Seed* evidence, int64_t kept) {
  const Grid& grid = band.grid;
  std::vector<PlaceLabel> all;
  std::mutex adding;
#pragma omp parallel if (band.runs > 1024)
  {
    std::vector<PlaceLabel> pairs;
    PairCollector collector(pairs);
#pragma omp for schedule(static)
    for (int64_t r = 0; r < band.runs; ++r) {
      if (places.first[r] < 0) continue;
      each_place(band, places, r, [&](int64_t place, int32_t begin, int32_t end) {
        const int64_t first = band.pixel[r] + begin - band.start[r], last = first + end - begin - 1;
        const auto visit = [&](int64_t pixel) {
          const Seed seed = seeds[pixel];
          if (seed != 0 && seed != kWall<Seed>) collector.add(place, seed);
        };
        if (begin == band.start[r] && first % grid.width > 0) visit(first - 1);
        if (end == band.start[r + 1] && (last + 1) % grid.width > 0) visit(last + 1);
        if (first >= grid.width) {
          for (int64_t p = first; p <= last; ++p) visit(p - grid.width);
        }
        if (last + grid.width < grid.height * grid.width) {
          for (int64_t p = first; p <= last; ++p) visit(p + grid.width);
        }
        for (int64_t i = begin * kept; i < end * kept; ++i) {
          if (evidence[i] != 0) collector.add(place, evidence[i]);
        }
      });
    }
    std::sort(pairs.begin(), pairs.end());
    pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
    const std::lock_guard<std::mutex> alone(adding);
    all.insert(all.end(), pairs.begin(), pairs.end());
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

std::vector<Piece> link_pixels(const Band& band) {
  std::vector<Piece> pieces;
  cut<2>(pixel_spans(band), 1, band.size(), {{{-1, 0}, {1, 0}}},
         [&](int32_t start, int32_t end, const std::array<int32_t, 2>& offset) {
           pieces.push_back({start, end, offset[0], offset[1]});
         });
  return pieces;
}

BlackLinks link_black(const Band& band) {
  constexpr int32_t kLongest = 4096;
  BlackLinks links;
  std::vector<Span> spans;
  int32_t entries = 0;
  for (const Span& run : pixel_spans(band)) {
    links.first.push_back(entries);
    const int64_t first = run.first + ((run.first + run.row) & 1);
    if (first > run.last) continue;
    const int64_t last = run.last - ((run.last + run.row) & 1);
    // Join runs with a gap of one red pixel: their black pixels are evenly spaced.
    if (!spans.empty() && spans.back().row == run.row && spans.back().last + 2 == first) {
      spans.back().last = last;
    } else {
      spans.push_back({run.row, first, last, entries});
    }
    entries += static_cast<int32_t>((last - first) / 2) + 1;
  }
  links.first.push_back(entries);
  cut<4>(spans, 2, entries, {{{-2, 0}, {-1, 1}, {1, 1}, {2, 0}}},
         [&](int32_t start, int32_t end, const std::array<int32_t, 4>& offset) {
           // Limit the length, so that even a single row gives chunks for all threads.
           for (int32_t first = start; first < end; first += kLongest) {
             links.pieces.push_back({first,
                                     std::min(end, first + kLongest),
                                     {offset[0], offset[1], offset[2], offset[3]}});
           }
         });
  return links;
}

std::vector<int64_t> chunk_pieces(const std::vector<BlackPiece>& pieces) {
  constexpr int32_t kEntries = 8192;  // weights and a few vectors take about 400 kB: fits a cache
  std::vector<int64_t> chunk;
  for (size_t p = 0; p < pieces.size(); ++p) {
    if (chunk.empty() ||
        pieces[p].end - pieces[static_cast<size_t>(chunk.back())].start > kEntries) {
      chunk.push_back(static_cast<int64_t>(p));
    }
  }
  chunk.push_back(static_cast<int64_t>(pieces.size()));
  return chunk;
}

template <class Seed>
int64_t decide(const Band& band, const float* x, int64_t stride, const ColumnLabels<Seed>& labels,
               const float* bound, int64_t bound_step, const Core& core, Seed* seeds) {
  int64_t uncertain = 0;
#pragma omp parallel for schedule(dynamic, 256) reduction(+ : uncertain)
  for (int64_t r = 0; r < band.runs; ++r) {
    const int64_t line = band.pixel[r] / band.grid.width, left = band.pixel[r] % band.grid.width;
    each_place(band, labels.places, r, [&](int64_t row, int32_t begin, int32_t end) {
      const Seed* label = labels.label + row * labels.count;
      for (int64_t i = begin; i < end; ++i) {
        const Winner won = winner(x + i, stride, labels.count - 1, bound[i * bound_step]);
        seeds[band.pixel[r] + i - band.start[r]] = label[won.index];
        uncertain += !won.certain && core.has(line, left + i - band.start[r]);
      }
    });
  }
  return uncertain;
}

#define HDSEG_INSTANTIATE(Seed)                                                                \
  template OwnedRuns find_runs<Seed>(const Seed*, const Grid&);                                \
  template int64_t decide<Seed>(const Band&, const float*, int64_t, const ColumnLabels<Seed>&, \
                                const float*, int64_t, const Core&, Seed*);                    \
  template std::vector<PlaceLabel> labels_at<Seed>(const Band&, const Seed*, const Places&,    \
                                                   const Seed*, int64_t);
HDSEG_INSTANTIATE(uint8_t)
HDSEG_INSTANTIATE(uint16_t)
HDSEG_INSTANTIATE(uint32_t)
#undef HDSEG_INSTANTIATE

}  // namespace hdseg
