"""Arrays of any memory layout reach kernels contiguous, aligned and in native byte order."""

import numpy as np
import pytest
from file_samples import memory_of

import hdseg_gpu
from hdseg_gpu import InvalidInput, refine, refine_file, seeds, thinning
from hdseg_gpu.backends.cpu import isa

RNG = np.random.default_rng(83)
SHAPE = (96, 128)
COARSE = np.zeros((12, 16), np.int64)
COARSE[3:9, 4:11] = 2
COARSE[6:11, 9:14] = 1
MASK = COARSE.repeat(8, axis=0).repeat(8, axis=1)
IMAGE = (MASK[..., None] * 0.3 + RNG.random((*SHAPE, 3)) * 0.4).astype(np.float32)
DEEP = (IMAGE * 65535).astype(np.uint16)
PLANES = np.stack([k == COARSE for k in range(3)]).astype(np.float64) * 0.8 + 0.2 / 3
EDGES = RNG.random(SHAPE)
ELEMENTS = hdseg_gpu.structuring_elements("3x3").astype(np.int64)


def misaligned(array):
    buffer = np.empty(array.nbytes + 1, np.uint8)
    view = buffer[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    assert array.itemsize == 1 or not view.flags.aligned
    return view


def from_a_message(array):
    """Read-only, at an odd address, as readers of files and messages have it."""
    offset = next(n for n in range(1, 17) if array.itemsize == 1 or (n + 32) % array.itemsize)
    return np.frombuffer(b"?" * offset + array.tobytes(), array.dtype, offset=offset).reshape(
        array.shape
    )


def in_a_record(array):
    records = np.empty(array.shape, [("before", "u1"), ("value", array.dtype)])
    records["value"] = array
    return records["value"]


def backwards(array):
    return array[::-1, ::-1].copy()[::-1, ::-1]


def swapped(array):
    return array.astype(array.dtype.newbyteorder())


def misaligned_and_swapped(array):
    return misaligned(swapped(array))


def of_fortran(array):
    return np.asfortranarray(array)


def as_matrix(array):
    return array.view(np.matrix) if array.ndim == 2 else array


def as_masked(array):
    return np.ma.MaskedArray(array)


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def of_lists(array):
    return array.tolist() if array.dtype in (np.int64, np.float64) else array


def strided(array):
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]


LAYOUTS = [
    *(misaligned, from_a_message, in_a_record, backwards, swapped, misaligned_and_swapped),
    *(of_fortran, as_matrix, as_masked, read_only, of_lists, strided),
]


class Watched:
    """Kernels that look at the arrays they are given."""

    def __init__(self, kernels):
        self.kernels, self.faults, self.seen = kernels, [], 0

    def __getattr__(self, name):
        kernel = getattr(self.kernels, name)
        if not callable(kernel):
            return kernel

        def call(*arguments):
            for i, array in enumerate(arguments):
                if isinstance(array, np.ndarray):
                    self.seen += 1
                    flags = array.flags
                    if not (flags.aligned and flags.c_contiguous and array.dtype.isnative):
                        self.faults.append(f"{name}: argument {i}: {array.dtype} {flags}")
            return kernel(*arguments)

        return call


@pytest.fixture
def watched(monkeypatch):
    load, kept = isa.load, []

    def loaded(name=None):
        found, kernels = load(name)
        kept.append(Watched(kernels))
        return found, kept[-1]

    monkeypatch.setattr(isa, "load", loaded)
    yield kept
    assert sum(kernels.seen for kernels in kept) > 0
    assert [fault for kernels in kept for fault in kernels.faults] == []


def by_files(image, coarse, folder, **options):
    refine_file(
        image,
        coarse,
        folder / "labels.npy",
        overwrite=True,
        max_memory=memory_of(4 << 30),
        **options,
    )
    return np.load(folder / "labels.npy")


