"""The package's internals that tests of the engine use, imported in one place."""

import sys
from dataclasses import fields

import numpy as np
import pytest

import hdseg_gpu.files  # noqa: F401  (loads all modules of the engine)
from hdseg_gpu.backends import load
from hdseg_gpu.core.elements import structuring_elements as elements_of
from hdseg_gpu.core.memory import budget_of
from hdseg_gpu.core.options import usual
from hdseg_gpu.core.params import Params
from hdseg_gpu.core.report import Stages
from hdseg_gpu.core.windows import all_of, whole
from hdseg_gpu.engine import disk_store
from hdseg_gpu.engine.budget import Need, Plan
from hdseg_gpu.engine.kept_coarse import CoarseValues, kept_coarse
from hdseg_gpu.engine.solve_tile import _widened as widened
from hdseg_gpu.engine.workspace import Workspace, folder_for
from hdseg_gpu.io import parts
from hdseg_gpu.io.coarse_source import open_coarse
from hdseg_gpu.io.source import ImageSource
from hdseg_gpu.ops import (
    CoarseProbabilities,
    ColourModels,
    Estimation,
    EvidenceTerms,
    Nearby,
    NearestMap,
)
from hdseg_gpu.pipeline import block, colours, evidence, ignored, seeds
from hdseg_gpu.pipeline.evidence import part_of

__all__ = [
    "REFERENCE",
    "CoarseProbabilities",
    "CoarseValues",
    "ColourModels",
    "Estimation",
    "EvidenceTerms",
    "Nearby",
    "NearestMap",
    "all_of",
    "elements_of",
    "open_coarse",
    "widened",
]
REFERENCE = load("reference")


def constants(monkeypatch, **values):
    """Set constants of the package wherever it has them; each must be somewhere."""
    for name, value in values.items():
        places = [
            module
            for title, module in list(sys.modules.items())
            if title.startswith("hdseg_gpu") and hasattr(module, name)
        ]
        assert places, name
        for module in places:
            monkeypatch.setattr(module, name, value)


def small_world(monkeypatch, side=128, enough=1 << 12):
    """Make pictures of some hundred pixels as large as those of gigapixels: blocks, tiles, patches.

    enough: unknown pixels that doubt is measured on; returned with the side of patches.
    """
    patches = side // 2, enough
    constants(
        monkeypatch, BLOCK=side, SEED_TILE=side, PATCH=patches[0], SAMPLE=patches[1],
        _FIRST_HALO=side // 8,
    )  # fmt: skip
    return patches


def halo_of_blocks(gamma):
    """Return the pixels around a block that it depends on, None if unknown."""
    return block.halo_of(gamma)


def solve_in_parts(monkeypatch, side):
    """Divide blocks as if too many labels met, down to a side; return the sides that they get."""
    sides, in_parts = [], block.refine_in_parts

    def recorded(context, scope, side, share):
        sides.append(side)
        return in_parts(context, scope, side, share)

    monkeypatch.setattr(block, "refine_in_parts", recorded)
    monkeypatch.setattr(block, "_MOST_ENTRIES", 0)
    monkeypatch.setattr(block, "_SMALLEST", side)
    return sides


def read_coarse_by(monkeypatch, classes):
    """Let strips of a coarse map have so many classes where its detail is measured."""
    monkeypatch.setattr(disk_store, "_STRIP", classes)


def shrink(monkeypatch, what, by):
    """Let one kind of halo be smaller: of "blocks", "seeds" (pixels) or "colours" (windows)."""
    if what == "blocks":
        whole = block.halo_of
        constants(monkeypatch, halo_of=lambda gamma: whole(gamma) and whole(gamma) - by)
    elif what == "seeds":
        reach = seeds.reach_of
        constants(monkeypatch, reach_of=lambda params, passes: reach(params, passes) - by)
    else:
        around = colours.windows_for

        def smaller(*arguments):
            size, halo = around(*arguments)
            return size, halo - by * size

        constants(monkeypatch, windows_for=smaller)


