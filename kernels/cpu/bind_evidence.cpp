#include <nanobind/stl/pair.h>

#include "cpu/arrays.h"
#include "cpu/class_evidence.h"
#include "cpu/colour_model.h"

using namespace nanobind::literals;

namespace hdseg {
namespace {

template <class T>
DistanceTerms<T> distances_of(const Stack<const T>& own, const Stack<const T>& nearest_other,
                              const Stack<const float>& distance, const Matrix<const float>& trust,
                              int64_t size, float unit) {
  DistanceTerms<T> terms{{}, extent(own, 0), size, grid_of(own, 1), unit};
  const int64_t cells = terms.cells.height * terms.cells.width;
  for (int64_t m = 0; m < terms.count; ++m) {
    const float* t = trust.data() + 2 * m;
    terms.maps[m] = {own.data() + m * cells,
                     nearest_other.data() + m * cells,
                     distance.data() + m * cells,
                     {t[0], t[1]}};
  }
  return terms;
}

template <class Value, class T>
void bind_class_evidence(nb::module_& m) {
  m.def(
      "class_evidence",
      [](const Vector<const int64_t>& pixel, const Vector<const int32_t>& start,
         const Stack<const Value>& image, int64_t top, int64_t left,
         const Vector<const double>& centre, double scale, const Matrix<const float>& coefficients,
         const Vector<const int64_t>& first, const Vector<const T>& of, int64_t window,
         float weight, const Stack<const T>& own, const Stack<const T>& nearest_other,
         const Stack<const float>& distance, const Matrix<const float>& trust, int64_t cell,
         float unit, const Stack<const float>& planes, const Vector<const int64_t>& place,
         int32_t how, float log, float linear, const Matrix<T>& label,
         const Matrix<float>& probability) {
        const Grid grid = grid_of(image), windows = windows_of(grid_of(own, 1), cell, window);
        const Picture<Value> picture{image.data(),     grid,          top,  left,
                                     extent(image, 2), centre.data(), scale};
        const ColourModels<T> models{
            coefficients.data(), first.data(), of.data(), window, windows, weight};
        const CoarseTerm network{extent(planes, 0) > 0 ? planes.data() : nullptr,
                                 grid_mapping_of(place),
                                 static_cast<Interpolation>(how),
                                 {log, linear}};
        class_evidence(band_of(pixel, start, grid), picture, models,
                       distances_of(own, nearest_other, distance, trust, cell, unit), network,
                       extent(label, 1), label.data(), probability.data());
      },
      "pixel"_a, "start"_a, "image"_a.noconvert(), "top"_a, "left"_a, "centre"_a, "scale"_a,
      "coefficients"_a, "first"_a, "of"_a.noconvert(), "window"_a, "weight"_a, "own"_a.noconvert(),
      "nearest_other"_a.noconvert(), "distance"_a, "trust"_a, "cell"_a, "unit"_a, "planes"_a,
      "place"_a, "how"_a, "log"_a, "linear"_a, "label"_a.noconvert(), "probability"_a,
      WithoutGil());
}

template <class T>
void bind_classes(nb::module_& m) {
  bind_class_evidence<uint8_t, T>(m);
  bind_class_evidence<uint16_t, T>(m);
  bind_class_evidence<float, T>(m);
  bind_class_evidence<double, T>(m);
  m.def(
      "nearby_classes",
      [](const Stack<const T>& maps, int64_t count, int64_t cell, int64_t group) {
        Nearby<T> found;
        {
          nb::gil_scoped_release release;
          const Team team;
          found =
              nearby_classes(maps.data(), extent(maps, 0), grid_of(maps, 1), count, cell, group);
        }
        return std::make_pair(owned(std::move(found.start)), owned(std::move(found.label)));
      },
      "maps"_a.noconvert(), "count"_a, "cell"_a, "group"_a);
  m.def(
      "colour_models",
      [](const Stack<const float>& moments, int64_t channels, const Matrix<const T>& own,
         const Matrix<const float>& weight, int64_t count, int64_t group, double window_area,
         const Vector<const int64_t>& first, const Vector<const T>& of,
         const Vector<const int64_t>& radius, double prior, double start, double ridge,
         const Matrix<float>& coefficients) {
        colour_models(moments.data(), channels, own.data(), weight.data(), grid_of(own), count,
                      group, window_area, first.data(), of.data(),
                      {radius.data(), extent(radius, 0), prior, start, ridge}, coefficients.data());
      },
      "moments"_a, "channels"_a, "own"_a.noconvert(), "weight"_a, "count"_a, "group"_a,
      "window_area"_a, "first"_a, "of"_a.noconvert(), "radius"_a, "prior"_a, "start"_a, "ridge"_a,
      "coefficients"_a, WithoutGil());
  m.def(
      "add_evidence",
      [](const Vector<const int64_t>& pixel, const Vector<const int32_t>& start,
         const Vector<const int32_t>& position, const Matrix<const T>& label,
         const Matrix<const float>& probability, const Matrix<const T>& columns,
         const Vector<const int32_t>& first, int64_t across, int64_t width, float gamma,
         const Matrix<float>& b) {
        const ColumnLabels<T> wanted{columns.data(), extent(columns, 1), places_of(first, across)};
        add_evidence(band_of(pixel, start, {0, width}),
                     extent(position, 0) > 0 ? position.data() : nullptr, label.data(),
                     probability.data(), extent(label, 1), wanted, gamma, b.data() + kPadding,
                     extent(b, 1));
      },
      "pixel"_a, "start"_a, "position"_a, "label"_a.noconvert(), "probability"_a,
      "columns"_a.noconvert(), "first"_a, "across"_a, "width"_a, "gamma"_a, "b"_a, WithoutGil());
}

}  // namespace

void bind_evidence(nb::module_& m) {
  bind_classes<uint8_t>(m);
  bind_classes<uint16_t>(m);
  bind_classes<uint32_t>(m);
}

}  // namespace hdseg
