"""Makes the pictures of docs/gallery.md: crops before and after, of items that may be published.

A crop shows the place where most pixels changed or, for failures, where most are wrong afterwards.
"""

import argparse
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks import accuracy_items as tasks
from benchmarks.accuracy_measure import quality
from benchmarks.accuracy_pieces import labels_of, nearest
from benchmarks.machine import data_folder
from hdseg_gpu import RefinementWarning, pictures, refine


class Shown(NamedTuple):
    """A picture of the gallery."""

    folder: str
    task: Any  # makes an item of the folder
    crop: int
    failure: bool = False


_DOWN = {s: partial(tasks.down, scale=s, fractions=False) for s in (4, 8, 16)}
SHOWN = {
    "horse": Shown("silver_dev/am2k_sample13", tasks.net_labels, 480),
    "portrait": Shown("silver_dev/p3m_818e689d", tasks.net_labels, 480),
    "paraglider": Shown("dev/davis_paragliding-launch_00020", tasks.net_labels, 320),
    "camel": Shown("dev/davis_camel_00000", tasks.net_labels, 320),
    "vessels": Shown("dev/hrf_01_h", _DOWN[4], 256),
    "nuclei": Shown("dev/dsb2018_1a11552", _DOWN[8], 256),
    "concrete": Shown("dev/concrete_10557", _DOWN[16], 400),
    "scooter": Shown("dev/davis_scooter-black_00020", tasks.net_labels, 280, failure=True),
    "alpaca": Shown("silver_dev/am2k_sample2", tasks.net_labels, 640, failure=True),
    "dancer": Shown("dev/davis_dance-twirl_00030", tasks.net_labels, 280, failure=True),
}
PANEL = 480  # pixels


def densest(mask: NDArray[np.bool_], size: int) -> tuple[slice, slice]:
    """Return the window of size x size with the most pixels of a mask, in steps of size / 16."""
    height, width = (min(size, n) for n in mask.shape)
    sums = np.pad(mask.cumsum(0, np.int64).cumsum(1), ((1, 0), (1, 0)))
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width]
    inside += sums[:-height, :-width]
    step = max(1, size // 16)
    y, x = np.unravel_index(inside[::step, ::step].argmax(), inside[::step, ::step].shape)
    top, left = int(y) * step, int(x) * step
    return slice(top, top + height), slice(left, left + width)


def draw(shown: Shown, data: Path) -> tuple[NDArray[np.uint8], str]:
    """Return the picture and its caption."""
    item = shown.task(data / shown.folder)
    before, after = nearest(item), labels_of(item, refine(item.image, item.coarse))
    counted = item.truth != item.ignore
    looked_for = (after != item.truth) & counted if shown.failure else before != after
    window = densest(looked_for, shown.crop)
    panels, words = [], []
    for name, labels in (("before", before), ("after", after)):
        found = quality(labels, item)
        words.append(f"{100 * found['iou']:.1f} / {100 * found['mba']:.1f}")
        pieces = (a[window].repeat(2, 0).repeat(2, 1) for a in (item.image, labels, item.truth))
        drawn = Image.fromarray(pictures.overlay(*pieces))
        drawn.thumbnail((PANEL, PANEL))
        panels.append((f"{name}: IoU / mBA {words[-1]}", np.asarray(drawn)))
    return pictures.side_by_side(panels), f"{item.name}, {item.task}: {words[0]} -> {words[1]}"


def main() -> None:
    """Write the pictures, and print their captions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("docs/gallery"))
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore", RefinementWarning)
    for name, shown in SHOWN.items():
        picture, line = draw(shown, data_folder())
        Image.fromarray(picture).save(folder / f"{name}.jpg", quality=85)
        print(name, line)


if __name__ == "__main__":
    sys.exit(main())
