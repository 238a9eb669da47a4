"""accelerate(): which calls are taken, and that the originals come back."""

import asyncio
import pickle
import subprocess
import sys
import threading
import types
import warnings

import numpy as np
import pytest
from scipy import ndimage

import hdseg_gpu
from hdseg_gpu.compat import acceleration

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
def test_what_is_passed_on(args, options, reason, monkeypatch):
    called = []
    monkeypatch.setattr(acceleration, "_WRAPPERS", {})
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


def test_nested_and_out_of_order():
    first, second = hdseg_gpu.accelerate(), hdseg_gpu.accelerate()
    ndimage.binary_hit_or_miss(MASK)
    first.restore()
    first.restore()
    ndimage.binary_hit_or_miss(MASK)
    second.restore()
    ndimage.binary_hit_or_miss(MASK)
    assert (first.calls[NAME].taken, second.calls[NAME].taken) == (1, 2)


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


def test_a_script(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom scipy.ndimage import binary_hit_or_miss\nimport numpy as np\n"
        "assert __name__ == '__main__' and sys.argv[1:] == ['a', '-b']\n"
        "binary_hit_or_miss(np.ones((200, 200)))\nraise SystemExit(3)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "hdseg_gpu.accelerate", script, "a", "-b"],
        capture_output=True, text=True, check=False, cwd=tmp_path,  # where no package lies
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert f"hdseg_gpu.accelerate: {NAME}: 1 taken" in done.stderr


def test_the_module_is_the_function():
    import hdseg_gpu.accelerate as module

    assert hdseg_gpu.accelerate is module
    assert callable(module)
