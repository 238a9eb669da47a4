"""refine() from arrays, compared with SciPy's thinning plus scikit-image's random walker."""

import numpy as np
import pytest

from benchmarks import walkers
from benchmarks.inputs import FULL, GENERATED, REAL, Case, load
from benchmarks.names import OURS, OURS_ONE_THREAD, PIECES

BETA = 130.0  # scikit-image's default, at which its own solver converges
BEYOND_PEERS = 16  # Mpx: the peer takes half a kilobyte per pixel


@pytest.mark.parametrize("contestant", [OURS, OURS_ONE_THREAD, PIECES])
@pytest.mark.parametrize("gamma", [0.0, 1.0])
@pytest.mark.parametrize("case", GENERATED + REAL, ids=Case.key)
def test_refine(present, files, compete, benchmark, contestant, case, gamma):
    folder = files.picture(case)
    seeds = load(folder, "seeds")
    mpx, n = seeds.size / 2**20, int(np.count_nonzero(seeds == 0))
    if contestant == PIECES:
        if gamma > 0:
            pytest.skip("scikit-image's walker has no evidence")
        if not FULL and (mpx > BEYOND_PEERS or case in REAL):
            pytest.skip("takes the peer too long; HDSEG_BENCH_FULL=1 runs it")
    facts = {
        "kind": "refine",
        "contestant": contestant,
        "case": str(case),
        "series": case.scene.partition("-")[0],
        "beta": BETA,
        "gamma": gamma,
        "mpx": mpx,
        "unknowns": n,
        "work": n / 1e6,
        "unit": "M unknowns",
    }
    settings = f"{n / 1e6:.2f} M unknowns, beta {BETA:g}, gamma 0" if gamma == 0 else "default"
    group = f"refine: {case}, {settings}"

    if contestant != PIECES:
        threads = 1 if contestant == OURS_ONE_THREAD else None
        labels = compete(
            group, walkers.by_refine, folder, facts=facts, threads=threads, peer=False,
            passes=case.passes, beta=BETA, gamma=gamma,
        )  # fmt: skip
        np.save(folder / f"labels {gamma:g}.npy", labels)
        return
    measured = case.passes if FULL else 1
    found = compete(group, walkers.by_pieces, folder, facts=facts, passes=case.passes,
                    measured=measured, beta=BETA)  # fmt: skip
    ours = folder / f"labels {gamma:g}.npy"
    if ours.exists():
        benchmark.extra_info["different"] = int(np.count_nonzero(found != np.load(ours)))
