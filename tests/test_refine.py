"""refine() end to end, against definitions written out here and against the reference backend."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from gallery import blobs, photograph, reduced
from hypothesis import given
from hypothesis import strategies as st
from skimage_walker import dense_walker

import hdseg_gpu
from hdseg_gpu import RefinementWarning, available_backends, metrics, refine, seeds
from hdseg_gpu.backends import isa

SHAPE = (45, 61)
SCALE = 4.3


def scene(classes=2, channels=3, dtype="uint8", shape=SHAPE):
    truth = blobs(shape, classes)
    return photograph(truth, channels, dtype), reduced(truth, SCALE), truth


def probabilities_of(labels, classes, rng):
    planes = np.stack([labels == k for k in range(classes)]) + rng.random((classes, *labels.shape))
    return (planes / planes.sum(axis=0)).astype(np.float32)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("gamma", [0.0, 0.5])
@pytest.mark.parametrize("edges", ["intensity", "boundary"])
def test_is_the_dense_solution_of_the_definition(classes, gamma, edges, rng):
    image, coarse, _ = scene(classes)
    planes = probabilities_of(coarse, classes, rng)
    g = rng.random(SHAPE)
    options = {"beta": 60.0, "gamma": gamma, "passes": 3, "edges": edges}
    if edges == "boundary":
        options["boundary"] = g
    labels, found, report = refine(
        image, planes, return_probabilities=True, return_report=True, **options
    )
    start = refine(image, planes, passes=0)
    marked = seeds(start, passes=3)
    expected = dense_walker(
        image, marked, planes, boundary=options.get("boundary"), beta=60.0, gamma=gamma
    )
    np.testing.assert_allclose(found, expected, atol=2e-5)
    np.testing.assert_array_equal(labels[marked > 0], marked[marked > 0] - 1)
    sure = np.sort(expected, axis=0)[-1] - np.sort(expected, axis=0)[-2] > 1e-4
    np.testing.assert_array_equal(labels[sure], expected.argmax(axis=0)[sure])
    assert report.unknown_pixels == (marked == 0).sum() > 100


def test_plain_walker_is_scikit_images():
    """Same seeds, same beta: the band's potentials are those of the whole-image solution."""
    image, coarse, _ = scene(3)
    _, found = refine(image, coarse, beta=130, passes=4, return_probabilities=True)
    marked = seeds(refine(image, coarse, passes=0), passes=4)
    expected = dense_walker(image, marked, None, beta=130.0, gamma=0.0)
    np.testing.assert_allclose(found, expected, atol=2e-5)


@given(
    seed=st.integers(0, 2**32 - 1),
    classes=st.integers(2, 5),
    gamma=st.sampled_from([0.0, 0.3]),
    scale=st.floats(1.0, 6.0),
)
def test_properties(seed, classes, gamma, scale):
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(12, 60, 2))
    truth = blobs(shape, classes, seed)
    image, coarse = photograph(truth, int(rng.integers(1, 5)) + 4, "float32"), reduced(truth, scale)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RefinementWarning)
        labels, found = refine(
            image, coarse, scale=scale, gamma=gamma, return_probabilities=True, solver="direct"
        )
        oracle, expected = refine(
            image, coarse, scale=scale, gamma=gamma, return_probabilities=True, solver="direct",
            backend="reference",
        )  # fmt: skip
    assert labels.dtype == coarse.dtype
    assert set(np.unique(labels)) <= set(np.unique(coarse))
    assert found.min() >= 0
    assert found.max() <= 1
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-6)
    np.testing.assert_allclose(found, expected, atol=1e-6)  # cpu and reference
    np.testing.assert_array_equal(
        labels[np.ptp(found, axis=0) > 0.99], oracle[np.ptp(found, axis=0) > 0.99]
    )


@pytest.mark.parametrize("solver", ["multigrid", "amg", "direct"])
@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_cpu_agrees_with_reference(solver, gamma):
    image, coarse, _ = scene(4, shape=(150, 211))
    results = [
        refine(image, coarse, gamma=gamma, solver=solver, backend=b, return_probabilities=True)
        for b in ("cpu", "reference")
    ]
    np.testing.assert_allclose(results[0][1], results[1][1], atol=1e-6)
    np.testing.assert_array_equal(results[0][0], results[1][0])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize("channels", [1, 2, 3, 5, 16])
def test_masks_get_better(dtype, channels):
    truth = blobs((150, 200))
    image, coarse = photograph(truth, channels, dtype), reduced(truth, SCALE)
    options = {"alpha": False, "interpolation": "linear", "elements": "3x3"}
    before, after = refine(image, coarse, passes=0), refine(image, coarse, **options)
    assert metrics.iou(after > 0, truth > 0) > metrics.iou(before > 0, truth > 0) + 0.02
    assert metrics.mean_boundary_accuracy(after > 0, truth > 0) > 0.8


