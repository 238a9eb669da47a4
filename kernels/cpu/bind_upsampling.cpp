#include "cpu/arrays.h"
#include "cpu/upsampling.h"

using namespace nanobind::literals;

namespace hdseg {

namespace {

template <class T>
void bind_classes(nb::module_& m) {
  m.def(
      "upsample_labels",
      [](const Matrix<const T>& coarse, const Matrix<T>& fine) {
        upsample_labels(coarse.data(), grid_of(coarse), fine.data(), grid_of(fine));
      },
      "coarse"_a.noconvert(), "fine"_a.noconvert(), WithoutGil());
  m.def(
      "upsample_argmax",
      [](const Stack<const float>& planes, int32_t how, const Matrix<T>& fine) {
        upsample_argmax(planes.data(), extent(planes, 0), grid_of(planes, 1),
                        static_cast<Interpolation>(how), fine.data(), grid_of(fine));
      },
      "planes"_a, "how"_a, "fine"_a.noconvert(), WithoutGil());
}

}  // namespace

void bind_upsampling(nb::module_& m) {
  bind_classes<uint8_t>(m);
  bind_classes<uint16_t>(m);
  m.def(
      "sample_planes",
      [](const Stack<const float>& planes, int32_t how, const Vector<const int64_t>& pixels,
         int64_t height, int64_t width, const Matrix<double>& samples) {
        sample_planes(planes.data(), extent(planes, 0), grid_of(planes, 1),
                      static_cast<Interpolation>(how), pixels.data(), extent(pixels, 0),
                      samples.data(), {height, width});
      },
      "planes"_a, "how"_a, "pixels"_a, "height"_a, "width"_a, "samples"_a, WithoutGil());
}

}  // namespace hdseg
