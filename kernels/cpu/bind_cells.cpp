#include <nanobind/stl/pair.h>

#include "cpu/arrays.h"
#include "cpu/cells.h"
#include "cpu/detail.h"
#include "cpu/nearest_other.h"
#include "cpu/statistics.h"

using namespace nanobind::literals;

namespace hdseg {
namespace {

template <class T>
void bind_images(nb::module_& m) {
  m.def(
      "cell_moments",
      [](const Stack<const T>& image, int64_t cell, const Vector<const double>& center,
         double scale, const Stack<float>& moments) {
        cell_moments(image.data(), grid_of(image), extent(image, 2), cell, center.data(), scale,
                     moments.data());
      },
      "image"_a.noconvert(), "cell"_a, "center"_a, "scale"_a, "moments"_a.noconvert(),
      WithoutGil());
  m.def(
      "channel_means",
      [](const Stack<const T>& image, const Vector<double>& means) {
        const Grid grid = grid_of(image);
        channel_means(image.data(), grid.height * grid.width, extent(image, 2), means.data());
      },
      "image"_a.noconvert(), "means"_a.noconvert(), WithoutGil());
}

template <class T>
void bind_classes(nb::module_& m) {
  m.def(
      "cell_labels",
      [](const Matrix<const T>& labels, int64_t cell, const Matrix<T>& found) {
        cell_labels(labels.data(), grid_of(labels), cell, found.data());
      },
      "labels"_a.noconvert(), "cell"_a, "found"_a.noconvert(), WithoutGil());
  m.def(
      "nearest_others",
      [](const Matrix<const T>& cells, int64_t reach, const Matrix<float>& distance,
         const Matrix<T>& nearest_other) {
        nearest_others(cells.data(), grid_of(cells), reach, distance.data(), nearest_other.data());
      },
      "cells"_a.noconvert(), "reach"_a, "distance"_a.noconvert(), "nearest_other"_a.noconvert(),
      WithoutGil());
  m.def(
      "boundary_detail",
      [](const Matrix<const T>& labels) {
        const Detail detail = boundary_detail(labels.data(), grid_of(labels));
        return std::pair(detail.flips, detail.edges);
      },
      "labels"_a.noconvert(), WithoutGil());
}

}  // namespace

void bind_cells(nb::module_& m) {
  bind_images<uint8_t>(m);
  bind_images<uint16_t>(m);
  bind_images<float>(m);
  bind_images<double>(m);
  bind_classes<uint8_t>(m);
  bind_classes<uint16_t>(m);
  bind_classes<uint32_t>(m);
}

}  // namespace hdseg
