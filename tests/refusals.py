"""A small image for calls that are refused, and a check that refusals state a remedy."""

import re
from contextlib import contextmanager

import numpy as np
import pytest

from hdseg_gpu import InvalidInput

RNG = np.random.default_rng(907)
IMAGE = RNG.random((53, 67))
RGB = RNG.integers(0, 256, (53, 67, 3), dtype=np.uint8)
COARSE = np.zeros((11, 14), np.uint8)
COARSE[:, 7:] = 5
PLANES = np.stack([COARSE == 0, COARSE > 0]).astype(np.float32)
# Messages must contain one of these words, which state a remedy.
REMEDY = re.compile(
    r"\b(pass|convert|choose|use|crop|replace|scale it|supported|must|takes|needs|are floats"
    r"|the image has)\b"
)


@contextmanager
def refused(*parts):
    with pytest.raises(InvalidInput) as caught:
        yield
    message = str(caught.value)
    assert "\n" not in message
    assert [part for part in parts if part not in message] == [], message
    assert REMEDY.search(message), f"no remedy: {message}"
