#include "cpu/thinning.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "common/presets.h"
#include "cpu/lanes.h"

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace hdseg {

ThinPlane::ThinPlane(int64_t height, int64_t width)
    : plane(height, width), states(static_cast<size_t>(plane.tiles())) {}

int threads_for(int64_t tiles) {
#if defined(_OPENMP)
  constexpr int64_t kTilesPerThread = 32;
  return static_cast<int>(std::clamp<int64_t>(tiles / kTilesPerThread, 1, omp_get_max_threads()));
#else
  static_cast<void>(tiles);
  return 1;
#endif
}

namespace {

struct Tile {
  int32_t plane;
  int32_t tile_row;
  int64_t w;
  bool asleep;  // skipped for the rest of the pass
};

// Pixels that an element matched, in kLanes adjacent words.
struct Match {
  uint64_t* words;
  uint64_t pixels[kLanes];
};

// A mask of pixels in the first `rows` of kLanes words.
Lanes inside(uint64_t pixels, int64_t rows) {
  uint64_t words[kLanes];
  for (int64_t y = 0; y < kLanes; ++y) words[y] = y < rows ? pixels : 0;
  return load(words);
}

int lowest_bit(uint64_t bits) { return __builtin_ctzll(bits); }

// The position from which kLanes words and their neighbours are read.
struct Window {
  const uint64_t* words;
  int64_t stride;

  Lanes operator()(int side, int64_t dy) const { return load(words + side * stride + dy); }
};

// Tests an element whose cells are only known at run time.
struct AnyElement {
  static Lanes first(const Element&, const Window&, const Lanes& pixels) { return pixels; }

  static Lanes near(const Element& element, const Window& window, const Lanes& pixels) {
    return pixels & ~against(element.near, window);
  }

  static Lanes far(const Element& element, const Window& window, const Lanes& pixels) {
    return pixels & ~against(element.far, window);
  }

 private:
  static Lanes against(const Cells& cells, const Window& window) {
    const auto& centre = cells.centre();
    return against_in_centre<Lanes>(window, centre.data(), static_cast<int32_t>(centre.size())) |
           against_on_side<1, Lanes>(window, cells.right()) |
           against_on_side<-1, Lanes>(window, cells.left());
  }
};

// Tests a preset element, known at compile time.
template <int radius, int direction>
struct PresetElement {
  using Near = Preset<1, direction>;

  static Lanes first(const Element&, const Window& window, const Lanes& pixels) {
    return after_first_look<Near, Lanes>(window, pixels);
  }

  static Lanes near(const Element&, const Window& window, const Lanes& pixels) {
    return pixels & ~against_preset<Near, Lanes>(window);
  }

  static Lanes far(const Element&, const Window& window, const Lanes& pixels) {
    if constexpr (radius == 1) return pixels;
    return pixels & ~against_preset<Preset<radius, direction>, Lanes>(window);
  }
};

// Appends what the element matches in a tile; false if it matches nothing.
//
// Each of three increasingly strict tests runs over the whole tile before the next: loops over the
// remaining words are predictable for the processor, single outcomes are not.
template <class Test>
bool find_matches(BitPlane& plane, const Tile& tile, const Element& element,
                  std::vector<Match>& matches) {
  constexpr int kParts = static_cast<int>(kTileRows / kLanes);
  static_assert(kParts <= 64, "one bit for each part of a tile");
  const int64_t top = tile.tile_row * kTileRows, rows = std::min(kTileRows, plane.height() - top);
  uint64_t* const column = plane.column(tile.w) + top;
  const int parts = static_cast<int>((rows + kLanes - 1) / kLanes);
  Lanes match[kParts];
  const auto window = [&](int part) { return Window{column + part * kLanes, plane.stride()}; };

  uint64_t left = 0;
  for (int part = 0; part < parts; ++part) {
    match[part] = Test::first(element, window(part), window(part)(0, 0));
    left |= static_cast<uint64_t>(any(match[part])) << part;
  }
  uint64_t candidates = 0;
  for (; left != 0; left &= left - 1) {
    const int part = lowest_bit(left);
    match[part] = Test::near(element, window(part), match[part]);
    candidates |= static_cast<uint64_t>(any(match[part])) << part;
  }
  const size_t before = matches.size();
  const uint64_t pixels = plane.pixels(tile.w);
  const bool at_edge = rows < kTileRows || ~pixels != 0;  // padding may match again and again
  for (; candidates != 0; candidates &= candidates - 1) {
    const int part = lowest_bit(candidates);
    Lanes found = Test::far(element, window(part), match[part]);
    if (at_edge) found = found & inside(pixels, rows - part * kLanes);
    if (!any(found)) continue;
    matches.emplace_back();
    matches.back().words = column + part * kLanes;
    store(found, matches.back().pixels);
  }
  return matches.size() > before;
}

using Find = bool (*)(BitPlane&, const Tile&, const Element&, std::vector<Match>&);

template <int radius, int direction>
bool is_preset(const Element& element) {
  if (element.radius != radius) return false;
  for (int y = -radius; y <= radius; ++y) {
    for (int x = -radius; x <= radius; ++x) {
      if (element.cell(x, y) != Preset<radius, direction>::cell(x, y)) return false;
    }
  }
  return true;
}

template <int radius, int... directions>
Find preset_finder(const Element& element, std::integer_sequence<int, directions...>) {
  Find find = nullptr;
  ((is_preset<radius, directions>(element)
        ? void(find = find_matches<PresetElement<radius, directions>>)
        : void()),
   ...);
  return find;
}

Find finder(const Element& element) {
  using Directions = std::make_integer_sequence<int, 8>;
  if (const Find find = preset_finder<4>(element, Directions())) return find;
  if (const Find find = preset_finder<1>(element, Directions())) return find;
  return find_matches<AnyElement>;
}

class Work {
 public:
  Work(std::vector<ThinPlane>& planes, const ElementSet& set) : planes_(planes), set_(set) {
    for (const Element& element : set.elements) finders_.push_back(finder(element));
  }

  void run(int64_t passes);

 private:
  void survey();
  bool may_match(const Tile& tile);
  void run_as_one_of_many(int64_t passes);
  void activate_around(const std::vector<Tile>& changed, int64_t pass);

  std::vector<ThinPlane>& planes_;
  const ElementSet& set_;
  std::vector<Find> finders_;  // one per element
  std::vector<Tile> active_;   // the tiles to visit in this pass
  std::mutex adding_;          // protects changed_
  std::vector<Tile> changed_;  // the tiles that lost pixels in this pass
};

bool on_frame(const BitPlane& plane, const Tile& tile) {
  return tile.w == 0 || tile.w + 1 == plane.words() || tile.tile_row == 0 ||
         tile.tile_row + 1 == plane.tile_rows();
}

// Whether the bits selected by `bits`, in all words of rows top .. bottom - 1, are `value`.
bool all_are(const uint64_t* words, int64_t top, int64_t bottom, uint64_t bits, bool value) {
  const uint64_t flip = value ? ~uint64_t{0} : 0;
  uint64_t other = 0;
  for (int64_t y = top; y < bottom; ++y) other |= words[y] ^ flip;
  return (other & bits) == 0;
}

// Sets the padding, and activates every tile in which an element may match.
void Work::survey() {
  std::vector<Tile> columns;
  for (size_t p = 0; p < planes_.size(); ++p) {
    for (int64_t w = 0; w < planes_[p].plane.words(); ++w) {
      columns.push_back({static_cast<int32_t>(p), 0, w, false});
    }
  }
  std::vector<Tile> sources;
#pragma omp parallel for schedule(dynamic, 8) \
    num_threads(threads_for(static_cast<int64_t>(columns.size())))
  for (size_t i = 0; i < columns.size(); ++i) {
    std::vector<Tile> found;
    ThinPlane& thinned = planes_[static_cast<size_t>(columns[i].plane)];
    BitPlane& plane = thinned.plane;
    for (Tile tile = columns[i]; tile.tile_row < plane.tile_rows(); ++tile.tile_row) {
      if (on_frame(plane, tile)) plane.repeat_edges(tile.w, tile.tile_row);
      const uint64_t* words = plane.column(tile.w);
      const int64_t top = tile.tile_row * kTileRows;
      const int64_t bottom = std::min(top + kTileRows, plane.height());
      thinned.state(tile.w, tile.tile_row).empty = all_are(words, top, bottom, ~uint64_t{0}, false);
      if (!set_.at_boundaries || !all_are(words, top, bottom, ~uint64_t{0}, true)) {
        found.push_back(tile);
      }
    }
    const std::lock_guard<std::mutex> alone(adding_);
    sources.insert(sources.end(), found.begin(), found.end());
  }
  activate_around(sources, 0);
}

// Whether the coming pass can change anything in a tile.
bool Work::may_match(const Tile& tile) {
  ThinPlane& thinned = planes_[static_cast<size_t>(tile.plane)];
  const BitPlane& plane = thinned.plane;
  const int64_t reach = set_.reach, top = tile.tile_row * kTileRows;
  const int64_t bottom = std::min(top + kTileRows, plane.height());
  const uint64_t* words = plane.column(tile.w);
  if (all_are(words, top, bottom, ~uint64_t{0}, false)) {
    thinned.state(tile.w, tile.tile_row).empty = true;
    return false;
  }
  if (!set_.at_boundaries || reach >= 64) return true;
  if (!all_are(words, top, bottom, ~uint64_t{0}, true)) return true;
  // A full tile can only lose pixels if there is a 0 within reach.
  const int64_t first = std::max<int64_t>(top - reach, 0);
  const int64_t last = std::min(bottom + reach, plane.height());
  const uint64_t rightmost = ~(~uint64_t{0} >> reach), leftmost = ~(~uint64_t{0} << reach);
  return !all_are(words, first, last, ~uint64_t{0}, true) ||
         (tile.w > 0 && !all_are(words - plane.stride(), first, last, rightmost, true)) ||
         (tile.w + 1 < plane.words() &&
          !all_are(words + plane.stride(), first, last, leftmost, true));
}

// Activates the tiles within one pass's reach of those that changed.
void Work::activate_around(const std::vector<Tile>& changed, int64_t pass) {
  const int64_t across = (set_.reach + 63) / 64;
  const int64_t along = (set_.reach + kTileRows - 1) / kTileRows;
  active_.clear();
  for (const Tile& tile : changed) {
    ThinPlane& thinned = planes_[static_cast<size_t>(tile.plane)];
    const BitPlane& plane = thinned.plane;
    const int64_t right = std::min(tile.w + across, plane.words() - 1);
    const int64_t bottom = std::min(tile.tile_row + along, plane.tile_rows() - 1);
    for (int64_t w = std::max<int64_t>(tile.w - across, 0); w <= right; ++w) {
      for (int64_t t = std::max<int64_t>(tile.tile_row - along, 0); t <= bottom; ++t) {
        TileState& state = thinned.state(w, t);
        if (state.active == pass || state.empty) continue;
        state.active = pass;
        active_.push_back({tile.plane, static_cast<int32_t>(t), w, false});
      }
    }
  }
}

void Work::run_as_one_of_many(int64_t passes) {
  std::vector<Match> matches;
  std::vector<Tile> touched, changed;
  for (int64_t pass = 0; pass < passes && !active_.empty(); ++pass) {
    changed.clear();
    for (size_t e = 0; e < set_.elements.size(); ++e) {
      const Element& element = set_.elements[e];
      const Find find = finders_[e];
      matches.clear();
      touched.clear();
      // All threads match before any removes pixels: an element sees the plane unchanged.
#pragma omp for schedule(dynamic, 16)
      for (size_t i = 0; i < active_.size(); ++i) {
        Tile& tile = active_[i];
        if (e == 0) tile.asleep = !may_match(tile);
        if (tile.asleep) continue;
        BitPlane& plane = planes_[static_cast<size_t>(tile.plane)].plane;
        if (find(plane, tile, element, matches)) touched.push_back(tile);
      }
      for (const Match& match : matches) {
        store(load(match.words) & ~load(match.pixels), match.words);
      }
      for (const Tile& tile : touched) {
        ThinPlane& thinned = planes_[static_cast<size_t>(tile.plane)];
        if (on_frame(thinned.plane, tile)) thinned.plane.repeat_edges(tile.w, tile.tile_row);
        TileState& state = thinned.state(tile.w, tile.tile_row);
        if (state.changed != pass) changed.push_back(tile);
        state.changed = pass;
      }
#pragma omp barrier
    }
    {
      const std::lock_guard<std::mutex> alone(adding_);
      changed_.insert(changed_.end(), changed.begin(), changed.end());
    }
#pragma omp barrier
#pragma omp single
    {
      activate_around(changed_, pass + 1);
      changed_.clear();
    }
  }
}

void Work::run(int64_t passes) {
  survey();
  const int threads = threads_for(static_cast<int64_t>(active_.size()));
#pragma omp parallel num_threads(threads)
  run_as_one_of_many(passes);
}

}  // namespace

void thin(std::vector<ThinPlane>& planes, const ElementSet& set, int64_t passes) {
  Work(planes, set).run(passes);
}

}  // namespace hdseg
