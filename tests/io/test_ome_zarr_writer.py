"""Label maps written as OME-Zarr: what readers find, and which windows the writer reads."""

import sys
import tracemalloc

import numpy as np
import pytest
from file_samples import refused

from hdseg_gpu import InvalidInput
from hdseg_gpu.core.windows import Window, whole
from hdseg_gpu.io.ome_zarr_writer import write_ome_zarr
from hdseg_gpu.io.pyramid import level_shapes
from hdseg_gpu.io.source import Georeference
from hdseg_gpu.io.zarr_source import open_zarr

zarr = pytest.importorskip("zarr")

RNG = np.random.default_rng(1203)


class Labels:
    """Labels that note which windows are read."""

    def __init__(self, labels):
        self.labels, self.shape, self.dtype = labels, labels.shape, labels.dtype
        self.seen = np.zeros(labels.shape, np.uint8)
        self.windows = []

    def read(self, window):
        self.seen[window.slices] += 1
        self.windows.append(window)
        return self.labels[window.slices]


def random_labels(shape, dtype=np.uint8, high=7):
    return RNG.integers(0, high, shape).astype(dtype)


def written(path, labels, place=None, **options):
    """Return what was read of the labels while they were written."""
    source = Labels(labels)
    write_ome_zarr(path, source, place, **options)
    assert [each.name for each in path.parent.iterdir()] == [path.name]  # nothing else is left
    return source


@pytest.mark.parametrize(
    "shape", [(1, 1), (513, 40), (1025, 1537), (2048, 1024), (700, 2311), (512, 512)]
)
@pytest.mark.parametrize("sides", [(128, 512), (512, 4096), (48, 96)], ids=str)
def test_all_levels(tmp_path, shape, sides):
    chunk, shard = sides
    labels = random_labels(shape)
    path = tmp_path / "labels.ome.zarr"
    source = written(path, labels, chunk=chunk, shard=shard)
    assert (source.seen == 1).all()
    assert source.windows == sorted(source.windows)  # rows of shards
    group = zarr.open_group(path, mode="r")
    shapes = level_shapes(shape)
    assert sorted(group) == [str(level) for level in range(len(shapes))]
    for level, expected in enumerate(shapes):
        array = group[str(level)]
        assert array.shape == expected
        assert array.chunks == (chunk, chunk)
        np.testing.assert_array_equal(array[:], labels)
        labels = labels[::2, ::2]
    assert max(shapes[-1]) <= 512
    assert all(max(s) > 512 for s in shapes[:-1])


@pytest.mark.parametrize("dtype", ["?", "u1", "u2", "i4", "i8", ">u2"])
def test_dtypes(tmp_path, dtype):
    labels = random_labels((530, 41), dtype, 2)
    if np.dtype(dtype).kind != "b":
        labels[0, 0] = np.iinfo(dtype).max
    written(tmp_path / "a.zarr", labels)
    array = zarr.open_array(tmp_path / "a.zarr" / "0", mode="r")
    assert array.dtype == (np.uint8 if dtype == "?" else labels.dtype.newbyteorder("="))
    np.testing.assert_array_equal(array[:], labels)


def test_round_trip_with_place(tmp_path):
    transform = (0.5, 0.25, 300.0, -0.125, -0.5, 900.0)
    place = Georeference(transform, "EPSG:32632", (0.25, 0.75))
    labels = random_labels((1200, 700))
    path = tmp_path / "a.ome.zarr"
    written(path, labels, place)
    with open_zarr(path) as source:
        assert source.georeference == place
        assert source.levels == ((1200, 700), (600, 350), (300, 175))
        window = Window(501, 333, 77, 201)
        np.testing.assert_array_equal(source.read(window)[..., 0], labels[window.slices])
    with open_zarr(path, 1) as source:
        coarse = source.georeference
        assert coarse.pixel_size == (0.5, 1.5)
        assert coarse.transform == (1.0, 0.5, 300.0, -0.25, -1.0, 900.0)
        assert coarse.crs == "EPSG:32632"


def test_metadata(tmp_path):
    path = tmp_path / "cells.ome.zarr"
    written(path, random_labels((1100, 700)), Georeference(pixel_size=(0.5, 0.25)))
    attributes = dict(zarr.open_group(path, mode="r").attrs)
    assert set(attributes) == {"ome"}
    (found,) = attributes["ome"]["multiscales"]
    assert found["name"] == "cells"
    assert [(a["name"], a["unit"]) for a in found["axes"]] == [
        ("y", "micrometer"),
        ("x", "micrometer"),
    ]
    transformations = [d["coordinateTransformations"] for d in found["datasets"]]
    assert [[t["type"] for t in each] for each in transformations] == [["scale", "translation"]] * 3
    assert [t[0]["scale"] for t in transformations] == [[0.5, 0.25], [1.0, 0.5], [2.0, 1.0]]
    # the centre of pixel (0, 0), where that of level 0 is at 0
    assert [t[1]["translation"] for t in transformations] == [[0, 0], [0.25, 0.125], [0.75, 0.375]]


