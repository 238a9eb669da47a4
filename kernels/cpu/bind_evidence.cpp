#include <nanobind/stl/pair.h>

#include "cpu/arguments.h"
#include "cpu/class_evidence.h"
#include "cpu/colour_model.h"

using namespace nanobind::literals;

namespace hdseg {
namespace {

template <class Value, class T>
void bind_class_evidence(nb::module_& m) {
  m.def(
      "class_evidence",
      [](const Band& band, const Stack<const Value>& image, int64_t top, int64_t left,
         const EvidenceTerms<T>& terms, const Matrix<T>& label, const Matrix<float>& probability) {
        const Picture<Value> picture{image.data(), grid_of(image), top, left, extent(image, 2)};
        class_evidence(band, picture, terms, extent(label, 1), label.data(), probability.data());
      },
      "band"_a, "image"_a.noconvert(), "top"_a, "left"_a, "terms"_a, "label"_a.noconvert(),
      "probability"_a, WithoutGil());
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
         const Matrix<const float>& weight, int64_t count, const Vector<const int64_t>& first,
         const Vector<const T>& of, const Estimation& how, const Matrix<float>& coefficients) {
        colour_models(moments.data(), channels, own.data(), weight.data(), grid_of(own), count,
                      first.data(), of.data(), how, coefficients.data());
      },
      "moments"_a, "channels"_a, "own"_a.noconvert(), "weight"_a, "count"_a, "first"_a,
      "of"_a.noconvert(), "how"_a, "coefficients"_a, WithoutGil());
  m.def(
      "add_evidence",
      [](const Band& band, const Vector<const int32_t>& position, const Matrix<const T>& label,
         const Matrix<const float>& probability, const Matrix<const T>& columns,
         const Places& places, float gamma, const Matrix<float>& b) {
        add_evidence(band, extent(position, 0) > 0 ? position.data() : nullptr, label.data(),
                     probability.data(), extent(label, 1),
                     ColumnLabels<T>{columns.data(), extent(columns, 1), places}, gamma,
                     b.data() + kPadding, extent(b, 1));
      },
      "band"_a, "position"_a, "label"_a.noconvert(), "probability"_a, "columns"_a.noconvert(),
      "places"_a, "gamma"_a, "b"_a, WithoutGil());
}

}  // namespace

void bind_evidence(nb::module_& m) {
  bind_classes<uint8_t>(m);
  bind_classes<uint16_t>(m);
  bind_classes<uint32_t>(m);
}

}  // namespace hdseg
