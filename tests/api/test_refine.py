"""refine() end to end, against definitions written out here and the reference backend."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from gallery import blobs, photograph, reduced
from hypothesis import given
from hypothesis import strategies as st
from plain import either_way, plain
from skimage_walker import dense_walker
from systems import UNPROVEN

import hdseg_gpu
from hdseg_gpu import RefinementWarning, available_backends, metrics, refine, seeds
from hdseg_gpu.backends.cpu import isa
from hdseg_gpu.core.windows import whole
from hdseg_gpu.engine import run
from hdseg_gpu.ops import Band, Evidence

SHAPE = (45, 61)
SCALE = 4.3


def scene(classes=2, channels=3, dtype="uint8", shape=SHAPE):
    truth = blobs(shape, classes)
    return photograph(truth, channels, dtype), reduced(truth, SCALE), truth


def probabilities_of(labels, classes, rng):
    planes = np.stack([labels == k for k in range(classes)]) + rng.random((classes, *labels.shape))
    return (planes / planes.sum(axis=0)).astype(np.float32)


class Recorded(NamedTuple):
    seeds: np.ndarray
    band: Band
    evidence: Evidence
    doubt: float
    passes: int


@pytest.fixture
def decided(monkeypatch):
    """Return a list that gets what each call's walker starts from."""
    found = []
    solve = run.solve

    def recorded(store, stages, index, step, *rest):
        window, look = whole(store.shape), step.seeds.look
        seeds = store.seeds(step.seeds, window).copy()  # the seeds become the labels
        band, evidence = store.ops.band(seeds), None
        if look is not None:
            model = store.context(step.seeds, window).model(look, step.doubt)
            evidence = model.evidence(band, store.pixels(window), window)
        found.append(Recorded(seeds, band, evidence, step.doubt, step.seeds.passes))
        return solve(store, stages, index, step, *rest)

    monkeypatch.setattr(run, "solve", recorded)
    return found


def evidence_planes(decided, classes):
    """Return lambda as planes (K, H, W), 0 outside the band."""
    label, share = decided.evidence
    planes = np.zeros((classes + 1, decided.seeds.size))
    for k in range(label.shape[1]):
        np.add.at(planes, (label[:, k], decided.band.pixels()), share[:, k])
    assert planes[0].max() == 0  # what has no share has no label, and the other way round
    return planes[1:].reshape(classes, *decided.seeds.shape)


def check_against_dense(image, result, marked, evidence, **options):
    """Compare labels before any median filter and probabilities with the dense solution."""
    labels, found, report = result
    expected = dense_walker(image, marked, evidence, **options)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    np.testing.assert_array_equal(labels[marked > 0], marked[marked > 0] - 1)
    sure = np.sort(expected, axis=0)[-1] - np.sort(expected, axis=0)[-2] > 1e-4
    np.testing.assert_array_equal(labels[sure], expected.argmax(axis=0)[sure])
    assert report.unknown_pixels == (marked == 0).sum() > 100


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("edges", ["intensity", "boundary"])
def test_plain_walker_is_the_dense_solution_of_the_definition(edges, classes, backend, rng):
    image, coarse, _ = scene(classes)
    planes = probabilities_of(coarse, classes, rng)
    boundary = rng.random(SHAPE) if edges == "boundary" else None
    result = plain(
        image, planes, beta=60.0, passes=3, edges=edges, boundary=boundary, backend=backend,
        return_probabilities=True, return_report=True,
    )  # fmt: skip
    marked = seeds(plain(image, planes, passes=0), passes=3)
    check_against_dense(image, result, marked, None, boundary=boundary, beta=60.0, gamma=0.0)
    assert (result[2].doubt, result[2].passes) == (None, 3)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("kind", ["labels", "probabilities"])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("gamma", [0.1, 1.0])
