"""The registry of solvers and backends by name.

Options, help texts and messages take the names from here. An entry is the address of a function,
"module:function", imported on first use; other packages may add their own.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from hdseg_gpu.core.checks import choice
from hdseg_gpu.core.errors import HdsegError

# A solver is a function (ops, system, tolerance, progress, *, certify) -> Solution: a
# ``solvers.Solver``.
SOLVERS = {
    "auto": "hdseg_gpu.solvers.multigrid:auto",
    "multigrid": "hdseg_gpu.solvers.multigrid:multigrid",
    "cg": "hdseg_gpu.solvers.cg:cg",
    "amg": "hdseg_gpu.solvers.amg:amg",
    "direct": "hdseg_gpu.solvers.direct:direct",
}
# A backend is a function (device) -> Ops that raises BackendUnavailable if it cannot run. Best
# first: "auto" takes the first that can.
BACKENDS = {
    "cuda": "hdseg_gpu.backends.cuda:open_cuda",
    "cpu": "hdseg_gpu.backends.cpu:open_cpu",
    "reference": "hdseg_gpu.backends.reference:open_reference",
}
ON_DEVICE = {"cuda"}  # backends whose arrays are not in host memory


def function_at(address: str) -> Any:
    """Return the function at "module:function", after importing its module."""
    module, _, name = address.partition(":")
    return getattr(import_module(module), name)


def loaded(
    table: Mapping[str, str], option: str, name: str, missing: type[HdsegError] = HdsegError
) -> Any:
    """Return the function registered under a name.

    table: SOLVERS or BACKENDS; option: its name in messages, "solver" or "backend".

    Raises
    ------
    InvalidInput
        The name is unknown.
    HdsegError
        Of class `missing`: its code, or a library that it needs, cannot be imported.
    """
    address = table[choice(option, name, tuple(table))]
    module, _, function = address.partition(":")
    try:
        return function_at(address)
    except ImportError as error:
        package = (error.name or module).partition(".")[0]
        raise missing(
            f"{option}={name!r} needs {package}, which did not load ({error}); run "
            f"`pip install {package}`, or use {option}='auto'."
        ) from error
    except AttributeError as error:
        raise missing(
            f"{option}={name!r} is registered as {address}, but that module has no {function}."
        ) from error
