// Coarsening (kernels/cpu/aggregation.h), in parallel over entries: pairs by mutual choice, pairs
// of pairs in the same way, and sums over aggregates.
#include "cuda/level.h"

namespace hdseg {

// The leader of a pair is its lower entry. Values for entries without a leader:
constexpr int32_t kFree = -1, kLeftOut = -2;

// The weights of a sparse graph: row i has entries begin[i] .. end[i] - 1.
struct Rows {
  const int32_t *begin, *end, *column;
  const float* weight;
  int64_t size;
};

// Calls see(j, weight) for the neighbours of entry i, in the order of kernels/cpu/rows.h.
template <class See>
__device__ void for_each_neighbour(const Rows& rows, int64_t i, See see) {
  for (int64_t k = rows.begin[i]; k < rows.end[i]; ++k) see(rows.column[k], rows.weight[k]);
}

template <class See>
__device__ void for_each_neighbour(const StencilLevel& level, int64_t i, See see) {
  const Offsets to = offsets_at(level, i);
  const float* const* w = level.matrix.weight;
  const auto visit = [&](int64_t j, float weight) {
    if (weight > 0.0f) see(static_cast<int32_t>(j), weight);
  };
  visit(i + to.up2, w[kUp2][i]);
  visit(i + to.up - 1, w[kUpLeft][i]);
  visit(i + to.up, w[kUpRight][i]);
  visit(i - 1, w[kRight2][i - 1]);
  visit(i + 1, w[kRight2][i]);
  visit(i + to.down - 1, w[kDownLeft][i]);
  visit(i + to.down, w[kDownRight][i]);
  visit(i + to.down2, w[kDown2][i]);
}

// strongest[i]: the largest weight to an entry that is not left out; first[i] = i, for join().
template <class Graph>
__device__ void find_strongest(const Graph& graph, const int32_t* leader, float* strongest,
                               int32_t* first) {
  for (int64_t i = first_item(); i < graph.size; i += item_step()) {
    float most = 0.0f;
    for_each_neighbour(graph, i, [&](int32_t j, float weight) {
      if (leader[j] != kLeftOut && weight > most) most = weight;
    });
    strongest[i] = most;
    first[i] = static_cast<int32_t>(i);
  }
}

__device__ inline uint32_t stirred(uint32_t bits) {
  bits = (bits ^ bits >> 16) * 0x9e3779b1u;
  bits = (bits ^ bits >> 15) * 0x9e3779b1u;
  return bits ^ bits >> 16;
}

// A priority for pairing two entries, the same from both ends. Weights are compared by leading
// digits, since sums in different orders differ in the last ones; a hash breaks ties.
__device__ inline uint64_t desire(int64_t i, int32_t j, float weight, int64_t round) {
  constexpr int kDigits = 12;  // low bits that are ignored
  const auto a = static_cast<uint32_t>(i), b = static_cast<uint32_t>(j);
  const uint32_t low = a < b ? a : b, high = a < b ? b : a;
  const uint32_t lot = stirred(stirred(low + 0x9e3779b1u * static_cast<uint32_t>(round)) + high);
  return static_cast<uint64_t>(bits_of_float(weight) >> kDigits) << 32 | lot;
}

// choice[i]: the free entry that the free entry i prefers as its partner, or -1.
template <class Graph>
__device__ void choose(const Graph& graph, const int32_t* leader, const float* diagonal,
                       const float* strongest, int64_t round, int32_t* choice) {
  for (int64_t i = first_item(); i < graph.size; i += item_step()) {
    if (leader[i] != kFree) continue;
    int32_t partner = -1;
    uint64_t most = 0;
    for_each_neighbour(graph, i, [&](int32_t j, float weight) {
      if (leader[j] != kFree) return;
      // It is enough if the edge is strong for one of the two.
      if (!is_strong(weight, strongest[i]) && !is_strong(weight, strongest[j])) return;
      if (!may_be_one(bond_between(weight, diagonal[i], diagonal[j]))) return;
      const uint64_t wanted = desire(i, j, weight, round);
      if (wanted > most) {
        most = wanted;
        partner = j;
      }
    });
    choice[i] = partner;
  }
}

// root[i]: the leader of entry i's pair, i itself if alone, or -1 if left out. A free entry may
// join the pair of a larger one. first[r]: r on entry; the lowest entry with root r on return.
template <class Graph>
__device__ void join(const Graph& graph, const int32_t* leader, const float* diagonal,
                     int32_t* root, int32_t* first) {
  for (int64_t i = first_item(); i < graph.size; i += item_step()) {
    int32_t found = leader[i] == kLeftOut ? -1 : leader[i];
    if (leader[i] == kFree) {
      found = static_cast<int32_t>(i);
      float tied = 0.0f;
      for_each_neighbour(graph, i, [&](int32_t j, float weight) {
        if (leader[j] < 0 || diagonal[i] > diagonal[j]) return;
        const Bond bond = bond_between(weight, diagonal[i], diagonal[j]);
        if (!may_be_one(bond) || bond.strength <= tied * bond.limit) return;
        tied = bond.strength / bond.limit;
        found = leader[j];
      });
      atomicMin(first + found, static_cast<int32_t>(i));
    }
    root[i] = found;
  }
}

// degree[a + 1]: the number of edges from aggregate a to others; degree[0] = 0.
template <class Graph>
__device__ void count_edges(const Graph& graph, const int32_t* start, const int32_t* member,
                            const int32_t* group, int64_t groups, int32_t* degree) {
  for (int64_t a = first_item(); a < groups; a += item_step()) {
    int32_t found = 0;
    for (int64_t m = start[a]; m < start[a + 1]; ++m) {
      for_each_neighbour(graph, member[m], [&](int32_t j, float) {
        found += group[j] >= 0 && group[j] != static_cast<int32_t>(a);
      });
    }
    degree[a + 1] = found;
    if (a == 0) degree[0] = 0;
  }
}

// Sums over each aggregate: of the weights to seeds and to entries left out (tied), of the weights
// within it (inner), and of the diagonal.
struct Sums {
  float *tied, *inner, *diagonal;
};

// Row a of P^T A P without its diagonal, from place[a] up to end[a], in order of occurrence. Rows
// are short, so they are searched linearly. No aggregate has a leader yet.
template <class Graph>
__device__ void gather(const Graph& graph, const int32_t* start, const int32_t* member,
                       const int32_t* group, int64_t groups, const Sums& entries,
                       const int32_t* place, int32_t* end, int32_t* leader, int32_t* column,
                       float* weight, const Sums& sums) {
  for (int64_t a = first_item(); a < groups; a += item_step()) {
    int32_t* others = column + place[a];
    float* total = weight + place[a];
    int32_t count = 0;
    float tied = 0.0f, inner = 0.0f, within = 0.0f, left_out = 0.0f, diagonal = 0.0f;
    for (int64_t m = start[a]; m < start[a + 1]; ++m) {
      const int64_t i = member[m];
      tied += entries.tied[i];
      inner += entries.inner[i];
      diagonal += entries.diagonal[i];
      for_each_neighbour(graph, i, [&](int32_t j, float w) {
        const int32_t to = group[j];
        if (to < 0) {
          left_out += w;
        } else if (to == static_cast<int32_t>(a)) {
          within += w;
        } else {
          int32_t k = 0;
          while (k < count && others[k] != to) ++k;
          total[k] = k < count ? total[k] + w : w;
          others[k] = to;
          if (k == count) ++count;
        }
      });
    }
    end[a] = place[a] + count;
    leader[a] = kFree;
    sums.tied[a] = tied + left_out;
    sums.inner[a] = inner + 0.5f * within;  // each edge was added from both ends
    sums.diagonal[a] = diagonal;
  }
}

// The rows and columns with a number, ascending, row by row, in float64; chosen[k] has number k.
template <class Graph>
__device__ void submatrix(const Graph& graph, const float* row_sum, const int32_t* chosen,
                          int64_t count, const int32_t* number, const int32_t* start,
                          int32_t* column, double* value) {
  for (int64_t k = first_item(); k < count; k += item_step()) {
    const int64_t i = chosen[k];
    int32_t* to = column + start[k];
    double* at = value + start[k];
    int32_t filled = 0;
    const auto insert = [&](int32_t j, double entry) {
      int32_t p = filled++;
      for (; p > 0 && to[p - 1] > j; --p) {
        to[p] = to[p - 1];
        at[p] = at[p - 1];
      }
      to[p] = j;
      at[p] = entry;
    };
    double diagonal = static_cast<double>(row_sum[kPadding + i]);
    for_each_neighbour(graph, i, [&](int32_t j, float weight) {
      diagonal += static_cast<double>(weight);
      if (number[j] >= 0) insert(number[j], -static_cast<double>(weight));
    });
    insert(static_cast<int32_t>(k), diagonal);
  }
}

template <class Graph>
__device__ void count_chosen(const Graph& graph, const int32_t* chosen, int64_t count,
                             const int32_t* number, int32_t* found) {
  for (int64_t k = first_item(); k < count; k += item_step()) {
    int32_t entries = 1;
    for_each_neighbour(graph, chosen[k], [&](int32_t j, float) { entries += number[j] >= 0; });
    found[k] = entries;
  }
}

// A^-1 of a small matrix, (size, size), by Gauss-Jordan elimination without pivoting. One block.
template <class Graph>
__device__ void invert(const Graph& graph, const float* row_sum, double* inverse) {
  const int64_t n = graph.size;
  const auto for_all = [n](auto each) {
    for (int64_t at = threadIdx.x; at < n * n; at += blockDim.x) each(at / n, at % n, at);
    __syncthreads();
  };
  for_all([&](int64_t, int64_t, int64_t at) { inverse[at] = 0.0; });
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) {
    double diagonal = static_cast<double>(row_sum[kPadding + i]);
    for_each_neighbour(graph, i, [&](int32_t j, float weight) {
      diagonal += static_cast<double>(weight);
      inverse[i * n + j] = -static_cast<double>(weight);
    });
    inverse[i * n + i] = diagonal;
  }
  __syncthreads();
  for (int64_t k = 0; k < n; ++k) {
    const double pivot = inverse[k * n + k];
    // Row and column k do not change here.
    for_all([&](int64_t i, int64_t j, int64_t at) {
      if (i != k && j != k) inverse[at] -= inverse[i * n + k] * (inverse[k * n + j] / pivot);
    });
    for_all([&](int64_t i, int64_t j, int64_t at) {
      if (i == k && j == k)
        inverse[at] = 1.0 / pivot;
      else if (i == k)
        inverse[at] = inverse[at] / pivot;
      else if (j == k)
        inverse[at] = -inverse[at] / pivot;
    });
  }
}

}  // namespace hdseg

