"""A run that takes a second, and the workspace it leaves when it is stopped early."""

import os
import stat
import warnings

import numpy as np

from hdseg_gpu import RefinementWarning, refine_file

SIDE = 600
MODES = {
    "plain": {},
    "resume": {"resume": True},
    "overwrite": {"overwrite": True},
    "both": {"resume": True, "overwrite": True},
}


def scene():
    """Return a picture and a coarse map that deserves doubt."""
    y, x = np.mgrid[:SIDE, :SIDE]
    truth = (y - 260) ** 2 + (x - 330) ** 2 < 170**2
    noise = np.random.default_rng(77).normal(0, 9, (SIDE, SIDE, 3))
    image = np.where(truth[..., None], (150, 90, 60), (90, 120, 80)) + noise
    coarse = truth.reshape(SIDE // 8, 8, SIDE // 8, 8).mean(axis=(1, 3)) > 0.5
    return image.clip(0, 255).astype(np.uint8), np.roll(coarse, (2, 2), (0, 1)).astype(np.uint8)


IMAGE, COARSE = scene()


class Stop(Exception):
    """Raised in the middle of a run."""


def run(output, image=IMAGE, coarse=COARSE, **options):
    """Refine the scene into a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RefinementWarning)
        return refine_file(image, coarse, output, tile=2048, workers=1, **options)


def stopped(output, phase="tiles", **options):
    """Leave the workspace of a run of which nothing but the last step is missing."""

    def stop(now):
        if now.phase == phase and now.done == now.tiles:
            raise Stop

    try:
        run(output, progress=stop, **options)
    except Stop:
        return workspace_of(output)
    raise AssertionError("it came to its end")


def workspace_of(output):
    """Return the folder of the runs that write a file."""
    return output.with_name(f".{output.name}.hdseg")


def everything(folder):
    """Return all that can be seen of a folder: names, kinds, rights, contents, links' targets."""
    found = {}
    for path in sorted(folder.rglob("*"), key=str):
        status = path.lstat()
        if path.is_symlink():
            content = os.readlink(path)
        elif stat.S_ISREG(status.st_mode) and status.st_size < 1 << 24:
            content = path.read_bytes()
        else:
            content = status.st_size
        found[str(path.relative_to(folder))] = status.st_mode, status.st_ino, content
    return found
