// Class indices 0 .. K - 1 and seeds: 0 unknown, k + 1 for class k. They have 8, 16 or 32 bits.
#pragma once
#include "portable.h"

namespace hdseg {

// More than any class or seed that has 32 bits, so that tables stay small.
constexpr uint32_t kMostLabels = (1u << 17) - 1;

// The seed of pixels that count as outside the picture: no edge leads to them. The largest value
// that an array of its type has.
template <class Seed>
constexpr Seed kWall =
    sizeof(Seed) < 4 ? static_cast<Seed>(~Seed{0}) : static_cast<Seed>(kMostLabels);

// How many values an array of the type has: 0 .. kWall.
template <class Seed>
constexpr int64_t kValues = static_cast<int64_t>(kWall<Seed>) + 1;

// Which row of a table belongs to each pixel of a band: in column x of run r, first[r] + x /
// across.
struct Places {
  const int32_t* first;
  int64_t across;
};

}  // namespace hdseg
