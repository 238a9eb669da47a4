"""Passes, elements, beta and interpolation for the plain walker, compared on real and ideal masks.

Tasks: "net", real coarse maps that are smaller than their image; "downS", crops of manual masks,
reduced by S and thresholded, which shows what refinement destroys. Each item is its largest class
against the rest. Gains are over nearest upsampling, IoU / mBA in points.
"""

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy_items import ENOUGH, IGNORED, centre, folders, net_labels
from benchmarks.machine import data_folder, describe
from hdseg_gpu import RefinementWarning, metrics, refine
from hdseg_gpu.io import read_image, read_labels

Item = tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.bool_], float]


def largest_class(mask: NDArray[Any], candidates: NDArray[Any]) -> int | None:
    """Return the label, other than background and ignored, with the most pixels."""
    counts = {int(k): int((mask == k).sum()) for k in candidates if k not in (0, IGNORED)}
    return max(counts, key=counts.__getitem__, default=None)


def net(data: Path) -> Iterator[Item]:
    """Yield image, coarse map, truth and scale of each real network mask that has a truth."""
    for folder in folders(data):
        item = net_labels(folder)
        if item is None or item.scale is None:
            continue
        present, counts = np.unique(item.coarse, return_counts=True)
        k = largest_class(item.truth, np.intersect1d(item.truth, present[counts > 50]))
        if k is not None:
            yield item.image, item.coarse == k, item.truth == k, item.scale


def down(data: Path, scale: int) -> Iterator[Item]:
    """Yield crops of the manual masks, with the reduced mask as coarse map."""
    for path in sorted(data.glob("dev/*/mask.png")):
        if path.parent.name.startswith("swiss"):  # drawn loosely: not accurate to pixels
            continue
        mask, image = read_labels(path), read_image(next(path.parent.glob("image.*"))).pixels
        window = centre(mask.shape, scale)
        mask, image = mask[window], image[window]
        h, w = mask.shape
        k = largest_class(mask, np.unique(mask))
        if k is None:
            continue
        truth = mask == k
        coarse = truth.reshape(h // scale, scale, w // scale, scale).mean(axis=(1, 3)) > 0.5
        if min(truth.sum(), (~truth).sum(), coarse.sum() * scale**2) > ENOUGH:
            yield image, coarse, truth, float(scale)


# The plain walker, to which these choices apply.
PLAIN: dict[str, Any] = {
    "gamma": 0.0, "elements": "9x9", "interpolation": "nearest", "majority": 1,
}  # fmt: skip


def gains(items: list[Item], passes_per_scale: float, **options: Any) -> NDArray[np.float64]:
    """Return (items, 2): IoU and mBA gained over nearest upsampling, in points."""
    rows = []
    for image, coarse, truth, scale in items:
        passes = max(1, round(passes_per_scale * scale))
        before = refine(image, coarse, passes=0, interpolation="nearest")
        after = refine(image, coarse, passes=passes, scale=scale, **{**PLAIN, **options})
        rows.append([f(after, truth) - f(before, truth)
                     for f in (metrics.iou, metrics.mean_boundary_accuracy)])  # fmt: skip
    return 100 * np.array(rows)


def main() -> None:
    """Print one line for each setting and task."""
    warnings.simplefilter("ignore", RefinementWarning)
    data = data_folder()
    print(describe())
    tasks = {"net": list(net(data))} | {f"down{s}": list(down(data, s)) for s in (4, 8)}
    print({name: len(items) for name, items in tasks.items()}, "items")
    settings: list[tuple[float, dict[str, Any]]] = [
        (passes, {"elements": elements, "interpolation": how})
        for how in ("nearest", "linear", "cubic")
        for elements in ("9x9", "3x3")
        for passes in (1, 2, 4, 8)
    ]
    settings += [(2, {"beta": beta}) for beta in (30, 130, 300, 1000, 3000, 10000)]
    print("| passes / scale | options | task | IoU / mBA | worst IoU / mBA |\n" + "|---" * 5 + "|")
    for passes, options in settings:
        for name, items in tasks.items():
            found = gains(items, passes, **options)
            mean, worst = np.nanmean(found, axis=0), np.nanmin(found, axis=0)
            said = ", ".join(f"{k} {v}" for k, v in options.items())
            print(f"| {passes:g} | {said} | {name} | {mean[0]:+.2f} / {mean[1]:+.2f} "
                  f"| {worst[0]:+.2f} / {worst[1]:+.2f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
