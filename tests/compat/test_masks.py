"""refine_mask: what comes in goes out, and boundaries are those of the image."""

import numpy as np
import pytest
from gallery import blobs, photograph, reduced

from hdseg_gpu import InvalidInput, RefinementWarning, metrics, refine_mask

SHAPE = (160, 200)
TRUTH = blobs(SHAPE, 2)
IMAGE = photograph(TRUTH)
COARSE = reduced(TRUTH, 8)


@pytest.mark.parametrize("kind", ["bool", "0 and 255", "labels", "float32", "float64", "float16"])
def test_it_gets_better_and_keeps_its_kind(kind):
    mask = {
        "bool": lambda: COARSE > 0, "0 and 255": lambda: (255 * COARSE).astype(np.uint8),
        "labels": lambda: (7 * COARSE.astype(np.int32) + 3),
    }.get(kind, lambda: np.where(COARSE > 0, 0.9, 0.1).astype(kind))()  # fmt: skip
    found = refine_mask(mask, IMAGE)
    assert (found.shape, found.dtype) == (SHAPE, mask.dtype)
    if kind in ("bool", "0 and 255", "labels"):
        assert set(np.unique(found)) == set(np.unique(mask))
    else:
        assert 0 <= found.min() <= 0.1
        assert 0.9 <= found.max() <= 1
    middle = (float(mask.min()) + float(mask.max())) / 2
    enlarged = mask.repeat(8, axis=0).repeat(8, axis=1)
    scores = [metrics.iou(m > middle, TRUTH > 0) for m in (found, enlarged)]
    assert scores[0] > scores[1] + 0.01


def test_a_mask_of_one_value():
    for value in (False, True):
        with pytest.warns(RefinementWarning, match="only one class"):
            found = refine_mask(np.full((20, 25), value), IMAGE)
        np.testing.assert_array_equal(found, np.full(SHAPE, value))


def test_mirrored(rng):
    found = refine_mask(COARSE > 0, IMAGE)
    mirrored = refine_mask(COARSE[:, ::-1] > 0, IMAGE[:, ::-1])
    assert (mirrored[:, ::-1] != found).mean() < 0.002


def test_tensors():
    torch = pytest.importorskip("torch")
    found = refine_mask(torch.from_numpy(COARSE > 0), torch.from_numpy(IMAGE))
    assert isinstance(found, torch.Tensor)
    np.testing.assert_array_equal(found.numpy(), refine_mask(COARSE > 0, IMAGE))


@pytest.mark.parametrize(("mask", "words"), [
    (IMAGE, "the mask before the image"), (np.full((20, 25), 1.5), "from 0 to 1.5"),
    (np.full((20, 25), np.nan), "mask has floats"), (np.full((20, 25), -0.1), "from -0.1 to 0"),
    (np.ones((20, 40), bool), "aspect"), (np.ones((20, 25), complex), "dtype complex128"),
])  # fmt: skip
def test_bad_masks(mask, words):
    with pytest.raises(InvalidInput, match=words):
        refine_mask(mask, IMAGE)


def test_what_is_no_array():
    with pytest.raises(TypeError, match=r"mask is a builtins\.list"):
        refine_mask([[True]], IMAGE)
