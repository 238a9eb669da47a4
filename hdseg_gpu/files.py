"""refine_file(): from file to file, in bounded memory."""

import os
import warnings
from contextlib import ExitStack
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from hdseg_gpu import backends
from hdseg_gpu.backends.interop import on_host
from hdseg_gpu.core import checks, validate
from hdseg_gpu.core.calls import taking
from hdseg_gpu.core.errors import InvalidInput, RefinementWarning
from hdseg_gpu.core.memory import Budget, budget_of
from hdseg_gpu.core.params import CoarseSummary
from hdseg_gpu.core.report import FileReport, Report, Stages
from hdseg_gpu.core.resolve import params_of
from hdseg_gpu.core.tiles import BLOCK
from hdseg_gpu.core.windows import Shape
from hdseg_gpu.engine.arguments import FileCall
from hdseg_gpu.engine.budget import planned
from hdseg_gpu.engine.by_tiles import refine_by_tiles
from hdseg_gpu.engine.file_run import FileRun, finish
from hdseg_gpu.engine.kept_coarse import CoarseValues
from hdseg_gpu.engine.output import ByWorkspace, Direct
from hdseg_gpu.engine.whole_file import fits, refine_whole
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
from hdseg_gpu.executors.choice import executor_for
from hdseg_gpu.io import check_labels, check_output, note_lost_place, open_coarse
from hdseg_gpu.io.coarse_source import CoarseSource
from hdseg_gpu.io.inputs import Input, check_same, closed, input_of, source_of, watch_of
from hdseg_gpu.io.paths import exists, followed
from hdseg_gpu.io.source import ImageSource


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
    >>> coarse = disk[4::8, 4::8]  # 12 x 12: a network's low-resolution mask
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/image.npy", image)
    ...     out = Path(folder, "mask.npy")
    ...     report = hdseg_gpu.refine_file(f"{folder}/image.npy", coarse, out, backend="cpu")
    ...     same = np.array_equal(np.load(out), hdseg_gpu.refine(image, coarse, backend="cpu"))
    >>> same, report.tiles, report.unknown_pixels
    (True, 1, 5684)
    """
    allowed = budget_of(checks.memory("max_memory", call.max_memory))
    resume, overwrite = call.resume, call.overwrite
    paths = tuple(
        checks.path(name, value)
        for name in ("image", "coarse", "boundary")
        if isinstance(value := getattr(call, name), str | os.PathLike)
    )
    target, replacing = _target(
        checks.path("output", call.output), paths, resume=resume, overwrite=overwrite
    )
    with ExitStack() as stack:
        run, coarse, at_once = _opened(call, target, allowed, stack)
        inputs = {"image": run.image, "boundary": run.boundary}
        executor = executor_for(
            call.scheduler, call.address, call.worker_timeout, tuple(inputs.values()), stack
        )
        before = recorded_plan(target) if resume else {}
        check_version(target, before, version("hdseg_gpu"))
        check_same(target, before, **inputs)
        if at_once:
            done = refine_whole(run, call.progress)
            return _warned(run.stages, finish(run, done, Direct(target, replacing)))
        tile = tile_of(before) if call.tile is None else call.tile
        plan = planned(run.need(), allowed, call.workers, _tile(tile), given_back=coarse.kept)
        identity = run.identity() | {
            "tile": plan.tile, "sigma": call.sigma, "on_error": call.on_error
        }  # fmt: skip
        if resume and (report := finished(target, identity)) is not None:
            return report
        with opened(target, identity, resume=resume, overwrite=overwrite) as workspace:
            run.coarse.keep(workspace)
            coarse.close()
            done = refine_by_tiles(run, call, workspace, plan, executor)
            report = finish(run, done, ByWorkspace(workspace, target, replacing))
        return _warned(run.stages, report)


def _opened(
    call: FileCall, target: Path, allowed: Budget, stack: ExitStack
) -> tuple[FileRun, CoarseSource, bool]:
    """Open and check everything; return the run, the coarse map, and whether to run at once.

    Everything is closed with the stack.
    """
    stages = Stages()
    device_memory = checks.memory("max_device_memory", call.max_device_memory)
    image = _image(call, allowed, stages, stack)
    source = source_of(image)
    coarse_file = watch_of(call.coarse, call.key)
    coarse = stack.enter_context(_coarse(call, allowed, source))
    boundary = None
    if call.boundary is not None:
        boundary = _boundary(call.boundary, source.shape, allowed, stack)
    at_once = not _about_tiles(call) and fits(image, boundary, coarse, allowed, target)
    values = CoarseValues(coarse, stages, call.ignore_index, allowed, at_once=at_once)
    params = params_of(call, values.summary, source.shape, stages)
    check_labels(target, values.summary.values.dtype, *_range(values.summary))
    note_lost_place(target, source, stages)
    ops = backends.select(call.backend)
    stages.notes.extend(backends.lost_by_fork(call.backend))
    run = FileRun(
        image=image, boundary=boundary, coarse=values, coarse_file=coarse_file, params=params,
        ops=ops, final=call.backend != "auto", device_memory=device_memory, stages=stages,
    )  # fmt: skip
    return run, coarse, at_once


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
                "nothing is left to do; else name another file, or pass overwrite=True."
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
        on_host("image", call.image), allowed, call.level, call.image_key, call.trust_vrt,
        validate.axis_of("channel_axis", call.channel_axis),
    )  # fmt: skip
    stack.callback(closed, given)
    return replace(given, alpha=_alpha(source_of(given), call.alpha, stages))


def _warned(stages: Stages, report: FileReport) -> FileReport:
    """Return the report, after issuing the notes as warnings."""
    for note in (*stages.notes, *stages.fallbacks):
        warnings.warn(note, RefinementWarning, stacklevel=4)
    return report


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


def _boundary(boundary: Any, shape: Shape, allowed: Budget, stack: ExitStack) -> Input:
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


def _tile(tile: int | None) -> int | None:
    if tile is None:
        return None
    side = checks.integer("tile", tile, 1)
    if side % BLOCK:
        raise InvalidInput(f"tile={side} must be a multiple of {BLOCK}.")
    return side


def _range(coarse: CoarseSummary) -> tuple[int, int]:
    """Return the lowest and the highest label of the output."""
    values = [int(v) for v in coarse.values]
    if coarse.ignore_index is not None:
        values.append(coarse.ignore_index)
    return min(values), max(values)
