#include "cpu/aggregation.h"

#include <algorithm>
#include <utility>

#include "cpu/rows.h"

namespace hdseg {
namespace {

// Chosen by measurement: docs/decisions/0005-solver.md.
constexpr int kPairings = 2;
// Entries whose row sum exceeds this share of their weights are left to the smoother.
constexpr float kDominant = 0.3f;
// A pair (a, b) is good when the modes that it cannot represent are high in energy:
// w_ab >= kQuality d_a d_b / (d_a + d_b), with d the diagonals summed over each aggregate. Without
// this, clusters that hang on the rest by weak edges get glued to it and never converge.
constexpr float kQuality = 0.3f;
// The share of its strongest neighbour that a partner must have.
constexpr float kStrong = 0.25f;
// What finds no partner may join an aggregate, if it is the smaller one and tied to it like this.
constexpr float kJoin = 0.3f;

// Members of each group of a partition: group g has member[start[g] .. start[g + 1]).
struct Groups {
  std::vector<int32_t> start, member;

  void sort(const int32_t* group, int32_t entries, int32_t groups) {
    start.assign(static_cast<size_t>(groups) + 1, 0);
    for (int32_t i = 0; i < entries; ++i) {
      if (group[i] >= 0) ++start[static_cast<size_t>(group[i]) + 1];
    }
    for (size_t g = 1; g < start.size(); ++g) start[g] += start[g - 1];
    member.resize(static_cast<size_t>(start.back()));
    next_.assign(start.begin(), start.end() - 1);
    for (int32_t i = 0; i < entries; ++i) {
      if (group[i] >= 0) member[static_cast<size_t>(next_[static_cast<size_t>(group[i])]++)] = i;
    }
  }

 private:
  std::vector<int32_t> next_;
};

// Sums of weights by neighbouring group, in the order they are met.
class Sums {
 public:
  void make_room(size_t groups) {
    if (place_.size() < groups) place_.resize(groups, -1);
  }
  void add(int32_t group, float weight) {
    int32_t& place = place_[static_cast<size_t>(group)];
    if (place < 0) {
      place = static_cast<int32_t>(group_.size());
      group_.push_back(group);
      sum_.push_back(0.0f);
    }
    sum_[static_cast<size_t>(place)] += weight;
  }
  void reset() {
    for (const int32_t group : group_) place_[static_cast<size_t>(group)] = -1;
    group_.clear();
    sum_.clear();
  }
  size_t size() const { return group_.size(); }
  int32_t group(size_t q) const { return group_[q]; }
  float sum(size_t q) const { return sum_[q]; }

