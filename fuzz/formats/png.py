"""Mutations of the chunks of PNGs, with valid checksums."""

import struct
import zlib
from random import Random

from fuzz import blind

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_Chunk = tuple[bytes, bytes]
_KNOWN = (b"tRNS", b"PLTE", b"eXIf", b"gAMA", b"sBIT", b"bKGD", b"iCCP", b"zTXt", b"iTXt", b"tEXt",
          b"acTL", b"fcTL", b"fdAT", b"pHYs", b"IHDR", b"IEND", b"IDAT", b"CgBI")  # fmt: skip


def changed(rng: Random, data: bytes) -> bytes:
    """Return the file after one to three changes of its chunks."""
    chunks = split(data)
    for _ in range(rng.randint(1, 3)):
        chunks = rng.choice(_CHANGES)(rng, chunks) if chunks else chunks
    return joined(chunks)


def split(data: bytes) -> list[_Chunk]:
    """Return the names and contents of all complete chunks."""
    found, at = [], len(_SIGNATURE)
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4])
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def joined(chunks: list[_Chunk]) -> bytes:
    """Return the file of these chunks."""
    return _SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def _header(rng: Random, chunks: list[_Chunk]) -> list[_Chunk]:
    name, data = chunks[0]
    if len(data) != 13:
        return chunks
    fields = list(struct.unpack(">IIBBBBB", data))
    i = rng.randrange(7)
    if i < 2:
        fields[i] = rng.choice((interesting_side(rng, fields[i]), blind.interesting(rng, 32)))
    else:
        fields[i] = rng.choice((0, 1, 2, 3, 4, 6, 8, 16, 255, rng.randrange(256)))
    return [(name, struct.pack(">IIBBBBB", *fields)), *chunks[1:]]


def interesting_side(rng: Random, side: int) -> int:
    """Return another side of an image, often close to the original."""
    return rng.choice((side + 1, max(side - 1, 0), side * 2, side // 2, 1, 20_000, 70_000))


def _content(rng: Random, chunks: list[_Chunk]) -> list[_Chunk]:
    i = rng.randrange(len(chunks))
    return [*chunks[:i], (chunks[i][0], blind.changed(rng, chunks[i][1])), *chunks[i + 1 :]]


def _pixels(rng: Random, chunks: list[_Chunk]) -> list[_Chunk]:
    """Change the decompressed rows, filter types included."""
    packed = b"".join(data for name, data in chunks if name == b"IDAT")
    try:
        rows = zlib.decompress(packed)
    except zlib.error:
        return chunks
    kind = rng.randrange(4)
    if kind == 0:
        rows = blind.changed(rng, rows)
    elif kind == 1:
        rows = bytes(rng.choice((1 << 16, 1 << 22)))
    elif kind == 2:
        rows = rows[: rng.randint(0, len(rows))]
    else:
        rows = bytes(rng.randrange(6) if i % 38 == 0 else b for i, b in enumerate(rows))
    packed = zlib.compress(rows, 9)
    cut = rng.randint(0, len(packed))
    parts = rng.choice(([packed], [packed[:cut], packed[cut:]], [b"", packed]))
    at = next(i for i, chunk in enumerate(chunks) if chunk[0] == b"IDAT")
    others = [chunk for chunk in chunks if chunk[0] != b"IDAT"]
    return [*others[:at], *((b"IDAT", part) for part in parts), *others[at:]]


def _more(rng: Random, chunks: list[_Chunk]) -> list[_Chunk]:
    data = rng.choice((
        b"", rng.randbytes(rng.randint(1, 40)), bytes(768),
        b"name\0\0" + zlib.compress(bytes(1 << 22)),
        b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0" + bytes([rng.randrange(256)]) + bytes(7),
        struct.pack(">II", blind.interesting(rng, 32), blind.interesting(rng, 32)),
    ))  # fmt: skip
    at = rng.randint(0, len(chunks))
    return [*chunks[:at], (rng.choice(_KNOWN), data), *chunks[at:]]


def _drop(rng: Random, chunks: list[_Chunk]) -> list[_Chunk]:
    i = rng.randrange(len(chunks))
    return [*chunks[:i], *chunks[i + 1 :]]


def _order(rng: Random, chunks: list[_Chunk]) -> list[_Chunk]:
    found = list(chunks)
    i, j = rng.randrange(len(found)), rng.randrange(len(found))
    found[i], found[j] = found[j], found[i]
    return found


def _twice(rng: Random, chunks: list[_Chunk]) -> list[_Chunk]:
    i = rng.randrange(len(chunks))
    return [*chunks[:i], chunks[i], *chunks[i:]]


_CHANGES = (_header, _header, _header, _content, _content, _pixels, _pixels, _more, _drop, _order,
            _twice)  # fmt: skip
