#include "cpu/aggregation.h"

#include <algorithm>
#include <utility>

#include "cpu/rows.h"

namespace hdseg {
namespace {

// Two rounds of pairing: pairs, then pairs of pairs.
constexpr int kPairings = 2;

// Members of each group of a partition: group g has member[start[g] .. start[g + 1]).
struct Groups {
  std::vector<int32_t> start, member;

  // Entries with group == groups belong to no group.
  void sort(const int32_t* group, int32_t entries, int32_t groups) {
    start.assign(static_cast<size_t>(groups) + 2, 0);
    for (int32_t i = 0; i < entries; ++i) ++start[static_cast<size_t>(group[i]) + 1];
    for (size_t g = 1; g < start.size(); ++g) start[g] += start[g - 1];
    member.resize(static_cast<size_t>(entries));
    next_.assign(start.begin(), start.end() - 1);
    for (int32_t i = 0; i < entries; ++i) {
      member[static_cast<size_t>(next_[static_cast<size_t>(group[i])]++)] = i;
    }
  }

 private:
  std::vector<int32_t> next_;
};

// Sums of weights by neighbouring group, in order of first occurrence. Without branches: whether a
// group is new cannot be predicted.
class Sums {
 public:
  void make_room(size_t groups) {
    if (place_.size() >= groups) return;
    place_.resize(groups, -1);
    group_.resize(groups + 1);
    sum_.resize(groups + 1);
  }
  void add(int32_t group, float weight) {
    const int32_t known = place_[static_cast<size_t>(group)];
    const bool fresh = known < 0;
    const int32_t place = fresh ? size_ : known;
    const auto at = static_cast<size_t>(place);
    place_[static_cast<size_t>(group)] = place;
    group_[at] = group;
    sum_[at] = (fresh ? 0.0f : sum_[at]) + weight;
    size_ += fresh;
  }
  void reset() {
    for (int32_t q = 0; q < size_; ++q) place_[static_cast<size_t>(group(q))] = -1;
    size_ = 0;
  }
  int32_t size() const { return size_; }
  int32_t group(int32_t q) const { return group_[static_cast<size_t>(q)]; }
  float sum(int32_t q) const { return sum_[static_cast<size_t>(q)]; }

 private:
  std::vector<int32_t> place_, group_;
  std::vector<float> sum_;
  int32_t size_ = 0;
};

struct Workspace {
  RowReader reader;
  Rows rows;
  Groups groups;
  Sums sums;
  std::vector<float> diagonal;  // summed over each group
  std::vector<int32_t> group, next;

