"""From file to file, in bounded memory: refine_file()."""

import os
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hdseg_gpu import backends
from hdseg_gpu.backends.interop import on_host
from hdseg_gpu.core import validate
from hdseg_gpu.core.coarse_map import coarse_map
from hdseg_gpu.core.errors import InvalidInput, RefinementWarning, shown
from hdseg_gpu.core.memory import Budget, budget_of, peak
from hdseg_gpu.core.ops import class_dtype
from hdseg_gpu.core.options import params_of
from hdseg_gpu.core.params import TOLERANCE, Coarse, Params
from hdseg_gpu.core.report import FileReport, Report, Stages, note_precision, report_of
from hdseg_gpu.core.windows import Shape
from hdseg_gpu.io import (
    check_labels,
    check_output,
    note_lost_place,
    read_coarse_placed,
)
from hdseg_gpu.io.paths import exists, followed
from hdseg_gpu.io.source import ImageSource
from hdseg_gpu.pipeline.block import BLOCK, CUT_ERROR
from hdseg_gpu.pipeline.ignored import continued
from hdseg_gpu.pipeline.picture import without_evidence_unless_asked
from hdseg_gpu.scale.job import Job, keep_coarse, size_of_arrays, without_arrays
from hdseg_gpu.scale.labels import Labels, name_output, write_output
from hdseg_gpu.scale.local import Local
from hdseg_gpu.scale.memory import Need, Plan, planned
from hdseg_gpu.scale.phases import Findings, run_phases
from hdseg_gpu.scale.progress import Meter, TileProgress
from hdseg_gpu.scale.schedule import Scheduler
from hdseg_gpu.scale.sources import (
    Input,
    check_same,
    check_values,
    closed,
    input_of,
    source_of,
    watch_of,
)
from hdseg_gpu.scale.workspace import (
    check_folder,
    check_version,
    finished,
    folder_for,
    is_own,
    opened,
    recorded_plan,
    remove_remains,
    tile_of,
)
from hdseg_gpu.small import InMemory, fits


