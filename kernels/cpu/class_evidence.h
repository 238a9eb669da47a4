// Class evidence of the pixels of a band: scores of colours, distances and network probabilities.
#pragma once
#include "common/evidence_pixel.h"
#include "cpu/band.h"

namespace hdseg {

template <class Value>
struct Picture {
  const Value* values;  // (grid, channels)
  Grid grid;
  int64_t top, left;  // of its first pixel on the grid of cells and windows
  int64_t channels;
};

// label (n, kept) and probability (n, kept): the likeliest classes + 1 of each pixel, likeliest
// first, and the softmax of their scores; label 0 and probability 0 where there are fewer.
//
//   score_k = weight log N_k(x) + 1/2 sum_maps log_odds(signed distance to class k) + network_k
template <class Value, class T>
void class_evidence(const Band& band, const Picture<Value>& picture, const EvidenceTerms<T>& terms,
                    int64_t kept, T* label, float* probability);

// Adds gamma times the probability of its column's label at its place to each entry of b; label and
// probability are those of the pixels position[i], or of all pixels in order (null).
template <class T>
void add_evidence(const Band& band, const int32_t* position, const T* label,
                  const float* probability, int64_t kept, const ColumnLabels<T>& columns,
                  float gamma, float* b, int64_t stride);

}  // namespace hdseg
