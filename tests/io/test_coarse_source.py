"""The coarse map is read part by part: what comes of it, whatever its format and its parts.

The truth is written out with NumPy on the whole map.
"""

from itertools import pairwise

import by_definition
import numpy as np
import pytest
import tifffile
from engine_internals import (
    REFERENCE,
    CoarseValues,
    drawn_by_network,
    kept_by,
    open_coarse,
    small_parts,
    streamed,
)
from gallery import blobs, photograph, reduced
from PIL import Image

from hdseg_gpu import InvalidInput, Unfinished, refine, refine_file
from hdseg_gpu.core.memory import Budget, budget_of
from hdseg_gpu.core.report import Stages
from hdseg_gpu.pipeline import doubt
from hdseg_gpu.pipeline.doubt import detail_of

zarr = pytest.importorskip("zarr")
RNG = np.random.default_rng(419)
SHAPE = (23, 19)


@pytest.fixture(autouse=True)
def _parts_of_few_rows(monkeypatch):
    """Let maps come in parts of 3 rows or so, never all at once."""
    small_parts(monkeypatch, 3 * SHAPE[1] * 8)


# ---- how a map is written ------------------------------------------------------------------------


def npy(path, array):
    np.save(path, array)


def fortran(path, array):
    np.save(path, np.asfortranarray(array))


def npz(path, array):
    np.savez_compressed(path, array)


def a_zarr(path, array, **options):
    chunks = tuple(min(n, 5) for n in array.shape)
    made = zarr.create_array(path, shape=array.shape, chunks=chunks, dtype=array.dtype, **options)
    made[:] = array


def tif(path, array):
    bands = {"planarconfig": "separate"} if array.ndim == 3 else {}
    tifffile.imwrite(path, array, photometric="minisblack", tile=(16, 16), **bands)


def strips(path, array):
    array = np.moveaxis(array, 0, -1) if array.ndim == 3 else array
    bands = {"planarconfig": "contig"} if array.ndim == 3 else {}
    tifffile.imwrite(path, array, photometric="minisblack", rowsperstrip=4, **bands)


def png(path, array):
    Image.fromarray(array).save(path)


FILES = {"npy": npy, "f.npy": fortran, "npz": npz, "zarr": a_zarr, "tif": tif, "s.tif": strips,
         "png": png}  # fmt: skip


def given(form, array, folder):
    """Return what is passed for an array: a file, or an array of a library."""
    if form == "numpy":
        return array
    if form == "dask":
        chunks = tuple(min(n, 6) for n in array.shape)
        return pytest.importorskip("dask.array").from_array(array, chunks)
    if form == "zarr.Array":
        a_zarr(folder / "array.zarr", array)
        return zarr.open_array(folder / "array.zarr", mode="r")
    if form == "cyx":
        a_zarr(folder / "named.zarr", array, dimension_names=("c", "y", "x"))
        return folder / "named.zarr"
    FILES[form](folder / f"coarse.{form}", array)
    return folder / f"coarse.{form}"


# ---- planes --------------------------------------------------------------------------------------


def planes_of(kind, count, dtype):
    values = RNG.random((count, *SHAPE)) ** 3 + 1e-3
    if kind == "probabilities":
        values /= values.sum(axis=0)
    elif kind == "logits":
        values = RNG.normal(size=values.shape) * 6
    elif kind == "one logit":  # the last pixel alone says what all are
        values /= values.sum(axis=0)
        values[:, -1, -1] = 3
    else:
        values = values * 200 + 1
    return values.astype(dtype)


def exact(planes, kind):
    """Return what planes (K, h, w) mean, in float64."""
    z = planes.astype(np.float64)
    if "logit" in kind:
        z = np.exp(z - z.max(axis=0))
    return z / z.sum(axis=0)


KINDS = [
    ("probabilities", "f2"), ("probabilities", "f4"), ("probabilities", "f8"), ("logits", "f2"),
    ("logits", "f4"), ("logits", "f8"), ("one logit", "f4"), ("quantised", "u1"),
    ("quantised", "u2"), ("quantised", "i8"), ("probabilities", ">f4"),
]  # fmt: skip


