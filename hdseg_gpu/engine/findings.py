"""The outcome of a run, except its labels, and the reports made of it."""

from dataclasses import dataclass, field, fields, replace

from hdseg_gpu.core.memory import peak
from hdseg_gpu.core.params import CoarseSummary, Params
from hdseg_gpu.core.report import FileReport, Report, Stages, Tally
from hdseg_gpu.core.windows import Shape
from hdseg_gpu.engine.steps import Seeds


@dataclass(frozen=True, kw_only=True)
class Findings:
    """The outcome of a run, except its labels."""

    backend: str
    shape: Shape
    coarse: CoarseSummary
    params: Params
    sigma: float
    seeds: Seeds  # the walker's: tiles that are not decided have their labels from these
    doubt: float | None
    decided: tuple[int, ...] = ()  # tiles with labels of their own
    tally: Tally = field(default_factory=Tally)
    skipped: dict[str, str] = field(default_factory=dict)  # tile -> why it cannot be read
    seconds: dict[str, float] = field(default_factory=dict)  # of the last phase, of all workers

    def report(self, stages: Stages) -> Report:
        """Return the report of a refinement."""
        params, coarse, tally = self.params, self.coarse, self.tally
        names = {each.name for each in fields(Report)} & {each.name for each in fields(params)}
        options = {name: getattr(params, name) for name in names}
        options |= {
            "solver": tally.solver,  # the one used, not the one asked for
            "passes": self.seeds.passes,
        }
        return Report(
            **options,
            shape=self.shape,
            coarse_shape=coarse.shape,
            labels=tuple(coarse.values.tolist()),
            ignore_index=coarse.ignore_index,
            backend=self.backend,
            doubt=self.doubt,
            sigma=self.sigma,
            tolerance=params.tolerance,
            unknown_pixels=tally.unknown_pixels,
            uncertified_pixels=tally.uncertified_pixels,
            refined_pixels=tally.refined_pixels,
            systems=tally.systems,
            right_hand_sides=tally.right_hand_sides,
            iterations=tally.iterations,
            error_estimate=tally.error,
            fallbacks=(*stages.fallbacks, *tally.fallbacks),
            notes=tuple(stages.notes),
            seconds={**stages.seconds, "total": sum(stages.seconds.values())},
        )

    def file_report(
        self, stages: Stages, *, tile: int, tiles: int, workers: int, bytes_read: int
    ) -> FileReport:
        """Return the report of a refinement from file to file."""
        report = self.report(stages)
        spent = {f"tiles: {name}": seconds for name, seconds in self.seconds.items()}
        return FileReport(
            **vars(replace(report, seconds=report.seconds | spent)),
            tile=tile,
            tiles=tiles,
            decided_tiles=len(self.decided),
            workers=workers,
            bytes_read=bytes_read,
            peak_memory=peak(),
            skipped=self.skipped,
        )
