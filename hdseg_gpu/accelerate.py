"""``hdseg_gpu.accelerate()``: our functions in place of those of scikit-image, SciPy and cuCIM.

The module itself is callable, so that the function and ``python -m hdseg_gpu.accelerate script.py``
have one name. The latter runs an unchanged script, and prints a report in the end.
"""

import atexit
import builtins
import io
import os
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
            Whether to run the original as well for the first call of each size, so that the report
            has the time saved.

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
    """Run a script as Python does, with ours in use; print the report when the process ends."""
    if not arguments or arguments[0].startswith("-"):
        print("usage: python -m hdseg_gpu.accelerate SCRIPT [ARGUMENTS]", file=sys.stderr)
        raise SystemExit(0 if arguments[:1] in (["-h"], ["--help"]) else 2)
    path = os.path.abspath(arguments[0])
    try:
        with io.open_code(path) as file:
            source = file.read()
    except OSError as error:
        print(f"hdseg_gpu.accelerate: can't open file {path!r}: {error.strerror}", file=sys.stderr)
        raise SystemExit(2) from None
    sys.argv = arguments
    if not sys.flags.safe_path:  # as Python does: the script's folder, not the current one
        sys.path[0] = os.path.dirname(os.path.realpath(path))

    from hdseg_gpu.compat.acceleration import Acceleration

    # Never restored, and told at the very end: the script's threads may outlive its last line.
    report = Acceleration()
    atexit.register(lambda: print(f"hdseg_gpu.accelerate: {report}", file=sys.stderr))
    script = ModuleType("__main__")
    script.__file__ = path
    vars(script)["__builtins__"] = builtins
    sys.modules["__main__"] = script  # where pickle and multiprocessing look
    try:
        exec(compile(source, path, "exec", dont_inherit=True), vars(script))
    except Exception as error:
        # Without the frame of this function.
        found = error.__traceback__
        while found is not None and found.tb_frame.f_code.co_filename != path:
            found = found.tb_next
        error.__traceback__ = found
        sys.excepthook(type(error), error, found)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main(sys.argv[1:])
else:
    # Callable, so that the function and what `python -m` runs can have one name: importing the
    # module binds it to hdseg_gpu.accelerate, where a function of that name would be lost.
    sys.modules[__name__].__class__ = _CallableModule