def refine_file(
    image: Any,
    coarse: Any,
    output: str | os.PathLike[str],
    *,
    method: str = "evidence",
    scale: float | None = None,
    passes: int | None = None,
    elements: str | ArrayLike | None = None,
    unsure: float | None = None,
    prune: bool | None = None,
    edges: str | None = None,
    boundary: Any = None,
    beta: float | None = None,
    gamma: float | None = None,
    interpolation: str | None = None,
    median: int | None = None,
    ignore_index: int | None = None,
    alpha: bool | None = None,
    class_axis: int = 0,
    key: str | None = None,
    image_key: str | None = None,
    level: int = 0,
    trust_vrt: bool = False,
    sigma: float | None = None,
    backend: str = "auto",
    solver: str | None = None,
    tol: float = TOLERANCE,
    max_memory: float | None = None,
    max_device_memory: float | None = None,
    workers: int | None = None,
    tile: int | None = None,
    scheduler: Any = None,
    address: str | None = None,
    worker_timeout: float = 60.0,
    on_error: str = "fail",
    resume: bool = False,
    overwrite: bool = False,
    progress: Callable[[TileProgress], None] | None = None,
) -> Report:
    """Write the labels of an image of any size to a file, as ``refine`` finds them.

    A large image is refined tile by tile; one of up to 32 megapixels that fits into memory is
    refined at once, unless an option about tiles, or `max_memory`, is given. The file is the same.

    Memory is bounded whatever the size of the image; what is not known is where the time goes: it
    grows with the length of the boundaries, as tiles without any are not even read. The labels do
    not depend on tiles, workers or schedulers, and are those of ``refine``.

    Parameters
    ----------
    image : path, or array
        A file that ``open_image`` reads, or an array of NumPy, Zarr or Dask.
    coarse : path, or array
        Labels (h, w) or probabilities (K, h, w), see ``refine``; they are held in memory.
    output : path
        .tif, .tiff (tiled, with a pyramid; .ome.tif with the metadata; .cog.tif cloud-optimised),
        .zarr (OME-Zarr 0.5), .png, .npy, .npz. Georeference and pixel size are the image's, where
        the format has a place for them. It appears when it is complete.
    method, scale, passes, elements, unsure, prune, edges, boundary, beta, gamma, interpolation, \
    median, ignore_index, alpha, class_axis, backend, max_device_memory, solver, tol
        As for ``refine``; boundary is a path or array as the image.
    key, image_key : str, optional
        Name of the array in a .npz or Zarr group, of coarse and of the image.
    level : int
        Resolution level of the image that is refined; 0 is the finest.
    trust_vrt : bool
        Whether an image that is a virtual mosaic (.vrt) may read any file and address that it
        names; otherwise those in its own folder and below.
    sigma : float, optional
        Standard deviation of the image's (or boundary map's) values, integers scaled to [0, 1]. To
        give it saves reading all of the image once.
    max_memory : float, optional
        Bytes that this process may occupy. Default: half of what is free.
    workers : int, optional
        Tiles at once. Default: as many as there are processors, if the memory suffices.
    tile : int, optional
        Side of the tiles, a multiple of 2048. Default: the largest of 8192, 4096 and 2048 that the
        memory allows.
    scheduler : distributed.Client or "dask", optional
        Who does the tiles: Dask's workers, which must see the files under the same paths; "dask"
        with `address`. Default: the threads of this process.
    address : str, optional
        Of the Dask scheduler, such as "tcp://10.0.0.1:8786".
    worker_timeout : float
        Seconds without a single worker of Dask, or an answer of its scheduler, after which the run
        stops.
    on_error : {"fail", "skip"}
        What becomes of parts of the image that cannot be decoded: "skip" leaves the tiles that need
        them as the coarse map has them, and says which.
    resume : bool
        Whether to go on with a run that was interrupted; without one, to begin.
    overwrite : bool
        Whether an existing output, or an unfinished run for it, may be given up.
    progress : callable, optional
        Told a ``TileProgress`` after each tile.

    Returns
    -------
    Report
        As that of ``refine``; `seconds` are those of the phases, and as "tiles: solve" and so on
        what all workers together spent in the last one.

    Raises
    ------
    InvalidInput
        An argument or file cannot be used; the message says which, and what to do.
    Unfinished
        Something came in between, such as a full disk; `resume` continues. Or a file is no longer
        what it was when the run began; then `overwrite` begins anew.
    BackendUnavailable, NotConverged, OutOfDeviceMemory
        As for ``refine``.
    """
    validate.choice("on_error", on_error, ("fail", "skip"))
    allowed = budget_of(validate.memory("max_memory", max_memory))
    device_memory = validate.memory("max_device_memory", max_device_memory)
    validate.callback("progress", progress)
    resume, overwrite = validate.switch("resume", resume), validate.switch("overwrite", overwrite)
    trust_vrt = validate.switch("trust_vrt", trust_vrt)
    level = validate.integer("level", level, 0)
    _check_texts(key=key, image_key=image_key, address=address)
    stages = Stages()
    paths = tuple(
        validate.path(name, value)
        for name, value in (("image", image), ("coarse", coarse), ("boundary", boundary))
        if isinstance(value, str | os.PathLike)
    )
    target, replacing = _target(
        validate.path("output", output), paths, resume=resume, overwrite=overwrite
    )
    with ExitStack() as stack:
        given = _image(image, level, image_key, alpha, trust_vrt, allowed, stages, stack)
        source = source_of(given)
        coarse_files = watch_of(coarse, key)
        network = coarse_map(
            read_coarse_placed(on_host("coarse", coarse), key, source, allowed, class_axis),
            class_axis, stages, ignore_index, backends.of_host(),
            reuse=isinstance(coarse, str | os.PathLike),
        )  # fmt: skip
        params = without_evidence_unless_asked(params_of(
            network, source.shape, stages, boundary,
            method=method, scale=scale, passes=passes, elements=elements, unsure=unsure,
            prune=prune, edges=edges, beta=beta, gamma=gamma, interpolation=interpolation,
            median=median, solver=solver, tol=tol,
        ))  # fmt: skip
        check_labels(target, network.values.dtype, *_range(network))
        note_lost_place(target, source, stages)
        edge_map = None if boundary is None else _edge_map(boundary, source.shape, allowed, stack)
        doer = _scheduler(scheduler, address, worker_timeout, (given, edge_map), stack)
        ops = backends.select(backend)
        stages.notes.extend(backends.lost_by_fork(backend))
        before = recorded_plan(target) if resume else {}
        check_version(target, before, version("hdseg_gpu"))
        check_same(target, before, image=given, boundary=edge_map)
        need = _need(given, edge_map, network, params)
        tiled = _about_tiles(on_error, max_memory, workers, tile, sigma, scheduler, resume or None)
        if not tiled and fits(need, allowed, target):
            picture = InMemory(
                given, edge_map, network, params, ops, device_memory, backend != "auto"
            )  # fmt: skip
            return _warned(
                stages, picture.refine(target, replacing, coarse_files, stages, progress)
            )
        plan = planned(
            need, allowed,
            validate.count("workers", workers), _tile(tile_of(before) if tile is None else tile),
            given_back=size_of_arrays(network),
        )  # fmt: skip
        sigma = _sigma(sigma)
        identity = {
            **_identity(given, edge_map, network, params), "tile": plan.tile, "sigma": sigma,
            "on_error": on_error,
        }  # fmt: skip
        if resume and (done := finished(target, identity)) is not None:
            return done
        with opened(target, identity, resume=resume, anew=overwrite) as workspace:
            keep_coarse(workspace, continued(network))
            grid, network = network.shape, without_arrays(network)
            job = Job(
                ops, given, edge_map, network, grid, source.shape, params, workspace, plan.tile,
                plan.threads, on_error == "skip", sigma,
                device_memory, room=plan if doer is None else None,
            )  # fmt: skip
            job, found = run_phases(job, doer or Local(plan.workers), stages, Meter(progress))
            # Nothing of another picture may be among them: files are looked at after each phase.
            check_values(image=given, boundary=edge_map)
            if coarse_files is not None:
                coarse_files.check(thoroughly=True)
            labels = Labels(job, found.step, frozenset(found.decided))
            note_precision(found.tally, params.tolerance, stages)
            _note_skipped(found, stages)
            with stages("writing"):
                complete = write_output(target, labels, source.georeference)
                report = _report(job, network, found, stages, plan, source)
                name_output(workspace, complete, target, replacing, report)
        return _warned(stages, _report(job, network, found, stages, plan, source))


