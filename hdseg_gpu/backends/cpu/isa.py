"""The compiled module: one for each instruction set, of the same sources, chosen at run time.

``HDSEG_CPU_ISA`` names one of ``NAMES``; without it the best that this processor has is taken.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from hdseg_gpu.backends.cpu._kernels import Kernels
from hdseg_gpu.core.errors import InvalidInput

# Best first, with what the processor must have: x86-64-v4 (AVX-512), x86-64-v3 (AVX2), any.
_NEEDS = {
    "v4": ("avx2", "bmi2", "fma", "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"),
    "v3": ("avx2", "bmi", "bmi2", "fma"),
    "baseline": (),
}
NAMES = tuple(_NEEDS)
VARIABLE = "HDSEG_CPU_ISA"


def supported() -> tuple[str, ...]:
    """Return the instruction sets that this processor has and that were built, best first."""
    features = _module("baseline").cpu_features()  # none known: not an x86 processor
    return tuple(
        name for name, needs in _NEEDS.items() if all(features.get(f, False) for f in needs)
    )


def load(name: str | None = None) -> tuple[str, "Kernels"]:
    """Return the name and the module of an instruction set; None: by ``HDSEG_CPU_ISA``, or best.

    Raises
    ------
    InvalidInput
        This processor or this build does not have it.
    """
    found = supported()
    asked = name or os.environ.get(VARIABLE) or found[0]
    if asked not in found:
        raise InvalidInput(
            f"{VARIABLE}={asked!r} cannot be used here; choose one of {found}, or unset it."
        )
    return asked, _module(asked)


def _module(name: str) -> "Kernels":
    # OpenMP's threads spin for milliseconds while they wait for one another. Where other programs
    # share the cores, that takes the time of the very threads that are waited for: thinning was 30
    # times slower. libgomp reads this as it is loaded; whoever chose a policy keeps it.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    return cast("Kernels", import_module(f"hdseg_gpu.backends.cpu._cpu_{name}"))