def check_planes(coarse, planes, kind, folder, class_axis=0, key=None):
    (found, notes, _) = streamed(coarse, folder, key, class_axis)
    assert found.classes is None
    assert found.ignored is None
    np.testing.assert_array_equal(found.values, np.arange(len(planes)))
    np.testing.assert_allclose(found.probabilities, exact(planes, kind), rtol=3e-6, atol=1e-10)
    assert found.probabilities.dtype == np.float32
    assert ["taken as logits" in note for note in notes] == [True] * ("logit" in kind)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
@pytest.mark.parametrize(("kind", "dtype"), KINDS)
@pytest.mark.parametrize("form", ["npy", "numpy"])
def test_planes_on_any_axis(form, kind, dtype, axis, tmp_path):
    planes = planes_of(kind, 5, dtype)
    array = np.ascontiguousarray(np.moveaxis(planes, 0, axis))
    check_planes(given(form, array, tmp_path), planes, kind, tmp_path, axis)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("form", ["f.npy", "npz", "zarr", "zarr.Array", "dask"])
@pytest.mark.parametrize(
    ("kind", "dtype"), [("probabilities", "f4"), ("one logit", "f4"), ("quantised", "u2")]
)
def test_planes_in_files_and_arrays_of_any_axis(form, kind, dtype, axis, tmp_path):
    planes = planes_of(kind, 21, dtype)
    array = np.ascontiguousarray(np.moveaxis(planes, 0, axis))
    check_planes(given(form, array, tmp_path), planes, kind, tmp_path, axis)


@pytest.mark.parametrize("form", ["cyx", "tif", "s.tif"])
@pytest.mark.parametrize(
    ("kind", "dtype"), [("probabilities", "f4"), ("logits", "f8"), ("quantised", "u1")]
)
@pytest.mark.parametrize("count", [2, 21])
def test_channels_are_classes(form, kind, dtype, count, tmp_path):
    planes = planes_of(kind, count, dtype)
    check_planes(given(form, planes, tmp_path), planes, kind, tmp_path)


def test_an_array_of_several(tmp_path):
    planes = planes_of("logits", 3, "f4")
    np.savez(tmp_path / "two.npz", other=np.ones(3), wanted=planes)
    check_planes(tmp_path / "two.npz", planes, "logits", tmp_path, key="wanted")


# ---- labels --------------------------------------------------------------------------------------


def check_labels(coarse, labels, folder, ignore=None, key=None):
    """Hold the classes to the labels; `ignore`: the label that passes through, if there is one."""
    found, _, _ = streamed(coarse, folder, key, ignore_index=ignore)
    known = np.unique(labels[labels != ignore] if ignore is not None else labels)
    np.testing.assert_array_equal(found.values, known)
    assert found.values.dtype == labels.dtype.newbyteorder("=")
    classes = np.searchsorted(known, labels).astype(found.classes.dtype)
    if ignore is None:
        assert found.ignored is None
    else:
        assert found.ignore_index == ignore
        np.testing.assert_array_equal(found.ignored, labels == ignore, strict=True)
        classes = by_definition.nearest_class(classes, labels == ignore)
    np.testing.assert_array_equal(found.classes, classes)


@pytest.mark.parametrize("form", [*FILES, "numpy", "dask", "zarr.Array"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "?"])
def test_labels(form, dtype, tmp_path):
    if dtype == "?" and "tif" in form:
        pytest.skip("tifffile writes bits without tiles")
    labels = (RNG.random(SHAPE) * (2 if dtype == "?" else 9)).astype("u1").astype(dtype)
    if dtype != "?":
        labels[-1, -1] = 200  # in the last part alone
    check_labels(given(form, labels, tmp_path), labels, tmp_path)


@pytest.mark.parametrize(
    "labels",
    [
        [-(2**63), 2**63 - 1, 0, 5],
        [2**31 - 1, -(2**31)],
        [-3, 900, 4],
        [7],
    ],
)
@pytest.mark.parametrize("form", ["npy", "zarr"])
def test_labels_of_wide_types(form, labels, tmp_path):
    array = np.array(labels, np.int64)[RNG.integers(0, len(labels), SHAPE)]
    check_labels(given(form, array, tmp_path), array, tmp_path)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.97])
