"""An image of three classes with coarse maps of all kinds, small enough to be refined often."""

import numpy as np
import two_roads
from gallery import blobs, reduced

SHAPE = (120, 144)
TRUTH = blobs(SHAPE, 3, 4)
RNG = np.random.default_rng(61)
COLOURS = np.array([[70, 110, 90], [120, 90, 100], [95, 120, 140]])
IMAGE = (COLOURS[TRUTH] + RNG.normal(0, 25, (*SHAPE, 3))).clip(0, 255).astype(np.uint8)
COARSE = np.roll(reduced(TRUTH, 4), (1, 1), (0, 1))
PLANES = two_roads.probabilities_of(COARSE, 3, RNG)
RAMP = np.where(np.diff(TRUTH, axis=1, prepend=0), 0.9, 0.1).astype(np.float32)
HOLES = np.where(RNG.random(COARSE.shape) < 0.1, 9, COARSE).astype(np.uint8)
RGBA = np.dstack([IMAGE, RNG.integers(0, 256, SHAPE).astype(np.uint8)])
