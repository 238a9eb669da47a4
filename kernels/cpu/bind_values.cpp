#include <nanobind/stl/tuple.h>

#include "cpu/arrays.h"
#include "cpu/values.h"

using namespace nanobind::literals;

namespace hdseg {
namespace {

template <class T>
void bind_extremes(nb::module_& m) {
  m.def(
      "extremes",
      [](const Vector<const T>& values) {
        const auto found = extremes(values.data(), extent(values, 0));
        return std::make_tuple(found.lowest, found.highest, found.odd);
      },
      "values"_a.noconvert(), WithoutGil());
}

// A stack of T, stored as a type that arrays have.
template <class T, class Stored>
ClassValues<T> stack_of(const Stack<const Stored>& values) {
  return {reinterpret_cast<const T*>(values.data()), extent(values, 0), extent(values, 1),
          extent(values, 2)};
}

template <class T, class Stored = T>
void bind_stacks(nb::module_& m, const char* extremes_name, const char* normalise_name) {
  using Values = Stack<const Stored>;
  m.def(
      extremes_name,
      [](const Values& values) {
        const auto found = stack_extremes(stack_of<T, Stored>(values));
        return std::make_tuple(found.lowest, found.highest, found.least, found.most, found.odd);
      },
      "stack"_a.noconvert(), WithoutGil());
  m.def(
      normalise_name,
      [](const Values& values, bool softmax, const Matrix<float>& found, int64_t first) {
        normalise(stack_of<T, Stored>(values), softmax, found.data() + first, extent(found, 1));
      },
      "stack"_a.noconvert(), "softmax"_a, "normalise"_a.noconvert(), "first"_a, WithoutGil());
}

template <class T, class Code>
void bind_recode(nb::module_& m) {
  m.def(
      "recode",
      [](const Vector<const T>& labels, T low, const Vector<const Code>& table,
         const Vector<Code>& codes) {
        recode(labels.data(), extent(labels, 0), low, table.data(), codes.data());
      },
      "labels"_a.noconvert(), "low"_a, "table"_a.noconvert(), "codes"_a.noconvert(), WithoutGil());
}

template <class T>
void bind_labels(nb::module_& m) {
  m.def(
      "mark_occurring",
      [](const Vector<const T>& labels, T low, const Vector<uint8_t>& found) {
        mark_occurring(labels.data(), extent(labels, 0), low, found.data());
      },
      "labels"_a.noconvert(), "low"_a, "found"_a.noconvert(), WithoutGil());
  bind_recode<T, uint8_t>(m);
  bind_recode<T, uint16_t>(m);
  bind_recode<T, uint32_t>(m);
}

}  // namespace

void bind_values(nb::module_& m) {
  bind_extremes<int32_t>(m);
  bind_extremes<int64_t>(m);
  bind_extremes<uint32_t>(m);
  bind_extremes<uint64_t>(m);
  bind_extremes<float>(m);
  bind_extremes<double>(m);
  bind_stacks<uint8_t>(m, "stack_extremes", "normalise");
  bind_stacks<uint16_t>(m, "stack_extremes", "normalise");
  bind_stacks<float>(m, "stack_extremes", "normalise");
  bind_stacks<double>(m, "stack_extremes", "normalise");
  bind_stacks<Half, uint16_t>(m, "stack_extremes_of_halves", "normalise_halves");
  bind_labels<uint8_t>(m);
  bind_labels<uint16_t>(m);
  bind_labels<uint32_t>(m);
  bind_labels<uint64_t>(m);
}

}  // namespace hdseg
