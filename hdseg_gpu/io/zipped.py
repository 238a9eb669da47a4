"""Zip files (.npz and zipped Zarr stores) read within the sizes they announce."""

import struct
import zipfile
from pathlib import Path
from typing import BinaryIO

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.memory import Budget

_END, _END64 = b"PK\x05\x06", b"PK\x06\x07"  # end of the table of contents; locator of zip64's
_ENTRY = 46  # least bytes of an entry of the table
_OBJECT = 1000  # bytes of an entry in Python
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def open_zip(path: Path, stream: BinaryIO, budget: Budget) -> zipfile.ZipFile:
    """Return the open zip file, if its table of contents fits into memory."""
    table = _table_size(stream)
    budget.require(
        3 * table + table // _ENTRY * _OBJECT, f"{path}: reading its table of contents", "unpack it"
    )
    return zipfile.ZipFile(stream)


def open_member(path: Path, store: zipfile.ZipFile, name: str) -> BinaryIO:
    """Return a member as a stream, bounded by its size in the table of contents."""
    info = store.getinfo(name)
    if info.compress_type not in _METHODS:
        raise InvalidInput(
            f"{path}: {name} is compressed by method {info.compress_type}; save it stored or "
            "deflated."
        )
    if info.flag_bits & 1:
        raise InvalidInput(f"{path}: {name} is encrypted; save it without a password.")
    member: BinaryIO = store.open(info)  # type: ignore[assignment]
    return member


def _table_size(stream: BinaryIO) -> int:
    """Return the announced bytes of the table of contents; 0 if there is none."""
    size = stream.seek(0, 2)
    stream.seek(max(0, size - 66_000))  # the end record, a comment of 64 KiB, zip64's locator
    tail = stream.read()
    stream.seek(0)
    at = tail.rfind(_END)
    if at < 0 or len(tail) < at + 20:
        return 0
    (table,) = struct.unpack_from("<I", tail, at + 12)
    locator = tail.rfind(_END64, 0, at)
    if locator >= 0 and len(tail) >= locator + 16:
        (where,) = struct.unpack_from("<Q", tail, locator + 8)
        if where + 48 <= size:
            stream.seek(where + 40)
            (longer,) = struct.unpack("<Q", stream.read(8))
            stream.seek(0)
            table = max(table, longer) if table != 0xFFFFFFFF else longer
    return min(int(table), size)
