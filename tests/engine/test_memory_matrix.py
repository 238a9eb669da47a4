"""max_memory holds from the first byte: a run stays within it, or is refused by headers alone.

``python -m benchmarks.memory`` runs every format with every kind of map and every budget; here each
occurs at least once.
"""

import zipfile

import memory_cases
import numpy as np
import pytest
import tifffile
from PIL import Image

from hdseg_gpu import InvalidInput
from hdseg_gpu.core.memory import Budget, resident
from hdseg_gpu.io import read_coarse

MIB = 1 << 20
# Memory that a refusal may add: libraries, and reading headers.
LIBRARIES = 96 * MIB

CASES = [
    ("tif", "doubted", 1024),
    ("strips.tif", "channels", 2048),
    ("npy", "probabilities", 1024),
    ("zarr", "classes", 1024),
    ("png", "probabilities", 1024),
    ("jpg", "ideal", 1024),
    ("palette.png", "classes", 768),
    ("cmyk.jpg", "ideal", 768),
    ("jp2", "ideal", 1024),
]
REFUSED = [("tif", "ideal"), ("zarr", "channels"), ("png", "classes"), ("cmyk.jpg", "ideal")]


@pytest.mark.parametrize(("form", "kind", "mib"), CASES)
def test_a_run_stays_within_its_budget(tmp_path, form, kind, mib):
    image, coarse = memory_cases.build(tmp_path, form, kind)
    found = memory_cases.run(image, coarse, tmp_path / "out.npy", mib * MIB)
    assert found.peak <= mib * MIB, found
    assert (found.refused is None) == (tmp_path / "out.npy").exists()
    assert found.refused is None or found.peak < found.before + LIBRARIES, found
    assert kind != "doubted" or found.doubt > 0


@pytest.mark.parametrize(("form", "kind"), REFUSED)
def test_what_cannot_fit_is_refused_before_it_is_decoded(tmp_path, form, kind):
    image, coarse = memory_cases.build(tmp_path, form, kind)
    found = memory_cases.run(image, coarse, tmp_path / "out.npy", 160 * MIB)
    assert "max_memory=167772160" in found.refused
    assert "allow" in found.refused
    assert found.peak < found.before + LIBRARIES, found
    assert not (tmp_path / "out.npy").exists()


SIDE = 20_000  # of coarse maps that do not fit, and take next to no room on the disk


def _npy(path):
    np.lib.format.open_memmap(path, "w+", np.float32, (21, SIDE // 4, SIDE // 4)).flush()


def _npz(path):
    head = b"\x93NUMPY\x01\x00\x76\x00" + (
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (%d, %d), }" % (SIDE, SIDE)
    ).ljust(0x75) + b"\n"  # fmt: skip
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("labels.npy", "w", force_zip64=True) as member,
    ):
        member.write(head)
        for _ in range(SIDE):
            member.write(bytes(SIDE))


def _tif(path):
    tifffile.memmap(path, shape=(SIDE, SIDE), dtype=np.uint16, photometric="minisblack").flush()


def _png(path):
    Image.new("1", (SIDE, SIDE)).save(path)


def _zarr(path):
    import zarr

    zarr.create_array(path, shape=(21, SIDE // 4, SIDE // 4), chunks=(1, 512, 512), dtype="f4",
                      dimension_names=("c", "y", "x"))  # fmt: skip


@pytest.mark.parametrize(
    ("suffix", "write"),
    [("npy", _npy), ("npz", _npz), ("tif", _tif), ("png", _png), ("zarr", _zarr)],
)
def test_maps_that_are_read_whole_are_refused_by_their_headers(tmp_path, suffix, write):
    """As for scores; runs read coarse maps by window."""
    path = tmp_path / f"map.{suffix}"
    write(path)
    before = resident()
    with pytest.raises(InvalidInput, match=rf"{path.name}.*max_memory=\d+ .*allow") as caught:
        read_coarse(path, budget=Budget(before + 180 * MIB, given=True))
    assert resident() < before + LIBRARIES, caught.value
