"""Windows of Zarr arrays and OME-Zarr images of all versions."""

import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from file_samples import FLOAT, GREY, RGB, refused

from hdseg_gpu import InvalidInput
from hdseg_gpu.core.windows import Window, whole
from hdseg_gpu.io.source import Georeference
from hdseg_gpu.io.zarr_source import open_zarr

zarr = pytest.importorskip("zarr")

ODD = Window(3, 5, 17, 31)
HALF = RGB[::2, ::2]


def cut(pixels, window):
    return pixels[window.slices].reshape(*window.shape, -1)


def check(source, pixels):
    """Check what a source says and reads against the whole picture, channels last."""
    assert source.shape == pixels.shape[:2]
    assert source.channels == (1 if pixels.ndim == 2 else pixels.shape[2])
    assert source.dtype == pixels.dtype.newbyteorder("=")
    for window in (ODD, Window(source.shape[0] - 1, 2, 1, 3), whole(source.shape)):
        if window.bottom > source.shape[0] or window.right > source.shape[1]:
            continue
        found = source.read(window)
        np.testing.assert_array_equal(found, cut(pixels, window))
        assert found.dtype == source.dtype
        assert found.dtype.isnative
        assert found.flags.c_contiguous
        assert found.flags.writeable


def save(path, pixels, version=3, **options):
    """Write a store that is one array; `path` may be a .zip file."""
    if path.suffix == ".zip":
        store = zarr.storage.ZipStore(path, mode="w")
    else:
        store = zarr.storage.LocalStore(path)
    options = {"chunks": (10, 12, 2)[: pixels.ndim], **options}
    array = zarr.create_array(
        store, shape=pixels.shape, dtype=pixels.dtype, zarr_format=version, **options
    )
    array[...] = pixels
    store.close()
    return path


def put(group, name, pixels):
    """Add an array to a group."""
    chunks = tuple(min(7, n) for n in pixels.shape)
    array = group.create_array(name, shape=pixels.shape, dtype=pixels.dtype, chunks=chunks)
    array[...] = pixels


def save_ome(path, levels, axes, version, **multiscale):
    """Write an OME-Zarr picture, whose axes are letters or what the metadata shall say."""
    group = zarr.create_group(path, zarr_format=2 if version == "0.4" else 3)
    datasets = []
    for level, pixels in enumerate(levels):
        put(group, str(level), pixels)
        scale = [0.25 * 2.0**level if n > 1 else 1.0 for n in pixels.shape]
        datasets.append(
            {
                "path": str(level),
                "coordinateTransformations": [{"type": "scale", "scale": scale}],
            }
        )
    if isinstance(axes, str):
        kinds = {"t": "time", "c": "channel"}
        axes = [{"name": a, "type": kinds.get(a, "space")} for a in axes]
    found = [{"axes": axes, "datasets": datasets, "version": version, **multiscale}]
    if version == "0.4":
        group.attrs["multiscales"] = found
    else:
        group.attrs["ome"] = {"version": version, "multiscales": found}
    return path


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("pixels", [GREY, RGB, FLOAT, GREY > 9], ids=["grey", "rgb", "f4", "bool"])
@pytest.mark.parametrize("name", ["a.zarr", "a.zip"])
def test_array(tmp_path, pixels, version, name):
    path = save(tmp_path / name, pixels, version)
    with open_zarr(path) as source:
        check(source, pixels)
        assert source.name == str(path)
        assert source.storage == (10, 12)
        assert source.levels == (source.shape,)
        assert source.georeference is None


@pytest.mark.parametrize("version", [2, 3])
def test_foreign_byte_order(tmp_path, version):
    options = {"serializer": zarr.codecs.BytesCodec(endian="big")} if version == 3 else {}
    pixels = (GREY.astype(np.uint16) * 200).astype(np.uint16 if version == 3 else ">u2")
    check(open_zarr(save(tmp_path / "a.zarr", pixels, version, **options)), pixels)


