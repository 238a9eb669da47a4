"""The report: a folder for each distinct finding, with the files and the command to repeat it."""

import sys
from collections import Counter
from pathlib import Path
from threading import Lock
from time import monotonic

from fuzz import mutants
from fuzz.monitor import Settings, Tally
from fuzz.oracle import Finding

_EVERY_SECONDS = 30.0


class Report:
    """Collects findings of all workers, and writes the first of each kind."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._folder, self._settings = folder, settings
        self._first: dict[tuple[str, ...], Finding] = {}
        self._count: Counter[tuple[str, ...]] = Counter()
        self._cases: Counter[str] = Counter()
        self._lock = Lock()
        self._shown_at = monotonic()

    @property
    def serious(self) -> bool:
        """Return whether there are findings that are not minor."""
        return any(not each.minor for each in self._first.values())

    @property
    def findings(self) -> list[Finding]:
        """Return the first of each kind."""
        return list(self._first.values())

    def take(self, case: str, tally: Tally) -> None:
        """Count a case, and keep its findings."""
        with self._lock:
            self._cases[case.partition(":")[0]] += 1
            for finding in tally.found:
                self._count[finding.key] += 1
                if finding.key not in self._first:
                    self._first[finding.key] = finding
                    self._write(len(self._first), finding)
            if monotonic() - self._shown_at > _EVERY_SECONDS:
                self._shown_at = monotonic()
                print(f"{self._counts()}, {len(self._first)} distinct findings", file=sys.stderr)

    def summary(self, seconds: float) -> str:
        """Return a table of what was tried and found."""
        total = sum(self._cases.values())
        lines = [
            f"seed {self._settings.seed}: {self._counts()} in {seconds:.0f} s "
            f"({total / max(seconds, 1e-9):.0f} a second)"
        ]
        for key, finding in self._first.items():
            minor = " (minor)" if finding.minor else ""
            where = f" in {finding.where}" if finding.where else ""
            lines.append(
                f"{self._count[key]:6} x {finding.kind}{minor}: {finding.what}{where}, "
                f"{finding.step}: {finding.message[:160]} [{finding.case}; {finding.origin[:120]}]"
            )
        if not self._first:
            lines.append("nothing was found")
        else:
            lines.append(f"files and traces: {self._folder}")
        return "\n".join(lines)

    def _counts(self) -> str:
        return ", ".join(f"{n} {name}" for name, n in self._cases.items()) or "no case"

    def _write(self, number: int, finding: Finding) -> None:
        kind = finding.kind.replace(" ", "-")
        folder = self._folder / f"{number:03}-{kind}-{finding.case.replace(':', '-')}"
        folder.mkdir(parents=True, exist_ok=True)
        campaign, _, case = finding.case.partition(":")
        lines = [f"{name}: {value}" for name, value in finding.to_dict().items() if name != "trace"]
        again = f"again: python -m fuzz --seed {self._settings.seed} --case {finding.case}"
        text = "\n".join([*lines, again, "", finding.trace])
        (folder / "finding.txt").write_text(text, errors="backslashreplace")
        if campaign == "files":
            rng = mutants.generator(campaign, self._settings.seed, int(case))
            mutants.mutant(rng).write(folder)
