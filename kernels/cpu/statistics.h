// What a whole picture's values add up to, the same for any number of threads.
#pragma once
#include "common/portable.h"

namespace hdseg {

// Mean of (x - mean(x))^2 over all values; exactly 0 if they are alike.
template <class T>
double variance(const T* values, int64_t count);

// Mean of each channel, interleaved in `pixels` pixels.
template <class T>
void channel_means(const T* image, int64_t pixels, int64_t channels, double* means);

// How often each of 0..bins - 1 occurs; all values are below bins.
template <class T>
void histogram(const T* values, int64_t count, int64_t bins, int64_t* counts);

}  // namespace hdseg
