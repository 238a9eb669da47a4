"""A ``Device`` that runs the kernels of kernels/cuda on the CPU."""

import ctypes
import re
from contextlib import contextmanager

import numpy as np

from executor import build
from executor.arrays import DeviceArray, count, namespace
from hdseg_gpu.backends.cuda import transfer
from hdseg_gpu.backends.cuda.structs import packed

ORDERS = ("forward", "reverse", "shuffled")
_NULL = "P?"
SHARED_LIMIT = 48 << 10  # bytes for each block, without asking for more


class ExecutorDevice:
    """Launches are checked: types and number of arguments, contiguity, sizes of blocks."""

    # Few, so that loops over the grid have to stride.
    most_blocks = 3

    def __init__(self, order="forward", seed=71):
        self.xp = namespace
        self.order, self._seed = ORDERS.index(order), seed
        self.launched, self.prepared = set(), set()
        self.memory = 8 << 30

    def launch(self, file, kernel, grid, block, args, shared=0):
        library = build.library(file)
        found = library.executor_arguments(kernel.encode())
        assert found is not None, f"{file} has no kernel {kernel}"
        expected = found.decode().split()
        assert len(args) == len(expected), f"{kernel} takes {len(expected)}, got {len(args)}"
        values = [
            _pointer(v, e, f"{kernel}, {i}")
            for i, (v, e) in enumerate(zip(args, expected, strict=True))
        ]
        threads = int(np.prod(block))
        assert 0 < threads <= 1024, (kernel, block)
        assert shared <= SHARED_LIMIT, (kernel, shared)
        assert all(0 < n < 2**16 or (i == 0 and 0 < n < 2**31) for i, n in enumerate(grid)), grid
        dims = [(ctypes.c_uint * 3)(*(*d, 1, 1, 1)[:3]) for d in (grid, block)]
        pointers = (ctypes.c_void_p * max(1, len(values)))(
            *(ctypes.cast(ctypes.byref(v), ctypes.c_void_p) for v in values)
        )
        self._seed += 1
        self.launched.add((file, kernel))
        count("launch", kernel)
        library.executor_launch(
            kernel.encode(), *dims, ctypes.c_size_t(shared), pointers,
            ctypes.c_int32(self.order), ctypes.c_uint(self._seed % 2**32),
        )  # fmt: skip

    def prepare(self, kernels):
        for file, kernel in kernels:
            assert kernel in build.kernel_names(file)
            self.prepared.add((file, kernel))

    @contextmanager
    def here(self, budget=None):
        before = self.memory
        self.memory = before if budget is None else budget
        try:
            yield
        finally:
            self.memory = before

    def free_memory(self):
        return self.memory

    def sent(self, strips, into):
        before = None
        for i, strip in enumerate(strips):
            assert isinstance(strip, np.ndarray)
            if i >= transfer.BUFFERS:  # until the buffer is free that it goes through
                count("wait", "sent", strip)
            count("operation", "copy of bytes", strip)
            if into is None:
                part = DeviceArray(strip.copy())
                if i < transfer.BUFFERS:
                    count("allocation", "sent", part)
            else:
                part = into[i]
                part.values[...] = strip
            yield part
            # Overwrites strips early, so that code that still reads an old strip is noticed.
            if into is None and before is not None:
                before.values.reshape(-1).view(np.uint8).fill(0xA5)
            before = part

    def host(self, array):
        assert isinstance(array, DeviceArray)
        for _ in range(transfer.pieces_of(array) - 1):  # the last one is `get`'s
            count("wait", "fetched", array)
        return array.get()

    def fetched(self, arrays):
        assert all(isinstance(array, DeviceArray) for array in arrays)
        if not transfer.are_small(arrays):
            return tuple(map(self.host, arrays))
        count("wait", "fetched", *arrays)
        return tuple(array.values.copy() for array in arrays)

    def sparse(self):
        from executor import sparse

        return sparse, sparse


def _pointer(value, expected, where):
    """Return a ctypes object that holds an argument, if it is what the kernel takes."""
    if isinstance(value, tuple):
        found = _code(value, where)
        pattern = re.escape(found).replace(re.escape(_NULL), r"P\w+")
        assert re.fullmatch(pattern, expected), (
            f"argument {where}: a structure {found}, the kernel takes {expected}"
        )
        return (ctypes.c_char * packed(value).nbytes).from_buffer_copy(packed(value).tobytes())
    if value is None:
        assert expected.startswith("P"), f"argument {where}: None, the kernel takes {expected}"
        return ctypes.c_void_p(None)
    if isinstance(value, DeviceArray):
        found = value.values.dtype
        code = "u1" if found.kind == "b" else f"{found.kind}{found.itemsize}"
        assert expected in (f"P{code}", "Pu1") if found.kind == "b" else expected == f"P{code}", (
            f"argument {where}: an array of {found}, the kernel takes {expected}"
        )
        assert value.values.flags.c_contiguous, f"argument {where} is not contiguous"
        return ctypes.c_void_p(value.values.ctypes.data)
    assert not isinstance(value, np.ndarray), f"argument {where} is in host memory"
    if type(value) in (int, float):
        value = np.int64(value) if type(value) is int else np.float64(value)
    assert isinstance(value, np.generic), f"argument {where}: {type(value)}"
    code = f"{value.dtype.kind}{value.dtype.itemsize}"
    assert code == expected, f"argument {where}: {code}, the kernel takes {expected}"
    kinds = {"i1": ctypes.c_int8, "i4": ctypes.c_int32, "i8": ctypes.c_int64,
             "u1": ctypes.c_uint8, "u2": ctypes.c_uint16, "u4": ctypes.c_uint32,
             "u8": ctypes.c_uint64, "f4": ctypes.c_float, "f8": ctypes.c_double}  # fmt: skip
    return kinds[code](value.item())


def _code(value, where):
    """Return what an argument is, as shim.h writes what a kernel takes."""
    if isinstance(value, tuple):
        codes = [_code(each, where) for each in value]
        layout = packed(value).dtype
        offsets = [layout.fields[name][1] for name in layout.names]
        fields = (f"{offset}:{code}" for offset, code in zip(offsets, codes, strict=True))
        return f"{{{','.join(fields)}}}{layout.itemsize}"
    if value is None:
        return _NULL
    if isinstance(value, DeviceArray):
        assert value.values.flags.c_contiguous, f"argument {where} is not contiguous"
        return f"P{value.values.dtype.kind}{value.values.dtype.itemsize}".replace("Pb", "Pu")
    assert not isinstance(value, np.ndarray), f"argument {where} is in host memory"
    if type(value) in (int, float):
        value = np.int64(value) if type(value) is int else np.float64(value)
    assert isinstance(value, np.generic), f"argument {where}: {type(value)}"
    return f"{value.dtype.kind}{value.dtype.itemsize}"
