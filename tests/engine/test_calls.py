"""Counts, for whole calls, of computations and of the pixels read."""

from collections import Counter

import numpy as np
import pytest
from gallery import blobs, photograph, reduced

from hdseg_gpu import refine, refine_file
from hdseg_gpu.backends.cpu import CpuOps
from hdseg_gpu.engine import run, steps, tasks
from hdseg_gpu.pipeline import doubt

# ops -> what they compute
OPS = {
    "upsample_classes": "upsample", "upsample_labels": "upsample", "upsample_argmax": "upsample",
    "cell_moments": "moments", "nearest_others": "distances", "class_evidence": "evidence",
    "band": "band", "pruned_seeds": "thinning", "colour_models": "models", "cell_labels": "cells",
}  # fmt: skip
# Counts of a call with all rounds: seeds four times (three wide rounds, the walker's), one
# comparison with the colours, three redrawn maps. In memory, arrays of earlier steps are reused.
IN_MEMORY = {
    "upsample": 1, "moments": 1, "distances": 4, "evidence": 5, "band": 4, "thinning": 4,
    "models": 5, "cells": 4,
}  # fmt: skip
# On disk, each of the 9 tasks of an image of one tile reads its own input. Distances are computed
# for the coarse map, and after the first round also for the last one.
ON_DISK = {
    "upsample": 9, "moments": 5, "distances": 8, "evidence": 5, "band": 9, "thinning": 4,
    "models": 5, "cells": 4,
}  # fmt: skip


@pytest.fixture
def calls(monkeypatch):
    """Return a counter of (what is computed, task)."""
    found, now = Counter(), ["outside tasks"]

    def watch(op, kind):
        known = getattr(CpuOps, op)

        def counted(*given, **options):
            found[kind, now[-1]] += 1
            return known(*given, **options)

        monkeypatch.setattr(CpuOps, op, counted)

    def named(module, name):
        known = getattr(module, name)

        def task(store, stages, index, *rest):
            now.append((name, index, repr(rest)))
            try:
                return known(store, stages, index, *rest)
            finally:
                now.pop()

        monkeypatch.setattr(module, name, task)

    for op, kind in OPS.items():
        watch(op, kind)
    for name in ("statistics", "sample_statistics", "seeds", "contradiction", "redraw"):
        named(tasks, name)
    named(run, "solve")
    return found


@pytest.fixture
def doubted(monkeypatch):
    """Have all rounds, whatever the picture."""
    monkeypatch.setattr(doubt, "_CONTRADICTION", (-9.0, -8.0))
    monkeypatch.setattr(steps, "MOST_DETAIL", 9.0)


def picture(shape=(512, 512)):
    truth = blobs(shape, 2)
    return photograph(truth, 3, "uint8"), reduced(truth, 4)


def by_kind(calls):
    total = Counter()
    for (kind, _), count in calls.items():
        total[kind] += count
    return dict(total)


def twice(calls):
    """Return what a task computes more than once; distances are those of two maps."""
    most = {"distances": 2}
    return {where: n for where, n in calls.items() if n > most.get(where[0], 1)}


def test_nothing_is_computed_twice_in_memory(calls, doubted):
    _, report = refine(*picture(), backend="cpu", return_report=True)
    assert report.doubt == 1
    assert not twice(calls)
    assert by_kind(calls) == IN_MEMORY


def test_nothing_is_computed_twice_on_disk(calls, doubted, tmp_path):
    report = refine_file(*picture(), tmp_path / "out.npy", backend="cpu", workers=1)
    assert report.doubt == 1
    assert not twice(calls)
    assert by_kind(calls) == ON_DISK


@pytest.mark.parametrize("on_disk", [False, True])
def test_cells_of_a_trusted_map_are_made_once(on_disk, calls, monkeypatch, tmp_path):
    """The walker's seeds are of the classes that the first round has thinned."""
    monkeypatch.setattr(doubt, "_CONTRADICTION", (8.0, 9.0))
    monkeypatch.setattr(steps, "MOST_DETAIL", 9.0)
    if on_disk:
        report = refine_file(*picture(), tmp_path / "out.npy", backend="cpu", workers=1)
    else:
        _, report = refine(*picture(), backend="cpu", return_report=True)
    assert report.doubt == 0
    found = by_kind(calls)
    assert (found["thinning"], found["cells"]) == (2, 1)


def test_an_image_is_hardly_read_twice_without_doubt(tmp_path, monkeypatch):
    """Beyond the statistics: once by the walker, whose tiles overlap."""
    monkeypatch.setattr(steps, "MOST_DETAIL", 0.0)
    small, coarse = picture((1024, 2048))
    path = tmp_path / "image.npy"
    np.save(path, np.ascontiguousarray(small[..., 0].repeat(4, 0).repeat(4, 1)))
    report = refine_file(
        path, coarse.repeat(4, 0).repeat(4, 1), tmp_path / "out.npy", backend="cpu", tile=4096
    )
    assert (report.doubt, report.tiles, report.decided_tiles) == (0, 2, 2)
    assert 1.5 < report.bytes_read / np.load(path, "r").nbytes <= 2.3


def test_how_often_an_image_is_read_with_doubt(tmp_path, doubted):
    """Once each for statistics, three rounds and the walker; the sample for the contradiction and
    what tiles overlap take as much as one and a half at most."""
    small, coarse = picture((1024, 2048))
    path = tmp_path / "image.npy"
    np.save(path, np.ascontiguousarray(small[..., 0].repeat(4, 0).repeat(4, 1)))
    report = refine_file(
        path, coarse.repeat(4, 0).repeat(4, 1), tmp_path / "out.npy", backend="cpu", tile=4096
    )
    assert (report.doubt, report.tiles, report.decided_tiles) == (1, 2, 2)
    assert 5 < report.bytes_read / np.load(path, "r").nbytes < 6.5
