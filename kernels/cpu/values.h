// What the values of an array are, at the door: nothing is known of them but their type.
#pragma once
#include "common/normalise.h"

namespace hdseg {

// Values of K classes for each pixel, (outer, K, inner): the pixels are outer x inner.
template <class T>
struct ClassValues {
  const T* values;
  int64_t outer, classes, inner;
};

template <class T>
using Computed = decltype(computed(T{}));

// The least and the greatest value, in lowest and highest.
template <class T>
Extremes<Computed<T>> extremes(const T* values, int64_t count);

// The same of a stack, with the sums over its classes.
template <class T>
Extremes<Computed<T>> stack_extremes(const ClassValues<T>& stack);

// out[k * stride + p]: value / sum of class k at pixel p, or the softmax. The results may
// take the place of the values of a stack of floats with outer == 1 and stride == inner.
template <class T>
void normalise(const ClassValues<T>& stack, bool softmax, float* out, int64_t stride);

// found[label - low] = 1 for each label; modulo 2^bits, so that types with a sign are as good.
template <class T>
void mark_occurring(const T* labels, int64_t count, T low, uint8_t* found);

// codes[i] = table[labels[i] - low].
template <class T, class Code>
void recode(const T* labels, int64_t count, T low, const Code* table, Code* codes);

}  // namespace hdseg
