"""Malicious Zarr arrays: codecs, chunks and metadata."""

import json
import os
import pickle
import struct
import zlib

import numpy as np
import pytest
from file_samples import GREY, refused
from source_files import save_zarr

from hdseg_gpu import Window, open_image
from hdseg_gpu.core.memory import resident
from hdseg_gpu.core.windows import whole
from hdseg_gpu.io import read_labels
from hdseg_gpu.io.zarr_source import open_zarr


class Trap:
    def __init__(self, flag):
        self.flag = flag

    def __reduce__(self):
        return os.system, (f"touch {self.flag}",)


def write_v2(path, content=b"", **changes):
    path.mkdir(exist_ok=True)
    metadata = {
        "zarr_format": 2, "shape": [41, 57], "chunks": [41, 57], "dtype": "|u1", "order": "C",
        "compressor": None, "fill_value": 0, "filters": None,
    }  # fmt: skip
    (path / ".zarray").write_text(json.dumps({**metadata, **changes}))
    (path / "0.0").write_bytes(content)


def write_v3(path, codecs, content=b"", shape=(41, 57), chunk=(41, 57)):
    path.mkdir(exist_ok=True)
    metadata = {
        "zarr_format": 3, "node_type": "array", "shape": shape, "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
        "chunk_key_encoding": {"name": "default"}, "fill_value": 0, "codecs": codecs,
        "attributes": {},
    }  # fmt: skip
    (path / "zarr.json").write_text(json.dumps(metadata))
    (path / "c/0").mkdir(parents=True, exist_ok=True)
    (path / "c/0/0").write_bytes(content)


def shard(codecs, index=({"name": "bytes", "configuration": {"endian": "little"}},)):
    inner = {"chunk_shape": [41, 57], "codecs": codecs, "index_codecs": list(index)}
    return [{"name": "sharding_indexed", "configuration": inner}]


NUMCODECS = pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in")
BYTES = {"name": "bytes", "configuration": {"endian": "little"}}


@NUMCODECS
@pytest.mark.parametrize("kind", ["pickle", "json2", "msgpack2", "vlen-utf8", "nobody's"])
def test_codecs_that_are_not_known(tmp_path, kind):
    pytest.importorskip("zarr")
    path, flag = tmp_path / "a.zarr", tmp_path / "ran"
    content = pickle.dumps(Trap(flag))
    for changes in (
        {"compressor": {"id": kind}},
        {"filters": [{"id": kind}]},
        {"filters": [{"id": "delta", "dtype": "|u1"}, {"id": kind}], "compressor": {"id": "zlib"}},
    ):
        write_v2(path, content, **changes)
        with refused(path, f"{kind}|StringDType"):
            open_image(path).read(whole((41, 57)))
    write_v2(path, content, filters=[{"id": kind}], dtype="|O")
    with refused(path):
        open_image(path)
    other = tmp_path / "b.zarr"
    for codecs in (
        [BYTES, {"name": f"numcodecs.{kind}"}],
        [BYTES, {"name": kind}],
        shard([BYTES, {"name": f"numcodecs.{kind}"}]),
        shard([BYTES], [BYTES, {"name": f"numcodecs.{kind}"}]),
        [*shard([BYTES]), {"name": f"numcodecs.{kind}"}],
    ):
        write_v3(other, codecs, content)
        with refused(other, f"{kind}|ArrayBytesCodec"):
            open_image(other).read(whole((41, 57)))
    assert not flag.exists()


def test_a_codec_that_zarr_knows_and_we_do_not(tmp_path):
    pytest.importorskip("zarr")
    numcodecs = pytest.importorskip("numcodecs")
    content = numcodecs.Base64().encode(GREY.tobytes())
    for changes in ({"compressor": {"id": "base64"}}, {"filters": [{"id": "base64"}]}):
        write_v2(tmp_path / "a.zarr", content, **changes)
        with refused(tmp_path / "a.zarr", "uses the codec 'base64'"):
            open_image(tmp_path / "a.zarr")