  // Sums the weights from the members of group a; at(j) is the group of entry j of the level.
  template <class At>
  void add_up(int32_t a, At at) {
    for (int32_t m = groups.start[static_cast<size_t>(a)];
         m < groups.start[static_cast<size_t>(a) + 1]; ++m) {
      const int32_t i = groups.member[static_cast<size_t>(m)];
      for (int32_t k = rows.start[i]; k < rows.start[i + 1]; ++k) {
        sums.add(at(rows.column[k]), rows.weight[k]);
      }
    }
  }
};

// The group to merge `a` with: a free partner if possible, else a larger group that is already
// merged, else -1. next[g] < 0 if g is free; group `none` is never chosen.
int32_t choose(const Workspace& work, int32_t a, int32_t none) {
  const Sums& sums = work.sums;
  const float da = work.diagonal[static_cast<size_t>(a)];
  float strongest = 0.0f;
  for (int32_t q = 0; q < sums.size(); ++q) {
    const bool other = sums.group(q) != a && sums.group(q) != none;
    strongest = std::max(strongest, other ? sums.sum(q) : 0.0f);
  }
  int32_t partner = -1, host = -1;
  float best = 0.0f, tied = 0.0f;
  for (int32_t q = 0; q < sums.size(); ++q) {
    const int32_t b = sums.group(q);
    if (b == a || b == none) continue;
    const float db = work.diagonal[static_cast<size_t>(b)], w = sums.sum(q);
    const Bond bond = bond_between(w, da, db);
    if (work.next[static_cast<size_t>(b)] < 0) {
      const bool better = is_strong(w, strongest) & may_be_one(bond) & (w > best);
      best = better ? w : best;
      partner = better ? b : partner;
    } else if ((da <= db) & may_be_one(bond) & (bond.strength > tied * bond.limit)) {
      tied = bond.strength / bond.limit;
      host = b;
    }
  }
  return partner >= 0 ? partner : host;
}

// Merges the chunk's groups in pairs, and returns the number of new groups. work.group: old numbers
// on entry, new ones on return; entries in no group have the number of groups.
int32_t pair_up(Workspace& work, const float* inverse, int32_t groups) {
  const Rows& rows = work.rows;
  int32_t* group = work.group.data();
  work.groups.sort(group, rows.count, groups);
  work.diagonal.assign(static_cast<size_t>(groups) + 1, 0.0f);
  for (int32_t i = 0; i < rows.count; ++i) {
    work.diagonal[static_cast<size_t>(group[i])] += 1.0f / inverse[rows.first + i];
  }
  work.sums.make_room(static_cast<size_t>(groups) + 1);
  work.next.assign(static_cast<size_t>(groups) + 1, -1);
  int32_t found = 0;
  for (int32_t a = 0; a < groups; ++a) {
    int32_t& next = work.next[static_cast<size_t>(a)];
    if (next >= 0) continue;
    work.add_up(a, [&](int32_t column) {
      const int64_t j = column - rows.first;
      return j >= 0 && j < rows.count ? group[j] : groups;
    });
    const int32_t b = choose(work, a, groups);
    work.sums.reset();
    if (b >= 0 && work.next[static_cast<size_t>(b)] >= 0) {
      next = work.next[static_cast<size_t>(b)];
      continue;
    }
    next = found;
    if (b >= 0) work.next[static_cast<size_t>(b)] = found;
    ++found;
  }
  work.next[static_cast<size_t>(groups)] = found;
  for (int32_t i = 0; i < rows.count; ++i) group[i] = work.next[static_cast<size_t>(group[i])];
  return found;
}

// Numbers the chunk's aggregates from 0; returns their number.
int32_t aggregate_chunk(Workspace& work, const float* inverse, const float* row_sum,
                        int32_t* aggregate) {
  const Rows& rows = work.rows;
  work.group.resize(static_cast<size_t>(rows.count));
  int32_t* group = work.group.data();
  int32_t groups = 0;
  for (int32_t i = 0; i < rows.count; ++i) {
    const float sum = row_sum[rows.first + i];
    const bool dominant = is_dominant(sum, 1.0f / inverse[rows.first + i] - sum);
    group[i] = dominant ? rows.count : groups;
    groups += !dominant;
  }
  for (int32_t i = 0; i < rows.count; ++i) group[i] = std::min(group[i], groups);
  for (int pairing = 0; pairing < kPairings; ++pairing) groups = pair_up(work, inverse, groups);
  for (int32_t i = 0; i < rows.count; ++i) {
    aggregate[rows.first + i] = group[i] < groups ? group[i] : -1;
  }
  return groups;
}

// Appends the chunk's rows of P^T A P. Entries in no aggregate act as seeds with value 0.
// resistance[a]: of aggregate a's inner edges.
void galerkin_chunk(Workspace& work, const float* row_sum, const int32_t* aggregate,
                    int32_t first_group, int32_t groups, int32_t all_groups, float* resistance,
                    Coarse& coarse) {
  const Rows& rows = work.rows;
  work.group.resize(static_cast<size_t>(rows.count));
  for (int32_t i = 0; i < rows.count; ++i) {
    const int32_t a = aggregate[rows.first + i];
    work.group[static_cast<size_t>(i)] = a < 0 ? groups : a - first_group;
  }
  work.groups.sort(work.group.data(), rows.count, groups);
  work.sums.make_room(static_cast<size_t>(all_groups) + 1);
  for (int32_t a = 0; a < groups; ++a) {
    const int32_t begin = work.groups.start[static_cast<size_t>(a)];
    const int32_t members = work.groups.start[static_cast<size_t>(a) + 1] - begin;
    float tied = 0.0f, inner = 0.0f;
    for (int32_t m = begin; m < begin + members; ++m) {
      tied += row_sum[rows.first + work.groups.member[static_cast<size_t>(m)]];
    }
    work.add_up(
        a, [&](int32_t column) { return aggregate[column] < 0 ? all_groups : aggregate[column]; });
    for (int32_t q = 0; q < work.sums.size(); ++q) {
      const int32_t other = work.sums.group(q);
      if (other == all_groups) {
        tied += work.sums.sum(q);
      } else if (other == first_group + a) {
        inner = 0.5f * work.sums.sum(q);  // each edge was added from both ends
      } else {
        coarse.column.push_back(other);
        coarse.value.push_back(work.sums.sum(q));
      }
    }
    work.sums.reset();
    resistance[first_group + a] = chain_resistance(members, inner);
    coarse.row_start.push_back(static_cast<int32_t>(coarse.column.size()));
    coarse.row_sum.push_back(tied);
  }
}

// Reduces weights and row sums by the aggregates' resistances, and computes 1 / diagonal.
void rescale(const std::vector<float>& resistance, Coarse& coarse) {
  const auto size = static_cast<int64_t>(coarse.row_sum.size());
  coarse.inverse.resize(coarse.row_sum.size());
#pragma omp parallel for schedule(static) if (size > (1 << 14))
  for (int64_t a = 0; a < size; ++a) {
    const auto row = static_cast<size_t>(a);
    float& row_sum = coarse.row_sum[row];
    row_sum = in_series(row_sum, resistance[row]);
    float sum = row_sum;
    for (auto k = static_cast<size_t>(coarse.row_start[row]);
         k < static_cast<size_t>(coarse.row_start[row + 1]); ++k) {
      const auto other = static_cast<size_t>(coarse.column[k]);
      coarse.value[k] = in_series(coarse.value[k], resistance[row] + resistance[other]);
      sum += coarse.value[k];
    }
    coarse.inverse[row] = 1.0f / sum;
  }
}

}  // namespace

template <class Level>
Coarse coarsen(const Level& level, const float* inverse, int32_t* aggregate) {
  const auto chunks = static_cast<size_t>(level.chunks);
  std::vector<int32_t> first(chunks + 1, 0);
  std::vector<Coarse> parts(chunks);
  std::vector<float> resistance;
#pragma omp parallel if (level.chunks > 1)
  {
    Workspace work;
#pragma omp for schedule(dynamic)
    for (int64_t c = 0; c < level.chunks; ++c) {
      work.rows = work.reader.read(level, c);
      first[static_cast<size_t>(c) + 1] =
          aggregate_chunk(work, inverse, level.matrix.row_sum, aggregate);
    }
#pragma omp single
    {
      for (size_t c = 0; c < chunks; ++c) first[c + 1] += first[c];
      resistance.resize(static_cast<size_t>(first[chunks]));
    }
#pragma omp for schedule(static)
    for (int64_t c = 0; c < level.chunks; ++c) {
      for (int64_t i = level.first(c); i < level.first(c + 1); ++i) {
        if (aggregate[i] >= 0) aggregate[i] += first[static_cast<size_t>(c)];
      }
    }
#pragma omp for schedule(dynamic)
    for (int64_t c = 0; c < level.chunks; ++c) {
      const auto at = static_cast<size_t>(c);
      work.rows = work.reader.read(level, c);
      galerkin_chunk(work, level.matrix.row_sum, aggregate, first[at], first[at + 1] - first[at],
                     first[chunks], resistance.data(), parts[at]);
    }
  }
  Coarse coarse;
  coarse.row_start.push_back(0);
  for (Coarse& part : parts) {
    const auto base = static_cast<int32_t>(coarse.column.size());
    for (const int32_t end : part.row_start) coarse.row_start.push_back(base + end);
    coarse.column.insert(coarse.column.end(), part.column.begin(), part.column.end());
    coarse.value.insert(coarse.value.end(), part.value.begin(), part.value.end());
    coarse.row_sum.insert(coarse.row_sum.end(), part.row_sum.begin(), part.row_sum.end());
    part = Coarse();
  }
  rescale(resistance, coarse);
  return coarse;
}

template <class Level>
void submatrix(const Level& level, const int32_t* number, std::vector<int32_t>& row_start,
               std::vector<int32_t>& column, std::vector<double>& value) {
  RowReader reader;
  std::vector<std::pair<int32_t, double>> entries;  // of one row
  row_start.assign(1, 0);
  for (int64_t c = 0; c < level.chunks; ++c) {
    const int64_t first = level.first(c), last = level.first(c + 1);
    if (std::all_of(number + first, number + last, [](int32_t k) { return k < 0; })) continue;
    const Rows rows = reader.read(level, c);
    for (int64_t i = first; i < last; ++i) {
      if (number[i] < 0) continue;
      const auto at = static_cast<size_t>(i - first);
      entries.clear();
      double diagonal = level.matrix.row_sum[i];
      for (auto k = static_cast<size_t>(rows.start[at]);
           k < static_cast<size_t>(rows.start[at + 1]); ++k) {
        diagonal += static_cast<double>(rows.weight[k]);
        if (number[rows.column[k]] < 0) continue;
        entries.emplace_back(number[rows.column[k]], -static_cast<double>(rows.weight[k]));
      }
      entries.emplace_back(number[i], diagonal);
      std::sort(entries.begin(), entries.end());  // entries of a coarse row are not in order
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