@pytest.mark.parametrize("place", [None, Georeference(crs="EPSG:4326", pixel_size=(1.0, 2.0))])
def test_ome_zarr_models_take_it(tmp_path, place):
    models = pytest.importorskip("ome_zarr_models.v05")
    path = tmp_path / "a.ome.zarr"
    written(path, random_labels((1100, 700)), place)
    group = zarr.open_group(path, mode="r")
    found = models.ImageLabel.from_zarr(group)
    assert len(found.attributes.ome.multiscales[0].datasets) == 3
    assert found.attributes.ome.image_label is not None
    axes = found.attributes.ome.multiscales[0].axes
    assert [axis.unit for axis in axes] == ([None] * 2 if place is None else ["micrometer"] * 2)


def test_few_files(tmp_path):
    path = tmp_path / "a.zarr"
    written(path, random_labels((2100, 2100)), chunk=64, shard=1024)
    files = [each for each in path.rglob("*") if each.is_file() and each.name != "zarr.json"]
    assert len(files) == 9 + 4 + 1 + 1  # a file for each shard, of all levels


def test_shards_of_zeros_take_no_file(tmp_path):
    labels = np.zeros((600, 1200), np.uint8)
    labels[3, 1100] = 5  # not at an even row and column: level 1 is all zeros
    written(tmp_path / "a.zarr", labels, chunk=64, shard=512)
    group = zarr.open_group(tmp_path / "a.zarr", mode="r")
    np.testing.assert_array_equal(group["0"][:], labels)
    assert not group["1"][:].any()
    assert len(list((tmp_path / "a.zarr" / "0" / "c").rglob("*"))) == 2  # a row and its file


def test_damage_is_noticed(tmp_path):
    path = tmp_path / "a.zarr"
    written(path, random_labels((200, 200)), chunk=64, shard=256)
    shard = path / "0" / "c" / "0" / "0"
    stored = bytearray(shard.read_bytes())
    stored[1000] ^= 1  # within the chunk of rows 0 to 63, columns 0 to 63
    shard.write_bytes(stored)
    with open_zarr(path) as source:
        with refused(path, "rows 0 to 63", "columns 0 to 63"):
            source.read(Window(0, 0, 64, 64))
        source.read(Window(64, 64, 136, 136))


class Stripes:
    """Labels that are made as they are read, so that none is in memory."""

    shape, dtype = (8192, 8192), np.dtype(np.int32)

    def read(self, window):
        rows = np.arange(window.top, window.bottom, dtype=np.int32)[:, None] // 100
        return np.broadcast_to(rows, window.shape)


def test_memory_is_bounded(tmp_path):
    write_ome_zarr(tmp_path / "warm.zarr", Labels(np.ones((64, 64), np.uint8)), None)
    tracemalloc.start()
    try:
        write_ome_zarr(tmp_path / "a.zarr", Stripes(), None, chunk=512, shard=1024)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 * 2**20  # of 256 MiB; a shard has 4 MiB
    with open_zarr(tmp_path / "a.zarr", 3) as source:
        rows = source.read(whole(source.shape))[:, 0, 0]
        np.testing.assert_array_equal(rows, np.arange(0, 8192, 8) // 100)


class Failing(Labels):
    def read(self, window):
        if window.left:
            raise InvalidInput("no more labels")
        return super().read(window)


def test_nothing_is_left_of_a_failure(tmp_path):
    labels = Failing(random_labels((100, 600)))
    with pytest.raises(InvalidInput, match="no more labels"):
        write_ome_zarr(tmp_path / "a.zarr", labels, None, chunk=64, shard=512)
    assert list(tmp_path.iterdir()) == []


class Racing(Labels):
    """Another program makes the output meanwhile."""

    def __init__(self, labels, path):
        super().__init__(labels)
        self.path = path

    def read(self, window):
        self.path.mkdir()
        (self.path / "precious").touch()
        return super().read(window)


def test_what_is_there_stays(tmp_path):
    path = tmp_path / "a.zarr"
    labels = random_labels((20, 30))
    with refused(path, "has appeared in the meantime"):
        write_ome_zarr(path, Racing(labels, path), None)
    assert [each.name for each in path.iterdir()] == ["precious"]
    with refused(path, "exists"):
        write_ome_zarr(path, Labels(labels), None)
    with refused(tmp_path / "no", "does not exist"):
        write_ome_zarr(tmp_path / "no" / "a.zarr", Labels(labels), None)


@pytest.mark.parametrize(("chunk", "shard"), [(0, 512), (100, 512), (1, 0), (51, 255)])
def test_sides_that_do_not_fit_are_refused(tmp_path, chunk, shard):
    with pytest.raises(
        InvalidInput, match=rf"shard={shard} must be even and a multiple of chunk={chunk};"
    ):
        write_ome_zarr(
            tmp_path / "a.zarr", Labels(random_labels((9, 9))), None, chunk=chunk, shard=shard
        )


def test_floats_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match="labels have the dtype float64"):
        write_ome_zarr(tmp_path / "a.zarr", Labels(np.ones((9, 9))), None)


def test_missing_library(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr.codecs", None)
    with refused(tmp_path / "a.zarr", r"pip install 'hdseg_gpu\[io\]'"):
        write_ome_zarr(tmp_path / "a.zarr", Labels(random_labels((9, 9))), None)