// Kernels for one kind of graph; what follows `graph` are its parts.
#define HDSEG_GRAPH_KERNELS(kind, graph, ...)                                                      \
  extern "C" __global__ void kind##_strongest(__VA_ARGS__, int64_t size, const int32_t* leader,    \
                                              float* strongest, int32_t* first) {                  \
    hdseg::find_strongest(hdseg::graph, leader, strongest, first);                                 \
  }                                                                                                \
  extern "C" __global__ void kind##_choose(__VA_ARGS__, int64_t size, const int32_t* leader,       \
                                           const float* diagonal, const float* strongest,          \
                                           int64_t round, int32_t* choice) {                       \
    hdseg::choose(hdseg::graph, leader, diagonal, strongest, round, choice);                       \
  }                                                                                                \
  extern "C" __global__ void kind##_join(__VA_ARGS__, int64_t size, const int32_t* leader,         \
                                         const float* diagonal, int32_t* root, int32_t* first) {   \
    hdseg::join(hdseg::graph, leader, diagonal, root, first);                                      \
  }                                                                                                \
  extern "C" __global__ void kind##_count_edges(__VA_ARGS__, int64_t size, const int32_t* start,   \
                                                const int32_t* member, const int32_t* group,       \
                                                int64_t groups, int32_t* degree) {                 \
    hdseg::count_edges(hdseg::graph, start, member, group, groups, degree);                        \
  }                                                                                                \
  extern "C" __global__ void kind##_gather(                                                        \
      __VA_ARGS__, int64_t size, const int32_t* start, const int32_t* member,                      \
      const int32_t* group, int64_t groups, float* tied, float* inner, float* diagonal,            \
      const int32_t* place, int32_t* end_of, int32_t* leader, int32_t* to, float* sum,             \
      float* group_tied, float* group_inner, float* group_diagonal) {                              \
    hdseg::gather(hdseg::graph, start, member, group, groups, {tied, inner, diagonal}, place,      \
                  end_of, leader, to, sum, {group_tied, group_inner, group_diagonal});             \
  }                                                                                                \
  extern "C" __global__ void kind##_inverse(__VA_ARGS__, int64_t size, const float* row_sum,       \
                                            double* inverse) {                                     \
    hdseg::invert(hdseg::graph, row_sum, inverse);                                                 \
  }                                                                                                \
  extern "C" __global__ void kind##_count_chosen(__VA_ARGS__, int64_t size, const int32_t* chosen, \
                                                 int64_t count, const int32_t* number,             \
                                                 int32_t* found) {                                 \
    hdseg::count_chosen(hdseg::graph, chosen, count, number, found);                               \
  }                                                                                                \
  extern "C" __global__ void kind##_submatrix(                                                     \
      __VA_ARGS__, int64_t size, const float* row_sum, const int32_t* chosen, int64_t count,       \
      const int32_t* number, const int32_t* start, int32_t* to, double* value) {                   \
    hdseg::submatrix(hdseg::graph, row_sum, chosen, count, number, start, to, value);              \
  }
