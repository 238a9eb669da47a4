// Gaussian models of the classes' colours: one for each class that may be near a colour window.
#pragma once
#include <vector>

#include "common/evidence.h"

namespace hdseg {

// How models are estimated, from windows of group x group cells.
struct Estimation {
  int64_t group;
  double area;            // pixels of a window
  const int64_t* radius;  // of the box filters, in windows: narrow first
  int64_t levels;
  double prior;  // weight of the next wider windows, as a fraction of a window's pixels
  double start;  // the same for the widest windows: weight of the whole image's colours
  double ridge;  // added to the variances
};

// The classes of window w are label[start[w]] .. label[start[w + 1] - 1], ascending.
template <class T>
struct Nearby {
  std::vector<int64_t> start;
  std::vector<T> label;
};

// For each colour window of group x group cells of `cell` pixels, the classes around all pixels
// whose colours are looked up in it. maps: the classes of cells, map_count maps.
template <class T>
Nearby<T> nearby_classes(const T* maps, int64_t map_count, const Grid& cells, int64_t class_count,
                         int64_t cell, int64_t group);

// For each entry of `label` the coefficients (moments) of log N(x; mean, covariance) as a quadratic
// form in x.
//
// moments: (cells, moments) sums over cells; class k is where own == k, and counts with `weight`.
// What a model is depends on no other.
template <class T>
void colour_models(const float* moments, int64_t channels, const T* own, const float* weight,
                   const Grid& cells, int64_t class_count, const int64_t* start, const T* label,
                   const Estimation& how, float* coefficients);

}  // namespace hdseg
