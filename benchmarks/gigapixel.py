"""Refining gigapixel files: time, memory, quality, and proof that tiling does not change labels.

    python -m benchmarks.gigapixel --folder FOLDER -o benchmarks/results/DATE-gigapixel.json
    python -m benchmarks.gigapixel --quick
    python -m benchmarks.gigapixel --identity

See benchmarks/README.md.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gigapixel_data import SHARES, Files, Mosaic, build, load_sources
from benchmarks.gigapixel_run import Outcome, Quality, quality, refine
from benchmarks.machine import describe
from hdseg_gpu import Window, open_image

SIDES = (2048, 4096, 8192, 16384, 32768)  # 4 to 1024 Mpx
DENSITY = "5"
_STRIP = 1024


def main() -> None:
    """Run the benchmark selected on the command line."""
    options = _parser().parse_args()
    data = Path(os.environ.get("HDSEG_DATA", "../shared/data"))
    sources = load_sources(data if data.is_dir() else None)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(exist_ok=True)

        def files_of(side: int, density: str = DENSITY) -> Files:
            mosaic = Mosaic(sources, side, SHARES[density])
            return build(folder, mosaic, density, kind=options.kind)

        common = ["--max-memory", options.max_memory, "--workers", str(options.workers)]
        if options.identity:
            found: Any = identity(files_of(options.side), folder, common[:2])
        else:
            sides = SIDES[:2] if options.quick else SIDES
            cases = [(side, DENSITY) for side in sides]
            cases += [(sides[-1], density) for density in SHARES if density != DENSITY]
            found = [row(files_of(*case), *case, folder, common) for case in cases]
            print(table(found))
    if options.output is not None:
        about = {"machine": describe(), "options": common, "rows": found}
        options.output.write_text(json.dumps(about, indent=1) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gigapixel", description=__doc__)
    parser.add_argument("--folder", type=Path, help="where the files are, or are built (4 GB)")
    parser.add_argument("--kind", default="tif", choices=("tif", "deflate.tif", "zarr"))
    parser.add_argument("--max-memory", default="2G")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="4 and 16 Mpx alone")
    parser.add_argument("--identity", action="store_true", help="compare tiles and workers")
    parser.add_argument("--side", type=int, default=16384, help="of the picture for --identity")
    parser.add_argument("-o", "--output", type=Path, help="JSON with all figures")
    return parser


def row(files: Files, side: int, density: str, folder: Path, options: list[str]) -> dict[str, Any]:
    """Return the figures of one run."""
    output = folder / f"result_{side}_{density}.tif"
    run: Outcome = refine(files, output, *options)
    before, after = quality(files, None), quality(files, output)
    report = run.report
    pixels = side * side
    return {
        "side": side,
        "density": density,
        "unknown_percent": 100 * report["unknown_pixels"] / pixels,
        "seconds": run.seconds,
        "mpx_per_second": pixels / 1e6 / run.seconds,
        "peak_mib": run.peak_mib,
        "read_mb": report["bytes_read"] / 1e6,
        "image_mb": 3 * pixels / 1e6,
        "decided_tiles": report["decided_tiles"],
        "tiles": report["tiles"],
        "tile": report["tile"],
        "doubt": report["doubt"],
        "uncertified": report["uncertified_pixels"],
        "stages": report["seconds"],
        "before": Quality(*before)._asdict(),
        "after": Quality(*after)._asdict(),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return the figures as Markdown."""
    lines = [
        "| Mpx | unknown % | s | Mpx/s | peak MiB | read MB | tiles | IoU / mBA before | after |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for r in rows:
        quality_of = [f"{r[k]['iou']:.2f} / {r[k]['mba']:.2f}" for k in ("before", "after")]
        lines.append(
            f"| {r['side'] ** 2 >> 20} | {r['unknown_percent']:.2f} | {r['seconds']:.1f} | "
            f"{r['mpx_per_second']:.1f} | {r['peak_mib']:.0f} | {r['read_mb']:.0f} | "
            f"{r['decided_tiles']} of {r['tiles']} | {quality_of[0]} | {quality_of[1]} |"
        )
    return "\n".join(lines)


def identity(files: Files, folder: Path, options: list[str]) -> list[dict[str, Any]]:
    """Count the pixels that differ between tiles of three sizes, workers, and refine()."""
    whole = folder / "untiled.npy"
    np.save(whole, _untiled(files))
    found = []
    for tile in (2048, 4096, 8192):
        for workers in (1, 2):
            output = folder / f"tiles_{tile}_{workers}.tif"
            more = ["--tile", str(tile), "--workers", str(workers)]
            run = refine(
                files, output, *(options if tile < 8192 else ["--max-memory", "6G"]), *more
            )
            differs = different(whole, output)
            found.append({"tile": tile, "workers": workers, "differ": differs,
                          "seconds": run.seconds, "peak_mib": run.peak_mib})  # fmt: skip
            print(
                f"tile {tile}, {workers} worker(s): {differs} pixels differ from the untiled run, "
                f"{run.seconds:.1f} s, {run.peak_mib:.0f} MiB",
                flush=True,
            )
    return found


def _untiled(files: Files) -> Any:
    from hdseg_gpu import refine as in_memory
    from hdseg_gpu.io import read_coarse, read_image

    return in_memory(read_image(files.image).pixels, read_coarse(files.coarse))


def different(first: Path, second: Path) -> int:
    """Count the pixels in which two label maps differ."""
    count = 0
    with open_image(first) as a, open_image(second) as b:
        height, width = a.shape
        for top in range(0, height, _STRIP):
            window = Window(top, 0, min(_STRIP, height - top), width)
            count += int(np.count_nonzero(a.read(window) != b.read(window)))
    return count


if __name__ == "__main__":
    main()
