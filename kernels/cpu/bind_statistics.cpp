#include "cpu/arrays.h"
#include "cpu/statistics.h"

using namespace nanobind::literals;

namespace hdseg {
namespace {

template <class T>
void bind_variance(nb::module_& m) {
  m.def(
      "variance",
      [](const Vector<const T>& values) { return variance(values.data(), extent(values, 0)); },
      "values"_a.noconvert(), WithoutGil());
}

template <class T>
void bind_histogram(nb::module_& m) {
  m.def(
      "histogram",
      [](const Vector<const T>& values, const Vector<int64_t>& counts) {
        histogram(values.data(), extent(values, 0), extent(counts, 0), counts.data());
      },
      "values"_a.noconvert(), "counts"_a, WithoutGil());
}

}  // namespace

void bind_statistics(nb::module_& m) {
  bind_variance<uint8_t>(m);
  bind_variance<uint16_t>(m);
  bind_variance<float>(m);
  bind_variance<double>(m);
  bind_histogram<uint8_t>(m);
  bind_histogram<uint16_t>(m);
  bind_histogram<uint32_t>(m);
}

}  // namespace hdseg