@pytest.mark.parametrize("kind", ["zlib", "gzip", "bz2", "lzma", "zstd", "blosc", "lz4"])
@pytest.mark.parametrize("shuffled", [False, True])
def test_codecs_that_are_known(tmp_path, kind, shuffled):
    zarr = pytest.importorskip("zarr")
    numcodecs = pytest.importorskip("numcodecs")
    codec = numcodecs.get_codec({"id": kind})
    filters = [numcodecs.Delta("i4")] if shuffled else None
    pixels = GREY.astype(np.int32) * 7
    array = zarr.create_array(tmp_path / "a.zarr", shape=(41, 57), chunks=(16, 16), dtype="i4",
                              zarr_format=2, compressors=codec, filters=filters)  # fmt: skip
    array[...] = pixels
    with open_image(tmp_path / "a.zarr") as source:
        np.testing.assert_array_equal(source.read(whole((41, 57)))[..., 0], pixels)


@NUMCODECS
@pytest.mark.parametrize("kind", ["zlib", "gzip", "bz2", "lzma", "zstd", "blosc", "lz4"])
def test_a_chunk_that_unpacks_to_more(tmp_path, kind):
    pytest.importorskip("zarr")
    numcodecs = pytest.importorskip("numcodecs")
    content = bytes(numcodecs.get_codec({"id": kind}).encode(bytes(1 << 26)))
    write_v2(tmp_path / "a.zarr", content, compressor={"id": kind})
    name = kind if kind in ("gzip", "zstd", "blosc") else f"numcodecs.{kind}"
    settings = {
        "gzip": {"level": 1},
        "zstd": {"level": 1, "checksum": False},
        "blosc": {"cname": "lz4", "clevel": 1, "shuffle": "noshuffle", "typesize": 1,
                  "blocksize": 0},
    }.get(kind, {})  # fmt: skip
    codec = {"name": name, "configuration": settings}
    write_v3(tmp_path / "b.zarr", [BYTES, codec], content)
    # the index of a shard says where the chunk is, and how long
    index = struct.pack("<QQ", 0, len(content))
    write_v3(tmp_path / "c.zarr", shard([BYTES, codec]), content + index)
    for name in ("a.zarr", "b.zarr", "c.zarr"):
        with refused(tmp_path / name, "decompresses to more than|has .* bytes, but its content"):
            open_image(tmp_path / name).read(whole((41, 57)))


def test_zstandard_that_does_not_say_its_size(tmp_path):
    pytest.importorskip("zarr")
    pytest.importorskip("imagecodecs")
    # a raw block in a frame with a window and no content size; the last block: 2 bits, size << 3
    block = struct.pack("<I", (GREY.size << 3) | 1)[:3] + GREY.tobytes()
    frame = b"\x28\xb5\x2f\xfd\x00\x58" + block
    write_v2(tmp_path / "a.zarr", frame, compressor={"id": "zstd"})
    with open_image(tmp_path / "a.zarr") as source:
        np.testing.assert_array_equal(source.read(whole((41, 57)))[..., 0], GREY)
    # 64 blocks of 128 KiB, each a byte that is repeated
    blocks = b"".join(
        struct.pack("<I", (1 << 17 << 3) | (1 << 1) | (i == 63))[:3] + b"\0" for i in range(64)
    )
    write_v2(tmp_path / "a.zarr", frame[:6] + blocks, compressor={"id": "zstd"})
    with refused(tmp_path / "a.zarr", "damaged"):
        open_image(tmp_path / "a.zarr").read(whole((41, 57)))


def test_filters_to_types_that_are_no_numbers(tmp_path):
    pytest.importorskip("zarr")
    for config in (
        {"id": "astype", "encode_dtype": "|u1", "decode_dtype": "|S10000000"},
        {"id": "delta", "dtype": "|u1", "astype": "|V100000"},
    ):
        write_v2(tmp_path / "a.zarr", GREY.tobytes(), filters=[config])
        with refused(tmp_path / "a.zarr", config["id"]):
            open_image(tmp_path / "a.zarr")


