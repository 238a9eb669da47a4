"""Counts of the device operations of whole calls: launches, allocations, other operations, waits.

For small images these determine the time on a card; no GPU is needed to check them.
docs/decisions/0007-cuda.md has the table.
"""

from collections import Counter

import numpy as np
import pytest
from budgets import BUDGETS, scene
from executor import ExecutorDevice
from executor.arrays import counted, namespace
from instances import picture

from hdseg_gpu import refine
from hdseg_gpu.backends.cuda import cupy_device, transfer
from hdseg_gpu.engine import steps
from hdseg_gpu.pipeline import doubt

pytestmark = pytest.mark.filterwarnings("ignore::hdseg_gpu.RefinementWarning")

# Limits for a call with 1000 classes, relative to one with 2 classes and the same rounds.
MANY = {"launch": 1.2, "allocation": 1.2, "other": 1.2, "wait": 1.5}
# The operations that CuPy compiles for a call without options.
COMPILED = {
    ("elementwise copy", "uint8 in 2 axes uint8"),  # the classes that are solved for
    ("subtract", "int32"),  # where the red pixels of each run begin
    ("subtract", "uint8 uint8"),  # in place: labels from class indices
}


@pytest.fixture
def device(monkeypatch):
    found = ExecutorDevice("forward")
    found.most_blocks = 64
    monkeypatch.setattr(cupy_device, "open_device", lambda number=0: found)
    return found


def asked(image, coarse, **options):
    """Return what a call asks of the device, by kind; "compiled" are different operations."""
    with counted() as counts:
        _, report = refine(image, coarse, backend="cuda", return_report=True, **options)
    assert report.backend == "cuda"
    return summed(counts), report


def summed(counts):
    by_kind = Counter()
    for (kind, *_), count in counts.items():
        by_kind["other" if kind in ("compiled", "operation") else kind] += count
    by_kind["compiled"] = sum(kind == "compiled" for kind, *_ in counts)
    return by_kind


def assert_within(found, name):
    over = {kind: found[kind] for kind, most in BUDGETS[name].items() if found[kind] > most}
    assert not over, f"{name}: more than {BUDGETS[name]}"


def test_default_call(device):
    with counted() as counts:
        _, report = refine(*scene((512, 512)), backend="cuda", return_report=True)
    assert (report.doubt, report.systems) == (0, 1)
    assert_within(summed(counts), "default")
    assert {tuple(found) for kind, *found in counts if kind == "compiled"} == COMPILED


def test_all_rounds(device, monkeypatch):
    monkeypatch.setattr(doubt, "_CONTRADICTION", (-9.0, -8.0))
    monkeypatch.setattr(steps, "MOST_DETAIL", 9.0)
    found, report = asked(*scene((160, 192)))
    assert report.doubt == 1
    assert_within(found, "all rounds")


@pytest.mark.parametrize(("name", "shape"), [("gamma 0", (160, 192)), ("gamma 0, 512", (512, 512))])
def test_without_evidence(device, name, shape):
    found, report = asked(*scene(shape), gamma=0.0)
    assert report.uncertified_pixels is not None
    assert_within(found, name)


def test_many_classes_are_launched_together(device, monkeypatch):
    monkeypatch.setattr(steps, "MOST_DETAIL", 0.0)  # the last round alone, whatever the scene
    few, many = [], []
    for count, counts in ((2, few), (1000, many)):
        image, coarse = picture((128, 160), count)
        found, report = asked(image, coarse.astype(np.int32), passes=8)
        assert report.doubt == 0
        counts.append(found)
    assert_within(many[0], "1000 classes")
    for kind, times in MANY.items():
        assert many[0][kind] <= times * few[0][kind], kind


# ---- the counts are what CuPy does (cupy/_core of 14.2) -----------------------------------------


def counts_of(call):
    with counted() as counts:
        call()
    return {(kind, name) for kind, name, _ in counts}


def on_device(*shape):
    return namespace.zeros(shape, np.uint8)


COPY = ("compiled", "elementwise copy")
BYTES = ("operation", "copy of bytes")
ZEROS = ("operation", "fill with zeros")


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (namespace.ascontiguousarray, set()),
        (lambda a: namespace.ascontiguousarray(a[:, :-1]), {COPY}),
        (lambda a: a.T.reshape(-1), {COPY}),
        (lambda a: a[:, 1:].ravel(), {COPY}),
        (lambda a: a.copy(), {COPY}),
        (lambda a: a.astype(np.uint8), {COPY}),
        (lambda a: a.astype(np.int32), {COPY}),
        (lambda a: a.__setitem__(slice(2), a[2:4]), {BYTES}),
        (lambda a: a.__setitem__(slice(2), a[2]), {COPY}),  # for each of two rows
        (lambda a: a[:, :2].__setitem__(..., a[:, 2:4]), {COPY}),
        (lambda a: namespace.copyto(a[:2], a[2:4]), {BYTES}),
        (lambda a: namespace.copyto(a, 1, where=a > 0), {("compiled", "greater"), COPY}),
        (lambda a: a.fill(0), {ZEROS}),
        (lambda a: a.__setitem__(..., 0), {ZEROS}),
        (lambda a: a.fill(1), {("compiled", "fill")}),
        (lambda a: a.T.fill(0), {("compiled", "fill")}),
        (lambda a: namespace.cumsum(a, dtype=np.int32), {COPY, ("operation", "cumsum")}),
        (lambda a: namespace.cumsum(a[0], out=a[0]), {("operation", "cumsum")}),
        (lambda a: namespace.cumsum(a[0], out=a[1]), {BYTES, ("operation", "cumsum")}),
        (lambda a: namespace.asarray(np.ones(3)), {("operation", "from host")}),
    ],
)  # fmt: skip
def test_copies_are_of_bytes_or_compiled(call, expected):
    array = on_device(4, 6)
    found = counts_of(lambda: call(array))
    assert {key for key in found if key[0] in ("compiled", "operation")} == expected


def test_a_layout_of_its_own_is_a_kernel_of_its_own():
    array = on_device(4, 6)
    with counted() as counts:
        array.copy(), array[:, 1:].copy(), array.reshape(2, 2, 6)[:, 1].copy()
        array.reshape(2, 2, 6)[:, :, 1:].copy(), array[:, 2:].copy()
    assert summed(counts)["compiled"] == 3


@pytest.mark.parametrize(("strips", "waits"), [(1, 0), (2, 0), (3, 1), (5, 3)])
def test_waits_of_transfers(device, monkeypatch, strips, waits):
    """For pinned memory that the last strip but one is still read from; in the end for nothing."""
    rows = [np.zeros((2, 5), np.uint8)] * strips
    with counted() as counts:
        for _ in device.sent(rows, None):
            pass
    assert summed(counts)["wait"] == waits
    assert summed(counts)["allocation"] == min(2, strips)
    monkeypatch.setattr(transfer, "_WORTH", 1)
    monkeypatch.setattr(transfer, "_PIECE", 5 * 2)
    with counted() as counts:
        device.host(namespace.zeros((strips, 10), np.uint8))
    assert summed(counts)["wait"] == strips