@pytest.mark.parametrize("edges", ["intensity", "boundary"])
def test_evidence_is_the_dense_solution_of_the_definition(
    edges, gamma, classes, kind, backend, decided, rng
):
    """lambda is what the rounds found, and so are the seeds."""
    image, coarse, _ = scene(classes)
    given = coarse if kind == "labels" else probabilities_of(coarse, classes, rng)
    boundary = rng.random(SHAPE) if edges == "boundary" else None
    result = refine(
        image, given, beta=60.0, gamma=gamma, edges=edges, boundary=boundary, majority=1,
        tol=1e-5, backend=backend, return_probabilities=True, return_report=True,
    )  # fmt: skip
    (rounds,) = decided
    planes = evidence_planes(rounds, classes)
    np.testing.assert_allclose(planes.sum(axis=0)[rounds.seeds == 0], 1, atol=1e-6)
    check_against_dense(
        image, result, rounds.seeds, planes, boundary=boundary, beta=60.0, gamma=gamma
    )
    assert (result[2].doubt, result[2].passes) == (rounds.doubt, rounds.passes)


def test_plain_walker_is_scikit_images():
    """Same seeds, same beta: the band's potentials are those of the whole-image solution."""
    image, coarse, _ = scene(3)
    _, found = plain(image, coarse, beta=130, passes=4, return_probabilities=True)
    marked = seeds(plain(image, coarse, passes=0), passes=4)
    expected = dense_walker(image, marked, None, beta=130.0, gamma=0.0)
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.3, None])
@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(2, 5), scale=st.floats(1.0, 6.0))
def test_properties(gamma, seed, classes, scale):
    """gamma=None: the default method; else the plain walker, perhaps with evidence."""
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(12, 60, 2))
    truth = blobs(shape, classes, seed)
    image, coarse = photograph(truth, int(rng.integers(1, 5)) + 4, "float32"), reduced(truth, scale)
    options = {"scale": scale, "return_probabilities": True, "solver": "direct"}
    if gamma is not None:
        options["gamma"] = gamma
    refined = refine if gamma is None else plain
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RefinementWarning)
        labels, found = refined(image, coarse, **options)
        oracle, expected = refined(image, coarse, backend="reference", **options)
    assert labels.dtype == coarse.dtype
    assert set(np.unique(labels)) <= set(np.unique(coarse))
    assert found.min() >= 0
    assert found.max() <= 1
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-6)
    if gamma == 0:
        np.testing.assert_allclose(found, expected, atol=1e-6)  # cpu and reference
        sure = np.ptp(found, axis=0) > 0.99
        np.testing.assert_array_equal(labels[sure], oracle[sure])
    else:  # a share that is rounded the other way may turn a pixel in a round, and its neighbours
        assert (labels != oracle).sum() <= max(3, 0.005 * labels.size)


@pytest.mark.parametrize("solver", ["multigrid", "cg", "amg", "direct"])
@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_cpu_agrees_with_reference(solver, gamma):
    image, coarse, _ = scene(4, shape=(150, 211))
    results = [
        plain(image, coarse, gamma=gamma, solver=solver, backend=b, return_probabilities=True)
        for b in ("cpu", "reference")
    ]
    np.testing.assert_allclose(results[0][1], results[1][1], atol=1e-6 if gamma == 0 else 1e-4)
    np.testing.assert_array_equal(results[0][0], results[1][0])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize("channels", [1, 2, 3, 5, 16])
@pytest.mark.parametrize("gamma", [0.0, None])
def test_masks_get_better(gamma, dtype, channels):
    truth = blobs((150, 200))
    image, coarse = photograph(truth, channels, dtype), reduced(truth, SCALE)
    before = refine(image, coarse, passes=0, interpolation="nearest", alpha=False)
    if gamma is None:
        after = refine(image, coarse, alpha=False)
    else:
        after = plain(image, coarse, alpha=False, interpolation="linear", elements="3x3")
    assert metrics.iou(after > 0, truth > 0) > metrics.iou(before > 0, truth > 0) + 0.02
    assert metrics.mean_boundary_accuracy(after > 0, truth > 0) > 0.8


