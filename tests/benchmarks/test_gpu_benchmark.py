"""The benchmark of the backend cuda, run on the backend cpu; needs the source folder."""

import importlib
import json
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hdseg_gpu import refine

ROOT = Path(__file__).parents[2]
PARTS = ("inputs", "peers", "rows", "runner", "start", "table", "targets")


@pytest.fixture(scope="module")
def bench():
    """The benchmark's modules by their last word."""
    if not (ROOT / "benchmarks" / "gpu.py").exists():
        pytest.skip("benchmarks/ is not part of an installed package")
    sys.path.append(str(ROOT))
    parts = {name: importlib.import_module(f"benchmarks.gpu_{name}") for name in PARTS}
    yield SimpleNamespace(main=importlib.import_module("benchmarks.gpu"), **parts)
    sys.path.remove(str(ROOT))


@pytest.fixture(scope="module")
def result(bench, tmp_path_factory):
    """What is saved after a run on a tiny picture."""
    file = tmp_path_factory.mktemp("gpu") / "new" / "result.json"
    with warnings.catch_warnings():
        bench.main.main(["--backend", "cpu", "--megapixels", "0.06", "-o", str(file)])
    return json.loads(file.read_text())


def rows_of(result, section):
    return {row["name"]: row for row in result["rows"] if row["section"] == section}


def test_every_section_has_figures_or_reasons(result):
    assert result["described"]["backend"] == "cpu"
    assert {"date", "processor", "cores", "numpy"} <= result["described"].keys()
    for row in result["rows"]:
        if row["skipped"] is None:
            assert 0 < row["shortest"] <= row["seconds"] <= row["longest"], row
            assert row["rate"] is None or row["rate"] > 0
        else:
            assert "failed" not in row["skipped"], row
    assert all(row["skipped"] == "needs a CUDA device" for row in rows_of(result, "copy").values())
    order = list(dict.fromkeys(row["section"] for row in result["rows"]))
    assert order[-2:] == ["start", "peers"]  # whose walker may take as long as all else
    thinning = rows_of(result, "thinning")
    assert len(thinning) == 4
    assert {row["unit"] for row in thinning.values()} == {"Gpx/s"}
    solve = rows_of(result, "solve")
    assert len(solve) == 10
    assert rows_of(result, "kernels").popitem()[1]["skipped"] == "needs a CUDA device"
    assert solve["cg, gamma = 0"]["remarks"]["by"] == "cg"
    assert all(row["unit"] == "M unknowns/s" for row in solve.values())
    refined = rows_of(result, "refine")["from host memory"]
    assert refined["mpx"] == 0.0625
    assert refined["remarks"]["uncertified"] == 0
    assert {"evidence", "solve", "total"} <= refined["remarks"]["stages [s]"].keys()
    peers = rows_of(result, "peers")
    assert [n for n in peers if peers[n]["skipped"] is None] == [
        "assembly and solution, beta 130, gamma = 0"
    ]
    start = rows_of(result, "start")
    assert [name.split(",")[0] for name in start] == ["first process", "later process"]
    for row in start.values():
        assert row["remarks"].keys() == {"import hdseg_gpu", "first refine", "second refine"}


def test_one_table_has_all_rows(bench, result):
    lines = result["table"].splitlines()
    assert len(lines) == 2 + len(result["rows"])
    assert len({line.count(" | ") for line in lines}) == 1
    text = bench.main.text(result)
    assert result["table"] in text
    assert result["reached"] in text


def test_no_target_is_reached_on_another_backend(result):
    assert len(result["targets"]) == 8
    assert all(target["met"] is None for target in result["targets"])
    assert result["reached"].count("not measured") == 8


def test_cuda_without_a_device_ends_with_the_reason(bench, monkeypatch):
    monkeypatch.setattr(bench.main.backends, "reason_against", lambda name: f"no {name} here")
    with pytest.raises(SystemExit, match="no cuda here"):
        bench.main.main([])


def test_what_fails_is_a_row_and_the_others_go_on(bench):
    rows = bench.table.Rows()

    def broken():
        raise ValueError("a | b\nc")

    def absent():
        raise bench.table.Skip("not here")

    rows.measure("solve", "x", 1.0, broken)
    rows.guard("solve", 1.0, broken)
    rows.measure("solve", "y", 1.0, absent)
    rows.measure("solve", "z", None, lambda: (bench.table.Timing(2.0, 1.0, 3.0, 3), {"rate": 5.0}))
    assert [row.skipped for row in rows.rows] == [
        "failed: ValueError: a | b\nc", "failed: ValueError: a | b\nc", "not here", None
    ]  # fmt: skip
    assert [row.failed for row in rows.rows] == [True, True, False, False]
    table = rows.markdown().splitlines()
    assert len(table) == 6
    assert "skipped: failed: ValueError: a / b c |" in table[2]
    assert "| 2 | 1 - 3 | 5" in table[5]


