"""The report of benchmarks/ has the right ratios; needs the source folder."""

import importlib
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def report():
    if not (ROOT / "benchmarks" / "report.py").exists():
        pytest.skip("benchmarks/ is not part of an installed package")
    sys.path.append(str(ROOT))
    yield importlib.import_module("benchmarks.report")
    sys.path.remove(str(ROOT))


def entry(contestant, seconds, rounds=3, **facts):
    return {
        "group": "{kind}: {case}".format(**facts),
        "stats": {"median": seconds, "min": seconds / 2, "max": 2 * seconds, "rounds": rounds},
        "extra_info": {"contestant": contestant, **facts},
    }


def run(*entries):
    return {"machine_info": {"described": "a machine"}, "benchmarks": list(entries)}


def table(text, first):
    """Return the rows of the table whose head starts with a word, as lists of cells."""
    lines = text[text.index(f"| {first} |") :].split("\n\n")[0].strip().splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def thinning(contestant, seconds, **more):
    return entry(contestant, seconds, kind="thinning", case="blobs-16M, 9x9, n = 35", mpx=16.0,
                 work=560.0, unit="Mpx passes", peak_mib=12.0, **more)  # fmt: skip


def solve(contestant, seconds, case="a", gamma=0.0, **more):
    return entry(contestant, seconds, kind="solve", case=case, gamma=gamma, unknowns=2_000_000,
                 work=2.0, unit="M unknowns", peak_mib=100.0, **more)  # fmt: skip


def refine(contestant, seconds, case, unknowns, peak, **more):
    return entry(contestant, seconds, kind="refine", case=case, gamma=0.0, series="blobs", mpx=1.0,
                 unknowns=unknowns, work=unknowns / 1e6, unit="M unknowns", peak_mib=peak,
                 stages={"seeds": 0.1, "total": 0.1}, **more)  # fmt: skip


def test_rows_have_ratios_rates_and_remarks(report):
    text = report.report([
        run(thinning("hdseg_gpu", 0.5)),
        run(thinning("SciPy binary_hit_or_miss", 600.0, rounds=1, scaled="35 x 1 pass",
                     different=0)),
    ])  # fmt: skip
    assert text.count("a machine") == 1
    ours, scipy = table(text, "group")
    assert ours[1:5] == ["hdseg_gpu", "0.5", "0.25 - 1", "1.12e+03 Mpx passes/s"]
    assert ours[-2] == "1"
    assert scipy[3] == "-"
    assert scipy[6:] == ["0", "12", "1.2e+03", "measured 35 x 1 pass"]
    verdict = {row[0]: row[1:] for row in table(text, "target")}
    assert verdict["thinning, 16 Mpx: x SciPy >= 1000"] == ["1.2e+03", "1.2e+03", "1", "yes"]
    assert verdict["thinning, 16 Mpx: x OpenCV >= 100"] == ["-", "-", "0", "not measured"]


def test_the_worst_group_decides(report):
    text = report.report([
        run(
            solve("hdseg_gpu", 0.1, error=1e-5),
            solve("hdseg_gpu, 1 thread", 0.5),
            solve("hdseg_gpu, certified", 0.16),
            solve("hdseg_gpu, assembly and certified solution", 0.2),
            solve("pyamg Ruge-Stueben, second pass + CG", 2.0, error=1e-5),
            solve("pyamg Ruge-Stueben, default + CG", 0.2, error=0.5),
            solve("hdseg_gpu", 0.1, "b", error=2e-4),
            solve("hdseg_gpu, 1 thread", 0.1, "b"),
            solve("pyamg Ruge-Stueben, second pass + CG", 0.9, "b", error=1e-5),
        )
    ])  # fmt: skip
    verdict = {row[0]: row[1:] for row in table(text, "target")}
    assert verdict["solve, gamma 0: true error <= 0.0001"] == ["0.0002", "1e-05", "2", "no"]
    assert verdict["solve, gamma 0: x pyamg, second pass >= 10"] == ["9", "20", "2", "no"]
    # Where the default does not converge it is no peer.
    assert verdict["solve, gamma 0: x pyamg, default, where it converges >= 10"][-1] == (
        "not measured"
    )
    assert verdict["solve, gamma 0: M unknowns/s on one core >= 3"] == ["4", "20", "2", "yes"]
    proven = "solve, gamma 0, with the proof: x pyamg, second pass >= 10"
    assert verdict[proven] == ["12.5", "12.5", "1", "yes"]
    memory = "assembly, solve and proof: bytes of peak memory for each unknown <= 64"
    assert verdict[memory][0] == "52.4"
    assert verdict["solve, gamma 1: M unknowns/s on one core >= 10"][-1] == "not measured"


def test_growth_and_memory_of_refine(report):
    text = report.report([
        run(
            refine("hdseg_gpu", 0.2, "blobs-1M, x", 200_000, 10.0),
            refine("hdseg_gpu", 4.8, "blobs-16M, x", 3_000_000, 200.0),
            refine("SciPy thinning + scikit-image cg_mg", 960.0, "blobs-16M, x", 3_000_000, 5000.0),
        )
    ])  # fmt: skip
    verdict = {row[0]: row[1:] for row in table(text, "target")}
    assert verdict["refine, 16 Mpx: x SciPy + scikit-image >= 100"] == ["200", "200", "1", "yes"]
    assert verdict["refine, 16 Mpx: its peak memory / ours >= 20"] == ["25", "25", "1", "yes"]
    growth = "refine, gamma 0: largest / smallest time for each unknown <= 1.5"
    assert verdict[growth] == ["1.6", "1.6", "2", "no"]
    assert [row[5:] for row in table(text, "case")] == [["1.000", "0.500"], ["1.600", "0.033"]]
