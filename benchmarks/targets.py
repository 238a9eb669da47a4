"""The project's performance targets, compared with a run."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from benchmarks.names import (
    ASSEMBLY,
    CERTIFIED,
    OPENCV,
    OURS,
    OURS_ONE_THREAD,
    PIECES,
    PYAMG,
    PYAMG_DEFAULT,
    SCIPY,
    WHOLE,
)

ACCURACY = 1e-4  # the largest error of a potential that a solver may have


class Record(NamedTuple):
    """One contestant in one group."""

    group: str
    contestant: str
    seconds: float  # median
    shortest: float
    longest: float
    rounds: int
    facts: dict[str, Any]

    @property
    def rate(self) -> float:
        """Return the work per second."""
        work: float = self.facts["work"]
        return work / self.seconds


Group = dict[str, Record]  # contestant -> record
Figure = Callable[[Group], float | None]


class Verdict(NamedTuple):
    """One line of the table, decided by the worst group."""

    target: str
    worst: float | None
    best: float | None
    groups: int
    met: bool | None  # None: not measured


def groups_of(records: list[Record]) -> dict[str, Group]:
    """Return the records by group, in their original order."""
    groups: dict[str, Group] = defaultdict(dict)
    for record in records:
        groups[record.group][record.contestant] = record
    return dict(groups)


def verdicts(records: list[Record]) -> list[Verdict]:
    """Return all lines of the table."""
    groups = list(groups_of(records).values())
    thinning = [g for g in _of(groups, "thinning") if _first(g)["case"].startswith("blobs-16M")]
    plain = [g for g in _of(groups, "solve") if _first(g)["gamma"] == 0]
    prior = [g for g in _of(groups, "solve") if _first(g)["gamma"] == 1]
    refine = [g for g in _of(groups, "refine") if _first(g)["case"].startswith("blobs-16M")]
    return [
        _at_least("thinning, 16 Mpx: x SciPy", 1000, thinning, times(SCIPY)),
        _at_least("thinning, 16 Mpx: x OpenCV", 100, thinning, times(OPENCV)),
        _at_most("solve, gamma 0: true error", ACCURACY, plain, _fact(OURS, "error")),
        _at_least("solve, gamma 0: x pyamg, second pass", 10, plain, times(PYAMG)),
        _at_least("solve, gamma 0: x pyamg, default, where it converges", 10, plain,
                  lambda g: times(PYAMG_DEFAULT)(g) if _converged(g, PYAMG_DEFAULT) else None),
        _at_least("solve, gamma 0: M unknowns/s on one core", 3, plain, _rate(OURS_ONE_THREAD)),
        _at_least("solve, gamma 0, with the proof: x pyamg, second pass", 10, plain,
                  times(PYAMG, CERTIFIED)),
        _at_most("assembly: bytes of peak memory for each unknown", 64, plain, _bytes(ASSEMBLY)),
        _at_most("solve, gamma 0: bytes of peak memory for each unknown", 64, plain, _bytes(OURS)),
        _at_most("assembly, solve and proof: bytes of peak memory for each unknown", 64, plain,
                 _bytes(WHOLE)),
        _at_most("solve, gamma 1: true error", ACCURACY, prior, _fact(OURS, "error")),
        _at_least("solve, gamma 1: M unknowns/s on one core", 10, prior, _rate(OURS_ONE_THREAD)),
        _at_least("refine, 16 Mpx: x SciPy + scikit-image", 100, refine, times(PIECES)),
        _at_least("refine, 16 Mpx: its peak memory / ours", 20, refine, _memory),
        *_growth(_of(groups, "refine")),
    ]  # fmt: skip


def times(peer: str, ours: str = OURS) -> Figure:
    """Return the ratio of the peer's time to ours."""

    def figure(group: Group) -> float | None:
        if ours not in group or peer not in group:
            return None
        return group[peer].seconds / group[ours].seconds

    return figure


def _of(groups: list[Group], kind: str) -> list[Group]:
    return [group for group in groups if _first(group)["kind"] == kind]


def _first(group: Group) -> dict[str, Any]:
    return next(iter(group.values())).facts


def _fact(contestant: str, key: str) -> Figure:
    return lambda group: group[contestant].facts.get(key) if contestant in group else None


def _rate(contestant: str) -> Figure:
    return lambda group: group[contestant].rate if contestant in group else None


def _converged(group: Group, contestant: str) -> bool:
    error = _fact(contestant, "error")(group)
    return error is not None and error <= ACCURACY


def _bytes(contestant: str) -> Figure:
    def figure(group: Group) -> float | None:
        peak = _fact(contestant, "peak_mib")(group)
        return None if peak is None else peak * 2**20 / float(_first(group)["unknowns"])

    return figure


def _memory(group: Group) -> float | None:
    ours, peer = _fact(OURS, "peak_mib")(group), _fact(PIECES, "peak_mib")(group)
    return None if ours is None or peer is None else peer / ours


def _at_least(target: str, bound: float, groups: list[Group], figure: Figure) -> Verdict:
    found = [value for group in groups if (value := figure(group)) is not None]
    if not found:
        return Verdict(f"{target} >= {bound:g}", None, None, 0, None)
    worst = min(found)
    return Verdict(f"{target} >= {bound:g}", worst, max(found), len(found), worst >= bound)


def _at_most(target: str, bound: float, groups: list[Group], figure: Figure) -> Verdict:
    found = [value for group in groups if (value := figure(group)) is not None]
    if not found:
        return Verdict(f"{target} <= {bound:g}", None, None, 0, None)
    worst = max(found)
    return Verdict(f"{target} <= {bound:g}", worst, min(found), len(found), worst <= bound)


def _growth(groups: list[Group]) -> Iterator[Verdict]:
    """Yield the ratio of the largest to the smallest time per unknown over the generated sizes."""
    for gamma in (0.0, 1.0):
        found = [
            group[OURS].seconds / group[OURS].facts["unknowns"]
            for group in groups
            if OURS in group
            and group[OURS].facts["series"] == "blobs"
            and group[OURS].facts["gamma"] == gamma
        ]
        target = f"refine, gamma {gamma:g}: largest / smallest time for each unknown <= 1.5"
        if len(found) < 2:
            yield Verdict(target, None, None, len(found), None)
        else:
            spread = max(found) / min(found)
            yield Verdict(target, spread, spread, len(found), spread <= 1.5)
