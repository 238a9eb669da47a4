"""The commands: what they write and print, and that files match the library."""

import json
import os
import re
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tifffile
from command_line import (  # noqa: F401 - fixtures
    COARSE,
    EDGE_MAP,
    FIELDS,
    LABELS,
    PLANES,
    RGB,
    RNG,
    assert_error,
    folder,
    hdseg,
    names,
    one_json,
    save,
)

from hdseg_gpu import (
    available_backends,
    metrics,
    refine,
    seeds,
)
from hdseg_gpu.core.report import FileReport
from hdseg_gpu.io import read_labels

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
    "multigrid": ("--solver multigrid --tol 0.01", {"solver": "multigrid", "tol": 0.01}),
    "reference": ("--backend reference", {"backend": "reference"}),
    "boundary": ("--edges boundary --boundary g.npy", {"edges": "boundary", "boundary": EDGE_MAP}),
    "published": ("--method published --passes 4", {"method": "published", "passes": 4}),
    "published but": (
        "--method published --passes 4 --no-prune --majority 1",
        {"method": "published", "passes": 4, "prune": False, "majority": 1},
    ),
    "prune": ("--prune --majority 5", {"prune": True, "majority": 5}),
    "unsure": ("--unsure 0", {"unsure": 0.0}),
    "ignore": ("--ignore-index 5", {"ignore_index": 5}),
    "ignore none": ("--ignore-index -1", {"ignore_index": -1}),
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
    assert (found.pop("tiles"), found.pop("skipped"), found.pop("output")) == (1, {}, "out.npy")
    different = {
        "seconds",
        "error_estimate",
        "tile",
        "decided_tiles",
        "workers",
        "bytes_read",
        "peak_memory",
    }
    assert found.keys() ^ expected.keys() <= different
    for name in expected.keys() - different:
        assert found[name] == expected[name], name


def test_refine_json_has_the_report_and_nothing_else(hdseg):
    code, out, err = hdseg("refine image.png coarse.png -o out.png --json")
    assert (code, err) == (0, "")
    found = one_json(out)
    assert set(found) == {field.name for field in fields(FileReport)} | {"output"}
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


def test_unsure_probabilities(hdseg):
    save(PLANES, "p.npy")
    assert hdseg("refine image.png p.npy -o out.npy --unsure 0.4 --passes 1 -q") == (0, "", "")
    expected = refine(RGB, PLANES, unsure=0.4, passes=1)
    np.testing.assert_array_equal(np.load("out.npy"), expected, strict=True)


def test_ignored_pixels_are_noted(hdseg):
    coarse = np.where(COARSE == 200, 255, COARSE).astype(np.uint8)
    save(coarse, "c.png")
    code, out, err = hdseg("refine image.png c.png -o out.png --json")
    assert code == 0
    assert re.fullmatch(r"note: [^\n]*label 255 is ignored[^\n]*\n", err), err
    assert (one_json(out)["ignore_index"], one_json(out)["labels"]) == (255, [0, 5])
    found = read_labels(Path("out.png"))
    np.testing.assert_array_equal(found, refine(RGB, coarse, ignore_index=255), strict=True)


def test_image_with_the_channels_first(hdseg):
    save(RGB.transpose(2, 0, 1), "i.npy")
    assert hdseg("refine i.npy coarse.png -o out.png --channel-axis 0 -q") == (0, "", "")
    np.testing.assert_array_equal(read_labels(Path("out.png")), refine(RGB, COARSE))


def test_channel_axis_of_what_is_no_array(hdseg):
    line = "refine image.png coarse.png -o out.png --channel-axis 0"
    assert_error(hdseg(line), 2, "channel_axis=0", ".npy or .npz", "image.png", "leave it out")
    save(RGB.transpose(2, 0, 1), "i.npy")
    line = "refine i.npy coarse.png -o i.npy --overwrite --channel-axis 0"
    assert_error(hdseg(line), 2, "is also an input")
    assert_error(hdseg("refine no.npy coarse.png -o out.png --channel-axis 0"), 2, "does not exist")