@pytest.mark.parametrize("rows", [1, 3, 7])
def test_classes_go_on_beneath_what_is_ignored(rows, share, tmp_path, monkeypatch):
    """In strips of some rows as in one, however far the nearest class is."""
    small_parts(monkeypatch, rows * SHAPE[1])
    for i in range(8):
        labels = RNG.integers(0, 6, SHAPE).astype(np.uint8)
        labels[RNG.random(SHAPE) < share] = 255
        if i % 2:
            labels[5:20] = 255  # whole strips
        labels[-1, -1] = 3
        np.save(tmp_path / "coarse.npy", labels)
        check_labels(tmp_path / "coarse.npy", labels, tmp_path, ignore=255)
        labels[labels == 255] = 9
        check_labels(labels, labels, tmp_path, ignore=9)


# ---- refusals ------------------------------------------------------------------------------------

MESSAGES = [
    ("f4", (4, 22, 18), np.nan, 0, "coarse holds NaN or infinity, first at index [4, 22, 18]"),
    ("f8", (22, 4, 18), np.inf, 1, "coarse holds NaN or infinity, first at index [22, 4, 18]"),
    ("f2", (22, 18, 4), -np.inf, -1, "coarse holds NaN or infinity, first at index [22, 18, 4]"),
    ("f8", (3, 22, 0), -1e141, 0, "coarse has values from -1e+141 to 1, whose squares overflow"),
    ("i1", (2, 22, 4), -7, 0, "coarse has three dimensions, dtype int8 and values down to -7;"),
    ("u1", np.s_[:, 22, 17], 0, 0, "coarse is 0 for every class at (row, column) [22, 17];"),
    ("i8", np.s_[22, :, 3], 0, 1, "coarse is 0 for every class at (row, column) [22, 3];"),
    ("?", np.s_[22, 3], False, -1, "coarse is 0 for every class at (row, column) [22, 3];"),
    ("c8", (0, 0, 0), 1, 0, "coarse has three dimensions and the unsupported dtype complex64;"),
]


@pytest.mark.parametrize("form", ["npy", "numpy", "dask"])
@pytest.mark.parametrize(("dtype", "index", "value", "axis", "message"), MESSAGES)
def test_what_is_wrong_in_the_last_part(form, dtype, index, value, axis, message, tmp_path):
    planes = np.moveaxis(np.ones((5, *SHAPE)), 0, axis).astype(dtype)
    planes[index] = value
    with pytest.raises(InvalidInput) as caught:
        streamed(given(form, planes, tmp_path), tmp_path, class_axis=axis)
    assert message in str(caught.value)


@pytest.mark.parametrize("form", ["npy", "f.npy", "zarr"])
def test_the_first_place_of_several_is_named(form, tmp_path):
    """By the order of the array, not of the parts."""
    planes = np.ones((3, *SHAPE), np.float32)
    planes[2, 0, 0] = planes[1, 5, 6] = planes[1, 6, 1] = np.nan
    with pytest.raises(InvalidInput, match=r"index \[1, 5, 6\]"):
        streamed(given(form, planes, tmp_path), tmp_path)
    planes = np.ones((3, *SHAPE), np.uint16)
    planes[:, 5, 6] = planes[:, 6, 1] = planes[:, 18, 12] = 0
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(InvalidInput, match=r"\[5, 6\]"):
        streamed(given(form, planes, other), tmp_path)


def test_refused_maps(tmp_path):
    for array, options, message in (
        (np.ones((1, *SHAPE)), {}, "coarse has 1 class on axis class_axis=0"),
        (np.ones((65537, 3, 2), np.uint8), {}, "coarse has 65537 classes on axis class_axis=0"),
        (np.ones((2, 3, 4, 5)), {}, "coarse has 4 dimensions"),
        (np.full(SHAPE, 255, np.uint8), {"ignore_index": 255}, "Every pixel of coarse equals"),
        (np.arange(257 * 256).reshape(257, 256), {}, "coarse has 65792 distinct labels"),
        (np.ones(SHAPE, np.float32), {}, "coarse has dtype float32; labels are integers or bools"),
        (np.zeros((0, 5), np.uint8), {}, "(0, 5)"),
    ):
        np.save(tmp_path / "coarse.npy", array)
        for coarse in (tmp_path / "coarse.npy", array):
            with pytest.raises(InvalidInput) as caught:
                streamed(coarse, tmp_path, **options)
            assert message in str(caught.value)


