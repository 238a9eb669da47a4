"""All that the tests of the engine reach for inside of the package, so that it is said once."""

import sys

import hdseg_gpu.files  # noqa: F401  (loads all modules of the engine)
from hdseg_gpu.backends import load
from hdseg_gpu.core.elements import structuring_elements as elements_of
from hdseg_gpu.core.ops import ColourModels, NearestMap, Network
from hdseg_gpu.core.windows import all_of

__all__ = ["REFERENCE", "ColourModels", "NearestMap", "Network", "all_of", "elements_of"]
REFERENCE = load("reference")


def constants(monkeypatch, **values):
    """Set constants of the package wherever it has them; each must be somewhere."""
    for name, value in values.items():
        places = [
            module
            for title, module in list(sys.modules.items())
            if title.startswith("hdseg_gpu") and hasattr(module, name)
        ]
        assert places, name
        for module in places:
            monkeypatch.setattr(module, name, value)


def small_world(monkeypatch, block=128):
    """Make pictures of some hundred pixels as large as those of gigapixels: blocks, tiles, patches.

    Return the side of patches, and how many unknown pixels of them are enough to measure on.
    """
    patches = block // 2, 1 << 12
    constants(
        monkeypatch, BLOCK=block, SEED_TILE=block, PATCH=patches[0], SAMPLE=patches[1],
        _FIRST_HALO=block // 8,
    )  # fmt: skip
    return patches
