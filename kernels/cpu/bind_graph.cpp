#include "cpu/arrays.h"
#include "cpu/graph.h"

using namespace nanobind::literals;

namespace hdseg {
namespace {

template <class T>
void bind_pixel_type(nb::module_& m) {
  m.def(
      "edge_weights",
      [](const Stack<const T>& features, const Vector<const int64_t>& pixels, int32_t rule,
         double strength, const Matrix<double>& weights) {
        edge_weights(features.data(), grid_of(features), extent(features, 2), pixels.data(),
                     extent(pixels, 0), static_cast<EdgeRule>(rule), strength, weights.data());
      },
      "features"_a.noconvert(), "pixels"_a, "rule"_a, "strength"_a, "weights"_a, WithoutGil());
}

}  // namespace

void bind_graph(nb::module_& m) {
  bind_pixel_type<uint8_t>(m);
  bind_pixel_type<uint16_t>(m);
  bind_pixel_type<float>(m);
  bind_pixel_type<double>(m);

  m.def(
      "neighbours",
      [](const Vector<const int64_t>& pixels, int64_t height, int64_t width,
         const Matrix<int32_t>& unknown) {
        neighbours(pixels.data(), extent(pixels, 0), {height, width}, unknown.data());
      },
      "pixels"_a, "height"_a, "width"_a, "unknown"_a, WithoutGil());
  m.def(
      "components",
      [](const Matrix<const int32_t>& unknown, const Vector<int32_t>& component) {
        return components(unknown.data(), extent(unknown, 0), component.data());
      },
      "unknown"_a, "component"_a, WithoutGil());
  m.def(
      "contacts",
      [](const Vector<const int64_t>& pixels, const Matrix<const int32_t>& seeds,
         const Vector<const int32_t>& component, const Matrix<bool>& touches) {
        contacts(pixels.data(), extent(pixels, 0), grid_of(seeds), seeds.data(), component.data(),
                 static_cast<int32_t>(touches.shape(1)), touches.data());
      },
      "pixels"_a, "seeds"_a, "component"_a, "touches"_a, WithoutGil());
  m.def(
      "row_starts",
      [](const Matrix<const int32_t>& unknown, const Vector<int32_t>& row_start) {
        return row_starts(unknown.data(), extent(unknown, 0), row_start.data());
      },
      "unknown"_a, "row_start"_a, WithoutGil());
  m.def(
      "laplacian",
      [](const Matrix<const int32_t>& unknown, const Matrix<const double>& weights, double gamma,
         const Vector<const int32_t>& row_start, const Vector<int32_t>& column,
         const Vector<double>& value) {
        laplacian(unknown.data(), weights.data(), extent(unknown, 0), gamma, row_start.data(),
                  column.data(), value.data());
      },
      "unknown"_a, "weights"_a, "gamma"_a, "row_start"_a, "column"_a, "value"_a, WithoutGil());
  m.def(
      "flux_from_seeds",
      [](const Matrix<const double>& weights, const Vector<const int64_t>& pixels,
         const Matrix<const int32_t>& seeds, const Vector<const int32_t>& label,
         const Vector<double>& flux) {
        flux_from_seeds(weights.data(), pixels.data(), extent(pixels, 0), grid_of(seeds),
                        seeds.data(), label.data(), flux.data());
      },
      "weights"_a, "pixels"_a, "seeds"_a, "label"_a, "flux"_a, WithoutGil());
}

}  // namespace hdseg
