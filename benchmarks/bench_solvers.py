"""Solving the band's linear system, compared with pyamg, SciPy's direct solver and scikit-image.

Errors are the largest of any potential, against SciPy's direct solution. scikit-image's random
walker builds the system of the whole image, so its time includes assembly.
"""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import systems, walkers
from benchmarks.child import Child
from benchmarks.inputs import FULL, GENERATED, REAL, Case, load
from benchmarks.names import (
    ASSEMBLY,
    CERTIFIED,
    OURS,
    OURS_ONE_THREAD,
    PYAMG,
    PYAMG_DEFAULT,
    SKIMAGE,
    SPSOLVE,
    WHOLE,
)

LARGEST_FOR_SKIMAGE = 2  # Mpx, except in a full run
# 64 Mpx: the direct solution would take more memory than small machines have.
CASES = [case for case in GENERATED + REAL if case.scene != "blobs-64M"]
SOLVERS = [SPSOLVE, OURS, OURS_ONE_THREAD, CERTIFIED, WHOLE, ASSEMBLY, PYAMG, PYAMG_DEFAULT]


@pytest.mark.parametrize("contestant", [*SOLVERS, *SKIMAGE])
@pytest.mark.parametrize(("beta", "gamma"), [(130.0, 0.0), (1000.0, 0.0), (1000.0, 1.0)])
@pytest.mark.parametrize("case", CASES, ids=Case.key)
def test_solver(present, files, compete, benchmark, contestant, case, beta, gamma):
    mpx = load(files.picture(case), "mask").size / 2**20
    if gamma > 0 and contestant in (PYAMG_DEFAULT, *SKIMAGE):
        pytest.skip("has no evidence, or nothing to show beside the second pass")
    if contestant in SKIMAGE and mpx > LARGEST_FOR_SKIMAGE and not FULL:
        pytest.skip("takes scikit-image too long; HDSEG_BENCH_FULL=1 runs it")
    folder = files.system(case, beta, gamma)
    n = load(folder, "b").size
    facts = {
        "kind": "solve",
        "contestant": contestant,
        "case": str(case),
        "beta": beta,
        "gamma": gamma,
        "mpx": mpx,
        "unknowns": n,
        "work": n / 1e6,
        "unit": "M unknowns",
    }
    group = f"solve: {case}, {n / 1e6:.2f} M unknowns, beta {beta:g}, gamma {gamma:g}"

    def enter(function, **options):
        return compete(group, function, folder, facts=facts, **options)

    if contestant == SPSOLVE:
        np.save(folder / "exact.npy", enter(systems.by_spsolve))
        return
    if contestant == ASSEMBLY:
        enter(systems.assembly, peer=False, gamma=gamma)
        return
    exact = direct_solution(folder)
    if contestant == WHOLE:
        x = enter(systems.whole, peer=False, gamma=gamma)
    elif contestant in (OURS, OURS_ONE_THREAD, CERTIFIED):
        threads = 1 if contestant == OURS_ONE_THREAD else None
        certify = contestant == CERTIFIED
        x = enter(systems.by_ours, peer=False, threads=threads, certify=certify)
    elif contestant in SKIMAGE:
        x = enter(walkers.by_skimage, beta=beta, mode=SKIMAGE[contestant])
    else:
        x = enter(systems.by_pyamg, second_pass=contestant == PYAMG)
    benchmark.extra_info["error"] = float(np.abs(x - exact).max())


def direct_solution(folder: Path):
    """Return the reference solution, computed now if the first contestant has not saved it."""
    if not (folder / "exact.npy").exists():
        with Child(systems.by_spsolve, folder) as child:
            child.run()
            np.save(folder / "exact.npy", child.result())
    return load(folder, "exact")
