"""Windows of arrays in memory, of Dask and Zarr arrays, and of .npy and .npz files."""

import io
import os
import sys
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import gpu
import numpy as np
import pytest
from file_samples import FLOAT, GREY, RGB, memory_of, refused

from hdseg_gpu import InvalidInput
from hdseg_gpu.core.memory import Budget
from hdseg_gpu.core.windows import Window, whole
from hdseg_gpu.io import arrays
from hdseg_gpu.io.array_source import open_array, open_stored

ODD = Window(3, 5, 17, 31)
RNG = np.random.default_rng(88)


def cut(pixels, window=ODD):
    """Return what reading the window must give."""
    part = pixels[window.slices]
    return part.reshape(*window.shape, -1)


def check(source, pixels):
    """Check what a source says and reads against the whole picture."""
    native = pixels.dtype.newbyteorder("=")
    assert source.shape == pixels.shape[:2]
    assert source.channels == (1 if pixels.ndim == 2 else pixels.shape[2])
    assert source.dtype == native
    assert source.levels == (source.shape,)
    assert source.georeference is None
    corner = Window(source.shape[0] - 1, source.shape[1] - 2, 1, 2)
    for window in (ODD, corner, whole(source.shape)):
        found = source.read(window)
        np.testing.assert_array_equal(found, cut(pixels, window))
        assert found.dtype == native
        assert found.dtype.isnative
        assert found.flags.c_contiguous
        assert found.flags.writeable
    assert source.bytes_read >= sum(cut(pixels, w).nbytes for w in (ODD, corner))


@pytest.mark.parametrize("pixels", [GREY, RGB, FLOAT, GREY > 9], ids=["grey", "rgb", "f4", "bool"])
def test_numpy_array(pixels):
    check(open_array(pixels), pixels)


def test_views_and_foreign_byte_order():
    check(open_array(GREY[::-1, ::-1]), GREY[::-1, ::-1])
    check(open_array(RGB.transpose(1, 0, 2)), RGB.transpose(1, 0, 2))
    big = RNG.integers(0, 65536, (41, 57), np.uint16).astype(">u2")
    check(open_array(big), big)


def test_reading_does_not_touch_the_array():
    pixels = GREY.copy()
    open_array(pixels).read(whole(pixels.shape))[:] = 0
    np.testing.assert_array_equal(pixels, GREY)


def test_memory_map(tmp_path):
    np.save(tmp_path / "a.npy", RGB)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    check(open_array(mapped), RGB)


class Foreign:
    """An array of some library that NumPy can take."""

    def __init__(self, pixels):
        self._pixels = pixels

    def __array__(self, dtype=None, copy=None):
        return self._pixels


class OnDevice:
    """What a CuPy array offers: slices, and their pixels only by get()."""

    def __init__(self, pixels, fetched):
        self._pixels, self._fetched = pixels, fetched
        self.shape, self.dtype = pixels.shape, pixels.dtype

    def __getitem__(self, at):
        return OnDevice(self._pixels[at], self._fetched)

    def get(self):
        self._fetched.append(self._pixels.shape)
        return self._pixels


OnDevice.__module__ = "cupy"


def test_arrays_of_other_libraries():
    check(open_array(Foreign(RGB)), RGB)
    fetched = []
    source = open_array(OnDevice(RGB, fetched))
    assert fetched == []
    np.testing.assert_array_equal(source.read(ODD), cut(RGB))
    assert fetched == [(17, 31, 3)]  # the window alone


def test_an_array_that_does_not_convert_is_refused():
    class Tracked:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("it has\ngradients")

    with pytest.raises(InvalidInput, match=r"mask is not an array \(Tracked: it has gradients\)"):
        open_array(Tracked(), "mask")


def test_a_mask_would_be_lost():
    masked = np.ma.masked_array(GREY, GREY > 9)
    with pytest.raises(InvalidInput, match=r"image is a masked array.*filled"):
        open_array(masked)
    check(open_array(np.ma.masked_array(GREY)), GREY)  # nothing is masked


def test_what_only_other_libraries_can_read_from_a_device_is_refused():
    class Elsewhere:
        def __init__(self, raised):
            self._raised = raised

        @property
        def __cuda_array_interface__(self):
            if self._raised:
                raise RuntimeError("it has gradients")
            return {}

    for raised in (False, True):
        with pytest.raises(InvalidInput, match="image is a Elsewhere on a CUDA device"):
            open_array(Elsewhere(raised))


@pytest.mark.gpu
@pytest.mark.skipif(gpu.reason_against() is not None, reason=f"{gpu.reason_against()}")
def test_cupy():
    import cupy

    check(open_array(cupy.asarray(RGB)), RGB)


