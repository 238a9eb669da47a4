"""benchmarks/gpu_proof.sh on the executor: its steps, resuming, and its summary page."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
ON_EXECUTOR = [sys.executable, "-P", str(ROOT / "benchmarks" / "on_executor.py")]
BENCHMARK = [*ON_EXECUTOR, "-m", "benchmarks.gpu", "--megapixels", "0.01"]
ENVIRONMENT = os.environ | {"PYTHON": sys.executable}

pytestmark = pytest.mark.skipif(
    not (ROOT / "benchmarks" / "gpu_proof.sh").exists(),
    reason="benchmarks/ is not part of an installed package",
)


@pytest.fixture(scope="module")
def bench():
    """Modules of the benchmark by their last word."""
    sys.path.append(str(ROOT))
    names = ("counts", "outcomes", "processes", "summary", "table")
    yield SimpleNamespace(**{n: importlib.import_module(f"benchmarks.gpu_{n}") for n in names})
    sys.path.remove(str(ROOT))


def ran(*command, code=0, cwd=ROOT):
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True,
        timeout=250, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def with_outcomes(file, *arguments, code=0):
    """Run tests on the executor with the plugin that saves outcomes."""
    pytest_ = [*ON_EXECUTOR, "-m", "pytest", "-q", "-n", "0", "-p", "benchmarks.gpu_outcomes"]
    return ran(*pytest_, "--outcomes", file, *arguments, code=code)


def script(folder, *arguments, code=0):
    return ran("benchmarks/gpu_proof.sh", "--dry-run", "--into", folder, *arguments, code=code)


@pytest.fixture(scope="module")
def proof(tmp_path_factory):
    """A folder of the proof, begun and not at its end."""
    folder = tmp_path_factory.mktemp("proof")
    script(folder, 5)
    ran(*BENCHMARK, "--only", "thinning", "kernels", "-o", folder / "gpu.json")
    chosen = ["-m", "gpu", "-k", "sanitize_thinning or strips_have", "tests/backends/test_gpu.py"]
    with_outcomes(folder / "tests-backend.jsonl", *chosen)
    return folder


def test_the_page_tells_what_there_is_and_what_is_missing(bench, proof):
    page = bench.summary.summary(proof)
    found = json.loads((proof / "gpu.json").read_text())
    lines = page.splitlines()
    assert any(line.startswith("**A dry run on the tests' executor") for line in lines)
    assert [line for line in lines if line.startswith("| 3 | small | not run | - | -")]
    assert [line for line in lines if line.startswith("| 5 | memcheck | done |")]
    assert "| tests-backend | 1 | 0 | 1 | 0 |" in lines
    assert "1 x the executor's memory is not that of a pool" in page
    assert found["reached"] in page
    kernels = next(row["kernels"] for row in found["rows"] if row["kernels"])
    assert {k["kernel"] for k in kernels} >= {"class_evidence_u8_u8", "thin_presets_1"}
    first = kernels[0]
    assert first["seconds"] == max(kernel["seconds"] for kernel in kernels)
    assert f"| {first['kernel']} | {first['calls']} |" in page
    others = [kernel for kernel in kernels if f"| {kernel['kernel']} |" not in page]
    assert f"| {len(others)} others |" in page
    assert "Copies: device to device" in page
    assert "No labels were compared" in page


def test_bytes_of_kernels_are_those_of_their_arrays(proof):
    found = json.loads((proof / "gpu.json").read_text())
    kernels = {k["kernel"]: k for row in found["rows"] for k in row["kernels"]}
    side = 128
    # At least the labels as input, and one bit per pixel for each of two classes as output.
    assert kernels["pack_classes_u8"]["bytes"] >= side * side * (1 + 2 / 8)
    assert kernels["integer_sums_u8"]["bytes"] >= 3 * side * side
    assert kernels["integer_sums_u8"]["bytes"] < 2 * 3 * side * side


COUNTING = """
import json
from benchmarks import gpu_counts, gpu_runner, gpu_table
gpu_counts.CALLS = {"gamma 0": gpu_counts.CALLS["gamma 0"]}
rows = gpu_table.Rows()
gpu_counts.counts(gpu_runner.Runner("cuda"), rows)
print(json.dumps(rows.rows[0].remarks))
"""


def test_counts_of_a_call_are_those_of_the_budgets(bench):
    said = ran(*ON_EXECUTOR, "-c", COUNTING)
    found = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
    budget = bench.counts.BUDGETS["gamma 0"]
    assert found["launches"] == budget["launch"]
    assert found["allocations"] == budget["allocation"]
    assert 0.5 * budget["wait"] < found["waits"] <= budget["wait"]


def test_counts_over_their_budget_are_marked(bench):
    remarks = {"launches": 124, "allocations": 82, "waits": 3}
    row = bench.table.Row("counts", "default", 0.25, seconds=0.004, remarks=remarks)
    line = bench.counts.markdown([row]).splitlines()[-1]
    assert line == "| default, 512x512 | 124 / 123 **over** | 82 / 82 | 3 / 12 | 4 |"


def test_the_page_of_nothing(bench, tmp_path):
    page = bench.summary.summary(tmp_path)
    assert "No card is described" in page
    assert "No tests have run" in page
    assert "Nothing was measured" in page


def test_steps_that_are_done_are_left_out(proof):
    assert script(proof, 5).count("already done") == 2
    steps = proof / "steps.tsv"
    kept = steps.read_text()
    lines = kept.splitlines()
    # A step that failed, or that ran with other sources, runs again.
    steps.write_text(lines[0].replace("\t0\t", "\t124\t") + f"\n{lines[1][:-1]}x\n")
    said = script(proof, 5)
    assert "already done" not in said
    assert steps.read_text().count("\n") == 4
    assert script(proof, 5).count("already done") == 2


def test_a_failing_step_fails_the_call(bench, proof, tmp_path):
    (tmp_path / "gpu.json").write_text("{}")
    said = script(tmp_path, 4, code=1)
    assert said.count("ended with 1; see") == 2
    assert "is not a result of this benchmark" in (tmp_path / "large.log").read_text()
    assert "| 4 | large | ended with 1 |" in (tmp_path / "summary.md").read_text()


def test_a_folder_is_the_callers(tmp_path):
    said = ran(ROOT / "benchmarks/gpu_proof.sh", "--dry-run", "--into", "here", 5, cwd=tmp_path)
    assert (tmp_path / "here" / "summary.md").exists()
    # API calls of CuPy that fail and are handled there are not reported.
    memcheck, racecheck = (line for line in said.splitlines() if "-k sanitize tests" in line
                           and not line.startswith("=="))  # fmt: skip
    assert "--report-api-errors no" in memcheck
    assert "--report-api-errors" not in racecheck


def rows_of(file):
    found = json.loads(file.read_text())
    return {row["name"]: row for row in found["rows"] if row["section"] == "thinning"}


def test_a_run_that_is_killed_goes_on(bench, tmp_path):
    file = tmp_path / "gpu.json"
    command = [*BENCHMARK, "--only", "thinning", "-o", str(file)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        while len(rows_of(file) if file.exists() else ()) < 2:
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    first, second = rows_of(file).values()
    assert first["seconds"] > 0
    assert (second["skipped"], second["unfinished"]) == (
        "the run ended while this was measured", 1
    )  # fmt: skip
    said = ran(*command)
    assert "has 4 rows with figures" in said
    again = rows_of(file)
    assert len(again) == 4
    assert again[first["name"]] == first
    assert all(row["seconds"] > 0 for row in again.values())
    # Results of other sources are not reused; their file is renamed.
    changed = json.loads(file.read_text())
    changed["described"]["source"] = "another"
    file.write_text(json.dumps(changed))
    assert "starts over" in ran(*command)
    assert rows_of(file)[first["name"]] != first
    assert rows_of(tmp_path / "gpu.another.json") == again


def test_rows_are_measured_once(bench):
    row, timing = bench.table.Row, bench.table.Timing(1.0, 1.0, 1.0, 1)
    old = [row("a", "kept", 1.0, seconds=9.0), row("a", "failed", 1.0, skipped="failed: x"),
           row("a", "hangs", 1.0, skipped="y", unfinished=2)]  # fmt: skip
    for again, expected in ((False, [9.0, 1.0, None]), (True, [1.0, 1.0, 1.0])):
        rows, saved = bench.table.Rows(old, again), []
        rows.changed = lambda rows=rows, saved=saved: saved.append(len(rows.rows))
        for _ in range(2):
            for name in ("kept", "failed", "hangs"):
                rows.measure("a", name, 1.0, lambda: (timing, {}))
        assert [r.seconds for r in rows.rows] == expected
        assert len(saved) == 2 * sum(seconds == 1.0 for seconds in expected)


TESTS = """
import os, pytest
def test_good(): pass
def test_bad(): assert 1 == int("2")
def test_absent(): pytest.skip("not here")
def test_deadly(): os._exit(3)
def test_never(): pass
"""


def test_outcomes_are_there_whatever_becomes_of_the_run(bench, tmp_path):
    file, tests = tmp_path / "new" / "outcomes.jsonl", tmp_path / "test_some.py"
    tests.write_text(TESTS)
    with_outcomes(file, "--rootdir", tmp_path, tests, code=3)
    found = {t["test"].rpartition("::")[2]: t for t in bench.outcomes.read(file)}
    outcomes = {name: test["outcome"] for name, test in found.items()}
    assert outcomes == {
        "test_good": "passed", "test_bad": "failed", "test_absent": "skipped",
        "test_deadly": bench.outcomes.BEGUN,
    }  # fmt: skip
    assert "assert 1 == 2" in found["test_bad"]["reason"]
    assert found["test_absent"]["reason"] == "not here"
    # Tests that passed are not run again; an incomplete line is ignored.
    with file.open("a") as lines:
        lines.write('{"test": "cut')
    tests.write_text(TESTS.replace("os._exit(3)", "pass").replace('int("2")', "1"))
    assert "4 passed" not in with_outcomes(file, "--rootdir", tmp_path, tests)
    found = {t["test"].rpartition("::")[2]: t["outcome"] for t in bench.outcomes.read(file)}
    assert sorted(found.values()) == ["passed", "passed", "passed", "passed", "skipped"]
    tests.write_text(TESTS.replace("os._exit(3)", "pass").replace("test_absent", "absent"))
    assert "4 deselected" in with_outcomes(file, "--rootdir", tmp_path, tests)


POISONED = """
import cupy, pytest
def poison():
    def fail(): raise RuntimeError("illegal access")
    cupy.cuda.runtime.deviceSynchronize = fail
    raise RuntimeError("illegal access")
