"""One refinement in memory, with fallbacks if a device runs out of it."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu import backends
from hdseg_gpu.backends.interop import Home, home_of, on_host, taken_in
from hdseg_gpu.core.coarse_map import coarse_map
from hdseg_gpu.core.errors import OutOfDeviceMemory
from hdseg_gpu.core.params import Coarse, Params
from hdseg_gpu.core.report import Stages
from hdseg_gpu.engine.findings import Findings
from hdseg_gpu.engine.memory_store import MemoryStore
from hdseg_gpu.engine.run import InMemory, run
from hdseg_gpu.ops import Ops
from hdseg_gpu.pipeline.evidence import on_backend
from hdseg_gpu.pipeline.ignored import continued
from hdseg_gpu.pipeline.labels import look_up, seed_probabilities

# How often smaller strips of the image are tried; the first take an eighth of the memory.
_HALVINGS = 3


@dataclass(frozen=True)
class MemoryRun:
    """A refinement in memory: its checked input, in arrays on any device."""

    image: NDArray[Any]  # (H, W, C)
    edges: NDArray[Any] | None  # boundary map, (H, W, 1); None if edges come from the image
    coarse: Coarse
    params: Params
    with_probabilities: bool


@dataclass(frozen=True)
class Outcome:
    """The result of a refinement, in arrays of the backend."""

    labels: NDArray[Any]  # (H, W) in the dtype of the coarse labels
    probabilities: NDArray[np.float32] | None  # (K, H, W), if asked for
    found: Findings


def network_of(
    ops: Ops,
    given: Any,
    home: Home,
    budget: int | None,
    class_axis: int,
    stages: Stages,
    ignore_index: int | None,
) -> Coarse:
    """Check a coarse map on the device that holds it, or in host memory if it does not fit there.

    home: the device of the image. Classes are extended into ignored pixels, in host memory.
    """
    place = home_of(given)
    if place.on_device and ops.xp is not np and place.device == home.device:
        notes = len(stages.notes)
        try:
            with ops.here(budget):
                array = taken_in(ops, "coarse", given)
                network = coarse_map(array, class_axis, stages, ignore_index, ops)
                return network if network.ignored is None else continued(_on_host(network))
        except OutOfDeviceMemory:
            del stages.notes[notes:]
    value_ops = ops if ops.xp is np else backends.of_host()
    array = on_host("coarse", given)
    return continued(coarse_map(array, class_axis, stages, ignore_index, value_ops))


def within_memory(
    ops: Ops, job: MemoryRun, budget: int | None, stages: Stages, *, final: bool
) -> tuple[Ops, Outcome]:
    """Refine in memory; return the backend that did, and the outcome.

    If the device runs out of memory, the image is passed in smaller and smaller strips. If that
    fails too and the backend is not final, the backend `cpu` does it.
    """
    notes = len(stages.notes)
    for smaller in range(_HALVINGS + 1):
        del stages.notes[notes:]  # those of the failed attempt
        try:
            with ops.here(budget):
                return ops, _done(ops, job, smaller, stages)
        except OutOfDeviceMemory as error:
            # Drop the traceback: its frames keep the arrays of the failed attempt alive.
            failure = OutOfDeviceMemory(*error.args)
        if not isinstance(job.image, np.ndarray):
            break  # already on the device as a whole
    if final:
        raise failure
    del stages.notes[notes:]
    host = backends.of_host()
    stages.fallbacks.append(f"backend {host.name!r} instead of {ops.name!r}: {failure}")
    with ops.here(budget):
        image = on_host("image", job.image)
        edges = None if job.edges is None else on_host("boundary", job.edges)
        coarse = _on_host(job.coarse)
    moved = replace(job, image=image, edges=edges, coarse=coarse)
    return host, _done(host, moved, 0, stages)


def _on_host(coarse: Coarse) -> Coarse:
    """Return a coarse map with its arrays in host memory."""
    return replace(
        coarse,
        classes=on_host("coarse", coarse.classes),
        probabilities=on_host("coarse", coarse.probabilities),
        ignored=on_host("coarse", coarse.ignored),
    )


def _done(ops: Ops, job: MemoryRun, smaller: int, stages: Stages) -> Outcome:
    ops.prepare(job.image, job.coarse.count)
    store = MemoryStore(
        ops,
        ops.picture(job.image, smaller),
        None if job.edges is None else ops.picture(job.edges, smaller),
        on_backend(ops, job.coarse),
        job.params,
        with_probabilities=job.with_probabilities,
    )
    found = run(InMemory(store, stages), stages)
    assert store.labels is not None
    probabilities = store.probabilities
    if job.with_probabilities and probabilities is None:  # nothing was unknown
        probabilities = seed_probabilities(ops, store.labels, job.coarse.count)
    labels = look_up(ops, job.coarse.values, store.labels, job.coarse.ignore_index)
    return Outcome(labels, probabilities, found)