def test_torch():
    torch = pytest.importorskip("torch", exc_type=ImportError)
    check(open_array(torch.from_numpy(RGB.copy())), RGB)
    with pytest.raises(InvalidInput, match=r"mask is not an array \(Tensor: .*requires grad"):
        open_array(torch.zeros((3, 3), requires_grad=True), "mask")


@pytest.mark.parametrize("pixels", [GREY, RGB], ids=["grey", "rgb"])
def test_dask(pixels):
    da = pytest.importorskip("dask.array")
    chunks = (16, 20) if pixels.ndim == 2 else (16, 20, 3)
    source = open_array(da.from_array(pixels, chunks=chunks))
    check(source, pixels)
    assert source.storage == (16, 20)


def test_dask_arrays_that_are_no_picture():
    da = pytest.importorskip("dask.array")
    with pytest.raises(InvalidInput, match=r"image has the shape \(5,\)"):
        open_array(da.zeros(5))
    with pytest.raises(InvalidInput, match="image is a Dask array of unknown shape"):
        open_array(da.from_array(GREY)[da.from_array(GREY[:, 0]) > 5])


def test_dask_computes_the_window_alone_in_the_reading_thread():
    da = pytest.importorskip("dask.array")
    from threading import get_ident

    seen = []

    def block(part, block_info=None):
        if block_info:
            seen.append((get_ident(), block_info[0]["chunk-location"]))
        return part

    lazy = da.from_array(GREY, chunks=(10, 57)).map_blocks(block, dtype=GREY.dtype, meta=GREY[:0])
    source = open_array(lazy)
    seen.clear()
    source.read(Window(12, 0, 5, 57))
    assert seen == [(get_ident(), (1, 0))]


def test_zarr_array_is_read_as_zarr():
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array({}, shape=GREY.shape, dtype=GREY.dtype, chunks=(10, 12))
    array[:] = GREY
    source = open_array(array)
    check(source, GREY)
    assert source.storage == (10, 12)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros(5), r"scan has the shape \(5,\)"),
        (np.zeros((0, 5)), r"scan is empty, shape \(0, 5\)"),
        (np.zeros((2, 3, 4, 5)), "scan has the shape"),
        (np.zeros((5, 5), complex), "scan has the dtype complex128"),
        (np.full((2, 2), "a"), "scan has the dtype <U1"),
        (np.zeros((5, 5), object), "scan has the dtype object"),
    ],
)
def test_what_is_no_picture_is_refused(array, reason):
    with pytest.raises(InvalidInput, match=reason):
        open_array(array, "scan")


@pytest.mark.parametrize("pixels", [GREY, RGB, FLOAT.astype(">f4")], ids=["grey", "rgb", "big"])
def test_npy(tmp_path, pixels):
    path = tmp_path / "a.npy"
    np.save(path, pixels)
    with open_stored(path) as source:
        check(source, pixels)
        assert source.name == str(path)
        assert source.storage == (1, 57)


def test_npy_in_fortran_order(tmp_path):
    np.save(tmp_path / "a.npy", np.asfortranarray(GREY))
    source = open_stored(tmp_path / "a.npy")
    check(source, GREY)
    assert source.storage == (41, 1)


def test_npy_cut_short(tmp_path):
    path = tmp_path / "short.npy"
    np.save(path, RGB)
    source = open_stored(path)
    for size in (path.stat().st_size - 1, 90, 7):
        with path.open("r+b") as stream:
            stream.truncate(size)
        with refused(path, "damaged or cut short"):
            open_stored(path)
        with refused(path, "damaged or cut short"):  # also while it is open
            source.read(ODD)


@pytest.mark.parametrize("shape", [(), (5,), (2, 2, 2, 2)])
def test_npy_that_is_no_picture(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.zeros(shape))
    with refused(tmp_path / "a.npy", "expected"):
        open_stored(tmp_path / "a.npy")


def test_npy_that_is_none(tmp_path):
    path = tmp_path / "other.npy"
    with refused(path, "No such file"):
        open_stored(path)
    path.write_bytes(b"P5 3 3 255 and so on")
    with refused(path, "no array that numpy.save has written"):
        open_stored(path)
    np.save(path, np.array([[{}]], object), allow_pickle=True)
    with refused(path, "Python objects"):
        open_stored(path)


# ---- .npz ----------------------------------------------------------------------------------------

PACKED = {"rows": RGB, "columns": np.asfortranarray(GREY), "big": FLOAT.astype(">f4")}