def growing(kind):
    """Return filters that would yield more than the chunk of bytes that it is for."""
    wide = {"id": "astype", "encode_dtype": "|u1", "decode_dtype": "<f8"}
    return {
        "packbits": [{"id": "packbits"}],
        "packbits, again and again": [{"id": "packbits"}] * 3,
        "astype": [wide],
        "astype, again and again": [wide] * 3,
        "astype of another kind": [{**wide, "decode_dtype": "|i1"}],
        "delta": [{"id": "delta", "dtype": "<f8", "astype": "|u1"}],
        "fixedscaleoffset": [
            {"id": "fixedscaleoffset", "scale": 1, "offset": 0, "dtype": "<f8", "astype": "|u1"}
        ],
        "many offsets": [
            {"id": "fixedscaleoffset", "scale": 1, "offset": [[0]] * 99, "dtype": "|u1",
             "astype": "|u1"}
        ],
        "shuffle twice": [{"id": "shuffle", "elementsize": 1}] * 2,
    }[kind]  # fmt: skip


GROWING = (
    "packbits", "packbits, again and again", "astype", "astype, again and again",
    "astype of another kind", "delta", "fixedscaleoffset", "many offsets", "shuffle twice",
)  # fmt: skip


@NUMCODECS
@pytest.mark.parametrize("kind", GROWING)
@pytest.mark.parametrize("where", ["v2", "v2 compressor", "v3", "shard"])
def test_filters_that_yield_more(tmp_path, kind, where):
    pytest.importorskip("zarr")
    filters, path = growing(kind), tmp_path / "a.zarr"
    if where == "v2 compressor":
        write_v2(path, GREY.tobytes(), filters=filters[1:], compressor=filters[0])
    elif where == "v2":
        write_v2(path, GREY.tobytes(), filters=filters)
    else:
        codecs = [
            {"name": f"numcodecs.{each['id']}",
             "configuration": {k: v for k, v in each.items() if k != "id"}}
            for each in filters
        ]  # fmt: skip
        codecs = [BYTES, *codecs] if "shuffle" in kind else [*codecs, BYTES]
        write_v3(path, codecs if where == "v3" else shard(codecs), GREY.tobytes())
    with refused(path, "which is not supported|Packbits filter requires bool"):
        open_image(path)


BOTH = {
    "packbits": (np.bool_, {}),
    "astype": (np.float64, {"encode_dtype": "<f4", "decode_dtype": "<f8"}),
    "delta": (np.uint16, {"dtype": "<u2", "astype": "<i8"}),
    "fixedscaleoffset": (
        np.float64, {"scale": 2, "offset": -1.5, "dtype": "<f8", "astype": "<u2"}
    ),
    "bitround": (np.float32, {"keepbits": 23}),
}  # fmt: skip


@NUMCODECS
@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("sharded", [False, True])
def test_filters_that_are_known(tmp_path, kind, version, sharded):
    zarr = pytest.importorskip("zarr")
    numcodecs = pytest.importorskip("numcodecs")
    if sharded and version == 2:
        pytest.skip("shards came with version 3")
    dtype, settings = BOTH[kind]
    pixels = (GREY % 2 if kind == "packbits" else GREY).astype(dtype)
    if version == 2:
        filters = [numcodecs.get_codec({"id": kind, **settings})]
        packed = numcodecs.get_codec({"id": "zlib"})
    else:
        own = pytest.importorskip("zarr.codecs.numcodecs")
        names = {each.lower(): each for each in dir(own)}
        filters, packed = [getattr(own, names[kind])(**settings)], own.Zlib()
    options = {"shards": (32, 32)} if sharded else {}
    array = zarr.create_array(tmp_path / "a.zarr", shape=(41, 57), chunks=(16, 16), dtype=dtype,
                              zarr_format=version, filters=filters, compressors=packed,
                              **options)  # fmt: skip
    array[...] = pixels
    with open_image(tmp_path / "a.zarr") as source:
        np.testing.assert_array_equal(source.read(whole((41, 57)))[..., 0], pixels)