def test_sharded_array(tmp_path):
    source = open_zarr(save(tmp_path / "a.zarr", RGB, chunks=(8, 6, 3), shards=(32, 24, 3)))
    check(source, RGB)
    assert source.storage == (8, 6)  # a chunk is decoded alone, whatever shard it is in


def test_open_array_and_group(tmp_path):
    array = zarr.open(save(tmp_path / "a.zarr", RGB), mode="r")
    check(open_zarr(array), RGB)
    group = zarr.open(save_ome(tmp_path / "o.zarr", [RGB, HALF], "yxc", "0.5"), mode="r")
    check(open_zarr(group, level=1), HALF)
    assert "o.zarr" in open_zarr(group).name


def test_channels_without_names(tmp_path):
    first = np.ascontiguousarray(np.moveaxis(RGB, -1, 0))
    check(open_zarr(save(tmp_path / "first.zarr", first)), RGB)
    small = RGB[:, :16]  # (41, 16, 3): the last axis is the channels
    check(open_zarr(save(tmp_path / "last.zarr", small)), small)
    path = save(tmp_path / "none.zarr", np.zeros((20, 21, 22), np.uint8))
    with refused(path, r"shape \(20, 21, 22\)", "16 channels"):
        open_zarr(path)
    path = save(tmp_path / "line.zarr", np.zeros(20, np.uint8))
    with refused(path, r"shape \(20,\)"):
        open_zarr(path)


def test_named_axes_of_plain_arrays(tmp_path):
    turned = RGB.transpose(1, 2, 0)  # x, c, y
    path = save(tmp_path / "v3.zarr", turned, dimension_names=("X", "band", "Y"))
    check(open_zarr(path), RGB)
    path = save(tmp_path / "v2.zarr", turned, 2, attributes={"_ARRAY_DIMENSIONS": ["x", "c", "y"]})
    check(open_zarr(path), RGB)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["yxc", "cyx", "tczyx", "yx"])
def test_ome_zarr(tmp_path, axes, version):
    levels = [GREY, GREY[::2, ::2]] if axes == "yx" else [RGB, HALF]
    stored = [
        {"yxc": p, "yx": p, "cyx": p.T.swapaxes(-1, -2), "tczyx": p.T.swapaxes(-1, -2)}[axes]
        for p in levels
    ]
    if axes == "tczyx":
        stored = [p[None, :, None] for p in stored]
    path = save_ome(tmp_path / "o.zarr", stored, axes, version)
    for level, pixels in enumerate(levels):
        source = open_zarr(path, level)
        check(source, pixels)
        assert source.levels == ((41, 57), (21, 29))
        assert source.georeference is None  # no unit
    for level in (2, -1):
        with refused(path, f"no level {level}", r"0 \(41 x 57\), 1 \(21 x 29\)"):
            open_zarr(path, level)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize(("unit", "factor"), [("nanometer", 1e-3), ("millimeter", 1e3)])
def test_pixel_size(tmp_path, version, unit, factor):
    axes = [{"name": n, "type": "space", "unit": unit} for n in "yx"]
    axes.append({"name": "c", "type": "channel"})
    common = {"coordinateTransformations": [{"type": "scale", "scale": [1.0, 3.0, 1.0]}]}
    path = save_ome(tmp_path / "o.zarr", [RGB, HALF], axes, version, **common)
    for level in (0, 1):
        size = 0.25 * 2**level * factor
        found = open_zarr(path, level).georeference
        assert found == Georeference(pixel_size=(pytest.approx(size), pytest.approx(3 * size)))


def test_a_stack_is_refused(tmp_path):
    stack = np.zeros((2, 41, 57), np.uint8)
    path = save_ome(tmp_path / "o.zarr", [stack], "zyx", "0.5")
    with refused(path, "2 planes along the axis 'z'", r"array\[0, :, :\]"):
        open_zarr(path)


