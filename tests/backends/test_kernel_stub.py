"""The compiled module is what its stub says, and takes what the ops take."""

import ast

import kernel_stub
import numpy as np
import pytest

from hdseg_gpu.backends.cpu import CpuOps, isa
from hdseg_gpu.backends.cpu.layout import CpuEdges
from hdseg_gpu.core.windows import Window, all_of, whole
from hdseg_gpu.ops import Band, Estimation, by_run


@pytest.fixture(params=isa.NAMES)
def kernels(request):
    if request.param not in isa.supported():
        pytest.skip(f"this processor has no {request.param}")
    return CpuOps(request.param)._kernels


@pytest.mark.parametrize("name", isa.NAMES)
def test_the_stub_is_what_nanobind_says(name):
    pytest.importorskip("nanobind", minversion="3.1")
    if name not in isa.supported():
        pytest.skip(f"this processor has no {name}")
    written = ast.parse(kernel_stub.STUB.read_text())
    made = ast.parse(kernel_stub.stub(name))
    how = "python -P tests/kernel_stub.py rewrites it"
    assert imports(written) == imports(made), how
    assert ast.dump(written.body[-1]) == ast.dump(made.body[-1]), how


def imports(tree):
    return {ast.dump(n) for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)}


def test_overloads_are_united():
    source = """
@overload
def f(a: Annotated[NDArray[numpy.uint8], dict(order='C')], n: int) -> tuple[int, int]: ...
@overload
def f(a: Annotated[NDArray[numpy.int8], dict(order='C')], n: int) -> tuple[float, int]: ...
"""
    found = kernel_stub.united(ast.parse(source).body)
    assert ast.unparse(found) == (
        "def f(self, a: NDArray[numpy.uint8 | numpy.int8], n: int) -> tuple[int | float, int]:\n"
        "    ..."
    )
    with pytest.raises(AssertionError, match="other arguments"):
        kernel_stub.united(ast.parse("def f(a): ...\ndef f(b): ...").body)


BAND = CpuOps("baseline").band(np.zeros((3, 4), np.uint8))


@pytest.mark.parametrize(
    "wrong",
    [
        BAND._replace(pixel=BAND.pixel.astype(np.int32)),  # would have to be converted
        BAND._replace(start=BAND.start.astype(np.int64)),
        BAND._replace(pixel=np.zeros((1, 1), np.int64)),
        BAND._replace(pixel=np.zeros(6, np.int64)[::2]),
        BAND._replace(shape=(3,)),
        BAND._replace(shape=("three", 4)),
        BAND._replace(pixel=[0]),
        (3, 4),
        None,
    ],
)
def test_a_wrong_band_is_refused(kernels, wrong):
    with pytest.raises(TypeError, match="incompatible function arguments"):
        kernels.components(wrong, np.empty(3, np.int32))


def test_numbers_may_be_numpys(kernels):
    band = Band((np.int64(3), np.int32(4)), BAND.pixel, BAND.start, BAND.size)
    component = np.full(3, -1, np.int32)
    assert kernels.components(band, component) == 1
    np.testing.assert_array_equal(component, 0)


def test_wrong_names_are_refused(kernels):
    place, fine = all_of((4, 4), (2, 2)), np.empty((4, 4), np.uint8)
    coarse = np.array([[1, 2], [3, 4]], np.uint8)
    kernels.upsample_classes(coarse, place, "linear", fine)
    np.testing.assert_array_equal(np.unique(fine), [1, 2, 3, 4])
    for how in ("nearest", "Linear", b"linear", 0, None):
        with pytest.raises(TypeError, match="incompatible function arguments"):
            kernels.upsample_classes(coarse, place, how, fine)
    with pytest.raises(TypeError, match="incompatible function arguments"):
        kernels.upsample_classes(coarse, place._replace(part=None), "linear", fine)


def test_other_structures_are_refused(kernels):
    seeds, labels = np.zeros((3, 4), np.uint8), np.ones((3, 1), np.uint8)
    x, bound = np.zeros((0, 12 + 2 * kernels.padding), np.float32), np.zeros(1, np.float32)
    rest = (bound, whole((3, 4)), seeds)
    assert kernels.decide(BAND, x, labels, by_run(BAND), *rest) == 0
    for places in (by_run(BAND)._replace(first=np.zeros(3)), by_run(BAND)._replace(across="all")):
        with pytest.raises(TypeError, match="incompatible function arguments"):
            kernels.decide(BAND, x, labels, places, *rest)
    with pytest.raises(TypeError, match="incompatible function arguments"):
        kernels.decide(BAND, x, labels, by_run(BAND), bound, Window(0, 0, "3", 4), seeds)
    edges = CpuEdges(np.zeros((3, 12 + 2 * kernels.padding), np.float32))  # not 4 rows
    with pytest.raises(TypeError, match="incompatible function arguments"):
        kernels.row_starts(BAND, edges, np.empty(13, np.int32))


@pytest.mark.parametrize("radii", [(), (1, "2"), 3])
def test_a_wrong_estimation_is_refused(kernels, radii):
    moments, own = np.ones((2, 2, 3), np.float32), np.zeros((2, 2), np.uint8)
    start, label = np.array([0, 1]), np.zeros(1, np.uint8)
    rest = (moments, 1, own, np.ones((2, 2), np.float32), 1, start, label)
    how, found = Estimation(2, 4.0, (1,), 0.1, 0.01, 0.1), np.empty((1, 3), np.float32)
    kernels.colour_models(*rest, how, found)
    with pytest.raises(TypeError, match="incompatible function arguments"):
        kernels.colour_models(*rest, how._replace(radii=radii), found)
