// The unknown band as runs of pixels, and what lies beside what. Nothing here needs memory for the
// rest of the image. Pixel indices are 64-bit; positions count the band's pixels and fit 32 bits.
#pragma once
#include <algorithm>
#include <vector>

#include "common/grid.h"
#include "common/labels.h"
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

// Calls use(row, begin, end) for the positions begin .. end - 1 of run r that have the same row.
template <class Use>
void each_place(const Band& band, const Places& places, int64_t r, Use use) {
  const int64_t left = band.pixel[r] % band.grid.width;
  for (int32_t i = band.start[r]; i < band.start[r + 1];) {
    const int64_t part = (left + i - band.start[r]) / places.across;
    const int64_t next = (part + 1) * places.across - left + band.start[r];
    const auto end = static_cast<int32_t>(std::min<int64_t>(band.start[r + 1], next));
    use(places.first[r] + part, i, end);
    i = end;
  }
}

// What the columns of a system stand for at each place: the labels label[row * count] ..
template <class Seed>
struct ColumnLabels {
  const Seed* label;
  int64_t count;
  Places places;
};

// Finds which column a label has. Neighbours ask for the same ones, so the last answers are kept.
template <class Seed>
class ColumnFinder {
 public:
  explicit ColumnFinder(const ColumnLabels<Seed>& columns) : columns_(columns) {}

  // -1 if it has none.
  int64_t find(int64_t row, Seed label) {
    Answer& kept = kept_[label % kKept];
    if (kept.row == row && kept.label == label) return kept.column;
    const Seed* first = columns_.label + row * columns_.count;
    const Seed* found = std::find(first, first + columns_.count, label);
    kept = {row, label, found == first + columns_.count ? -1 : found - first};
    return kept.column;
  }

 private:
  struct Answer {
    int64_t row = -1;
    Seed label = 0;
    int64_t column = -1;
  };
  static constexpr int kKept = 64;
  const ColumnLabels<Seed>& columns_;
  Answer kept_[kKept];
};

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

// A label that has a say at a place.
struct Say {
  int64_t place;
  int64_t label;

  bool operator==(const Say& other) const { return place == other.place && label == other.label; }
  bool operator<(const Say& other) const {
    return place < other.place || (place == other.place && label < other.label);
  }
};

// The labels of seeds beside the band's pixels of each place, and of their evidence (n, kept), if
// there is any; ascending, each once. Runs whose first place is negative do not count.
template <class Seed>
std::vector<Say> says(const Band& band, const Seed* seeds, const Places& places,
                      const Seed* evidence, int64_t kept);

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
// (winner.h). x: (labels.count - 1, stride) potentials; bound: one for each pixel, or a single one
// (bound_step 0).
template <class Seed>
int64_t decide(const Band& band, const float* x, int64_t stride, const ColumnLabels<Seed>& labels,
               const float* bound, int64_t bound_step, const Core& core, Seed* seeds);

}  // namespace hdseg
