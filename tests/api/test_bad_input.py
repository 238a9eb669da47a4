"""Wrong input is refused in one line that names it and the remedy; unusual input works."""

import warnings

import numpy as np
import pytest
from plain import PLAIN, either_way, plain
from refusals import COARSE, IMAGE, PLANES, REMEDY, RGB, RNG, refused

from hdseg_gpu import InvalidInput, RefinementWarning, available_backends, refine, seeds, thinning
from hdseg_gpu.backends.cpu import CpuOps

MASK = np.repeat(np.repeat(COARSE, 4, axis=0), 4, axis=1)
EDGE_MAP = RNG.random((53, 67))
CENTRE = np.array([[[1]]], np.int8)  # matches everywhere: deletes every pixel
SETTINGS = ["intensity", "boundary"], ["linear", "cubic"], ["auto", "multigrid", "amg", "direct"]
BACKENDS = ["auto", "cpu", "reference"]


def with_value(array, index, value):
    changed = np.array(array)
    changed[index] = value
    return changed


REFINE = {
    # shapes
    "image 1-D": ({"image": IMAGE[0]}, ["image", "1 dimensions", "(67,)", "(H, W)"]),
    "image 4-D": ({"image": RGB[np.newaxis]}, ["image", "4 dimensions", "(1, 53, 67, 3)"]),
    "image scalar": ({"image": 0.5}, ["image", "0 dimensions"]),
    "image ragged": ({"image": [[1.0, 2.0], [3.0]]}, ["image is not an array", "(H, W)"]),
    "coarse 1-D": ({"coarse": COARSE[0]}, ["coarse", "1 dimensions", "(14,)", "(h, w)"]),
    "coarse 4-D": ({"coarse": PLANES[np.newaxis]}, ["coarse", "4 dimensions", "(1, 2, 11, 14)"]),
    "image empty": ({"image": np.zeros((0, 67))}, ["image is empty", "(0, 67)"]),
    "coarse empty": ({"coarse": np.zeros((11, 0), int)}, ["coarse is empty", "(11, 0)"]),
    "classes empty": ({"coarse": np.zeros((0, 11, 14))}, ["coarse is empty", "(0, 11, 14)"]),
    "aspect": ({"coarse": COARSE[:9]}, ["coarse (9, 14)", "image (53, 67)", "aspect", "resize"]),
    "aspect transposed": ({"coarse": COARSE.T}, ["coarse (14, 11)", "(53, 67)", "resize"]),
    "too many channels": (
        {"image": np.zeros((53, 67, 17), np.uint8)},
        ["image has 17 channels", "(53, 67, 17)", "channel_axis"],
    ),
    "channels in front": ({"image": np.moveaxis(RGB, -1, 0)}, ["image has 67 channels", "axis"]),
    "channel_axis": ({"image": RGB, "channel_axis": 3}, ["channel_axis=3", "3 dimensions"]),
    "channel_axis negative": ({"image": RGB, "channel_axis": -4}, ["channel_axis=-4"]),
    "channel_axis of a grey image": ({"channel_axis": 9}, ["channel_axis=9", "from -3 to 2"]),
    "class_axis of labels": ({"class_axis": 7}, ["class_axis=7", "from -3 to 2"]),
    "class_axis fractional": ({"class_axis": 1.5}, ["class_axis=1.5"]),
    "masked image": (
        {"image": np.ma.masked_less(IMAGE, 0.1)},
        ["image is a masked array", "image.filled"],
    ),
    "channel_axis float": ({"image": RGB, "channel_axis": 1.0}, ["channel_axis=1.0"]),
    "class_axis": ({"coarse": PLANES, "class_axis": 3}, ["class_axis=3", "3 dimensions"]),
    "class_axis negative": ({"coarse": PLANES, "class_axis": -4}, ["class_axis=-4"]),
    "alpha of one channel": ({"alpha": True}, ["alpha=True", "1 channel"]),
    # values
    "NaN in image": (
        {"image": with_value(IMAGE, (7, 9), np.nan)},
        ["image", "NaN", "[7, 9", "numpy.nan_to_num"],
    ),
    "Inf in image": (
        {"image": with_value(IMAGE.astype(np.float32), (7, 9), -np.inf)},
        ["image", "infinity", "[7, 9", "replace"],
    ),
    "NaN in probabilities": (
        {"coarse": with_value(PLANES, (1, 3, 4), np.nan)},
        ["coarse", "NaN", "[1, 3, 4]", "replace"],
    ),
    "Inf in logits": (
        {"coarse": with_value(9 * PLANES, (0, 3, 4), np.inf)},
        ["coarse", "infinity", "[0, 3, 4]", "replace"],
    ),
    "K = 1": ({"coarse": PLANES[:1]}, ["coarse has 1 class", "(1, 11, 14)", "[1 - p, p]"]),
    "zero for all classes": (
        {"coarse": with_value((200 * PLANES).astype(np.uint8), np.s_[:, 6, 2], 0)},
        ["coarse is 0 for every class", "[6, 2]"],
    ),
    "negative quantised": (
        {"coarse": with_value((200 * PLANES).astype(np.int16), (0, 6, 2), -3)},
        ["coarse", "-3", "non-negative"],
    ),
    # dtypes
    **{
        f"{dtype} image": (
            {"image": IMAGE.astype(dtype)},
            ["image", f"dtype {np.dtype(dtype)};", "uint8", "uint16", "float32", "float64"],
        )
        for dtype in ("complex64", "object", "int16", "bool", "float16", "int64")
    },
    "image a path": ({"image": "photo.png"}, ["image", "dtype <U9", "uint8"]),
    "float labels": (
        {"coarse": COARSE.astype(float)},
        ["coarse", "float64", "numpy.stack([1 - p, p])", ".astype(numpy.int32)"],
    ),
    "complex labels": ({"coarse": COARSE.astype(complex)}, ["coarse", "complex128", "integer"]),
    "object labels": ({"coarse": COARSE.astype(object)}, ["coarse", "object", "integer"]),
    "complex planes": ({"coarse": PLANES.astype(complex)}, ["coarse", "complex128", "floats"]),
    # numbers
    **{
        f"passes {value!r}": ({"passes": value}, [f"passes={value!r}", "integer of at least 0"])
        for value in (-1, 2.5, 3.0, True, "4", float("nan"))
    },
    **{
        f"{name} {value!r}": (
            {name: value},
            [f"{name}={value!r}", f"finite number of at least {least}"],
        )
        for name, least, values in (
            ("scale", 1, (0, 0.99, -4, np.nan, np.inf, True, "8")),
            ("beta", 0, (-1e-9, np.nan, np.inf, "9", 1e13)),
            ("gamma", 0, (-0.1, np.nan, np.inf, 1e300)),
            ("tol", "1e-06 and at most 0.5", (0, -1e-4, 9e-7, 0.51, np.nan, np.inf, True, "1e-4")),
        )
        for value in values
    },
    # names
    **{
        f"{name} unknown": ({name: "Amg!"}, [f"{name}='Amg!'", *map(repr, valid)])
        for name, valid in zip(
            ("edges", "interpolation", "solver", "backend", "elements"),
            (*SETTINGS, BACKENDS, ["9x9", "3x3"]),
            strict=True,
        )
    },
    # custom elements
    **{
        f"elements {why}": ({"elements": value}, ["elements", text, "(m, n, n)", "n odd"])
        for why, value, text in (
            ("even", np.zeros((1, 4, 4), int), "(1, 4, 4)"),
            ("too large", np.zeros((2, 11, 11), int), "(2, 11, 11)"),
            ("not square", np.zeros((2, 3, 5), int), "(2, 3, 5)"),
            ("2-D", np.ones((3, 3), int), "(3, 3)"),
            ("none", np.zeros((0, 3, 3), int), "(0, 3, 3)"),
            ("fractional", np.full((1, 3, 3), 0.5), "float64"),
            ("of 2", with_value(np.zeros((1, 3, 3), int), (0, 1, 1), 2), "2"),
        )
    },
    # boundary map
    "boundary missing": ({"edges": "boundary"}, ["boundary=", "as large as the image", "needs"]),
    "boundary unasked": ({"boundary": EDGE_MAP}, ["boundary=", "'intensity'", "edges='boundary'"]),
    **{
        f"boundary {why}": ({"edges": "boundary", "boundary": value}, ["boundary", *parts])
        for why, value, parts in (
            ("mis-shaped", EDGE_MAP[:50], ["(50, 67)", "(53, 67)"]),
            ("3-D", EDGE_MAP[..., None], ["(53, 67, 1)", "(53, 67)"]),
            ("above 1", with_value(EDGE_MAP, (2, 3), 1.5), ["to 1.5", "scale it to [0, 1]"]),
            ("below 0", with_value(EDGE_MAP, (2, 3), -0.5), ["from -0.5", "scale it to [0, 1]"]),
            ("NaN", with_value(EDGE_MAP, (2, 3), np.nan), ["NaN", "[2, 3", "replace"]),
            ("Inf", with_value(EDGE_MAP, (2, 3), np.inf), ["infinity", "[2, 3", "replace"]),
            ("int32", EDGE_MAP.astype(np.int32), ["int32", "convert"]),
            ("empty", np.zeros((0, 67)), ["(0, 67)", "pass"]),
        )
    },
    # nothing left to start from
    "all unknown": (
        {"elements": CENTRE, "passes": 1},
        ["passes=1 left no seeds", "[0, 5]", "fewer passes or other elements"],
    ),
}


