"""scikit-image's own dispatching: the entry points, and functions wrapped by hand."""

import inspect
import subprocess
import sys
import threading
import tomllib
import warnings
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import numpy as np
import pytest

import hdseg_gpu
from hdseg_gpu.compat import skimage_backend, skimage_info

pytest.importorskip("skimage")
import skimage.morphology
import skimage.segmentation

backends = pytest.importorskip("skimage.util._backends", reason="scikit-image before 0.26")

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
GROUPS = {g: PROJECT["entry-points"][g] for g in ("skimage_backends", "skimage_backend_infos")}
WALKER = "skimage.segmentation:random_walker"
THIN = "skimage.morphology:thin"
PLAIN_WALKER = (skimage.segmentation.random_walker,)  # tuples are not searched for functions
PLAIN_THIN = (skimage.morphology.thin,)
IMAGE = np.random.default_rng(0).random((40, 50))
LABELS = np.zeros((40, 50), int)
LABELS[2, 3], LABELS[30, 44] = 1, 2
MASK = np.random.default_rng(1).random((80, 90)) < 0.8


@pytest.fixture
def found(monkeypatch):
    """Let scikit-image find the entry points of pyproject.toml, and no others."""

    def entry_points(group):
        return EntryPoints(EntryPoint(n, v, group) for n, v in GROUPS[group].items())

    monkeypatch.setattr(backends, "entry_points", entry_points)
    monkeypatch.delenv("SKIMAGE_NO_DISPATCHING", raising=False)
    monkeypatch.delenv("HDSEG_SKIMAGE_BACKEND", raising=False)
    backends.all_backends.cache_clear()
    yield
    backends.all_backends.cache_clear()


@pytest.fixture
def wanted(found, monkeypatch):
    monkeypatch.setenv("HDSEG_SKIMAGE_BACKEND", "1")


@pytest.fixture
def counted(monkeypatch):
    """Count the calls of ours."""
    calls = []

    def ours(image, max_num_iter=None):
        calls.append(image)
        return ~PLAIN_THIN[0](image, max_num_iter)

    monkeypatch.setattr(hdseg_gpu, "thin", ours)
    return calls


def silent(function, *args):
    with warnings.catch_warnings():
        warnings.simplefilter("error", backends.DispatchNotification)
        return function(*args)


def test_nothing_happens_unless_wanted(found, counted):
    thin = backends.dispatchable(PLAIN_THIN[0])
    assert thin is not PLAIN_THIN[0]
    np.testing.assert_array_equal(silent(thin, MASK), PLAIN_THIN[0](MASK))
    assert counted == []


@pytest.mark.parametrize("value", ["0", "", "yes"])
def test_only_1_wants_it(found, counted, monkeypatch, value):
    monkeypatch.setenv("HDSEG_SKIMAGE_BACKEND", value)
    silent(backends.dispatchable(PLAIN_THIN[0]), MASK)
    assert counted == []


def test_the_variable_wants_it(wanted, counted):
    thin = backends.dispatchable(PLAIN_THIN[0])
    with pytest.warns(
        backends.DispatchNotification, match=f"{THIN}' was dispatched to the 'hdseg_gpu' backend"
    ):
        result = thin(MASK)
    np.testing.assert_array_equal(result, ~PLAIN_THIN[0](MASK))
    assert len(counted) == 1


def test_scikit_image_can_disable_it(wanted, monkeypatch):
    monkeypatch.setenv("SKIMAGE_NO_DISPATCHING", "1")
    assert backends.dispatchable(PLAIN_THIN[0]) is PLAIN_THIN[0]


def test_the_random_walker_is_right(wanted):
    walker = backends.dispatchable(PLAIN_WALKER[0])
    expected = PLAIN_WALKER[0](IMAGE, LABELS, tol=1e-8, return_full_prob=True)
    with pytest.warns(backends.DispatchNotification, match=WALKER):
        result = walker(IMAGE, LABELS, tol=1e-8, return_full_prob=True)
    np.testing.assert_allclose(result, expected, atol=1e-5)
    assert type(result) is type(expected)


def test_within_accelerate_each_call_is_taken_once(found, counted, monkeypatch):
    monkeypatch.setattr(skimage.morphology, "thin", backends.dispatchable(PLAIN_THIN[0]))
    held = [skimage.morphology.thin]  # where replacing finds nothing
    with hdseg_gpu.accelerate() as report:
        with pytest.warns(backends.DispatchNotification):
            held[0](MASK)
        assert report.calls["skimage.morphology.thin"].taken == 1
    assert len(counted) == 1


