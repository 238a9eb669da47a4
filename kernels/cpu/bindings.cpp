// The compiled module hdseg_gpu.backends._cpu: thin wrappers, no arithmetic. Python has checked
// every argument and allocated every output; the wrappers release the GIL.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "cpu/graph.h"
#include "cpu/thinning.h"
#include "cpu/upsampling.h"

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace nb = nanobind;
using namespace nb::literals;

namespace {

template <class T, class Shape>
using Array = nb::ndarray<T, Shape, nb::c_contig, nb::device::cpu>;
template <class T>
using Vector = Array<T, nb::ndim<1>>;
template <class T>
using Matrix = Array<T, nb::ndim<2>>;
template <class T>
using Stack = Array<T, nb::ndim<3>>;

template <class A>
int64_t extent(const A& array, size_t axis) {
  return static_cast<int64_t>(array.shape(axis));
}

// The grid of an array whose first of two spatial axes is `axis`.
template <class A>
hdseg::Grid grid_of(const A& array, size_t axis = 0) {
  return {extent(array, axis), extent(array, axis + 1)};
}

std::vector<hdseg::Element> elements_of(const Stack<const int8_t>& elements) {
  return hdseg::read_elements(elements.data(), extent(elements, 0), extent(elements, 1));
}

template <class T>
void bind_pixel_type(nb::module_& m) {
  m.def(
      "variance",
      [](const Vector<const T>& values) {
        return hdseg::variance(values.data(), extent(values, 0));
      },
      "values"_a.noconvert(), nb::call_guard<nb::gil_scoped_release>());
  m.def(
      "edge_weights",
      [](const Stack<const T>& features, const Vector<const int64_t>& pixels, int32_t rule,
         double strength, const Matrix<double>& weights) {
        hdseg::edge_weights(features.data(), grid_of(features), extent(features, 2), pixels.data(),
                            extent(pixels, 0), static_cast<hdseg::EdgeRule>(rule), strength,
                            weights.data());
      },
      "features"_a.noconvert(), "pixels"_a, "rule"_a, "strength"_a, "weights"_a,
      nb::call_guard<nb::gil_scoped_release>());
}

nb::dict cpu_features() {
  nb::dict found;
#if defined(__x86_64__) && defined(__GNUC__)
  __builtin_cpu_init();
  found["avx2"] = static_cast<bool>(__builtin_cpu_supports("avx2"));
  found["fma"] = static_cast<bool>(__builtin_cpu_supports("fma"));
  found["avx512bw"] = static_cast<bool>(__builtin_cpu_supports("avx512bw"));
#endif
  return found;
}

int thread_count() {
#if defined(_OPENMP)
  return omp_get_max_threads();
#else
  return 1;
#endif
}

}  // namespace

