"""Choosing the executor that `scheduler=` and `address=` ask for."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hdseg_gpu.core.errors import InvalidInput, shown
from hdseg_gpu.executors.base import Executor
from hdseg_gpu.io.inputs import Input


def executor_for(
    scheduler: Any,
    address: str | None,
    timeout: float,
    inputs: Sequence[Input | None],
    stack: ExitStack,
) -> Executor | None:
    """Return the executor that runs tiles; None stands for threads of this process.

    scheduler: None, "dask" or a ``distributed.Client``. timeout: seconds without any worker. stack:
    closes the connection, if this function opens one.
    """
    if scheduler is None:
        if address is not None:
            raise InvalidInput(f"address={shown(address)} is for scheduler='dask'; pass that, too.")
        return None
    is_dask = isinstance(scheduler, str) and scheduler == "dask"
    of_dask = any(t.__module__.startswith("distributed.") for t in type(scheduler).__mro__)
    if not (is_dask or of_dask):
        raise InvalidInput(
            f"scheduler={shown(scheduler)} is unknown; pass 'dask' with address=, a "
            "distributed.Client, or None for threads of this process."
        )
    if is_dask and address is None:
        raise InvalidInput(
            "scheduler='dask' needs address=, the address of the Dask scheduler, such as "
            "'tcp://10.0.0.1:8786'."
        )
    if any(given is not None and not isinstance(given.where, Path) for given in inputs):
        raise InvalidInput(
            "scheduler: arrays in memory are not sent to Dask workers; pass the paths of files "
            "that all workers see, or no scheduler."
        )
    from hdseg_gpu.executors.dask import Distributed, connected

    if is_dask:
        scheduler = stack.enter_context(connected(str(address)))
    executor = Distributed(scheduler, timeout, inputs)
    stack.callback(executor.finish)
    return executor
