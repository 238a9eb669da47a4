"""Output of the commands: results on stdout, notes and progress on stderr."""

import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isnan
from pathlib import Path
from time import monotonic
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from hdseg_gpu.cli.options import annotated, with_flags
from hdseg_gpu.core.elements import SETS
from hdseg_gpu.core.errors import RefinementWarning
from hdseg_gpu.core.options import ASSUMED_SCALE, PASSES_PER_SCALE, any_of
from hdseg_gpu.core.report import FileReport, Report
from hdseg_gpu.core.report import Progress as ProgressCallback
from hdseg_gpu.executors.progress import TileProgress
from hdseg_gpu.io.formats import names, writable

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors, and --json.")]
Json = Annotated[bool, typer.Option("--json", help="Print only JSON on stdout.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")]
Elements = Annotated[str, typer.Option(help=f"Structuring elements: {any_of(SETS)}.")]
Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="OUT", help=f"{names(writable())}.")
]
Scale = Annotated[
    float | None,
    typer.Option(
        help="Mask pixels per pixel that the network decided. Default: "
        f"{ASSUMED_SCALE:g}, if --passes is not given either."
    ),
]
Passes = Annotated[
    int | None,
    typer.Option(help=f"Passes of thinning. Default: {PASSES_PER_SCALE:g} times the scale."),
]
Backend = annotated("backend")


def say_json(value: dict[str, Any]) -> None:
    """Print one JSON object. NaN, which JSON lacks, becomes null."""
    print(json.dumps(_without_nan(value), indent=2))


def say(*what: Any) -> None:
    """Print text or tables on stdout; without a terminal, lines are not wrapped."""
    console = Console(markup=False, emoji=False, width=None if sys.stdout.isatty() else 10_000)
    for item in what:
        # Text lines are wrapped by the terminal, so that a path can be copied.
        console.print(item, highlight=False, soft_wrap=isinstance(item, str))


def note(sentence: str) -> None:
    """Print a note on stderr."""
    print(f"note: {sentence}", file=sys.stderr)


@contextmanager
def notes_shown(quiet: bool) -> Iterator[list[str]]:
    """Print the package's warnings in the body as notes, and collect them in the yielded list."""
    notes: list[str] = []
    logging.getLogger("hdseg_gpu").setLevel(logging.ERROR if quiet else logging.WARNING)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RefinementWarning)
        yield notes
    for warning in caught:
        if not issubclass(warning.category, RefinementWarning):
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
            continue
        notes.append(with_flags(str(warning.message)))
        if not quiet:
            note(notes[-1])


@contextmanager
def progress_bar(quiet: bool) -> Iterator[ProgressCallback | None]:
    """Show a bar for the current stage, on a terminal only."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    columns = (TextColumn("{task.description:>9}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=1.0)
        # Below 1, because the clock of a finished task stops.
        yield lambda stage, done: bar.update(task, description=stage, completed=min(done, 0.999))


@contextmanager
def tile_progress(quiet: bool) -> Iterator[Callable[[TileProgress], None] | None]:
    """Show the progress of tiles: a bar on a terminal, else a line now and then."""
    if quiet:
        yield None
        return
    if not sys.stderr.isatty():
        yield _Lines()
        return
    columns = (BarColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=1.0)
        yield lambda now: bar.update(
            task, description=str(now), total=max(now.tiles, 1), completed=now.done
        )


class _Lines:
    """Prints the progress every `_SECONDS`, and when a phase of tiles begins or ends.

    An image that is refined at once prints nothing unless it takes long.
    """

    _SECONDS = 10.0

    def __init__(self) -> None:
        self._last = monotonic()

    def __call__(self, now: TileProgress) -> None:
        bounds = now.tiles > 0 and now.done in (0, now.tiles)
        if bounds or monotonic() - self._last > self._SECONDS:
            self._last = monotonic()
            print(now, file=sys.stderr, flush=True)


def report_table(report: Report) -> Table:
    """Return the figures of a refinement as a table of names and values."""
    table = Table(show_header=False, box=None)
    for name, value in report_rows(report):
        table.add_row(name, value)
    return table


def report_rows(report: Report) -> list[tuple[str, str]]:
    """Return names and values for the table of a report."""
    height, width = report.shape
    share = 100.0 * report.unknown_pixels / (height * width)
    solver = report.solver
    if report.iterations:
        solver += f" ({report.iterations} iterations)"
    rows = [
        ("image", f"{width} x {height} pixels"),
        ("coarse map", f"{report.coarse_shape[1]} x {report.coarse_shape[0]} pixels"),
        ("method", report.method),
        ("scale, passes", f"{report.scale:.3g}, {report.passes}"),
        ("unknown pixels", f"{report.unknown_pixels} ({share:.2f} %)"),
        ("backend", report.backend),
        ("solver", solver),
        ("uncertified", _uncertified(report)),
    ]
    if isinstance(report, FileReport):
        rows += [
            ("tiles", f"{report.decided_tiles} of {report.tiles} decided, {report.tile} pixels"),
            ("read", f"{report.bytes_read / 1e6:.0f} MB"),
            ("peak memory", f"{report.peak_memory / 2**20:.0f} MiB"),
        ]
    rows += [("fallback", sentence) for sentence in report.fallbacks]
    return rows + [(f"{stage} [s]", f"{s:.3f}") for stage, s in report.seconds.items()]


def _uncertified(report: Report) -> str:
    if report.uncertified_pixels is None:
        return f"unknown, solver {report.solver} does not bound its error"
    return f"{report.uncertified_pixels} labels (potentials within {report.error_estimate:.0e})"


def percent(value: float) -> str:
    """Return a fraction as a percentage, a dash for NaN."""
    return "-" if isnan(value) else f"{100.0 * value:.2f}"


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _without_nan(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(v) for v in value]
    return None if isinstance(value, float) and isnan(value) else value
