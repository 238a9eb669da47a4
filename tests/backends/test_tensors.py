"""Torch tensors in host memory: accepted as networks return them; results are tensors, too."""

import numpy as np
import pytest

from hdseg_gpu import InvalidInput, metrics, refine, refine_file, seeds, thinning

torch = pytest.importorskip("torch", exc_type=ImportError)
pytestmark = pytest.mark.filterwarnings("ignore::hdseg_gpu.RefinementWarning")

RNG = np.random.default_rng(97)
COARSE = np.zeros((12, 16), np.uint8)
COARSE[3:9, 4:11] = 2
COARSE[6:11, 9:14] = 1
MASK = COARSE.repeat(8, axis=0).repeat(8, axis=1)
IMAGE = (70 * MASK[..., None] + RNG.integers(0, 90, (*MASK.shape, 3))).astype(np.uint8)
LOGITS = np.stack([k == COARSE for k in range(3)]).astype(np.float32) * 4 - 2  # exact in bfloat16


def image():
    return torch.from_numpy(IMAGE.copy())


def check(found, expected):
    assert isinstance(found, torch.Tensor)
    assert found.device.type == "cpu"
    assert not found.requires_grad
    np.testing.assert_array_equal(found.numpy(), expected, strict=True)


def test_a_tensor_is_answered_with_tensors():
    labels, probabilities, report = refine(
        image(), COARSE, return_probabilities=True, return_report=True
    )
    expected = refine(IMAGE, COARSE, return_probabilities=True)
    check(labels, expected[0])
    check(probabilities, expected[1])
    assert report.backend == "cpu"
    check(seeds(torch.from_numpy(MASK), passes=4), seeds(MASK, passes=4))
    for mask in (MASK > 0, (MASK > 0).astype(np.uint8)):
        check(thinning(torch.from_numpy(mask), "3x3", 4), thinning(mask, "3x3", 4))
    packed = np.packbits(MASK > 0, axis=1, bitorder="little")
    expected = thinning(packed, "3x3", 4, packed_width=MASK.shape[1])
    check(thinning(torch.from_numpy(packed), "3x3", 4, packed_width=MASK.shape[1]), expected)


def test_the_image_decides_what_comes_back():
    expected = refine(IMAGE, COARSE)
    found = refine(IMAGE, torch.from_numpy(COARSE))
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found, expected, strict=True)
    check(refine(image(), torch.from_numpy(COARSE)), expected)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "int64", "bool"])
def test_labels_keep_their_type(dtype):
    coarse = (COARSE > 0).astype(dtype)
    check(refine(image(), torch.from_numpy(coarse)), refine(IMAGE, coarse))


@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64"])
def test_images_of_other_types(dtype):
    array = (IMAGE / 255).astype(dtype) if dtype != "uint16" else IMAGE * np.uint16(257)
    check(refine(torch.from_numpy(array), COARSE), refine(array, COARSE))


def test_other_layouts():
    expected = refine(IMAGE, COARSE)
    first = image().permute(2, 0, 1)
    flipped = torch.from_numpy(IMAGE[:, ::-1].copy()).flip(1)
    wide = torch.zeros((*MASK.shape, 6), dtype=torch.uint8)
    wide[..., ::2] = image()
    last = first.contiguous()[None].contiguous(memory_format=torch.channels_last)[0]
    for tensor, axis in (
        (first, 0),
        (first.contiguous(), 0),
        (last, 0),
        (flipped, -1),
        (wide[..., ::2], -1),
        (image().expand((*MASK.shape, 3)), -1),
    ):
        check(refine(tensor, COARSE, channel_axis=axis), expected)


def test_what_a_network_hands_over():
    expected = refine(IMAGE, LOGITS)
    logits = torch.from_numpy(LOGITS).requires_grad_()
    for tensor in (
        logits,
        logits * 1,
        torch.nn.Parameter(logits),
        logits.half(),
        logits.bfloat16(),
    ):
        np.testing.assert_array_equal(refine(IMAGE, tensor), expected, strict=True)
    assert logits.grad is None
    assert logits.requires_grad
    bright = torch.from_numpy(IMAGE / np.float32(256)).bfloat16()  # NumPy has no such type
    check(refine(bright.requires_grad_(), COARSE), refine(bright.detach().float().numpy(), COARSE))
    last = torch.from_numpy(np.moveaxis(LOGITS, 0, -1).copy())
    np.testing.assert_array_equal(refine(IMAGE, last, class_axis=-1), expected)


def test_inputs_stay_as_they_are():
    given, coarse = image(), torch.from_numpy(COARSE.copy())
    labels = refine(given, coarse)
    np.testing.assert_array_equal(given.numpy(), IMAGE)
    np.testing.assert_array_equal(coarse.numpy(), COARSE)
    labels += 1  # it is the caller's
    np.testing.assert_array_equal(coarse.numpy(), COARSE)


def test_other_arguments():
    edges = RNG.random(MASK.shape)
    options = {"edges": "boundary", "passes": 4}
    found = refine(image(), COARSE, boundary=torch.from_numpy(edges).requires_grad_(), **options)
    check(found, refine(IMAGE, COARSE, boundary=edges, **options))
    assert metrics.iou(torch.from_numpy(MASK), torch.from_numpy(MASK), label=1) == 1.0


def test_files_take_tensors(tmp_path):
    options = {"max_memory": 4 << 30}
    given = torch.from_numpy(LOGITS).requires_grad_()
    refine_file(image(), given, tmp_path / "a.npy", **options)
    refine_file(IMAGE, LOGITS, tmp_path / "b.npy", **options)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"))


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (lambda t: t.to_sparse(), ["coarse", "tensor", "to_dense"]),
        (lambda t: torch.empty(t.shape, device="meta"), ["coarse", "tensor"]),
        (lambda t: t[None], ["coarse has 4 dimensions", "(1, 3, 12, 16)"]),
        (lambda t: t[:0], ["coarse is empty"]),
        (lambda t: t.to(torch.complex64), ["coarse", "complex64"]),
    ],
    ids=["sparse", "meta", "batch", "empty", "complex"],
)
def test_what_cannot_be_taken(make, parts):
    with pytest.raises(InvalidInput) as caught:
        refine(IMAGE, make(torch.from_numpy(LOGITS)))
    assert [part for part in parts if part not in str(caught.value)] == []
    assert "\n" not in str(caught.value)


def test_a_tensor_of_half_precision_as_image():
    with pytest.raises(InvalidInput, match="image has the unsupported dtype float16"):
        refine(image().half(), COARSE)
