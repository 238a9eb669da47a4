"""accelerate(): which calls are taken, and that the originals come back."""

import asyncio
import importlib.util
import inspect
import pickle
import sys
import threading
import types
import warnings

import numpy as np
import pytest
from scipy import ndimage

import hdseg_gpu
from hdseg_gpu.compat import acceleration
from hdseg_gpu.compat.targets import reason_against

pytest.importorskip("skimage")
import skimage.morphology
import skimage.segmentation

NAME = "scipy.ndimage.binary_hit_or_miss"
WALKER = "skimage.segmentation.random_walker"
ORIGINALS = {
    "walker": skimage.segmentation.random_walker, "thin": skimage.morphology.thin,
    "hit": ndimage.binary_hit_or_miss,
}  # fmt: skip
MASK = np.random.default_rng(5).random((150, 160)) < 0.8
IMAGE = np.random.default_rng(6).random((40, 50))
LABELS = np.zeros((40, 50), int)
LABELS[2, 3], LABELS[30, 44] = 1, 2


@pytest.fixture(autouse=True)
def restored():
    """See that each test leaves the originals in their modules."""
    yield
    assert acceleration._ACTIVE == []
    found = (skimage.segmentation.random_walker, skimage.morphology.thin,
             ndimage.binary_hit_or_miss)  # fmt: skip
    assert all(a is b for a, b in zip(found, ORIGINALS["all"], strict=True))


ORIGINALS["all"] = tuple(ORIGINALS.values())  # a tuple is not searched for functions


def test_calls_are_taken_and_right():
    expected = [
        ndimage.binary_hit_or_miss(MASK), skimage.morphology.thin(MASK),
        skimage.segmentation.random_walker(IMAGE, LABELS, beta=10),
    ]  # fmt: skip
    with hdseg_gpu.accelerate() as report:
        found = [ndimage.binary_hit_or_miss(MASK), skimage.morphology.thin(MASK),
                 skimage.segmentation.random_walker(IMAGE, LABELS, beta=10)]  # fmt: skip
    for a, b in zip(found[:2], expected[:2], strict=True):
        np.testing.assert_array_equal(a, b)
    assert (found[2] == expected[2]).mean() > 0.99
    assert {name: calls.taken for name, calls in report.calls.items()} == {
        NAME: 1, "skimage.morphology.thin": 1, WALKER: 1,
    }  # fmt: skip


def test_names_imported_before_are_replaced():
    module = types.ModuleType("of_a_user")
    module.hit = ndimage.binary_hit_or_miss
    sys.modules["of_a_user"] = module
    try:
        before = module.hit
        with hdseg_gpu.accelerate():
            assert module.hit is not before
            module.later = ndimage.binary_hit_or_miss
        assert module.hit is before
        assert module.later is before
    finally:
        del sys.modules["of_a_user"]


@pytest.mark.parametrize(("args", "options", "reason"), [
    ((MASK[:20, :20],), {}, "small"), ((MASK[None],), {}, "dimensions"),
    ((MASK.tolist(),), {}, "list instead of an array"),
    ((np.ma.masked_array(MASK),), {}, "MaskedArray instead of an array"),
    ((MASK,), {"nonsense": 1}, "arguments that it does not have"),
])  # fmt: skip
def test_what_is_passed_on(args, options, reason):
    called = []
    target = next(t for t in acceleration.TARGETS if t.label == NAME)

    def original(input, structure1=None, origin1=0):
        called.append(input)

    function = acceleration._replacement(target, original)
    report = hdseg_gpu.accelerate()
    try:
        if reason.startswith("arguments"):
            with pytest.raises(TypeError):
                function(*args, **options)
        else:
            function(*args, **options)
            assert called[0] is args[0]
    finally:
        report.restore()
    assert report.calls[NAME].passed_on == {reason: 1}
    assert report.calls[NAME].taken == 0


def test_errors_are_the_originals():
    with hdseg_gpu.accelerate(), pytest.raises(ValueError, match="No seeds provided"):
        skimage.segmentation.random_walker(IMAGE, 0 * LABELS)


