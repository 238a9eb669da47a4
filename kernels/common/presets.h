// The preset structuring elements as templates: their tests compile to code without loops.
#pragma once
#include "hit_or_miss.h"

namespace hdseg {

// The element of one direction (0..7: N, NE, E, SE, S, SW, W, NW); core/elements.py has the rule.
template <int r, int towards>
struct Preset {
  static constexpr int radius = r;
  static constexpr int direction = towards;
  static constexpr int ux = direction % 4 == 0 ? 0 : direction < 4 ? 1 : -1;
  static constexpr int uy = direction % 4 == 2 ? 0 : direction > 2 && direction < 6 ? 1 : -1;

  // +1 hit, -1 miss, 0 don't care, for the cell dx to the right and dy below; 0 at the centre.
  HDSEG_FN static constexpr int cell(int dx, int dy) {
    const int along = dx * ux + dy * uy, across = dx * uy - dy * ux;
    const int aside = across < 0 ? -across : across;
    if (dx == 0 && dy == 0) return 0;
    if (ux == 0 || uy == 0) return along >= aside ? -1 : -along >= aside ? 1 : 0;
    if (dx * ux >= 0 && dy * uy >= 0) return -1;
    return dx * ux <= 0 && dy * uy <= 0 ? 1 : 0;
  }

  // From `first_distance` on, each column has all cells of the previous one.
  static constexpr int first_distance = ux == 0 ? r : 1;
  static constexpr int last_distance = ux == 0 ? 1 : r;
  static constexpr int step = ux == 0 ? -1 : 1;
};

template <class P, int dx, int dy, class Word, class Load>
HDSEG_FN Word against_centre_from(const Load& load, const Word& found) {
  if constexpr (dy > P::radius) {
    return found;
  } else if constexpr (P::cell(0, dy) == 0) {
    return against_centre_from<P, dx, dy + 1>(load, found);
  } else {
    const Word word = load(0, dy);
    return against_centre_from<P, dx, dy + 1>(load, found | (P::cell(0, dy) < 0 ? word : ~word));
  }
}

// Adds the pixels against a match in the cells of column dx that are not in column `before`.
template <class P, int side, int dx, int before, int dy, class Word, class Load>
HDSEG_FN void gather(const Load& load, Word& centre, Word& beside) {
  if constexpr (dy <= P::radius) {
    if constexpr (P::cell(dx, dy) != 0 && (before == 0 || P::cell(before, dy) == 0)) {
      const Word inner = load(0, dy), outer = load(side, dy);
      centre = centre | (P::cell(dx, dy) < 0 ? inner : ~inner);
      beside = beside | (P::cell(dx, dy) < 0 ? outer : ~outer);
    }
    gather<P, side, dx, before, dy + 1>(load, centre, beside);
  }
}

template <class P, int side, int distance, class Word, class Load>
HDSEG_FN Word against_side_from(const Load& load, Word centre, Word beside, const Word& found) {
  constexpr int before = distance == P::first_distance ? 0 : distance - P::step;
  gather<P, side, side * distance, side * before, -P::radius>(load, centre, beside);
  const Word all = found | (side > 0 ? from_right(centre, beside, distance)
                                     : from_left(centre, beside, distance));
  if constexpr (distance == P::last_distance) {
    return all;
  } else {
    return against_side_from<P, side, distance + P::step>(load, centre, beside, all);
  }
}

// Pixels against a match of a preset. load(side, dy): see hit_or_miss.h.
template <class P, class Word, class Load>
HDSEG_FN Word against_preset(const Load& load) {
  const Word none = Word{};
  const Word centre = against_centre_from<P, 0, -P::radius>(load, none);
  const Word right = against_side_from<P, 1, P::first_distance>(load, none, none, centre);
  return against_side_from<P, -1, P::first_distance>(load, none, none, right);
}

// A quick first test: removes from `pixels` those ruled out by one miss cell, the cheapest to load.
template <class P, class Word, class Load>
HDSEG_FN Word after_first_look(const Load& load, const Word& pixels) {
  using Near = Preset<1, P::direction>;
  if constexpr (Near::uy != 0) return pixels & ~load(0, Near::uy);
  return pixels &
         ~(Near::ux > 0 ? from_right(pixels, load(1, 0), 1) : from_left(pixels, load(-1, 0), 1));
}

}  // namespace hdseg