@pytest.fixture(params=["held in memory", "in a temporary file"])
def unpacked(request, monkeypatch, tmp_path):
    """Let arrays be held in memory, where no file may be made, or be too large for that."""
    if request.param == "held in memory":
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    else:
        monkeypatch.setattr(arrays, "_KEPT", 0)
    return request.param


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("pixels", PACKED.values(), ids=PACKED)
def test_npz(tmp_path, unpacked, pixels, save):
    path = tmp_path / "a.npz"
    save(path, wanted=pixels, other=GREY[:5])
    with open_stored(path, "wanted") as source:
        assert source.held == (pixels.nbytes if unpacked == "held in memory" else 0)
        window = source.read(ODD)
        window[:] = 0  # which is the caller's
        np.testing.assert_array_equal(source.read(ODD), cut(pixels))
        np.testing.assert_array_equal(source.take(), cut(pixels, whole(source.shape)))
        assert source.take().dtype.isnative
        assert source.take().flags.c_contiguous
        assert source.storage == ((41, 1) if pixels.flags.f_contiguous else (1, 57))
        with zipfile.ZipFile(path) as packed:
            assert source.bytes_read == packed.getinfo("wanted.npy").compress_size  # once
    with refused(path, "is closed"):
        source.read(ODD)


def test_what_of_a_npz_is_held_depends_on_the_budget(tmp_path):
    np.savez(tmp_path / "a.npz", np.zeros((1 << 10, 1 << 10), np.uint8))
    for mib, held in ((3, 0), (8, 1 << 20)):
        with open_stored(tmp_path / "a.npz", budget=Budget(memory_of(mib << 20), True)) as source:
            assert source.held == held


def test_all_of_a_npz_is_taken_without_a_file_and_held_once(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", RGB)
    monkeypatch.setattr(arrays, "_KEPT", 0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with open_stored(tmp_path / "a.npz") as source:
        np.testing.assert_array_equal(source.take(), RGB)
        with refused(tmp_path / "a.npz", "needs a temporary file .*missing", "TMPDIR"):
            source.read(ODD)


@pytest.mark.parametrize("claim", ["header", "contents"])
def test_npz_that_claims_more_than_it_can_hold(tmp_path, monkeypatch, claim):
    """No room is taken for it."""
    path, content = tmp_path / "a.npz", io.BytesIO()
    described = {"descr": "|u1", "fortran_order": False, "shape": (1 << 20, 1 << 16)}
    np.lib.format.write_array_header_1_0(content, described)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as store:
        store.writestr("a.npy", content.getvalue() + bytes(5000))
        if claim == "contents":
            store.getinfo("a.npy").file_size = 1 << 40
    monkeypatch.setattr(os, "posix_fallocate", None)
    with refused(path, "cut short: a.npy ends after .* of 68719476864 bytes"):
        open_stored(path)


# ---- pages and threads ---------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_npy_pages_do_not_stay(tmp_path):
    path = tmp_path / "large.npy"
    np.save(path, np.ones((4096, 4096), np.float32))  # 64 MiB
    source = open_stored(path)
    before = mapped_files_in_memory()
    for top in range(0, 4096, 256):
        source.read(Window(top, 0, 256, 4096))
    assert mapped_files_in_memory() - before < 8 * 2**20
    kept = np.load(path, mmap_mode="r")  # the figure does see what stays mapped
    assert kept.sum() == 4096**2
    assert mapped_files_in_memory() - before > 32 * 2**20


def mapped_files_in_memory():
    """Return this process's resident bytes of mapped files."""
    with open("/proc/self/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    return int(fields["RssFile"].split()[0]) * 1024


def test_several_threads_read(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, RGB)
    windows = [Window(top, left, 9, 11) for top in range(0, 32) for left in range(0, 46, 5)]
    np.savez(tmp_path / "a.npz", RGB)
    for opened in (open_stored(path), open_array(RGB), open_stored(tmp_path / "a.npz")):
        with opened as source, ThreadPoolExecutor(2) as pool:
            for window, found in zip(windows, pool.map(source.read, windows), strict=True):
                np.testing.assert_array_equal(found, cut(RGB, window))
        if not source.name.endswith(".npz"):
            assert source.bytes_read == len(windows) * 9 * 11 * 3


def test_nothing_is_asked_of_the_array_before_a_window_is():
    asked = SimpleNamespace(count=0)

    class Counting(np.ndarray):
        def __getitem__(self, at):
            asked.count += 1
            return super().__getitem__(at)

    source = open_array(GREY.view(Counting))
    assert asked.count == 0
    source.read(ODD)
    assert asked.count == 1