def test_data_that_ours_refuses():
    image = IMAGE.copy()
    image[0, 0] = np.nan
    with hdseg_gpu.accelerate() as report, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        skimage.segmentation.random_walker(image, LABELS)
    assert report.calls[WALKER].passed_on == {"InvalidInput": 1}


def test_a_fault_of_ours_does_not_lose_the_call(monkeypatch):
    def faulty(*_, **__):
        raise RuntimeError("a fault")

    expected = ndimage.binary_hit_or_miss(MASK)
    monkeypatch.setattr(hdseg_gpu, "hit_or_miss", faulty)
    with hdseg_gpu.accelerate() as report:
        np.testing.assert_array_equal(ndimage.binary_hit_or_miss(MASK), expected)
    assert report.calls[NAME].passed_on == {"RuntimeError": 1}
    assert report.calls[NAME].taken == 0


def test_users_errors_come_from_the_original():
    with hdseg_gpu.accelerate(), pytest.raises(ValueError, match="No seeds provided") as caught:
        skimage.segmentation.random_walker(IMAGE, 0 * LABELS)
    assert "skimage" in str(caught.traceback[-1].path)
    assert caught.value.__context__ is None


def test_what_makes_scipy_read_other_memory_is_not_passed_on():
    # Were it passed on, the process could crash.
    with hdseg_gpu.accelerate(), pytest.raises(ValueError, match="outside of a structure"):
        ndimage.binary_hit_or_miss(MASK, origin1=5)


def test_warnings_as_errors_are_the_originals():
    with hdseg_gpu.accelerate() as report, pytest.raises(UserWarning, match="No zero valued"):
        skimage.segmentation.random_walker(IMAGE, LABELS + 1)
    assert report.calls == {}


def test_ours_may_call_the_original(monkeypatch):
    def ours(mask):
        return ndimage.binary_hit_or_miss(mask)  # by the name that ours has now

    monkeypatch.setattr(hdseg_gpu, "hit_or_miss", ours)
    with hdseg_gpu.accelerate() as report:
        ndimage.binary_hit_or_miss(MASK)
    assert report.calls[NAME].taken == 1


def test_nested_and_out_of_order():
    first, second = hdseg_gpu.accelerate(), hdseg_gpu.accelerate()
    ndimage.binary_hit_or_miss(MASK)
    first.restore()
    first.restore()
    ndimage.binary_hit_or_miss(MASK)
    second.restore()
    ndimage.binary_hit_or_miss(MASK)
    assert (first.calls[NAME].taken, second.calls[NAME].taken) == (1, 2)


def test_what_was_kept_beyond_the_end_is_the_original(monkeypatch):
    with hdseg_gpu.accelerate() as report:
        kept = [ndimage.binary_hit_or_miss]
    calls = []
    monkeypatch.setattr(hdseg_gpu, "hit_or_miss", calls.append)
    np.testing.assert_array_equal(kept[0](MASK), ndimage.binary_hit_or_miss(MASK))
    assert calls == []
    assert report.calls == {}


def test_of_arrays_on_devices_only_cupys_are_taken(monkeypatch):
    class OnDevice:
        ndim, size = 2, 1 << 20

    target = next(t for t in acceleration.TARGETS if t.label == "cucim.skimage.morphology.thin")
    signature = inspect.signature(hdseg_gpu.thin)
    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(ndarray=OnDevice))
    assert reason_against(target, signature, [OnDevice()], {}) == (None, 1 << 20)
    assert reason_against(target, signature, [np.ones((200, 200))], {})[0].startswith("ndarray")


def test_one_object_in_nested_and_later_blocks():
    acceleration_ = hdseg_gpu.accelerate()
    with acceleration_:
        with acceleration_:
            pass
        assert ndimage.binary_hit_or_miss is not ORIGINALS["all"][2]
        ndimage.binary_hit_or_miss(MASK)
    assert ndimage.binary_hit_or_miss is ORIGINALS["all"][2]
    with acceleration_:
        ndimage.binary_hit_or_miss(MASK)
    with acceleration_, acceleration_:
        acceleration_.restore()
        assert ndimage.binary_hit_or_miss is ORIGINALS["all"][2]
    assert acceleration_.calls[NAME].taken == 2


