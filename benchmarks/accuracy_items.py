"""The tasks of ``benchmarks.accuracy``: coarse maps with an image and a ground truth.

net ...     the output of a real network. "full size" has no scale: checks that nothing gets worse.
downS ...   the truth reduced by S, by area: the output of an ideal network of that size, as labels
            (the largest class of each block) or as fractions. Also checks that nothing gets worse.

A folder of HDSEG_DATA/dev or silver_dev is an item: image.*, mask.png, and perhaps coarse.png.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.options import ASSUMED_SCALE
from hdseg_gpu.io import read_image, read_labels

CROP = 1024
IGNORED = 255
ENOUGH = 500  # pixels of the truth that a class needs to be evaluated
BACKGROUND = 0
# Planes of the network (PASCAL VOC) that correspond to labels of Vistas: person, car.
VISTAS = {15: 20, 7: 56}
LOOSE = ("swissdrone",)  # truths drawn 5 to 15 pixels off: useless for boundaries
BOX_MARGIN = 0.05


@dataclass(frozen=True)
class Item:
    """One image of a task.

    coarse: labels (h, w), or probabilities (K, h, w) of the labels `values`. scale: None if the
    coarse map has the image's size. exact: whether the truth is accurate to single pixels.
    """

    task: str
    name: str
    image: NDArray[Any]
    coarse: NDArray[Any]
    values: NDArray[Any]
    scale: float | None
    truth: NDArray[Any]
    ignore: int | None
    exact: bool

    @property
    def size(self) -> float:
        """The scale, by default the one that ``refine`` assumes."""
        return self.scale or ASSUMED_SCALE


def folders(data: Path) -> list[Path]:
    """Return the folders of all items, manual truths before those of matting networks."""
    masks = [*sorted(data.glob("dev/*/mask.png")), *sorted(data.glob("silver_dev/*/mask.png"))]
    return [path.parent for path in masks]


def judged(truth: NDArray[Any], ignore: int | None = IGNORED) -> list[int]:
    """Return the labels to evaluate: none if there is only one, and never the background."""
    labels, counts = np.unique(truth[truth != ignore] if ignore is not None else truth,
                               return_counts=True)  # fmt: skip
    if len(labels) < 2:
        return []
    return [int(k) for k, n in zip(labels, counts, strict=True) if k != BACKGROUND and n >= ENOUGH]


def net_labels(folder: Path, *, full_size: bool = False) -> Item | None:
    """Return a network's labels; None if the item has none of that kind."""
    if not (folder / "coarse.png").exists():
        return None
    truth, coarse = _truth(folder), read_labels(folder / "coarse.png")
    if (coarse.shape == truth.shape) != full_size:
        return None
    scale = max(t / c for t, c in zip(truth.shape, coarse.shape, strict=True))
    task = "net full size" if full_size else "net labels"
    return _item(task, folder, _image(folder), coarse, np.unique(coarse),
                 None if full_size else scale, truth)  # fmt: skip


def net_probabilities(folder: Path) -> Item | None:
    """Return the same network's probabilities of the classes in its labels.

    The planes are 8-bit and do not quite sum to 255. Where any class counts as the object,
    p = 1 - p_background. Its argmax equals coarse.png on 99.45 to 99.998 % of the pixels (11 DAVIS
    and matting images), since several small probabilities exceed the background a little more often
    than the largest alone; on Vistas on 99.99 %.
    """
    stored, like = folder / "coarse_deeplab_prob_u8.npz", net_labels(folder)
    if like is None or not stored.exists():
        return None
    planes = np.load(stored)["prob"].transpose(2, 0, 1).astype(np.float32)
    planes /= planes.sum(axis=0)
    if (folder / "mask_pascal_subset.png").exists():
        objects, values = planes[list(VISTAS)], np.array([BACKGROUND, *VISTAS.values()], np.uint8)
    else:
        objects, values = 1 - planes[:1], np.array([BACKGROUND, 1], np.uint8)
    if (folder / "coarse_all_objects.png").exists():
        objects[:, ~box_of_object(like.truth > 0, like.coarse > 0)] = 0
    probabilities = np.concatenate([1 - objects.sum(axis=0, keepdims=True), objects]).clip(0, 1)
    return _item("net probabilities", folder, like.image, probabilities, values, like.scale,
                 like.truth)  # fmt: skip


