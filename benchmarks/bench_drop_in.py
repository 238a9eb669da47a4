"""Drop-in functions beside those that they replace.

``python -m benchmarks.bench_drop_in [--only random_walker] [--rounds 5]`` prints tables. Each
contestant runs in a process of its own; they take turns. Seconds are medians, memory is the
growth of the peak. Bands lie along the boundaries of smooth blobs, 1 % of the side to each side of
them; scribbles are one labelled pixel in 2000.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import drop_in
from benchmarks.child import Child
from benchmarks.drop_in import Result
from benchmarks.machine import describe

SHAPES = ((512, 512), (2048, 2048), (4096, 4096), (64, 64, 64), (128, 128, 128))
MASKS = ((512, 512), (2048, 2048), (4096, 4096))
MODES = ("cg_j", "cg_mg")
# Unlabelled pixels up to which a contestant runs: theirs need minutes beyond.
MOST = {"theirs, cg_j": 3 << 20, "theirs, cg_mg": 5 << 20}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", choices=["random_walker", "masks"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--largest", type=int, default=1 << 24, help="pixels of the largest image")
    chosen = parser.parse_args(arguments)
    print(describe(), end="\n\n")
    if chosen.only != "masks":
        _walkers(chosen.rounds, chosen.largest)
    if chosen.only != "random_walker":
        _masks(chosen.rounds, chosen.largest)


def _walkers(rounds: int, largest: int) -> None:
    print(
        "| random_walker | unlabelled | mode | s, theirs | s, ours | times | MiB, theirs | ours |"
    )
    print("|---|---:|---|---:|---:|---:|---:|---:|")
    for shape in _up_to(SHAPES, largest):
        for seeds in ("band", "scribbles"):
            image, labels = drop_in.scene(shape, seeds)
            unknown = int((labels == 0).sum())
            for mode in MODES:
                run_theirs = unknown <= MOST[f"theirs, {mode}"]
                functions = [drop_in.theirs, drop_in.ours] if run_theirs else [drop_in.ours]
                count = rounds if unknown < 1 << 20 else min(rounds, 2)
                arrays = {"image": image, "labels": labels}
                print(
                    f"| {_name(shape)}, {seeds} | {100 * unknown / labels.size:.0f} % | {mode} "
                    f"{_columns(_measured(functions, arrays, count, mode=mode))}",
                    flush=True,
                )


def _masks(rounds: int, largest: int) -> None:
    wedge = np.add.outer(np.arange(-4, 5), np.arange(-4, 5)) > 0
    both = [drop_in.their_hit_or_miss, drop_in.our_hit_or_miss]
    contests = {
        "thin": ([drop_in.their_thin, drop_in.our_thin], {}),
        "hit_or_miss, 3 x 3": (both, {"structure": wedge[3:6, 3:6]}),
        "hit_or_miss, 9 x 9": (both, {"structure": wedge}),
    }
    print("\n| function | theirs, s | ours | times | theirs, MiB | ours |")
    print("|---|---:|---:|---:|---:|---:|")
    for shape in _up_to(MASKS, largest):
        mask = drop_in.blobs(shape)
        for name, (functions, more) in contests.items():
            found = _measured(functions, {"mask": mask, **more}, rounds)
            print(f"| {name}, {_name(shape)} {_columns(found)}", flush=True)


def _measured(
    functions: Sequence[Callable[..., Result]], arrays: dict[str, NDArray[Any]], rounds: int,
    **options: Any,
) -> list[tuple[float, float]]:  # fmt: skip
    """Return the median of seconds and the largest peak of each function, ours last."""
    with TemporaryDirectory() as name, ExitStack() as stack:
        for key, array in arrays.items():
            np.save(Path(name) / f"{key}.npy", array)
        children = [stack.enter_context(Child(f, Path(name))) for f in functions]
        first = [child.run(**options) for child in children]  # imports, and pages of memory
        runs = [[child.run(**options) for child in children] for _ in range(rounds)]
    return [
        (median(turn[i].seconds for turn in runs), max(run.peak_mib for run in (first[i],)))
        for i in range(len(functions))
    ]


def _columns(found: list[tuple[float, float]]) -> str:
    *others, (seconds, mib) = found
    if not others:
        return f"| | {seconds:.3f} | | | {mib:.0f} |"
    ((slow, much),) = others
    return f"| {slow:.3f} | {seconds:.3f} | {slow / seconds:.1f} | {much:.0f} | {mib:.0f} |"


def _up_to(shapes: Sequence[tuple[int, ...]], largest: int) -> Iterator[tuple[int, ...]]:
    return (shape for shape in shapes if np.prod(shape) <= largest)


def _name(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


if __name__ == "__main__":
    main()
