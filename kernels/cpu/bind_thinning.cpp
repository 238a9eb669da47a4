#include "cpu/arrays.h"
#include "cpu/thinning.h"

using namespace nanobind::literals;

namespace hdseg {
namespace {

std::vector<Element> elements_of(const Stack<const int8_t>& elements) {
  return read_elements(elements.data(), extent(elements, 0), extent(elements, 1));
}

}  // namespace

void bind_thinning(nb::module_& m) {
  m.def(
      "thinning",
      [](const Matrix<const bool>& mask, const Stack<const int8_t>& elements, int64_t passes,
         const Matrix<bool>& thinned) {
        thin_mask(mask.data(), extent(mask, 0), extent(mask, 1), elements_of(elements), passes,
                  thinned.data());
      },
      "mask"_a, "elements"_a, "passes"_a, "thinned"_a, WithoutGil());
  m.def(
      "seeds",
      [](const Matrix<const int32_t>& classes, int32_t class_count,
         const Stack<const int8_t>& elements, int64_t passes, const Matrix<int32_t>& seeds) {
        thin_classes(classes.data(), extent(classes, 0), extent(classes, 1), class_count,
                     elements_of(elements), passes, seeds.data());
      },
      "classes"_a, "class_count"_a, "elements"_a, "passes"_a, "seeds"_a, WithoutGil());
}

}  // namespace hdseg