@pytest.mark.parametrize("case", REFINE)
def test_refine_refuses(case):
    arguments, parts = REFINE[case]
    arguments = {"image": IMAGE, "coarse": COARSE} | arguments
    with refused(*parts):
        refine(arguments.pop("image"), arguments.pop("coarse"), **arguments)


@pytest.mark.parametrize("image", [IMAGE[:10], IMAGE[:, :13], IMAGE[:10, :13]])
def test_coarse_larger_than_the_image(image):
    with pytest.raises(InvalidInput, match=r"coarse is larger than the image.*swapped") as caught:
        refine(image, COARSE)
    assert f"(11, 14) against {image.shape}" in str(caught.value)


@pytest.mark.parametrize("backend", available_backends())
@pytest.mark.parametrize(
    ("shape", "coarse_shape"),
    [
        ((53, 67), (11, 14)),
        ((53, 67), (11, 13)),
        ((53, 67), (11, 15)),
        # Exactly one coarse pixel too many: the limit belongs to what is accepted ...
        ((60, 60), (11, 12)),
        # ... also where H / h is not exact in floating point.
        ((58, 58), (14, 15)),
        ((70, 70), (13, 14)),
        ((58, 58), (8, 7)),
    ],
)
@either_way
def test_aspect_within_one_coarse_pixel_is_accepted(refined, shape, coarse_shape, backend):
    coarse = np.full(coarse_shape, 3, np.int16)
    coarse[:, coarse_shape[1] // 2 :] = -2
    labels = refined(np.zeros(shape, np.uint8), coarse, passes=2, backend=backend)
    assert labels.shape == shape
    assert set(np.unique(labels)) == {-2, 3}


@pytest.mark.parametrize("coarse_shape", [(11, 16), (14, 14), (9, 14), (2, 14), (11, 1)])
def test_aspect_beyond_one_coarse_pixel_is_refused(coarse_shape):
    with refused(f"coarse {coarse_shape}", "image (53, 67)", "aspect", "resize"):
        refine(IMAGE, np.zeros(coarse_shape, np.uint8))


@pytest.mark.parametrize(
    ("image", "coarse", "axes", "index"),
    [
        (IMAGE, PLANES.transpose(1, 2, 0), {"class_axis": 2}, (3, 4, 1)),
        (RGB.transpose(2, 0, 1) / 255, COARSE, {"channel_axis": 0}, (2, 7, 9)),
        (IMAGE, COARSE, {}, (7, 9)),
    ],
    ids=["class_axis", "channel_axis", "grey"],
)
def test_nan_is_located_in_the_callers_own_axes(image, coarse, axes, index):
    if "class_axis" in axes:
        coarse = with_value(coarse, index, np.nan)
    else:
        image = with_value(image, index, np.nan)
    with refused(f"index {list(index)}"):
        refine(image, coarse, **axes)


@pytest.mark.parametrize("scale", [1e15, 1e30, 1e308])
def test_absurd_scale_is_refused_like_other_input(scale):
    with refused():  # for the scale itself, or because so many passes leave no seeds
        refine(IMAGE, COARSE, scale=scale, **PLAIN)


@pytest.mark.filterwarnings("ignore:Thinning with passes:hdseg_gpu.RefinementWarning")
@pytest.mark.parametrize("backend", available_backends())
@pytest.mark.parametrize(
    "scale",
    [
        100,
        1e4,
        1e15,
        1e30,
        1e308,
    ],
)
def test_absurd_scale_with_evidence_is_refined_or_refused(scale, backend):
    try:
        labels, found = refine(
            IMAGE, COARSE, scale=scale, backend=backend, return_probabilities=True
        )
    except InvalidInput as error:
        assert REMEDY.search(str(error))  # noqa: PT017 - either is fine
    else:
        assert set(np.unique(labels)) <= {0, 5}
        np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-4)