def record_evidence(monkeypatch, shape):
    """Return a dictionary that gets, for each round, the evidence (H, W, kept) of its pixels."""
    found, given = {}, evidence.EvidenceModel.evidence

    def recorded(self, band, image, window):
        result = given(self, band, image, window)
        rows, columns = np.divmod(band.pixels(), band.shape[1])
        key = self.look, self.maps[0].log, self.maps[0].linear
        kept = result.probability.shape[1]
        label, share = found.setdefault(
            key, (np.zeros((*shape, kept), int), np.zeros((*shape, kept)))
        )
        at = rows + window.top, columns + window.left
        label[at], share[at] = result.label, result.probability
        return result

    monkeypatch.setattr(evidence.EvidenceModel, "evidence", recorded)
    return found


def params(**options):
    """Return options of a run: some given, all others as usual."""
    names = [each.name for each in fields(Params) if each.name != "elements"]
    given = {name: usual(name) for name in names if usual(name) is not None}
    given |= {"elements": elements_of("3x3"), "edges": "intensity", **options}
    return Params(**given)


def planned_bytes(tile, shape, scale, image, unknown):
    """Return what the plan has for one tile of a doubted map, of which so much is unknown."""
    options = params(passes=round(12 * scale), scale=scale)
    need = Need(shape, image.shape[2], image.itemsize, 1, options, doubtful=True)
    return need.of_tile(tile, unknown)


def planned_for(tile, shape, scale, channels, coarse_bytes):
    """Return the bytes that the plan has for each worker, nothing being known of the image."""
    options = params(passes=round(2 * scale), scale=scale)
    return Need(shape, channels, 1, 1, options, doubtful=True, coarse_bytes=coarse_bytes).of_tile(
        tile
    )


def record_windows(monkeypatch):
    """Return a list that gets the shape of each window that is read of a picture."""
    found, read = [], ImageSource.read

    def recorded(self, window):
        found.append(window.shape)
        return read(self, window)

    monkeypatch.setattr(ImageSource, "read", recorded)
    return found


def set_seconds(output, phase, seconds):
    """Set the seconds in all records of a phase of an unfinished run."""
    workspace = Workspace(folder_for(output))
    for path in workspace.phase(phase).glob("*.json"):
        name = str(path.relative_to(workspace.folder))
        workspace.keep(name, workspace.kept(name) | {"seconds": seconds})


def plan_of(workers, budget):
    """Return a plan for tiles of 2048 pixels of a picture of 4096 x 4096."""
    options = params(passes=48, scale=4.0)
    return Plan(Need((4096, 4096), 3, 1, 1, options, doubtful=True), 2048, workers, budget)


def streamed(coarse, folder, key=None, class_axis=0, ignore_index=None):
    """Return the coarse map as a run has it in its folder, its notes, and the bytes read for it."""
    stages = Stages()
    with open_coarse(coarse, key, class_axis=class_axis) as source:
        budget = budget_of(None)
        values = CoarseValues(source, stages, ignore_index, budget, at_once=False)
        kept_by(values, folder)
        return kept_in(values, folder), stages.notes, source.bytes_read


def kept_by(values, folder):
    """Keep a coarse map in a folder."""
    values.keep(Workspace(folder))


def kept_in(values, folder):
    """Return all of a coarse map that is kept in a folder."""
    found = kept_coarse(Workspace(folder), values.summary)
    return part_of(found, whole(values.summary.shape))


def small_parts(monkeypatch, size):
    """Let coarse maps be read in parts of some bytes, and continued in strips of some pixels."""
    monkeypatch.setattr(parts, "AT_ONCE", size)
    monkeypatch.setattr(ignored, "_STRIP", size)
    monkeypatch.setattr(ignored, "_VALUES", size // 2)


def drawn_by_network(values, folder, ops, shape, scale, strip):
    """Return the strips in which the detail of a kept map is measured, for an image of a shape.

    strip: classes in one beside those that it shares with the one before.
    """
    options = params(passes=4, scale=scale, interpolation="linear")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disk_store, "_STRIP", strip)
        store = disk_store.DiskStore(
            ops=ops, image=None, boundary=None, coarse=values.summary, shape=shape, params=options,
            workspace=Workspace(folder), tile=2048, threads=1, skip=False,
        )  # fmt: skip
        return list(store.drawn())