@pytest.mark.parametrize("args", [
    (MASK[:20, :20],), (MASK.tolist(),), (np.ma.masked_array(MASK),), (MASK[None],), (MASK, 1, 2),
    (),
])  # fmt: skip
def test_calls_that_are_declined(wanted, args):
    assert skimage_backend.can_has(THIN, MASK)
    assert not skimage_backend.can_has(THIN, *args)


def test_other_functions_are_declined(wanted):
    assert not skimage_backend.can_has("skimage.metrics:mean_squared_error", IMAGE, IMAGE)
    assert not skimage_backend.can_has("scipy.ndimage:binary_hit_or_miss", MASK)


def test_where_ours_fails_theirs_answers(wanted, monkeypatch):
    def faulty(image, max_num_iter=None):
        faults.append(1)
        raise RuntimeError

    faults = []
    monkeypatch.setattr(hdseg_gpu, "thin", faulty)
    # Both dispatched and reached by its public name, as it will be.
    monkeypatch.setattr(skimage.morphology, "thin", backends.dispatchable(PLAIN_THIN[0]))
    with pytest.warns(backends.DispatchNotification):
        result = skimage.morphology.thin(MASK)
    np.testing.assert_array_equal(result, PLAIN_THIN[0](MASK))
    assert faults == [1]
    with pytest.warns(backends.DispatchNotification), pytest.raises(ValueError, match="No seeds"):
        backends.dispatchable(PLAIN_WALKER[0])(IMAGE, 0 * LABELS)


def test_threads_do_not_decline_for_one_another(wanted, monkeypatch):
    def ours(image, max_num_iter=None):
        thread = threading.Thread(
            target=lambda: answers.append(skimage_backend.can_has(THIN, MASK))
        )
        thread.start()
        thread.join()
        answers.append(skimage_backend.can_has(THIN, MASK))
        return image

    answers = []
    monkeypatch.setattr(hdseg_gpu, "thin", ours)
    skimage_backend.get_implementation(THIN)(MASK)
    assert answers == [True, False]


def test_what_is_announced_is_there():
    supported = skimage_info.info().supported_functions
    assert set(supported) == set(skimage_backend.FUNCTIONS)
    for name in supported:
        module, function = name.split(":")
        theirs = getattr(sys.modules[module], function)
        assert backends.public_api_module(theirs) == module
        ours = skimage_backend.get_implementation(name)
        assert list(inspect.signature(ours).parameters) == list(
            inspect.signature(theirs).parameters
        )


def test_both_groups_name_the_same_backends():
    # One without information is a KeyError at each call in 0.26.
    assert GROUPS["skimage_backends"].keys() == GROUPS["skimage_backend_infos"].keys()


def test_in_a_fresh_process(tmp_path):
    """Installed, we are found; and importing scikit-image loads no more than our names."""
    folder = tmp_path / "hdseg_gpu-9.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: hdseg_gpu\nVersion: 9\n")
    (folder / "entry_points.txt").write_text("".join(
        f"[{group}]\n" + "".join(f"{n} = {v}\n" for n, v in names.items())
        for group, names in GROUPS.items()
    ))  # fmt: skip
    program = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from importlib.metadata import entry_points
(entry,) = entry_points(group="skimage_backend_infos", name="hdseg_gpu")
entry.load()()
loaded = {{name.partition(".")[0] for name in sys.modules}}
assert not loaded & {{"numpy", "cupy", "skimage", "scipy"}}, loaded
import skimage.metrics, skimage.morphology, numpy as np
from skimage.util._backends import all_backends, dispatchable
assert hasattr(skimage.metrics.mean_squared_error, "__wrapped__")
assert "hdseg_gpu.compat.skimage_backend" not in sys.modules
assert skimage.metrics.mean_squared_error(np.ones(3), np.zeros(3)) == 1
thin = dispatchable(skimage.morphology.thin)
mask = np.random.default_rng(1).random((80, 90)) < 0.8
np.testing.assert_array_equal(thin(mask), skimage.morphology.thin(mask))
"""
    for value, notices in (("0", 0), ("1", 1)):
        done = subprocess.run(
            [sys.executable, "-c", f"import os; os.environ['HDSEG_SKIMAGE_BACKEND'] = {value!r}\n"
             + program], capture_output=True, text=True, check=False, cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("DispatchNotification: ") == notices, done.stderr
