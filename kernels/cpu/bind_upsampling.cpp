#include "cpu/arguments.h"
#include "cpu/upsampling.h"

using namespace nanobind::literals;

namespace hdseg {

namespace {

template <class T>
void bind_classes(nb::module_& m) {
  m.def(
      "upsample_labels",
      [](const Matrix<const T>& coarse, const GridMapping& place, const Matrix<T>& fine) {
        upsample_labels(coarse.data(), place, fine.data());
      },
      "coarse"_a.noconvert(), "place"_a, "fine"_a.noconvert(), WithoutGil());
  m.def(
      "upsample_classes",
      [](const Matrix<const T>& coarse, const GridMapping& place, Interpolation how,
         const Matrix<T>& fine) { upsample_classes(coarse.data(), place, how, fine.data()); },
      "coarse"_a.noconvert(), "place"_a, "how"_a, "fine"_a.noconvert(), WithoutGil());
  m.def(
      "upsample_argmax",
      [](const Stack<const float>& planes, const GridMapping& place, Interpolation how,
         const Matrix<T>& fine) {
        upsample_argmax(planes.data(), extent(planes, 0), place, how, fine.data());
      },
      "planes"_a, "place"_a, "how"_a, "fine"_a.noconvert(), WithoutGil());
}

}  // namespace

void bind_upsampling(nb::module_& m) {
  bind_classes<uint8_t>(m);
  bind_classes<uint16_t>(m);
  bind_classes<uint32_t>(m);
  m.def(
      "sample_planes",
      [](const Stack<const float>& planes, const GridMapping& place, Interpolation how,
         const Vector<const int64_t>& pixels, const Matrix<double>& samples) {
        sample_planes(planes.data(), extent(planes, 0), place, how, pixels.data(),
                      extent(pixels, 0), samples.data());
      },
      "planes"_a, "place"_a, "how"_a, "pixels"_a, "samples"_a, WithoutGil());
}

}  // namespace hdseg
