"""Peers of the backend cuda: CuPy's hit-or-miss transform and cuCIM's random walker."""

import json
import os
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu_inputs import image_of, side_of
from benchmarks.gpu_rows import PASSES, PRESETS, Measured, assembled, classes_of, prepare
from benchmarks.gpu_runner import Runner
from benchmarks.gpu_table import Rows, Skip, Timing
from hdseg_gpu import structuring_elements
from hdseg_gpu.core.options import TOLERANCE
from hdseg_gpu.core.windows import whole
from hdseg_gpu.ops import by_run
from hdseg_gpu.solvers import solve

BETA = 130.0  # scikit-image's default, at which its walker converges
_START = Path(__file__).parent / "gpu_start.py"
_SECTION = "peers"


def peers(run: Runner, rows: Rows, mpx: float) -> None:
    """Add both peers, and our counterparts, on one image."""
    for name in PRESETS:
        rows.measure(
            _SECTION,
            f"CuPy binary_hit_or_miss, {name}, 1 pass x {PASSES}, both planes",
            mpx,
            partial(_hit_or_miss, run, mpx, structuring_elements(name)),
        )
    run.let_go()
    rows.measure(
        _SECTION, f"assembly and solution, beta {BETA:g}, gamma = 0", mpx, partial(_ours, run, mpx)
    )
    run.let_go()
    for mode in ("cg_j", "cg"):
        rows.measure(
            _SECTION, f"cuCIM random_walker {mode}, beta {BETA:g}", mpx,
            partial(_cucim, run, mpx, mode),
        )  # fmt: skip
        run.let_go()


def _hit_or_miss(run: Runner, mpx: float, elements: NDArray[np.int8]) -> Measured:
    """Time one pass on both planes, extrapolated to all; compare its result with ours."""
    if not run.on_device:
        raise Skip("needs a CUDA device")
    import cupy
    from cupyx.scipy.ndimage import binary_hit_or_miss

    xp, side, r = run.xp, side_of(mpx), elements.shape[1] // 2
    with run.ops.here():
        inside = classes_of(run, side) > 0
        planes = (inside, ~inside)
        ours = [run.ops.thinning(plane, elements, 1) for plane in planes]
        sets = [(xp.asarray(e == 1), xp.asarray(e == -1)) for e in elements]

        def one_pass() -> list[Any]:
            thinned = []
            for plane in planes:
                x = plane
                for hit, miss in sets:
                    padded = cupy.pad(x, r, mode="edge")  # the border repeats its pixels
                    x = x & ~binary_hit_or_miss(padded, hit, miss)[r:-r, r:-r]
                thinned.append(x)
            return thinned

        timing = run.timed(one_pass, rounds=3)
        different = sum(
            int(xp.count_nonzero(a != b)) for a, b in zip(one_pass(), ours, strict=True)
        )
    scaled = Timing(
        PASSES * timing.seconds, PASSES * timing.shortest, PASSES * timing.longest, timing.rounds
    )
    return scaled, {
        "rate": side * side / scaled.seconds / 1e9,
        "unit": "Gpx/s",
        "pixels that differ after one pass": different,
    }


def _ours(run: Runner, mpx: float) -> Measured:
    with run.ops.here():
        given = prepare(run, side_of(mpx))

        def all_of_it() -> Any:
            system = assembled(run, given, BETA, 0.0)
            return solve(run.ops, system, "multigrid", TOLERANCE, lambda _: None)

        timing = run.timed(all_of_it)
    return timing, _rate(given.band.size, timing)


def _cucim(run: Runner, mpx: float, mode: str) -> Measured:
    """Time cuCIM's walker on the whole image with the same seeds; it builds its own system."""
    if not run.on_device:
        raise Skip("needs a CUDA device")
    side = side_of(mpx)
    with run.ops.here():
        seeds, ours, size = _walked(run, side)
    # From the default memory pool, as for its users.
    image = image_of(run.xp, side)
    run.let_go()
    try:
        from cucim.skimage.segmentation import random_walker
    except ImportError as error:
        raise Skip(f"cuCIM did not load ({error})") from error
    walk = partial(random_walker, image, seeds, beta=BETA, mode=mode, channel_axis=-1)
    timing = run.timed(walk, rounds=3)
    different = int(run.xp.count_nonzero(walk().astype(np.int32) != ours))
    return timing, _rate(size, timing) | {"labels that differ": different}


def _walked(run: Runner, side: int) -> tuple[Any, Any, int]:
    """Return the seeds, our walker's labels, and the number of unknown pixels."""
    given = prepare(run, side)
    system = assembled(run, given, BETA, 0.0)
    solution = solve(run.ops, system, "multigrid", TOLERANCE, lambda _: None)
    both = run.xp.broadcast_to(run.xp.arange(1, 3), (len(given.band.pixel), 2))
    labels = given.seeds.copy()
    run.ops.decide(
        given.band,
        solution.x,
        run.xp.ascontiguousarray(both.astype(labels.dtype)),
        by_run(given.band, run.xp),
        0.0 if solution.bound is None else solution.bound,
        whole(labels.shape),
        labels,
    )
    return given.seeds.astype(np.int32), labels, given.band.size


def _rate(unknowns: int, timing: Timing) -> dict[str, Any]:
    return {
        "rate": unknowns / timing.seconds / 1e6,
        "unit": "M unknowns/s",
        "M unknowns": unknowns / 1e6,
    }


def starts(run: Runner, rows: Rows, side: int = 1024) -> None:
    """Add the first call of a process that compiles everything, and that of a later process."""
    where = f"{side} x {side} from host memory"
    with tempfile.TemporaryDirectory() as cache:

        def later() -> Measured:
            if not any(Path(cache).iterdir()):  # else the first process was in an earlier run
                _start(run, cache, side)
            return _start(run, cache, side)

        first = partial(_start, run, cache, side)
        rows.measure("start", f"first process, empty cache, {where}", None, first)
        rows.measure("start", f"later process, warm cache, {where}", None, later)


def _start(run: Runner, cache: str, side: int) -> Measured:
    """Time a user's first call: importing CuPy, creating the context, and refine()."""
    done = subprocess.run(
        [*run.python, str(_START), run.backend, str(side)],
        env=os.environ | {"CUPY_CACHE_DIR": cache, "CUDA_CACHE_PATH": f"{cache}/driver"},
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no word"])[-1])
    parts: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    total = sum(parts.get(name, 0.0) for name in ("import CuPy", "context", "first refine"))
    return Timing(total, total, total, 1), dict(parts)
