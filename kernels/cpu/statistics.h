// Statistics of an image's values; results do not depend on the number of threads.
#pragma once
#include "common/portable.h"

namespace hdseg {

// Mean of (x - mean(x))^2 over all values; exactly 0 if all are equal.
template <class T>
double variance(const T* values, int64_t count);

// Mean of each channel; channels are interleaved.
template <class T>
void channel_means(const T* image, int64_t pixels, int64_t channels, double* means);

// The counts of the values 0..bins - 1; no value is larger.
template <class T>
void histogram(const T* values, int64_t count, int64_t bins, int64_t* counts);

}  // namespace hdseg
