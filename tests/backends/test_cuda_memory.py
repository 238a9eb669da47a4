"""Memory of a device: the limits of a call, and several processes that share a device."""

import gc
from functools import partial

import made_up_cuda
import numpy as np
import pytest
from executor import ExecutorDevice
from gallery import blobs, photograph, reduced

from hdseg_gpu import OutOfDeviceMemory, RefinementWarning, refine, release_device_memory
from hdseg_gpu.backends.cuda import cupy_device
from hdseg_gpu.pipeline.statistics import spread_of

TOTAL = 1000


@pytest.fixture
def card(monkeypatch):
    return made_up_cuda.Card(TOTAL)


@pytest.fixture
def pauses(monkeypatch):
    """What was waited for, in seconds; `pauses.during` is what happens meanwhile."""

    class Pauses(list):
        def during(self, count):
            pass

    found = Pauses()

    def sleep(seconds):
        found.append(seconds)
        found.during(len(found))

    monkeypatch.setattr(cupy_device, "sleep", sleep)
    return found


class Process:
    """A process that has the card's first device open."""

    def __init__(self, monkeypatch, card):
        self.module, _ = made_up_cuda.cuda(monkeypatch, card=card)
        self.pool = card.pool()
        self.device = object.__new__(cupy_device.CudaDevice)
        self.device.xp, self.device.number, self.device.name = self.module, 0, "a card"
        self._patch = partial(monkeypatch.setattr, cupy_device, "_pool", lambda _: self.pool)

    def here(self, budget=None):
        self._patch()
        return self.device.here(budget)

    def malloc(self, size):
        return cupy_device._allocated(self.pool, made_up_cuda.OutOfMemory, size)

    def call(self, size, budget=None):
        """Do what takes so much memory, none of it for the result."""
        with self.here(budget):
            block = self.malloc(size)
            del block
            gc.collect()


@pytest.fixture
def processes(monkeypatch, card, pauses):
    return [Process(monkeypatch, card) for _ in range(2)]


def test_memory_has_a_limit(processes, card):
    one, pool = processes[0], processes[0].pool
    with one.here():
        assert pool.get_limit() == 0.9 * TOTAL
        assert one.device.free_memory() == 0.9 * TOTAL
        kept = one.malloc(100)
        assert one.device.free_memory() == 0.9 * TOTAL - 100
    with one.here(300):  # in addition to memory in use
        assert pool.get_limit() == 400
        assert one.device.free_memory() == 300
    with one.here():  # a limit holds for one call
        assert pool.get_limit() == 100 + int(0.9 * (TOTAL - 100))
    del kept
    gc.collect()
    assert pool.free_bytes() == 100
    with one.here(40):  # less than the pool has cached
        assert (pool.get_limit(), pool.total_bytes()) == (40, 0)


def test_memory_kept_for_later_goes_first(processes, pauses):
    one = processes[0]
    with one.here(500):
        blocks = [one.malloc(200) for _ in range(2)]
        del blocks
        gc.collect()
        large = one.malloc(450)
        assert one.pool.total_bytes() == 450
        with pytest.raises(made_up_cuda.OutOfMemory):
            one.malloc(100)
        assert pauses == []  # no other process has it
        del large


def test_what_others_took_meanwhile_is_waited_for(processes, pauses):
    """Both processes were told that 90 % of the device is free, because it was."""
    one, other = processes
    with one.here(), other.here():
        assert [p.pool.get_limit() for p in processes] == [0.9 * TOTAL] * 2
        theirs = [other.malloc(600)]

        def during(count):
            if count == 2:  # their call ends, and what it kept goes back
                theirs.clear()
                gc.collect()
                other.pool.free_all_blocks()

        pauses.during = during
        mine = one.malloc(700)
        assert len(pauses) == 2
        del mine


def test_what_others_keep_on_using_is_missing(processes, pauses):
    one, other = processes
    with other.here():
        theirs = other.malloc(600)
    with (
        pytest.raises(OutOfDeviceMemory, match=r"device 0 \(a card\).*max_device_memory="),
        one.here(TOTAL),
    ):
        one.malloc(700)
    assert len(pauses) == len(cupy_device._PAUSES)
    assert sum(pauses) < 2  # seconds: another backend is waiting
    assert one.pool.total_bytes() == 0
    one.call(350)  # the limit of the next call is the free memory
    assert one.pool.get_limit() == 0.9 * 400
    del theirs


def test_no_more_is_kept_for_the_next_call_than_is_left_to_others(processes, card):
    one, other = processes
    one.call(400)
    assert one.pool.free_bytes() == 400
    card.elsewhere = 300
    one.call(400)
    assert one.pool.free_bytes() == 0
    card.elsewhere = 0
    # So two processes that take turns both get their memory.
    for process in (one, other) * 3:
        process.call(700)


def test_workers_with_budgets_do_not_meet(processes, pauses):
    """As the documents say: the memory by the number of workers for each."""
    budget = TOTAL // 2
    with processes[0].here(budget), processes[1].here(budget):
        blocks = [process.malloc(100) for process in processes for _ in range(5)]
        for process in processes:
            with pytest.raises(made_up_cuda.OutOfMemory):
                process.malloc(1)
        assert pauses == []
        del blocks


def test_memory_goes_back_when_it_is_asked_for(processes, monkeypatch):
    one = processes[0]
    one.call(300)
    monkeypatch.setattr(cupy_device, "_POOLS", {0: one.pool})
    pair = cupy_device.transfer.Pair((), [], 0)
    monkeypatch.setattr(cupy_device.transfer, "_idle", [pair])
    release_device_memory()
    assert one.pool.total_bytes() == 0
    assert cupy_device.transfer._idle == []


# ---- a call holds to its budget from its first array to its last --------------------------------


class Watched(ExecutorDevice):
    """Notes the budgets that it is given."""

    def __init__(self):
        super().__init__()
        self.budgets = []

    def here(self, budget=None):
        self.budgets.append(budget)
        return super().here(budget)


@pytest.fixture
def watched(monkeypatch):
    device = Watched()
    monkeypatch.setattr(cupy_device, "open_device", lambda number=0: device)
    return device


def scene():
    truth = blobs((40, 50), 2)
    return photograph(truth), reduced(truth, 4)


@pytest.mark.filterwarnings("ignore::hdseg_gpu.RefinementWarning")
@pytest.mark.parametrize("on_device", [False, True])
def test_a_budget_is_of_the_whole_call(watched, on_device):
    image, coarse = scene()
    image = watched.xp.asarray(image) if on_device else image
    options = {"return_probabilities": True, "class_axis": -1}  # whose transposition takes some
    refine(image, coarse, max_device_memory=1 << 29, **options)
    assert len(watched.budgets) >= 3
    assert set(watched.budgets) == {1 << 29}
    watched.budgets.clear()
    refine(image, coarse, **options)
    assert set(watched.budgets) == {None}


def test_a_budget_is_kept_to_when_the_device_is_given_up(watched, monkeypatch):
    image, coarse = scene()

    def short(ops, *rest):
        if ops.xp is not np:
            raise OutOfDeviceMemory("too little")
        return spread_of(ops, *rest)

    monkeypatch.setattr("hdseg_gpu.engine.tasks.spread_of", short)
    with pytest.warns(RefinementWarning, match="'cpu' instead of 'cuda'"):
        refine(image, coarse, max_device_memory=1 << 20, backend="auto")
    assert set(watched.budgets) == {1 << 20}
