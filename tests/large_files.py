"""An image of nine tiles with a coarse map that is doubted, and runs of the command on it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile
from gallery import blobs, photograph, reduced

import hdseg_gpu

SHAPE, TILE, STORED = (4500, 4300), 2048, 256
OPTIONS = {"tile": TILE, "workers": 2}
# Child processes must import the package under test.
PACKAGE = str(Path(hdseg_gpu.__file__).resolve().parents[1])
START = "import sys; from hdseg_gpu.cli import main; sys.exit(main())"


class Inputs(NamedTuple):
    """Paths of a picture and its coarse map."""

    image: Path
    coarse: Path

    def line(self, output, *more):
        """Return the arguments of the command that refines them."""
        return (
            "refine", str(self.image), str(self.coarse), "-o", str(output),
            "--tile", str(TILE), "--workers", "2", *more,
        )  # fmt: skip


def build(folder):
    """Write a grey picture, tiled and compressed, and a coarse map that is some pixels off."""
    labels = blobs((SHAPE[0] // 10, SHAPE[1] // 10)).repeat(10, axis=0).repeat(10, axis=1)
    grey = photograph(labels, channels=1)[..., 0]
    inputs = Inputs(folder / "image.tif", folder / "coarse.npy")
    tifffile.imwrite(
        inputs.image, grey, tile=(STORED, STORED), compression="zlib", photometric="minisblack"
    )
    np.save(inputs.coarse, np.roll(reduced(labels, 8), (2, 2), axis=(0, 1)))
    return inputs


def environment(**more):
    """Return the environment of a child that meets the same package."""
    path = os.pathsep.join(filter(None, (PACKAGE, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **more}


def start(line, before="", **options):
    """Start the command as a process of its own, which runs some code before."""
    return subprocess.Popen(
        [sys.executable, "-P", "-c", before + START, *line], env=environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def finish(line, **options):
    """Run the command to its end; return its exit code and what it said on stderr."""
    with start(line, **options) as child:
        said = child.communicate()[1]
    return child.returncode, said


def beside(output):
    """Return the names of all that lies in an output's folder, but the output's."""
    return sorted(p.name for p in output.parent.iterdir() if p != output)


def folder_of(output):
    """Return where an unfinished run is kept."""
    return output.with_name(f".{output.name}.hdseg")


def plan_of(output):
    """Return the records of an unfinished run, by phase."""
    folder = folder_of(output)
    return {p.name: sorted(p.glob("*.json")) for p in folder.iterdir() if p.is_dir()}
