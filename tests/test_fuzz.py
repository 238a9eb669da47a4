"""fuzz/ finds planted faults, and is reproducible."""

import os
import re
import subprocess
import sys
from pathlib import Path

import large_files
import pytest

ROOT = Path(__file__).parent.parent

CHILD = """
import hashlib, sys
from fuzz import mutants
for number in range(40):
    found = mutants.mutant(mutants.generator("files", int(sys.argv[1]), number))
    print(found.entry, hashlib.sha256(repr(sorted(found.files.items())).encode()).hexdigest())
"""


def run(*line):
    """Run a line of Python in the source folder, with the package that is tested here."""
    path = os.pathsep.join((large_files.PACKAGE, str(ROOT)))
    return subprocess.run(
        [sys.executable, "-P", *map(str, line)], cwd=ROOT, capture_output=True, text=True,
        timeout=200, env=large_files.environment(PYTHONPATH=path), check=False,
    )  # fmt: skip


def fuzzed(folder, *options):
    done = run("-m", "fuzz", "--out", folder, *options)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("raise", "raw error: KeyError"),
        ("hang", "hang: time"),
        ("memory", "memory: .*MemoryError"),
        ("die", "signal: SIGSEGV"),
        ("several lines", "message: _Lines.*not one line"),
        ("program", "outside: a program is started"),
        ("file", "outside: a file outside is opened"),
        ("change", "outside: a file outside is opened to write"),
        ("connection", "outside: the network is used"),
        ("pickle", "outside: something is unpickled"),
        ("descriptor", "descriptor: open file"),
        ("uninitialised", "wrong: .*two reads of one window differ"),
        ("shape", "wrong: .*shape"),
    ],
)
def test_planted_faults_are_found(tmp_path, fault, said):
    code, output = fuzzed(tmp_path, "--plant", fault, "--case", "files:0", "--timeout", "4")
    assert code == 1, output
    assert re.search(said, output), output
    first = next(each for each in sorted(tmp_path.iterdir()) if "warning" not in each.name)
    assert re.search(r"again: python -m fuzz --seed 2718 --case files:\d", (
        first / "finding.txt").read_text())  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "campaign", "said"),
    [
        ("labels", "resumes", "wrong: .*labels that differ from those of a run"),
        ("input", "calls", "wrong: .*an input was changed"),
    ],
)
def test_planted_faults_of_other_campaigns_are_found(tmp_path, fault, campaign, said):
    cases = [each for n in range(6) for each in ("--case", f"{campaign}:{n}")]
    code, output = fuzzed(tmp_path, "--plant", fault, *cases)
    assert code == 1, output
    assert re.search(said, output), output


def test_nothing_planted_nothing_found(tmp_path):
    code, output = fuzzed(tmp_path, "--plant", "nothing", "--case", "files:0", "--case", "files:1")
    assert code == 0, output
    assert "nothing was found" in output


def test_the_case_after_a_death_is_tried(tmp_path):
    cases = [each for n in range(3) for each in ("--case", f"files:{n}")]
    code, output = fuzzed(tmp_path, "--plant", "die", *cases)
    assert code == 1
    assert "3 files" in output
    assert "3 x signal" in output


def test_a_seed_and_a_number_decide_everything():
    first, again, other = (run("-c", CHILD, seed).stdout for seed in (31, 31, 32))
    assert first == again
    assert len(first.splitlines()) == 40
    assert not set(first.splitlines()) & set(other.splitlines())