def coarse_labels(coarse: Any, class_axis: int, ignore_index: int | None) -> NDArray[Any]:
    """Return the labels that a coarse map in memory has, if it can be used."""
    found = coarse_map(
        on_host("coarse", coarse), class_axis, Stages(), ignore_index, backends.of_host()
    )
    return found.values


def _target(
    output: Path, inputs: tuple[Path, ...], *, resume: bool, overwrite: bool
) -> tuple[Path, bool]:
    """Return where to write, and whether what is there may be replaced; else refuse."""
    there = exists(output, "output ")
    target = followed(output) if resume or overwrite else output
    own = resume and is_own(target)
    if there and resume and not own and not overwrite:
        remove_remains(target)
        if not folder_for(target).exists():
            raise InvalidInput(
                f"output {output} exists, and no unfinished run for it: if that run has come to "
                "its end, nothing is left to do; else name another file, or pass --overwrite."
            )
    target = check_output(output, overwrite=overwrite or own, inputs=inputs)
    check_folder(target, resume=resume, anew=overwrite)
    return target, overwrite or own


def _about_tiles(on_error: str, *options: Any) -> bool:
    """Return whether any option asks for tiles, as a bound on memory does."""
    return on_error != "fail" or any(option is not None for option in options)


def _check_texts(**options: str | None) -> None:
    for name, value in options.items():
        validate.text(name, value)


def _image(
    image: Any, level: int, key: str | None, alpha: bool | None, trust_vrt: bool, allowed: Budget,
    stages: Stages, stack: ExitStack,
) -> Input:  # fmt: skip
    """Return where the image is; it is closed with the stack if we open it."""
    given = input_of(on_host("image", image), allowed, level, key, trust_vrt)
    stack.callback(closed, given)
    return replace(given, alpha=_alpha(source_of(given), alpha, stages))


def _warned(stages: Stages, report: FileReport) -> FileReport:
    """Return the report, after its notes were given as warnings."""
    for note in (*stages.notes, *stages.fallbacks):
        warnings.warn(note, RefinementWarning, stacklevel=3)
    return report


def _report(
    job: Job, network: Coarse, found: Findings, stages: Stages, plan: Plan, source: ImageSource
) -> FileReport:
    report = report_of(
        job.ops.name, source.shape, job.grid, network, job.params, found.sigma, found.step.passes,
        found.doubt, found.tally, stages,
    )  # fmt: skip
    spent = {f"tiles: {name}": seconds for name, seconds in found.seconds.items()}
    return FileReport(
        **vars(replace(report, seconds=report.seconds | spent)),
        tile=plan.tile,
        tiles=len(job.tiles),
        decided_tiles=len(found.decided),
        workers=plan.workers,
        bytes_read=source.bytes_read,
        peak_memory=peak(),
        skipped=found.skipped,
    )


