// The unknown band as runs of pixels, and what lies beside what. Nothing here needs memory for the
// rest of the image. Pixel indices are 64-bit; positions count the band's pixels and fit 32 bits.
#pragma once
#include <limits>
#include <vector>

#include "common/grid.h"
#include "common/multigrid.h"
#include "common/winner.h"

namespace hdseg {

// The pixels of run r are pixel[r], pixel[r] + 1, ... in one row of the image; they have the
// positions start[r] .. start[r + 1] - 1 in the band. Runs ascend and never touch in a row.
struct Band {
  Grid grid;
  const int64_t* pixel;
  const int32_t* start;
  int64_t runs;

  int32_t size() const { return start[runs]; }
  int32_t length(int64_t r) const { return start[r + 1] - start[r]; }
};

// The seed of pixels that count as outside the picture: no edge leads to them.
template <class Seed>
constexpr Seed kWall = std::numeric_limits<Seed>::max();

struct OwnedRuns {
  std::vector<int64_t> pixel;
  std::vector<int32_t> start;
};

// The runs of pixels with seed 0.
template <class Seed>
OwnedRuns find_runs(const Seed* seeds, const Grid& grid);

// 4-connected components of the band, a number for each run, ascending with the first pixel;
// returns how many.
int32_t components(const Band& band, int32_t* component);

// touches[component, k] = true where a seed of class k (label k + 1) adjoins the component.
template <class Seed>
void contacts(const Band& band, const Seed* seeds, const int32_t* component, int32_t class_count,
              bool* touches);

// Consecutive entries of a row whose neighbours in another row are consecutive too: for entry k of
// the piece, the neighbour is entry k + offset. Where there is no neighbour, k + offset is some
// entry all the same, or lies in the padding at either end of the array, and the weight is 0: so a
// kernel reads without asking, and in whole vectors.
constexpr int32_t kPadding = 32, kSlack = 16;

struct Piece {  // of the band
  int32_t start, end, north, south;
};
std::vector<Piece> link_pixels(const Band& band);

// Red-black colouring: black pixels are those with even x + y. Entries are black pixels only, and
// the black ones within two steps are in rows -2 (straight up), -1 and 1 (both diagonals; the
// offset is the right one's, the left one comes just before it), and 2.
struct BlackPiece {
  int32_t start, end;
  Offsets to;
};
struct BlackLinks {
  std::vector<BlackPiece> pieces;
  std::vector<int32_t> first;  // (runs + 1): entry of the first black pixel of each run
};
BlackLinks link_black(const Band& band);

// First piece of each chunk, and the number of pieces. Chunks are the unit of work for a thread,
// the same for any number of threads.
std::vector<int64_t> chunk_pieces(const std::vector<BlackPiece>& pieces);

// seeds[pixel] = label of the largest potential; returns how many labels are not certain
// (winner.h). x: (columns, stride) potentials; label: (runs, columns + 1); bound: one for each
// pixel, or a single one (bound_step 0).
template <class Seed>
int64_t decide(const Band& band, const float* x, int64_t columns, int64_t stride, const Seed* label,
               const float* bound, int64_t bound_step, const Core& core, Seed* seeds);

}  // namespace hdseg
