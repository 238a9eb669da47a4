"""The recipes of CONTRIBUTING.md work if followed to the letter, on all backends."""

import re
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from executor import ExecutorDevice
from gallery import blobs, masks, photograph, reduced
from recipes import TEXT, Copy, code
from skimage_walker import dense_walker
from systems import HOSTS, case

from hdseg_gpu import (
    BackendUnavailable,
    HdsegError,
    InvalidInput,
    NotConverged,
    backends,
    refine,
    refine_file,
    seeds,
    thinning,
)
from hdseg_gpu.backends.cuda import cupy_device
from hdseg_gpu.core import elements
from hdseg_gpu.core.registry import BACKENDS, SOLVERS
from hdseg_gpu.solvers import solve

pytestmark = pytest.mark.filterwarnings("ignore::hdseg_gpu.RefinementWarning")
ROOT = Path(__file__).parent.parent
KERNELS = (ROOT / "kernels").is_dir()
SHAPE = (33, 41)
EVERYWHERE = [*HOSTS, "cuda"]


@pytest.fixture(params=EVERYWHERE)
def backend(request, monkeypatch):
    """Each backend by its name; "cuda" finds the executor."""
    if request.param == "cuda":
        device = ExecutorDevice("shuffled")
        monkeypatch.setattr(cupy_device, "open_device", lambda number=0: device)
    return request.param


def scene(classes=2, scale=4):
    truth = blobs(SHAPE, classes)
    return photograph(truth), reduced(truth, scale)


# ---- an element set ------------------------------------------------------------------------------


def hooks():
    """Return a set that is made of no wedges: two elements (2, 7, 7), of few cells."""
    cells = np.zeros((2, 7, 7), np.int8)
    cells[0, 3, 3:], cells[0, 0, 2:5], cells[0, 5, 3] = 1, -1, 1
    cells[1, 3:, 3], cells[1, 2, 0], cells[1, 2, 6] = 1, -1, -1
    return cells


@pytest.fixture(params=["5x5", "hooks"])
def name(request, monkeypatch):
    """Register a set as the recipe has it, and a stranger one."""
    registered = dict(elements.SETS)
    exec(code("element set"), {"SETS": registered, "partial": partial, "wedges": elements.wedges})
    registered["hooks"] = hooks
    monkeypatch.setitem(elements.SETS, request.param, registered[request.param])
    return request.param


def test_the_recipe_adds_wedges_of_five_by_five():
    registered = {}
    exec(code("element set"), {"SETS": registered, "partial": partial, "wedges": elements.wedges})
    (cells,) = (make() for make in registered.values())
    north = ["-----", ".---.", "..+..", ".+++.", "+++++"]
    expected = [[{"-": -1, "+": 1, ".": 0}[c] for c in row] for row in north]
    np.testing.assert_array_equal(cells[0], expected)
    for k in range(2, 8):
        np.testing.assert_array_equal(cells[k], np.rot90(cells[k - 2], -1))


def by_definition(mask, cells, passes):
    """Return a thinned mask: each element takes away at once all pixels that match it."""
    mask, reach = mask.copy(), cells.shape[1] // 2
    height, width = mask.shape
    for _ in range(passes):
        for element in cells:
            around = np.pad(mask, reach, mode="edge")
            matched = np.ones_like(mask)
            for y, x in np.argwhere(element != 0):
                matched &= around[y : y + height, x : x + width] == (element[y, x] > 0)
            mask &= ~matched
    return mask


@pytest.mark.parametrize("mask", masks())
def test_every_kernel_thins_by_a_new_set(ops, name, mask):
    cells = elements.structuring_elements(name)
    for passes in (1, 3):
        expected = by_definition(masks()[mask], cells, passes)
        np.testing.assert_array_equal(ops.thinning(masks()[mask], cells, passes), expected)


def test_public_functions_take_a_new_set(backend, name):
    image, coarse = scene(3)
    cells = elements.structuring_elements(name)
    mask = blobs(SHAPE, 3)
    expected = np.zeros(SHAPE, np.int32)
    for k in range(3):
        expected[by_definition(mask == k, cells, 2)] = k + 1
        np.testing.assert_array_equal(
            thinning(mask == k, name, 2, backend=backend), expected == k + 1
        )
    np.testing.assert_array_equal(seeds(mask, elements=name, passes=2, backend=backend), expected)
    found, counted = (
        refine(image, coarse, elements=given, backend=backend, return_report=True)
        for given in (name, cells)
    )
    np.testing.assert_array_equal(found[0], counted[0])
    assert found[1].unknown_pixels == counted[1].unknown_pixels > 0
    other = refine(image, coarse, elements="3x3", backend=backend, return_report=True)[1]
    assert found[1].unknown_pixels != other.unknown_pixels