@pytest.mark.parametrize("factor", [1e-320, 1e-150, 1e150, 1e300])
@either_way
def test_finite_images_of_any_magnitude_are_refined_or_refused(refined, factor):
    image = np.where(np.arange(67) < 40, 0.25, 0.75) * np.ones((53, 1)) * factor
    try:
        _, probabilities = refined(image, COARSE, return_probabilities=True)
    except InvalidInput as error:
        assert "image" in str(error)  # noqa: PT017 - either is fine, anything else is not
    else:
        assert np.isfinite(probabilities).all()
        np.testing.assert_allclose(probabilities.sum(axis=0), 1, atol=1e-5)


SEEDS = {
    "mask 1-D": (MASK[0], {}, ["mask", "1 dimensions", "(56,)", "(h, w)"]),
    "mask 3-D": (MASK[None], {}, ["mask", "3 dimensions", "(1, 44, 56)"]),
    "mask empty": (MASK[:0], {}, ["mask is empty", "(0, 56)"]),
    "float mask": (MASK.astype(np.float32), {}, ["mask", "float32", "integers"]),
    "complex mask": (MASK.astype(complex), {}, ["mask", "complex128", "integer"]),
    "negative label": (with_value(MASK.astype(int), (3, 3), -7), {}, ["mask", "-7", "at least 0"]),
    "label too large": (np.where(MASK, 2**63 - 1, 0), {}, ["mask", str(2**63 - 1)]),
    "elements": (MASK, {"elements": "5x5"}, ["elements='5x5'", "'9x9'", "'3x3'"]),
    "backend": (MASK, {"backend": "gpu"}, ["backend='gpu'", *map(repr, BACKENDS)]),
    "passes": (MASK, {"passes": -2}, ["passes=-2", "at least 0"]),
    "scale": (MASK, {"passes": None, "scale": 0}, ["scale=0", "at least 1"]),
    "absurd scale": (MASK, {"passes": None, "scale": 1e30}, []),
    "all unknown": (MASK, {"elements": CENTRE}, ["left no seeds", "[0, 5]", "fewer passes"]),
}


