"""Runs whose peak memory is compared with their budget: all formats, all kinds of maps."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile
from gallery import blobs, photograph, reduced
from large_files import PACKAGE
from large_scenes import SCALE, SHAPE, scene
from PIL import Image

KINDS = ("ideal", "doubted", "classes", "channels", "probabilities")
FORMATS = ("tif", "strips.tif", "png", "jpg", "npy", "zarr", "palette.png", "cmyk.jpg", "jp2")
BUDGETS = (512, 1024, 2048)  # MiB
_WITH_FLOATS = ("tif", "strips.tif", "npy", "zarr")

# The child process of a case; it prints its peak memory before and after the call, and the outcome.
_CHILD = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import hdseg_gpu
from hdseg_gpu.core.memory import peak
image, coarse, output, budget = sys.argv[1:]
before, start, said = peak(), time.perf_counter(), None
try:
    report = hdseg_gpu.refine_file(image, coarse, output, max_memory=int(budget))
    doubt = report.doubt
except hdseg_gpu.InvalidInput as error:
    said, doubt = str(error), None
print(json.dumps([before, peak(), said, time.perf_counter() - start, doubt]))
"""


class Outcome(NamedTuple):
    """How a run ended, in bytes and seconds."""

    before: int  # the peak after importing the package
    peak: int
    refused: str | None  # the message
    seconds: float  # of the call
    doubt: float | None


def applies(form, kind):
    """Return whether a format can hold the pictures of a kind."""
    return kind != "channels" or form in _WITH_FLOATS


def build(folder, form, kind, repeat=2):
    """Write a picture of `repeat` times 2296 x 2600 pixels each way, and a coarse map of a kind."""
    suffix = form.rpartition(".")[2]
    image, coarse = folder / f"image.{suffix}", folder / "coarse.npy"
    if kind == "doubted":  # no detail, and colours that contradict it
        labels = blobs((SHAPE[0] // 10, SHAPE[1] // 10)).repeat(10, axis=0).repeat(10, axis=1)
        pixels, small = photograph(labels), np.roll(reduced(labels, SCALE), (2, 2), axis=(0, 1))
    else:
        pixels, small, _ = scene("probabilities" if kind == "probabilities" else "labels")
    pixels = np.tile(pixels, (repeat, repeat, 1))
    small = np.tile(small, (1,) * (small.ndim - 2) + (repeat, repeat))
    if kind == "classes":
        rows, columns = (np.arange(n) // 60 for n in small.shape)
        small = (small + 2 * ((rows[:, None] * 7 + columns) % 50)).astype(np.uint8)
    elif kind == "probabilities":
        # 21 planes of four times the pixels: as many as a network of half the size has.
        small = small.repeat(2, axis=1).repeat(2, axis=2)
        small = np.concatenate([small * 0.9, np.full((19, *small.shape[1:]), 0.1 / 19, np.float32)])
    np.save(coarse, small.astype(np.float32) if kind == "probabilities" else small)
    if kind == "channels":
        pixels = np.concatenate([pixels] * 6, axis=2)[..., :16].astype(np.float32)
    _write(image, form, pixels)
    return image, coarse


def _write(path, form, pixels):
    if form == "tif":
        tifffile.imwrite(path, pixels, tile=(512, 512), compression="zlib", **_samples(pixels))
    elif form == "strips.tif":
        tifffile.imwrite(path, pixels, rowsperstrip=64, **_samples(pixels))
    elif form == "npy":
        np.save(path, pixels)
    elif form == "zarr":
        import zarr

        store = zarr.create_array(path, shape=pixels.shape, chunks=(1024, 1024, pixels.shape[2]),
                                  dtype=pixels.dtype)  # fmt: skip
        store[:] = pixels
    elif form == "jp2":
        import rasterio

        profile = {"driver": "JP2OpenJPEG", "height": pixels.shape[0], "width": pixels.shape[1],
                   "count": 3, "dtype": "uint8", "QUALITY": "20"}  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with rasterio.open(path, "w", **profile) as out:
                out.write(pixels.transpose(2, 0, 1))
    elif form == "palette.png":
        image = Image.fromarray(pixels[..., 0] // 16)
        image.putpalette([i * 5 % 256 for i in range(48)])
        image.save(path, bits=4, compress_level=1)
    elif form == "cmyk.jpg":
        Image.fromarray(pixels).convert("CMYK").save(path)
    else:
        Image.fromarray(pixels).save(path, **({"compress_level": 1} if form == "png" else {}))


def _samples(pixels):
    many = pixels.shape[2] > 3
    return {"photometric": "minisblack" if many else "rgb", "planarconfig": "contig"}


def run(image, coarse, output, budget):
    """Refine in a process of its own; `budget` in bytes."""
    environment = {**os.environ, "PYTHONPATH": PACKAGE, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", _CHILD, str(image), str(coarse), str(output), str(budget)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Outcome(*json.loads(done.stdout))


if __name__ == "__main__":
    import tempfile

    for form in sys.argv[1].split(","):
        for kind in sys.argv[2].split(","):
            if not applies(form, kind):
                continue
            with tempfile.TemporaryDirectory() as name:
                image, coarse = build(Path(name), form, kind, int(sys.argv[3]))
                for mib in BUDGETS:
                    found = run(image, coarse, Path(name) / f"out{mib}.npy", mib << 20)
                    verdict = "OVER" if found.peak > mib << 20 else "ok"
                    print(form, kind, mib, verdict, f"{found.before >> 20} -> {found.peak >> 20}",
                          f"{found.seconds:.2f} s", found.doubt, (found.refused or "")[:150],
                          flush=True)  # fmt: skip
