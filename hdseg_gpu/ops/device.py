"""Arrays of a backend: their namespace, their device, and transfers."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from numpy.typing import NDArray

from hdseg_gpu.ops.types import Steps


class DeviceOps(ABC):
    """The namespace of a backend's arrays, its device, threads and synchronisation."""

    name: ClassVar[str]
    # The namespace of the backend's arrays, numpy or cupy. Large arrays belong to it and are not
    # mixed with NumPy's; an NDArray that an op returns is the backend's unless the op says "in
    # host memory".
    xp: Any
    # Iterations between two checks of the error, for which the host waits for the device.
    check_interval: ClassVar[int] = 1
    # Least elements per call where work is done block by block to save memory.
    block: ClassVar[int] = 1 << 18
    # Whether an image in memory is solved as a whole: small blocks leave a device idle.
    solves_whole: ClassVar[bool] = False
    # Most potentials for which all components of a band form one system, with unused columns where
    # fewer classes meet: another system would cost a device more than those.
    merged: ClassVar[int] = 0

    @abstractmethod
    def here(self, budget: int | None = None) -> AbstractContextManager[None]:
        """Return a context in which ops run on this device; its errors are ``HdsegError``.

        Needing more than `budget` bytes of a device's memory (default: most of what is free) raises
        ``OutOfDeviceMemory``.
        """

    @abstractmethod
    def threads(self, count: int) -> AbstractContextManager[None]:
        """Return a context in which ops called by this thread use at most `count` threads.

        Results do not depend on it. It never exceeds what the environment allows.
        """

    @abstractmethod
    def prepare(self, image: NDArray[Any], count: int) -> None:
        """Start preparations, such as compiling, for an image and a number of classes."""

    @abstractmethod
    def picture(self, image: NDArray[Any], smaller: int = 0) -> NDArray[Any]:
        """Return an image (H, W, C), of NumPy or the backend, for the ops that read images.

        An image that does not fit stays in host memory and is transferred strip by strip; each step
        of `smaller` halves the strips.
        """

    @abstractmethod
    def host(self, array: Any) -> NDArray[Any]:
        """Return an array in host memory; waits for it."""

    @abstractmethod
    def fetched(self, *arrays: Any) -> tuple[NDArray[Any], ...]:
        """Return arrays in host memory; waits once, for all of them."""

    def fetching(self, *arrays: Any) -> Steps[tuple[NDArray[Any], ...]]:
        """Return ``fetched`` as steps."""
        found = yield arrays
        return found

    def together(self, *steps: Steps[Any]) -> list[Any]:
        """Return the results of several ops that have begun, waiting for the device together.

        An op that depends on values in host memory waits for the device. Its form ``begin_...`` is
        a generator: it yields the arrays it needs, and continues when it is sent their values.
        """
        found: list[Any] = [None] * len(steps)
        given: dict[int, Any] = dict.fromkeys(range(len(steps)))
        while given:
            asked: dict[int, tuple[Any, ...]] = {}
            for i, values in given.items():
                try:
                    asked[i] = steps[i].send(values)
                except StopIteration as end:
                    found[i] = end.value
            if not asked:
                break
            arrays = iter(self.fetched(*(array for some in asked.values() for array in some)))
            given = {i: tuple(next(arrays) for _ in some) for i, some in asked.items()}
        return found

    @abstractmethod
    def sparse(self) -> tuple[Any, Any]:
        """Return the modules scipy.sparse and scipy.sparse.linalg for the backend's arrays."""