def test_labels_are_interpolated_as_planes():
    image, coarse, _ = scene(3)
    planes = np.stack([coarse == k for k in range(3)]).astype(np.float32)
    for how in ("linear", "cubic"):
        np.testing.assert_array_equal(
            refine(image, coarse, interpolation=how), refine(image, planes, interpolation=how)
        )
    assert (refine(image, coarse) != refine(image, coarse, interpolation="linear")).any()


def test_grey_is_one_channel_and_channels_may_come_first():
    image, coarse, _ = scene()
    grey = image[..., :1]
    np.testing.assert_array_equal(refine(grey[..., 0], coarse), refine(grey, coarse))
    first = np.moveaxis(image, -1, 0)
    np.testing.assert_array_equal(refine(first, coarse, channel_axis=0), refine(image, coarse))


def test_integers_are_scaled_to_one():
    image, coarse, _ = scene()
    expected = refine(image, coarse, return_probabilities=True)[1]
    for same in (image / 255, image.astype(np.uint16) * 257):
        np.testing.assert_allclose(
            refine(same, coarse, return_probabilities=True)[1], expected, atol=1e-5
        )


def test_alpha_is_ignored_and_said_so(rng):
    image, coarse, _ = scene()
    rgba = np.dstack([image, rng.integers(0, 256, SHAPE, np.uint8)])
    expected = refine(image, coarse)
    with pytest.warns(RefinementWarning, match="alpha is ignored"):
        labels, report = refine(rgba, coarse, return_report=True)
    np.testing.assert_array_equal(labels, expected)
    assert any("alpha" in note for note in report.notes)
    np.testing.assert_array_equal(refine(rgba, coarse, alpha=True), expected)
    assert (refine(rgba, coarse, alpha=False) != expected).any()


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "uint16", "int8", "int32", "int64", ">i4", "uint64"]
)
def test_labels_of_any_dtype_come_back(dtype):
    image, coarse, _ = scene()
    expected = refine(image, coarse)
    labels = refine(image, coarse.astype(dtype))
    assert labels.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(labels, expected.astype(dtype))


def test_labels_of_any_value_come_back():
    image, coarse, _ = scene(3)
    names = np.array([-7, 5, 2**40])
    np.testing.assert_array_equal(refine(image, names[coarse]), names[refine(image, coarse)])


def test_class_indices_come_back_for_probabilities(rng):
    image, coarse, _ = scene(3)
    planes = probabilities_of(coarse, 3, rng)
    labels = refine(image, planes)
    assert labels.dtype == np.uint8
    many = np.concatenate([planes, np.zeros((297, *coarse.shape), np.float32)])
    np.testing.assert_array_equal(refine(image, many), labels)
    assert refine(image, many).dtype == np.uint16
    last = np.moveaxis(planes, 0, -1)
    again, found = refine(image, last, class_axis=-1, return_probabilities=True)
    np.testing.assert_array_equal(again, labels)
    assert found.shape == (*SHAPE, 3)


def test_kinds_of_probabilities(rng):
    image, coarse, _ = scene(3)
    planes = probabilities_of(coarse, 3, rng)
    expected = refine(image, planes)
    np.testing.assert_array_equal(refine(image, planes.astype(np.float64)), expected)
    logits = np.log(planes) + 3.0
    with pytest.warns(RefinementWarning, match="logits"):
        np.testing.assert_array_equal(refine(image, logits), expected)
    one_hot = np.stack([coarse == k for k in range(3)])
    for same in (one_hot, one_hot.astype(np.uint8), one_hot.astype(np.uint8) * 255):
        np.testing.assert_array_equal(refine(image, same), refine(image, one_hot.astype(float)))
    half = np.round(planes * 255).astype(np.uint8)
    assert (refine(image, half) != expected).mean() < 0.01
    refine(image, planes.astype(np.float16))


def test_cubic_differs_from_linear_and_is_a_probability(rng):
    image, coarse, _ = scene(3)
    planes = probabilities_of(coarse, 3, rng)
    _, linear = refine(image, planes, gamma=1.0, return_probabilities=True)
    _, cubic = refine(image, planes, gamma=1.0, interpolation="cubic", return_probabilities=True)
    assert np.abs(cubic - linear).max() > 1e-3
    np.testing.assert_allclose(cubic.sum(axis=0), 1, atol=1e-6)
    assert cubic.min() >= 0


