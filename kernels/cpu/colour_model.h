// Gaussian models of a class's colours, one for each window of the picture.
#pragma once
#include <vector>

#include "common/evidence.h"

namespace hdseg {

// Part of the windows' grid.
struct Box {
  int64_t top, left, height, width;
};

struct Shrinkage {
  const int64_t* radius;  // of the box filters, in windows: narrow first
  int64_t levels;
  double prior;  // weight of what the next wider windows say, as a share of a window
  double start;  // the same for the widest windows: of the whole picture's colours
  double ridge;  // added to the variances
};

// The coefficients (box, moments) of log N(x; mean, covariance) as a quadratic form in x.
//
// moments: (cells, moments) sums over cells; class T is where own == k, and counts with `weight`.
// A window is group x group cells; window_area is its pixels. Windows around the box count, too:
// its models do not depend on how large it is.
template <class T>
void colour_model(const float* moments, int64_t channels, const T* own, const float* weight,
                  const Grid& cells, T k, int64_t group, double window_area, const Box& box,
                  const Shrinkage& shrinkage, float* coefficients);

}  // namespace hdseg
