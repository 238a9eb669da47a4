"""Running tasks on Dask workers: one future per tile; paths are sent, not pixels.

Before the first tile each worker is asked for its version, whether it sees the same files, and
whether it can write to the run's folder.
"""

import logging
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from importlib.metadata import version
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic, sleep
from typing import Any

from hdseg_gpu.core.errors import HdsegError, InvalidInput, Unfinished
from hdseg_gpu.executors.base import Job, Result, Task
from hdseg_gpu.executors.dask_worker import PACKAGE, done_there, folder_seen, inputs_seen, line_of
from hdseg_gpu.io.inputs import Input, end

PATIENCE = 60.0  # timeout in seconds without any worker, or without an answer of the scheduler

_AHEAD = 3  # futures per worker thread: enough to keep all threads busy
_TICK = 1.0  # seconds between checks of the cluster while no result arrives
_NOTICE = 3.0  # seconds of waiting before a warning is logged
_FAREWELL = 10.0  # timeout in seconds for telling workers that a run is over
_SILENT = ("distributed", "tornado", "asyncio")  # loggers silenced: we report their errors

_log = logging.getLogger(PACKAGE)


class Distributed:
    """Runs tasks on the workers of a ``distributed.Client``."""

    def __init__(
        self, client: Any, timeout: float = PATIENCE, inputs: Sequence[Input | None] = ()
    ) -> None:
        """Wait for workers, at most `timeout` seconds; raise InvalidInput if one is unsuitable.

        Workers need the same version of this package, and must see the same input files.
        """
        self.client, self.timeout = client, timeout
        if getattr(client, "asynchronous", False) or client.status != "running":
            state = client.status if client.status != "running" else "asynchronous"
            raise InvalidInput(
                f"scheduler={client!r} is {state}; pass a connected, synchronous "
                "distributed.Client."
            )
        self.address: str = client.scheduler.address
        self._idle: float | None = None  # time since when there have been no workers
        self._noticed = False
        self._threads = 0
        self._asked = 0.0
        self._runs: set[str] = set()
        self._gone = False  # whether the scheduler is lost
        self._await_workers()
        self._check_versions()
        for worker, why in self._of_all(inputs_seen, inputs):
            if why is not None:
                raise InvalidInput(
                    f"The worker {worker} cannot take part: {_reason(why)} Workers need the files "
                    "of a run under the same paths."
                )

    def run(
        self, task: Task, job: Job, phase: str, indices: Sequence[int], *rest: Any
    ) -> Generator[tuple[int, Result]]:
        """Run a task for all indices; see ``base.Executor``.

        Tasks of a lost worker are repeated by another; a tile does not depend on who writes it.
        """
        self._check_folder(job)
        waiting = iter(indices)
        running: dict[Any, int] = {}
        done: SimpleQueue[Any] = SimpleQueue()
        try:
            while True:
                while (
                    len(running) < _AHEAD * self._threads_now()
                    and (index := next(waiting, None)) is not None
                ):
                    future = self._called(
                        self.client.submit, done_there, version(PACKAGE), task, job, phase, index,
                        *rest, pure=False,
                    )  # fmt: skip
                    running[future] = index
                    future.add_done_callback(done.put)
                if not running:
                    return
                future = self._next(done)
                index = running.pop(future)
                yield index, self._result(future, phase, index)
        finally:
            if running:
                self._cancel(list(running))
                self.finish()

    def finish(self) -> None:
        """Make workers close the files of these runs and stop their tasks.

        A running task stops at its next access to the image or to the run's folder.
        """
        for run in () if self._gone else self._runs:
            with suppress(Exception):  # workers not reached notice by themselves
                _within(_FAREWELL, self.client.run, end, run, on_error="ignore")
        self._runs.clear()

    def _cancel(self, futures: list[Any]) -> None:
        if not self._gone:
            with suppress(Exception):
                _within(_FAREWELL, self.client.cancel, futures, force=True)

    def _next(self, done: "SimpleQueue[Any]") -> Any:
        """Return the next future that is done, successful or not."""
        while True:
            try:
                return done.get(timeout=_TICK)
            except Empty:
                self._threads_now()

    def _result(self, future: Any, phase: str, index: int) -> Result:
        while future.status != "cancelled":
            if future.status == "error":
                raise _failure(self._called(future.exception), phase, index)
            try:
                found: Result = future.result(timeout=_TICK)
            except TimeoutError:
                # Its worker was lost after it was done: another worker repeats the task.
                self._threads_now()
            except CancelledError:
                break
            except OSError as error:
                raise self._lost() from error
            else:
                return found
        raise self._lost()

    def _threads_now(self) -> int:
        """Return the workers' threads, at least 1; raise if there were no workers for too long.

        The scheduler is asked every _TICK seconds, which also shows that it is alive.
        """
        if self._threads == 0 or monotonic() - self._asked >= _TICK:
            self._threads = sum(self._called(self.client.nthreads).values())
            self._asked = monotonic()
            if self._threads:
                self._idle = None
            else:
                self._wait()
        return max(1, self._threads)

    def _wait(self) -> None:
        """Measure the time without workers; warn, and raise Unfinished after the timeout."""
        now = monotonic()
        if self._idle is None:
            self._idle, self._noticed = now, False
        if now - self._idle > self.timeout:
            raise Unfinished(
                f"The Dask scheduler at {self.address} has had no workers for {self.timeout:g} s; "
                f"start some with `dask worker {self.address}`, and continue with resume=True."
            )
        if now - self._idle > _NOTICE and not self._noticed:
            self._noticed = True
            _log.warning(
                "waiting for workers at %s, for %g s at most; `dask worker %s` starts one",
                self.address, self.timeout, self.address,
            )  # fmt: skip

    def _await_workers(self) -> None:
        """Wait until there are workers; the dummy task makes adaptive clusters start some."""
        stimulus = self._called(self.client.submit, os.getpid, pure=False)
        try:
            while not self._called(self.client.nthreads):
                self._wait()
                sleep(min(_TICK / 4, self.timeout))
        except Unfinished as error:
            raise InvalidInput(
                f"The Dask scheduler at {self.address} has no workers after {self.timeout:g} s; "
                f"start some with `dask worker {self.address}`, or wait longer with "
                "worker_timeout=."
            ) from error
        finally:
            self._cancel([stimulus])
        self._idle = None

    def _check_versions(self) -> None:
        """Raise InvalidInput if a worker lacks this package or has another version of it."""
        here = version(PACKAGE)
        # A function of the standard library: workers without this package cannot unpickle ours.
        for worker, there in self._of_all(version, PACKAGE):
            if isinstance(there, ModuleNotFoundError):
                raise InvalidInput(
                    f"The worker {worker} does not have {PACKAGE}; install version {here} there."
                )
            if there != here:
                raise InvalidInput(
                    f"The worker {worker} has {PACKAGE} {there}, but this process has {here}; "
                    "install the same version everywhere."
                )

    def _check_folder(self, job: Job) -> None:
        """Raise Unfinished if a worker cannot write to the run's folder; checked once per run."""
        if job.run in self._runs:
            return
        self._runs.add(job.run)
        for worker, why in self._of_all(folder_seen, job):
            if why is not None:
                raise Unfinished(
                    f"The worker {worker} cannot take part: {_reason(why)} Fix that, or stop the "
                    "worker, and continue with resume=True."
                )

    def _of_all(self, function: Callable[..., Any], *arguments: Any) -> Iterator[tuple[str, Any]]:
        """Yield (address, returned value or exception) of all workers, sorted by address."""
        found = self._called(self.client.run, function, *arguments, on_error="return")
        yield from sorted(found.items())

    def _called(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Call a method of the client; raise Unfinished if its scheduler is lost."""
        try:
            return _within(self.timeout, function, *arguments, **options)
        except HdsegError:
            raise
        except (OSError, RuntimeError, AttributeError, CancelledError) as error:
            # AttributeError: Dask raises it from a client that is being closed.
            raise self._lost() from error

    def _lost(self) -> Unfinished:
        self._gone = True
        return Unfinished(
            f"The Dask scheduler at {self.address} was lost, or its futures were cancelled; "
            "finished tiles are kept: restart it if necessary, and continue with resume=True."
        )


def _failure(error: BaseException, phase: str, index: int) -> BaseException:
    """Return the exception to raise for a task that failed."""
    from distributed.scheduler import KilledWorker

    if isinstance(error, KilledWorker):
        found = Unfinished(
            f"Workers were lost repeatedly at tile {index} of phase {phase} (out of "
            "memory?); give them more, or fewer threads, and continue with resume=True."
        )
    elif isinstance(error, HdsegError):
        return error
    else:  # before the task began: the worker could not unpickle it
        found = Unfinished(
            f"Tile {index} of phase {phase} failed on a worker: {type(error).__name__}: "
            f"{line_of(error)}; fix that and continue with resume=True."
        )
    found.__cause__ = error
    return found


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Yield a client of the scheduler at an address, and close it afterwards.

    Dask's own logging is silenced meanwhile: its errors are raised as one line.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise InvalidInput(
            "scheduler='dask' needs Dask; run `pip install 'hdseg_gpu[dist]'`."
        ) from error
    with _silent():
        try:
            client = Client(address, timeout="10s", set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise InvalidInput(
                f"address={address!r} has no Dask scheduler: {line_of(error)}; start one with "
                "`dask scheduler`, and workers with `dask worker ADDRESS`."
            ) from error
        try:
            yield client
        finally:
            with suppress(Exception):
                _within(_FAREWELL, client.close)


@contextmanager
def _silent() -> Iterator[None]:
    names = [name for name in logging.root.manager.loggerDict if name.split(".")[0] in _SILENT]
    loggers = [logging.getLogger(name) for name in {*_SILENT, *names}]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _within(seconds: float, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call a function that may hang; raise TimeoutError after some seconds."""
    done: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

    def call() -> None:
        try:
            done.put((function(*arguments, **options), None))
        except BaseException as error:  # raised in the waiting thread
            done.put((None, error))

    Thread(target=call, daemon=True, name="dask").start()
    try:
        result, error = done.get(timeout=seconds)
    except Empty:
        raise TimeoutError(f"no answer within {seconds:g} s") from None
    if error is not None:
        raise error
    return result


def _reason(why: Any) -> str:
    return line_of(f"{type(why).__name__}: {why}" if isinstance(why, BaseException) else why)
