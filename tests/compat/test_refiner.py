"""Refiner: each item of a batch as ``refine`` would have it, behind a model or its output."""

import copy
import inspect
import pickle
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from gallery import blobs, photograph, reduced

import hdseg_gpu
from hdseg_gpu import InvalidInput, RefinementWarning, Refiner, metrics
from hdseg_gpu.core.options import CallOptions

torch = pytest.importorskip("torch")

SHAPE = (96, 128)
TRUTHS = [blobs(SHAPE, 3, seed) for seed in (3, 5)]
IMAGES = torch.stack([torch.from_numpy(photograph(t)).permute(2, 0, 1) for t in TRUTHS])
LABELS = torch.stack([torch.from_numpy(reduced(t, 8)) for t in TRUTHS])
PLANES = 0.8 * torch.nn.functional.one_hot(LABELS.long(), 3).permute(0, 3, 1, 2) + 0.2 / 3


def alone(image, coarse, **options):
    """Return what ``refine`` has for one item, in NumPy and with the channels last."""
    return hdseg_gpu.refine(image.permute(1, 2, 0).numpy(), coarse.numpy(), **options)


def disk(side=96):
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    inside = y**2 + x**2 < (side * 0.31) ** 2
    return inside, torch.from_numpy(np.where(inside, 200, 50).astype(np.uint8))[None, None]


class Bright(torch.nn.Module):
    """Two classes by brightness; keeps what it was given."""

    def __init__(self, stride=1, dtype=torch.float32):
        super().__init__()
        self.threshold = torch.nn.Parameter(torch.tensor(0.5, dtype=dtype))
        self.stride, self.seen = stride, []

    def forward(self, x):
        self.seen.append(x)
        light = (x.mean(1) > self.threshold).to(x.dtype)
        light = torch.nn.functional.avg_pool2d(light[:, None], self.stride)[:, 0]
        return torch.stack([1 - light, light], 1)


@pytest.mark.parametrize("coarse", [LABELS, LABELS.int() + 7, LABELS == 1, PLANES, PLANES.double()])
def test_labels_are_those_of_each_item(coarse):
    found = Refiner()(IMAGES, coarse)
    for labels, image, its in zip(found, IMAGES, coarse, strict=True):
        expected = alone(image, its)
        np.testing.assert_array_equal(labels.numpy(), expected)
        assert labels.numpy().dtype == expected.dtype


def test_a_channel_of_labels_is_the_same():
    assert torch.equal(Refiner()(IMAGES, LABELS[:, None]), Refiner()(IMAGES, LABELS))


def test_it_finds_what_is_true():
    for labels, truth in zip(Refiner()(IMAGES, LABELS), TRUTHS, strict=True):
        enlarged = reduced(truth, 8).repeat(8, axis=0).repeat(8, axis=1)
        for label in range(3):
            scores = [metrics.iou(m, truth, label=label) for m in (labels.numpy(), enlarged)]
            assert scores[0] > scores[1] + 0.01


def test_probabilities_are_those_of_each_item():
    found = Refiner(output="probabilities")(IMAGES, PLANES)
    assert (found.shape, found.dtype) == ((2, 3, *SHAPE), torch.float32)
    torch.testing.assert_close(found.sum(1), torch.ones(2, *SHAPE), atol=1e-5, rtol=0)
    for planes, image, its in zip(found, IMAGES, PLANES, strict=True):
        np.testing.assert_array_equal(planes, alone(image, its, return_probabilities=True)[1])


def test_the_order_of_the_batch():
    found = Refiner()(IMAGES.flip(0), PLANES.flip(0)).flip(0)
    assert torch.equal(found, Refiner()(IMAGES, PLANES))


def test_permuted_classes():
    order = torch.tensor([2, 0, 1])
    found = Refiner()(IMAGES, PLANES[:, order])
    expected = Refiner()(IMAGES, PLANES)
    # The rounds of ``refine`` may take a few pixels elsewhere when classes change places.
    assert (order[found.long()] != expected).float().mean() < 0.005


@pytest.mark.parametrize("stored", [torch.channels_last, torch.contiguous_format])
def test_memory_formats(stored):
    found = Refiner()(IMAGES.contiguous(memory_format=stored), PLANES)
    assert torch.equal(found, Refiner()(IMAGES, PLANES))
    model = Bright()
    Refiner(model, 32)(IMAGES.contiguous(memory_format=stored))
    assert model.seen[0].is_contiguous(memory_format=stored)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_exact(dtype):
    images, planes = (IMAGES / 255).to(dtype), PLANES.to(dtype)
    refiner = Refiner(output="probabilities")
    assert torch.equal(refiner(images, planes), refiner(images.float(), planes.float()))


def test_gradients_stop():
    images = (IMAGES / 255).requires_grad_()
    found = Refiner(output="probabilities")(images, PLANES.clone().requires_grad_())
    assert not found.requires_grad
    model = Bright()
    Refiner(model, 32)(images)
    assert not model.seen[0].requires_grad
    assert torch.is_grad_enabled()


