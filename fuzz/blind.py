"""Mutations of bytes without knowledge of formats."""

from random import Random

_SIZES = (0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 32, 63, 64, 100, 127, 128, 255, 256, 257, 511, 512,
          1000, 1024, 4095, 4096, 32767, 32768, 65535, 65536, 1 << 20, (1 << 24) - 1, 1 << 24,
          (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 63) - 1, 1 << 63,
          (1 << 64) - 1)  # fmt: skip


def interesting(rng: Random, bits: int = 64) -> int:
    """Return a boundary value, unsigned and of at most `bits` bits."""
    if rng.random() < 0.2:
        return rng.getrandbits(bits)
    return rng.choice(_SIZES) % (1 << bits)


def changed(rng: Random, data: bytes, other: bytes = b"", most: int = 6) -> bytes:
    """Return the data after one to `most` changes; pieces are taken from `other`."""
    for _ in range(min(rng.randint(1, most), rng.randint(1, most))):
        data = rng.choice(_CHANGES)(rng, data, other or data)
    return data


def _flip(rng: Random, data: bytes, other: bytes) -> bytes:
    if not data:
        return data
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    return bytes(found)


def _byte(rng: Random, data: bytes, other: bytes) -> bytes:
    at = rng.randint(0, len(data))
    return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]


def _integer(rng: Random, data: bytes, other: bytes) -> bytes:
    """Overwrite bytes with a boundary value, more often near the beginning."""
    size = rng.choice((1, 2, 4, 8))
    at = int(rng.random() ** rng.choice((1, 3)) * len(data))
    value = interesting(rng, 8 * size).to_bytes(size, rng.choice(("big", "little")))
    return data[:at] + value + data[at + size :]


def _cut(rng: Random, data: bytes, other: bytes) -> bytes:
    return data[: rng.randint(0, len(data))]


def _extended(rng: Random, data: bytes, other: bytes) -> bytes:
    more = rng.randint(1, 4096)
    return data + rng.choice((b"\0" * more, b"\xff" * more, rng.randbytes(more), other[:more]))


def _part(rng: Random, data: bytes) -> tuple[int, int]:
    start = rng.randint(0, len(data))
    return start, min(len(data), start + int(rng.random() ** 3 * 512) + 1)


def _delete(rng: Random, data: bytes, other: bytes) -> bytes:
    start, end = _part(rng, data)
    return data[:start] + data[end:]


def _copy(rng: Random, data: bytes, other: bytes) -> bytes:
    start, end = _part(rng, data)
    at = rng.randint(0, len(data))
    return data[:at] + data[start:end] * rng.choice((1, 1, 2, 50)) + data[at:]


def _overwrite(rng: Random, data: bytes, other: bytes) -> bytes:
    start, end = _part(rng, other)
    at = rng.randint(0, len(data))
    return data[:at] + other[start:end] + data[at + end - start :]


def _constant(rng: Random, data: bytes, other: bytes) -> bytes:
    start, end = _part(rng, data)
    return data[:start] + rng.choice((b"\0", b"\xff", b"\x80")) * (end - start) + data[end:]


def _splice(rng: Random, data: bytes, other: bytes) -> bytes:
    return data[: rng.randint(0, len(data))] + other[rng.randint(0, len(other)) :]


_CHANGES = (_flip, _flip, _flip, _byte, _integer, _integer, _integer, _cut, _extended, _delete,
            _copy, _overwrite, _constant, _splice)  # fmt: skip
