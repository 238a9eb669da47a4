"""The measurements of benchmarks.gpu: thinning, solve, and refine() end to end.

All except refine() are ops (ops/), called with arrays on the device.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from benchmarks import gpu_cpu
from benchmarks.child import Child
from benchmarks.gpu_inputs import SCALE, coarse_of, image_of, side_of
from benchmarks.gpu_runner import PATIENCE, ROUNDS, Runner
from benchmarks.gpu_table import Rows, Skip, Timing
from hdseg_gpu import refine, structuring_elements
from hdseg_gpu.core import report as reports
from hdseg_gpu.core.options import TOLERANCE, usual
from hdseg_gpu.core.windows import all_of
from hdseg_gpu.ops import Band, Evidence, by_run
from hdseg_gpu.solvers import System, direct, solve

PRESETS = ("3x3", "9x9")
PASSES = 35
BETA = usual("beta")
LARGEST_ON_CPU = 64  # Mpx
Measured = tuple[Timing, dict[str, Any]]


def classes_of(run: Runner, side: int) -> Any:
    """Return the coarse map enlarged, as refine() does it: (side, side), 0 or 1."""
    coarse = coarse_of(side)
    planes = np.stack([coarse == k for k in (0, 1)]).astype(np.float32)
    place = all_of((side, side), coarse.shape)
    return run.ops.upsample_argmax(run.xp.asarray(planes), place, "cubic")


def bits_of(run: Runner, mask: Any) -> Any:
    """Return a mask whose width is a multiple of 8 as bits, the lowest leftmost."""
    return run.xp.asarray(np.packbits(run.ops.host(mask), axis=1, bitorder="little"))


def thinning(run: Runner, rows: Rows, mpx: float, copy_rate: float | None) -> None:
    """Add the thinning of a class and of its complement, as bits and by classes."""
    side, ops = side_of(mpx), run.ops
    size = side * side

    def facts(timing: Timing, planes: int, other: int) -> dict[str, Any]:
        # Bytes by the simple count: a pass of all elements reads and writes each plane once.
        moved = planes * PASSES * 2 * size / 8 + other * size
        return {
            "rate": size / timing.seconds / 1e9,
            "unit": "Gpx/s",
            "share": None if copy_rate is None else moved / timing.seconds / 1e9 / copy_rate,
            "simple count [GB]": moved / 1e9,
        }

    @cache
    def classes() -> Any:
        return classes_of(run, side)

    @cache
    def planes() -> tuple[Any, Any]:
        inside = bits_of(run, classes() > 0)
        return inside, ~inside

    with ops.here():
        for name in PRESETS:
            elements = structuring_elements(name)

            def both(elements: NDArray[np.int8] = elements) -> Measured:
                given = planes()
                timing = run.timed(
                    lambda: [ops.thinning_packed(p, side, elements, PASSES) for p in given]
                )
                return timing, facts(timing, 2, 0)

            def by_classes(elements: NDArray[np.int8] = elements) -> Measured:
                given = classes()
                timing = run.timed(lambda: ops.seeds(given, 2, elements, PASSES))
                return timing, facts(timing, 2, 2)

            rows.measure("thinning", f"{name}, n = {PASSES}, both planes as bits", mpx, both)
            rows.measure("thinning", f"{name}, n = {PASSES}, seeds of classes", mpx, by_classes)


class Prepared(NamedTuple):
    """An image's band, with everything needed to assemble its system."""

    image: Any
    seeds: Any
    band: Band
    labels: Any  # (runs, 1): the label that is solved for
    evidence: Evidence
    sigma: float


def prepare(run: Runner, side: int) -> Prepared:
    """Return the band after 2 passes per unit of the scale, with evidence from the coarse map."""
    ops, xp = run.ops, run.xp
    image = ops.picture(image_of(xp, side))
    seeds = ops.seeds(classes_of(run, side), 2, structuring_elements("3x3"), 2 * SCALE)
    band = ops.band(seeds)
    coarse = coarse_of(side)
    planes = np.stack([coarse == k for k in (0, 1)]).astype(np.float32)
    place = all_of((side, side), coarse.shape)
    samples = ops.sample_planes(xp.asarray(planes), place, ops.pixels(band), "linear")
    share = samples.astype(np.float32)
    del samples
    label = xp.where(share > 0, xp.arange(1, 3), 0).astype(seeds.dtype)
    return Prepared(
        image,
        seeds,
        band,
        xp.ones((len(band.pixel), 1), seeds.dtype),
        Evidence(label, share),
        ops.standard_deviation(image) / 255,
    )


def assembled(run: Runner, given: Prepared, beta: float, gamma: float) -> System:
    """Return the system of the first class."""
    edge_scale = beta / 255**2 / (10 * given.sigma * 3**0.5)
    places = by_run(given.band, run.xp)
    edges, b = run.ops.assemble(
        given.band,
        given.image,
        "intensity",
        edge_scale,
        given.seeds,
        given.labels,
        places,
        gamma,
    )
    if gamma > 0:
        run.ops.add_evidence(given.band, None, given.evidence, given.labels, places, gamma, b)
    return System(given.band, edges, b)