@pytest.mark.parametrize(("mode", "samples"), [("RGB", 3), ("LA", 2)])
def test_colours_are_no_classes(mode, samples, tmp_path):
    colours = RNG.integers(0, 255, (*SHAPE, samples), np.uint8)
    Image.fromarray(colours, mode).save(tmp_path / "coarse.png")
    more = {} if samples == 3 else {"extrasamples": ["unassalpha"]}
    kind = "rgb" if samples == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "coarse.tif", colours, photometric=kind, **more)
    for name in ("coarse.png", "coarse.tif"):
        with pytest.raises(InvalidInput, match="a label map has one channel, but this file"):
            streamed(tmp_path / name, tmp_path)


# ---- how often it is read, and that it stays the same --------------------------------------------


def test_a_map_is_read_twice(tmp_path):
    planes = planes_of("logits", 7, "f4")
    for form in ("npy", "cyx", "numpy"):
        *_, read = streamed(given(form, planes, tmp_path), tmp_path)
        padded = planes.nbytes if form != "cyx" else 7 * 25 * 20 * 4  # chunks are whole
        assert padded <= read // 2 <= padded + 200 * (form == "npy"), form


def test_a_map_that_changes_between_its_passes_is_refused(tmp_path):
    planes = planes_of("probabilities", 3, "f4")
    with open_coarse(planes) as source:
        values = CoarseValues(source, Stages(), None, budget_of(None), at_once=False)
        before = values.content
        planes[:, -1, -1] = 1, 0, 0
        with pytest.raises(Unfinished, match="coarse was changed while the run read it"):
            kept_by(values, tmp_path)
        assert not (tmp_path / "coarse_probabilities.npy").exists()
        again = CoarseValues(source, Stages(), None, budget_of(None), at_once=False)
        assert again.content != before


def test_what_a_map_is_known_by(tmp_path):
    """Every value counts, and how they are arranged."""
    seen = set()
    labels = RNG.integers(0, 5, SHAPE).astype(np.uint8)
    other = labels.copy()
    other[-1, -1] ^= 1
    for array in (labels, other, labels.astype(np.int8), labels.reshape(19, 23)):
        with open_coarse(array) as source:
            values = CoarseValues(source, Stages(), None, budget_of(None), at_once=False)
            seen.add(values.content)
    assert len(seen) == 4


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_only_parts_of_an_array_on_a_device_are_fetched(axis, tmp_path):
    planes, fetched = np.moveaxis(planes_of("logits", 3, "f4"), 0, axis), []

    class OnDevice:
        def __init__(self, values):
            self._values, self.shape, self.dtype = values, values.shape, values.dtype

        def __getitem__(self, at):
            return OnDevice(self._values[at])

        def get(self):
            fetched.append(self._values.size)
            return self._values

    OnDevice.__module__ = "cupy"
    with open_coarse(OnDevice(planes), class_axis=axis) as source:
        assert fetched == []
        for window, part in source:
            rows, columns = window.slices
            at = [rows, columns]
            at.insert(axis, slice(None))
            np.testing.assert_array_equal(part, planes[tuple(at)], strict=True)
    assert max(fetched) < planes.size == sum(fetched)


def test_a_dask_array_of_unknown_shape_is_refused():
    da = pytest.importorskip("dask.array")
    grey = da.from_array(np.ones(SHAPE, np.uint8))
    with pytest.raises(InvalidInput, match=r"coarse is a Dask array .*compute_chunk_sizes"):
        open_coarse(grey[grey[:, 0] > 0])


def test_parts_that_do_not_fit_are_refused(tmp_path):
    with open_coarse(np.ones((2, 40, 40), np.float32)) as source:
        source.storage = (40000, 40000)
        with pytest.raises(InvalidInput, match="reading the coarse map part by part takes"):
            CoarseValues(source, Stages(), None, Budget(1 << 20, given=True), at_once=False)