def test_poison(): poison()
def test_behind(): cupy.cuda.runtime.deviceSynchronize()
"""


def test_tests_behind_one_that_lost_the_device_have_outcomes(bench, tmp_path):
    file, tests = tmp_path / "outcomes.jsonl", tmp_path / "test_some.py"
    tests.write_text(POISONED)
    for code in (97, 97, 1):  # the last run has nothing left to run, but reports failures
        with_outcomes(file, "--rootdir", tmp_path, tests, code=code)
    found = {t["test"].rpartition("::")[2]: t for t in bench.outcomes.read(file)}
    assert found["test_behind"]["outcome"] == "passed"
    assert found["test_poison"]["outcome"] == "lost the device"
    assert found["test_poison"]["tries"] == 2


def test_rows_behind_one_that_lost_the_device_have_figures(bench, monkeypatch):
    timing, calls, rows = bench.table.Timing(1.0, 1.0, 1.0, 1), [], []

    def poisoned():
        calls.append("poisoned")
        monkeypatch.setattr(bench.table, "lost", lambda: True)
        raise RuntimeError("illegal access")

    def sound():
        calls.append("sound")
        return timing, {}

    def end():
        raise SystemExit(97)

    for _ in range(3):
        monkeypatch.setattr(bench.table, "lost", lambda: False)
        run = bench.table.Rows(rows)
        run.end, rows = end, run.rows
        try:
            for run.deferring in (True, False):
                run.measure("a", "poisoned", 1.0, poisoned)
                run.measure("a", "sound", 1.0, sound)
        except SystemExit:
            pass
    assert calls == ["poisoned", "sound", "poisoned"]
    assert rows[0].skipped.startswith("lost the device: ")
    assert rows[0].unfinished == 2
    assert rows[0].failed
    assert rows[1].measured


def test_processes_beside_each_other_have_the_labels_of_one(bench, tmp_path):
    processes = bench.processes
    group = processes.together(ON_EXECUTOR, tmp_path, 64, 2, 2**24)
    assert (len(group.seconds), group.different, group.failed) == (2, 0, "")
    labels = np.load(tmp_path / "alone.npy")
    labels[3, 4:6] += 1
    np.save(tmp_path / "alone.npy", labels)
    assert processes.together(ON_EXECUTOR, tmp_path, 64, 2, None).different == 4
    # A process that fails is reported.
    assert processes.together(ON_EXECUTOR, tmp_path, 64, 1, -1).failed == "process 0 ended with 1"