def test_labels_are_interpolated_as_planes():
    image, coarse, _ = scene(3)
    planes = np.stack([coarse == k for k in range(3)]).astype(np.float32)
    for how in ("linear", "cubic"):
        for passes in (0, None):
            options = {"interpolation": how} | ({"passes": 0} if passes == 0 else {})
            np.testing.assert_array_equal(
                plain(image, coarse, **options), plain(image, planes, **options)
            )
    assert (plain(image, coarse) != plain(image, coarse, interpolation="linear")).any()
    np.testing.assert_array_equal(
        refine(image, coarse, passes=0), refine(image, planes, passes=0, interpolation="cubic")
    )


@either_way
def test_grey_is_one_channel_and_channels_may_come_first(refined):
    image, coarse, _ = scene()
    grey = image[..., :1]
    np.testing.assert_array_equal(refined(grey[..., 0], coarse), refined(grey, coarse))
    first = np.moveaxis(image, -1, 0)
    np.testing.assert_array_equal(refined(first, coarse, channel_axis=0), refined(image, coarse))


@either_way
def test_integers_are_scaled_to_one(refined):
    image, coarse, _ = scene()
    expected = refined(image, coarse, return_probabilities=True)[1]
    for same in (image / 255, image.astype(np.uint16) * 257):
        np.testing.assert_allclose(
            refined(same, coarse, return_probabilities=True)[1], expected, atol=1e-5
        )


@either_way
def test_alpha_is_ignored_and_said_so(refined, rng):
    image, coarse, _ = scene()
    rgba = np.dstack([image, rng.integers(0, 256, SHAPE, np.uint8)])
    expected = refined(image, coarse)
    with pytest.warns(RefinementWarning, match="alpha is ignored"):
        labels, report = refined(rgba, coarse, return_report=True)
    np.testing.assert_array_equal(labels, expected)
    assert any("alpha" in note for note in report.notes)
    np.testing.assert_array_equal(refined(rgba, coarse, alpha=True), expected)
    assert (refined(rgba, coarse, alpha=False) != expected).any()


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "uint16", "int8", "int32", "int64", ">i4", "uint64"]
)
@either_way
def test_labels_of_any_dtype_come_back(refined, dtype):
    image, coarse, _ = scene()
    expected = refined(image, coarse)
    labels = refined(image, coarse.astype(dtype))
    assert labels.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(labels, expected.astype(dtype))


@either_way
def test_labels_of_any_value_come_back(refined):
    image, coarse, _ = scene(3)
    names = np.array([-7, 5, 2**40])
    np.testing.assert_array_equal(refined(image, names[coarse]), names[refined(image, coarse)])


@either_way
def test_class_indices_come_back_for_probabilities(refined, rng):
    image, coarse, _ = scene(3)
    planes = probabilities_of(coarse, 3, rng)
    labels = refined(image, planes)
    assert labels.dtype == np.uint8
    many = np.concatenate([planes, np.zeros((297, *coarse.shape), np.float32)])
    np.testing.assert_array_equal(refined(image, many), labels)
    assert refined(image, many).dtype == np.uint16
    last = np.moveaxis(planes, 0, -1)
    again, found = refined(image, last, class_axis=-1, return_probabilities=True)
    np.testing.assert_array_equal(again, labels)
    assert found.shape == (*SHAPE, 3)


@either_way
def test_kinds_of_probabilities(refined, rng):
    image, coarse, _ = scene(3)
    planes = probabilities_of(coarse, 3, rng)
    expected = refined(image, planes)
    np.testing.assert_array_equal(refined(image, planes.astype(np.float64)), expected)
    logits = np.log(planes) + 3.0
    with pytest.warns(RefinementWarning, match="logits"):
        np.testing.assert_array_equal(refined(image, logits), expected)
    one_hot = np.stack([coarse == k for k in range(3)])
    for same in (one_hot, one_hot.astype(np.uint8), one_hot.astype(np.uint8) * 255):
        np.testing.assert_array_equal(refined(image, same), refined(image, one_hot.astype(float)))
    half = np.round(planes * 255).astype(np.uint8)
    assert (refined(image, half) != expected).mean() < 0.01
    refined(image, planes.astype(np.float16))


