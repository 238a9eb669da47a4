"""``hdseg_gpu.accelerate()``: our functions in place of those of scikit-image, SciPy and cuCIM.

The module itself is callable, so that the function and ``python -m hdseg_gpu.accelerate script.py``
have one name. The latter runs an unchanged script, and prints a report in the end.
"""

import runpy
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


class _CallableModule(ModuleType):
    """The module, as a function."""

    def __call__(self, function: Callable[..., Any] | None = None, *, compare: bool = False) -> Any:
        """Use ours in place of ``random_walker``, ``thin`` and ``binary_hit_or_miss``.

        From scikit-image and SciPy, and, where CuPy is in use, cuCIM and cupyx; wherever they were
        imported from. Calls that ours does not take, or that are too small to gain, are passed on
        to the originals: see docs/drop-in.md.

        Parameters
        ----------
        function : callable, optional
            As a decorator: ours are used while the function runs.
        compare : bool
            Whether to run the original beside the first call of each size, so that the report can
            tell what was saved.

        Returns
        -------
        Acceleration, or the decorated function
            Leave its ``with`` block, or call its ``restore()``, to get the originals back;
            ``str()`` of it is the report.

        Examples
        --------
        >>> import numpy as np
        >>> import hdseg_gpu
        >>> from scipy import ndimage
        >>> mask = np.zeros((200, 200), bool)
        >>> with hdseg_gpu.accelerate() as report:
        ...     found = ndimage.binary_hit_or_miss(mask)
        >>> report.calls["scipy.ndimage.binary_hit_or_miss"].taken
        1
        """
        from hdseg_gpu.compat.acceleration import Acceleration

        acceleration = Acceleration(compare=compare)
        return acceleration if function is None else acceleration(function)


def main(arguments: list[str]) -> None:
    """Run a script with its arguments."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: python -m hdseg_gpu.accelerate SCRIPT [ARGUMENTS]", file=sys.stderr)
        raise SystemExit(0 if arguments else 2)
    from pathlib import Path

    from hdseg_gpu.compat.acceleration import Acceleration

    sys.argv = arguments
    if not sys.flags.safe_path:  # as Python does: the script's folder, not the current one
        sys.path[0] = str(Path(arguments[0]).resolve().parent)
    with Acceleration() as report:
        try:
            runpy.run_path(arguments[0], run_name="__main__")
        finally:
            print(f"hdseg_gpu.accelerate: {report}", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
else:
    sys.modules[__name__].__class__ = _CallableModule