def solving(run: Runner, rows: Rows, mpx: float) -> None:
    """Add the assembly of the band's system and its solution, separately and together."""
    side, ops = side_of(mpx), run.ops

    @cache
    def given() -> Prepared:
        return prepare(run, side)

    def rate(timing: Timing) -> dict[str, Any]:
        n = given().band.size
        return {
            "rate": n / timing.seconds / 1e6,
            "unit": "M unknowns/s",
            "M unknowns": n / 1e6,
            "share unknown": n / side**2,
        }

    def assembly(gamma: float) -> Measured:
        picture = given()
        timing = run.timed(lambda: assembled(run, picture, BETA, gamma))
        return timing, rate(timing)

    def solution(gamma: float, solver: str) -> Measured:
        system = assembled(run, given(), BETA, gamma)
        with seconds_on_clusters() as spent:
            found = solve(ops, _fresh(system), solver, TOLERANCE, _silent)
        said = {"iterations": found.iterations, "bound": found.error, "by": found.solver}
        if gamma == 0:
            said["seconds on the host for clusters"] = sum(spent)
        del found
        timing = run.timed(
            lambda fresh: solve(ops, fresh, solver, TOLERANCE, _silent),
            lambda: (_fresh(system),),
        )
        return timing, rate(timing) | said

    def together(gamma: float, solver: str) -> Measured:
        picture = given()

        def all_of_it() -> Any:
            system = assembled(run, picture, BETA, gamma)
            return solve(ops, system, solver, TOLERANCE, _silent)

        timing = run.timed(all_of_it)
        return timing, rate(timing)

    with ops.here():
        for gamma in (1.0, 0.0):
            tail = f"gamma = {gamma:g}"
            rows.measure("solve", f"assembly, {tail}", mpx, partial(assembly, gamma))
            for solver in ("multigrid", "cg"):
                rows.measure("solve", f"{solver}, {tail}", mpx, partial(solution, gamma, solver))
                rows.measure(
                    "solve", f"assembly and {solver}, {tail}", mpx, partial(together, gamma, solver)
                )
                run.let_go()


@contextmanager
def seconds_on_clusters() -> Iterator[list[float]]:
    """Record the seconds of sparse factorisations on the host, and of their solves."""
    spent: list[float] = []

    def clocked(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            start = perf_counter()
            try:
                return function(*given, **named)
            finally:
                spent.append(perf_counter() - start)

        return call

    splu = clocked(direct.splu)

    def factors(*given: Any, **named: Any) -> Any:
        return SimpleNamespace(solve=clocked(splu(*given, **named).solve))

    with patch.object(direct, "splu", factors):
        yield spent


def _fresh(system: System) -> System:
    return System(system.band, system.edges, system.b.copy())


def _silent(_: float) -> None:
    """Ignore the progress."""


def refining(run: Runner, rows: Rows, mpx: float) -> None:
    """Add refine() without options, from host and from device memory, and by the backend cpu."""
    side = side_of(mpx)

    def end_to_end(xp: Any) -> Measured:
        image, coarse = image_of(xp, side), xp.asarray(coarse_of(side))
        call = partial(refine, image, coarse, backend=run.backend, return_report=True)
        result, held = run.held(call)
        first = result[1]
        del result
        waited = _by_stages(run, call)
        timing = run.timed(call, rounds=ROUNDS if mpx <= 256 else 3)
        facts = {
            "rate": side * side / timing.seconds / 1e6,
            "unit": "Mpx/s",
            "memory": held,
            "share unknown": first.unknown_pixels / side**2,
            "uncertified": first.uncertified_pixels,
            "doubt": first.doubt,
            "passes": first.passes,
            "by": first.solver,
            "iterations": first.iterations,
            "stages [s]": waited,
        }
        if first.fallbacks:
            facts["fallbacks"] = " / ".join(first.fallbacks)
        return timing, facts

    if run.on_device:
        rows.measure("refine", "from device memory", mpx, lambda: end_to_end(run.xp))
        run.let_go()
    rows.measure("refine", "from host memory", mpx, lambda: end_to_end(np))
    run.let_go()
    for threads in (2, None):
        name = f"backend cpu, {'all' if threads is None else threads} threads"
        rows.measure("refine", name, mpx, partial(_on_cpu, run, mpx, threads))


def _by_stages(run: Runner, call: Callable[[], Any]) -> dict[str, float]:
    """Return the seconds of each stage, with the device synchronised before and after it."""

    def clock() -> float:
        run.wait()
        return perf_counter()

    with patch.object(reports, "perf_counter", clock):
        _, report = call()
    seconds: dict[str, float] = report.seconds
    return seconds


def _on_cpu(run: Runner, mpx: float, threads: int | None) -> Measured:
    if not run.on_device:
        raise Skip("the backend measured is the CPU's")
    if mpx > LARGEST_ON_CPU:
        raise Skip(f"takes too long beyond {LARGEST_ON_CPU} Mpx")
    side = side_of(mpx)
    image, coarse = image_of(np, side), coarse_of(side)
    labels = refine(image, coarse, backend="cuda")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "image.npy", image)
        np.save(folder / "coarse.npy", coarse)
        with Child(gpu_cpu.by_cpu, folder, threads) as child:
            first = child.run()
            found = [child.run().seconds for _ in range(1 if first.seconds > PATIENCE else 3)]
            different = int(np.count_nonzero(child.result() != labels))
    seconds = float(np.median(found))
    facts = {
        "rate": side * side / seconds / 1e6,
        "unit": "Mpx/s",
        "cores used": first.remarks["threads"],
        "host memory [MiB]": first.peak_mib,
        "labels that differ": different,
        "uncertified": first.remarks["uncertified"],
    }
    return Timing(seconds, min(found), max(found), len(found)), facts