def test_metadata_that_say_nonsense_are_refused(tmp_path):
    for number, axes in enumerate(["yy", "ab", [{"type": "space"}], [3, 4]]):
        path = save_ome(tmp_path / f"{number}.zarr", [GREY], axes, "0.5")
        with refused(path, "multiscales.* are invalid"):
            open_zarr(path)
        check(open_zarr(path, key="0"), GREY)
    path = save_ome(tmp_path / "more.zarr", [GREY], "cyx", "0.5")
    with refused(path, "level '0' is no array with the axes"):
        open_zarr(path)


def test_members_of_a_group(tmp_path):
    path = tmp_path / "g.zarr"
    group = zarr.create_group(path)
    with refused(path, "group without arrays"):
        open_zarr(path)
    put(group, "one", GREY)
    check(open_zarr(path), GREY)
    put(group, "deep/two", RGB)
    put(group, "three", FLOAT)
    with refused(path, r"\['one', 'three', 'deep'\]", "key"):
        open_zarr(path)
    check(open_zarr(path, key="three"), FLOAT)
    check(open_zarr(path, key="deep/two"), RGB)
    with refused(path, "no array or group 'four'", "deep, one, three"):
        open_zarr(path, key="four")
    with pytest.raises(InvalidInput, match="is an array and contains no array 'x'"):
        open_zarr(group["one"], key="x")
    with pytest.raises(InvalidInput, match=r"has no level 1; choose one of 0 \(41 x 57\)"):
        open_zarr(path, 1, key="one")


def test_what_is_no_store_is_refused(tmp_path):
    path = tmp_path / "x.zarr"
    with refused(path, "does not exist"):
        open_zarr(path)
    path.mkdir()
    with refused(path, "no Zarr array or group"):
        open_zarr(path)
    (path / "zarr.json").write_text("{")
    with refused(path, "no Zarr array or group"):
        open_zarr(path)
    broken = tmp_path / "x.zip"
    broken.write_bytes(b"PK and nothing")
    with refused(broken, "no Zarr array or group"):
        open_zarr(broken)
    with zipfile.ZipFile(broken, "w") as stream:
        stream.writestr("a.txt", "text")
    with refused(broken, "no Zarr array or group"):
        open_zarr(broken)
    path = save(tmp_path / "complex.zarr", np.zeros((3, 4), complex))
    with refused(path, "dtype complex128"):
        open_zarr(path)


@pytest.mark.parametrize("version", [2, 3])
def test_damaged_chunk(tmp_path, version):
    path = save(tmp_path / "a.zarr", GREY, version)
    damaged = path / ("1.2" if version == 2 else "c/1/2")  # rows 10 to 19, columns 24 to 35
    damaged.write_bytes(damaged.read_bytes()[:20])
    source = open_zarr(path)
    with refused(path, "rows 19 to 22", "columns 30 to 49"):
        source.read(Window(19, 30, 4, 20))
    window = Window(20, 0, 21, 57)  # the others still can be read
    np.testing.assert_array_equal(source.read(window), cut(GREY, window))


def test_bytes_read_counts_whole_chunks(tmp_path):
    source = open_zarr(save(tmp_path / "a.zarr", GREY))
    source.read(Window(9, 12, 2, 12))
    assert source.bytes_read == 2 * 10 * 12


@pytest.mark.parametrize("name", ["a.zarr", "a.zip"])
def test_several_threads_read(tmp_path, name):
    windows = [Window(top, left, 9, 11) for top in range(0, 32, 2) for left in range(0, 46, 5)]
    with open_zarr(save(tmp_path / name, RGB)) as source, ThreadPoolExecutor(2) as pool:
        for window, found in zip(windows, pool.map(source.read, windows), strict=True):
            np.testing.assert_array_equal(found, cut(RGB, window))


def test_missing_library(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr.abc.store", None)
    monkeypatch.delitem(sys.modules, "hdseg_gpu.io.zarr_store", raising=False)
    with refused(tmp_path, r"pip install 'hdseg_gpu\[io\]'"):
        open_zarr(tmp_path)
