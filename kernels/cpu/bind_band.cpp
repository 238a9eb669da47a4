#include <nanobind/stl/pair.h>
#include <nanobind/stl/tuple.h>

#include "cpu/arguments.h"
#include "cpu/reduction.h"

using namespace nanobind::literals;

namespace hdseg {
namespace {

// Flattens a vector of structs of int32 into rows.
template <class Struct>
std::vector<int32_t> flat(const std::vector<Struct>& structs) {
  const auto* first = reinterpret_cast<const int32_t*>(structs.data());
  return {first, first + structs.size() * (sizeof(Struct) / sizeof(int32_t))};
}

template <class Seed>
void bind_seeds(nb::module_& m) {
  m.def(
      "find_runs",
      [](const Matrix<const Seed>& seeds) {
        OwnedRuns runs;
        {
          nb::gil_scoped_release release;
          const Team team;
          runs = find_runs(seeds.data(), grid_of(seeds));
        }
        return std::make_pair(owned(std::move(runs.pixel)), owned(std::move(runs.start)));
      },
      "seeds"_a.noconvert());
  m.def(
      "labels_at",
      [](const Band& band, const Matrix<const Seed>& seeds, const Places& places,
         const Matrix<const Seed>& evidence) {
        std::vector<int64_t> place, label;
        {
          nb::gil_scoped_release release;
          const Team team;
          for (const PlaceLabel& pair :
               labels_at(band, seeds.data(), places, evidence.data(), extent(evidence, 1))) {
            place.push_back(pair.place);
            label.push_back(pair.label);
          }
        }
        return std::make_pair(owned(std::move(place)), owned(std::move(label)));
      },
      "band"_a, "seeds"_a.noconvert(), "places"_a, "evidence"_a.noconvert());
  m.def(
      "decide",
      [](const Band& band, const Matrix<const float>& x, const Matrix<const Seed>& label,
         const Places& places, const Vector<const float>& bound, const Core& core,
         const Matrix<Seed>& seeds) {
        return decide(band, x.data() + kPadding, extent(x, 1),
                      {label.data(), extent(label, 1), places}, bound.data(),
                      extent(bound, 0) > 1 ? 1 : 0, core, seeds.data());
      },
      "band"_a, "x"_a, "label"_a.noconvert(), "places"_a, "bound"_a, "core"_a,
      "seeds"_a.noconvert(), WithoutGil());
}

template <class T, class Seed>
void bind_assemble(nb::module_& m) {
  m.def(
      "assemble",
      [](const Band& band, const Stack<const T>& features, EdgeRule rule, double edge_scale,
         const Matrix<const Seed>& seeds, const Matrix<const Seed>& label, const Places& places,
         float gamma, const Matrix<float>& edges, const Matrix<float>& flux) {
        float* first = edges.data() + kPadding;
        const int64_t stride = extent(edges, 1);
        assemble(band, Features<T>{features.data(), extent(features, 2), rule, edge_scale},
                 seeds.data(), {label.data(), extent(label, 1), places}, gamma, first,
                 first + stride, first + 2 * stride, first + 3 * stride, flux.data() + kPadding,
                 stride);
      },
      "band"_a, "features"_a.noconvert(), "rule"_a, "edge_scale"_a, "seeds"_a.noconvert(),
      "label"_a.noconvert(), "places"_a, "gamma"_a, "edges"_a, "flux"_a, WithoutGil());
}

}  // namespace

void bind_band(nb::module_& m) {
  m.attr("padding") = kPadding;
  bind_seeds<uint8_t>(m);
  bind_seeds<uint16_t>(m);
  bind_seeds<uint32_t>(m);
  bind_assemble<uint8_t, uint8_t>(m);
  bind_assemble<uint8_t, uint16_t>(m);
  bind_assemble<uint8_t, uint32_t>(m);
  bind_assemble<uint16_t, uint8_t>(m);
  bind_assemble<uint16_t, uint16_t>(m);
  bind_assemble<uint16_t, uint32_t>(m);
  bind_assemble<float, uint8_t>(m);
  bind_assemble<float, uint16_t>(m);
  bind_assemble<float, uint32_t>(m);
  bind_assemble<double, uint8_t>(m);
  bind_assemble<double, uint16_t>(m);
  bind_assemble<double, uint32_t>(m);
  m.def(
      "components",
      [](const Band& band, const Vector<int32_t>& component) {
        return components(band, component.data());
      },
      "band"_a, "component"_a, WithoutGil());
  m.def(
      "row_starts",
      [](const Band& band, const Edges& edges, const Vector<int32_t>& row_start) {
        return row_starts(band, edges, row_start.data());
      },
      "band"_a, "edges"_a, "row_start"_a, WithoutGil());
  m.def(
      "laplacian",
      [](const Band& band, const Edges& edges, const Vector<const int32_t>& row_start,
         const Vector<int32_t>& column, const Vector<double>& value) {
        laplacian(band, edges, row_start.data(), column.data(), value.data());
      },
      "band"_a, "edges"_a, "row_start"_a, "column"_a, "value"_a, WithoutGil());
  m.def(
      "link_black",
      [](const Band& band) {
        BlackLinks links;
        std::vector<int64_t> chunks;
        {
          nb::gil_scoped_release release;
          const Team team;
          links = link_black(band);
          chunks = chunk_pieces(links.pieces);
        }
        return std::make_tuple(owned(flat(links.pieces)), owned(std::move(links.first)),
                               owned(std::move(chunks)));
      },
      "band"_a);
  m.def(
      "eliminate_red",
      [](const Band& band, const Edges& edges, const Vector<const int32_t>& first_entry,
         const Matrix<float>& weights, const Vector<float>& row_sum, const Vector<float>& inverse) {
        float* weight[kStencil];
        for (int d = 0; d < kStencil; ++d) {
          weight[d] = weights.data() + d * extent(weights, 1) + kPadding;
        }
        eliminate_red(band, edges, first_entry.data(), weight, row_sum.data() + kPadding,
                      inverse.data() + kPadding);
      },
      "band"_a, "edges"_a, "first_entry"_a, "weights"_a, "row_sum"_a, "inverse"_a, WithoutGil());
  m.def(
      "eliminate_red_rhs",
      [](const Band& band, const Edges& edges, const Vector<const int32_t>& first_entry,
         const Matrix<const float>& b, const Matrix<float>& rhs) {
        eliminate_red_rhs(band, edges, first_entry.data(), b.data() + kPadding, extent(b, 1),
                          extent(b, 0), rhs.data() + kPadding, extent(rhs, 1));
      },
      "band"_a, "edges"_a, "first_entry"_a, "b"_a, "rhs"_a, WithoutGil());
  m.def(
      "back_substitute",
      [](const Band& band, const Edges& edges, const Vector<const int32_t>& first_entry,
         const Matrix<const float>& x, const Matrix<float>& b) {
        back_substitute(band, edges, first_entry.data(), x.data() + kPadding, extent(x, 1),
                        extent(b, 0), b.data() + kPadding, extent(b, 1));
      },
      "band"_a, "edges"_a, "first_entry"_a, "x"_a, "b"_a, WithoutGil());
}

}  // namespace hdseg