@pytest.mark.parametrize("case", SEEDS)
def test_seeds_refuses(case):
    mask, arguments, parts = SEEDS[case]
    with refused(*parts):
        seeds(mask, **{"passes": 3} | arguments)


THINNING = {
    "labels": (MASK.astype(np.int32), "3x3", 2, "auto", ["mask", "int32", "uint8", "mask > 0"]),
    "floats": (MASK / 5.0, "3x3", 2, "auto", ["mask", "float64", "bools"]),
    "3-D": (MASK[None] > 0, "3x3", 2, "auto", ["mask", "3 dimensions", "(1, 44, 56)"]),
    "empty": (MASK[:, :0] > 0, "3x3", 2, "auto", ["mask is empty", "(44, 0)"]),
    "elements": (MASK > 0, "9X9", 2, "auto", ["elements='9X9'", "'9x9'", "'3x3'"]),
    "passes": (MASK > 0, "3x3", 1.5, "auto", ["passes=1.5", "integer"]),
    "bool passes": (MASK > 0, "3x3", np.True_, "auto", ["passes=", "True", "integer"]),
    "backend": (MASK > 0, "3x3", 2, "metal", ["backend='metal'", *map(repr, BACKENDS)]),
}


@pytest.mark.parametrize("case", THINNING)
def test_thinning_refuses(case):
    mask, elements, passes, backend, parts = THINNING[case]
    with refused(*parts):
        thinning(mask, elements, passes, backend=backend)


