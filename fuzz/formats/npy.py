"""Mutations of the headers of .npy files."""

import re
from random import Random

from fuzz import blind

_TYPES = ("|u1", "|b1", "|i1", "<u2", ">u2", "<i4", ">i8", "<u8", "<f2", "<f4", ">f8", "<f16",
          "<c8", "|O", "<U4", "|S3", "|V8", "<M8[s]", "<m8", "|u0", "f", "", "u9",
          "<U999999999", "(3,)u1")  # fmt: skip
_TEXTS = (b"__import__('os').system('id')", b"'" * 9, b"(" * 200, b"[" * 3000, b"-" * 5000 + b"1",
          b"0x10", b"1e9", b"9" * 5000, b"None", b"{}", b"\xff\xfe", b"\\x41", b"True")  # fmt: skip


def changed(rng: Random, data: bytes) -> bytes:
    """Return the file after one to three changes of its header, or of its values."""
    for _ in range(rng.randint(1, 3)):
        head, text, values = split(data)
        if text is None:
            return blind.changed(rng, data)
        kind = rng.randrange(9)
        if kind == 0:
            values = blind.changed(rng, values)
        elif kind == 1:
            text = re.sub(rb"(True|False)", rng.choice((b"True", b"False", b"1", b"'F'")), text)
        elif kind <= 4:
            text = _shape(rng, text)
        elif kind <= 6:
            text = _type(rng, text)
        elif kind == 7:
            text = blind.changed(rng, text, most=2)
        else:
            at = rng.randint(0, len(text))
            text = text[:at] + rng.choice(_TEXTS) + text[at:]
        if rng.random() < 0.1:
            head = blind.changed(rng, head, most=1)
        data = joined(head, text, values)
    return data


def split(data: bytes) -> tuple[bytes, bytes | None, bytes]:
    """Return magic and version, the text of the header, and the values."""
    size = 2 if data[6:7] == b"\1" else 4
    length = int.from_bytes(data[8 : 8 + size], "little")
    if data[:6] != b"\x93NUMPY" or 8 + size + length > len(data):
        return data, None, b""
    end = 8 + size + length
    return data[:8], data[8 + size : end], data[end:]


def joined(head: bytes, text: bytes, values: bytes) -> bytes:
    """Return the file with the right header length, if the version is known."""
    size = 2 if head[6:7] == b"\1" else 4
    return head + min(len(text), 256**size - 1).to_bytes(size, "little") + text + values


def _type(rng: Random, text: bytes) -> bytes:
    """Change the type of the values."""
    new = repr(rng.choice(_TYPES)).encode()
    if rng.random() < 0.1:
        new = b"[('a', '<i4'), ('b', '|O')]"
    return re.sub(rb"'descr':\s*'[^']*'", lambda _: b"'descr': " + new, text, count=1)


def _shape(rng: Random, text: bytes) -> bytes:
    """Change a side, or the number of dimensions."""
    found = re.search(rb"\(([^)]*)\)", text)
    if found is None:
        return text
    sides = [side.strip() for side in found[1].split(b",") if side.strip()]
    kind = rng.randrange(4)
    if kind == 0 and sides:
        sides.pop(rng.randrange(len(sides)))
    elif kind == 1:
        sides.insert(rng.randint(0, len(sides)), rng.choice((b"1", b"0", b"2", b"17")))
    elif sides:
        new = blind.interesting(rng) * rng.choice((1, 1, 1, -1))
        sides[rng.randrange(len(sides))] = str(new).encode()
    inside = b", ".join(sides) + (b"," if len(sides) == 1 else b"")
    return text[: found.start(1)] + inside + text[found.end(1) :]
