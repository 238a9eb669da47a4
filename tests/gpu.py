"""Detecting a CUDA device for tests, and whether it was asked for."""

import re
import warnings
from functools import cache

from hdseg_gpu import backends


@cache
def reason_against():
    """Return why no test can run on a device, or None. Without a driver this costs nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of CuPy's first import
        return backends.reason_against("cuda")


def asked_for(config):
    """Return whether the run was started with ``-m gpu``, or an expression that wants it."""
    return re.search(r"(?<!not )\bgpu\b", config.option.markexpr or "") is not None
