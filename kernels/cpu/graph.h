// The graph of the unknown band. A band is the ascending list of its pixel indices; nothing here
// needs memory for the rest of the image.
#pragma once
#include "common/edge_weight.h"
#include "common/grid.h"

namespace hdseg {

// (count, 4) weights of the edges to north, west, east, south; 0 where the edge leaves the image.
template <class T>
void edge_weights(const T* features, const Grid& grid, int64_t channels, const int64_t* pixels,
                  int64_t count, EdgeRule rule, double strength, double* weights);

// (count, 4) positions of those neighbours in the band, or -1.
void neighbours(const int64_t* pixels, int64_t count, const Grid& grid, int32_t* unknown);

// 4-connected components of the band, numbered by their first pixel; returns how many.
int32_t components(const int32_t* unknown, int64_t count, int32_t* component);

// touches[component, k] = true where a seed of class k (label k + 1) adjoins the component.
void contacts(const int64_t* pixels, int64_t count, const Grid& grid, const int32_t* seeds,
              const int32_t* component, int32_t class_count, bool* touches);

// L_UU + gamma I in compressed sparse rows. row_start has count + 1 entries and is filled first by
// row_starts(), whose result is the length of column and value.
int64_t row_starts(const int32_t* unknown, int64_t count, int32_t* row_start);
void laplacian(const int32_t* unknown, const double* weights, int64_t count, double gamma,
               const int32_t* row_start, int32_t* column, double* value);

// -L_US m, where m indicates for each pixel the seeds with its own label.
void flux_from_seeds(const double* weights, const int64_t* pixels, int64_t count, const Grid& grid,
                     const int32_t* seeds, const int32_t* label, double* flux);

}  // namespace hdseg
