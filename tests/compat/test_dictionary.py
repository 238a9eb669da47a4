"""RefineMaskd: dictionaries of arrays, by the conventions of MONAI, with and without it."""

import copy
import pickle

import numpy as np
import pytest
from gallery import blobs, photograph, reduced

import hdseg_gpu
from hdseg_gpu import InvalidInput, RefineMaskd, metrics

TRUTH = blobs((96, 128), 3, 3)
IMAGE = np.moveaxis(photograph(TRUTH), -1, 0)
MASK = reduced(TRUTH, 8)[None]
PLANES = (0.8 * (np.arange(3)[:, None, None] == MASK) + 0.2 / 3).astype(np.float32)
EXPECTED = hdseg_gpu.refine(IMAGE.transpose(1, 2, 0), MASK[0])


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64", "float16"])
def test_labels_keep_their_dtype(dtype):
    data = {"image": IMAGE, "mask": MASK.astype(dtype), "name": "a"}
    before = dict(data)
    found = RefineMaskd("mask")(data)
    np.testing.assert_array_equal(found["mask"], EXPECTED[None])
    assert found["mask"].dtype == dtype
    assert (found["image"] is IMAGE, found["name"]) == (True, "a")
    assert all(data[key] is value for key, value in before.items())


def test_it_finds_what_is_true():
    found = RefineMaskd("mask")({"image": IMAGE, "mask": MASK})["mask"][0]
    enlarged = MASK[0].repeat(8, axis=0).repeat(8, axis=1)
    for label in range(3):
        scores = [metrics.iou(m, TRUTH, label=label) for m in (found, enlarged)]
        assert scores[0] > scores[1] + 0.01


def test_planes():
    data = {"picture": IMAGE, 1: PLANES, "b": MASK}
    labels = RefineMaskd([1, "b"], "picture", beta=50)(data)
    image = IMAGE.transpose(1, 2, 0)
    expected, planes = hdseg_gpu.refine(image, PLANES, beta=50, return_probabilities=True)
    np.testing.assert_array_equal(labels[1], expected[None])
    np.testing.assert_array_equal(labels["b"][0], hdseg_gpu.refine(image, MASK[0], beta=50))
    soft = RefineMaskd(1, "picture", output="probabilities", beta=50)(data)[1]
    np.testing.assert_array_equal(soft, planes)


def test_images_in_half_precision():
    image, transform = (IMAGE / 255).astype(np.float16), RefineMaskd("mask", output="probabilities")
    found = transform({"image": image, "mask": PLANES})["mask"]
    expected = transform({"image": image.astype(np.float32), "mask": PLANES})["mask"]
    np.testing.assert_array_equal(found, expected)


def test_missing_keys():
    data = {"image": IMAGE, "mask": MASK}
    with pytest.raises(KeyError, match="no mask under the key 'other'"):
        RefineMaskd(["mask", "other"])(data)
    found = RefineMaskd(["mask", "other"], allow_missing_keys=True)(data)
    assert list(found) == ["image", "mask"]
    np.testing.assert_array_equal(found["mask"][0], EXPECTED)
    with pytest.raises(KeyError, match="no image under the key 'image'"):
        RefineMaskd("mask", allow_missing_keys=True)({"mask": MASK})


@pytest.mark.parametrize("again", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_copies(again):
    transform = again(RefineMaskd(["mask"], allow_missing_keys=True, beta=3))
    assert repr(transform) == (
        "RefineMaskd(('mask',), 'image', allow_missing_keys=True, output='labels', beta=3.0)"
    )
    assert transform({"image": IMAGE, "mask": MASK})["mask"].shape == (1, 96, 128)


@pytest.mark.parametrize(("arguments", "words"), [
    ([[]], "keys is empty"), ([["image"]], "image_key='image' is among keys"),
])  # fmt: skip
def test_bad_keys(arguments, words):
    with pytest.raises(InvalidInput, match=words):
        RefineMaskd(*arguments)


@pytest.mark.parametrize(("options", "words"), [
    ({"allow_missing_keys": 1}, "allow_missing_keys=1"), ({"output": "x"}, "output='x'"),
    ({"class_axis": 0}, "no option 'class_axis'"), ({"tol": 3}, "tol=3"),
])  # fmt: skip
def test_bad_options(options, words):
    with pytest.raises(InvalidInput, match=words):
        RefineMaskd("mask", **options)


@pytest.mark.parametrize(("image", "mask", "words"), [
    (IMAGE[None], MASK, r"data\['image'\] has the shape \(1, 3,"),
    (IMAGE, MASK[0], r"data\['mask'\] has the shape \(12, 16\)"),
    (IMAGE, PLANES[:1], "floats that are not all labels"),
    (IMAGE, np.full(MASK.shape, np.inf), "floats that are not all labels"),
    (IMAGE, MASK[:, :6], r"data\['mask'\] as coarse: coarse .* aspect"),
])  # fmt: skip
def test_bad_arrays(image, mask, words):
    with pytest.raises(InvalidInput, match=words):
        RefineMaskd("mask")({"image": image, "mask": mask})


def test_tensors():
    torch = pytest.importorskip("torch")
    for dtype in (torch.uint8, torch.float32, torch.bfloat16):
        data = {"image": torch.from_numpy(IMAGE), "mask": torch.from_numpy(MASK).to(dtype)}
        found = RefineMaskd("mask")(data)["mask"]
        assert found.dtype == dtype
        assert torch.equal(found, torch.from_numpy(EXPECTED)[None].to(dtype))
    with pytest.raises(TypeError, match="a tensor and an array"):
        RefineMaskd("mask")(data | {"image": IMAGE})
    with pytest.raises(TypeError, match=r"data\['mask'\] is a builtins\.list"):
        RefineMaskd("mask")(data | {"mask": [[[1]]]})


def test_in_the_pipeline_of_monai():
    torch = pytest.importorskip("torch")
    transforms = pytest.importorskip("monai.transforms")
    from monai.data import MetaTensor

    affine = torch.tensor([[0, -16.0, 0, 5], [8, 0, 0, 7], [0, 0, 1, 0], [0, 0, 0, 1]])
    mask = MetaTensor(torch.from_numpy(MASK).float(), affine=affine, meta={"case": "a"})
    mask.meta["spatial_shape"] = np.array(MASK.shape[1:])
    pipeline = transforms.Compose([
        transforms.ScaleIntensityd("image"), RefineMaskd("mask"),
        transforms.AsDiscreted("mask", to_onehot=3),
    ])  # fmt: skip
    found = pipeline({"image": MetaTensor(torch.from_numpy(IMAGE)), "mask": mask})["mask"]
    assert isinstance(found, MetaTensor)
    assert found.meta["case"] == "a"
    assert found.meta["spatial_shape"].tolist() == [96, 128]
    assert (found.argmax(0).numpy() == EXPECTED).mean() > 0.99
    # A corner of the grid stays where it was: of its pixels the outer corner, -1/2.
    for corner in ((0, 0), (12, 0), (0, 16)):
        small = torch.tensor([corner[0] - 0.5, corner[1] - 0.5, 0, 1], dtype=found.affine.dtype)
        large = torch.tensor([8 * corner[0] - 0.5, 8 * corner[1] - 0.5, 0, 1]).to(small)
        torch.testing.assert_close(found.affine @ large, mask.affine @ small)
    assert torch.equal(mask.affine, affine.to(mask.affine))  # the input's is left alone
