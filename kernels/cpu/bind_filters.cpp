#include "cpu/arguments.h"
#include "cpu/majority.h"
#include "cpu/prune.h"

using namespace nanobind::literals;

namespace hdseg {
namespace {

template <class T>
void bind_filters(nb::module_& m) {
  m.def(
      "majority",
      [](const Band& band, const Matrix<const T>& labels, int64_t size, const Vector<T>& found) {
        majority(band, labels.data(), size, found.data());
      },
      "band"_a, "labels"_a.noconvert(), "size"_a, "found"_a.noconvert(), WithoutGil());
  m.def(
      "prune",
      [](const Matrix<const T>& seeds, int64_t length, const Matrix<T>& pruned) {
        prune(seeds.data(), grid_of(seeds), length, pruned.data());
      },
      "seeds"_a.noconvert(), "length"_a, "pruned"_a.noconvert(), WithoutGil());
}

}  // namespace

void bind_filters(nb::module_& m) {
  bind_filters<uint8_t>(m);
  bind_filters<uint16_t>(m);
  bind_filters<uint32_t>(m);
}

}  // namespace hdseg
