"""A folder of inputs and a way to run the command line, for the tests of hdseg."""

import json
import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from hdseg_gpu import (
    Report,
)
from hdseg_gpu.cli import main

RNG = np.random.default_rng(3307)
COARSE = np.zeros((11, 14), np.uint8)
COARSE[3:9, 4:11] = 5
COARSE[:4, 9:] = 200
LABELS = COARSE[(np.arange(53) * 11 // 53)[:, None], np.arange(67) * 14 // 67]
RGB = (LABELS[..., None] // 2 + [60, 90, 20] + RNG.integers(0, 25, (53, 67, 3))).astype(np.uint8)
PLANES = np.stack([v == COARSE for v in (0, 5, 200)]).astype(np.float32) * 0.7 + 0.1
EDGE_MAP = RNG.random((53, 67), dtype=np.float32)
FIELDS = {field.name for field in fields(Report)}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Work in a folder of inputs, so that names alone are enough."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HDSEG_DEBUG", raising=False)
    save(RGB, "image.png")
    save(COARSE, "coarse.png")
    save(LABELS, "mask.png")
    return tmp_path


def save(pixels, name):
    if name.endswith(".npy"):
        np.save(name, pixels)
    else:
        PIL.Image.fromarray(pixels).save(name)


@pytest.fixture
def hdseg(capsys):
    """Return a function that runs a command line and returns (exit code, stdout, stderr)."""

    def run(line, *more):
        code = main([*line.split(), *more])
        return code, *capsys.readouterr()

    return run


def names():
    return sorted(p.name for p in Path().iterdir())


def one_json(text):
    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    found = json.loads(text, parse_constant=refuse)
    assert isinstance(found, dict)
    return found


def assert_error(result, code, *parts):
    """Check the exit code, and that stderr is one line that begins with "error: "."""
    assert result[0] == code, result
    assert result[1] == ""
    assert re.fullmatch(r"error: [^\n]+\n", result[2]), result[2]
    assert [p for p in parts if p not in result[2]] == [], result[2]