def test_cubic_differs_from_linear_and_is_a_probability(rng):
    image, coarse, _ = scene(3)
    planes = probabilities_of(coarse, 3, rng)
    _, linear = refine(image, planes, gamma=1.0, return_probabilities=True)
    _, cubic = refine(image, planes, gamma=1.0, interpolation="cubic", return_probabilities=True)
    assert np.abs(cubic - linear).max() > 1e-3
    np.testing.assert_allclose(cubic.sum(axis=0), 1, atol=1e-4)  # tol
    assert cubic.min() >= 0


@pytest.mark.parametrize("kind", ["labels", "probabilities"])
def test_strong_evidence_decides(kind, decided, rng):
    """With gamma far above the weights, the band takes the likeliest class of each pixel."""
    image, coarse, _ = scene()
    given = coarse if kind == "labels" else probabilities_of(coarse, 2, rng)
    labels = refine(image, given, gamma=1e6, majority=1)
    (rounds,) = decided
    likeliest = rounds.seeds.reshape(-1)
    two = rounds.evidence.probability[:, 0] - rounds.evidence.probability[:, 1]
    pixels = rounds.band.pixels()
    likeliest[pixels] = rounds.evidence.label[:, 0]
    clear = np.ones(likeliest.size, bool)
    clear[pixels[two < 1e-3]] = False
    np.testing.assert_array_equal(labels.reshape(-1)[clear], likeliest[clear] - 1)
    assert clear.mean() > 0.95
    assert (plain(image, given) != labels).any()


@pytest.mark.parametrize("level", [0.2, 0.3])
@either_way
def test_constant_boundary_map_has_equal_weights_on_every_backend(refined, level):
    image, coarse, _ = scene()
    options = {"edges": "boundary", "gamma": 0.1, "return_probabilities": True}
    for backend in ("cpu", "reference"):
        _, found = refined(
            image, coarse, boundary=np.full(SHAPE, level), backend=backend, **options
        )
        _, expected = refined(image, coarse, boundary=np.zeros(SHAPE), backend=backend, **options)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_one_hot_planes_and_full_size_labels_say_what_labels_say():
    """But for what an interpolation makes of them beside the boundary."""
    image, coarse, truth = scene(3, shape=(150, 200))
    planes = np.stack([coarse == k for k in range(3)]).astype(np.float32)
    full = refine(image, coarse, passes=0, interpolation="nearest")
    by_labels = refine(image, coarse)
    for same in (refine(image, planes), refine(image, full, scale=SCALE)):
        assert (by_labels != same).mean() < 0.03
        assert (same != truth).mean() < 0.6 * (full != truth).mean()


@pytest.mark.parametrize("shape", [(64, 96), (65, 97), (63, 93), (70, 40)])
@pytest.mark.parametrize("scale", [1.0, 1.7, 3.0, 7.9])
@either_way
def test_scale_factors(refined, shape, scale):
    truth = blobs(shape)
    image, coarse = photograph(truth), reduced(truth, scale)
    labels, report = refined(image, coarse, scale=scale, return_report=True)
    assert labels.shape == shape
    assert report.scale == scale
    assert report.passes == max(1, round(2 * scale))
    if coarse.shape != shape:
        _, report = refined(image, coarse, return_report=True)
        h, w = coarse.shape
        assert report.scale == max(shape[0] / h, shape[1] / w)


