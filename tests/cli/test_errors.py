"""Errors on the command line: exit codes, one line on stderr, nothing written."""

import re
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from command_line import COARSE, EDGE_MAP, PLANES, assert_error, folder, hdseg, names, save  # noqa: F401 - fixtures

from hdseg_gpu import (
    BackendUnavailable,
    NotConverged,
    api,
    files,
)
from hdseg_gpu.engine import whole_file
from hdseg_gpu.io import create

WRONG = {
    "memory": (
        "refine image.png coarse.png -o out.png --max-device-memory much",
        ["--max-device-memory=much", "800M"],
    ),
    "image missing": ("refine no.png coarse.png -o out.png", ["no.png does not exist"]),
    "coarse missing": ("refine image.png no.npy -o out.png", ["no.npy does not exist"]),
    "boundary missing": (
        "refine image.png coarse.png -o out.png --edges boundary --boundary no.npy",
        ["no.npy does not exist"],
    ),
    "image a folder": ("refine . coarse.png -o out.png", ["not a file"]),
    "colour labels": ("refine image.png image.png -o out.png", ["image.png", "(53, 67, 3)"]),
    "swapped": ("refine coarse.png mask.png -o out.png", ["larger than the image", "swapped"]),
    "edges": ("refine image.png coarse.png -o out.png --edges x", ["edges='x'", "'boundary'"]),
    "no boundary": ("refine image.png coarse.png -o out.png --edges boundary", ["boundary="]),
    "passes": ("refine image.png coarse.png -o out.png --passes -1", ["passes=-1"]),
    "beta": ("refine image.png coarse.png -o out.png --beta nan", ["beta=nan"]),
    "elements": ("refine image.png coarse.png -o out.png --elements 7x7", ["'7x7'", "'9x9'"]),
    "solver": ("refine image.png coarse.png -o out.png --solver lu", ["'lu'", "'direct'"]),
    "backend": ("refine image.png coarse.png -o out.png --backend gpu", ["'gpu'", "'cpu'"]),
    "class axis": ("refine image.png planes.npy -o out.png --class-axis 3", ["class_axis=3"]),
    "no seeds": (
        "refine image.png halves.png -o out.png --passes 500 --elements 9x9 --gamma 0",
        ["passes=500", "fewer"],
    ),
    "output JPEG": ("refine image.png coarse.png -o out.jpg", ["out.jpg", "JPEG", ".png"]),
    "output folder": ("refine image.png coarse.png -o no/out.png", ["folder no", "create"]),
    "output an input": ("refine image.png coarse.png -o ./image.png --overwrite", ["an input"]),
    "output the coarse": ("refine image.png coarse.png -o coarse.png --overwrite", ["an input"]),
    "output the boundary": (
        "refine image.png coarse.png -o mask.png --boundary mask.png --overwrite",
        ["an input"],
    ),
    "negative in PNG": ("refine image.png negative.npy -o out.png", ["PNG", "-3", ".npy"]),
    "float labels": ("refine image.png floats.npy -o out.png", ["coarse", "float32"]),
    "empty labels": (
        "refine image.png empty.npy -o out.png",
        ["empty.npy contains no pixels", "(0, 5)"],
    ),
    "image key": ("refine image.png coarse.png -o out.png --image-key a", ["image.png", "'a'"]),
    "damaged": ("refine cut.png coarse.png -o out.png", ["cut.png cannot be read"]),
    "seeds missing": ("seeds no.png -o out.png", ["no.png does not exist"]),
    "seeds an input": ("seeds mask.png -o mask.png --overwrite", ["an input"]),
    "seeds negative": ("seeds negative.npy -o out.npy --passes 1", ["mask", "-3"]),
    "seeds colour": ("seeds image.png -o out.npy --passes 1", ["image.png", "one channel"]),
    "evaluate missing": ("evaluate mask.png no.png", ["no.png does not exist"]),
    "evaluate colour": ("evaluate image.png mask.png", ["image.png", "one channel"]),
    "evaluate floats": ("evaluate floats.npy mask.png", ["PRED", "float32"]),
    "demo backend": ("demo -o shown --backend gpu", ["'gpu'", "'cpu'"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_exits_with_2_and_writes_nothing(case, hdseg):
    line, parts = WRONG[case]
    save(PLANES, "planes.npy")
    save(EDGE_MAP, "floats.npy")
    save(np.arange(14, dtype=np.uint8) // 7 * np.ones((11, 1), np.uint8), "halves.png")
    save(COARSE.astype(np.int16) - 3, "negative.npy")
    save(np.zeros((0, 5), np.uint8), "empty.npy")
    Path("cut.png").write_bytes(Path("image.png").read_bytes()[:900])
    before = {p.name: p.read_bytes() for p in Path().iterdir()}
    assert_error(hdseg(line), 2, *parts)
    assert names() == sorted(before)
    assert all(Path(name).read_bytes() == content for name, content in before.items())
    # --json and --quiet change nothing about errors
    assert_error(hdseg(f"{line} --json"), 2, *parts)
    assert_error(hdseg(f"{line} --quiet"), 2, *parts)


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("refine image.png coarse.png", "output"),
        ("refine image.png -o out.png", "coarse"),
        ("refine image.png coarse.png -o out.png --no-such-option 3", "--no-such-option"),
        ("refine image.png coarse.png -o out.png --passes many", "--passes"),
        ("refine image.png coarse.png -o out.png --beta x", "--beta"),
        ("refine image.png coarse.png extra.png -o out.png", "extra.png"),
        ("seeds mask.png", "output"),
        ("evaluate mask.png", "truth"),
        ("info --output x", "--output"),
        ("sharpen", "sharpen"),
    ],
)
def test_usage_error_exits_with_2(line, part, hdseg):
    code, out, err = hdseg(line)
    assert (code, out) == (2, "")
    assert part in err.lower()
    assert "Traceback" not in err
    assert names() == ["coarse.png", "image.png", "mask.png"]


@pytest.mark.parametrize("command", ["", "refine", "seeds", "evaluate", "info", "demo"])
def test_help(command, hdseg):
    code, out, err = hdseg(f"{command} --help")
    assert (code, err) == (0, "")
    assert f"{command} [OPTIONS]" in " ".join(out.split())


def test_help_names_the_defaults_that_depend(hdseg, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    _, out, _ = hdseg("refine --help")
    said = " ".join(re.sub("[│|]", " ", out).split())
    assert "Default: 12 (published: 8) times the scale." in said
    assert "Default: cubic (published: nearest) for labels, linear for probabilities." in said
    assert "Default: 2 times the scale." in " ".join(hdseg("seeds --help")[1].split())


def test_version(hdseg):
    assert hdseg("--version") == (0, f"hdseg_gpu {version('hdseg_gpu')}\n", "")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RuntimeError("kaputt"), "RuntimeError: kaputt"),
        (RuntimeError("kaputt\nand more"), "kaputt"),
        (NotConverged("solver='amg' left an error"), "solver='amg' left an error"),
        (BackendUnavailable("backend='cpu' did not load"), "backend='cpu' did not load"),
        (MemoryError("no 3 TiB"), "no 3 TiB"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (MemoryError(), "MemoryError"),
    ],
)
@pytest.mark.parametrize(
    ("function", "line"),
    [
        ("refine_file", "refine image.png coarse.png -o out.png"),
        ("seeds", "seeds mask.png -o out.png --passes 2"),
    ],
)
def test_other_failures_exit_with_1(function, line, error, text, hdseg, monkeypatch):
    def fail(*_args, **_options):
        raise error

    monkeypatch.setattr(files if function == "refine_file" else api, function, fail)
    assert_error(hdseg(line), 1, text)
    assert names() == ["coarse.png", "image.png", "mask.png"]


def test_interrupt_exits_with_1_and_writes_nothing(hdseg, monkeypatch):
    def interrupt(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(whole_file, "within_memory", interrupt)
    code, out, err = hdseg("refine image.png coarse.png -o out.png")
    assert (code, out, err) == (1, "", "error: interrupted; nothing was written\n")
    assert names() == ["coarse.png", "image.png", "mask.png"]


def test_write_that_fails_leaves_the_old_file(hdseg, monkeypatch):
    def half(path, _labels, _place):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    Path("out.npy").write_bytes(b"old")
    monkeypatch.setattr(create, "loaded", lambda _: half)
    result = hdseg("refine image.png coarse.png -o out.npy --overwrite")
    assert_error(result, 1, "No space left on device")
    assert Path("out.npy").read_bytes() == b"old"
    assert names() == ["coarse.png", "image.png", "mask.png", "out.npy"]


def test_debug_shows_the_traceback(hdseg, monkeypatch):
    monkeypatch.setenv("HDSEG_DEBUG", "1")
    with pytest.raises(ValueError, match="does not exist"):
        hdseg("refine no.png coarse.png -o out.png")
