"""Where arrays are, and how they get there."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from numpy.typing import NDArray

from hdseg_gpu.ops.types import Steps


class DeviceOps(ABC):
    """A backend's place: its arrays, its threads, what waits for it."""

    name: ClassVar[str]
    # The namespace of the backend's arrays, numpy or cupy: what is large is made and computed with
    # it. Arrays of the backend and of NumPy do not mix; what an op returns as NDArray is the
    # backend's unless it says "in host memory".
    xp: Any
    # Iterations between two looks at the error: looking makes a device wait.
    check_interval: ClassVar[int] = 1
    # Elements that are worth a call, where work is done block by block to save memory.
    block: ClassVar[int] = 1 << 18
    # Whether a picture in memory is solved as a whole: a device would wait between small blocks.
    solves_whole: ClassVar[bool] = False
    # Potentials up to which all components of a band are one system, with columns that stand for
    # nothing where fewer classes meet: to a device another system costs more than these.
    merged: ClassVar[int] = 0

    @abstractmethod
    def here(self, budget: int | None = None) -> AbstractContextManager[None]:
        """Within it ops run on this backend's device, and its faults are ``HdsegError``.

        To need more than `budget` bytes of a device's memory (default: most of what is free) is
        ``OutOfDeviceMemory``.
        """

    @abstractmethod
    def threads(self, count: int) -> AbstractContextManager[None]:
        """Within it ops that this thread calls use at most `count` of the processor's threads.

        Results do not depend on it. It never raises what the environment allows.
        """

    @abstractmethod
    def prepare(self, image: NDArray[Any], count: int) -> None:
        """Begin with what takes time the first time that an image like this has so many classes."""

    @abstractmethod
    def picture(self, image: NDArray[Any], smaller: int = 0) -> NDArray[Any]:
        """Return an image (H, W, C), NumPy's or the backend's, for the ops that read images.

        What does not fit stays in host memory, and a device has it strip by strip; for each step of
        `smaller`, strips are half as large.
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
        """Return what each of some ops comes to, which have begun: one wait serves all of them.

        An op that has to know how much there is before it can go on waits for the device. Its form
        ``begin_...`` asks for arrays in host memory instead, and goes on when it is given them.
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