# ---- the detail of the boundaries ----------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 2, 5, 9])
def test_detail_of_strips_is_that_of_the_map(ops, rows):
    for shape in ((40, 31), (9, 50), (17, 3)):
        labels = blobs(shape, 3, 4) if min(shape) > 8 else RNG.integers(0, 3, shape)
        labels = np.where(RNG.random(shape) < 0.1, 1, labels).astype(np.uint8)
        parts = [labels[i : i + rows + 8] for i in range(0, max(1, shape[0] - 8), rows)]
        assert len(parts) > 1 or shape[0] <= rows + 8
        assert detail_of(ops, parts) == pytest.approx(by_definition.detail_of(labels), rel=1e-12)


def test_detail_of_strips_that_share_one_row_less_is_not(monkeypatch):
    """Exactly 8 rows are necessary: a blur misses 4 at either end, and no row may miss both.

    Stripes one row wide are the closest call: half of the weight and a thousandth more keeps them.
    It is less as soon as the rows 4 above and 4 below are both missed.
    """
    labels = (np.indices((60, 7))[0] % 2).astype(np.uint8)
    expected = by_definition.detail_of(labels)
    for shared in (8, 7):
        monkeypatch.setattr(doubt, "OVERLAP", shared)
        parts = [labels[i : i + 9 + shared] for i in range(0, len(labels) - shared, 9)]
        wrong = (detail_of(REFERENCE, parts) - expected) * 59 * 7  # flips: of 59 x 7 edges
        assert wrong == pytest.approx(0 if shared == 8 else 7 * (len(parts) - 1), abs=1e-9)


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("kind", ["labels", "probabilities"])
@pytest.mark.parametrize("rows", [1, 4, 100])
def test_strips_are_what_the_network_has_drawn(ops, rows, kind, times, tmp_path, monkeypatch):
    """`times`: how often the map has been enlarged, which the scale tells."""
    small_parts(monkeypatch, 300)
    small = (31, 22)
    if kind == "labels":
        drawn = RNG.integers(0, 4, small).astype(np.uint8)
        large = coarse = drawn.repeat(times, axis=0).repeat(times, axis=1)
    else:
        planes = RNG.random((4, *small)).repeat(times, axis=1).repeat(times, axis=2)
        coarse = (planes / planes.sum(axis=0)).astype(np.float32)
        large = coarse.argmax(axis=0)
        drawn = large[::times, ::times]
    shape = large.shape[0] * 4, large.shape[1] * 4
    with open_coarse(coarse) as source:
        values = CoarseValues(source, Stages(), None, budget_of(None), at_once=False)
        kept_by(values, tmp_path)
    strips = drawn_by_network(values, tmp_path, ops, shape, 4.0 * times, rows * small[1])
    assert len(strips) == max(1, -(-(small[0] - 8) // rows))
    for before, after in pairwise(strips):
        np.testing.assert_array_equal(before[-8:], after[:8])
    together = np.concatenate([strips[0], *(strip[8:] for strip in strips[1:])])
    np.testing.assert_array_equal(together, drawn)


# ---- whole runs ----------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::hdseg_gpu.RefinementWarning")
@pytest.mark.parametrize("form", ["npy", "npz", "cyx", "tif", "png", "zarr.Array"])
def test_labels_are_those_of_refine(form, tmp_path):
    truth = blobs((184, 152), 3)
    image, coarse = photograph(truth), reduced(truth, 8).astype(np.uint8)
    if form in ("npz", "cyx"):
        coarse = (np.stack([coarse == k for k in range(3)]) + 0.1).astype(np.float32)
        coarse[:, 3:9, 4:9] += RNG.random((3, 6, 5))
    else:
        coarse[3:6, 4:8] = 255
    expected, whole = refine(image, coarse, return_report=True)
    report = refine_file(image, given(form, coarse, tmp_path), tmp_path / "out.npy", tile=2048)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected, strict=True)
    assert report.notes == whole.notes
    assert report.doubt == whole.doubt
