"""The arguments of ``refine_file``, and the command line's options made from them."""

import os
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from hdseg_gpu.core import checks
from hdseg_gpu.core.options import About, CallOptions
from hdseg_gpu.core.tiles import BLOCK
from hdseg_gpu.engine.budget import TILES
from hdseg_gpu.executors.progress import TileProgress
from hdseg_gpu.io.formats import suffixes, writable

MIN_SIGMA = 1e-140  # smallest sigma besides 0: keeps the exponent of the edge weights finite
_SIDES = ", ".join(map(str, TILES))


@dataclass(frozen=True)
class FileCall(CallOptions):
    """The arguments of ``refine_file``."""

    image: Annotated[
        Any,
        About(
            "path, or array",
            "A file that ``open_image`` reads, or an array of NumPy, Zarr or Dask.",
        ),
    ]
    coarse: Annotated[
        Any,
        About(
            "path, or array",
            "Labels (h, w) or probabilities (K, h, w), see ``refine``: a file that ``open_image`` "
            "reads, or an array of NumPy, Zarr or Dask. It is read by window.",
        ),
    ]
    output: Annotated[
        str | os.PathLike[str],
        About(
            "path",
            f"{suffixes(writable())}: the extension decides the format. Georeference and pixel "
            "size are copied from the image if the format can hold them. The file is written "
            "atomically.",
        ),
    ]
    _: KW_ONLY
    boundary: Annotated[
        Any,
        About(
            "path, or array, optional",
            "Edge strengths g in [0, 1] (integers are scaled to it) of the image's size, for "
            'edges="boundary".',
            "Map of edge strengths, of the size of IMAGE.",
            cli=Path | None,
        ),
    ] = None
    key: Annotated[
        str | None,
        About(
            "str, optional",
            "Name of the coarse map's array in a .npz or Zarr group.",
            "Name of the array in COARSE (.npz, Zarr).",
            check=checks.text,
        ),
    ] = None
    image_key: Annotated[
        str | None,
        About(
            "str, optional",
            "Name of the image's array in a .npz or Zarr group.",
            "Name of the array in IMAGE (.npz, Zarr).",
            check=checks.text,
        ),
    ] = None
    level: Annotated[
        int,
        About(
            "int",
            "Resolution level of the image to refine; 0 is the finest.",
            "Resolution level of IMAGE; 0 is the finest.",
            check=partial(checks.integer, minimum=0),
        ),
    ] = 0
    trust_vrt: Annotated[
        bool,
        About(
            "bool",
            "Whether a virtual mosaic (.vrt) may read any file or address it names; otherwise only "
            "files in its own folder and below.",
            "A .vrt may read any file or address it names.",
            check=checks.switch,
        ),
    ] = False
    sigma: Annotated[
        float | None,
        About(
            "float, optional",
            "Standard deviation of the image's (or boundary map's) values, integers scaled to [0, "
            "1]. Passing it skips one full read of the image.",
            "Standard deviation of the image in [0, 1]: skips one full read of it.",
            check=partial(checks.zero_or_at_least, minimum=MIN_SIGMA),
        ),
    ] = None
    max_memory: Annotated[
        float | None,
        About(
            "float, optional",
            "Memory limit of this process in bytes. Default: half of the free memory.",
            "Memory limit: bytes, or e.g. 2G (2^30). Default: half of the free memory.",
            cli=str | None,
        ),
    ] = None
    workers: Annotated[
        int | None,
        About(
            "int, optional",
            "Number of tiles processed at once. Default: the number of processors, or as many as "
            "memory allows.",
            "Tiles processed at once. Default: number of processors, if memory allows.",
            check=checks.count,
        ),
    ] = None
    tile: Annotated[
        int | None,
        About(
            "int, optional",
            f"Side of the tiles, a multiple of {BLOCK}. Default: the largest of "
            f"{_SIDES} that memory allows.",
            f"Side of tiles, a multiple of {BLOCK}. Default: the largest of {_SIDES} that memory "
            "allows.",
        ),
    ] = None
    scheduler: Annotated[
        Any,
        About(
            'distributed.Client or "dask", optional',
            "Where tiles run: on Dask workers, which must see the files under the same paths; "
            '"dask" needs `address`. Default: in threads of this process.',
            "dask: tiles run on the workers of --address. Default: in this process.",
            cli=str | None,
        ),
    ] = None
    address: Annotated[
        str | None,
        About(
            "str, optional",
            'Address of the Dask scheduler, such as "tcp://10.0.0.1:8786".',
            "Address of the Dask scheduler, such as tcp://10.0.0.1:8786.",
            check=checks.text,
        ),
    ] = None
    worker_timeout: Annotated[
        float,
        About(
            "float",
            "Seconds after which the run stops if Dask has no workers or its scheduler does not "
            "answer.",
            "Seconds without any Dask worker after which the run stops.",
            check=partial(checks.at_least, minimum=0.0),
        ),
    ] = 60.0
    on_error: Annotated[
        str,
        About(
            '{"fail", "skip"}',
            'What to do if parts of the image cannot be decoded: "skip" takes the tiles that need '
            "them from the coarse map, and reports them.",
            "fail, or skip: keep COARSE where IMAGE cannot be decoded.",
            check=lambda name, value: checks.choice(name, value, ("fail", "skip")),
        ),
    ] = "fail"
    resume: Annotated[
        bool,
        About(
            "bool",
            "Whether to continue an interrupted run; if there is none, a new one starts.",
            "Continue an interrupted run.",
            check=checks.switch,
        ),
    ] = False
    overwrite: Annotated[
        bool,
        About(
            "bool",
            "Whether an existing output, or an unfinished run for it, may be overwritten.",
            "Replace OUT if it exists.",
            check=checks.switch,
        ),
    ] = False
    progress: Annotated[
        Callable[[TileProgress], None] | None,
        About(
            "callable, optional",
            "Called with a ``TileProgress`` after each tile.",
            check=checks.callback,
        ),
    ] = None