def box_of_object(truth: NDArray[np.bool_], coarse: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the box of a simulated detector, in pixels of the coarse map.

    DAVIS labels one object: coarse.png was blanked outside the truth's bounding box + 5 %. The
    coarse object itself shows how the box was rounded.
    """
    inside = []
    for axis in (0, 1):
        unit = coarse.shape[axis] / truth.shape[axis]
        extent = np.flatnonzero(truth.any(axis=1 - axis))
        first, last = extent[0] * unit, (extent[-1] + 1) * unit
        margin = BOX_MARGIN * (last - first)
        kept = np.flatnonzero(coarse.any(axis=1 - axis))
        at = np.arange(coarse.shape[axis])
        inside.append((at >= min(int(first - margin), kept[0]))
                      & (at < max(np.ceil(last + margin), kept[-1] + 1)))  # fmt: skip
    box: NDArray[np.bool_] = inside[0][:, None] & inside[1]
    return box


def reduced(
    truth: NDArray[Any], scale: int, ignore: int | None = IGNORED
) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Return the labels, and their fractions (K, h, w) in every block of scale x scale pixels.

    Ignored pixels are not counted; a block of only these gets the first label, the background.
    """
    h, w = (n // scale for n in truth.shape)
    blocks = truth.reshape(h, scale, w, scale)
    values = np.unique(truth[truth != ignore] if ignore is not None else truth)
    counts = np.stack([(blocks == k).sum(axis=(1, 3)) for k in values])
    total = counts.sum(axis=0)
    counts[0][total == 0] = 1
    return values, (counts / np.maximum(total, 1)).astype(np.float32)


def centre(shape: tuple[int, ...], scale: int) -> tuple[slice, slice]:
    """Return the slices of the largest central crop with sides divisible by the scale."""
    h, w = (min(CROP, n) // scale * scale for n in shape[:2])
    y, x = ((n - size) // 2 for n, size in zip(shape[:2], (h, w), strict=True))
    return slice(y, y + h), slice(x, x + w)


def down(folder: Path, *, scale: int, fractions: bool) -> Item | None:
    """Return the central crop of image and truth, with the reduced truth as coarse map."""
    truth = _truth(folder)
    window = centre(truth.shape, scale)
    truth = truth[window]
    if not judged(truth):
        return None
    values, shares = reduced(truth, scale)
    coarse = shares if fractions else values[shares.argmax(axis=0)]
    task = f"down{scale} {'fractions' if fractions else 'labels'}"
    return _item(task, folder, _image(folder)[window], coarse, values, float(scale), truth)


Load = Callable[[Path], Item | None]
TASKS: dict[str, Load] = {
    "net labels": net_labels,
    "net probabilities": net_probabilities,
    "net full size": partial(net_labels, full_size=True),
}
for _scale in (4, 8, 16):
    TASKS[f"down{_scale} labels"] = partial(down, scale=_scale, fractions=False)
    TASKS[f"down{_scale} fractions"] = partial(down, scale=_scale, fractions=True)


def _item(
    task: str,
    folder: Path,
    image: NDArray[Any],
    coarse: NDArray[Any],
    values: NDArray[Any],
    scale: float | None,
    truth: NDArray[Any],
) -> Item | None:
    if not judged(truth):
        return None
    return Item(
        task=task,
        name=folder.name,
        image=np.ascontiguousarray(image),
        coarse=coarse,
        values=values,
        scale=scale,
        truth=truth,
        ignore=IGNORED if (truth == IGNORED).any() else None,
        exact=not folder.name.startswith(LOOSE),
    )


def _truth(folder: Path) -> NDArray[Any]:
    subset = folder / "mask_pascal_subset.png"  # the classes that the network has
    return read_labels(subset if subset.exists() else folder / "mask.png")


def _image(folder: Path) -> NDArray[Any]:
    return read_image(next(folder.glob("image.*"))).pixels
