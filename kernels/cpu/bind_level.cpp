#include <nanobind/stl/tuple.h>

#include "cpu/aggregation.h"
#include "cpu/arguments.h"

using namespace nanobind::literals;

namespace hdseg {
namespace {

using Floats = Vector<const float>;
using Columns = Matrix<const float>;
using OutColumns = Matrix<float>;

// Vectors of a level are (columns, stride) with kPadding entries before and behind.
const float* body(const Columns& v) { return v.data() + kPadding; }
float* body(const OutColumns& v) { return v.data() + kPadding; }
const float* body(const Floats& v) { return v.data() + kPadding; }

// Each op for one kind of level.
template <class Level>
void bind_kind(nb::module_& m) {
  m.def(
      "step",
      [](const Level& level, const Columns& p, const OutColumns& q, const Vector<double>& energy,
         const Matrix<double>& x, const OutColumns& r) {
        step(level, body(p), body(q), energy.data(), x.data() + kPadding, body(r), extent(p, 0),
             extent(p, 1));
      },
      "level"_a, "p"_a, "q"_a, "energy"_a, "x"_a, "r"_a, WithoutGil());
  m.def(
      "refresh",
      [](const Level& level, const Floats& inverse, const Columns& b, const Matrix<const double>& x,
         const OutColumns& r, const Matrix<double>& found) {
        refresh(level, body(inverse), body(b), x.data() + kPadding, body(r), found.data(),
                extent(b, 0), extent(b, 1));
      },
      "level"_a, "inverse"_a, "b"_a, "x"_a, "r"_a, "found"_a, WithoutGil());
  m.def(
      "restrict",
      [](const Level& level, const Floats& inverse, const Vector<const int32_t>& aggregate,
         const Columns& r, const OutColumns& x, const OutColumns& coarse) {
        restrict_residual(level, body(inverse), aggregate.data(), body(r), body(x), extent(r, 0),
                          extent(r, 1), body(coarse), extent(coarse, 1));
      },
      "level"_a, "inverse"_a, "aggregate"_a, "r"_a, "x"_a, "coarse"_a, WithoutGil());
  m.def(
      "prolong",
      [](const Level& level, const Floats& inverse, const Vector<const int32_t>& aggregate,
         const Columns& r, const Columns& coarse, const OutColumns& x, const OutColumns& out) {
        prolong(level, body(inverse), aggregate.data(), body(r), body(coarse), extent(coarse, 1),
                body(x), body(out), extent(r, 0), extent(r, 1));
      },
      "level"_a, "inverse"_a, "aggregate"_a, "r"_a, "coarse"_a, "x"_a, "out"_a, WithoutGil());
  m.def(
      "residual",
      [](const Level& level, const Columns& b, const Matrix<const double>& x,
         const OutColumns& out) {
        residual(level, body(b), x.data() + kPadding, body(out), extent(b, 0), extent(b, 1));
      },
      "level"_a, "b"_a, "x"_a, "out"_a, WithoutGil());
  m.def(
      "submatrix",
      [](const Level& level, const Vector<const int32_t>& number) {
        std::vector<int32_t> row_start, column;
        std::vector<double> value;
        {
          nb::gil_scoped_release release;
          const Team team;
          submatrix(level, number.data(), row_start, column, value);
        }
        return std::make_tuple(owned(std::move(value)), owned(std::move(column)),
                               owned(std::move(row_start)));
      },
      "level"_a, "number"_a);
  m.def(
      "coarsen",
      [](const Level& level, const Floats& inverse, const Vector<int32_t>& aggregate) {
        Coarse coarse;
        {
          nb::gil_scoped_release release;
          const Team team;
          coarse = coarsen(level, body(inverse), aggregate.data());
        }
        return std::make_tuple(owned(std::move(coarse.row_start)), owned(std::move(coarse.column)),
                               owned(std::move(coarse.value)), owned(std::move(coarse.row_sum)),
                               owned(std::move(coarse.inverse)));
      },
      "level"_a, "inverse"_a, "aggregate"_a);
}

}  // namespace

void bind_level(nb::module_& m) {
  bind_kind<SparseLevel>(m);  // most levels are: the first that fits is taken
  bind_kind<StencilLevel>(m);
  m.def(
      "conjugate",
      [](const Columns& z, const Columns& q, const Vector<const double>& energy,
         const OutColumns& p) {
        conjugate(body(z), body(q), energy.data(), body(p), extent(z, 1) - 2 * kPadding,
                  extent(z, 0), extent(z, 1));
      },
      "z"_a, "q"_a, "energy"_a, "p"_a, WithoutGil());
  m.def(
      "apply_inverse_diagonal",
      [](const Floats& inverse, const Columns& r, const OutColumns& out) {
        apply_inverse_diagonal(body(inverse), body(r), body(out), extent(r, 1) - 2 * kPadding,
                               extent(r, 0), extent(r, 1));
      },
      "inverse"_a, "r"_a, "out"_a, WithoutGil());
  m.def(
      "largest",
      [](const Columns& x, const Vector<float>& most) {
        largest(body(x), extent(x, 1) - 2 * kPadding, most.data(), extent(x, 0), extent(x, 1));
      },
      "x"_a, "most"_a, WithoutGil());
}

}  // namespace hdseg
