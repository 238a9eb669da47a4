// Class indices 0 .. K - 1 and seeds: 0 unknown, k + 1 for class k. They have 8, 16 or 32 bits.
#pragma once
#include "portable.h"

namespace hdseg {

// Above any 32-bit class or seed, but small enough for tables.
constexpr uint32_t kMostLabels = (1u << 17) - 1;

// The seed of walls: ignored pixels, treated as outside the image; no edge leads to them. It is the
// largest value in an array of its type.
template <class Seed>
constexpr Seed kWall =
    sizeof(Seed) < 4 ? static_cast<Seed>(~Seed{0}) : static_cast<Seed>(kMostLabels);

// The number of values in an array of the type: 0 .. kWall.
template <class Seed>
constexpr int64_t kValues = static_cast<int64_t>(kWall<Seed>) + 1;

}  // namespace hdseg
