// The unknown band (common/band.h), and the adjacency of its pixels. Memory depends on the band,
// not on the image.
#pragma once
#include <algorithm>
#include <vector>

#include "common/band.h"
#include "common/labels.h"
#include "common/multigrid.h"
#include "common/winner.h"

namespace hdseg {

// Divides run r by table row: calls use(row, begin, end) for positions begin .. end - 1 of a row.
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

// Finds the column of a label. Recent answers are cached, as neighbours share their labels.
template <class Seed>
class ColumnFinder {
 public:
  explicit ColumnFinder(const ColumnLabels<Seed>& columns) : columns_(columns) {}

  // The column of a label, -1 if it has none.
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

// Numbers the band's 4-connected components in order of their first pixels, writes the number of
// each run, and returns how many there are.
int32_t components(const Band& band, int32_t* component);

// A label that occurs at a place: as a seed beside it, or in its evidence.
struct PlaceLabel {
  int64_t place;
  int64_t label;

  bool operator==(const PlaceLabel& other) const {
    return place == other.place && label == other.label;
  }
  bool operator<(const PlaceLabel& other) const {
    return place < other.place || (place == other.place && label < other.label);
  }
};

// The distinct labels of each place, ascending: those of seeds beside its pixels of the band, and
// those of their evidence (n, kept), if any. Runs whose first place is negative are skipped.
template <class Seed>
std::vector<PlaceLabel> labels_at(const Band& band, const Seed* seeds, const Places& places,
                                  const Seed* evidence, int64_t kept);

// A piece: consecutive entries of a row whose neighbours in another row are consecutive, too: the
// neighbour of entry k is entry k + offset. If there is none, the weight is 0 and k + offset is any
// other entry or in the padding at the array's ends. So kernels read whole vectors unchecked.
constexpr int32_t kPadding = 32, kSlack = 16;

struct Piece {  // of the band
  int32_t start, end, north, south;
};
std::vector<Piece> link_pixels(const Band& band);

// Pieces of black pixels (even x + y), whose neighbours in the reduced matrix are the black pixels
// within two steps: in rows -2 and 2 straight above and below, in rows -1 and 1 both diagonals. The
// offset is that of the right diagonal; the left one is the entry before.
struct BlackPiece {
  int32_t start, end;
  Offsets to;
};
struct BlackLinks {
  std::vector<BlackPiece> pieces;
  std::vector<int32_t> first;  // (runs + 1): entry of the first black pixel of each run
};
BlackLinks link_black(const Band& band);

// The first piece of each chunk, followed by the number of pieces. Chunks are threads' units of
// work and do not depend on the number of threads.
std::vector<int64_t> chunk_pieces(const std::vector<BlackPiece>& pieces);

// Sets seeds[pixel] to the label of the largest potential; returns the number of uncertain labels
// in the core (winner.h). x: (labels.count - 1, stride) potentials; bound: one per pixel, or a
// single one (bound_step 0).
template <class Seed>
int64_t decide(const Band& band, const float* x, int64_t stride, const ColumnLabels<Seed>& labels,
               const float* bound, int64_t bound_step, const Core& core, Seed* seeds);

}  // namespace hdseg
