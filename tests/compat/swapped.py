"""A pytest plugin that lets another library's tests call our functions: ``-p swapped``.

Names of the environment variable SWAPPED, such as "skimage.segmentation:random_walker=
hdseg_gpu:random_walker", are replaced before tests are collected. At the end the session fails if
none was called.
"""

import os
from functools import wraps
from importlib import import_module

CALLS = []


def counted(function):
    @wraps(function)
    def calling(*args, **options):
        CALLS.append(function.__name__)
        return function(*args, **options)

    return calling


def pytest_configure():
    for swap in os.environ["SWAPPED"].split():
        (home, theirs), ours = (name.split(":") for name in swap.split("="))
        module = import_module(home)
        original = getattr(module, theirs)  # lazy loaders would replace what is set before
        replacement = counted(getattr(import_module(ours[0]), ours[1]))
        replacement.__name__ = theirs
        setattr(module, theirs, replacement)
        if home.startswith("scipy"):  # whose tests look functions up in a table
            table = import_module("scipy._lib._array_api").xp_capabilities_table
            table[replacement] = table[original]


def pytest_sessionfinish(session):
    if not CALLS:
        session.exitstatus = 9
    print(f"\ncalls of ours: {len(CALLS)}")
