"""The supported codecs of Zarr arrays, each with bounds on its input and output.

The size of a chunk after each decoding step follows from its shape, dtype and the metadata, so it
is known before anything is decoded. This module is imported late, because it needs zarr and
numcodecs.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import prod
from typing import Any, NoReturn

import numpy as np
import zarr
from numcodecs.abc import Codec as Numcodec
from zarr.abc.codec import ArrayArrayCodec, ArrayBytesCodec, BytesBytesCodec
from zarr.codecs import ShardingCodec

from hdseg_gpu.core.errors import InvalidInput, shown
from hdseg_gpu.io import unpack

_PREFIX = "numcodecs."  # of names in Zarr 3
_PACKED = ("zlib", "gzip", "bz2", "lzma", "zstd", "blosc", "lz4")
_SUMS = ("crc32", "crc32c", "adler32", "fletcher32", "jenkins_lookup3")  # checksums of 4 bytes
_TYPED = ("delta", "fixedscaleoffset", "quantize", "astype")  # change the dtype
_SAME = ("shuffle", "bitround", "bytes", "endian", "transpose")  # keep the number of bytes
_READ = (*_PACKED, "shuffle", *_SUMS, *_TYPED, "packbits", "bitround", "sharding_indexed",
         "transpose")  # fmt: skip
_WIDEST = 16  # bytes of a number
_BYTES = np.dtype(np.uint8)
_INDEX = 64  # bytes of memory per chunk in a shard's index


@dataclass(frozen=True)
class Bounded:
    """An array, and the bytes that its chunks need."""

    array: Any
    stored: int  # upper bound of a stored chunk
    decoding: int  # while a chunk is decoded, including input and output


def bounded(name: str, array: Any, memory: int) -> Bounded:
    """Return the array with codecs whose output is bounded by a chunk; others are refused.

    memory: largest dictionary of LZMA in bytes.
    """
    metadata = array.metadata
    if metadata.zarr_format == 2:
        chain = _Chain(name, array.dtype, prod(metadata.chunks), memory)
        filters = tuple(chain.codec2(each) for each in metadata.filters or ())
        compressor = metadata.compressor and chain.codec2(metadata.compressor)
        changed = replace(metadata, filters=filters or None, compressor=compressor)
    else:
        chain = _Chain(name, array.dtype, prod(metadata.chunk_grid.chunk_shape), memory)
        changed = replace(metadata, codecs=chain.codecs3(metadata.codecs))
        if len(metadata.codecs) == 1 and chain.inner is not None:
            chain = chain.inner  # the chunks of a shard are read one by one
    wrapped = zarr.Array(zarr.AsyncArray(changed, array.store_path))
    return Bounded(wrapped, chain.size, chain.decoding)


class _Chain:
    """Tracks size and dtype of a chunk through the codecs, in encoding order."""

    def __init__(self, name: str, dtype: Any, count: int, memory: int) -> None:
        self.dtype = np.dtype(dtype)
        self.size = count * self.dtype.itemsize  # upper bound in bytes
        self.decoding = self.size  # bytes of all steps together
        self.inner: _Chain | None = None  # of the chunks in a shard
        self._name, self._kinds, self._memory = name, set[str](), memory

    def codec2(self, codec: Any) -> "_Bounded2":
        """Apply a codec of Zarr 2, and return it wrapped with its bounds."""
        yields = self.size
        self._step(codec.get_config())
        return _Bounded2(codec, self.size, yields, self._memory)

    def codecs3(self, codecs: Iterable[Any]) -> tuple[Any, ...]:
        """Apply codecs of Zarr 3, and return them wrapped with their bounds."""
        return tuple(self._codec3(codec) for codec in codecs)

    def _codec3(self, codec: Any) -> Any:
        if isinstance(codec, ShardingCodec):
            return self._sharded(codec)
        metadata = codec.to_dict()
        kind = str(metadata["name"]).removeprefix(_PREFIX)
        yields = self.size
        self._step({**dict(metadata.get("configuration") or {}), "id": kind})
        if kind in _PACKED:
            return _Bounded3(codec, kind, self.size, yields, self._memory)
        return _Typed3(codec, self.size) if kind in (*_TYPED, "packbits") else codec

    def _sharded(self, codec: Any) -> Any:
        """Apply sharding: chunks, and the index of their offsets."""
        self._check_kind("sharding_indexed")
        count = prod(codec.chunk_shape)
        if count < 1:
            _refuse(self._name, f"sharding_indexed with chunks of the shape {codec.chunk_shape}")
        self.inner = _Chain(self._name, self.dtype, count, self._memory)
        chunks = -(-self.size // self.inner.size)
        codecs = self.inner.codecs3(codec.codecs)
        index = _Chain(self._name, np.uint64, 2 * chunks, self._memory)
        index_codecs = index.codecs3(codec.index_codecs)
        self._becomes(chunks * self.inner.size + index.size, _BYTES)
        self.decoding += chunks * (self.inner.decoding + _INDEX)
        return ShardingCodec(
            chunk_shape=codec.chunk_shape,
            codecs=codecs,
            index_codecs=[
                _Index3(each, self.inner.size) if isinstance(each, ArrayBytesCodec) else each
                for each in index_codecs
            ],
            index_location=codec.index_location,
        )

    def _step(self, config: dict[str, Any]) -> None:
        """Apply a supported codec with supported options."""
        kind = str(config.get("id"))
        self._check_kind(kind)
        if kind in _PACKED:
            if kind == "lzma":  # its dictionary holds the decompressed data
                self.decoding += self.size
            self._becomes(_room(self.size), _BYTES)
        elif kind in _SUMS:
            self._becomes(self.size + 4, _BYTES)
        elif kind in _TYPED:
            self._typed(kind, config)
        elif kind == "packbits":
            if self.dtype != np.bool_:
                _refuse(self._name, f"packbits of the type {self.dtype}")
            self._becomes(1 + -(-self.size // 8), _BYTES)
        elif kind in _SAME:
            self._becomes(self.size, _BYTES if kind in ("bytes", "shuffle") else self.dtype)
        else:
            _refuse(self._name, kind)

    def _check_kind(self, kind: str) -> None:
        if kind in self._kinds:
            _refuse(self._name, f"{kind} twice")
        self._kinds.add(kind)

    def _typed(self, kind: str, config: dict[str, Any]) -> None:
        first, then = ("dtype", "astype") if kind != "astype" else ("decode_dtype", "encode_dtype")
        before = self._type(kind, config.get(first) or self.dtype)
        after = self._type(kind, config.get(then) or before)
        same = before.newbyteorder("=") == self.dtype.newbyteorder("=")
        if before.itemsize != self.dtype.itemsize or (kind == "astype" and not same):
            _refuse(self._name, f"{kind} of the type {before} where it is {self.dtype}")
        count = self.size // before.itemsize
        if kind == "fixedscaleoffset":
            for option in ("scale", "offset"):  # arrays would broadcast to many more values
                if type(config.get(option)) not in (int, float):
                    _refuse(self._name, f"{kind} with the {option} {shown(config.get(option))}")
            self.decoding += 2 * count * max(8, after.itemsize)  # as floats
        self._becomes(count * after.itemsize, after)

    def _type(self, kind: str, name: Any) -> "np.dtype[Any]":
        dtype: np.dtype[Any] = np.dtype(name)
        if dtype.kind not in "buif" or not 0 < dtype.itemsize <= _WIDEST:
            _refuse(self._name, f"{kind} to the type {shown(str(dtype))}")
        return dtype

    def _becomes(self, size: int, dtype: "np.dtype[Any]") -> None:
        self.size, self.dtype = size, dtype
        self.decoding += size


def _room(size: int) -> int:
    """Return an upper bound of compressed data: incompressible data grow."""
    return size + size // 8 + 1024


def _check_given(size: int, limit: int) -> None:
    if size > limit:
        raise ValueError(f"it has {size} bytes, but its content takes at most {limit}")


def _refuse(name: str, kind: str) -> NoReturn:
    raise InvalidInput(
        f"{name} uses the codec {shown(kind)}, which is not supported; supported codecs, each "
        f"once: {', '.join(_READ)}. Save it with one of these, or pass the open zarr.Array "
        "if you trust the store."
    )


def _unpacked(kind: str, codec: Any, data: bytes, limit: int, memory: int) -> Any:
    """Return at most `limit` decompressed bytes, with a dictionary of at most `memory` bytes."""
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
    """A codec of Zarr 2 with bounds on the bytes of its input and output."""

    codec_id = "bounded"  # required by Zarr

    def __init__(self, codec: Any, given: int, yields: int, memory: int) -> None:
        self._codec, self._given, self._yields, self._memory = codec, given, yields, memory

    def encode(self, buf: Any) -> Any:
        """Return the codec's encoding."""
        return self._codec.encode(buf)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Return the codec's decoding, after checking the length of the input."""
        _check_given(memoryview(buf).nbytes, self._given)
        if self._codec.codec_id in _PACKED:
            kind, limit = self._codec.codec_id, self._yields
            return _unpacked(kind, self._codec, bytes(buf), limit, self._memory)
        return self._codec.decode(buf)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration of the codec."""
        config: dict[str, Any] = self._codec.get_config()
        return config


class _Around:
    """Methods that a wrapper of a Zarr 3 codec delegates to it."""

    codec: Any
    is_fixed_size = False

    def to_dict(self) -> dict[str, Any]:
        """Return the metadata of the codec."""
        metadata: dict[str, Any] = self.codec.to_dict()
        return metadata

    def evolve_from_array_spec(self, array_spec: Any) -> Any:
        """Return the wrapper of the codec for an array."""
        return replace(self, codec=self.codec.evolve_from_array_spec(array_spec))  # type: ignore[type-var]

    def resolve_metadata(self, chunk_spec: Any) -> Any:
        """Return the chunk specification after the codec."""
        return self.codec.resolve_metadata(chunk_spec)

    def validate(self, **about: Any) -> None:
        """Delegate to the codec."""
        self.codec.validate(**about)

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
        """Return the encoded size of the codec."""
        size: int = self.codec.compute_encoded_size(input_byte_length, chunk_spec)
        return size


@dataclass(frozen=True)
class _Bounded3(_Around, BytesBytesCodec):  # type: ignore[misc]
    """A compressor of Zarr 3 with bounds."""

    codec: Any
    kind: str
    given: int
    yields: int
    memory: int

    def _decode_sync(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        _check_given(len(chunk_bytes), self.given)
        data = chunk_bytes.to_bytes()
        found = _unpacked(self.kind, _plain(self.codec), data, self.yields, self.memory)
        return chunk_spec.prototype.buffer.from_bytes(bytes(found))

    async def _decode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        return await asyncio.to_thread(self._decode_sync, chunk_bytes, chunk_spec)


@dataclass(frozen=True)
class _Typed3(_Around, ArrayArrayCodec):  # type: ignore[misc]
    """A codec of Zarr 3 that changes the dtype, with bounds."""

    codec: Any
    given: int

    async def _decode_single(self, chunk_array: Any, chunk_spec: Any) -> Any:
        _check_given(chunk_array.as_ndarray_like().nbytes, self.given)
        (found,) = await self.codec.decode([(chunk_array, chunk_spec)])
        return found


@dataclass(frozen=True)
class _Index3(_Around, ArrayBytesCodec):  # type: ignore[misc]
    """The index of a shard; refuses chunks longer than their upper bound."""

    codec: Any
    longest: int
    is_fixed_size = True

    async def _decode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        (found,) = await self.codec.decode([(chunk_bytes, chunk_spec)])
        starts, lengths = np.moveaxis(found.as_numpy_array(), -1, 0)
        nothing = np.iinfo(np.uint64).max
        there = lengths[(starts != nothing) | (lengths != nothing)]
        _check_given(int(there.max(initial=0)), self.longest)
        return found


def _plain(codec: Any) -> Any:
    """Return the numcodecs codec inside a Zarr codec."""
    from numcodecs.registry import get_codec

    metadata = codec.to_dict()
    kind = str(metadata["name"]).removeprefix(_PREFIX)
    config = dict(metadata.get("configuration") or {}) if kind == "lzma" else {}
    return get_codec({"id": kind, **config})
