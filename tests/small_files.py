"""An image of one tile with a coarse map that is doubted, and ways to damage files."""

import os
from typing import NamedTuple

import numpy as np
import tifffile
from gallery import blobs, photograph, reduced

SHAPE = (600, 520)
OPTIONS = {"tile": 2048, "workers": 1}


class Inputs(NamedTuple):
    """Paths of an image, its coarse map and a boundary map."""

    image: str
    coarse: str
    boundary: str


def picture():
    return photograph(blobs(SHAPE), channels=1)[..., 0]


def build(folder):
    """Write the files; the pictures' tiles are stored as they are."""
    folder.mkdir(exist_ok=True)
    paths = Inputs(*(folder / name for name in ("image.tif", "coarse.npy", "boundary.tif")))
    tifffile.imwrite(paths.image, picture(), tile=(64, 64))
    np.save(paths.coarse, np.roll(reduced(blobs(SHAPE), 8), (2, 2), axis=(0, 1)))
    tifffile.imwrite(paths.boundary, picture().astype(np.float32) / 255, tile=(64, 64))
    return paths


def in_place(path):
    """Change some bytes of a file, and put its time back."""
    before = path.stat()
    with path.open("r+b") as stream:
        stream.seek(before.st_size // 2)
        stream.write(b"\x55" * 64)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(path):
    """Put another file of the same size and time in a file's place."""
    before, other = path.stat(), path.with_name("other")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = b"\x55" * 64
    other.write_bytes(content)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


def during(phase, harm, path):
    """Return a callback that does harm to a file once, in a phase."""
    left = [path]

    def tell(now):
        if now.phase == phase and left:
            harm(left.pop())

    return tell
