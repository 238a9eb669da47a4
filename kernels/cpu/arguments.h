// Structures that cross from Python: what the kernels take is made from the attributes of what the
// ops take, which the stub names. Arrays must have the right type; none is converted.
#pragma once
#include <type_traits>
#include <vector>

#include "common/evidence_pixel.h"
#include "cpu/arrays.h"
#include "cpu/colour_model.h"
#include "cpu/edges.h"
#include "cpu/level.h"

namespace hdseg {

// Reads attributes of an object, as far as they are what they should be.
class Attributes {
 public:
  Attributes(nb::handle source, uint32_t flags, nb::detail::cleanup_list* cleanup)
      : source_(source), flags_(flags), cleanup_(cleanup) {}

  // Whether attribute `name` is a T.
  template <class T>
  bool read(const char* name, T& value) const {
    nb::detail::make_caster<T> caster;
    if (!attribute(name, caster)) return false;
    value = caster.value;
    return true;
  }

  // The same for item i of a sequence.
  template <class T>
  bool item(const char* name, Py_ssize_t i, T& value) const {
    nb::detail::make_caster<T> caster;
    if (!item(name, i, caster)) return false;
    value = caster.value;
    return true;
  }

  bool pair(const char* name, int64_t& first, int64_t& second) const {
    return item(name, 0, first) && item(name, 1, second);
  }

  // The same, with the caster, which may hold arrays that the value points into.
  template <class T>
  bool attribute(const char* name, nb::detail::type_caster<T>& caster) const {
    return take(get(name), caster);
  }

  template <class T>
  bool item(const char* name, Py_ssize_t i, nb::detail::type_caster<T>& caster) const {
    const nb::object sequence = get(name);
    if (!sequence.is_valid()) return false;
    return take(nb::steal(PySequence_GetItem(sequence.ptr(), i)), caster);
  }

  nb::object get(const char* name) const {
    nb::object found = nb::steal(PyObject_GetAttrString(source_.ptr(), name));
    if (!found.is_valid()) PyErr_Clear();
    return found;
  }

  Attributes of(const nb::object& inner) const { return {inner, flags_, cleanup_}; }

  bool is_none() const { return source_.is_none(); }

 private:
  template <class T>
  bool take(const nb::object& found, nb::detail::type_caster<T>& caster) const {
    // Numbers may be NumPy's; an array of another type would be a copy that nobody sees.
    constexpr auto convert = static_cast<uint32_t>(nb::detail::cast_flags::convert);
    const uint32_t flags = std::is_arithmetic_v<T> ? flags_ | convert : flags_ & ~convert;
    if (found.is_valid() && caster.from_python(found, flags, cleanup_)) return true;
    PyErr_Clear();
    return false;
  }

  nb::handle source_;
  uint32_t flags_;
  nb::detail::cleanup_list* cleanup_;
};

}  // namespace hdseg

// Defines how a structure is read: `HDSEG_ARGUMENT(Band, "hdseg_gpu.ops.types.Band")`, followed by
// the arrays that it points into and the body of bool read(const Attributes&).
#define HDSEG_ARGUMENT(Type, python)                                                \
  NB_TYPE_CASTER(Type, const_name(python))                                          \
  bool from_python(handle source, uint32_t flags, cleanup_list* cleanup) noexcept { \
    return read(hdseg::Attributes(source, flags, cleanup));                         \
  }

namespace nanobind::detail {

template <>
struct type_caster<hdseg::Band> {
  HDSEG_ARGUMENT(hdseg::Band, "hdseg_gpu.ops.types.Band")

  hdseg::Vector<const int64_t> pixel;
  hdseg::Vector<const int32_t> start;

  bool read(const hdseg::Attributes& band) {
    hdseg::Grid grid{};
    if (!band.pair("shape", grid.height, grid.width) || !band.read("pixel", pixel) ||
        !band.read("start", start)) {
      return false;
    }
    value = {grid, pixel.data(), start.data(), hdseg::extent(pixel, 0)};
    return true;
  }
};

template <>
struct type_caster<hdseg::Places> {
  HDSEG_ARGUMENT(hdseg::Places, "hdseg_gpu.ops.types.Places")

  hdseg::Vector<const int32_t> first;

  bool read(const hdseg::Attributes& places) {
    if (!places.read("first", first) || !places.read("across", value.across)) return false;
    value.first = first.data();
    return true;
  }
};

template <>
struct type_caster<hdseg::Core> {
  HDSEG_ARGUMENT(hdseg::Core, "hdseg_gpu.core.windows.Window")

