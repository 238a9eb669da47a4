#include "cpu/thinning.h"

#include <algorithm>
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
  return tiles >= 0 ? 1 : 0;
#endif
}

namespace {

struct Tile {
  int32_t plane;
  int32_t tile_row;
  int64_t w;
};

// Pixels that an element matched, in kLanes words that lie side by side.
struct Match {
  uint64_t* words;
  Lanes pixels;
};

// Where kLanes words and their neighbours are read.
struct Window {
  const uint64_t* words;
  int64_t stride;

  Lanes operator()(int side, int64_t dy) const { return load(words + side * stride + dy); }
};

// Tests an element whose cells are known at run time only.
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

// Tests an element that the compiler knows.
template <int radius, int direction>
struct PresetElement {
  using Near = Preset<1, direction>;

  // The pixel that is the easiest to look up, of those that a match must not have around it.
  static Lanes first(const Element&, const Window& window, const Lanes& pixels) {
    if constexpr (Near::uy != 0) return pixels & ~window(0, Near::uy);
    return pixels & ~(Near::ux > 0 ? from_right(pixels, window(1, 0), 1)
                                   : from_left(pixels, window(-1, 0), 1));
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
template <class Test>
bool find_matches(BitPlane& plane, const Tile& tile, const Element& element,
                  std::vector<Match>& matches) {
  const size_t before = matches.size();
  const Lanes pixels = broadcast(plane.pixels(tile.w));
  const int64_t top = tile.tile_row * kTileRows;
  const int64_t bottom = std::min(top + kTileRows, plane.height());
  uint64_t* const column = plane.column(tile.w);
  for (int64_t y = top; y < bottom; y += kLanes) {
    const Window window{column + y, plane.stride()};
    Lanes match = Test::first(element, window, window(0, 0));
    if (!any(match)) continue;
    match = Test::near(element, window, match);
    if (!any(match)) continue;
    match = Test::far(element, window, match) & pixels;  // padding may match for ever
    if (y + kLanes > bottom) {
      uint64_t words[kLanes];
      store(match, words);
      std::fill(words + (bottom - y), words + kLanes, uint64_t{0});
      match = load(words);
    }
    if (any(match)) matches.push_back({column + y, match});
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
  bool at_boundary(ThinPlane& thinned, int64_t w, int64_t tile_row) const;
  void run_as_one_of_many(int64_t passes);
  void activate_around(const std::vector<Tile>& changed, int64_t pass);

  std::vector<ThinPlane>& planes_;
  const ElementSet& set_;
  std::vector<Find> finders_;  // of the elements
  std::vector<Tile> active_;   // the tiles to visit in this pass
  std::vector<Tile> changed_;  // those that lost pixels in it
};

bool on_frame(const BitPlane& plane, const Tile& tile) {
  return tile.w == 0 || tile.w + 1 == plane.words() || tile.tile_row == 0 ||
         tile.tile_row + 1 == plane.tile_rows();
}

TileState::Kind kind_of(const BitPlane& plane, const Tile& tile) {
  const int64_t top = tile.tile_row * kTileRows;
  const int64_t bottom = std::min(top + kTileRows, plane.height());
  const uint64_t* words = plane.column(tile.w);
  uint64_t some = 0, all = ~uint64_t{0};
  for (int64_t y = top; y < bottom; ++y) {
    some |= words[y];
    all &= words[y];
  }
  return some == 0 ? TileState::kEmpty : ~all == 0 ? TileState::kFull : TileState::kMixed;
}

// Sets the padding, and makes every tile active in which some element may match.
void Work::survey() {
  int64_t tiles = 0;
  for (const ThinPlane& p : planes_) tiles += p.plane.tiles();
  const int threads = threads_for(tiles / 8);
  for (size_t p = 0; p < planes_.size(); ++p) {
    ThinPlane& thinned = planes_[p];
    BitPlane& plane = thinned.plane;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t w = 0; w < plane.words(); ++w) {
      for (int64_t t = 0; t < plane.tile_rows(); ++t) {
        const Tile tile{static_cast<int32_t>(p), static_cast<int32_t>(t), w};
        if (on_frame(plane, tile)) plane.repeat_edges(w, t);
        thinned.state(w, t).kind = kind_of(plane, tile);
      }
    }
    for (int64_t w = 0; w < plane.words(); ++w) {
      for (int64_t t = 0; t < plane.tile_rows(); ++t) {
        TileState& state = thinned.state(w, t);
        if (state.kind == TileState::kEmpty) continue;
        if (set_.at_boundaries && !at_boundary(thinned, w, t)) continue;
        state.active = 0;
        active_.push_back({static_cast<int32_t>(p), static_cast<int32_t>(t), w});
      }
    }
  }
}

bool Work::at_boundary(ThinPlane& thinned, int64_t w, int64_t tile_row) const {
  const BitPlane& plane = thinned.plane;
  for (int64_t v = std::max<int64_t>(w - 1, 0); v < std::min(w + 2, plane.words()); ++v) {
    for (int64_t t = std::max<int64_t>(tile_row - 1, 0);
         t < std::min(tile_row + 2, plane.tile_rows()); ++t) {
      if (thinned.state(v, t).kind != TileState::kFull) return true;
    }
  }
  return false;
}

// Every change of the last pass can have led to a match within set_.reach pixels of it.
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
        if (state.active == pass || state.kind == TileState::kEmpty) continue;
        state.active = pass;
        active_.push_back({tile.plane, static_cast<int32_t>(t), w});
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
      // First everybody looks, then everybody removes: an element sees the plane as it was.
#pragma omp for schedule(dynamic, 16)
      for (size_t i = 0; i < active_.size(); ++i) {
        const Tile& tile = active_[i];
        BitPlane& plane = planes_[static_cast<size_t>(tile.plane)].plane;
        if (find(plane, tile, element, matches)) touched.push_back(tile);
      }
      for (const Match& match : matches) {
        store(load(match.words) & ~match.pixels, match.words);
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
#pragma omp critical
    changed_.insert(changed_.end(), changed.begin(), changed.end());
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
