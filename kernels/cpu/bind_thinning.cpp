#include "cpu/arrays.h"
#include "cpu/masks.h"
#include "cpu/seeds.h"

using namespace nanobind::literals;

namespace hdseg {
namespace {

ElementSet elements_of(const Stack<const int8_t>& elements) {
  return read_elements(elements.data(), extent(elements, 0), extent(elements, 1));
}

template <class T>
void bind_seeds(nb::module_& m) {
  m.def(
      "seeds",
      [](const Matrix<const T>& classes, int64_t class_count, const Stack<const int8_t>& elements,
         int64_t passes, const Matrix<T>& seeds) {
        thin_classes(classes.data(), extent(classes, 0), extent(classes, 1), class_count,
                     elements_of(elements), passes, seeds.data());
      },
      "classes"_a.noconvert(), "class_count"_a, "elements"_a, "passes"_a, "seeds"_a.noconvert(),
      WithoutGil());
}

}  // namespace

void bind_thinning(nb::module_& m) {
  m.def(
      "thin_bytes",
      [](const Matrix<const uint8_t>& mask, const Stack<const int8_t>& elements, int64_t passes,
         const Matrix<uint8_t>& thinned) {
        thin_bytes(mask.data(), extent(mask, 0), extent(mask, 1), elements_of(elements), passes,
                   thinned.data());
      },
      "mask"_a, "elements"_a, "passes"_a, "thinned"_a, WithoutGil());
  m.def(
      "thin_bits",
      [](const Matrix<const uint8_t>& mask, int64_t width, const Stack<const int8_t>& elements,
         int64_t passes, const Matrix<uint8_t>& thinned) {
        thin_bits(mask.data(), extent(mask, 0), width, elements_of(elements), passes,
                  thinned.data());
      },
      "mask"_a, "width"_a, "elements"_a, "passes"_a, "thinned"_a, WithoutGil());
  bind_seeds<uint8_t>(m);
  bind_seeds<uint16_t>(m);
  bind_seeds<uint32_t>(m);
}

}  // namespace hdseg
