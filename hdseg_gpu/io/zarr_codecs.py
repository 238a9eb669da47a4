"""The codecs of Zarr arrays that are read, each with a bound on what it yields.

This module is imported late, as it needs zarr and numcodecs.
"""

import asyncio
from dataclasses import dataclass, replace
from math import prod
from typing import Any, NoReturn

import numpy as np
import zarr
from numcodecs.abc import Codec as Numcodec
from zarr.abc.codec import BytesBytesCodec
from zarr.codecs import ShardingCodec

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.io import unpack

_PREFIX = "numcodecs."  # of Zarr 3's names
_PACKED = ("zlib", "gzip", "bz2", "lzma", "zstd", "blosc", "lz4")
# What these yield follows from what they are given.
_FIXED = (
    "shuffle", "crc32", "crc32c", "adler32", "fletcher32", "jenkins_lookup3",
    "delta", "fixedscaleoffset", "quantize", "astype", "packbits", "bitround",
    "bytes", "endian", "transpose",
)  # fmt: skip
_TYPES = ("dtype", "astype", "encode_dtype", "decode_dtype")  # options that name one
_WIDEST = 16  # bytes of a number


def has_dictionary(array: Any) -> bool:
    """Return whether chunks are unpacked by LZMA, which keeps what it has unpacked beside it."""
    metadata = array.metadata
    if metadata.zarr_format == 2:
        codecs = (metadata.compressor, *(metadata.filters or ()))
        return any(getattr(codec, "codec_id", "") == "lzma" for codec in codecs)
    return _has_lzma(metadata.codecs)


def _has_lzma(codecs: tuple[Any, ...]) -> bool:
    return any(
        _has_lzma(codec.codecs)
        if isinstance(codec, ShardingCodec)
        else str(codec.to_dict()["name"]).removeprefix(_PREFIX) == "lzma"
        for codec in codecs
    )


def bounded(name: str, array: Any, memory: int) -> Any:
    """Return the array with codecs that yield no more than a chunk; others are refused.

    memory: bytes that the dictionary of LZMA may have.
    """
    metadata = array.metadata
    if metadata.zarr_format == 2:
        filters = tuple(_checked(name, each, each.get_config()) for each in metadata.filters or ())
        compressor = metadata.compressor
        if compressor is not None:
            compressor = _checked(name, compressor, compressor.get_config())
        if isinstance(compressor, Numcodec) and compressor.codec_id in _PACKED:
            width = max(array.dtype.itemsize, _WIDEST if filters else 0)
            compressor = _Bounded2(compressor, _room(prod(metadata.chunks) * width), memory)
        widest = max(array.dtype.itemsize, _WIDEST)
        filters = tuple(
            _Bounded2(each, _room(prod(metadata.chunks) * widest), memory)
            if each.codec_id in _PACKED
            else each
            for each in filters
        )
        changed = replace(metadata, filters=filters or None, compressor=compressor)
    else:
        changed = replace(metadata, codecs=_of_array(name, metadata.codecs, memory))
    return zarr.Array(zarr.AsyncArray(changed, array.store_path))


def _room(size: int) -> int:
    """Return the bytes that data may have before the last step: what cannot be packed grows."""
    return size + size // 8 + 1024


def _checked(name: str, codec: Any, config: dict[str, Any]) -> Any:
    """Return a codec that is known, with options that are."""
    kind = str(config.get("id"))
    if kind not in _PACKED + _FIXED:
        _refuse(name, kind)
    for option in _TYPES:
        if config.get(option) is not None:
            dtype = np.dtype(config[option])
            if dtype.kind not in "buif" or dtype.itemsize > _WIDEST:
                _refuse(name, f"{kind} to the type {dtype}")
    return codec


def _of_array(name: str, codecs: tuple[Any, ...], memory: int) -> tuple[Any, ...]:
    return tuple(_bounded3(name, codec, memory) for codec in codecs)


