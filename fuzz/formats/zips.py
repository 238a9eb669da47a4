"""Mutations of the members of .zip files: .npz and zipped Zarr stores."""

import io
import struct
import warnings
import zipfile
from random import Random

from fuzz import blind
from fuzz.formats import json_text, npy

_NAMES = ("", "/", "..", "../outside/made", "/proc/self/cwd/outside/made", "a\0b", "x" * 300,
          "zarr.json", ".zarray", ".zgroup", "image.npy", "0.0", "c/0/0")  # fmt: skip
_METHODS = (*(zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) * 5, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def changed(rng: Random, data: bytes) -> bytes:
    """Return the archive after one to three changes of its members."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(i.filename, archive.read(i)) for i in archive.infolist()]
    except Exception:  # no longer an archive
        return blind.changed(rng, data)
    for _ in range(rng.randint(1, 3)):
        members = rng.choice(_CHANGES)(rng, members) if members else members
    written = _written(rng, members)
    return _headers(rng, written) if rng.random() < 0.2 else written


def member_changed(rng: Random, name: str, data: bytes) -> bytes:
    """Return a member's content mutated by the format of its name."""
    if name.endswith(".npy"):
        return npy.changed(rng, data)
    if name.rpartition("/")[2] in ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"):
        return json_text.changed(rng, data)
    return blind.changed(rng, data)


_Members = list[tuple[str, bytes]]


def _content(rng: Random, members: _Members) -> _Members:
    i = rng.randrange(len(members))
    name, data = members[i]
    return [*members[:i], (name, member_changed(rng, name, data)), *members[i + 1 :]]


def _rename(rng: Random, members: _Members) -> _Members:
    i = rng.randrange(len(members))
    name = rng.choice((*_NAMES, rng.choice(members)[0]))
    return [*members[:i], (name, members[i][1]), *members[i + 1 :]]


def _drop(rng: Random, members: _Members) -> _Members:
    i = rng.randrange(len(members))
    return [*members[:i], *members[i + 1 :]]


def _bomb(rng: Random, members: _Members) -> _Members:
    i = rng.randrange(len(members))
    return [*members[:i], (members[i][0], members[i][1] + bytes(1 << 24)), *members[i + 1 :]]


def _written(rng: Random, members: _Members) -> bytes:
    stream = io.BytesIO()
    method = rng.choice(_METHODS)
    if any(len(data) > 1 << 20 for _, data in members):
        method = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(stream, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # duplicate names
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            archive.writestr(info, data)
    return stream.getvalue()


def _headers(rng: Random, data: bytes) -> bytes:
    """Change a field of one of the records that describe members."""
    signature = rng.choice((b"PK\1\2", b"PK\3\4", b"PK\5\6"))
    starts = [i for i in range(len(data)) if data.startswith(signature, i)]
    if not starts:
        return data
    at = rng.choice(starts) + rng.randrange(4, 42)
    size = rng.choice((2, 4))
    value = struct.pack("<Q", blind.interesting(rng, 8 * size))[:size]
    return data[:at] + value + data[at + size :]


_CHANGES = (_content, _content, _content, _content, _rename, _drop, _bomb)