def test_what_filters_need_is_counted(tmp_path):
    pytest.importorskip("zarr")
    side = 4096
    about = {"shape": [side, side], "chunks": [side, side]}
    budget = resident() + (250 << 20)
    write_v2(tmp_path / "a.zarr", **about, filters=[{"id": "delta", "dtype": "|u1"}])
    with open_image(tmp_path / "a.zarr", max_memory=budget) as source:
        plain = source.decoding
    wide = [{"id": "delta", "dtype": "|u1", "astype": "<i8"}]
    write_v2(tmp_path / "a.zarr", **about, filters=wide, compressor={"id": "zlib"})
    with open_image(tmp_path / "a.zarr") as source:
        assert source.decoding >= plain + 14 * side**2  # twice, packed and not
    with refused(tmp_path / "a.zarr", "decoding a chunk of shape .* MiB are left"):
        open_image(tmp_path / "a.zarr", max_memory=budget)


@NUMCODECS
def test_filters_are_given_no_more_than_a_chunk(tmp_path):
    pytest.importorskip("zarr")
    filters = [{"id": "delta", "dtype": "|u1", "astype": "<i4"}]
    much = bytes(8 * GREY.size)
    write_v2(tmp_path / "a.zarr", much, filters=filters)
    write_v2(tmp_path / "b.zarr", zlib.compress(much), filters=filters, compressor={"id": "zlib"})
    write_v2(tmp_path / "c.zarr", much, filters=[*filters, {"id": "shuffle"}])
    for name in ("a.zarr", "b.zarr", "c.zarr"):
        assert_too_long(tmp_path / name)


def assert_too_long(path):
    """Check that the store gives no chunk that is too long, and that no codec takes it."""
    for most in (None, 1 << 40):
        with open_zarr(path) as source:
            if most is not None:
                source._store.most = most
            with refused(path, "content takes|decompresses to more than"):
                source.read(whole((41, 57)))


@NUMCODECS
def test_a_filter_of_whose_type_zarr_does_not_know(tmp_path):
    """It takes the stored values for those before the filter, which then are four times as many."""
    pytest.importorskip("zarr")
    settings = {"digits": 1, "dtype": "<f8", "astype": "<f2"}
    codecs = [{"name": "numcodecs.quantize", "configuration": settings}, BYTES]
    path = tmp_path / "a.zarr"
    write_v3(path, codecs, bytes(8 * GREY.size))
    metadata = json.loads((path / "zarr.json").read_text())
    (path / "zarr.json").write_text(json.dumps({**metadata, "data_type": "float64"}))
    assert_too_long(path)


def test_chunks_of_a_pixel_are_counted(tmp_path):
    pytest.importorskip("zarr")
    budget = resident() + (500 << 20)
    about = {"shape": [3000, 3000], "chunks": [1, 1]}
    write_v2(tmp_path / "a.zarr", **about)
    with refused(tmp_path / "a.zarr", r"decoding a chunk of shape \(1, 1\)"):
        open_image(tmp_path / "a.zarr", max_memory=budget)
    write_v2(tmp_path / "a.zarr", b"\0", **{**about, "shape": [100, 100]})  # which are few
    with open_image(tmp_path / "a.zarr", max_memory=budget) as source:
        source.read(whole((100, 100)))
    metadata = shard([BYTES])
    metadata[0]["configuration"]["chunk_shape"] = [1, 1]
    write_v3(tmp_path / "b.zarr", metadata, b"", (3000, 3000), (3000, 3000))
    with refused(tmp_path / "b.zarr", r"decoding a chunk of shape \(1, 1\)"):
        open_image(tmp_path / "b.zarr", max_memory=budget + (500 << 20))