def test_full_size_map_assumes_eight_and_says_so():
    image, _, truth = scene()
    with pytest.warns(RefinementWarning, match="scale=8 is assumed"):
        labels, report = refine(image, truth, return_report=True)
    assert report.scale == 8
    np.testing.assert_array_equal(labels, refine(image, truth, scale=8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refine(image, truth, passes=3)
    with pytest.warns(RefinementWarning, match="scale=8 is assumed"):
        report = refine(image, truth, method="published", return_report=True)[1]
    assert report.passes == 64


def test_no_passes_is_interpolation_alone():
    image, coarse, _ = scene()
    labels, report = plain(image, coarse, passes=0, return_report=True)
    rows, columns = (
        (2 * np.arange(n) + 1) * m // (2 * n) for n, m in zip(SHAPE, coarse.shape, strict=True)
    )
    np.testing.assert_array_equal(labels, coarse[rows][:, columns])
    nothing = (0, 0, "none", None)
    assert (report.unknown_pixels, report.systems, report.solver, report.doubt) == nothing
    labels, report = refine(image, coarse, passes=0, return_report=True)
    assert (report.unknown_pixels, report.systems, report.solver, report.doubt) == nothing
    assert report.interpolation == "cubic"
    np.testing.assert_array_equal(labels, plain(image, coarse, passes=0, interpolation="cubic"))
    other = refine(255 - image, coarse, passes=0)  # the image has no say
    np.testing.assert_array_equal(labels, other)


@either_way
def test_classes_cost_nothing_where_they_have_no_say(refined):
    """Four islands of four classes on background: five classes, one right-hand side."""
    truth = np.zeros((120, 120), np.uint8)
    for k, (y, x) in enumerate([(20, 20), (20, 80), (80, 20), (80, 80)], start=1):
        truth[y : y + 24, x : x + 24] = k
    image = photograph(truth)
    labels, found, report = refined(
        image, truth, passes=4, return_probabilities=True, return_report=True
    )
    assert (report.systems, report.right_hand_sides) == (1, 1)
    assert (labels != truth).sum() <= 16  # corners
    assert found[1, :60, 60:].max() == 0  # class 1 has no say at the other islands


@pytest.mark.parametrize("classes", [2, 5])
@either_way
def test_report(refined, classes):
    image, coarse, _ = scene(classes)
    seen = []
    labels, report = refined(
        image, coarse, return_report=True, progress=lambda stage, done: seen.append((stage, done))
    )
    assert report.shape == SHAPE == labels.shape
    assert report.labels == tuple(range(classes))
    assert report.backend == available_backends()[0] == "cpu"
    assert (report.solver, report.fallbacks, report.notes) == ("multigrid", (), ())
    assert 0 < report.error_estimate <= report.tolerance == 1e-4
    assert report.uncertified_pixels == report.refined_pixels == 0
    assert report.seconds["total"] == pytest.approx(sum(report.seconds.values()) / 2)
    assert json.loads(json.dumps(report.to_dict()))["unknown_pixels"] == report.unknown_pixels
    own = ["seeds"] if refined is plain else ["evidence"]
    stages = list(dict.fromkeys(stage for stage, _ in seen))
    assert stages == ["statistics", "upsample", *own, "solve"]
    assert [s for s, _ in seen] == sorted((s for s, _ in seen), key=stages.index)
    for stage in stages:
        done = [fraction for s, fraction in seen if s == stage]
        assert done == sorted(done)
        assert done[-1] == 1


@pytest.mark.parametrize("solver", ["multigrid", "cg", "direct", "amg"])
@either_way
def test_report_says_what_is_proven(refined, solver):
    image, coarse, _ = scene(3)
    _, report = refined(image, coarse, solver=solver, tol=1e-3, return_report=True)
    assert report.solver == solver
    assert report.tolerance == 1e-3
    assert 0 < report.error_estimate <= 1e-3
    assert report.refined_pixels == 0
    assert (report.uncertified_pixels is None) == (solver in UNPROVEN)


def test_ties_are_uncertified():
    """By symmetry every pixel of the middle column has potentials of one half."""
    image = np.full((41, 41), 0.5)
    truth = np.zeros((41, 41), np.uint8)
    truth[:, 21:] = 1
    truth[:, 20] = np.arange(41) % 2  # belongs to either
    image[20, 20] = 0.75  # not constant, but symmetric
    _, found, report = plain(
        image, truth, passes=6, beta=10, return_probabilities=True, return_report=True
    )
    close = np.abs(found[0] - 0.5) < 1e-4
    assert close.any()
    # Two bounds of 1e-4 at most.
    assert 0 < report.uncertified_pixels <= (np.abs(found[0] - 0.5) < 2e-4).sum()


@pytest.mark.filterwarnings("ignore:tol=1e-06 is below:hdseg_gpu.RefinementWarning")
@pytest.mark.parametrize("beta", [100.0, 1000.0, 5000.0])
@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_potentials_are_within_tol_of_the_definition(beta, tol, backend, rng):
    """Labels that differ are uncertified."""
    image, coarse, _ = scene(3)
    image = np.clip(image.astype(int) + rng.integers(-40, 40, image.shape), 0, 255).astype(np.uint8)
    labels, found, report = plain(
        image, coarse, beta=beta, passes=4, tol=tol, backend=backend, return_probabilities=True,
        return_report=True,
    )  # fmt: skip
    marked = seeds(plain(image, coarse, passes=0), passes=4)
    expected = dense_walker(image, marked, None, beta=beta, gamma=0.0)
    # Errors: 6e-6 from float32 weights on the cpu, 1e-6 in clusters from the dense solve.
    np.testing.assert_allclose(found, expected, rtol=0, atol=tol + 1e-5)
    assert (labels != expected.argmax(axis=0)).sum() <= report.uncertified_pixels
    assert report.uncertified_pixels < 0.02 * report.unknown_pixels


@either_way
def test_fallback_is_in_the_report(refined, monkeypatch):
    from hdseg_gpu.solvers import multigrid

    monkeypatch.setattr(multigrid, "MAX_ITERATIONS", 1)
    image, coarse, _ = scene()
    labels, report = refined(image, coarse, return_report=True)
    assert report.solver == "direct"
    assert "direct instead of multigrid" in report.fallbacks[0]
    np.testing.assert_array_equal(labels, refined(image, coarse, solver="direct"))


@pytest.mark.parametrize("method", ["plain", "refine"])
def test_any_threads_and_instruction_set_give_the_same_bits(method):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from gallery import *; from plain import *; import hashlib, hdseg_gpu\n"
        "assert hdseg_gpu.available_backends()[0] == 'cpu'\n"
        "t = blobs((150, 211), 3).repeat(8, axis=0).repeat(8, axis=1)\n"
        f"r = {method}(photograph(t), reduced(t, 3.1), return_probabilities=True)\n"
        "print(hashlib.sha256(b''.join(a.tobytes() for a in r)).hexdigest())"
    )
    # -P: the package that is installed, not the source folder tests may be started in.
    folder = str(Path(__file__).parents[1])
    user = {k: v for k, v in os.environ.items() if k != "OPENBLAS_NUM_THREADS"}
    best, *others = isa.supported()
    digests = {
        subprocess.run(
            [sys.executable, "-P", "-c", code, folder],
            env=user | {"OMP_NUM_THREADS": threads, "HDSEG_CPU_ISA": name},
            check=True, capture_output=True, text=True,
        ).stdout
        for name, threads in [(best, "1"), (best, "2"), (best, "4"), *((o, "2") for o in others)]
    }  # fmt: skip
    assert len(digests) == 1


def test_the_gil_is_released(ops):
    """Another thread goes on while a kernel runs."""
    if ops.name == "cuda":
        pytest.skip("ctypes and CuPy release it, and a device may be done before anybody counts")
    import threading
    import time

    mask = (blobs((150, 150)) > 0).repeat(40, axis=0).repeat(40, axis=1)
    elements = hdseg_gpu.structuring_elements("9x9")
    inside = threading.Event()

    def thin():
        inside.set()
        ops.thinning(mask, elements, 90)

    for _ in range(5):  # on a busy machine this thread may be late by itself
        inside.clear()
        busy = threading.Thread(target=thin)
        busy.start()
        inside.wait()
        ticks = 0
        while busy.is_alive():
            time.sleep(0.001)
            ticks += 1
        # If the call held the GIL, this thread would count only once, after it.
        if ticks > 5:
            return
    pytest.fail("no other thread ran")
