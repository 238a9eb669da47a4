"""The folders of a run in its workspace: one for the records of each phase, one for each plane.

A new phase or plane is one entry here. What its records may hold is in ``records``, the layout of a
plane in ``planes``; a test compares the tables.
"""

import re

ONCE, EACH_ROUND = False, True  # whether the name is followed by a number

# Phases: the tasks of one step in all tiles.
PHASES = {
    "statistics": ONCE,  # of the image
    "edges": ONCE,  # statistics of the boundary map
    "seeds": EACH_ROUND,
    "measure": ONCE,  # how often the colours contradict the coarse map
    "redraw": EACH_ROUND,
    "tiles": ONCE,  # solving
}
# Planes: arrays as large as the image, or as its cells, in one file per tile.
PLANES = {
    "known": EACH_ROUND,  # one bit per pixel: whether it is a seed
    "cells": EACH_ROUND,  # classes of the cells
    "classes": EACH_ROUND,  # classes of the pixels, where they were redrawn
    "labels": ONCE,  # class index + 1, or a wall
}


def kind_of(name: str) -> str:
    """Return the entry of a folder's name: that without its number."""
    return name.rstrip("0123456789")


def number_of(name: str) -> int:
    """Return the number at the end of a folder's name."""
    return int(name[len(kind_of(name)) :])


def folders() -> re.Pattern[str]:
    """Return the pattern of all folders' names."""
    return re.compile(
        "|".join(name + (r"\d+" if number else "") for name, number in (PHASES | PLANES).items())
    )
