"""Mutations of JSON values: the metadata of Zarr."""

import json
from random import Random
from typing import Any

from fuzz import blind

_STRINGS = ("", "/", "..", "../outside/secret.tif", "\0", "x" * 5000, "<u2", "|O", "float16",
            "complex64", "string", "zstd", "gzip", "blosc", "bytes", "transpose", "crc32c",
            "sharding_indexed", "numcodecs.pickle", "pickle", "msgpack2", "json2", "vlen-utf8",
            "lz4", "F", "C", "v2", "default", "NaN", "y", "x", "c", "z", "t", "micrometer", "scale",
            "0.4", "0.5")  # fmt: skip
_FILTERS = ("pickle", "msgpack2", "json2", "zlib", "lz4", "blosc", "bz2", "lzma", "vlen-utf8",
            "fixedscaleoffset", "astype", "delta", "quantize", "shuffle", "crc32", "adler32",
            "categorize", "packbits", "zfpy", "pcodec")  # fmt: skip


def changed(rng: Random, data: bytes) -> bytes:
    """Return the text after one to three changes of its values."""
    try:
        root: Any = json.loads(data)
    except (ValueError, RecursionError):
        return blind.changed(rng, data)
    if not isinstance(root, dict | list) or rng.random() < 0.1:
        return blind.changed(rng, data, most=2)
    if rng.random() < 0.02:
        return b"[" * 100_000
    for _ in range(rng.randint(1, 3)):
        places = list(_places(root))
        if not places:
            break
        holder, key = rng.choice(places)
        kind = rng.randrange(10)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, list):
            holder.insert(key, holder[key])
        elif kind == 2 and isinstance(holder, dict):
            holder[rng.choice((*_STRINGS, "id", "name", "configuration"))] = holder.pop(key)
        elif kind == 3:
            holder[key] = json.loads(json.dumps(rng.choice([h[k] for h, k in places])))
        elif kind == 4 and isinstance(holder, dict):
            holder[rng.choice(("filters", "compressor", "codecs"))] = _codec(rng)
        else:
            holder[key] = _value(rng, holder[key])
    return json.dumps(root).encode()


def _places(node: Any) -> Any:
    """Yield each container and key of a tree."""
    for key in list(node) if isinstance(node, dict) else range(len(node)):
        yield node, key
        if isinstance(node[key], dict | list):
            yield from _places(node[key])


def _value(rng: Random, before: Any) -> Any:
    if isinstance(before, int) and not isinstance(before, bool) and rng.random() < 0.7:
        return blind.interesting(rng) * rng.choice((1, 1, 1, -1))
    if isinstance(before, str) and rng.random() < 0.6:
        return rng.choice(_STRINGS)
    return rng.choice((
        None, True, False, 0, -1, 0.5, 1e308, float("nan"), float("inf"), "", [], {}, [[]], 16,
        blind.interesting(rng), rng.choice(_STRINGS), [1, 2, 3, 4], {"name": "x"}, 10**400,
    ))  # fmt: skip


def _codec(rng: Random) -> Any:
    name = rng.choice(_FILTERS)
    new = {"id": name, "level": 1, "dtype": "<u2", "astype": "<u1", "scale": 1, "offset": 0}
    version3 = {"name": rng.choice((name, f"numcodecs.{name}")), "configuration": {"level": 1}}
    return rng.choice((new, [new], version3, [version3], [{"name": "bytes"}, version3]))