def test_strong_evidence_decides(rng):
    """With gamma far above the weights, the band takes the interpolated coarse map."""
    image, coarse, _ = scene()
    planes = probabilities_of(coarse, 2, rng)
    labels = refine(image, planes, gamma=1e6)
    np.testing.assert_array_equal(labels, refine(image, planes, passes=0))
    assert (refine(image, planes, gamma=0.0) != labels).any()


@pytest.mark.parametrize(("shape", "small"), [((33, 10), (8, 2)), ((30, 41), (6, 9))])
def test_evidence_of_labels_is_that_of_their_planes(shape, small):
    """Also where rounding made the two axes' scales differ."""
    rng = np.random.default_rng(53)
    image, coarse = rng.random(shape), rng.integers(0, 3, small).astype(np.uint8)
    coarse[0, :] = [0, 1, 2, 0, 1, 2, 0, 1, 2][: small[1]]
    coarse[1, 0] = 2
    planes = np.stack([coarse == k for k in range(3)]).astype(np.float32)
    options = {"passes": 1, "gamma": 2.0, "beta": 5.0, "return_probabilities": True}
    # With as many passes as there are seeds to lose, both start from the same classes.
    _, found = refine(image, coarse, interpolation="linear", **options)
    _, expected = refine(image, planes, **options)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    start = refine(image, coarse, passes=0)
    marked = seeds(start, passes=1)
    _, nearest = refine(image, coarse, **options)
    dense = dense_walker(image, marked, planes, beta=5.0, gamma=2.0)
    np.testing.assert_allclose(nearest, dense, atol=2e-5)


@pytest.mark.parametrize("level", [0.2, 0.3])
def test_constant_boundary_map_has_equal_weights_on_every_backend(level):
    image, coarse, _ = scene()
    options = {"edges": "boundary", "gamma": 0.1, "return_probabilities": True}
    for backend in ("cpu", "reference"):
        _, found = refine(image, coarse, boundary=np.full(SHAPE, level), backend=backend, **options)
        _, expected = refine(image, coarse, boundary=np.zeros(SHAPE), backend=backend, **options)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_evidence_of_labels_is_the_blurred_step():
    """Labels and their indicator planes are the same evidence; full-size labels nearly so."""
    image, coarse, _ = scene(3)
    indicator = np.stack([coarse == k for k in range(3)]).astype(np.float32)
    full = refine(image, coarse, passes=0)
    marked = {"passes": 4, "gamma": 1.0, "return_probabilities": True}
    _, by_labels = refine(image, coarse, **marked)
    _, by_full = refine(image, full, scale=SCALE, **marked)
    band = seeds(full, passes=4) == 0
    np.testing.assert_allclose(by_full, by_labels, atol=1e-5)
    _, by_planes = refine(image, indicator, **marked)
    both = band & (by_planes.max(axis=0) < 1)
    assert both.sum() > 100
    assert np.abs(by_planes - by_labels)[:, both].mean() < 0.1


@pytest.mark.parametrize("shape", [(64, 96), (65, 97), (63, 93), (70, 40)])
@pytest.mark.parametrize("scale", [1.0, 1.7, 3.0, 7.9])
def test_scale_factors(shape, scale):
    truth = blobs(shape)
    image, coarse = photograph(truth), reduced(truth, scale)
    labels, report = refine(image, coarse, scale=scale, return_report=True)
    assert labels.shape == shape
    assert report.scale == scale
    assert report.passes == max(1, round(2 * scale))
    if coarse.shape != shape:
        _, report = refine(image, coarse, return_report=True)
        h, w = coarse.shape
        assert report.scale == max(shape[0] / h, shape[1] / w)