PACKED = np.packbits(MASK > 0, axis=1, bitorder="little")  # 56 pixels, 7 bytes a row
THINNING_PACKED = {
    "too wide": (PACKED, 57, ["packed_width=57", "uint8 of shape (H, 8)", "(44, 7)"]),
    "too narrow": (PACKED, 48, ["packed_width=48", "uint8 of shape (H, 6)", "(44, 7)"]),
    "not packed": (MASK > 0, 56, ["packed_width=56", "bool", "numpy.packbits"]),
    "other integers": (PACKED.astype(np.uint16), 56, ["uint16", "packed_width=56"]),
    "3-D": (PACKED[None], 56, ["mask", "3 dimensions", "(1, 44, 7)"]),
    "no width": (PACKED, 0, ["packed_width=0", "at least 1"]),
    "negative width": (PACKED, -8, ["packed_width=-8", "at least 1"]),
    "bool width": (PACKED, True, ["packed_width=True"]),
    "float width": (PACKED, 56.0, ["packed_width=56.0", "pixels"]),
}


@pytest.mark.parametrize("case", THINNING_PACKED)
def test_thinning_refuses_packed(case):
    mask, width, parts = THINNING_PACKED[case]
    with refused(*parts):
        thinning(mask, "3x3", 2, packed_width=width)


# ---- unusual, but not wrong ------------------------------------------------------------------


@pytest.mark.parametrize("backend", available_backends())
@pytest.mark.parametrize("value", [np.uint8(0), np.int32(-9), np.True_, np.uint16(700)])
@either_way
def test_one_class_only_is_the_answer_and_said_so(refined, value, backend):
    coarse = np.full((11, 14), value)
    with pytest.warns(RefinementWarning, match=rf"only one class, {value}\b") as caught:
        labels, probabilities, report = refined(
            RGB, coarse, backend=backend, return_probabilities=True, return_report=True
        )
    np.testing.assert_array_equal(labels, np.full((53, 67), value), strict=True)
    np.testing.assert_array_equal(probabilities, np.ones((1, 53, 67), np.float32))
    assert report.notes == tuple(str(w.message) for w in caught)
    assert (report.unknown_pixels, report.solver) == (0, "none")


@either_way
def test_probabilities_with_one_winner_everywhere(refined):
    labels, report = refined(
        IMAGE, np.stack([PLANES[0] * 0, PLANES[0] * 0 + 1]), return_report=True
    )
    np.testing.assert_array_equal(labels, np.ones((53, 67), np.uint8), strict=True)
    assert report.unknown_pixels == 0


@pytest.mark.parametrize("backend", available_backends())
def test_class_without_seeds_is_named_and_cannot_appear(backend):
    coarse = np.zeros((11, 14), np.int16)
    coarse[4:8, 10:12], coarse[:, :5] = -3, 6
    # A pixel with another label on its right goes: 40 times is more than any but the last column.
    eastern = np.array([[[0, 0, 0], [0, 1, -1], [0, 0, 0]]], np.int8)
    options = {"elements": eastern, "passes": 40, "backend": backend}
    with pytest.warns(RefinementWarning, match=r"passes=40 left no seeds of class \[-3, 6\]"):
        labels, report = plain(IMAGE, coarse, return_report=True, **options)
    assert set(np.unique(labels)) == {0}
    assert report.notes[0].endswith("these classes cannot appear in the result.")
    with pytest.warns(RefinementWarning, match=r"left no seeds of class \[3, 6\]"):
        found = seeds(np.kron(np.abs(coarse), np.ones((5, 5), np.int16)), **options)
    assert set(np.unique(found)) == {0, 1}