HDSEG_GRAPH_KERNELS(stencil, stencil_level(offset, weights, weights, size), const int32_t* offset,
                    const float* weights)
HDSEG_GRAPH_KERNELS(rows, Rows({begin, end, column, weight, size}), const int32_t* begin,
                    const int32_t* end, const int32_t* column, const float* weight)
#undef HDSEG_GRAPH_KERNELS

// Initial values of each entry: left out or free, its diagonal, and no inner weights.
extern "C" __global__ void find_dominant(const float* row_sum, const float* inverse, int64_t size,
                                         int32_t* leader, float* diagonal, float* inner) {
  using namespace hdseg;
  for (int64_t i = first_item(); i < size; i += item_step()) {
    const float sum = row_sum[kPadding + i], whole = 1.0f / inverse[kPadding + i];
    leader[i] = is_dominant(sum, whole - sum) ? kLeftOut : kFree;
    diagonal[i] = whole;
    inner[i] = 0.0f;
  }
}

// Entries that chose each other become a pair.
extern "C" __global__ void shake_hands(const int32_t* choice, int64_t size, int32_t* leader) {
  using namespace hdseg;
  for (int64_t i = first_item(); i < size; i += item_step()) {
    if (leader[i] != kFree || choice[i] < 0) continue;
    const int32_t j = choice[i], self = static_cast<int32_t>(i);
    if (choice[j] == self) leader[i] = j < self ? j : self;
  }
}