def test_full_size_map_assumes_eight_and_says_so():
    image, _, truth = scene()
    with pytest.warns(RefinementWarning, match="scale=8 is assumed"):
        labels, report = refine(image, truth, return_report=True)
    assert report.passes == 16
    np.testing.assert_array_equal(labels, refine(image, truth, scale=8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refine(image, truth, passes=3)


def test_no_passes_is_nearest_neighbour():
    image, coarse, _ = scene()
    labels, report = refine(image, coarse, passes=0, return_report=True)
    rows, columns = (
        (2 * np.arange(n) + 1) * m // (2 * n) for n, m in zip(SHAPE, coarse.shape, strict=True)
    )
    np.testing.assert_array_equal(labels, coarse[rows][:, columns])
    assert (report.unknown_pixels, report.systems, report.solver) == (0, 0, "none")


def test_classes_cost_nothing_where_they_have_no_say():
    """Four islands of four classes on background: five classes, one right-hand side."""
    truth = np.zeros((120, 120), np.uint8)
    for k, (y, x) in enumerate([(20, 20), (20, 80), (80, 20), (80, 80)], start=1):
        truth[y : y + 24, x : x + 24] = k
    image = photograph(truth)
    labels, found, report = refine(
        image, truth, passes=4, return_probabilities=True, return_report=True
    )
    assert (report.systems, report.right_hand_sides) == (1, 1)
    np.testing.assert_array_equal(labels, truth)
    assert found[1, :60, 60:].max() == 0  # class 1 has no say at the other islands


@pytest.mark.parametrize("classes", [2, 5])
def test_report(classes):
    image, coarse, _ = scene(classes)
    seen = []
    labels, report = refine(
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
    stages = list(dict.fromkeys(stage for stage, _ in seen))
    assert stages == ["survey", "upsample", "seeds", "graph", "solve"]
    assert [s for s, _ in seen] == sorted((s for s, _ in seen), key=stages.index)
    for stage in stages:
        done = [fraction for s, fraction in seen if s == stage]
        assert done == sorted(done)
        assert done[-1] == 1


@pytest.mark.parametrize("solver", ["multigrid", "direct", "amg"])
def test_report_says_what_is_proven(solver):
    image, coarse, _ = scene(3)
    _, report = refine(image, coarse, solver=solver, tol=1e-3, return_report=True)
    assert report.solver == solver
    assert report.tolerance == 1e-3
    assert 0 < report.error_estimate <= 1e-3
    assert report.refined_pixels == 0
    assert (report.uncertified_pixels is None) == (solver == "amg")


def test_ties_are_uncertified():
    """By symmetry every pixel of the middle column has potentials of one half."""
    image = np.full((41, 41), 0.5)
    truth = np.zeros((41, 41), np.uint8)
    truth[:, 21:] = 1
    truth[:, 20] = np.arange(41) % 2  # belongs to either
    image[20, 20] = 0.75  # not constant, but symmetric
    _, found, report = refine(
        image, truth, passes=6, beta=10, return_probabilities=True, return_report=True
    )
    close = np.abs(found[0] - 0.5) < 1e-4
    assert close.any()
    # Two bounds of 1e-4 at most.
    assert 0 < report.uncertified_pixels <= (np.abs(found[0] - 0.5) < 2e-4).sum()


@pytest.mark.filterwarnings("ignore:tol=1e-06 is less:hdseg_gpu.RefinementWarning")
@pytest.mark.parametrize("beta", [100.0, 1000.0, 5000.0])
@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_potentials_are_within_tol_of_the_definition(beta, tol, backend, rng):
    """Labels that differ are uncertified."""
    image, coarse, _ = scene(3)
    image = np.clip(image.astype(int) + rng.integers(-40, 40, image.shape), 0, 255).astype(np.uint8)
    labels, found, report = refine(
        image, coarse, beta=beta, passes=4, tol=tol, backend=backend, return_probabilities=True,
        return_report=True,
    )  # fmt: skip
    marked = seeds(refine(image, coarse, passes=0), passes=4)
    expected = dense_walker(image, marked, None, beta=beta, gamma=0.0)
    # float32 leaves 6e-6 of the weights on the cpu; the dense solve, 1e-6 of clusters.
    np.testing.assert_allclose(found, expected, rtol=0, atol=tol + 1e-5)
    assert (labels != expected.argmax(axis=0)).sum() <= report.uncertified_pixels
    assert report.uncertified_pixels < 0.02 * report.unknown_pixels


def test_fallback_is_in_the_report(monkeypatch):
    from hdseg_gpu.solvers import multigrid

    monkeypatch.setattr(multigrid, "MAX_ITERATIONS", 1)
    image, coarse, _ = scene()
    labels, report = refine(image, coarse, return_report=True)
    assert report.solver == "direct"
    assert "direct instead of multigrid" in report.fallbacks[0]
    np.testing.assert_array_equal(labels, refine(image, coarse, solver="direct"))


def test_any_threads_and_instruction_set_give_the_same_bits():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from gallery import *; import hashlib, hdseg_gpu\n"
        "assert hdseg_gpu.available_backends()[0] == 'cpu'\n"
        "t = blobs((150, 211), 3).repeat(8, axis=0).repeat(8, axis=1)\n"
        "r = hdseg_gpu.refine(photograph(t), reduced(t, 3.1), return_probabilities=True)\n"
        "print(hashlib.sha256(b''.join(a.tobytes() for a in r)).hexdigest())"
    )
    # -P: the package that is installed, not the source folder tests may be started in.
    folder = str(Path(__file__).parent)
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
        # Held, the GIL would let this thread count once, after the call.
        if ticks > 5:
            return
    pytest.fail("no other thread ran")
