"""Copying arrays between host memory and a CUDA device, through pinned memory.

Copies from or to pageable memory are slow, and the device waits for them. So a few threads copy
between it and two pinned buffers in turn, while the other buffer is transferred.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Buffer = NDArray[np.uint8]

# Most bytes of a pinned buffer, but at least a row of an image.
PINNED = 256 << 20
_UNIT = 16 << 20  # sizes are multiples of this, so that later calls can reuse buffers
# Bytes fetched at a time, and the least of an array for which pinned memory pays.
_PIECE, _WORTH = 32 << 20, 4 << 20
NO_MEMORY = 2  # cudaErrorMemoryAllocation, and CUDA_ERROR_OUT_OF_MEMORY
# Threads that copy to and from pinned memory, and the least bytes for each.
_COPIERS, _COPIED = 4, 4 << 20

BUFFERS = 2  # buffers, and strips on the device: one is filled while the other is read


class Pair(NamedTuple):
    """Buffers of pinned memory, and events that are reached when they have been read."""

    buffers: tuple[Buffer, ...]
    left: list[Any]  # events of a device
    device: int

    def wait(self) -> None:
        """Wait until the buffers have been read."""
        for event in self.left:
            event.synchronize()


_idle: list[Pair] = []  # kept for the next call


def sent(xp: Any, strips: list[NDArray[Any]], into: list[Any] | None) -> Iterator[Any]:
    """Yield strips on the current device; see ``cupy_device.Device``."""
    cuda = xp.cuda
    current, sender = cuda.get_current_stream(), cuda.Stream(non_blocking=True)
    most, row = max(map(len, strips)), strips[0][:1].nbytes
    rows = max(1, min(most, PINNED // row))  # rows copied at a time
    shape, dtype = (most, *strips[0].shape[1:]), strips[0].dtype
    slots = min(BUFFERS, len(strips))
    here = [xp.empty(shape, dtype) for _ in range(slots)] if into is None else []
    arrived, used = _events(cuda), _events(cuda)
    for event in used:  # the memory may still be read by work that used it before
        event.record(current)
    with _buffers(cuda, rows * row) as pair:
        turn = cycle(zip(pair.buffers, pair.left, strict=True))

        def send(i: int) -> Any:
            strip, slot = strips[i], i % BUFFERS
            target = here[slot][: len(strip)] if into is None else into[i]
            try:
                for top in range(0, len(strip), rows):
                    part = strip[top : top + rows]
                    buffer, gone = next(turn)
                    gone.synchronize()  # its previous content is still read
                    pinned = _as(buffer, part)
                    _copy(part, pinned)
                    if top == 0:
                        sender.wait_event(used[slot])
                    target[top : top + rows].set(pinned, stream=sender)
                    gone.record(sender)
            finally:
                arrived[slot].record(sender)
            return target

        try:
            coming = send(0)
            for i in range(len(strips)):
                ready = coming
                if i + 1 < len(strips):
                    coming = send(i + 1)
                current.wait_event(arrived[i % BUFFERS])
                yield ready
                used[i % BUFFERS].record(current)
        finally:
            # The next user of this memory writes to it on the same stream. The host need not wait:
            # the events of pinned memory stay with it.
            for event in arrived:
                current.wait_event(event)


def fetched(xp: Any, array: Any) -> NDArray[Any]:
    """Return an array's values in host memory; waits for the device.

    In pageable memory: pinned memory takes as long to allocate, cannot be swapped, and would stay
    pinned as long as the caller keeps the result.
    """
    if array.nbytes < _WORTH:
        small: NDArray[Any] = xp.asnumpy(array)
        return small
    found = np.empty(array.shape, array.dtype)
    # The rows of a transposed array become contiguous on the device, a few at a time.
    flat = bool(array.flags.c_contiguous)
    source, target = (array.reshape(-1), found.reshape(-1)) if flat else (array, found)
    rows = _rows_of_piece(source)
    tops = range(0, len(source), rows)
    stream, arrived = xp.cuda.get_current_stream(), _events(xp.cuda)
    with _buffers(xp.cuda, rows * source[:1].nbytes) as pair:
        for event in pair.left:
            stream.wait_event(event)

        def fetch(i: int) -> NDArray[Any]:
            part = source[tops[i] : tops[i] + rows]
            pinned = _as(pair.buffers[i % BUFFERS], part)
            xp.ascontiguousarray(part).get(out=pinned, blocking=False)
            arrived[i % BUFFERS].record(stream)
            return pinned

        try:
            coming = fetch(0)
            for i, top in enumerate(tops):
                ready = coming
                if i + 1 < len(tops):
                    coming = fetch(i + 1)
                arrived[i % BUFFERS].synchronize()
                _copy(ready, target[top : top + rows])
        except BaseException:
            stream.synchronize()  # no transfer may end in a buffer that was given to another call
            raise
    return found


def pieces_of(array: Any) -> int:
    """Return in how many pieces an array is fetched; the host waits for each."""
    if array.nbytes < _WORTH:
        return 1
    source = array.reshape(-1) if array.flags.c_contiguous else array
    return -(-len(source) // _rows_of_piece(source))


def _rows_of_piece(source: Any) -> int:
    return max(1, min(len(source), _PIECE // int(source[:1].nbytes)))


def are_small(arrays: tuple[Any, ...]) -> bool:
    """Return whether arrays are small enough to be fetched together."""
    return bool(sum(array.nbytes for array in arrays) < _WORTH)


def fetched_together(xp: Any, arrays: tuple[Any, ...]) -> tuple[NDArray[Any], ...]:
    """Return the values of a few small arrays in host memory; waits once."""
    # Only copies into pinned memory are asynchronous.
    pinned = [_pinned_like(array) for array in arrays]
    try:
        for array, values in zip(arrays, pinned, strict=True):
            array.get(out=values, blocking=False)
    finally:
        # No transfer may end in memory that was given to another call.
        xp.cuda.get_current_stream().synchronize()
    return tuple(values.copy() for values in pinned)


def release() -> None:
    """Return unused pinned memory to the system."""
    while _idle:
        _idle.pop().wait()


@contextmanager
def _buffers(cuda: Any, nbytes: int) -> Iterator[Pair]:
    """Return two buffers of pinned memory that no other call uses now.

    Transfers from them may not have ended: the caller waits for their events.
    """
    device = int(cuda.runtime.getDevice())
    try:
        pair: Pair | None = _idle.pop()
    except IndexError:
        pair = None
    if pair is not None and (pair.buffers[0].nbytes < nbytes or pair.device != device):
        pair.wait()
        # Events belong to a device, pinned memory does not. Small buffers are freed first.
        few = pair.buffers[0].nbytes < nbytes
        pair = None if few else Pair(pair.buffers, _events(cuda), device)
    if pair is None:
        size = -(-nbytes // _UNIT) * _UNIT
        pair = Pair(tuple(_pinned(size) for _ in range(BUFFERS)), _events(cuda), device)
    try:
        yield pair
    finally:
        if _idle:
            pair.wait()
        else:
            _idle.append(pair)


def _pinned_like(array: Any) -> NDArray[Any]:
    """Return pinned memory for an array's values, or pageable memory."""
    from cupy.cuda import runtime
    from cupyx import empty_pinned

    try:
        pinned: NDArray[Any] = empty_pinned(array.shape, array.dtype)
    except runtime.CUDARuntimeError as error:
        if error.status != NO_MEMORY:
            raise
        return np.empty(array.shape, array.dtype)
    return pinned


