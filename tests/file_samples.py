"""Sample pixels and labels for the tests of files."""

import numpy as np
import pytest

from hdseg_gpu import InvalidInput
from hdseg_gpu.core.memory import resident

RNG = np.random.default_rng(5501)
GREY = RNG.integers(0, 256, (41, 57), dtype=np.uint8)
RGB = RNG.integers(0, 256, (41, 57, 3), dtype=np.uint8)
RGBA = RNG.integers(0, 256, (41, 57, 4), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (41, 57, 6), dtype=np.uint16)
FLOAT = RNG.random((41, 57), dtype=np.float32)


def random_labels(low, high, dtype):
    labels = RNG.integers(low, high, (41, 57), dtype=np.int64, endpoint=True)
    labels[0, :2] = low, high
    return labels.astype(dtype)


def refused(path, *parts):
    """Return a context that expects one line of refusal which names the file."""
    pattern = rf"(?s)^(?=[^\n]*\Z).*{path.name}" + "".join(f"(?=.*(?:{part}))" for part in parts)
    return pytest.raises(InvalidInput, match=pattern)


def memory_of(size):
    """Return a ``max_memory`` that leaves ``size`` bytes beside what the process holds."""
    return resident() + size