def _bounded3(name: str, codec: Any, memory: int) -> Any:
    """Return a codec of Zarr 3 within bounds."""
    if isinstance(codec, ShardingCodec):
        return ShardingCodec(
            chunk_shape=codec.chunk_shape,
            codecs=_of_array(name, codec.codecs, memory),
            index_codecs=_of_array(name, codec.index_codecs, memory),
            index_location=codec.index_location,
        )
    told = codec.to_dict()
    kind = str(told["name"]).removeprefix(_PREFIX)
    _checked(name, codec, {**dict(told.get("configuration") or {}), "id": kind})
    return _Bounded3(codec, kind, memory) if kind in _PACKED else codec


def _refuse(name: str, kind: str) -> NoReturn:
    raise InvalidInput(
        f"{name} is stored by the codec {kind!r}, which is not read; the codecs that are: "
        f"{', '.join(_PACKED + _FIXED[:-4])}, sharding_indexed, transpose. Save it with one of "
        "these, or pass the opened zarr.Array if you trust the store."
    )


def _unpacked(kind: str, codec: Any, data: bytes, limit: int, memory: int) -> Any:
    """Return what a codec unpacks, `limit` bytes at most, by a dictionary of `memory` at most."""
    if kind in ("zlib", "gzip"):
        return unpack.inflated(data, limit, 15 if kind == "zlib" else 31)
    if kind == "bz2":
        return unpack.from_bz2(data, limit)
    if kind == "lzma":
        config = codec.get_config()
        raw = int(config.get("format", 1)) == unpack.RAW
        filters = config.get("filters") if raw else None
        return unpack.from_lzma(data, limit, filters, memory=memory)
    if kind == "zstd" and not unpack.check_zstd(data, limit):
        return unpack.from_zstd(data, limit)
    if kind == "blosc":
        unpack.check_blosc(data, limit)
    if kind == "lz4":
        unpack.check_lz4(data, limit)
    return codec.decode(data)


class _Bounded2(Numcodec):  # type: ignore[misc]
    """A codec of Zarr 2."""

    codec_id = "bounded"  # Zarr asks the class for one

    def __init__(self, codec: Any, limit: int, memory: int) -> None:
        self._codec, self._limit, self._memory = codec, limit, memory

    def encode(self, buf: Any) -> Any:
        """Return what the codec itself does."""
        return self._codec.encode(buf)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Return the unpacked bytes."""
        return _unpacked(self._codec.codec_id, self._codec, bytes(buf), self._limit, self._memory)

    def get_config(self) -> dict[str, Any]:
        """Return that of the codec."""
        config: dict[str, Any] = self._codec.get_config()
        return config


@dataclass(frozen=True)
class _Bounded3(BytesBytesCodec):  # type: ignore[misc]
    """A codec of Zarr 3."""

    codec: Any
    kind: str
    memory: int
    is_fixed_size = False

    def to_dict(self) -> dict[str, Any]:
        """Return that of the codec."""
        told: dict[str, Any] = self.codec.to_dict()
        return told

    def evolve_from_array_spec(self, array_spec: Any) -> "_Bounded3":
        """Return the same around the codec for an array."""
        return _Bounded3(self.codec.evolve_from_array_spec(array_spec), self.kind, self.memory)

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
        """Return that of the codec."""
        size: int = self.codec.compute_encoded_size(input_byte_length, chunk_spec)
        return size

    def _decode_sync(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        dtype = chunk_spec.dtype
        native = dtype if isinstance(dtype, np.dtype) else dtype.to_native_dtype()
        limit = _room(prod(chunk_spec.shape) * native.itemsize)
        data = chunk_bytes.to_bytes()
        found = _unpacked(self.kind, _plain(self.codec), data, limit, self.memory)
        return chunk_spec.prototype.buffer.from_bytes(bytes(found))

    async def _decode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        return await asyncio.to_thread(self._decode_sync, chunk_bytes, chunk_spec)


def _plain(codec: Any) -> Any:
    """Return numcodecs' codec of Zarr's."""
    from numcodecs.registry import get_codec

    told = codec.to_dict()
    kind = str(told["name"]).removeprefix(_PREFIX)
    config = dict(told.get("configuration") or {}) if kind == "lzma" else {}
    return get_codec({"id": kind, **config})
