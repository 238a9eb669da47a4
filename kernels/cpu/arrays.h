// The arrays that cross from Python: C-contiguous, on the CPU, checked and allocated by Python.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <utility>
#include <vector>

#include "cpu/band.h"
#include "cpu/team.h"

namespace hdseg {

namespace nb = nanobind;

template <class T, class Shape>
using Array = nb::ndarray<T, Shape, nb::c_contig, nb::device::cpu>;
template <class T>
using Vector = Array<T, nb::ndim<1>>;
template <class T>
using Matrix = Array<T, nb::ndim<2>>;
template <class T>
using Stack = Array<T, nb::ndim<3>>;

template <class A>
int64_t extent(const A& array, size_t axis) {
  return static_cast<int64_t>(array.shape(axis));
}

// The grid of an array whose first of two spatial axes is `axis`.
template <class A>
Grid grid_of(const A& array, size_t axis = 0) {
  return {extent(array, axis), extent(array, axis + 1)};
}

// What the kernels do while other Python threads go on, and with how many of their own.
using WithoutGil = nb::call_guard<nb::gil_scoped_release, Team>;

// A NumPy array that takes over a vector whose length only the kernel could know.
template <class T>
nb::ndarray<nb::numpy, T, nb::ndim<1>> owned(std::vector<T> values) {
  auto* kept = new std::vector<T>(std::move(values));
  nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
  return {kept->data(), {kept->size()}, owner};
}

void bind_cells(nb::module_& m);
void bind_statistics(nb::module_& m);
void bind_thinning(nb::module_& m);
void bind_upsampling(nb::module_& m);
void bind_band(nb::module_& m);
void bind_level(nb::module_& m);
void bind_evidence(nb::module_& m);
void bind_filters(nb::module_& m);
void bind_values(nb::module_& m);

}  // namespace hdseg
