"""Class evidence for unknown pixels, which enters the random walker with weight gamma.

The score of a class at a pixel is the sum of three terms: the log-likelihood of the pixel's colour
under the local colour model of the class, the weighted distances to the class in the coarse map and
in the labels of the previous round, and the network's probabilities, if there are any.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.classes import Classes
from hdseg_gpu.core.params import Coarse, Params
from hdseg_gpu.core.windows import GridMapping, Window, cut
from hdseg_gpu.ops import (
    Band,
    CoarseProbabilities,
    ColourModels,
    Evidence,
    EvidenceTerms,
    Nearby,
    NearestMap,
    Ops,
    Steps,
)
from hdseg_gpu.pipeline.colours import Colours, begin_nearby, colour_models
from hdseg_gpu.pipeline.rounds import Lengths, Round

# Weights without doubt: of a distance of one unit, and of a probability (divided by the unit).
_TRUST_DISTANCE = 10.0
_TRUST_PROBABILITY = 100.0
# Weights at full doubt: of the network's probabilities, and of distances used along with them.
_DOUBTED_PROBABILITY = 0.3
_DOUBTED_DISTANCE = 0.6
KEPT = 4  # classes kept for each pixel


@dataclass(frozen=True)
class Cells:
    """The class of each cell, and the nearest cell of another class; arrays are (gh, gw)."""

    own: Classes
    nearest_other: Classes  # the class of that other cell
    distance: NDArray[np.float32]  # to it, in cells

    def part(self, window: Window) -> "Cells":
        """Return copies for a window of cells."""
        rows, columns = window.slices
        return Cells(
            self.own[rows, columns].copy(),
            self.nearest_other[rows, columns].copy(),
            self.distance[rows, columns].copy(),
        )

    def counted(self, log: float, linear: float) -> NearestMap:
        """Return them with the weights of their distances."""
        return NearestMap(self.own, self.nearest_other, self.distance, log, linear)


def cells_of(ops: Ops, own: Classes, lengths: Lengths) -> Cells:
    """Return cells from their classes (gh, gw)."""
    distance, nearest_other = ops.nearest_others(own, lengths.reach)
    return Cells(own, nearest_other, distance)


@dataclass(frozen=True)
class EvidenceContext:
    """Everything the evidence in a window of the image depends on, in arrays of the backend."""

    ops: Ops
    params: Params
    lengths: Lengths
    coarse: Coarse  # its part `place.part`
    place: GridMapping  # its window is the one that all arrays here cover
    image: NDArray[Any]  # (h, w, C) of that window
    colours: Colours  # of that window, whose corner is the corner of a cell and a colour window
    drawn: Cells  # from the coarse map
    ignored: NDArray[np.bool_] | None  # cells to ignore, (gh, gw)
    redrawn: Cells | None = None  # from the labels of the last round; None before the first

    def image_in(self, window: Window) -> NDArray[Any]:
        """Return the image in a window, (h, w, C)."""
        found: NDArray[Any] = cut(self.ops.xp, self.image, window, self.place.window)
        return found

    def begin_nearby(self, look: Round) -> Steps[Nearby]:
        """Start finding which classes need a model in which colour window."""
        near = (self.drawn,) if self.redrawn is None else (self.drawn, self.redrawn)
        maps = tuple(classes for one in near for classes in (one.own, one.nearest_other))
        spread = look.spread * self.lengths.unit
        return begin_nearby(self.ops, self.colours, maps, self.coarse.count, spread)

    def model(self, look: Round, doubt: float, nearby: Nearby | None = None) -> "EvidenceModel":
        """Return the evidence of a round; nearby: the result of ``begin_nearby``, if known."""
        drawn, network = self._scored(doubt), self._network(doubt)
        if self.redrawn is None:  # the classes are still the coarse map's
            source = self._trusted(doubt)
            return self._model(look, source, (drawn,), network, nearby)
        source = self.redrawn.counted(1.0, 0.0)
        return self._model(look, source, (drawn, source), network, nearby)

    def colours_alone(self, look: Round, nearby: Nearby | None = None) -> "EvidenceModel":
        """Return the evidence of the colours alone, with full doubt about the coarse map."""
        drawn = self._trusted(1.0)
        silent = drawn._replace(log=0.0, linear=0.0)
        return self._model(look, drawn, (silent,), None, nearby)

    def _model(
        self,
        look: Round,
        drawn: NearestMap,
        maps: tuple[NearestMap, ...],
        network: CoarseProbabilities | None,
        nearby: Nearby | None,
    ) -> "EvidenceModel":
        """Return the evidence, with colour models from cells weighted by their confidence."""
        ops, lengths = self.ops, self.lengths
        if nearby is None:
            (nearby,) = ops.together(self.begin_nearby(look))
        weight = ops.confidence(
            drawn.distance, drawn.log, drawn.linear, lengths.cell / lengths.unit
        )
        if self.ignored is not None:
            ops.xp.copyto(weight, 0, where=self.ignored)
        models = colour_models(
            ops, self.colours, drawn.own, weight, self.coarse.count, look.spread * lengths.unit,
            nearby,
        )  # fmt: skip
        return EvidenceModel(self, models, look, maps, network)

    def _trusted(self, doubt: float) -> NearestMap:
        """Return the coarse map's cells, with distances weighted by trust in the map."""
        return self.drawn.counted(doubt, _TRUST_DISTANCE * (1 - doubt))

    def _scored(self, doubt: float) -> NearestMap:
        """Return the coarse map's cells, with distances weighted for the scores.

        Distances count less if there are probabilities, which carry more information.
        """
        if self.coarse.probabilities is None:
            return self._trusted(doubt)
        return self.drawn.counted(_DOUBTED_DISTANCE * doubt, 0.0)

    def _network(self, doubt: float) -> CoarseProbabilities | None:
        planes = self.coarse.probabilities
        if planes is None:
            return None
        linear = _TRUST_PROBABILITY / self.lengths.unit * (1 - doubt)
        how = self.params.interpolation
        return CoarseProbabilities(planes, self.place, how, _DOUBTED_PROBABILITY * doubt, linear)