def test_an_index_that_names_the_whole_shard_again_and_again(tmp_path):
    pytest.importorskip("zarr")
    metadata = shard([BYTES])
    metadata[0]["configuration"]["chunk_shape"] = [4, 4]
    content = bytes(64 * 16)
    index = struct.pack("<QQ", 0, len(content)) * 64
    write_v3(tmp_path / "a.zarr", metadata, content + index, (32, 32), (32, 32))
    for window in (whole((32, 32)), Window(0, 0, 9, 9)):
        with refused(tmp_path / "a.zarr", "1024 bytes, but its content takes at most 16"):
            open_image(tmp_path / "a.zarr").read(window)


def test_keys_of_many_characters(tmp_path):
    key = "k\n" * 10_000
    np.savez(tmp_path / "a.npz", a=GREY, b=GREY)
    np.save(tmp_path / "a.npy", GREY)
    for name in ("a.npz", "a.npy"):
        with refused(tmp_path / name, r"(has no array |key=)'.*\.\.\.") as caught:
            read_labels(tmp_path / name, key)
        assert len(str(caught.value)) < 500
    save_zarr(tmp_path / "a.zarr")
    with refused(tmp_path / "a.zarr", r"(has|contains) no array '.*\.\.\.") as caught:
        open_image(tmp_path / "a.zarr", key=key)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "attributes",
    [
        {"multiscales": 7}, {"multiscales": [{"axes": 7, "datasets": []}]},
        {"multiscales": [{"axes": ["y", "x"], "datasets": [{"path": ["0"]}]}]},
        {"multiscales": [{"axes": [{"name": "y"}, {"name": ["x"]}], "datasets": []}]},
        {"multiscales": [{"axes": [{"name": "y", "unit": []}, {"name": "x"}],
                          "datasets": [{"path": "0", "coordinateTransformations": 3}]}]},
        {"multiscales": [{"axes": [{"name": "y", "unit": {}}, {"name": "x", "unit": []}],
          "datasets": [{"path": "0", "coordinateTransformations": [
              {"type": "scale", "scale": [10**400, 1]}]}]}]},
        {"multiscales": [{"axes": [{"name": "y", "unit": {}}, {"name": "x", "unit": []}],
          "datasets": [{"path": "0", "coordinateTransformations": [
              {"type": "scale", "scale": [1, 1]}]}]}]},
        {"multiscales": [{"axes": ["y", "x"], "datasets": [{"path": "../../etc"}]}]},
        {"multiscales": [{"axes": ["y", 100_000 * "x"], "datasets": []}]},
    ],
)  # fmt: skip
def test_odd_metadata(tmp_path, attributes):
    pytest.importorskip("zarr")
    path = tmp_path / "a.zarr"
    path.mkdir()
    write_v2(path / "0")
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    (path / ".zattrs").write_text(json.dumps(attributes))
    with refused(path) as caught:
        open_image(path).read(whole((41, 57)))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("rows", [2**40 + 1, 2**63 - 1, 2**63, 2**64 - 1])
def test_a_side_that_nobody_can_count(tmp_path, rows):
    """Zarr reads nothing there, and says nothing."""
    pytest.importorskip("zarr")
    path = tmp_path / "a.zarr"
    write_v3(path, [BYTES], GREY.tobytes(), shape=(rows, 57))
    with refused(path):
        open_image(path)


def test_metadata_that_are_deep_or_no_picture(tmp_path):
    pytest.importorskip("zarr")
    path = tmp_path / "a.zarr"
    path.mkdir()
    for text in ("[" * 100_000, "{}", "7", "\0", '{"zarr_format": 3, "node_type": "array"}'):
        (path / "zarr.json").write_text(text)
        with refused(path):
            open_image(path)
