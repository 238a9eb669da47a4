"""A simulated CUDA: streams with delayed work, and memory that runs out."""

import sys
import types
import weakref
from contextlib import nullcontext

import numpy as np


class Error(RuntimeError):
    """Stands for CUDARuntimeError."""

    def __init__(self, text, status=719):
        super().__init__(text)
        self.status = status


class OutOfMemory(MemoryError):
    """Stands for OutOfMemoryError."""


class Card:
    """A device's memory, which the pools of several processes share."""

    def __init__(self, total):
        self.total, self.pools, self.elsewhere = total, [], 0

    def info(self):
        return self.total - self.elsewhere - sum(p.total_bytes() for p in self.pools), self.total

    def pool(self):
        self.pools.append(Pool(self))
        return self.pools[-1]


class Pool:
    """Counts as CuPy's does: blocks that nobody uses are kept, and count until they are freed."""

    def __init__(self, card):
        self._card, self._limit, self._used, self._kept = card, 0, 0, []

    def malloc(self, size):
        for block in self._kept:
            if block >= size:
                self._kept.remove(block)
                self._used += block
                return Block(self, block)
        if (self._limit and self.total_bytes() + size > self._limit) or size > self._card.info()[0]:
            raise OutOfMemory(f"Out of memory allocating {size} bytes")
        self._used += size
        return Block(self, size)

    def free(self, size):
        self._used -= size
        self._kept.append(size)

    def free_all_blocks(self):
        self._kept.clear()

    def used_bytes(self):
        return self._used

    def free_bytes(self):
        return sum(self._kept)

    def total_bytes(self):
        return self.used_bytes() + self.free_bytes()

    def get_limit(self):
        return self._limit

    def set_limit(self, size):
        self._limit = size


class Block:
    def __init__(self, pool, size):
        weakref.finalize(self, pool.free, size).atexit = False


class Streams:
    """What is asked of streams is done some time: at any moment the first thing of any of them."""

    def __init__(self, seed):
        self._rng, self._streams = np.random.default_rng(seed), []
        self.current = Stream(self)

    def go_on(self):
        """Let them do some of their work."""
        while self._rng.random() < 0.5:
            self._step()

    def go_on_until(self, done):
        for _ in range(10_000):
            if done():
                return
            self._step()
        raise AssertionError("waits for ever")

    def _step(self):
        self._streams[self._rng.integers(len(self._streams))].step()


class Stream:
    def __init__(self, streams):
        self.streams, self.work, self.done = streams, [], 0
        streams._streams.append(self)

    def add(self, work, ready=lambda: True):
        self.work.append((work, ready))
        self.streams.go_on()

    def step(self):
        if self.done < len(self.work) and self.work[self.done][1]():
            self.work[self.done][0]()
            self.work[self.done] = None  # also frees what it referred to
            self.done += 1

    def wait_event(self, event):
        stream, place = event.place or (self, 0)
        self.add(lambda: None, lambda: stream.done >= place)

    def synchronize(self):
        self.streams.go_on_until(lambda: self.done == len(self.work))


class Event:
    def __init__(self, disable_timing):
        self.place = None

    def record(self, stream):
        self.place = stream, len(stream.work)

    def synchronize(self):
        if self.place is not None:
            stream, place = self.place
            stream.streams.go_on_until(lambda: stream.done >= place)


class Array(np.ndarray):
    """An array on the device. Copies read and write when the stream comes to them."""

    streams = None

    def set(self, values, stream):
        assert values.flags.c_contiguous
        assert self.flags.c_contiguous
        assert values.shape == self.shape
        stream.add(lambda: np.copyto(self.view(np.ndarray), values))

    def get(self, out, blocking):
        assert not blocking
        assert out.flags.c_contiguous
        assert (out.shape, out.dtype, self.flags.c_contiguous) == (self.shape, self.dtype, True)
        self.streams.current.add(lambda: np.copyto(out, self.view(np.ndarray)))


class Pinned(bytearray):
    """Pinned memory; a bytearray of its own, which may be watched."""


def cuda(monkeypatch, streams=None, card=None):
    """Put a CuPy in place; return it, and a list of the sizes of pinned memory that is there."""

    def allocated(size, flags):
        memory = Pinned(size)
        pinned.append(size)
        weakref.finalize(memory, pinned.remove, size).atexit = False
        pinned.most = max(pinned.most, sum(pinned))
        return memory

    class Sizes(list):
        most = 0

    pinned = Sizes()

    def empty(shape, dtype=float):
        made = np.empty(shape, dtype).view(Array)
        made.reshape(-1).view(np.uint8).fill(0xA5)
        return made

    def contiguous(array):
        if array.flags.c_contiguous:
            return array
        made = empty(array.shape, array.dtype)
        streams.current.add(lambda: np.copyto(made, array))
        return made

    module, inner = types.ModuleType("cupy"), types.ModuleType("cupy.cuda")
    members = {
        "Stream": lambda non_blocking: Stream(streams),
        "Event": Event,
        "get_current_stream": lambda: streams.current,
        "PinnedMemory": allocated,
        "PinnedMemoryPointer": lambda memory, offset: memory,
        "Device": lambda number: nullcontext(),
        "using_allocator": lambda malloc: nullcontext(),
        "runtime": types.SimpleNamespace(
            CUDARuntimeError=Error,
            hostAllocPortable=1,
            getDevice=lambda: 0,
            memGetInfo=None if card is None else card.info,
            deviceSynchronize=lambda: None,
        ),
        "compiler": types.SimpleNamespace(CompileException=type("Compile", (Exception,), {})),
        "driver": types.SimpleNamespace(CUDADriverError=type("Driver", (RuntimeError,), {})),
        "memory": types.SimpleNamespace(OutOfMemoryError=OutOfMemory),
    }
    vars(inner).update(members)
    vars(module).update(
        cuda=inner, empty=empty, ascontiguousarray=contiguous,
        asnumpy=lambda array: (streams.current.synchronize(), np.array(array))[1],
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setitem(sys.modules, "cupy.cuda", inner)
    monkeypatch.setattr(Array, "streams", streams)
    return module, pinned
