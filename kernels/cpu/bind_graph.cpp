#include "cpu/arrays.h"
#include "cpu/graph.h"

using namespace nanobind::literals;

namespace hdseg {
namespace {

template <class T>
void bind_pixel_type(nb::module_& m) {
  m.def(
      "variance",
      [](const Vector<const T>& values) { return variance(values.data(), extent(values, 0)); },
      "values"_a.noconvert(), WithoutGil());
}

}  // namespace

void bind_graph(nb::module_& m) {
  bind_pixel_type<uint8_t>(m);
  bind_pixel_type<uint16_t>(m);
  bind_pixel_type<float>(m);
  bind_pixel_type<double>(m);
}

}  // namespace hdseg