  bool read(const hdseg::Attributes& window) {
    return window.read("top", value.top) && window.read("left", value.left) &&
           window.read("bottom", value.bottom) && window.read("right", value.right);
  }
};

template <>
struct type_caster<hdseg::GridMapping> {
  HDSEG_ARGUMENT(hdseg::GridMapping, "hdseg_gpu.core.windows.GridMapping")

  bool read(const hdseg::Attributes& place) {
    const object of_picture = place.get("window"), of_map = place.get("part");
    if (!of_picture.is_valid() || !of_map.is_valid()) return false;
    const hdseg::Attributes window = place.of(of_picture), part = place.of(of_map);
    hdseg::Axis &rows = value.rows, &columns = value.columns;
    const bool complete = place.pair("shape", rows.fine, columns.fine) &&
                          place.pair("grid", rows.coarse, columns.coarse) &&
                          window.read("top", rows.first) && window.read("left", columns.first) &&
                          window.read("height", value.window.height) &&
                          window.read("width", value.window.width) &&
                          part.read("top", rows.begin) && part.read("left", columns.begin) &&
                          part.read("height", rows.count) && part.read("width", columns.count);
    value.part = {rows.count, columns.count};
    return complete;
  }
};

// An enumeration by the name that Python has for each of its values, in order.
template <class Enum, size_t count>
bool named(const object& name, const char* const (&names)[count], Enum& value) {
  for (size_t i = 0; i < count; ++i) {
    if (PyUnicode_Check(name.ptr()) &&
        PyUnicode_CompareWithASCIIString(name.ptr(), names[i]) == 0) {
      value = static_cast<Enum>(i);
      return true;
    }
  }
  return false;
}

template <>
struct type_caster<hdseg::Interpolation> {
  NB_TYPE_CASTER(hdseg::Interpolation, const_name("str"))

  bool from_python(handle source, uint32_t, cleanup_list*) noexcept {
    return named(borrow(source), {"linear", "cubic"}, value);
  }
};

template <>
struct type_caster<hdseg::EdgeRule> {
  NB_TYPE_CASTER(hdseg::EdgeRule, const_name("str"))

  bool from_python(handle source, uint32_t, cleanup_list*) noexcept {
    return named(borrow(source), {"intensity", "boundary"}, value);
  }
};

// Rows of the edge array: north, east, south, row_sum.
template <>
struct type_caster<hdseg::Edges> {
  HDSEG_ARGUMENT(hdseg::Edges, "hdseg_gpu.backends.cpu.layout.CpuEdges")

  hdseg::Matrix<const float> rows;

  bool read(const hdseg::Attributes& edges) {
    if (!edges.read("rows", rows) || hdseg::extent(rows, 0) != 4) return false;
    const float* first = rows.data() + hdseg::kPadding;
    const int64_t stride = hdseg::extent(rows, 1);
    value = {first, first + stride, first + 2 * stride, first + 3 * stride};
    return true;
  }
};

template <>
struct type_caster<hdseg::StencilLevel> {
  HDSEG_ARGUMENT(hdseg::StencilLevel, "hdseg_gpu.backends.cpu.layout.StencilLevel")

  hdseg::Matrix<const int32_t> pieces;
  hdseg::Vector<const int64_t> chunk;
  hdseg::Matrix<const float> weights;
  hdseg::Vector<const float> row_sum;

  bool read(const hdseg::Attributes& level) {
    if (!level.read("pieces", pieces) || !level.read("chunk", chunk) ||
        !level.read("weights", weights) || !level.read("row_sum", row_sum)) {
      return false;
    }
    value = {hdseg::extent(row_sum, 0) - 2 * hdseg::kPadding,
             reinterpret_cast<const hdseg::BlackPiece*>(pieces.data()),
             chunk.data(),
             hdseg::extent(chunk, 0) - 1,
             {{}, row_sum.data() + hdseg::kPadding}};
    for (int d = 0; d < hdseg::kStencil; ++d) {
      value.matrix.weight[d] = weights.data() + d * hdseg::extent(weights, 1) + hdseg::kPadding;
    }
    return true;
  }
};

template <>
struct type_caster<hdseg::SparseLevel> {
  HDSEG_ARGUMENT(hdseg::SparseLevel, "hdseg_gpu.backends.cpu.layout.SparseLevel")

  hdseg::Vector<const int32_t> row_start, column;
  hdseg::Vector<const float> values, row_sum;
  int64_t rows = 0;

