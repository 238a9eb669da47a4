"""Thinning of a mask and its complement, compared with SciPy and OpenCV."""

import numpy as np
import pytest

from benchmarks import thinning
from benchmarks.inputs import FULL, GENERATED, REAL, Case, load
from benchmarks.names import OPENCV, OURS, OURS_ONE_THREAD, SCIPY

# Passes that a peer runs for each size in Mpx; the time of the others is extrapolated.
MEASURED = {SCIPY: 1, OPENCV: 5}
BEYOND_PEERS = 32  # Mpx


@pytest.mark.parametrize("contestant", [OURS, OURS_ONE_THREAD, OPENCV, SCIPY])
@pytest.mark.parametrize("case", GENERATED + REAL, ids=Case.key)
def test_thinning(present, files, compete, benchmark, contestant, case):
    folder = files.picture(case)
    mask = load(folder, "mask")
    mpx = mask.size / 2**20
    if contestant in MEASURED and mpx > BEYOND_PEERS and not FULL:
        pytest.skip("takes a peer too long; HDSEG_BENCH_FULL=1 runs it")
    facts = {
        "kind": "thinning",
        "contestant": contestant,
        "case": str(case),
        "mpx": mpx,
        "work": mpx * case.passes,
        "unit": "Mpx passes",
    }
    group = f"thinning: {case}"
    if contestant not in MEASURED:
        threads = 1 if contestant == OURS_ONE_THREAD else None
        compete(group, thinning.by_ours, folder, threads=threads, peer=False, facts=facts,
                passes=case.passes)  # fmt: skip
        return
    measured = case.passes if FULL else min(case.passes, MEASURED[contestant])
    peer = thinning.by_scipy if contestant == SCIPY else thinning.by_opencv
    found = compete(group, peer, folder, facts=facts, passes=case.passes, measured=measured)
    expected, _ = thinning.by_ours(np.array(mask), load(folder, "elements"), passes=measured)
    different = int(np.count_nonzero(found != expected))
    benchmark.extra_info["different"] = different
    assert different == 0
