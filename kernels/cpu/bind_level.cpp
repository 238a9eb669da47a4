#include <nanobind/stl/tuple.h>

#include <string>

#include "cpu/aggregation.h"
#include "cpu/arrays.h"

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

StencilLevel level_of(const Matrix<const int32_t>& pieces, const Vector<const int64_t>& chunk,
                      const Columns& weights, const Floats& row_sum) {
  StencilLevel level{extent(row_sum, 0) - 2 * kPadding,
                     reinterpret_cast<const BlackPiece*>(pieces.data()),
                     chunk.data(),
                     extent(chunk, 0) - 1,
                     {{}, body(row_sum)}};
  for (int d = 0; d < kStencil; ++d) {
    level.matrix.weight[d] = body(weights) + d * extent(weights, 1);
  }
  return level;
}

SparseLevel level_of(const Vector<const int32_t>& row_start, const Vector<const int32_t>& column,
                     const Floats& value, const Floats& row_sum) {
  return {extent(row_start, 0) - 1, {row_start.data(), column.data(), value.data(), body(row_sum)}};
}

// Each op for one kind of level, whose arrays are Parts.
template <class... Parts>
void bind_verbs(nb::module_& m, const std::string& kind) {
  m.def((kind + "_step").c_str(),
        [](const Parts&... parts, const Columns& p, const OutColumns& q,
           const Vector<double>& energy, const Matrix<double>& x, const OutColumns& r) {
          step(level_of(parts...), body(p), body(q), energy.data(), x.data() + kPadding, body(r),
               extent(p, 0), extent(p, 1));
        },
        WithoutGil());
  m.def((kind + "_refresh").c_str(),
        [](const Parts&... parts, const Floats& inverse, const Columns& b,
           const Matrix<const double>& x, const OutColumns& r, const Matrix<double>& found) {
          refresh(level_of(parts...), body(inverse), body(b), x.data() + kPadding, body(r),
                  found.data(), extent(b, 0), extent(b, 1));
        },
        WithoutGil());
  m.def((kind + "_restrict").c_str(),
        [](const Parts&... parts, const Floats& inverse, const Vector<const int32_t>& aggregate,
           const Columns& r, const OutColumns& x, const OutColumns& coarse) {
          restrict_residual(level_of(parts...), body(inverse), aggregate.data(), body(r), body(x),
                            extent(r, 0), extent(r, 1), body(coarse), extent(coarse, 1));
        },
        WithoutGil());
  m.def((kind + "_prolong").c_str(),
        [](const Parts&... parts, const Floats& inverse, const Vector<const int32_t>& aggregate,
           const Columns& r, const Columns& coarse, const OutColumns& x, const OutColumns& out) {
          prolong(level_of(parts...), body(inverse), aggregate.data(), body(r), body(coarse),
                  extent(coarse, 1), body(x), body(out), extent(r, 0), extent(r, 1));
        },
        WithoutGil());
  m.def((kind + "_residual").c_str(),
        [](const Parts&... parts, const Columns& b, const Matrix<const double>& x,
           const OutColumns& r) {
          residual(level_of(parts...), body(b), x.data() + kPadding, body(r), extent(b, 0),
                   extent(b, 1));
        },
        WithoutGil());
  m.def((kind + "_submatrix").c_str(),
        [](const Parts&... parts, const Vector<const int32_t>& number) {
          std::vector<int32_t> row_start, column;
          std::vector<double> value;
          {
            nb::gil_scoped_release release;
            const Team team;
            submatrix(level_of(parts...), number.data(), row_start, column, value);
          }
          return std::make_tuple(owned(std::move(value)), owned(std::move(column)),
                                 owned(std::move(row_start)));
        });
  m.def((kind + "_coarsen").c_str(), [](const Parts&... parts, const Floats& inverse,
                                        const Vector<int32_t>& aggregate) {
    Coarse coarse;
    {
      nb::gil_scoped_release release;
      const Team team;
      coarse = coarsen(level_of(parts...), body(inverse), aggregate.data());
    }
    return std::make_tuple(owned(std::move(coarse.row_start)), owned(std::move(coarse.column)),
                           owned(std::move(coarse.value)), owned(std::move(coarse.row_sum)),
                           owned(std::move(coarse.inverse)));
  });
}

}  // namespace

void bind_level(nb::module_& m) {
  bind_verbs<Matrix<const int32_t>, Vector<const int64_t>, Columns, Floats>(m, "stencil");
  bind_verbs<Vector<const int32_t>, Vector<const int32_t>, Floats, Floats>(m, "sparse");
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