def test_under_inference_mode():
    with torch.inference_mode():
        found = Refiner()(IMAGES.clone(), PLANES.clone())
    assert torch.equal(found, Refiner()(IMAGES, PLANES))


def test_a_model_and_a_disk():
    inside, images = disk()
    model = Bright(stride=2)
    found = Refiner(model, size=24)(images)[0].numpy()
    assert model.seen[0].shape == (1, 1, 24, 24)
    coarse = model(model.seen[0])[0, 1].numpy() > 0.5
    enlarged = coarse.repeat(8, axis=0).repeat(8, axis=1)
    assert metrics.iou(found == 1, inside) > metrics.iou(enlarged, inside) + 0.03
    assert metrics.iou(found == 1, inside) > 0.99


@pytest.mark.parametrize(("shape", "size", "expected"), [
    ((96, 128), 32, (24, 32)), ((128, 96), 32, (32, 24)), ((96, 128), 128, (96, 128)),
    ((96, 128), 513, (96, 128)), ((96, 128), None, (96, 128)), ((31, 100), 10, (3, 10)),
])  # fmt: skip
def test_what_the_model_is_given(shape, size, expected):
    inside = torch.zeros(1, 3, *shape)
    inside[..., shape[1] // 2 :] = 1
    model = Bright()
    with pytest.warns(RefinementWarning) if expected == shape else nullcontext():
        Refiner(model, size)(inside)
    assert model.seen[0].shape == (1, 3, *expected)
    assert float(model.seen[0].mean()) == pytest.approx(float(inside.mean()), abs=1e-3)


def test_pixels_between_samples_count_for_the_model():
    stripes = torch.zeros(1, 1, 64, 64)
    stripes[..., ::4] = 1
    model = Bright()
    Refiner(lambda x: PLANES[:1, :, :8, :8] + 0 * model(x).mean(), 16)(stripes)
    inner = model.seen[0][..., 2:-2, 2:-2]
    torch.testing.assert_close(inner, torch.full_like(inner, 0.25), atol=0.02, rtol=0)


@pytest.mark.parametrize(("dtype", "top"), [
    (torch.uint8, 255), (torch.uint16, 65535), (torch.float32, 1), (torch.float64, 1),
    (torch.float16, 1), (torch.bfloat16, 1),
])  # fmt: skip
def test_the_model_gets_its_dtype_and_integers_from_0_to_1(dtype, top):
    inside, _ = disk()
    images = (torch.from_numpy(inside)[None, None].float() * top).to(dtype)
    for own in (torch.float32, torch.float64, torch.bfloat16):
        model = Bright(dtype=own)
        Refiner(model, 24)(images)
        assert model.seen[0].dtype == own
        assert (float(model.seen[0].min()), float(model.seen[0].max())) == (0, 1)


def test_autocast():
    network = torch.nn.Conv2d(3, 3, 1)
    torch.nn.init.dirac_(network.weight)
    torch.nn.init.zeros_(network.bias)
    refiner = Refiner(torch.nn.Sequential(network, torch.nn.Softmax(1)), 16)
    with torch.autocast("cpu", torch.bfloat16):
        labels = refiner(IMAGES)
    assert (labels.shape, labels.dtype) == ((2, *SHAPE), torch.uint8)


class Answer:
    def __init__(self, logits):
        self.logits = logits


@pytest.mark.parametrize("wrapped", [lambda x: {"out": x, "aux": x}, Answer])
def test_what_models_return(wrapped):
    model = Bright()
    expected = Refiner(model, 32)(IMAGES)
    assert torch.equal(Refiner(lambda x: wrapped(model(x)), 32)(IMAGES), expected)


def test_as_part_of_a_pipeline():
    class Normalise(torch.nn.Module):
        def forward(self, x):
            return x / 255

    model = Bright()
    pipeline = torch.nn.Sequential(Normalise(), Refiner(model, 32))
    assert torch.equal(pipeline(IMAGES), Refiner(model, 32)(IMAGES / 255))
    assert list(pipeline.state_dict()) == ["1.model.threshold"]
    pipeline.eval()
    assert not model.training
    pipeline.train()
    assert model.training
    pipeline.to(torch.float64)
    assert model.threshold.dtype == torch.float64
    pipeline(IMAGES)
    assert model.seen[-1].dtype == torch.float64


def test_without_a_model_there_is_no_state():
    refiner = Refiner(beta=10)
    assert not refiner.state_dict()
    assert not list(refiner.parameters())
    assert refiner.to("cpu").eval() is refiner
    refiner.load_state_dict({})
    assert repr(refiner) == "Refiner(size=513, output='labels', beta=10.0)"


@pytest.mark.parametrize("again", [copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r))])
def test_copies(again):
    refiner = Refiner(passes=3, output="probabilities")
    copied = again(refiner)
    assert repr(copied) == repr(refiner)
    assert torch.equal(copied(IMAGES, PLANES), refiner(IMAGES, PLANES))


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_in_workers_of_a_data_loader(start):
    from loaded import Refined

    loader = torch.utils.data.DataLoader(
        Refined(Refiner(), IMAGES, LABELS),
        num_workers=1,
        multiprocessing_context=start,
        collate_fn=np.stack,
    )
    found = np.concatenate(list(loader))
    np.testing.assert_array_equal(found, Refiner()(IMAGES, LABELS).numpy())


