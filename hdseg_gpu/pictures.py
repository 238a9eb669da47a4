"""Illustrations: the seeds figure and the before/after overlay."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
_RED, _GREEN, _YELLOW = (
    np.array(c, np.uint8) for c in ((255, 64, 64), (64, 255, 96), (255, 230, 64))
)


def seeds_figure(seeds: NDArray[Any]) -> NDArray[np.uint8]:
    """Return a grey figure (H, W): unknown pixels black, labels from grey to white.

    With two classes the background (the lowest label) is grey (128) and the foreground white.
    """
    labels = np.unique(seeds[seeds > 0])
    levels = np.linspace(128, 255, len(labels)) if len(labels) > 1 else np.array([255.0])
    table = np.concatenate([[0.0], levels]).astype(np.uint8)
    figure: NDArray[np.uint8] = table[np.searchsorted(labels, seeds) + (seeds > 0)]
    return figure


def boundaries(labels: NDArray[Any], width: int = 1) -> NDArray[np.bool_]:
    """Return the pixels whose right or lower neighbour has another label, thickened to `width`."""
    edge = np.zeros(labels.shape, np.bool_)
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edge[:-1] |= labels[:-1] != labels[1:]
    for axis in (0, 1):
        thin = edge.copy()
        for shift in range(1, width):
            edge |= np.roll(thin, shift, axis=axis)
    return edge


def overlay(image: Rgb, labels: NDArray[Any], truth: NDArray[Any] | None = None) -> Rgb:
    """Return the image with boundaries drawn: red labels, green truth, yellow both."""
    width = max(1, round(max(labels.shape) / 700))
    picture = (0.7 * image).astype(np.uint8)
    drawn = boundaries(labels, width)
    picture[drawn] = _RED
    if truth is not None:
        true = boundaries(truth, width)
        picture[true] = _GREEN
        picture[true & drawn] = _YELLOW
    return picture


def side_by_side(panels: list[tuple[str, Rgb]], gap: int = 8) -> Rgb:
    """Return captioned panels of equal size side by side on white."""
    from PIL import Image, ImageDraw, ImageFont

    height, width = panels[0][1].shape[:2]
    strip = max(20, height // 24)
    canvas = Image.new("RGB", (len(panels) * (width + gap) - gap, height + strip), (255, 255, 255))
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=0.7 * strip)
    for i, (caption, pixels) in enumerate(panels):
        left = i * (width + gap)
        draw.text((left + 4, 0.1 * strip), caption, fill=(0, 0, 0), font=font)
        canvas.paste(Image.fromarray(pixels), (left, strip))
    return np.asarray(canvas)