def _edge_map(boundary: Any, shape: Shape, allowed: Budget, stack: ExitStack) -> Input:
    """Return where the boundary map is; it is closed with the stack if we open it."""
    given = input_of(on_host("boundary", boundary), allowed, name="boundary")
    stack.callback(closed, given)
    source = source_of(given)
    if source.shape != shape or source.channels != 1:
        raise InvalidInput(
            f"boundary has shape {source.shape} and {source.channels} channel(s); "
            f"the image has {shape}, and edge strengths have one."
        )
    return given


def _alpha(source: ImageSource, alpha: bool | None, stages: Stages) -> bool:
    if alpha is None and source.alpha:
        stages.notes.append(
            f"{source.name} has an alpha channel, which is ignored (alpha=False uses it)."
        )
    return validate.has_alpha(source.channels, source.alpha if alpha is None else alpha, stages)


def _scheduler(
    scheduler: Any,
    address: str | None,
    timeout: float,
    inputs: tuple[Input | None, ...],
    stack: ExitStack,
) -> Scheduler | None:
    """Return who does the tiles; None: the threads of this process."""
    if scheduler is None:
        if address is not None:
            raise InvalidInput(f"address={shown(address)} is for scheduler='dask'; pass that, too.")
        return None
    timeout = validate.at_least("worker_timeout", timeout, 0.0)
    is_dask = isinstance(scheduler, str) and scheduler == "dask"
    of_dask = any(t.__module__.startswith("distributed.") for t in type(scheduler).__mro__)
    if not (is_dask or of_dask):
        raise InvalidInput(
            f"scheduler={shown(scheduler)} is not known; pass 'dask' with address=, a "
            "distributed.Client, or nothing for the threads of this process."
        )
    if is_dask and address is None:
        raise InvalidInput(
            "scheduler='dask' needs address=, that of the Dask scheduler such as "
            "'tcp://10.0.0.1:8786'."
        )
    if any(given is not None and not isinstance(given.where, Path) for given in inputs):
        raise InvalidInput(
            "scheduler: arrays do not travel to Dask's workers; pass the paths of files that all "
            "of them see, or no scheduler."
        )
    from hdseg_gpu.scale.dask import Distributed, connected

    if is_dask:
        scheduler = stack.enter_context(connected(str(address)))
    doer = Distributed(scheduler, timeout, inputs)
    stack.callback(doer.finish)
    return doer


def _sigma(sigma: float | None) -> float | None:
    if sigma is None:
        return None
    return validate.zero_or_at_least("sigma", sigma, validate.MIN_SIGMA)


def _tile(tile: int | None) -> int | None:
    if tile is None:
        return None
    side = validate.integer("tile", tile, 1)
    if side % BLOCK:
        raise InvalidInput(f"tile={side} is not possible; pass a multiple of {BLOCK}.")
    return side


def _need(given: Input, edge_map: Input | None, network: Coarse, params: Params) -> Need:
    source = source_of(given)
    sources = [source] if edge_map is None else [source, source_of(edge_map)]
    return Need(
        source.shape,
        source.channels - given.alpha,
        source.dtype.itemsize,
        np.dtype(class_dtype(network.count)).itemsize,
        params,
        doubtful=params.gamma > 0,
        boundary_bytes=sum(other.dtype.itemsize for other in sources[1:]),
        decoding=max(each.decoding for each in sources),
        held=sum(each.held for each in sources),
    )


def _range(network: Coarse) -> tuple[int, int]:
    """Return the lowest and the highest label of the output."""
    values = [int(v) for v in network.values]
    if network.ignore_index is not None:
        values.append(network.ignore_index)
    return min(values), max(values)


def _identity(
    given: Input, edge_map: Input | None, network: Coarse, params: Params
) -> dict[str, Any]:
    """Return everything that labels depend on, for a run that is resumed."""
    coarse = sha256()
    for array in (network.values, network.classes, network.probabilities, network.ignored):
        if array is not None:
            coarse.update(repr((array.shape, array.dtype)).encode())
            coarse.update(np.ascontiguousarray(array).data)
    settings = {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in vars(params).items()
    }
    return {
        "version": version("hdseg_gpu"),
        "image": given.plain(),
        "boundary": None if edge_map is None else edge_map.plain(),
        "coarse": coarse.hexdigest(),
        "block": [BLOCK, CUT_ERROR],
        **settings,
    }


def _note_skipped(found: Findings, stages: Stages) -> None:
    if found.skipped:
        where, why = next(iter(found.skipped.items()))
        stages.notes.append(
            f"{len(found.skipped)} tile(s) are left as the coarse map has them, as the image "
            f"cannot be read there; the first: {where}: {why}"
        )