  bool read(const hdseg::Attributes& level) {
    if (!level.read("rows", rows) || rows < 1 || !level.read("row_start", row_start) ||
        !level.read("column", column) || !level.read("value", values) ||
        !level.read("row_sum", row_sum)) {
      return false;
    }
    value = hdseg::SparseLevel{
        hdseg::extent(row_start, 0) - 1,
        {row_start.data(), column.data(), values.data(), row_sum.data() + hdseg::kPadding},
        rows};
    return true;
  }
};

template <class T>
struct type_caster<hdseg::NearestMap<T>> {
  HDSEG_ARGUMENT(hdseg::NearestMap<T>, "hdseg_gpu.ops.types.NearestMap")

  hdseg::Matrix<const T> own, nearest_other;
  hdseg::Matrix<const float> distance;

  bool read(const hdseg::Attributes& map) {
    if (!map.read("own", own) || !map.read("nearest_other", nearest_other) ||
        !map.read("distance", distance) || !map.read("log", value.trust.log) ||
        !map.read("linear", value.trust.linear)) {
      return false;
    }
    value.own = own.data();
    value.nearest_other = nearest_other.data();
    value.distance = distance.data();
    return true;
  }
};

template <>
struct type_caster<hdseg::CoarseTerm> {
  HDSEG_ARGUMENT(hdseg::CoarseTerm, "hdseg_gpu.ops.types.CoarseProbabilities")

  hdseg::Stack<const float> planes;

  bool read(const hdseg::Attributes& network) {
    value.planes = nullptr;
    if (network.is_none()) return true;
    if (!network.read("planes", planes) || !network.read("place", value.place) ||
        !network.read("interpolation", value.how) || !network.read("log", value.trust.log) ||
        !network.read("linear", value.trust.linear)) {
      return false;
    }
    value.planes = planes.data();
    return true;
  }
};

template <class T>
struct type_caster<hdseg::EvidenceTerms<T>> {
  HDSEG_ARGUMENT(hdseg::EvidenceTerms<T>, "hdseg_gpu.ops.types.EvidenceTerms")

  hdseg::Vector<const double> centre;
  hdseg::Matrix<const float> coefficients;
  hdseg::Vector<const int64_t> start;
  hdseg::Vector<const T> label;
  make_caster<hdseg::NearestMap<T>> maps[hdseg::kMostMaps];
  make_caster<hdseg::CoarseTerm> network;

  bool read(const hdseg::Attributes& terms) {
    hdseg::ColourModels<T>& models = value.models;
    hdseg::DistanceTerms<T>& distances = value.distances;
    const object found = terms.get("models"), of_maps = terms.get("maps");
    if (!found.is_valid() || !of_maps.is_valid() || !terms.read("center", centre) ||
        !terms.read("scale", value.scale) || !terms.read("weight", models.weight) ||
        !terms.read("cell", distances.size) || !terms.read("unit", distances.unit) ||
        !terms.attribute("network", network)) {
      return false;
    }
    const hdseg::Attributes model = terms.of(found);
    const object near = model.get("nearby");
    if (!near.is_valid() || !model.read("coefficients", coefficients) ||
        !model.read("size", models.size) || !model.of(near).read("start", start) ||
        !model.of(near).read("label", label)) {
      return false;
    }
    distances.count = PySequence_Size(of_maps.ptr());
    if (distances.count < 1 || distances.count > hdseg::kMostMaps) return false;
    for (int64_t m = 0; m < distances.count; ++m) {
      if (!terms.item("maps", m, maps[m])) return false;
    }
    distances.cells = hdseg::grid_of(maps[0].own);
    distances.first = maps[0].value;
    distances.second = maps[distances.count - 1].value;
    value.centre = centre.data();
    models.coefficients = coefficients.data();
    models.start = start.data();
    models.label = label.data();
    models.windows = hdseg::windows_of(distances.cells, distances.size, models.size);
    value.network = network.value;
    return true;
  }
};

template <>
struct type_caster<hdseg::Estimation> {
  HDSEG_ARGUMENT(hdseg::Estimation, "hdseg_gpu.ops.types.Estimation")

  std::vector<int64_t> radii;

  bool read(const hdseg::Attributes& how) {
    const object found = how.get("radii");
    if (!found.is_valid()) return false;
    const Py_ssize_t levels = PySequence_Size(found.ptr());
    radii.resize(levels < 0 ? 0 : static_cast<size_t>(levels));
    for (Py_ssize_t i = 0; i < levels; ++i) {
      if (!how.item("radii", i, radii[static_cast<size_t>(i)])) return false;
    }
    value.radius = radii.data();
    value.levels = levels;
    return levels > 0 && how.read("group", value.group) && how.read("area", value.area) &&
           how.read("prior", value.prior) && how.read("start", value.start) &&
           how.read("ridge", value.ridge);
  }
};

}  // namespace nanobind::detail