def _pinned(size: int) -> Buffer:
    """Return pinned memory, or pageable memory, with slower transfers.

    Not from CuPy's pool, which rounds up to powers of two and returns nothing.
    """
    from cupy.cuda import PinnedMemory, PinnedMemoryPointer, runtime

    try:
        memory = PinnedMemory(size, runtime.hostAllocPortable)
    except runtime.CUDARuntimeError as error:
        if error.status != NO_MEMORY:
            raise
        return np.empty(size, np.uint8)
    return np.ndarray(size, np.uint8, buffer=PinnedMemoryPointer(memory, 0))


def _as(buffer: Buffer, part: Any) -> NDArray[Any]:
    """Return the beginning of a buffer as an array like this one."""
    alike: NDArray[Any] = buffer[: part.nbytes].view(part.dtype).reshape(part.shape)
    return alike


def _events(cuda: Any) -> list[Any]:
    return [cuda.Event(disable_timing=True) for _ in range(BUFFERS)]


@cache
def _copiers() -> ThreadPoolExecutor:
    """Return the threads for copies, which must not queue behind compilers."""
    return ThreadPoolExecutor(_COPIERS, thread_name_prefix="hdseg-copier")


def _copy(values: NDArray[Any], into: NDArray[Any]) -> None:
    """Copy rows by a few threads: one is slower than the transfer."""
    parts = max(1, min(_COPIERS, values.nbytes // _COPIED))
    rows = -(-len(values) // parts)
    tops = range(0, len(values), rows)
    list(
        _copiers().map(
            lambda top: np.copyto(into[top : top + rows], values[top : top + rows]), tops
        )
    )