def test_targets(bench):
    row = bench.table.Row
    rows = [
        row("thinning", "3x3, as bits", 16.0, 1.0, rate=50.0),
        row("thinning", "9x9, as bits", 256.0, 1.0, rate=19.0),
        row("thinning", "3x3, as bits", 256.0, 1.0, rate=30.0),
        row("thinning", "9x9, seeds", 256.0, 1.0, rate=1.0),
        row("solve", "multigrid, gamma = 1", 16.0, 1.0, rate=2000.0),
        row("solve", "cg, gamma = 1", 16.0, 1.0, rate=9.0),
        row("solve", "assembly and cg, gamma = 1", 16.0, 1.0, rate=9000.0),
        row("refine", "from device memory", 1024.0, 0.9),
        row("refine", "from device memory", 64.0, 0.5),
        row("refine", "from device memory", 16.0, 0.1),
        row("refine", "backend cpu, 2 threads", 16.0, 3.0),
        row("refine", "backend cpu, 2 threads", 64.0, 9.0),
        row("refine", "backend cpu, all threads", 64.0, 2.0),
        row("peers", "assembly and solution", 16.0, 0.5),
        row("peers", "cuCIM random_walker cg", 16.0, 6.0),
        row("peers", "cuCIM random_walker cg_j", 16.0, skipped="failed"),
        row("start", "first process, x", None, 2.0),
        row("start", "later process, x", None, 0.9, remarks={"import CuPy": 0.25}),
    ]
    found = bench.targets.verdicts(rows, True)
    assert [(v.found, v.met) for v in found] == [
        (0.9, False), (19.0, False), (2000.0, True), (None, None), (18.0, False), (12.0, True),
        (2.0, True), (0.65, False),
    ]  # fmt: skip
    assert found[4].where == "backend cpu, 2 threads, 64 Mpx"
    assert "| 19 | 9x9, as bits, 256 Mpx | not reached |" in bench.targets.markdown(found)


def test_larger_pictures_are_mirrored_tiles(bench, monkeypatch):
    monkeypatch.setattr(bench.inputs, "_TILE", 128)
    image, coarse = bench.inputs.image_of(np, 384), bench.inputs.coarse_of(384)
    assert image.shape == (384, 384, 3)
    assert coarse.shape == (48, 48)
    np.testing.assert_array_equal(image[128:256], image[127::-1])
    np.testing.assert_array_equal(image[:, 256:], image[:, :128])
    np.testing.assert_array_equal(coarse[16:32], coarse[15::-1])
    assert 0.1 < coarse.mean() < 0.9
    assert bench.inputs.side_of(1024) == 32768
    assert bench.inputs.side_of(64) == 8192


def test_bits_are_packed(bench):
    mask = np.random.default_rng(3).random((70, 64)) < 0.5
    expected = np.packbits(mask, axis=1, bitorder="little")
    found = bench.rows.bits_of(bench.runner.Runner("cpu"), mask)
    np.testing.assert_array_equal(found, expected)


def test_the_first_picture_can_be_refined(bench):
    image, coarse = bench.start.picture(128)
    labels = refine(image, coarse, backend="cpu")
    assert set(np.unique(labels)) == {0, 1}


def test_seconds_on_clusters_are_those_of_the_factorisation(bench):
    from hdseg_gpu.ops import CsrMatrix
    from hdseg_gpu.solvers import direct

    matrix = CsrMatrix(np.array([2.0, 4.0]), np.array([0, 1]), np.array([0, 1, 2]))
    with bench.rows.seconds_on_clusters() as spent:
        solved = direct.factorise(matrix)(np.array([[2.0], [2.0]]))
    assert solved.tolist() == [[1.0], [0.5]]
    assert len(spent) == 2
    assert all(seconds > 0 for seconds in spent)


def test_memory_is_the_most_that_was_held_during_a_call(bench):
    class Device:
        def launch(self, size):
            held.append(size)

    held, device = [5], Device()
    pool = type("Pool", (), {"total_bytes": lambda _: held[-1]})()
    run = bench.runner.Runner("cpu")
    run.on_device, run.ops = True, type("Ops", (), {"device": device})()
    run.let_go = run.wait = lambda: None
    run.pool = lambda: pool

    def call():
        for size in (7, 30, 6):
            device.launch(size)
        return "labels"

    assert run.held(call) == ("labels", 25)