// is_first[i]: 1 for the lowest entry of each group.
extern "C" __global__ void mark_first(const int32_t* root, const int32_t* first, int64_t size,
                                      int32_t* is_first) {
  using namespace hdseg;
  for (int64_t i = first_item(); i < size; i += item_step()) {
    is_first[i] = root[i] >= 0 && first[root[i]] == static_cast<int32_t>(i);
  }
}

// group[i]: the group of entry i, numbered by lowest entries; count[i]: the number of groups up to
// entry i. members[1 + g]: the number of entries of group g, 0 on entry.
extern "C" __global__ void number_groups(const int32_t* root, const int32_t* first,
                                         const int32_t* count, int64_t size, int32_t* group,
                                         int32_t* members) {
  using namespace hdseg;
  for (int64_t i = first_item(); i < size; i += item_step()) {
    group[i] = root[i] < 0 ? -1 : count[first[root[i]]] - 1;
    if (group[i] >= 0) atomicAdd(members + 1 + group[i], 1);
  }
}

// The groups of a second grouping of groups, with `members` as above.
extern "C" __global__ void compose(const int32_t* inner, const int32_t* outer, int64_t size,
                                   int32_t* group, int32_t* members) {
  using namespace hdseg;
  for (int64_t i = first_item(); i < size; i += item_step()) {
    group[i] = inner[i] < 0 ? -1 : outer[inner[i]];
    if (group[i] >= 0) atomicAdd(members + 1 + group[i], 1);
  }
}

