"""refine_file(): from file to file, in bounded memory."""

import os
import warnings
from contextlib import ExitStack
from dataclasses import replace
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu import backends
from hdseg_gpu.backends.interop import on_host
from hdseg_gpu.core import checks, validate
from hdseg_gpu.core.calls import taking
from hdseg_gpu.core.classes import class_dtype
from hdseg_gpu.core.errors import InvalidInput, RefinementWarning, shown
from hdseg_gpu.core.memory import Budget, budget_of, peak
from hdseg_gpu.core.params import CoarseSummary, Params
from hdseg_gpu.core.report import FileReport, Report, Stages, note_precision, report_of
from hdseg_gpu.core.resolve import params_of
from hdseg_gpu.core.tiles import BLOCK
from hdseg_gpu.core.windows import Shape
from hdseg_gpu.engine.arguments import FileCall
from hdseg_gpu.engine.budget import Need, Plan, planned
from hdseg_gpu.engine.disk_store import DiskStore
from hdseg_gpu.engine.kept_coarse import CoarseValues
from hdseg_gpu.engine.output import Labels, name_output, write_output
from hdseg_gpu.engine.phases import OnDisk
from hdseg_gpu.engine.run import Findings, run
from hdseg_gpu.engine.whole_file import WholeFile, fits
from hdseg_gpu.engine.workspace import (
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
from hdseg_gpu.executors.base import Executor
from hdseg_gpu.executors.local import Local
from hdseg_gpu.executors.progress import Meter
from hdseg_gpu.io import check_labels, check_output, note_lost_place, open_coarse
from hdseg_gpu.io.coarse_source import CoarseSource
from hdseg_gpu.io.inputs import (
    Input,
    check_same,
    check_values,
    closed,
    input_of,
    source_of,
    watch_of,
)
from hdseg_gpu.io.paths import exists, followed
from hdseg_gpu.io.source import ImageSource
from hdseg_gpu.pipeline.block import CUT_ERROR


@taking(FileCall)
def refine_file(call: FileCall) -> Report:
    """Refine an image of any size and write its labels to a file.

    A large image is refined tile by tile. An image of up to 32 megapixels that fits into memory is
    refined at once, unless an option about tiles, or `max_memory`, is given; the output is the
    same.

    Memory is bounded whatever the size of the image. Run time grows with the length of the
    boundaries: tiles without any are not read. The labels do not depend on tiles, workers or the
    scheduler, and are those of ``refine``; with gamma < 0.1 they may differ at pixels whose two
    best classes are closer than `tol`.

    Returns
    -------
    Report
        As of ``refine``. `seconds` has the time of each phase; entries such as "tiles: solve" are
        times within the last phase, summed over all workers.

    Raises
    ------
    InvalidInput
        An argument or file is invalid; the message names it and the remedy.
    Unfinished
        The run was interrupted, for example by a full disk; `resume` continues it. Or an input file
        changed during the run; `overwrite` starts over.
    BackendUnavailable, NotConverged, OutOfDeviceMemory
        As for ``refine``.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import hdseg_gpu
    >>> y, x = np.mgrid[:96, :96]
    >>> disk = (y - 47.5) ** 2 + (x - 47.5) ** 2 < 30**2
    >>> image = np.where(disk, 200, 50).astype(np.uint8)
    >>> coarse = disk[4::8, 4::8]  # 12 x 12: what a network may have said
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/image.npy", image)
    ...     out = Path(folder, "mask.npy")
    ...     report = hdseg_gpu.refine_file(f"{folder}/image.npy", coarse, out, backend="cpu")
    ...     same = np.array_equal(np.load(out), hdseg_gpu.refine(image, coarse, backend="cpu"))
    >>> same, report.tiles, report.unknown_pixels
    (True, 1, 5684)
    """
    allowed = budget_of(checks.memory("max_memory", call.max_memory))
    device_memory = checks.memory("max_device_memory", call.max_device_memory)
    resume, overwrite = call.resume, call.overwrite
    stages = Stages()
    paths = tuple(
        checks.path(name, value)
        for name in ("image", "coarse", "boundary")
        if isinstance(value := getattr(call, name), str | os.PathLike)
    )
    target, replacing = _target(
        checks.path("output", call.output), paths, resume=resume, overwrite=overwrite
    )
    with ExitStack() as stack:
        given = _image(call, allowed, stages, stack)
        source = source_of(given)
        coarse_files = watch_of(call.coarse, call.key)
        coarse = stack.enter_context(_coarse(call, allowed, source))
        edge_map = None
        if call.boundary is not None:
            edge_map = _edge_map(call.boundary, source.shape, allowed, stack)
        at_once = not _about_tiles(call) and fits(given, edge_map, coarse, allowed, target)
        network = CoarseValues(coarse, stages, call.ignore_index, allowed, at_once=at_once)
        params = params_of(call, network.summary, source.shape, stages)
        check_labels(target, network.summary.values.dtype, *_range(network.summary))
        note_lost_place(target, source, stages)
        doer = _scheduler(call, (given, edge_map), stack)
        ops = backends.select(call.backend)
        stages.notes.extend(backends.lost_by_fork(call.backend))
        before = recorded_plan(target) if resume else {}
        check_version(target, before, version("hdseg_gpu"))
        check_same(target, before, image=given, boundary=edge_map)
        if at_once:
            picture = WholeFile(
                given, edge_map, network.in_memory(), params, ops, device_memory,
                call.backend != "auto",
            )  # fmt: skip
            return _warned(
                stages, picture.refine(target, replacing, coarse_files, stages, call.progress)
            )
        tile = tile_of(before) if call.tile is None else call.tile
        need = _need(given, edge_map, network.summary, params)
        plan = planned(need, allowed, call.workers, _tile(tile), given_back=coarse.kept)
        identity = {
            **_identity(given, edge_map, network, params), "tile": plan.tile,
            "sigma": call.sigma, "on_error": call.on_error,
        }  # fmt: skip
        if resume and (done := finished(target, identity)) is not None:
            return done
        with opened(target, identity, resume=resume, overwrite=overwrite) as workspace:
            network.keep(workspace)
            coarse.close()
            phases = OnDisk(DiskStore(
                ops, given, edge_map, network.summary, source.shape, params, workspace, plan.tile,
                plan.threads, call.on_error == "skip", call.sigma,
                device_memory, room=plan if doer is None else None,
            ), doer or Local(plan.workers), stages, Meter(call.progress))  # fmt: skip
            found = run(phases, stages)
            # The labels must be of one image: files are checked after each phase.
            check_values(image=given, boundary=edge_map)
            if coarse_files is not None:
                coarse_files.check(thoroughly=True)
            labels = Labels(phases.store, found.seeds, frozenset(found.decided))
            note_precision(found.tally, params.tolerance, stages)
            _note_skipped(found, stages)
            with stages("writing"):
                complete = write_output(target, labels, source.georeference)
                report = _report(phases.store, found, stages, plan, source)
                name_output(workspace, complete, target, replacing, report)
        return _warned(stages, _report(phases.store, found, stages, plan, source))


def coarse_labels(coarse: Any, class_axis: int, ignore_index: int | None) -> NDArray[Any]:
    """Return the labels that a coarse map has, if it can be used."""
    with open_coarse(on_host("coarse", coarse), class_axis=class_axis) as source:
        values = CoarseValues(source, Stages(), ignore_index, budget_of(None), at_once=False)
        return values.summary.values


def _target(
    output: Path, inputs: tuple[Path, ...], *, resume: bool, overwrite: bool
) -> tuple[Path, bool]:
    """Return the path to write to, and whether an existing file may be replaced.

    Raises InvalidInput if a file exists and may not be.
    """
    there = exists(output, "output ")
    target = followed(output) if resume or overwrite else output
    own = resume and is_own(target)
    if there and resume and not own and not overwrite:
        remove_remains(target)
        if not folder_for(target).exists():
            raise InvalidInput(
                f"output {output} exists, but no unfinished run for it: if that run completed, "
                "nothing is left to do; else name another file, or pass --overwrite."
            )
    target = check_output(output, overwrite=overwrite or own, inputs=inputs)
    check_folder(target, resume=resume, overwrite=overwrite)
    return target, overwrite or own


def _about_tiles(call: FileCall) -> bool:
    """Return whether any option applies to tiles only; `max_memory` counts as one."""
    options = call.max_memory, call.workers, call.tile, call.sigma, call.scheduler
    return call.resume or call.on_error != "fail" or any(each is not None for each in options)


def _image(call: FileCall, allowed: Budget, stages: Stages, stack: ExitStack) -> Input:
    """Return the image as an input; it is closed with the stack if we opened it."""
    given = input_of(
        on_host("image", call.image), allowed, call.level, call.image_key, call.trust_vrt
    )
    stack.callback(closed, given)
    return replace(given, alpha=_alpha(source_of(given), call.alpha, stages))


def _warned(stages: Stages, report: FileReport) -> FileReport:
    """Return the report, after issuing its notes as warnings."""
    for note in (*stages.notes, *stages.fallbacks):
        warnings.warn(note, RefinementWarning, stacklevel=4)
    return report


def _report(
    store: DiskStore,
    found: Findings,
    stages: Stages,
    plan: Plan,
    source: ImageSource,
) -> FileReport:
    report = report_of(
        store.ops.name, source.shape, store.coarse, store.params, store.statistics.sigma,
        found.seeds.passes, found.doubt, found.tally, stages,
    )  # fmt: skip
    spent = {f"tiles: {name}": seconds for name, seconds in found.seconds.items()}
    return FileReport(
        **vars(replace(report, seconds=report.seconds | spent)),
        tile=plan.tile,
        tiles=len(store.tiles),
        decided_tiles=len(found.decided),
        workers=plan.workers,
        bytes_read=source.bytes_read,
        peak_memory=peak(),
        skipped=found.skipped,
    )


def _coarse(call: FileCall, allowed: Budget, image: ImageSource) -> CoarseSource:
    """Return the coarse map, to be closed; one that is larger than the image is refused."""
    found = open_coarse(on_host("coarse", call.coarse), call.key, allowed, call.class_axis, image)
    if len(found.shape) in (2, 3):
        try:
            validate.require_smaller(found.grid, image.shape)
        except InvalidInput:
            found.close()
            raise
    return found


def _edge_map(boundary: Any, shape: Shape, allowed: Budget, stack: ExitStack) -> Input:
    """Return the boundary map as an input; it is closed with the stack if we opened it."""
    given = input_of(on_host("boundary", boundary), allowed, name="boundary")
    stack.callback(closed, given)
    source = source_of(given)
    if source.shape != shape or source.channels != 1:
        raise InvalidInput(
            f"boundary has shape {source.shape} and {source.channels} channel(s); "
            f"pass one channel of the image's shape {shape}."
        )
    return given


def _alpha(source: ImageSource, alpha: bool | None, stages: Stages) -> bool:
    if alpha is None and source.alpha:
        stages.notes.append(
            f"{source.name} has an alpha channel, which is ignored (alpha=False uses it)."
        )
    return validate.has_alpha(source.channels, source.alpha if alpha is None else alpha, stages)


def _scheduler(
    call: FileCall, inputs: tuple[Input | None, ...], stack: ExitStack
) -> Executor | None:
    """Return the executor that runs tiles; None stands for threads of this process."""
    scheduler, address = call.scheduler, call.address
    if scheduler is None:
        if address is not None:
            raise InvalidInput(f"address={shown(address)} is for scheduler='dask'; pass that, too.")
        return None
    is_dask = isinstance(scheduler, str) and scheduler == "dask"
    of_dask = any(t.__module__.startswith("distributed.") for t in type(scheduler).__mro__)
    if not (is_dask or of_dask):
        raise InvalidInput(
            f"scheduler={shown(scheduler)} is unknown; pass 'dask' with address=, a "
            "distributed.Client, or None for threads of this process."
        )
    if is_dask and address is None:
        raise InvalidInput(
            "scheduler='dask' needs address=, the address of the Dask scheduler, such as "
            "'tcp://10.0.0.1:8786'."
        )
    if any(given is not None and not isinstance(given.where, Path) for given in inputs):
        raise InvalidInput(
            "scheduler: arrays in memory are not sent to Dask workers; pass the paths of files "
            "that all workers see, or no scheduler."
        )
    from hdseg_gpu.executors.dask import Distributed, connected

    if is_dask:
        scheduler = stack.enter_context(connected(str(address)))
    doer = Distributed(scheduler, call.worker_timeout, inputs)
    stack.callback(doer.finish)
    return doer


def _tile(tile: int | None) -> int | None:
    if tile is None:
        return None
    side = checks.integer("tile", tile, 1)
    if side % BLOCK:
        raise InvalidInput(f"tile={side} must be a multiple of {BLOCK}.")
    return side


def _need(given: Input, edge_map: Input | None, coarse: CoarseSummary, params: Params) -> Need:
    source = source_of(given)
    sources = [source] if edge_map is None else [source, source_of(edge_map)]
    return Need(
        source.shape,
        source.channels - given.alpha,
        source.dtype.itemsize,
        np.dtype(class_dtype(coarse.count)).itemsize,
        params,
        doubtful=params.gamma > 0,
        boundary_bytes=sum(other.dtype.itemsize for other in sources[1:]),
        decoding=max(each.decoding for each in sources),
        held=sum(each.held for each in sources),
        coarse_bytes=(coarse.count if coarse.soft else 1)
        * 4
        * prod(coarse.shape)
        / prod(source.shape),
    )


def _range(network: CoarseSummary) -> tuple[int, int]:
    """Return the lowest and the highest label of the output."""
    values = [int(v) for v in network.values]
    if network.ignore_index is not None:
        values.append(network.ignore_index)
    return min(values), max(values)


def _identity(
    given: Input, edge_map: Input | None, coarse: CoarseValues, params: Params
) -> dict[str, Any]:
    """Return everything that labels depend on; a run is resumed only if it is the same."""
    settings = {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in vars(params).items()
    }
    return {
        "version": version("hdseg_gpu"),
        "image": given.plain(),
        "boundary": None if edge_map is None else edge_map.plain(),
        "coarse": coarse.content,
        "ignore_index": coarse.summary.ignore_index,
        "block": [BLOCK, CUT_ERROR],
        **settings,
    }


def _note_skipped(found: Findings, stages: Stages) -> None:
    if found.skipped:
        where, why = next(iter(found.skipped.items()))
        stages.notes.append(
            f"{len(found.skipped)} tile(s) keep the labels of the coarse map because the image "
            f"cannot be read there; the first: {where}: {why}"
        )
