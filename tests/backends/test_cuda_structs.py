"""Structures that kernels take by value: as C lays them out, and refused where they differ."""

import ctypes
import re

import numpy as np
import pytest
from executor import ExecutorDevice, build
from hypothesis import given
from hypothesis import strategies as st

from hdseg_gpu.backends.cuda import source as cuda_source
from hdseg_gpu.backends.cuda.structs import band_of, packed
from hdseg_gpu.ops import Band

SCALARS = {
    np.int32: ctypes.c_int32, np.int64: ctypes.c_int64, np.uint8: ctypes.c_uint8,
    np.uint16: ctypes.c_uint16, np.float32: ctypes.c_float, np.float64: ctypes.c_double,
    int: ctypes.c_int64, float: ctypes.c_double, type(None): ctypes.c_void_p,
}  # fmt: skip
VALUES = st.recursive(
    st.one_of(*(st.integers(0, 100).map(t) for t in SCALARS if t is not type(None)), st.none()),
    lambda inner: st.lists(inner, min_size=1, max_size=4).map(tuple),
    max_leaves=12,
)


def c_type(value):
    if not isinstance(value, tuple):
        return SCALARS[type(value)]
    fields = [(f"f{i}", c_type(each)) for i, each in enumerate(value)]
    return type("Struct", (ctypes.Structure,), {"_fields_": fields})


def c_value(kind, value):
    if isinstance(value, tuple):
        fields = zip(kind._fields_, value, strict=True)
        return kind(*(c_value(inner, each) for (_, inner), each in fields))
    return value.item() if isinstance(value, np.generic) else value


def without_padding(struct, raw, value):
    """Yield the bytes of the fields alone, with where they are: padding may be anything."""
    for (name, kind), each in zip(struct._fields_, value, strict=True):
        place = getattr(struct, name)
        part = raw[place.offset : place.offset + place.size]
        if isinstance(each, tuple):
            yield from without_padding(kind, part, each)
        else:
            yield place.offset, place.size, part


@given(st.lists(VALUES, min_size=1, max_size=6).map(tuple))
def test_bytes_are_those_of_c(value):
    struct, found = c_type(value), packed(value)
    assert found.nbytes == ctypes.sizeof(struct)
    expected = without_padding(struct, bytes(c_value(struct, value)), value)
    assert list(without_padding(struct, found.tobytes(), value)) == list(expected)


@pytest.fixture(scope="module")
def device():
    return ExecutorDevice()


def launch_put(device, band, size=3):
    """Start a small kernel that takes a band."""
    xp = device.xp
    picture = xp.zeros((2, 4), np.uint8)
    values = xp.full(3, 7, np.uint8)
    args = (band, size, values, 1, np.int32(0), picture)
    device.launch("runs.cu", "put_u8", (1,), (32,), args)
    return picture.get()


def parts(device):
    xp = device.xp
    pixel, start = xp.asarray(np.array([1, 5])), xp.asarray(np.array([0, 2, 3], np.int32))
    return pixel, start, band_of(Band((2, 4), pixel, start, 3))


def test_a_structure_arrives(device):
    _, _, band = parts(device)
    np.testing.assert_array_equal(launch_put(device, band), [[0, 7, 7, 0], [0, 7, 0, 0]])


def test_another_layout_is_refused(device):
    pixel, start, band = parts(device)
    grid, *_, runs = band
    for wrong in (
        (grid, start, pixel, runs),  # swapped
        (*grid, pixel, start, runs),  # not nested
        (grid, pixel, start),  # too few
        (*band, runs),  # too many
        (grid, pixel, start, np.int32(runs)),
        (grid, pixel, start, float(runs)),
        (tuple(map(np.int32, grid)), pixel, start, runs),
        (grid, start, start, runs),  # positions for pixels
    ):
        with pytest.raises(AssertionError, match="a structure"):
            launch_put(device, wrong)
    with pytest.raises(AssertionError, match="in host memory"):
        launch_put(device, (grid, pixel.get(), start, runs))
    with pytest.raises(AssertionError, match="not contiguous"):
        launch_put(device, (grid, device.xp.zeros(4, np.int64)[::2], start, runs))
    with pytest.raises(AssertionError):
        launch_put(device, band, size=band)


def by_value():
    """Yield (file, structure) for each structure that a kernel takes."""
    for file in cuda_source.names():
        for head in re.findall(r'extern "C" __global__[^{;]*?\(([^{;]*?)\)\s*\\?\s*\{',
                               cuda_source.source(file), re.S):  # fmt: skip
            for name in re.findall(r"hdseg::(\w+)(?:<\w+>)? \w+(?=[,)]|$)", head):
                yield file, name


def test_compilers_agree_on_every_structure():
    """CUDA's compilers check the sizes that the host compiler found, and that are packed here."""
    found = set(by_value())
    assert {name for _, name in found} >= {"Band", "GridMapping", "EvidenceTerms", "Places"}
    for file, name in found - {("upsampling.cu", "Interpolation")}:
        pattern = rf"static_assert\(sizeof\({name}(<\w+>)?\) == \d+\);"
        assert re.search(pattern, cuda_source.source(file)), (file, name)


def test_kernels_say_what_they_take():
    expected = (
        "Pu1 {0:{0:i8,8:i8,16:i8,24:i8,32:i8}40,40:{0:i8,8:i8,16:i8,24:i8,32:i8}40,"
        "80:{0:i8,8:i8}16,96:{0:i8,8:i8}16}112 i4 Pu1 "
    )
    library = build.library("upsampling.cu")
    assert library.executor_arguments(b"upsample_classes_u8").decode() == expected