def test_calls_in_recursion_count_once():
    decorator = hdseg_gpu.accelerate()

    @decorator
    def descend(n):
        return descend(n - 1) if n else ndimage.binary_hit_or_miss(MASK)

    descend(3)
    assert decorator.calls[NAME].taken == 1


@pytest.mark.parametrize("wrong", [5, "random_walker", True, dict])
def test_what_is_no_function(wrong):
    with pytest.raises(hdseg_gpu.InvalidInput, match="accelerate decorates functions"):
        hdseg_gpu.accelerate(wrong)


def test_modules_loaded_on_first_use_stay_unloaded(tmp_path, monkeypatch):
    (tmp_path / "late_module.py").write_text("loaded = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    spec = importlib.util.find_spec("late_module")
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "late_module", module)
    spec.loader.exec_module(module)
    with hdseg_gpu.accelerate():
        pass
    assert type(module) is not types.ModuleType
    assert module.loaded
    assert type(module) is types.ModuleType


def test_decorators():
    @hdseg_gpu.accelerate
    def plain():
        return ndimage.binary_hit_or_miss

    decorator = hdseg_gpu.accelerate()

    @decorator
    def called():
        return ndimage.binary_hit_or_miss(MASK)

    @hdseg_gpu.accelerate
    async def awaited():
        await asyncio.sleep(0)
        return ndimage.binary_hit_or_miss

    original = ndimage.binary_hit_or_miss
    assert plain() is not original
    called()
    assert asyncio.run(awaited()) is not original
    assert ndimage.binary_hit_or_miss is original
    assert decorator.calls[NAME].taken == 1

    def generator():
        yield 1

    with pytest.raises(TypeError, match="generator is a generator"):
        hdseg_gpu.accelerate(generator)


def test_after_an_exception():
    with pytest.raises(KeyError), hdseg_gpu.accelerate():
        raise KeyError


def test_threads():
    found = []

    def work():
        for _ in range(20):
            with hdseg_gpu.accelerate() as report:
                ndimage.binary_hit_or_miss(MASK)
            found.append(report.calls[NAME].taken)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 80
    assert min(found) >= 1


def test_functions_can_be_pickled():
    with hdseg_gpu.accelerate():
        found = pickle.loads(pickle.dumps(skimage.segmentation.random_walker))
        assert found is skimage.segmentation.random_walker


def test_pickles_are_the_originals_elsewhere():
    with hdseg_gpu.accelerate():
        stored = pickle.dumps(ndimage.binary_hit_or_miss)
    assert pickle.loads(stored) is ORIGINALS["all"][2]


def test_a_comparison_that_fails_loses_nothing():
    target = next(t for t in acceleration.TARGETS if t.label == NAME)
    runs = []

    def original(input):
        runs.append(input)
        raise MemoryError

    function = acceleration._replacement(target, original)
    with hdseg_gpu.accelerate(compare=True) as report:
        for _ in range(2):
            np.testing.assert_array_equal(function(MASK), hdseg_gpu.hit_or_miss(MASK))
    assert len(runs) == 1
    assert report.calls[NAME].taken == 2
    assert "saved" not in str(report)


def test_savings_are_measured_or_not_told():
    with hdseg_gpu.accelerate() as report:
        ndimage.binary_hit_or_miss(MASK)
    assert report.calls[NAME].saved == 0
    assert "saved" not in str(report)
    with hdseg_gpu.accelerate(compare=True) as report:
        for _ in range(3):
            ndimage.binary_hit_or_miss(MASK)
    assert len(report.calls[NAME].ratios) == 1
    assert "3 taken" in str(report)
    assert "saved" in str(report)
    assert str(hdseg_gpu.accelerate(lambda: None)) is not None


def test_the_module_is_the_function():
    import hdseg_gpu.accelerate as module

    assert hdseg_gpu.accelerate is module
    assert callable(module)