CONSTANT = pytest.mark.parametrize(
    "image",
    [
        np.zeros((55, 70), np.uint8),
        np.full((55, 70, 3), 65535, np.uint16),
        np.full((55, 70), 0.1),  # whose mean is not exactly 0.1
        np.full((55, 70, 2), 0.7, np.float32),
    ],
    ids=["uint8", "uint16", "float64", "float32"],
)
# 55 x 70 is 5 times COARSE, so the boundary stays where it was, between columns 34 and 35.
HALVES = np.where(np.arange(70) < 35, 0, 5).astype(np.uint8) * np.ones((55, 1), np.uint8)


@CONSTANT
@pytest.mark.parametrize("backend", available_backends())
def test_constant_image_is_as_good_as_equal_weights(image, backend):
    options = {"backend": backend, "solver": "direct", "return_probabilities": True}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no division by zero on the way
        found = [plain(image, COARSE, beta=beta, **options) for beta in (0.0, 1000.0, 1e6)]
    noise = RNG.random((55, 70))
    labels, probabilities = plain(noise, COARSE, beta=0.0, **options)
    np.testing.assert_array_equal(labels, HALVES)
    for constant_labels, constant_probabilities in found:
        np.testing.assert_array_equal(constant_labels, HALVES)
        np.testing.assert_allclose(constant_probabilities, probabilities, atol=1e-5)