CALLS = {
    "labels": lambda lay, _: refine(lay(IMAGE), lay(COARSE)),
    "probabilities": lambda lay, _: refine(lay(IMAGE), lay(PLANES), return_probabilities=True)[1],
    "deep": lambda lay, _: refine(lay(DEEP), lay(PLANES.astype(np.float32)), solver="multigrid"),
    "channels first": lambda lay, _: refine(
        lay(np.ascontiguousarray(np.moveaxis(DEEP, -1, 0))), lay(COARSE), channel_axis=0
    ),
    "grey": lambda lay, _: refine(lay(IMAGE[..., 0].astype(np.float64)), lay(COARSE), gamma=0.0),
    "boundary": lambda lay, _: refine(
        lay(IMAGE), lay(COARSE), edges="boundary", boundary=lay(EDGES), elements=lay(ELEMENTS)
    ),
    "bools": lambda lay, _: refine(lay(DEEP), lay(COARSE > 0)),
    "seeds": lambda lay, _: seeds(lay(MASK), elements=lay(ELEMENTS), passes=4),
    "seeds of uint16": lambda lay, _: seeds(lay(MASK.astype(np.uint16)), passes=4),
    "thinning": lambda lay, _: thinning(lay(MASK > 0), lay(ELEMENTS), 4),
    "thinning, packed": lambda lay, _: thinning(
        lay(np.packbits(MASK > 0, axis=1, bitorder="little")), "9x9", 4, packed_width=SHAPE[1]
    ),
    "file": lambda lay, folder: by_files(lay(DEEP), lay(COARSE), folder),
    "file, probabilities": lambda lay, folder: by_files(
        lay(IMAGE), lay(PLANES), folder, edges="boundary", boundary=lay(EDGES)
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda f: f.__name__)
def test_layouts_in_memory(call, layout, watched, tmp_path):
    expected = CALLS[call](lambda array: array, tmp_path)
    found = CALLS[call](layout, tmp_path)
    np.testing.assert_array_equal(found, expected, strict=True)


@pytest.mark.filterwarnings("ignore")
def test_files_whose_values_begin_anywhere(watched, tmp_path):
    """A .npy file's header may have any length, and its values any byte order."""
    expected = by_files(DEEP, COARSE, tmp_path)
    for name, array in (("image", DEEP.astype(">u2")), ("coarse", COARSE.astype(">i8"))):
        header = repr({"descr": array.dtype.str, "fortran_order": False, "shape": array.shape})
        header += " " * ((array.itemsize - 1 - 10 - len(header)) % array.itemsize + 3) + "\n"
        with (tmp_path / f"{name}.npy").open("wb") as stream:
            stream.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little"))
            stream.write(header.encode() + array.tobytes())
    found = by_files(tmp_path / "image.npy", tmp_path / "coarse.npy", tmp_path)
    np.testing.assert_array_equal(found, expected, strict=True)


def test_the_watch_sees_what_kernels_may_not_get():
    class Kernels:  # not the real ones, which may end the process
        def variance(self, values):
            return 0.0

    for layout in (misaligned, from_a_message, in_a_record, backwards, swapped, strided):
        kernels = Watched(Kernels())
        kernels.variance(layout(IMAGE.reshape(-1, 3)))
        assert len(kernels.faults) == 1


@pytest.mark.parametrize("value", [2, 128, 255])
def test_bools_that_are_not_0_or_1(value):
    odd = ((MASK > 0) * np.uint8(value)).view(np.bool_)
    np.testing.assert_array_equal(seeds(odd, passes=4), seeds(MASK > 0, passes=4))
    small = ((COARSE > 0) * np.uint8(value)).view(np.bool_)
    np.testing.assert_array_equal(refine(DEEP, small), refine(DEEP, COARSE > 0))


@pytest.mark.parametrize(
    "dtype", ["O", "M8[s]", "m8[s]", "c8", "f2", "g", "S3", "U3", "V4", "i2", "?", [("a", "f4")]]
)
def test_images_of_other_types(dtype):
    image = np.zeros((*SHAPE, 3), dtype)
    with pytest.raises(InvalidInput, match=r"^image has the unsupported dtype .*convert it"):
        refine(image, COARSE)
    with pytest.raises(InvalidInput, match=r"^boundary has the unsupported dtype .*convert it"):
        refine(DEEP, COARSE, edges="boundary", boundary=image[..., 0])


@pytest.mark.parametrize("dtype", ["O", "M8[s]", "m8[s]", "c8", "S3", "U3", "V4", [("a", "f4")]])
def test_maps_of_other_types(dtype):
    for call, name in (
        (lambda: refine(DEEP, np.zeros(COARSE.shape, dtype)), "coarse"),
        (lambda: refine(DEEP, np.zeros(PLANES.shape, dtype)), "coarse"),
        (lambda: seeds(np.zeros(SHAPE, dtype)), "mask"),
        (lambda: thinning(np.zeros(SHAPE, dtype), "3x3", 2), "mask"),
        (lambda: thinning(MASK > 0, np.zeros((8, 3, 3), dtype), 2), "elements"),
    ):
        with pytest.raises(InvalidInput, match=rf"^{name} has "):
            call()


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "g"])
@pytest.mark.filterwarnings("ignore")
def test_probabilities_of_any_float(dtype):
    planes = (PLANES * 1024).round() / 1024  # exact in all of them
    np.testing.assert_array_equal(refine(DEEP, planes.astype(dtype)), refine(DEEP, planes))


@pytest.mark.filterwarnings("ignore")
def test_broadcast_arrays_without_strides():
    flat = np.broadcast_to(np.uint16(7), (*SHAPE, 3))
    np.testing.assert_array_equal(refine(flat, COARSE), refine(flat.copy(), COARSE))