def test_arrays_of_an_npz_as_image_and_coarse_map(hdseg):
    np.savez("all.npz", image=RGB, first=RGB.transpose(2, 0, 1), coarse=COARSE)
    line = "refine all.npz all.npz --key coarse -o out.npz --overwrite -q"
    for more in ("--image-key image", "--image-key first --channel-axis 0"):
        assert hdseg(f"{line} {more}") == (0, "", "")
        np.testing.assert_array_equal(np.load("out.npz")["arr_0"], refine(RGB, COARSE), strict=True)


@pytest.mark.parametrize("name", ["seeds.tif", "seeds.cog.tif", "seeds.ome.tif", "seeds.zarr"])
def test_seeds_in_all_formats(name, hdseg):
    pytest.importorskip("zarr" if name.endswith(".zarr") else "rasterio")
    assert hdseg(f"seeds mask.png -o {name} --passes 3 -q") == (0, "", "")
    np.testing.assert_array_equal(read_labels(Path(name)), seeds(LABELS, passes=3))


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_seeds_keep_the_place_of_the_mask(hdseg):
    rasterio = pytest.importorskip("rasterio")
    place = {"transform": rasterio.Affine(2, 0, 500000, 0, -2, 5400000), "crs": "EPSG:32632"}
    height, width = LABELS.shape
    with rasterio.open("m.tif", "w", driver="GTiff", height=height, width=width, count=1,
                       dtype="uint8", **place) as file:  # fmt: skip
        file.write(LABELS.astype(np.uint8), 1)
    assert hdseg("seeds m.tif -o s.tif --passes 2 -q") == (0, "", "")
    with rasterio.open("s.tif") as file:
        assert (file.transform, file.crs.to_epsg()) == (place["transform"], 32632)
    assert "cannot hold" in hdseg("seeds m.tif -o s.png --passes 2")[2]


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
    sentence = "The coarse map has only one class, 7, and so has the result."
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
    assert "turned.jpg has EXIF orientation 3" in err
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


def test_evaluate_shows_some_of_many_classes_and_json_all(hdseg):
    truth = np.arange(400, dtype=np.uint16).repeat(4).reshape(40, 40)
    save(truth, "t.png")
    save(truth + np.uint16(1), "p.png")
    code, out, err = hdseg("evaluate p.png t.png")
    assert code == 0
    assert "145 more: --json has all" in out  # of 401
    assert len(out.splitlines()) < 300
    assert "mean over TRUTH" in out
    assert "TRUTH has [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ... 400 in all]" in " ".join(err.split())
    code, out, _ = hdseg("evaluate p.png t.png --json")
    assert len(one_json(out)["classes"]) == 401


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
    with PIL.Image.open(folder / "demo_overlay.png") as overlay:
        assert overlay.mode == "RGB"
        assert overlay.width > 2 * mask.shape[1]

    code, out, err = hdseg("demo -o again")
    assert (code, err) == (0, "")
    assert f"{100 * after['iou']:.2f}" in out
    assert str(Path("again").resolve() / "demo_overlay.png") in out
    assert hdseg("demo -o again --quiet") == (0, "", "")


def test_demo_shows_the_seeds_that_were_used(hdseg):
    code, out, err = hdseg("demo -o pictures --json")
    assert (code, err) == (0, "")
    mask, figure = (read_labels(Path(f"pictures/demo_{name}.png")) for name in ("mask", "seeds"))
    unknown = one_json(out)["report"]["unknown_pixels"]
    assert unknown / 2 < (figure == 0).sum() <= unknown  # some are as sure as seeds
    changed = mask[figure > 0] != np.where(figure == 255, 255, 0)[figure > 0]
    assert changed.mean() < 1e-3  # by the median filter


def test_demo_into_a_file_is_refused(hdseg):
    assert_error(hdseg("demo -o mask.png"), 2, "mask.png", "folder")
    np.testing.assert_array_equal(read_labels(Path("mask.png")), LABELS)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("5", 5),
        ("1.5K", 1536),
        ("800M", 800 * 2**20),
        ("4G", 2**32),
        ("4 GiB", 2**32),
        (None, None),
    ],
)
def test_bytes(text, count):
    from hdseg_gpu.cli.refine import byte_count

    assert byte_count(text, "--memory") == count