NB_MODULE(_cpu, m) {
  m.doc() = "Compiled kernels of the cpu backend.";
  m.def("cpu_features", &cpu_features);
  m.def("thread_count", &thread_count);

  m.def(
      "thinning",
      [](const Matrix<const bool>& mask, const Stack<const int8_t>& elements, int64_t passes,
         const Matrix<bool>& thinned) {
        hdseg::thin_mask(mask.data(), extent(mask, 0), extent(mask, 1), elements_of(elements),
                         passes, thinned.data());
      },
      "mask"_a, "elements"_a, "passes"_a, "thinned"_a, nb::call_guard<nb::gil_scoped_release>());
  m.def(
      "seeds",
      [](const Matrix<const int32_t>& classes, int32_t class_count,
         const Stack<const int8_t>& elements, int64_t passes, const Matrix<int32_t>& seeds) {
        hdseg::thin_classes(classes.data(), extent(classes, 0), extent(classes, 1), class_count,
                            elements_of(elements), passes, seeds.data());
      },
      "classes"_a, "class_count"_a, "elements"_a, "passes"_a, "seeds"_a,
      nb::call_guard<nb::gil_scoped_release>());

  m.def(
      "upsample_labels",
      [](const Matrix<const int32_t>& coarse, const Matrix<int32_t>& fine) {
        hdseg::upsample_labels(coarse.data(), grid_of(coarse), fine.data(), grid_of(fine));
      },
      "coarse"_a, "fine"_a, nb::call_guard<nb::gil_scoped_release>());
  m.def(
      "upsample_argmax",
      [](const Stack<const float>& planes, int32_t how, const Matrix<int32_t>& fine) {
        hdseg::upsample_argmax(planes.data(), extent(planes, 0), grid_of(planes, 1),
                               static_cast<hdseg::Interpolation>(how), fine.data(), grid_of(fine));
      },
      "planes"_a, "how"_a, "fine"_a, nb::call_guard<nb::gil_scoped_release>());
  m.def(
      "sample_planes",
      [](const Stack<const float>& planes, int32_t how, const Vector<const int64_t>& pixels,
         int64_t height, int64_t width, const Matrix<double>& samples) {
        hdseg::sample_planes(planes.data(), extent(planes, 0), grid_of(planes, 1),
                             static_cast<hdseg::Interpolation>(how), pixels.data(),
                             extent(pixels, 0), samples.data(), {height, width});
      },
      "planes"_a, "how"_a, "pixels"_a, "height"_a, "width"_a, "samples"_a,
      nb::call_guard<nb::gil_scoped_release>());

  bind_pixel_type<uint8_t>(m);
  bind_pixel_type<uint16_t>(m);
  bind_pixel_type<float>(m);
  bind_pixel_type<double>(m);

  m.def(
      "neighbours",
      [](const Vector<const int64_t>& pixels, int64_t height, int64_t width,
         const Matrix<int32_t>& unknown) {
        hdseg::neighbours(pixels.data(), extent(pixels, 0), {height, width}, unknown.data());
      },
      "pixels"_a, "height"_a, "width"_a, "unknown"_a, nb::call_guard<nb::gil_scoped_release>());
  m.def(
      "components",
      [](const Matrix<const int32_t>& unknown, const Vector<int32_t>& component) {
        return hdseg::components(unknown.data(), extent(unknown, 0), component.data());
      },
      "unknown"_a, "component"_a, nb::call_guard<nb::gil_scoped_release>());
  m.def(
      "contacts",
      [](const Vector<const int64_t>& pixels, const Matrix<const int32_t>& seeds,
         const Vector<const int32_t>& component, const Matrix<bool>& touches) {
        hdseg::contacts(pixels.data(), extent(pixels, 0), grid_of(seeds), seeds.data(),
                        component.data(), static_cast<int32_t>(touches.shape(1)), touches.data());
      },
      "pixels"_a, "seeds"_a, "component"_a, "touches"_a, nb::call_guard<nb::gil_scoped_release>());
  m.def(
      "row_starts",
      [](const Matrix<const int32_t>& unknown, const Vector<int32_t>& row_start) {
        return hdseg::row_starts(unknown.data(), extent(unknown, 0), row_start.data());
      },
      "unknown"_a, "row_start"_a, nb::call_guard<nb::gil_scoped_release>());
  m.def(
      "laplacian",
      [](const Matrix<const int32_t>& unknown, const Matrix<const double>& weights, double gamma,
         const Vector<const int32_t>& row_start, const Vector<int32_t>& column,
         const Vector<double>& value) {
        hdseg::laplacian(unknown.data(), weights.data(), extent(unknown, 0), gamma,
                         row_start.data(), column.data(), value.data());
      },
      "unknown"_a, "weights"_a, "gamma"_a, "row_start"_a, "column"_a, "value"_a,
      nb::call_guard<nb::gil_scoped_release>());
  m.def(
      "flux_from_seeds",
      [](const Matrix<const double>& weights, const Vector<const int64_t>& pixels,
         const Matrix<const int32_t>& seeds, const Vector<const int32_t>& label,
         const Vector<double>& flux) {
        hdseg::flux_from_seeds(weights.data(), pixels.data(), extent(pixels, 0), grid_of(seeds),
                               seeds.data(), label.data(), flux.data());
      },
      "weights"_a, "pixels"_a, "seeds"_a, "label"_a, "flux"_a,
      nb::call_guard<nb::gil_scoped_release>());
}
