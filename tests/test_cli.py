"""The command line: exit codes, where each word goes, and that files match the library."""

import json
import os
import re
import subprocess
import sys
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tifffile

from hdseg_gpu import (
    BackendUnavailable,
    NotConverged,
    Report,
    api,
    available_backends,
    metrics,
    refine,
    seeds,
)
from hdseg_gpu.cli import main
from hdseg_gpu.io import read_labels

RNG = np.random.default_rng(3307)
COARSE = np.zeros((11, 14), np.uint8)
COARSE[3:9, 4:11] = 5
COARSE[:4, 9:] = 200
LABELS = COARSE[(np.arange(53) * 11 // 53)[:, None], np.arange(67) * 14 // 67]
RGB = (LABELS[..., None] // 2 + [60, 90, 20] + RNG.integers(0, 25, (53, 67, 3))).astype(np.uint8)
PLANES = np.stack([v == COARSE for v in (0, 5, 200)]).astype(np.float32) * 0.7 + 0.1
EDGE_MAP = RNG.random((53, 67), dtype=np.float32)
FIELDS = {field.name for field in fields(Report)}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Work in a folder of inputs, so that names alone are enough."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HDSEG_DEBUG", raising=False)
    save(RGB, "image.png")
    save(COARSE, "coarse.png")
    save(LABELS, "mask.png")
    return tmp_path


def save(pixels, name):
    if name.endswith(".npy"):
        np.save(name, pixels)
    else:
        PIL.Image.fromarray(pixels).save(name)


@pytest.fixture
def hdseg(capsys):
    """Return a function that runs a command line and returns (exit code, stdout, stderr)."""

    def run(line, *more):
        code = main([*line.split(), *more])
        return code, *capsys.readouterr()

    return run


def names():
    return sorted(p.name for p in Path().iterdir())


def one_json(text):
    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    found = json.loads(text, parse_constant=refuse)
    assert isinstance(found, dict)
    return found


def assert_error(result, code, *parts):
    """Check the exit code, and that stderr is one line that begins with "error: "."""
    assert result[0] == code, result
    assert result[1] == ""
    assert re.fullmatch(r"error: [^\n]+\n", result[2]), result[2]
    assert [p for p in parts if p not in result[2]] == [], result[2]


# ---- refine ----------------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["out.png", "out.tif", "out.npy", "out.npz"])
def test_refine_writes_what_the_library_returns(output, hdseg):
    code, out, err = hdseg(f"refine image.png coarse.png -o {output}")
    assert (code, err) == (0, "")
    np.testing.assert_array_equal(read_labels(Path(output)), refine(RGB, COARSE), strict=True)
    assert "67 x 53 pixels" in out
    assert output in out
    assert names() == sorted(["image.png", "coarse.png", "mask.png", output])


OPTIONS = {
    "passes": ("--passes 3", {"passes": 3}),
    "scale": ("--scale 2.5", {"scale": 2.5}),
    "elements": ("--elements 3x3 --passes 4", {"elements": "3x3", "passes": 4}),
    "beta": ("--beta 0", {"beta": 0.0}),
    "gamma": ("--gamma 5", {"gamma": 5.0}),
    "cubic": ("--interpolation cubic --gamma 3", {"interpolation": "cubic", "gamma": 3.0}),
    "direct": ("--solver direct", {"solver": "direct"}),
    "reference": ("--backend reference", {"backend": "reference"}),
    "boundary": ("--edges boundary --boundary g.npy", {"edges": "boundary", "boundary": EDGE_MAP}),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_refine_options_reach_the_library(case, hdseg):
    line, options = OPTIONS[case]
    save(EDGE_MAP, "g.npy")
    code, out, err = hdseg(f"refine image.png coarse.png -o out.npy --json {line}")
    assert (code, err) == (0, "")
    labels, report = refine(RGB, COARSE, return_report=True, **options)
    np.testing.assert_array_equal(np.load("out.npy"), labels, strict=True)
    found = one_json(out)
    expected = one_json(json.dumps(report.to_dict()))
    for given in (found, expected):
        given.pop("seconds")
        given.pop("error_estimate")
    assert found == expected | {"output": "out.npy"}


def test_refine_json_has_the_report_and_nothing_else(hdseg):
    code, out, err = hdseg("refine image.png coarse.png -o out.png --json")
    assert (code, err) == (0, "")
    found = one_json(out)
    assert set(found) == FIELDS | {"output"}
    assert found["shape"] == [53, 67]
    assert found["coarse_shape"] == [11, 14]
    assert found["labels"] == [0, 5, 200]
    assert found["backend"] == available_backends()[0]
    assert found["scale"] == pytest.approx(53 / 11)
    assert found["passes"] == 10
    assert (found["output"], found["notes"]) == ("out.png", [])
    assert 0 < found["unknown_pixels"] < 53 * 67
    assert found["seconds"]["total"] > 0


def test_probabilities_with_the_classes_last(hdseg):
    save(PLANES.transpose(1, 2, 0), "p.npy")
    assert hdseg("refine image.png p.npy -o out.png --class-axis 2 -q") == (0, "", "")
    expected = refine(RGB, PLANES)
    np.testing.assert_array_equal(read_labels(Path("out.png")), expected, strict=True)
    assert set(np.unique(expected)) == {0, 1, 2}


def test_image_with_the_channels_first(hdseg):
    save(RGB.transpose(2, 0, 1), "i.npy")
    assert hdseg("refine i.npy coarse.png -o out.png --channel-axis 0 -q") == (0, "", "")
    np.testing.assert_array_equal(read_labels(Path("out.png")), refine(RGB, COARSE))


def test_npz_with_key(hdseg):
    np.savez("two.npz", probabilities=PLANES, labels=COARSE)
    assert_error(
        hdseg("refine image.png two.npz -o out.npy"), 2, "two.npz", "'probabilities'", "'labels'"
    )
    assert_error(hdseg("refine image.png two.npz -o out.npy --key x"), 2, "'x'", "'labels'")
    assert "out.npy" not in names()
    for key, coarse in (("labels", COARSE), ("probabilities", PLANES)):
        line = f"refine image.png two.npz -o out.npy --overwrite -q --key {key}"
        assert hdseg(line) == (0, "", "")
        np.testing.assert_array_equal(np.load("out.npy"), refine(RGB, coarse), strict=True)


@pytest.mark.parametrize("kind", ["RGBA.png", "RGBA.tif", "LA.png"])
def test_alpha_is_ignored_and_said_so(kind, hdseg):
    alpha = RNG.integers(0, 256, (53, 67), dtype=np.uint8)
    colours = RGB[..., :1] if kind == "LA.png" else RGB
    pixels = np.dstack([colours, alpha])
    if kind == "RGBA.tif":
        tifffile.imwrite(kind, pixels, photometric="rgb", extrasamples=["unassalpha"])
    else:
        save(pixels, kind)
    code, _, err = hdseg(f"refine {kind} coarse.png -o out.png")
    assert code == 0
    np.testing.assert_array_equal(read_labels(Path("out.png")), refine(colours, COARSE))
    assert re.fullmatch(r"note: [^\n]*alpha[^\n]*ignored[^\n]*\n", err), f"stderr: {err!r}"


def test_alpha_on_request_is_not_worth_a_note(hdseg):
    pixels = np.dstack([RGB, LABELS])
    save(pixels, "i.npy")
    for option, alpha in (("--alpha", True), ("--no-alpha", False)):
        code, _, err = hdseg(f"refine i.npy coarse.png -o out.npy --overwrite {option}")
        assert (code, err) == (0, "")
        np.testing.assert_array_equal(np.load("out.npy"), refine(pixels, COARSE, alpha=alpha))


def test_notes_go_to_stderr_and_into_the_json(hdseg):
    save(np.full((11, 14), 7, np.uint8), "one.png")
    sentence = "The coarse map has one class only, 7: so has the result."
    code, out, err = hdseg("refine image.png one.png -o out.npy")
    assert (code, err) == (0, f"note: {sentence}\n")
    assert "note" not in out
    code, out, err = hdseg("refine image.png one.png -o out.npy --overwrite --json")
    assert (code, err) == (0, f"note: {sentence}\n")
    assert one_json(out)["notes"] == [sentence]
    assert hdseg("refine image.png one.png -o out.npy --overwrite --quiet") == (0, "", "")
    np.testing.assert_array_equal(np.load("out.npy"), np.full((53, 67), 7, np.uint8), strict=True)


def test_overwrite(hdseg):
    Path("out.png").write_bytes(b"old")
    assert_error(hdseg("refine image.png coarse.png -o out.png"), 2, "out.png", "--overwrite")
    assert_error(hdseg("seeds mask.png -o out.png --passes 3"), 2, "out.png", "--overwrite")
    assert Path("out.png").read_bytes() == b"old"
    assert hdseg("refine image.png coarse.png -o out.png --overwrite -q") == (0, "", "")
    np.testing.assert_array_equal(read_labels(Path("out.png")), refine(RGB, COARSE))
    assert hdseg("seeds mask.png -o out.png --passes 3 --overwrite -q") == (0, "", "")
    np.testing.assert_array_equal(read_labels(Path("out.png")), seeds(LABELS, passes=3))


def test_names_are_printed_as_they_are(folder, hdseg):
    # Longer than the lines of a table, and with what rich would take for an emoji or markup.
    deep = folder / ("long" * 50) / "m:bug:[red]x[/red]"
    deep.mkdir(parents=True)
    for command in ("refine image.png coarse.png", "seeds mask.png --passes 3"):
        output = str(deep / f"{command.split()[0]}.npy")
        code, out, _ = hdseg(f"{command} -o", output)
        assert code == 0
        assert output in out, command


def test_masks_of_one_bit(hdseg):
    # Pillow's 1-bit pictures are bools whose bytes are 255.
    save(COARSE == 5, "bits.png")
    save(LABELS == 5, "truth.png")
    assert np.asarray(PIL.Image.open("bits.png")).view(np.uint8).max() == 255
    assert hdseg("refine image.png bits.png -o out.png -q") == (0, "", "")
    np.testing.assert_array_equal(read_labels(Path("out.png")), refine(RGB, COARSE == 5))
    assert hdseg("seeds truth.png -o seeds.npy --passes 2 -q") == (0, "", "")
    np.testing.assert_array_equal(np.load("seeds.npy"), seeds(LABELS == 5, passes=2))
    code, out, _ = hdseg("evaluate truth.png truth.png --json")
    assert (code, one_json(out)["mean"]["iou"]) == (0, 1.0)


def test_jpeg_labels_and_turned_photos_are_noted(hdseg):
    PIL.Image.fromarray(COARSE).save("lossy.jpg", quality=100)
    exif = PIL.Image.Exif()
    exif[0x0112] = 3
    PIL.Image.fromarray(RGB).save("turned.jpg", exif=exif)
    code, _, err = hdseg("refine turned.jpg lossy.jpg -o out.png")
    assert code == 0
    assert len(err.splitlines()) == 2
    assert "turned.jpg asks to be turned (EXIF orientation 3)" in err
    assert "lossy.jpg is a JPEG, which does not keep labels" in err


# ---- seeds -----------------------------------------------------------------------------------


def test_seeds_writes_what_the_library_returns(hdseg):
    expected = seeds(LABELS, passes=3, elements="3x3")
    line = "seeds mask.png -o out.npy --passes 3 --elements 3x3"
    code, out, err = hdseg(f"{line} --json")
    assert (code, err) == (0, "")
    np.testing.assert_array_equal(np.load("out.npy"), expected, strict=True)
    assert set(np.unique(expected)) == {0, 1, 6, 201}
    unknown = int((expected == 0).sum())
    wanted = {"shape": [53, 67], "unknown_pixels": unknown, "notes": [], "output": "out.npy"}
    assert one_json(out) == wanted
    code, out, err = hdseg(f"{line} --overwrite")
    assert (code, err) == (0, "")
    assert re.fullmatch(rf"{unknown} unknown pixels \([\d.]+ %\), written out\.npy\n", out)


def test_seeds_figure_and_assumed_scale(hdseg):
    save(np.where(LABELS == 5, 255, 0).astype(np.uint8), "two.png")
    code, _, err = hdseg("seeds two.png -o out.png --figure --elements 3x3 --passes 3")
    assert (code, err) == (0, "")
    found = seeds(read_labels(Path("two.png")), elements="3x3", passes=3)
    expected = np.select([found == 0, found == 1], [0, 128], 255).astype(np.uint8)
    np.testing.assert_array_equal(read_labels(Path("out.png")), expected, strict=True)
    assert_error(hdseg("seeds two.png -o out.npy --figure --passes 3"), 2, "out.npy", ".png")
    save(LABELS[:1] * 0, "flat.png")
    code, _, err = hdseg("seeds flat.png -o flat.npy")
    assert code == 0
    assert re.fullmatch(r"note: [^\n]*scale=8 is assumed[^\n]*\n", err)


# ---- evaluate --------------------------------------------------------------------------------


def test_evaluate_by_hand(hdseg):
    truth = np.zeros((40, 60), np.uint8)
    truth[:, 30:] = 1
    truth[:4] = 255
    prediction = np.zeros((40, 60), np.uint8)
    prediction[:, 20:] = 1
    prediction[-1, :20] = 9
    save(truth, "t.png")
    save(prediction, "p.png")
    code, out, err = hdseg("evaluate p.png t.png --ignore 255 --json")
    assert (code, err) == (0, "")
    found = one_json(out)
    # 36 rows count; class 9 takes 20 pixels from class 0, which shares 20 of 30 columns.
    assert found["classes"]["0"]["iou"] == pytest.approx((36 * 20 - 20) / (36 * 30))
    assert found["classes"]["1"]["iou"] == pytest.approx(30 / 40)
    assert found["classes"]["9"] == {"iou": 0.0, "mba": None, "in_truth": False}
    assert found["mean"]["iou"] == pytest.approx((700 / 1080 + 0.75) / 2)
    assert set(found["classes"]) == {"0", "1", "9"}
    for label in (0, 1):
        mba = metrics.mean_boundary_accuracy(prediction, truth, label=label, ignore=255)
        assert found["classes"][str(label)]["mba"] == pytest.approx(mba)
    code, out, err = hdseg("evaluate p.png t.png --ignore 255")
    assert (code, err) == (0, "")
    for text in ("64.81", "75.00", "69.91", "9 (not in TRUTH)"):
        assert text in out
    assert hdseg("evaluate p.png t.png --quiet") == (0, "", "")
    code, out, _ = hdseg("evaluate p.png t.png --json")
    assert set(one_json(out)["classes"]) == {"0", "1", "9", "255"}


def test_evaluate_enlarges_a_smaller_prediction_and_says_so(hdseg):
    save(np.kron(COARSE, np.ones((4, 4), np.uint8)), "t.png")
    code, out, err = hdseg("evaluate coarse.png t.png --json")
    assert code == 0
    assert re.fullmatch(r"note: coarse\.png \(11, 14\) is enlarged to \(44, 56\)[^\n]*\n", err)
    perfect = {"iou": 1.0, "mba": 1.0}
    assert one_json(out) == {
        "classes": {label: {**perfect, "in_truth": True} for label in ("0", "5", "200")},
        "mean": perfect,
    }
    assert hdseg("evaluate coarse.png t.png -q") == (0, "", "")


def test_evaluate_says_when_the_labels_are_other_numbers(hdseg):
    save((LABELS == 5).astype(np.uint8) * 255, "p.png")
    save((LABELS == 5).astype(np.uint8), "t.png")
    code, _, err = hdseg("evaluate p.png t.png")
    assert code == 0
    assert err.startswith("note: PRED has labels [0, 255], TRUTH has [0, 1]")


@pytest.mark.parametrize("shape", [(60, 70), (53, 14), (11, 67)])
def test_evaluate_speaks_of_its_own_arguments(shape, hdseg):
    save(np.zeros(shape, np.uint8), "p.png")
    result = hdseg("evaluate p.png mask.png --quiet")
    assert_error(result, 2, str(shape), "(53, 67)")
    assert "PRED" in result[2] or "p.png" in result[2], result[2]
    assert "channel_axis" not in result[2]


# ---- info and demo ---------------------------------------------------------------------------


def test_info(hdseg):
    code, out, err = hdseg("info --json")
    assert (code, err) == (0, "")
    found = one_json(out)
    assert found["version"] == version("hdseg_gpu")
    ready = tuple(name for name, state in found["backends"].items() if state == "ready")
    assert ready == available_backends()
    assert found["libraries"]["numpy"] == np.__version__
    assert found["cpu"]["cores"] == os.cpu_count()
    code, out, err = hdseg("info")
    assert (code, err) == (0, "")
    assert np.__version__ in out
    assert hdseg("info --quiet") == (0, "", "")


def test_demo(hdseg):
    code, out, err = hdseg("demo -o pictures/here --json")
    assert (code, err) == (0, "")
    found = one_json(out)
    folder = Path("pictures/here")
    paths = {
        name: str(folder.resolve() / f"demo_{name}.png") for name in ("mask", "seeds", "overlay")
    }
    assert found["files"] == paths
    assert sorted(p.name for p in folder.iterdir()) == [
        "demo_mask.png",
        "demo_overlay.png",
        "demo_seeds.png",
    ]
    assert set(found["report"]) == FIELDS
    before, after = found["scores"]["before"], found["scores"]["after"]
    assert 0.5 < before["iou"] < after["iou"] < 1
    assert 0.3 < before["mba"] < after["mba"] < 1

    mask, figure = read_labels(folder / "demo_mask.png"), read_labels(folder / "demo_seeds.png")
    assert mask.shape == figure.shape == tuple(found["report"]["shape"])
    assert set(np.unique(mask)) == {0, 255}
    assert set(np.unique(figure)) == {0, 128, 255}
    assert int((figure == 0).sum()) == found["report"]["unknown_pixels"]
    np.testing.assert_array_equal(mask[figure > 0], np.where(figure == 255, 255, 0)[figure > 0])
    with PIL.Image.open(folder / "demo_overlay.png") as overlay:
        assert overlay.mode == "RGB"
        assert overlay.width > 2 * mask.shape[1]

    code, out, err = hdseg("demo -o again")
    assert (code, err) == (0, "")
    assert f"{100 * after['iou']:.2f}" in out
    assert str(Path("again").resolve() / "demo_overlay.png") in out
    assert hdseg("demo -o again --quiet") == (0, "", "")


def test_demo_into_a_file_is_refused(hdseg):
    assert_error(hdseg("demo -o mask.png"), 2, "mask.png", "folder")
    np.testing.assert_array_equal(read_labels(Path("mask.png")), LABELS)


# ---- what goes wrong -------------------------------------------------------------------------

WRONG = {
    "image missing": ("refine no.png coarse.png -o out.png", ["no.png does not exist"]),
    "coarse missing": ("refine image.png no.npy -o out.png", ["no.npy does not exist"]),
    "boundary missing": (
        "refine image.png coarse.png -o out.png --edges boundary --boundary no.npy",
        ["no.npy does not exist"],
    ),
    "image a folder": ("refine . coarse.png -o out.png", ["not a file"]),
    "colour labels": ("refine image.png image.png -o out.png", ["image.png", "(53, 67, 3)"]),
    "swapped": ("refine coarse.png mask.png -o out.png", ["larger than the image", "swapped"]),
    "edges": ("refine image.png coarse.png -o out.png --edges x", ["edges='x'", "'boundary'"]),
    "no boundary": ("refine image.png coarse.png -o out.png --edges boundary", ["boundary="]),
    "passes": ("refine image.png coarse.png -o out.png --passes -1", ["passes=-1"]),
    "beta": ("refine image.png coarse.png -o out.png --beta nan", ["beta=nan"]),
    "elements": ("refine image.png coarse.png -o out.png --elements 7x7", ["'7x7'", "'9x9'"]),
    "solver": ("refine image.png coarse.png -o out.png --solver lu", ["'lu'", "'direct'"]),
    "backend": ("refine image.png coarse.png -o out.png --backend gpu", ["'gpu'", "'cpu'"]),
    "class axis": ("refine image.png planes.npy -o out.png --class-axis 3", ["class_axis=3"]),
    "no seeds": ("refine image.png halves.png -o out.png --passes 500", ["passes=500", "fewer"]),
    "output JPEG": ("refine image.png coarse.png -o out.jpg", ["out.jpg", "JPEG", ".png"]),
    "output folder": ("refine image.png coarse.png -o no/out.png", ["folder no", "create"]),
    "output an input": ("refine image.png coarse.png -o ./image.png --overwrite", ["an input"]),
    "output the coarse": ("refine image.png coarse.png -o coarse.png --overwrite", ["an input"]),
    "output the boundary": (
        "refine image.png coarse.png -o mask.png --boundary mask.png --overwrite",
        ["an input"],
    ),
    "negative in PNG": ("refine image.png negative.npy -o out.png", ["PNG", "-3", ".npy"]),
    "float labels": ("refine image.png floats.npy -o out.png", ["coarse", "float32"]),
    "empty labels": ("refine image.png empty.npy -o out.png", ["coarse is empty", "(0, 5)"]),
    "image key": ("refine image.png coarse.png -o out.png --image-key a", ["image.png", "'a'"]),
    "damaged": ("refine cut.png coarse.png -o out.png", ["cut.png cannot be read"]),
    "seeds missing": ("seeds no.png -o out.png", ["no.png does not exist"]),
    "seeds an input": ("seeds mask.png -o mask.png --overwrite", ["an input"]),
    "seeds negative": ("seeds negative.npy -o out.npy --passes 1", ["mask", "-3"]),
    "seeds colour": ("seeds image.png -o out.npy --passes 1", ["image.png", "one channel"]),
    "evaluate missing": ("evaluate mask.png no.png", ["no.png does not exist"]),
    "evaluate colour": ("evaluate image.png mask.png", ["image.png", "one channel"]),
    "evaluate floats": ("evaluate floats.npy mask.png", ["PRED", "float32"]),
    "demo backend": ("demo -o shown --backend gpu", ["'gpu'", "'cpu'"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_exits_with_2_and_writes_nothing(case, hdseg):
    line, parts = WRONG[case]
    save(PLANES, "planes.npy")
    save(EDGE_MAP, "floats.npy")
    save(np.arange(14, dtype=np.uint8) // 7 * np.ones((11, 1), np.uint8), "halves.png")
    save(COARSE.astype(np.int16) - 3, "negative.npy")
    save(np.zeros((0, 5), np.uint8), "empty.npy")
    Path("cut.png").write_bytes(Path("image.png").read_bytes()[:900])
    before = {p.name: p.read_bytes() for p in Path().iterdir()}
    assert_error(hdseg(line), 2, *parts)
    assert names() == sorted(before)
    assert all(Path(name).read_bytes() == content for name, content in before.items())
    # --json and --quiet change nothing about errors
    assert_error(hdseg(f"{line} --json"), 2, *parts)
    assert_error(hdseg(f"{line} --quiet"), 2, *parts)


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("refine image.png coarse.png", "output"),
        ("refine image.png -o out.png", "coarse"),
        ("refine image.png coarse.png -o out.png --sharpness 3", "--sharpness"),
        ("refine image.png coarse.png -o out.png --passes many", "--passes"),
        ("refine image.png coarse.png -o out.png --beta x", "--beta"),
        ("refine image.png coarse.png extra.png -o out.png", "extra.png"),
        ("seeds mask.png", "output"),
        ("evaluate mask.png", "truth"),
        ("info --output x", "--output"),
        ("sharpen", "sharpen"),
    ],
)
def test_usage_error_exits_with_2(line, part, hdseg):
    code, out, err = hdseg(line)
    assert (code, out) == (2, "")
    assert part in err.lower()
    assert "Traceback" not in err
    assert names() == ["coarse.png", "image.png", "mask.png"]


@pytest.mark.parametrize("command", ["", "refine", "seeds", "evaluate", "info", "demo"])
def test_help(command, hdseg):
    code, out, err = hdseg(f"{command} --help")
    assert (code, err) == (0, "")
    assert f"{command} [OPTIONS]" in " ".join(out.split())


def test_help_names_the_defaults_that_depend(hdseg, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    _, out, _ = hdseg("refine --help")
    assert "(default: 2 x scale)" in out
    assert "nearest (default for labels), linear (for probabilities) or cubic" in out


def test_version(hdseg):
    assert hdseg("--version") == (0, f"hdseg_gpu {version('hdseg_gpu')}\n", "")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RuntimeError("kaputt"), "RuntimeError: kaputt"),
        (RuntimeError("kaputt\nand more"), "kaputt"),
        (NotConverged("solver='amg' left an error"), "solver='amg' left an error"),
        (BackendUnavailable("backend='cpu' did not load"), "backend='cpu' did not load"),
        (MemoryError("no 3 TiB"), "no 3 TiB"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (MemoryError(), "MemoryError"),
    ],
)
@pytest.mark.parametrize(
    ("function", "line"),
    [
        ("refine", "refine image.png coarse.png -o out.png"),
        ("seeds", "seeds mask.png -o out.png --passes 2"),
    ],
)
def test_other_failures_exit_with_1(function, line, error, text, hdseg, monkeypatch):
    def fail(*_args, **_options):
        raise error

    monkeypatch.setattr(api, function, fail)
    assert_error(hdseg(line), 1, text)
    assert names() == ["coarse.png", "image.png", "mask.png"]


def test_interrupt_exits_with_1_and_writes_nothing(hdseg, monkeypatch):
    def interrupt(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "refine", interrupt)
    code, out, err = hdseg("refine image.png coarse.png -o out.png")
    assert (code, out, err) == (1, "", "error: interrupted; nothing was written\n")
    assert names() == ["coarse.png", "image.png", "mask.png"]


def test_write_that_fails_leaves_the_old_file(hdseg, monkeypatch):
    def half(stream, _labels):
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    Path("out.npy").write_bytes(b"old")
    monkeypatch.setattr(np, "save", half)
    result = hdseg("refine image.png coarse.png -o out.npy --overwrite")
    assert_error(result, 1, "No space left on device")
    assert Path("out.npy").read_bytes() == b"old"
    assert names() == ["coarse.png", "image.png", "mask.png", "out.npy"]


def test_debug_shows_the_traceback(hdseg, monkeypatch):
    monkeypatch.setenv("HDSEG_DEBUG", "1")
    with pytest.raises(ValueError, match="does not exist"):
        hdseg("refine no.png coarse.png -o out.png")


# ---- the real command ------------------------------------------------------------------------

HDSEG = Path(sys.executable).with_name("hdseg")


def run_hdseg(*line, **environment):
    environment = {k: v for k, v in os.environ.items() if k != "FORCE_COLOR"} | environment
    done = subprocess.run([HDSEG, *line], capture_output=True, check=False, env=environment)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.skipif(not HDSEG.exists(), reason="the console script is not beside the interpreter")
class TestConsoleScript:
    def test_refine_in_a_pipe_has_no_escape_codes(self):
        code, out, err = run_hdseg(
            "refine", "image.png", "coarse.png", "-o", "out.png", TERM="xterm-256color"
        )
        assert (code, err) == (0, "")
        assert "unknown pixels" in out
        assert "\x1b" not in out
        assert "\r" not in out
        np.testing.assert_array_equal(read_labels(Path("out.png")), refine(RGB, COARSE))

    def test_ascii_terminal(self):
        code, out, err = run_hdseg("evaluate", "mask.png", "mask.png", PYTHONIOENCODING="ascii")
        assert (code, err) == (0, "")
        assert "100.00" in out

    def test_wrong_input_and_wrong_usage(self):
        assert_error(run_hdseg("refine", "no.png", "coarse.png", "-o", "out.png"), 2, "no.png")
        code, out, err = run_hdseg("refine", "image.png", "coarse.png")
        assert (code, out) == (2, "")
        assert "--output" in err

    def test_damaged_tiff_is_one_line_too(self):
        # In a process of its own: tifffile logs to stderr, which pytest would hide.
        tifffile.imwrite("image.tif", RGB, photometric="rgb")
        for size in (8, 30, 3000):
            Path("cut.tif").write_bytes(Path("image.tif").read_bytes()[:size])
            assert_error(run_hdseg("refine", "cut.tif", "coarse.png", "-o", "out.png"), 2, "cut")

    @pytest.mark.parametrize("closed", ["1>&-", "2>&-", "1>&- 2>&-"])
    def test_closed_streams(self, closed):
        command = f'"{HDSEG}" refine image.png coarse.png -o out.png {closed}'
        done = subprocess.run(["sh", "-c", command], capture_output=True, check=False)
        assert done.returncode == 0
        np.testing.assert_array_equal(read_labels(Path("out.png")), refine(RGB, COARSE))

    def test_path_that_the_terminal_cannot_spell(self):
        line = ("refine", "image.png", "coarse.png", "-o", "grün.png")
        code, out, _ = run_hdseg(*line, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
        assert code == 0
        assert r"gr\xfcn.png" in out

    def test_without_arguments_it_shows_the_commands(self):
        _, out, err = run_hdseg()
        for command in ("refine", "seeds", "evaluate", "info", "demo"):
            assert command in out + err
