"""Limits for the device operations of whole calls; docs/decisions/0007-cuda.md has the targets.

Checked on the executor by backends/test_cuda_budgets.py; benchmarks/gpu_counts.py counts some of
them on a card.
"""

from gallery import blobs, photograph, reduced

# Our kernels, allocations, other operations, waits of the host, and how many different operations
# CuPy has to compile for them.
BUDGETS = {
    "default": {"launch": 123, "allocation": 82, "other": 23, "wait": 12, "compiled": 3},
    "all rounds": {"launch": 196, "allocation": 148, "other": 23, "wait": 14, "compiled": 3},
    "gamma 0": {"launch": 458, "allocation": 200, "other": 138, "wait": 40, "compiled": 19},
    "gamma 0, 512": {"launch": 660, "allocation": 175, "other": 99, "wait": 32, "compiled": 6},
    "1000 classes": {"launch": 94, "allocation": 62, "other": 24, "wait": 13, "compiled": 3},
}


def scene(shape, classes=2, scale=4):
    """Return an image and its coarse map."""
    truth = blobs(shape, classes)
    return photograph(truth, 3, "uint8"), reduced(truth, scale)
