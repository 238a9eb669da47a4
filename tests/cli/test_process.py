"""The installed command, in its own process."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from command_line import (
    COARSE,
    RGB,
    assert_error,
    folder,  # noqa: F401 - fixtures
)

from hdseg_gpu import (
    refine,
)
from hdseg_gpu.io import read_labels

SCRIPT = Path(sys.executable).with_name("hdseg")
WAYS = {"script": [SCRIPT], "module": [sys.executable, "-P", "-m", "hdseg_gpu"]}
HDSEG = WAYS["script" if SCRIPT.exists() else "module"]


def run_hdseg(*line, **environment):
    environment = {k: v for k, v in os.environ.items() if k != "FORCE_COLOR"} | environment
    done = subprocess.run([*HDSEG, *line], capture_output=True, check=False, env=environment)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_the_script_and_the_module_are_the_same_command():
    if not SCRIPT.exists():
        pytest.skip("the console script is not beside the interpreter")
    found = {
        name: subprocess.run([*way, "--help"], capture_output=True, check=True).stdout
        for name, way in WAYS.items()
    }
    assert b"refine" in found["script"]
    assert found["module"] == found["script"]


class TestProcess:
    def test_refine_in_a_pipe_has_no_escape_codes(self):
        code, out, err = run_hdseg(
            "refine", "image.png", "coarse.png", "-o", "out.png", TERM="xterm-256color"
        )
        assert (code, err) == (0, "")
        assert "unknown pixels" in out
        assert "\x1b" not in out
        assert "\r" not in out
        np.testing.assert_array_equal(read_labels(Path("out.png")), refine(RGB, COARSE))

    def test_ascii_terminal(self):
        code, out, err = run_hdseg("evaluate", "mask.png", "mask.png", PYTHONIOENCODING="ascii")
        assert (code, err) == (0, "")
        assert "100.00" in out

    def test_wrong_input_and_wrong_usage(self):
        assert_error(run_hdseg("refine", "no.png", "coarse.png", "-o", "out.png"), 2, "no.png")
        code, out, err = run_hdseg("refine", "image.png", "coarse.png")
        assert (code, out) == (2, "")
        assert "--output" in err

    def test_damaged_tiff_is_one_line_too(self):
        # In a process of its own: tifffile logs to stderr, which pytest would hide.
        tifffile.imwrite("image.tif", RGB, photometric="rgb")
        for size in (8, 30, 3000):
            Path("cut.tif").write_bytes(Path("image.tif").read_bytes()[:size])
            assert_error(run_hdseg("refine", "cut.tif", "coarse.png", "-o", "out.png"), 2, "cut")

    @pytest.mark.parametrize("closed", ["1>&-", "2>&-", "1>&- 2>&-"])
    def test_closed_streams(self, closed):
        words = shlex.join(map(str, HDSEG))
        command = f"{words} refine image.png coarse.png -o out.png {closed}"
        done = subprocess.run(["sh", "-c", command], capture_output=True, check=False)
        assert done.returncode == 0
        np.testing.assert_array_equal(read_labels(Path("out.png")), refine(RGB, COARSE))

    def test_path_that_the_terminal_cannot_spell(self):
        line = ("refine", "image.png", "coarse.png", "-o", "grün.png")
        code, out, _ = run_hdseg(*line, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
        assert code == 0
        assert r"gr\xfcn.png" in out

    def test_without_arguments_it_shows_the_commands(self):
        _, out, err = run_hdseg()
        for command in ("refine", "seeds", "evaluate", "info", "demo"):
            assert command in out + err
