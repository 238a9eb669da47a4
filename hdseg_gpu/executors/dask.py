"""Tiles on the workers of Dask: one future each, paths instead of pictures.

Workers are told apart from this process by nothing but what they say: before the first tile each is
asked for its version, whether it sees the same files, and whether it can write to the run's folder.
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

PATIENCE = 60.0  # seconds without a worker, or without a word of the scheduler

_AHEAD = 3  # futures for each thread of the workers: enough that none waits for the next
_TICK = 1.0  # seconds between two looks at the cluster while nothing comes
_NOTICE = 3.0  # seconds after which it is said that we wait
_FAREWELL = 10.0  # seconds that workers have to hear that a run is over
_SILENT = ("distributed", "tornado", "asyncio")  # who logs what we say in one line

_log = logging.getLogger(PACKAGE)


class Distributed:
    """The workers of a cluster, by a ``distributed.Client``."""

    def __init__(
        self, client: Any, timeout: float = PATIENCE, inputs: Sequence[Input | None] = ()
    ) -> None:
        """Wait for workers, at most `timeout` seconds, and refuse those that cannot take part.

        They must have the same version of this package, and see the same files as inputs.
        """
        self.client, self.timeout = client, timeout
        if getattr(client, "asynchronous", False) or client.status != "running":
            state = client.status if client.status != "running" else "asynchronous"
            raise InvalidInput(
                f"scheduler={client!r} is {state}; pass a distributed.Client that is connected, "
                "and not asynchronous."
            )
        self.address: str = client.scheduler.address
        self._idle: float | None = None  # since when there are no workers
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
        """Do a task for all indices; see ``base.Executor``.

        What a lost worker was at is done again by another: a tile is the same whoever writes it.
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
        """Have workers close what they opened for the runs, and stop what they still do for them.

        A tile under way is given up at its next look at the image or at the run's folder.
        """
        for run in () if self._gone else self._runs:
            with suppress(Exception):  # those who do not hear it find out by themselves
                _within(_FAREWELL, self.client.run, end, run, on_error="ignore")
        self._runs.clear()

    def _cancel(self, futures: list[Any]) -> None:
        if not self._gone:
            with suppress(Exception):
                _within(_FAREWELL, self.client.cancel, futures, force=True)

    def _next(self, done: "SimpleQueue[Any]") -> Any:
        """Return the next future that is done, whatever became of it."""
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
                # It was done, and its worker was lost with it: then somebody does it again.
                self._threads_now()
            except CancelledError:
                break
            except OSError as error:
                raise self._lost() from error
            else:
                return found
        raise self._lost()

    def _threads_now(self) -> int:
        """Return how many threads the workers have, at least 1; raise if there were none too long.

        The scheduler is asked now and then, which tells whether it is there, too.
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
        """Count the time without workers; say so, and at last give up."""
        now = monotonic()
        if self._idle is None:
            self._idle, self._noticed = now, False
        if now - self._idle > self.timeout:
            raise Unfinished(
                f"The Dask scheduler at {self.address} has had no workers for {self.timeout:g} s; "
                f"start some with `dask worker {self.address}`, and continue with --resume."
            )
        if now - self._idle > _NOTICE and not self._noticed:
            self._noticed = True
            _log.warning(
                "waiting for workers at %s, for %g s at most; `dask worker %s` starts one",
                self.address, self.timeout, self.address,
            )  # fmt: skip

    def _await_workers(self) -> None:
        """Wait until there are workers; the task is for clusters that start them as needed."""
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
        """Refuse workers without this package, or with another version of it."""
        here = version(PACKAGE)
        # A function of the standard library: others could not be told to workers without us.
        for worker, there in self._of_all(version, PACKAGE):
            if isinstance(there, ModuleNotFoundError):
                raise InvalidInput(
                    f"The worker {worker} does not have {PACKAGE}; install version {here} there."
                )
            if there != here:
                raise InvalidInput(
                    f"The worker {worker} has {PACKAGE} {there}, and this process {here}; install "
                    "the same version on all."
                )

    def _check_folder(self, job: Job) -> None:
        """Refuse workers that cannot write to a run's folder, or see another, once in a run."""
        if job.run in self._runs:
            return
        self._runs.add(job.run)
        for worker, why in self._of_all(folder_seen, job):
            if why is not None:
                raise Unfinished(
                    f"The worker {worker} cannot take part: {_reason(why)} Mend that, or stop the "
                    "worker, and continue with --resume."
                )

    def _of_all(self, function: Callable[..., Any], *arguments: Any) -> Iterator[tuple[str, Any]]:
        """Yield what all workers return, or raise, sorted by their addresses."""
        found = self._called(self.client.run, function, *arguments, on_error="return")
        yield from sorted(found.items())

    def _called(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Return what a call of the client returns, unless its scheduler is lost."""
        try:
            return _within(self.timeout, function, *arguments, **options)
        except HdsegError:
            raise
        except (OSError, RuntimeError, AttributeError, CancelledError) as error:
            # AttributeError: Dask's own, of a client that is just being closed.
            raise self._lost() from error

    def _lost(self) -> Unfinished:
        self._gone = True
        return Unfinished(
            f"The Dask scheduler at {self.address} was lost, or its futures were cancelled; what "
            "is done is kept: start it anew if need be, and continue with --resume."
        )


def _failure(error: BaseException, phase: str, index: int) -> BaseException:
    """Return what is to be said of a task that failed."""
    from distributed.scheduler import KilledWorker

    if isinstance(error, KilledWorker):
        found = Unfinished(
            f"Workers were lost again and again at tile {index} of phase {phase} (out of "
            "memory?); give them more, or fewer threads, and continue with --resume."
        )
    elif isinstance(error, HdsegError):
        return error
    else:  # before the task began: it could not be understood there
        found = Unfinished(
            f"Tile {index} of phase {phase} failed on a worker: {type(error).__name__}: "
            f"{line_of(error)}; mend that and continue with --resume."
        )
    found.__cause__ = error
    return found


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Return a client of the scheduler at an address, which is closed after the body.

    Meanwhile what Dask would log in many lines is silent: it is raised, in one.
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
    """Return what a function returns, or raise TimeoutError: it may wait for ever."""
    done: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

    def call() -> None:
        try:
            done.put((function(*arguments, **options), None))
        except BaseException as error:  # whoever waits gets it
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