def test_a_set_that_is_none_is_refused(monkeypatch):
    monkeypatch.setitem(elements.SETS, "even", lambda: np.ones((8, 4, 4), np.int8))
    with pytest.raises(InvalidInput, match=r"elements has shape \(8, 4, 4\)"):
        refine(*scene(), elements="even")


# ---- a solver ------------------------------------------------------------------------------------


@pytest.fixture
def dense(tmp_path, monkeypatch):
    """Register the recipe's solver, in a module that is imported when it is asked for."""
    (tmp_path / "dense_solver.py").write_text(code("solver"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "dense_solver", raising=False)
    monkeypatch.setitem(SOLVERS, "dense", "dense_solver:dense")
    return "dense"


def test_every_backend_solves_by_a_new_solver(backend, dense):
    image, coarse = scene(3)
    given = {"gamma": 0.0, "majority": 1, "prune": False, "passes": 5, "beta": 130.0}
    labels, found, report = refine(
        image, coarse, solver=dense, backend=backend,
        return_probabilities=True, return_report=True, **given,
    )  # fmt: skip
    assert report.solver == "dense"
    start = refine(image, coarse, passes=0, backend="reference")
    marked = seeds(start, elements="3x3", passes=5, backend="reference")
    assert report.unknown_pixels == (marked == 0).sum() > 100
    walked = dense_walker(image, marked, None, beta=130.0, gamma=0.0)
    np.testing.assert_allclose(found, walked, atol=2e-5)
    np.testing.assert_array_equal(labels, found.argmax(axis=0))


def test_a_file_is_solved_by_a_new_solver(dense, tmp_path):
    image, coarse = scene()
    report = refine_file(image, coarse, tmp_path / "out.npy", solver=dense)
    assert report.solver == "dense"


def test_each_instruction_set_solves_by_a_new_solver(ops, dense):
    if ops.name != "cpu":
        pytest.skip("in the test above")
    labels = blobs(SHAPE, 3)
    marked = ops.seeds(labels, 3, elements.structuring_elements("3x3"), 3)
    system = case(ops, marked, photograph(labels, 3, "float64"), 50.0, 0.01, [1, 2])
    solution = solve(ops, system.system(), dense, 1e-4, lambda done: None)
    np.testing.assert_allclose(ops.body(solution.x), system.exact, atol=1e-6)


def test_a_solver_that_does_not_converge_is_refused_for_it(monkeypatch, tmp_path):
    text = code("solver").replace("error=", "converged=False, error=")
    (tmp_path / "lazy_solver.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(SOLVERS, "lazy", "lazy_solver:dense")
    with pytest.raises(NotConverged, match="solver='lazy' did not converge"):
        refine(*scene(), solver="lazy")


@pytest.mark.parametrize("address", ["no_such_module:f", "hdseg_gpu.solvers.direct:nothing"])
def test_a_solver_that_is_not_there_is_named(address, monkeypatch):
    monkeypatch.setitem(SOLVERS, "absent", address)
    with pytest.raises(HdsegError, match=r"solver='absent' .*(no_such|nothing)"):
        refine(*scene(), solver="absent")


def test_a_name_without_a_solver_runs_nothing_else():
    system = case(backends.load("reference"), np.array([[1, 0, 2]], np.uint8),
                  np.zeros((1, 3, 1)), 1.0, 0.0, [1])  # fmt: skip
    with pytest.raises(InvalidInput, match=r"solver='dense' is unknown; .*'multigrid'"):
        solve(backends.load("reference"), system.system(), "dense", 1e-4, lambda done: None)


# ---- a backend -----------------------------------------------------------------------------------


@pytest.fixture
def plain(tmp_path, monkeypatch):
    """Register the recipe's backend."""
    (tmp_path / "plain_backend.py").write_text(code("backend"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "plain_backend", raising=False)
    monkeypatch.setitem(BACKENDS, "plain", "plain_backend:open_plain")
    return "plain"


def test_a_new_backend_runs_everything(plain, tmp_path):
    image, coarse = scene(3)
    labels, report = refine(image, coarse, backend=plain, return_report=True)
    assert report.backend == "plain"
    np.testing.assert_array_equal(labels, refine(image, coarse, backend="reference"))
    report = refine_file(image, coarse, tmp_path / "out.npy", backend=plain)
    assert report.backend == "plain"
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), labels)
    assert "plain" in backends.available()


def test_auto_takes_the_first_that_can_run(plain, monkeypatch):
    others = dict(BACKENDS)
    monkeypatch.setattr(backends, "BACKENDS", {"plain": others.pop("plain")} | others)
    assert backends.select("auto").name == "plain"
    assert backends.of_host().name == "plain"
    monkeypatch.setattr(backends, "BACKENDS", {"plain": "nowhere_at_all:f"} | others)
    assert backends.of_host().name in HOSTS  # what cannot be imported is passed over
    with pytest.raises(BackendUnavailable, match="nowhere_at_all"):
        backends.select("plain")


def test_unknown_backends_raise():
    for choose in (backends.load, backends.select):
        with pytest.raises(InvalidInput, match=r"backend='plain' is unknown; .*'reference'"):
            choose("plain")


# ---- an option -----------------------------------------------------------------------------------

_SCRIPT = """
import sys, warnings
import numpy as np
from hdseg_gpu import InvalidInput, refine, refine_file
from hdseg_gpu.cli import main

warnings.simplefilter("ignore")
image, coarse = np.load("image.npy"), np.load("coarse.npy")
given = {"gamma": 0.0, "backend": "reference"}
expected = refine(image, coarse, beta=0.0, **given)
assert (expected != refine(image, coarse, **given)).any()
np.testing.assert_array_equal(refine(image, coarse, contrast=0.0, **given), expected)
refine_file(image, coarse, "a.npy", contrast=0.0, **given)
np.testing.assert_array_equal(np.load("a.npy"), expected)
assert main("refine image.npy coarse.npy -o b.npy -q --contrast 0 --gamma 0".split()) == 0
np.testing.assert_array_equal(np.load("b.npy"), expected)


def stop(now):
    if now.phase == "tiles":
        raise KeyboardInterrupt


try:
    refine_file(image, coarse, "d.npy", contrast=0.0, tile=2048, progress=stop, **given)
except KeyboardInterrupt:
    pass
try:
    refine_file(image, coarse, "d.npy", contrast=0.5, tile=2048, resume=True, **given)
except InvalidInput as error:
    assert "contrast was 0.0 and is 0.5 now" in str(error), error
else:
    raise AssertionError
refine_file(image, coarse, "d.npy", contrast=0.0, tile=2048, resume=True, **given)
np.testing.assert_array_equal(np.load("d.npy"), expected)
try:
    import dask.array
except ImportError:
    pass
else:
    lazy = refine(dask.array.from_array(image), coarse, contrast=0.0, **given)
    np.testing.assert_array_equal(lazy.compute(), expected)
for call in (refine, lambda *a, **k: refine_file(*a, "c.npy", **k)):
    for wrong in (-1.0, "x", True):
        try:
            call(image, coarse, contrast=wrong)
        except InvalidInput as error:
            assert f"contrast={wrong!r} must be a finite number" in str(error), error
        else:
            raise AssertionError(wrong)
    try:
        call(image, coarse, contrat=1.0)
    except InvalidInput as error:
        assert "did you mean contrast?" in str(error), error
    else:
        raise AssertionError
for function in (refine, refine_file):
    assert "contrast : float, optional\\n    Factor of beta. Default: 1." in function.__doc__
main(["refine", "--help"])
"""


def test_an_option_is_known_everywhere_by_one_field(tmp_path):
    copy = Copy(tmp_path)
    copy.insert("core/options.py", code("option"), before="    gamma: ")
    used = [p for p in (copy.package / "pipeline").rglob("*.py") if "params.beta" in p.read_text()]
    assert used
    for path in used:  # where it matters
        copy.edit(
            path.relative_to(copy.package),
            lambda text: text.replace("params.beta", "(params.beta * params.contrast)"),
        )
    image, coarse = scene()
    np.save(tmp_path / "image.npy", image)
    np.save(tmp_path / "coarse.npy", coarse)
    said = copy.run(_SCRIPT)
    assert "--contrast" in said
    assert "Factor of beta. Default: 1." in said


def test_a_method_may_have_its_own_default_for_a_new_option(tmp_path):
    copy = Copy(tmp_path)
    copy.insert("core/options.py", code("option"), before="    gamma: ")
    copy.edit(
        "core/options.py",
        lambda text: text.replace('"beta": 130.0,', '"beta": 130.0, "contrast": 0.5,'),
    )
    said = copy.run("print(hdseg_gpu.refine.__doc__)")
    assert 'Factor of beta. Default: 1 ("published": 0.5).' in said


@pytest.mark.skipif(not KERNELS, reason="kernels/ is not part of an installed package")
def test_every_place_that_a_recipe_names_is_there():
    named = re.findall(r"`((?:[\w.]+/)+[\w.*]*)`", TEXT)
    assert len(named) > 30
    for path in named:
        assert any(any(room.glob(path.rstrip("/"))) for room in (ROOT, ROOT / "hdseg_gpu")), path
