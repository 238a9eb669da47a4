"""Real images, if HDSEG_DATA has them."""

import json

import numpy as np
import pytest

from hdseg_gpu import metrics, refine
from hdseg_gpu.cli import main
from hdseg_gpu.io import read_coarse, read_image, read_labels


def test_probabilities_of_a_real_network(data):
    folder = data / "silver_dev" / "am2k_sample13"
    image = read_image(folder / "image.jpg").pixels
    truth = read_labels(folder / "mask.png") > 0
    planes = read_coarse(folder / "coarse_whole_prob.npz")  # (21, h, w) float16
    labels = refine(image, planes)
    assert labels.dtype == np.uint8
    before = metrics.iou(refine(image, planes, passes=0) > 0, truth)
    assert metrics.iou(labels > 0, truth) > before - 0.01
    quantised = read_coarse(folder / "coarse_deeplab_prob_u8.npz")  # (h, w, 21) times 255
    again, found = refine(
        image, quantised, class_axis=-1, gamma=0.1, majority=1, return_probabilities=True
    )
    assert found.shape == (*truth.shape, 21)
    np.testing.assert_array_equal(found.argmax(axis=-1), again)
    assert metrics.iou(again > 0, truth) > 0.8


@pytest.mark.parametrize("item", ["davis_camel_00000", "concrete_10182", "monuseg_TCGA-2Z-A9J9"])
def test_command_line_on_real_pictures(data, tmp_path, capsys, item):
    folder, out = data / "dev" / item, tmp_path / "mask.png"
    source = [str(folder / "image.jpg"), str(folder / "coarse.png")]
    assert main(["refine", *source, "-o", str(out), "--json", "--scale", "4"]) == 0
    report = json.loads(capsys.readouterr().out)
    coarse = read_labels(folder / "coarse.png")
    assert report["labels"] == np.unique(coarse).tolist()
    assert read_labels(out).shape == tuple(report["shape"])
    assert main(["evaluate", str(out), str(folder / "mask.png"), "--json"]) == 0
    after = json.loads(capsys.readouterr().out)["mean"]
    assert main(["evaluate", source[1], str(folder / "mask.png"), "--json", "-q"]) == 0
    before = json.loads(capsys.readouterr().out)["mean"]
    assert after["iou"] > before["iou"] - 0.05  # the plain walker promises no gain on every picture


def test_manual_masks_as_ideal_coarse_maps(data):
    """46 nuclei as 47 classes: every instance keeps its label."""
    folder = data / "dev" / "dsb2018_1a11552"
    image = read_image(folder / "image.png").pixels
    truth = read_labels(folder / "mask.png")
    labels, report = refine(image, truth, passes=2, return_report=True)
    np.testing.assert_array_equal(np.unique(labels), np.unique(truth))
    assert (labels == truth).mean() > 0.97
    assert report.systems < 6  # one for each number of classes that meet, not one a class
