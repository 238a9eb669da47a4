"""The targets of the CUDA backend on an H200, compared with the measured rows."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from benchmarks.gpu_table import Row, number
from benchmarks.report import table

GPX = 1024.0  # Mpx


class Verdict(NamedTuple):
    """One line of the table."""

    target: str
    found: float | None
    where: str
    met: bool | None  # None: not measured


def verdicts(rows: list[Row], on_device: bool) -> list[Verdict]:
    """Return all lines; on other backends than cuda nothing counts as measured."""
    measured = [row for row in rows if row.measured] if on_device else []

    def of(section: str, *words: str) -> list[Row]:
        return [r for r in measured if r.section == section and all(w in r.name for w in words)]

    device = of("refine", "device memory")
    # The CPU's figures are for a machine with two threads.
    beside = _ratios(of("refine", "cpu, 2 threads"), device)
    walker = _ratios(of("peers", "cuCIM random_walker"), of("peers", "assembly and solution"))
    start = {row.name.split(" process")[0]: row for row in of("start")}
    return [
        _at_most("1 Gpx in device memory refined, seconds", 0.5,
                 [r for r in device if r.mpx == GPX], _seconds),
        _at_least(f"thinning n = 35 as bits, Gpx/s{_SLOWEST}", 20.0,
                  _largest(of("thinning", "as bits")), _rate),
        *(
            _at_least(f"solve, gamma = {gamma}, M unknowns/s{_FASTEST}", bound,
                      _fastest(_largest([r for r in of("solve", f"gamma = {gamma}")
                                         if "assembly" not in r.name])), _rate)
            for gamma, bound in ((1, 1000.0), (0, 200.0))
        ),
        _ratio("refine from device memory, x our CPU path with 2 threads", 20.0, beside),
        _ratio("assembly and solution, x cuCIM's random walker at 16 Mpx", 10.0,
               [w for w in walker if w[1].mpx == 16.0]),
        _at_most("first call of all, compilation included, seconds", 3.0,
                 [start["first"]] if "first" in start else [], _seconds),
        _at_most("first call of a later process beyond CuPy's own import, seconds", 0.5,
                 [start["later"]] if "later" in start else [], _beyond_import),
    ]  # fmt: skip


_SLOWEST = ", the slower preset, largest picture"
_FASTEST = ", the faster solver, largest picture"


def markdown(found: Iterable[Verdict]) -> str:
    """Return the table."""
    words = {True: "reached", False: "not reached", None: "not measured"}
    rows = [
        [v.target, "-" if v.found is None else number(v.found), v.where or "-", words[v.met]]
        for v in found
    ]
    return table(["target", "found", "where", ""], rows)


def _seconds(row: Row) -> float:
    assert row.seconds is not None
    return row.seconds


def _beyond_import(row: Row) -> float:
    imported: float = row.remarks["import CuPy"]
    return _seconds(row) - imported


def _rate(row: Row) -> float:
    assert row.rate is not None
    return row.rate


def _largest(rows: list[Row]) -> list[Row]:
    size = max((row.mpx or 0.0 for row in rows), default=0.0)
    return [row for row in rows if row.mpx == size]


def _fastest(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=_rate)[-1:]


def _ratios(slow: list[Row], fast: list[Row]) -> list[tuple[float, Row]]:
    """Return the ratio of the slow rows' seconds to the fast ones', for each size."""
    return [
        (_seconds(row) / _seconds(other), row)
        for row in slow
        for other in fast
        if row.mpx == other.mpx
    ]


def _where(row: Row) -> str:
    return row.name if row.mpx is None else f"{row.name}, {row.mpx:g} Mpx"


def _at_most(what: str, bound: float, rows: list[Row], figure: Callable[[Row], float]) -> Verdict:
    target = f"{what} <= {bound:g}"
    if not rows:
        return Verdict(target, None, "", None)
    worst = max(rows, key=figure)
    return Verdict(target, figure(worst), _where(worst), figure(worst) <= bound)


def _at_least(what: str, bound: float, rows: list[Row], figure: Callable[[Row], float]) -> Verdict:
    target = f"{what} >= {bound:g}"
    if not rows:
        return Verdict(target, None, "", None)
    worst = min(rows, key=figure)
    return Verdict(target, figure(worst), _where(worst), figure(worst) >= bound)


def _ratio(what: str, bound: float, found: list[tuple[float, Row]]) -> Verdict:
    target = f"{what} >= {bound:g}"
    if not found:
        return Verdict(target, None, "", None)
    worst, row = min(found, key=lambda pair: pair[0])
    return Verdict(target, worst, _where(row), worst >= bound)
