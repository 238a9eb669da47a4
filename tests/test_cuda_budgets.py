"""What whole calls ask of a device: launches, allocations, other operations and waits, counted.

Times on a card follow from these where pictures are small; no GPU is needed to hold them.
docs/decisions/0007-cuda.md has the table.
"""

from collections import Counter

import numpy as np
import pytest
from executor import ExecutorDevice
from executor.arrays import counted
from gallery import blobs, photograph, reduced
from test_many_classes import picture

from hdseg_gpu import refine
from hdseg_gpu.backends import cuda_device
from hdseg_gpu.engine import steps
from hdseg_gpu.pipeline import doubt

pytestmark = pytest.mark.filterwarnings("ignore::hdseg_gpu.RefinementWarning")

# The most that a call may ask for: our kernels, allocations, other operations, waits of the host,
# and how many different operations CuPy has to compile for them.
BUDGETS = {
    "default": {"launch": 125, "allocation": 82, "other": 23, "wait": 12, "compiled": 2},
    "all rounds": {"launch": 202, "allocation": 150, "other": 25, "wait": 14, "compiled": 2},
    "gamma 0": {"launch": 458, "allocation": 191, "other": 129, "wait": 40, "compiled": 17},
}
# Launches of a call with 1000 classes for each launch of one with 2, the same rounds being made.
MANY = 1.2


@pytest.fixture
def device(monkeypatch):
    found = ExecutorDevice("forward")
    found.most_blocks = 64
    monkeypatch.setattr(cuda_device, "open_device", lambda number=0: found)
    return found


def asked(image, coarse, **options):
    """Return what a call asks of the device, by kind; "compiled" are different operations."""
    with counted() as counts:
        _, report = refine(image, coarse, backend="cuda", return_report=True, **options)
    assert report.backend == "cuda"
    by_kind = Counter()
    for (kind, *_), count in counts.items():
        by_kind["other" if kind in ("compiled", "operation") else kind] += count
    by_kind["compiled"] = sum(kind == "compiled" for kind, *_ in counts)
    return by_kind, report


def scene(shape, classes=2, scale=4):
    truth = blobs(shape, classes)
    return photograph(truth, 3, "uint8"), reduced(truth, scale)


def assert_within(found, name):
    over = {kind: found[kind] for kind, most in BUDGETS[name].items() if found[kind] > most}
    assert not over, f"{name}: more than {BUDGETS[name]}"


def test_default_call(device):
    found, report = asked(*scene((512, 512)))
    assert (report.doubt, report.systems) == (0, 1)
    assert_within(found, "default")


def test_all_rounds(device, monkeypatch):
    monkeypatch.setattr(doubt, "_CONTRADICTION", (-9.0, -8.0))
    monkeypatch.setattr(steps, "MOST_DETAIL", 9.0)
    found, report = asked(*scene((160, 192)))
    assert report.doubt == 1
    assert_within(found, "all rounds")


def test_without_evidence(device):
    found, report = asked(*scene((160, 192)), gamma=0.0)
    assert report.uncertified_pixels is not None
    assert_within(found, "gamma 0")


def test_many_classes_are_launched_together(device, monkeypatch):
    monkeypatch.setattr(steps, "MOST_DETAIL", 0.0)  # the last round alone, whatever the scene
    launches = []
    for count in (2, 1000):
        image, coarse = picture((128, 160), count)
        found, report = asked(image, coarse.astype(np.int32), passes=8)
        assert report.doubt == 0
        launches.append(found["launch"])
    assert launches[1] <= MANY * launches[0]