// member: the entries of group g from start[g] on, in any order; those in no group come last.
// left[1 + g]: the entries of group g still to be placed; left[0]: those in no group already
// placed.
extern "C" __global__ void place_members(const int32_t* group, int64_t size, int64_t groups,
                                         const int32_t* start, int32_t* left, int32_t* member) {
  using namespace hdseg;
  for (int64_t i = first_item(); i < size; i += item_step()) {
    const int32_t g = group[i];
    const int32_t place =
        g < 0 ? start[groups] + atomicAdd(left, 1) : start[g] + atomicAdd(left + 1 + g, -1) - 1;
    member[place] = static_cast<int32_t>(i);
  }
}

// Sorts the entries of each group, so that sums have a fixed order. Groups are small.
extern "C" __global__ void sort_members(const int32_t* start, int64_t groups, int32_t* member) {
  using namespace hdseg;
  for (int64_t g = first_item(); g < groups; g += item_step()) {
    for (int32_t k = start[g] + 1; k < start[g + 1]; ++k) {
      const int32_t here = member[k];
      int32_t p = k;
      for (; p > start[g] && member[p - 1] > here; --p) member[p] = member[p - 1];
      member[p] = here;
    }
  }
}

// The resistance of each aggregate; start: of its members on the finer level. degree[a + 1]: the
// number of entries of row a, begin[a] .. end[a] - 1; degree[0] = 0.
extern "C" __global__ void find_resistances(const int32_t* start, const float* inner,
                                            const int32_t* begin, const int32_t* end,
                                            int64_t groups, float* resistance, int32_t* degree) {
  using namespace hdseg;
  for (int64_t a = first_item(); a < groups; a += item_step()) {
    resistance[a] = chain_resistance(start[a + 1] - start[a], inner[a]);
    degree[a + 1] = end[a] - begin[a];
    if (a == 0) degree[0] = 0;
  }
}

// The coarse matrix: the rows of gather() without gaps, with weights reduced by the resistances.
extern "C" __global__ void rescale(const int32_t* place, const int32_t* to, const float* sum,
                                   const float* tied, const float* resistance, int64_t groups,
                                   const int32_t* start, int32_t* column, float* weight,
                                   float* row_sum, float* inverse) {
  using namespace hdseg;
  for (int64_t a = first_item(); a < groups; a += item_step()) {
    const float reduced = in_series(tied[a], resistance[a]);
    float whole = reduced;
    int64_t from = place[a];
    for (int64_t k = start[a]; k < start[a + 1]; ++k, ++from) {
      const int32_t b = to[from];
      const float w = in_series(sum[from], resistance[a] + resistance[b]);
      column[k] = b;
      weight[k] = w;
      whole += w;
    }
    row_sum[kPadding + a] = reduced;
    inverse[kPadding + a] = 1.0f / whole;
  }
}