@dataclass(frozen=True)
class EvidenceModel:
    """The evidence of one round, for any pixels in the window of its context."""

    context: EvidenceContext
    models: ColourModels
    look: Round
    maps: tuple[NearestMap, ...]
    network: CoarseProbabilities | None

    def evidence(self, band: Band, image: NDArray[Any], window: Window) -> Evidence:
        """Return the evidence for the band of a window; image: (h, w, C) of that window."""
        context, network = self.context, self.network
        if network is not None:
            network = network._replace(place=context.place._replace(window=window))
        colours, lengths = context.colours, context.lengths
        terms = EvidenceTerms(
            colours.center, colours.scale, self.models, self.look.weight, self.maps,
            lengths.cell, lengths.unit, network,
        )  # fmt: skip
        place = window.relative_to(context.place.window)
        kept = min(KEPT, context.coarse.count)
        return context.ops.class_evidence(band, image, (place.top, place.left), terms, kept)


def ignored_cells(
    ops: Ops, coarse: Coarse, place: GridMapping, lengths: Lengths
) -> NDArray[np.bool_] | None:
    """Return which cells of the mapping's window to ignore, (gh, gw); None if there are none."""
    if coarse.ignored is None:
        return None
    walls = ops.upsample_labels(coarse.ignored.view(np.uint8), place)
    found: NDArray[np.bool_] = ops.cell_labels(walls, lengths.cell) > 0
    return found


def part_of(coarse: Coarse, part: Window) -> Coarse:
    """Return a part of a coarse map whose arrays are in files."""

    def of(array: NDArray[Any] | None) -> Any:
        return None if array is None else np.ascontiguousarray(array[..., *part.slices])

    return replace(
        coarse,
        classes=of(coarse.classes),
        probabilities=of(coarse.probabilities),
        ignored=of(coarse.ignored),
    )


def on_backend(ops: Ops, coarse: Coarse) -> Coarse:
    """Return a coarse map with its arrays on the backend."""

    def over(array: NDArray[Any] | None) -> Any:
        return None if array is None else ops.xp.asarray(array)

    return replace(
        coarse,
        classes=over(coarse.classes),
        probabilities=over(coarse.probabilities),
        ignored=over(coarse.ignored),
    )
