"""random_walker against scikit-image's, dense solutions, and symmetries."""

import sys
import warnings

import numpy as np
import pytest
from executor.device import ExecutorDevice
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

import hdseg_gpu
from hdseg_gpu import InvalidInput, random_walker
from hdseg_gpu.backends.cuda import CudaOps
from hdseg_gpu.backends.reference import ReferenceOps
from hdseg_gpu.compat.grid_graph import grid_graph
from hdseg_gpu.compat.potentials import Walk, label_all

PARTS = {"plane": ((23, 31), None), "wide pixels": ((23, 31), (1.0, 2.5)),
         "volume": ((9, 11, 13), None), "slices": ((9, 11, 13), (3.0, 1.0, 1.0)),
         "line": ((1, 40), None), "one slice": ((1, 20, 21), None)}  # fmt: skip
DTYPES = ["bool", "uint8", "uint16", "int8", "int16", "int32", "float16", "float32", "float64"]


def scribbled(rng, shape, channels=None, dtype="float64", negative=True, few=25):
    """Return an image and labels: some seeds of up to four labels, and excluded pixels."""
    full = shape if channels is None else (*shape, channels)
    sigma = [1.5] * len(shape) + [0] * (len(full) - len(shape))
    image = ndimage.gaussian_filter(rng.random(full), sigma)
    image = (image - image.min()) / (image.max() - image.min())
    if dtype == "bool":
        image = image > 0.5
    elif np.dtype(dtype).kind in "iu":
        limits = np.iinfo(dtype)
        image = image * (float(limits.max) - limits.min) + limits.min
    labels = np.zeros(shape, np.int32)
    at = rng.choice(labels.size, max(2, labels.size // few), replace=False)
    labels.flat[at] = rng.choice([2, 3, 7, 11], at.size)
    if negative:
        labels.flat[rng.choice(labels.size, labels.size // 15, replace=False)] = -rng.integers(1, 4)
    labels.flat[at[0]] = 2
    return image.astype(dtype), labels


def theirs(*args, **options):
    segmentation = pytest.importorskip("skimage.segmentation")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return segmentation.random_walker(*args, **options)


def ours(*args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return random_walker(*args, **options)


def potentials(image, labels, spacing=None, channel_axis=None, beta=130):
    """Return the potentials (K, n) of unlabelled pixels by a dense matrix, from the definition."""
    image = np.asarray(image, np.float64)
    image = image[..., None] if channel_axis is None else image
    steps = spacing or (1,) * labels.ndim
    s = beta / (10 * image.std())
    if channel_axis is not None:
        s /= np.sqrt(image.shape[-1])
    n = labels.size
    matrix = np.zeros((n, n))
    index = np.arange(n).reshape(labels.shape)
    for axis, step in enumerate(steps):
        a, b = (np.moveaxis(index, axis, 0)[part].ravel() for part in (slice(-1), slice(1, None)))
        flat = image.reshape(n, -1)
        weight = np.exp(-s * ((flat[a] - flat[b]) ** 2).sum(axis=1) / step**2) + 1e-10
        weight *= (labels.flat[a] >= 0) & (labels.flat[b] >= 0)
        matrix[a, b] = matrix[b, a] = -weight
    matrix[np.diag_indices(n)] = -matrix.sum(axis=1)
    unknown = np.flatnonzero(labels == 0)
    values = np.unique(labels[labels > 0])
    known = [np.flatnonzero(labels == value) for value in values]
    rows = matrix[unknown]
    b = np.array([-rows[:, k].sum(axis=1) for k in known])
    return np.linalg.solve(rows[:, unknown], b.T).T


# ---- against scikit-image ------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), part=st.sampled_from(sorted(PARTS)),
    channels=st.sampled_from([None, 1, 3]), dtype=st.sampled_from(DTYPES),
    beta=st.sampled_from([10, 130, 1000]), mode=st.sampled_from(["cg_j", "cg_mg", "bf", None]),
    negative=st.booleans(),
)  # fmt: skip
def test_labels_and_probabilities_are_theirs(seed, part, channels, dtype, beta, mode, negative):
    shape, spacing = PARTS[part]
    rng = np.random.default_rng(seed)
    image, labels = scribbled(rng, shape, channels, dtype, negative)
    if not image.std() > 0:
        return
    options = {"beta": beta, "spacing": spacing, "tol": 1e-8}
    options["channel_axis"] = None if channels is None else -1
    # Theirs shifts the rows of its matrix by one for each seed that no unlabelled pixel adjoins,
    # if pixels are excluded.
    labels[alone(labels)] = -1
    if not (labels == 0).any() or len(np.unique(labels[labels > 0])) < 2:
        return  # their "bf" is wrong for a single label
    # Their conjugate gradients cannot resolve what hangs on edges of 1e-10.
    expected = theirs(image, labels, mode="bf", return_full_prob=True, **options)
    found = ours(image, labels, mode=mode, return_full_prob=True, **options)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    # Rounding leaves 1e-5 of a diagonal of 1 with edges of 1e-10, which steps of 1 lead to.
    np.testing.assert_allclose(found, expected, atol=1e-4 if dtype == "bool" else 1e-5)
    labelled, expected_labels = ours(image, labels, mode=mode, **options), theirs(
        image, labels, mode="bf", **options
    )  # fmt: skip
    assert labelled.dtype == expected_labels.dtype
    ranked = np.sort(expected, axis=0)
    clear = np.ones(shape, bool) if len(ranked) < 2 else ranked[-1] - ranked[-2] > 2e-4
    np.testing.assert_array_equal(labelled[clear], expected_labels[clear])


def alone(labels):
    """Return the seeds that no unlabelled pixel can be reached from, or adjoins."""
    inside = labels >= 0
    reached = ndimage.binary_propagation(labels == 0, mask=inside)
    return (labels > 0) & ~reached


@pytest.mark.parametrize("part", ["plane", "volume"])
def test_closer_to_the_exact_solution_at_the_default_tolerance(part, rng):
    shape, spacing = PARTS[part]
    image, labels = scribbled(rng, shape, negative=False, few=100)
    exact = potentials(image, labels, spacing)
    off = [
        np.abs(f(image, labels, return_full_prob=True)[:, labels == 0] - exact).max()
        for f in (ours, theirs)
    ]
    assert off[0] <= min(1e-4, off[1])


# ---- against dense solutions ---------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["cg_j", "bf"])
@pytest.mark.parametrize("channels", [None, 20])
@pytest.mark.parametrize("part", sorted(PARTS))
def test_potentials_are_those_of_the_definition(part, channels, mode, rng):
    shape, spacing = PARTS[part]
    image, labels = scribbled(rng, shape, channels, negative=False)
    axis = None if channels is None else -1
    exact = potentials(image, labels, spacing, axis)
    found = ours(
        image, labels, mode=mode, tol=1e-6, spacing=spacing, channel_axis=axis,
        return_full_prob=True,
    )  # fmt: skip
    np.testing.assert_allclose(found[:, labels == 0], exact, atol=2e-6)


def test_isolated_seeds_do_not_shift_the_others(rng):
    """There they do; the exact potentials know nothing of a seed beyond excluded pixels."""
    image, labels = rng.random((12, 14)), np.zeros((12, 14), int)
    labels[3, 4], labels[9, 9] = 1, 2
    labels[:2] = -1
    alone = labels.copy()
    alone[0, 0] = 1
    found = ours(image, alone, tol=1e-8)
    np.testing.assert_array_equal(found[2:], ours(image, labels, tol=1e-8)[2:])
    np.testing.assert_array_equal(found[labels == 0], potentials(image, labels).argmax(axis=0) + 1)


def test_a_step_between_two_seeds():
    """Resistances in a row: potentials fall in proportion to them."""
    image = np.array([[0.0, 0, 0, 1, 1, 1, 1]])
    labels = np.array([[5, 0, 0, 0, 0, 0, 9]])
    weight = np.exp(-130 / (10 * image.std())) + 1e-10
    resistance = np.array([1, 1, 1 / weight, 1, 1, 1])
    expected = 1 - np.cumsum(resistance) / resistance.sum()
    found = ours(image, labels, tol=1e-8, return_full_prob=True)
    np.testing.assert_allclose(found[0, 0, 1:], expected, atol=1e-6)


@pytest.mark.parametrize("part", ["plane", "volume"])
def test_flips_and_transposes(part, rng):
    shape, _ = PARTS[part]
    image, labels = scribbled(rng, shape)
    expected = ours(image, labels, tol=1e-8, return_full_prob=True)
    for axis in range(len(shape)):
        found = ours(np.flip(image, axis), np.flip(labels, axis), tol=1e-8, return_full_prob=True)
        np.testing.assert_allclose(np.flip(found, axis + 1), expected, atol=1e-5)
    found = ours(image.T, labels.T, tol=1e-8, return_full_prob=True)
    back = found.transpose(0, *range(found.ndim - 1, 0, -1))
    np.testing.assert_allclose(back, expected, atol=1e-5)


def test_more_labels_than_are_solved_together(rng):
    image, labels = rng.random((40, 50)), np.zeros((40, 50), int)
    labels.flat[rng.choice(2000, 200, replace=False)] = np.arange(200) % 29 + 1
    for spacing in (None, (1.0, 2.0)):
        found = ours(image, labels, tol=1e-8, spacing=spacing, return_full_prob=True)
        exact = potentials(image, labels, spacing)
        np.testing.assert_allclose(found[:, labels == 0], exact, atol=5e-6)
        np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)
        named = ours(image, labels, tol=1e-8, spacing=spacing)
        assert (named[labels == 0] == exact.argmax(axis=0) + 1).mean() > 0.999


# ---- graphs and backends -------------------------------------------------------------------------


def walk_on(ops, image, labels, scales):
    with ops.here():
        walk = Walk(
            ops, ops.xp.asarray(image[..., None]), ops.xp.asarray(labels.astype(np.uint8)),
            int(labels.max()), scales, 2e-6,
        )  # fmt: skip
        found = ops.xp.zeros((walk.labels, *labels.shape))
        label_all(walk, found)
        return ops.host(walk.seeds), ops.host(found)


@pytest.mark.parametrize("scales", [(9.0, 9.0), (9.0, 3.0), (9.0, 9.0, 9.0)])
def test_backends_agree(scales, rng):
    shape = (24, 30) if len(scales) == 2 else (8, 9, 10)
    image, labels = rng.random(shape), np.zeros(shape, np.uint8)
    labels.flat[rng.choice(labels.size, 20, replace=False)] = np.arange(20) % 3 + 1
    results = [
        walk_on(ops, image, labels, scales)
        for ops in (hdseg_gpu.backends.load("cpu"), ReferenceOps(), CudaOps(ExecutorDevice()))
    ]
    for seeds, found in results[1:]:
        np.testing.assert_allclose(found, results[0][1], atol=5e-6)
        assert (seeds != results[0][0]).mean() < 0.002


def test_only_edges_of_unlabelled_pixels_are_there(rng):
    image, seeds = rng.random((10, 12, 1)), np.ones((10, 12), np.uint8)
    seeds[4, 5:7] = 0
    seeds[3, 5] = 255
    graph = grid_graph(np, image, seeds, 255, (2.0, 2.0))
    assert (len(graph.pixel), (graph.link >= 0).sum(), len(graph.contacts.entry)) == (2, 1, 5)


@pytest.mark.parametrize("shape", [(60, 70), (14, 15, 16)])
@pytest.mark.parametrize("share", [0.02, 0.6])
def test_the_default_tolerance_is_closer_to_the_exact_solution_than_theirs(shape, share, rng):
    image = rng.random(shape)
    labels = np.where(rng.random(shape) < share, rng.integers(1, 4, shape), 0)
    exact = theirs(image, labels, mode="bf", return_full_prob=True)
    errors = [
        np.abs(walk(image, labels, mode="cg_j", return_full_prob=True) - exact).max()
        for walk in (ours, theirs)
    ]
    assert errors[0] < 1e-3
    assert errors[0] < errors[1]


@pytest.mark.parametrize("shape", [(20, 31), (6, 7, 8)])
@pytest.mark.parametrize("mode", ["cg_j", "bf"])
def test_the_whole_function_on_the_kernels_for_cuda(shape, mode, rng, monkeypatch):
    ops = CudaOps(ExecutorDevice())
    module = sys.modules["hdseg_gpu.compat.random_walker"]
    monkeypatch.setattr(module.backends, "select", lambda *_: ops)
    image = rng.random(shape)
    labels = np.where(rng.random(shape) < 0.1, rng.integers(-1, 4, shape), 0)
    expected = theirs(image, labels, mode="bf", return_full_prob=True)
    found = ours(image, labels, mode=mode, tol=1e-8, return_full_prob=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(
        ours(image, labels, mode=mode, tol=1e-8), theirs(image, labels, mode="bf")
    )


# ---- labels --------------------------------------------------------------------------------------


def test_labels_are_renumbered(rng):
    image, labels = rng.random((9, 9)), np.zeros((9, 9), np.int16)
    labels[0, 0], labels[8, 8], labels[4] = 30, 7, -5
    labels[4, 0], labels[4, 4] = -9, 0
    found = ours(image, labels)
    assert (found[0, 0], found[8, 8], found[4, 1], found[4, 0]) == (2, 1, -1, -2)
    np.testing.assert_array_equal(found, theirs(image, labels, mode="bf"))


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("copy", [False, True])
@pytest.mark.parametrize("labels", [
    [[1, 3, 0], [-1, -1, -1], [0, 0, 0]], [[1, -1, 0], [-1, -1, 0]], [[2, 3], [3, 3]],
    [[2, -4], [3, 3]], [[[2, 0, 0], [0, 0, 1]]],
])  # fmt: skip
def test_what_cannot_be_reached(labels, copy, full, rng):
    """By labels, messages and shapes."""
    labels = np.array(labels)
    image = rng.random(labels.shape)
    given = [labels.copy(), labels.copy()]
    results = []
    for function, array in zip((pytest.importorskip("skimage.segmentation").random_walker,
                                random_walker), given, strict=True):  # fmt: skip
        with warnings.catch_warnings(record=True) as notes:
            warnings.simplefilter("always")
            found = function(image, array, copy=copy, return_full_prob=full, tol=1e-8)
        results.append((found, sorted({str(note.message) for note in notes})))
    (expected, messages), (found, notes) = results
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert notes == messages
    np.testing.assert_array_equal(*given)


@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "int64", "uint64", "float32", "float64", "bool"]
)
def test_the_dtype_of_labels_is_kept(dtype, rng):
    labels = np.zeros((8, 8), dtype)
    labels[0, 0] = 1
    if dtype != "bool":
        labels[7, 7] = 2
    image = rng.random((8, 8))
    found, expected = ours(image, labels), theirs(image, labels, tol=1e-9)
    assert found.dtype == expected.dtype == dtype
    np.testing.assert_array_equal(found, expected)


def test_a_single_label(rng):
    labels = np.zeros((9, 9), int)
    labels[2, 2] = 4
    for mode in ("bf", "cg_j"):
        assert (ours(rng.random((9, 9)), labels, mode=mode) == 1).all()
        found = ours(rng.random((9, 9)), labels, mode=mode, return_full_prob=True)
        np.testing.assert_array_equal(found, np.ones((1, 9, 9)))


def test_constant_data_have_equal_weights():
    labels = np.zeros((5, 21), int)
    labels[:, 0], labels[:, -1] = 1, 2
    found = ours(np.full((5, 21), 0.3), labels, tol=1e-8, return_full_prob=True)
    np.testing.assert_allclose(found[1, 2], np.arange(21) / 20, atol=1e-6)


# ---- arrays --------------------------------------------------------------------------------------


def test_tensors(rng):
    torch = pytest.importorskip("torch")
    image, labels = scribbled(rng, (20, 22), 3, "float32")
    expected = ours(image, labels, channel_axis=-1)
    found = ours(torch.from_numpy(image), torch.from_numpy(labels), channel_axis=-1)
    assert isinstance(found, torch.Tensor)
    assert found.dtype == torch.int32
    np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize("full", [False, True])
def test_dask(full, rng):
    dask = pytest.importorskip("dask.array")
    image, labels = scribbled(rng, (20, 22))
    expected = ours(image, labels, return_full_prob=full)
    found = random_walker(
        dask.from_array(image, chunks=7), dask.from_array(labels, chunks=7), return_full_prob=full
    )
    assert isinstance(found, dask.Array)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(found.compute(), expected)


@pytest.mark.parametrize("order", ["F", "strided", "big-endian"])
def test_layouts(order, rng):
    image, labels = scribbled(rng, (20, 22))
    expected = ours(image, labels)
    odd = {
        "F": np.asfortranarray, "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
        "strided": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    }[order]  # fmt: skip
    before = labels.copy()
    np.testing.assert_array_equal(ours(odd(image), odd(labels)), expected)
    np.testing.assert_array_equal(labels, before)


# ---- bad input -----------------------------------------------------------------------------------

IMAGE, LABELS = np.random.default_rng(3).random((6, 6)), np.eye(6, dtype=int)
BAD = [
    ((IMAGE, LABELS), {"mode": "bad"}), ((IMAGE, LABELS), {"spacing": (1,)}),
    ((IMAGE[0], LABELS[0]), {}), ((IMAGE, LABELS), {"channel_axis": -1}),
    ((IMAGE, LABELS[:3]), {}), ((IMAGE[..., None], LABELS[:3]), {"channel_axis": -1}),
    ((IMAGE, 0 * LABELS), {}), ((IMAGE, -LABELS), {}),
]  # fmt: skip


@pytest.mark.parametrize(("arrays", "options"), BAD)
def test_messages_are_theirs(arrays, options):
    segmentation = pytest.importorskip("skimage.segmentation")
    with pytest.raises(ValueError) as expected:  # noqa: PT011 - its message is compared
        segmentation.random_walker(*arrays, **options)
    with pytest.raises(ValueError) as found:  # noqa: PT011
        random_walker(*arrays, **options)
    assert str(found.value) == str(expected.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_data_that_are_not_finite(value):
    image = IMAGE.copy()
    image[2, 3] = value
    with pytest.raises(InvalidInput, match="data holds NaN or infinity"):
        random_walker(image, LABELS)


@pytest.mark.parametrize("options", [{"beta": -1}, {"beta": np.nan}, {"spacing": (1, 0)}])
def test_options_that_make_no_sense(options):
    with pytest.raises(InvalidInput):
        random_walker(IMAGE, LABELS, **options)


class Foreign:
    shape, ndim, dtype = (6, 6), 2, np.dtype(float)

    def __array_namespace__(self):
        raise AssertionError


@pytest.mark.parametrize("value", [Foreign(), [[0.0, 1.0]], None])
def test_other_arrays(value):
    for arrays in ((value, LABELS), (IMAGE, value)):
        with pytest.raises(TypeError, match="pass an array of NumPy, CuPy or torch"):
            random_walker(*arrays)