def test_options_are_those_of_refine():
    names = set(inspect.signature(Refiner).parameters) - {"model", "size", "output"}
    left_out = {"boundary", "edges", "channel_axis", "class_axis"}
    assert names == set(CallOptions.__dataclass_fields__) - left_out
    options = {"method": "published", "passes": 5, "unsure": 0.1}
    found = Refiner(**options)(IMAGES, PLANES)[0].numpy()
    np.testing.assert_array_equal(found, alone(IMAGES[0], PLANES[0], **options))
    assert (found != Refiner()(IMAGES, PLANES)[0].numpy()).any()


def test_warnings_are_those_of_refine():
    with pytest.warns(RefinementWarning, match="taken as logits"):
        found = Refiner(output="probabilities")(IMAGES, PLANES.log() + 3)
    expected = Refiner(output="probabilities")(IMAGES, PLANES)
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=0)


def test_compiled():
    model = Bright()
    refiner = Refiner(model, 32)
    expected = refiner(IMAGES)
    assert torch.equal(torch.compile(refiner, backend="eager")(IMAGES), expected)
    torch.compiler.reset()


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_scripting_and_tracing_are_refused():
    with pytest.raises(TypeError, match="cannot be scripted"):
        torch.jit.script(Refiner())
    with pytest.raises(TypeError, match="cannot be traced"):
        torch.jit.trace(Refiner(), (IMAGES, LABELS))


@pytest.mark.parametrize(("arguments", "words"), [
    ({"model": 3}, "model=3 cannot be called"), ({"size": 0}, "size=0"),
    ({"size": 2.5}, r"size=2\.5"), ({"output": "both"}, "output='both'"),
    ({"betta": 3}, "no option 'betta'; did you mean beta"), ({"beta": -1}, "beta=-1"),
    ({"boundary": 1}, "no option 'boundary'"),
])  # fmt: skip
def test_bad_arguments(arguments, words):
    with pytest.raises(InvalidInput, match=words):
        Refiner(**arguments)


NAN = (IMAGES / 255).index_put((torch.tensor(1), torch.tensor(0)), torch.tensor(torch.nan))


@pytest.mark.parametrize(("images", "coarse", "words"), [
    (IMAGES[0], LABELS, r"images has the shape \(3, 96, 128\)"),
    (IMAGES[:0], LABELS[:0], r"images has the shape \(0,"),
    (IMAGES.int(), LABELS, "images has the dtype int32"),
    (IMAGES, None, "coarse=None"), (IMAGES, LABELS[0], r"coarse has the shape \(12, 16\)"),
    (IMAGES, LABELS[:1], "there are 2 images"), (IMAGES, PLANES[:, :1], "one class only"),
    (IMAGES, PLANES[:, 0], "Item 0 of the batch: coarse"),
    (IMAGES, LABELS[:, :6], "Item 0 of the batch: coarse .* aspect"),
    (NAN, LABELS, "Item 1 of the batch: image holds NaN"),
])  # fmt: skip
def test_bad_batches(images, coarse, words):
    with pytest.raises(InvalidInput, match=words):
        Refiner()(images, coarse)


def test_what_cannot_be_done():
    with pytest.raises(InvalidInput, match="has a model; pass the images alone"):
        Refiner(Bright())(IMAGES, LABELS)
    with pytest.raises(InvalidInput, match="needs one plane for each class"):
        Refiner(output="probabilities")(IMAGES, LABELS)
    with pytest.raises(InvalidInput, match="model returned a list"):
        Refiner(lambda x: [x])(IMAGES)
    with pytest.raises(TypeError, match="images is a ndarray"):
        Refiner()(IMAGES.numpy(), LABELS)
    with pytest.raises(TypeError, match="coarse is a ndarray"):
        Refiner()(IMAGES, LABELS.numpy())


def test_without_torch():
    code = (
        "import sys; sys.modules['torch'] = sys.modules['torch.nn'] = None\n"
        "from hdseg_gpu import *\n"
        "try: Refiner()\nexcept ModuleNotFoundError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], check=False, capture_output=True, text=True
    )
    assert done.stdout.strip() == "Refiner needs torch; install it: pip install torch", done.stderr


@pytest.mark.filterwarnings("ignore::hdseg_gpu.RefinementWarning")  # noise may have one class
def test_the_example_of_the_guide():
    guide = (Path(__file__).parents[2] / "docs" / "drop-in.md").read_text()
    section = guide.partition("## In a torch pipeline\n")[2].partition("\n## ")[0]
    names = {}
    for block in re.findall(r"^```python\n(.*?)^```", section, re.M | re.S):
        exec(block, names)
    assert names["labels"].shape == (2, 120, 160)
    assert names["planes"].shape == (2, 2, 120, 160)
    assert names["data"]["mask"].shape == (1, 120, 160)
