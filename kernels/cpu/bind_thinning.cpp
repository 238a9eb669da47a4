#include "cpu/arrays.h"
#include "cpu/masks.h"

using namespace nanobind::literals;

namespace hdseg {
namespace {

ElementSet elements_of(const Stack<const int8_t>& elements) {
  return read_elements(elements.data(), extent(elements, 0), extent(elements, 1));
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
}

}  // namespace hdseg