 private:
  std::vector<int32_t> place_, group_;
  std::vector<float> sum_;
};

struct Workspace {
  Rows rows;
  Groups groups;
  Sums sums;
  std::vector<float> diagonal;  // summed over each group
  std::vector<int32_t> next;
};

// The aggregate to put `a` into: another one as a partner, one that is merged already to join, or
// -1. merged[g] < 0 where g is still free.
int32_t choose(const Sums& sums, int32_t a, const std::vector<float>& diagonal,
               const std::vector<int32_t>& merged) {
  float strongest = 0.0f;
  for (size_t q = 0; q < sums.size(); ++q) strongest = std::max(strongest, sums.sum(q));
  const float da = diagonal[static_cast<size_t>(a)];
  int32_t partner = -1, host = -1;
  float best = 0.0f, tied = 0.0f;
  for (size_t q = 0; q < sums.size(); ++q) {
    const auto b = static_cast<size_t>(sums.group(q));
    const float db = diagonal[b], w = sums.sum(q), ratio = w * (da + db) / (da * db);
    if (merged[b] < 0) {
      if (w >= kStrong * strongest && ratio >= kQuality && w > best) {
        best = w;
        partner = sums.group(q);
      }
    } else if (da <= db && ratio >= kJoin && ratio > tied) {
      tied = ratio;
      host = sums.group(q);
    }
  }
  return partner >= 0 ? partner : host;
}

// Merges groups of the chunk's entries in pairs; group holds the old numbers and then the new ones.
int32_t pair_up(Workspace& work, const float* diagonal, int32_t* group, int32_t groups) {
  const Rows& rows = work.rows;
  const int32_t entries = rows.count();
  work.groups.sort(group, entries, groups);
  work.diagonal.assign(static_cast<size_t>(groups), 0.0f);
  for (int32_t i = 0; i < entries; ++i) {
    if (group[i] >= 0) work.diagonal[static_cast<size_t>(group[i])] += diagonal[rows.first + i];
  }
  work.sums.make_room(static_cast<size_t>(groups));
  work.next.assign(static_cast<size_t>(groups), -1);
  int32_t found = 0;
  for (int32_t a = 0; a < groups; ++a) {
    if (work.next[static_cast<size_t>(a)] >= 0) continue;
    for (int32_t m = work.groups.start[static_cast<size_t>(a)];
         m < work.groups.start[static_cast<size_t>(a) + 1]; ++m) {
      const auto i = static_cast<size_t>(work.groups.member[static_cast<size_t>(m)]);
      for (auto k = static_cast<size_t>(rows.start[i]); k < static_cast<size_t>(rows.start[i + 1]);
           ++k) {
        const int64_t j = rows.column[k] - rows.first;
        if (j < 0 || j >= entries || group[j] < 0 || group[j] == a) continue;
        work.sums.add(group[j], rows.weight[k]);
      }
    }
    const int32_t b = choose(work.sums, a, work.diagonal, work.next);
    work.sums.reset();
    if (b >= 0 && work.next[static_cast<size_t>(b)] >= 0) {
      work.next[static_cast<size_t>(a)] = work.next[static_cast<size_t>(b)];
      continue;
    }
    work.next[static_cast<size_t>(a)] = found;
    if (b >= 0) work.next[static_cast<size_t>(b)] = found;
    ++found;
  }
  for (int32_t i = 0; i < entries; ++i) {
    if (group[i] >= 0) group[i] = work.next[static_cast<size_t>(group[i])];
  }
  return found;
}

// Numbers the chunk's aggregates from 0 and returns how many there are.
int32_t aggregate_chunk(Workspace& work, const float* diagonal, const float* excess,
                        int32_t* aggregate) {
  const int32_t entries = work.rows.count();
  int32_t groups = 0;
  for (int32_t i = 0; i < entries; ++i) {
    const int64_t at = work.rows.first + i;
    const bool dominant = excess[at] > kDominant * (diagonal[at] - excess[at]);
    aggregate[at] = dominant ? -1 : groups++;
  }
  for (int pairing = 0; pairing < kPairings; ++pairing) {
    groups = pair_up(work, diagonal, aggregate + work.rows.first, groups);
  }
  return groups;
}

// Appends the chunk's rows of P^T A P. A coarse entry sees one that is left out as a seed of 0.
void galerkin_chunk(Workspace& work, const float* excess, const int32_t* aggregate,
                    int32_t first_group, int32_t groups, int32_t all_groups, Coarse& coarse) {
  const Rows& rows = work.rows;
  const int32_t entries = rows.count();
  std::vector<int32_t>& local = work.next;
  local.resize(static_cast<size_t>(entries));
  for (int32_t i = 0; i < entries; ++i) {
    const int32_t a = aggregate[rows.first + i];
    local[static_cast<size_t>(i)] = a < 0 ? -1 : a - first_group;
  }
  work.groups.sort(local.data(), entries, groups);
  work.sums.make_room(static_cast<size_t>(all_groups));
  for (int32_t a = 0; a < groups; ++a) {
    float tied = 0.0f;
    for (int32_t m = work.groups.start[static_cast<size_t>(a)];
         m < work.groups.start[static_cast<size_t>(a) + 1]; ++m) {
      const auto i = static_cast<size_t>(work.groups.member[static_cast<size_t>(m)]);
      tied += excess[rows.first + static_cast<int64_t>(i)];
      for (auto k = static_cast<size_t>(rows.start[i]); k < static_cast<size_t>(rows.start[i + 1]);
           ++k) {
        const int32_t other = aggregate[rows.column[k]];
        if (other < 0) {
          tied += rows.weight[k];
        } else if (other != first_group + a) {
          work.sums.add(other, rows.weight[k]);
        }
      }
    }
    coarse.excess.push_back(tied);
    for (size_t q = 0; q < work.sums.size(); ++q) {
      coarse.column.push_back(work.sums.group(q));
      coarse.value.push_back(work.sums.sum(q));
      tied += work.sums.sum(q);
    }
    work.sums.reset();
    coarse.row_start.push_back(static_cast<int32_t>(coarse.column.size()));
    coarse.diagonal.push_back(tied);
  }
}

}  // namespace

template <class Level>
Coarse coarsen(const Level& level, const float* diagonal, int32_t* aggregate) {
  const auto chunks = static_cast<size_t>(level.chunks);
  std::vector<int32_t> first(chunks + 1, 0);
  std::vector<Coarse> parts(chunks);
#pragma omp parallel if (level.chunks > 1)
  {
    Workspace work;
#pragma omp for schedule(dynamic)
    for (int64_t c = 0; c < level.chunks; ++c) {
      read_rows(level, c, work.rows);
      first[static_cast<size_t>(c) + 1] = aggregate_chunk(work, diagonal, level.excess, aggregate);
    }
#pragma omp single
    for (size_t c = 0; c < chunks; ++c) first[c + 1] += first[c];
#pragma omp for schedule(static)
    for (int64_t c = 0; c < level.chunks; ++c) {
      for (int64_t i = level.first(c); i < level.first(c + 1); ++i) {
        if (aggregate[i] >= 0) aggregate[i] += first[static_cast<size_t>(c)];
      }
    }
#pragma omp for schedule(dynamic)
    for (int64_t c = 0; c < level.chunks; ++c) {
      const auto at = static_cast<size_t>(c);
      read_rows(level, c, work.rows);
      galerkin_chunk(work, level.excess, aggregate, first[at], first[at + 1] - first[at],
                     first[chunks], parts[at]);
    }
  }
  Coarse coarse;
  coarse.row_start.push_back(0);
  for (Coarse& part : parts) {
    const auto base = static_cast<int32_t>(coarse.column.size());
    for (const int32_t end : part.row_start) coarse.row_start.push_back(base + end);
    coarse.column.insert(coarse.column.end(), part.column.begin(), part.column.end());
    coarse.value.insert(coarse.value.end(), part.value.begin(), part.value.end());
    coarse.excess.insert(coarse.excess.end(), part.excess.begin(), part.excess.end());
    coarse.diagonal.insert(coarse.diagonal.end(), part.diagonal.begin(), part.diagonal.end());
    part = Coarse();
  }
  return coarse;
}

template <class Level>
void submatrix(const Level& level, const int32_t* number, std::vector<int32_t>& row_start,
               std::vector<int32_t>& column, std::vector<double>& value) {
  Rows rows;
  std::vector<std::pair<int32_t, double>> entries;  // of one row
  row_start.assign(1, 0);
  for (int64_t c = 0; c < level.chunks; ++c) {
    const int64_t first = level.first(c), last = level.first(c + 1);
    if (std::all_of(number + first, number + last, [](int32_t k) { return k < 0; })) continue;
    read_rows(level, c, rows);
    for (int64_t i = first; i < last; ++i) {
      if (number[i] < 0) continue;
      const auto at = static_cast<size_t>(i - first);
      entries.clear();
      double diagonal = level.excess[i];
      for (auto k = static_cast<size_t>(rows.start[at]);
           k < static_cast<size_t>(rows.start[at + 1]); ++k) {
        diagonal += static_cast<double>(rows.weight[k]);
        if (number[rows.column[k]] < 0) continue;
        entries.emplace_back(number[rows.column[k]], -static_cast<double>(rows.weight[k]));
      }
      entries.emplace_back(number[i], diagonal);
      std::sort(entries.begin(), entries.end());  // those of a coarse row come as they were met
      for (const auto& [j, entry] : entries) {
        column.push_back(j);
        value.push_back(entry);
      }
      row_start.push_back(static_cast<int32_t>(column.size()));
    }
  }
}

template void submatrix<StencilLevel>(const StencilLevel&, const int32_t*, std::vector<int32_t>&,
                                      std::vector<int32_t>&, std::vector<double>&);
template void submatrix<SparseLevel>(const SparseLevel&, const int32_t*, std::vector<int32_t>&,
                                     std::vector<int32_t>&, std::vector<double>&);
template Coarse coarsen<StencilLevel>(const StencilLevel&, const float*, int32_t*);
template Coarse coarsen<SparseLevel>(const SparseLevel&, const float*, int32_t*);

}  // namespace hdseg