@CONSTANT
@pytest.mark.parametrize("backend", available_backends())
def test_evidence_of_a_constant_image_is_the_map_alone(image, backend):
    """Its colours say nothing, at any beta; the map is looked at in cells of 2 x 2 pixels."""
    options = {"backend": backend, "solver": "direct", "return_probabilities": True}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = [refine(image, COARSE, beta=beta, **options) for beta in (0.0, 1000.0, 1e6)]
        other = np.full_like(image, image.flat[0] // 3 if image.dtype.kind == "u" else 0.2)
        found.append(refine(other, COARSE, **options))
    for labels, probabilities in found:
        np.testing.assert_array_equal(labels[:, :34], HALVES[:, :34])
        np.testing.assert_array_equal(labels[:, 36:], HALVES[:, 36:])
        np.testing.assert_array_equal(labels, found[0][0])
        np.testing.assert_allclose(probabilities, found[0][1], atol=1e-5)


@either_way
def test_constant_boundary_map_is_as_good_as_equal_weights(refined):
    options = {"edges": "boundary", "solver": "direct", "return_probabilities": True}
    _, even = refined(IMAGE, COARSE, boundary=EDGE_MAP, beta=0.0, **options)
    for value in (0.0, 0.3, 1.0):
        _, found = refined(IMAGE, COARSE, boundary=np.full((53, 67), value), **options)
        np.testing.assert_allclose(found, even, atol=1e-5)


@pytest.mark.parametrize("backend", available_backends())
def test_class_without_seeds_can_come_back_by_evidence_and_the_note_says_so(backend):
    coarse = np.zeros((11, 14), np.uint8)
    coarse[4:8, 10:12] = 9
    eastern = np.array([[[0, 0, 0], [0, 1, -1], [0, 0, 0]]], np.int8)
    options = {"elements": eastern, "passes": 40, "backend": backend, "gamma": 50.0}
    with pytest.warns(RefinementWarning, match=r"class \[9\].* only where there is evidence"):
        labels = refine(IMAGE, coarse, **options)
    assert set(np.unique(labels)) == {0, 9}


@pytest.mark.parametrize("backend", available_backends())
@either_way
def test_bools_made_of_255(refined, backend):
    """Pillow makes such arrays of 1-bit pictures; their bytes are not 0 and 1."""
    odd = (np.uint8(255) * (MASK > 0)).view(np.bool_)
    assert odd.view(np.uint8).max() == 255
    for function, arguments in ((thinning, ("9x9", 2)), (seeds, ())):
        options = {"backend": backend} | ({} if arguments else {"passes": 2})
        np.testing.assert_array_equal(
            function(odd, *arguments, **options), function(MASK > 0, *arguments, **options)
        )
    small = (np.uint8(255) * (COARSE > 0)).view(np.bool_)
    np.testing.assert_array_equal(
        refined(IMAGE, small, backend=backend), refined(IMAGE, COARSE > 0, backend=backend)
    )


def test_more_unknown_pixels_than_a_matrix_can_index():
    from hdseg_gpu.pipeline.seeds import MAX_UNKNOWN, check_band

    class Counted(CpuOps):
        def histogram(self, values, count):
            return np.array([unknown, *[0] * (count - 1)])

    seeds = np.broadcast_to(np.uint8(1), (1 << 15, 1 << 15))  # no more than a byte of memory
    for unknown in (MAX_UNKNOWN, MAX_UNKNOWN + 1):
        if unknown > MAX_UNKNOWN:
            with refused("passes=7", str(MAX_UNKNOWN + 1), str(MAX_UNKNOWN)):
                check_band(Counted(), seeds, 7)
        else:
            check_band(Counted(), seeds, 7)
    assert seeds.size > MAX_UNKNOWN
    assert 5 * MAX_UNKNOWN < 2**31


# ---- arguments stay as they are --------------------------------------------------------------

CALLS = {
    "grey": (refine, [IMAGE, COARSE], {}),
    "RGBA": (refine, [np.dstack([RGB, RGB[..., 0]]), COARSE], {"alpha": True}),
    "uint16 big-endian": (refine, [RGB.astype(">u2"), COARSE.astype(">i4")], {}),
    "channels first": (refine, [RGB.transpose(2, 0, 1), COARSE], {"channel_axis": 0}),
    "bool labels": (refine, [IMAGE, COARSE > 0], {"gamma": 0.1}),
    "int64 labels": (refine, [IMAGE, COARSE.astype(np.int64)], {"passes": 3}),
    "probabilities": (refine, [IMAGE, PLANES], {"gamma": 0.1, "interpolation": "cubic"}),
    "float64 probabilities": (refine, [IMAGE, PLANES.astype(float)], {"gamma": 0.1}),
    "logits": (refine, [IMAGE, 9 * PLANES - 4], {"gamma": 0.1}),
    "quantised": (refine, [IMAGE, (255 * PLANES).astype(np.uint8)], {}),
    "classes last": (refine, [IMAGE, PLANES.transpose(1, 2, 0)], {"class_axis": -1}),
    "boundary": (refine, [IMAGE, COARSE], {"edges": "boundary", "boundary": EDGE_MAP}),
    "elements": (refine, [IMAGE, COARSE], {"elements": np.array([[[0, 1, -1]] * 3], np.int8)}),
    "seeds": (seeds, [MASK], {"passes": 3}),
    "seeds int32": (seeds, [MASK.astype(np.int32)], {"passes": 3}),
    "thinning": (thinning, [MASK > 0, "3x3", 2], {}),
    "thinning of a view": (thinning, [(MASK > 0)[::2, ::-1], "9x9", 2], {}),
}


@pytest.mark.filterwarnings("ignore::hdseg_gpu.RefinementWarning")  # logits are noted
@pytest.mark.parametrize("writeable", [True, False])
@pytest.mark.parametrize("backend", available_backends())
@pytest.mark.parametrize("case", CALLS)
def test_arguments_are_never_modified(case, backend, writeable):
    function, positional, named = CALLS[case]
    given = [*positional, *named.values()]
    arrays = [a for a in given if isinstance(a, np.ndarray)]
    before = [(a.copy(), a.tobytes(), a.strides) for a in arrays]
    flags = [a.flags.writeable for a in arrays]
    try:
        for a in arrays:
            a.flags.writeable = writeable
        first = function(*positional, backend=backend, **named)
        if isinstance(first, np.ndarray):
            first.flat[:] = 1  # the result must not share the arguments' memory either
        for a, (copy, content, strides) in zip(arrays, before, strict=True):
            np.testing.assert_array_equal(a, copy, strict=True)
            assert (a.tobytes(), a.strides) == (content, strides)
    finally:
        for a, flag in zip(arrays, flags, strict=True):
            a.flags.writeable = flag
