"""The accuracy benchmark reduces, measures and summarises correctly; needs the source folder."""

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from hdseg_gpu import metrics, refine

ROOT = Path(__file__).parents[2]
PARTS = ("items", "measure", "methods", "pieces", "report")


@pytest.fixture(scope="module")
def bench():
    """The benchmark's modules by their last word."""
    if not (ROOT / "benchmarks" / "accuracy.py").exists():
        pytest.skip("benchmarks/ is not part of an installed package")
    sys.path.append(str(ROOT))
    parts = {name: importlib.import_module(f"benchmarks.accuracy_{name}") for name in PARTS}
    yield SimpleNamespace(main=importlib.import_module("benchmarks.accuracy"), **parts)
    sys.path.remove(str(ROOT))


def scene():
    """Return an image and a truth of 96 x 128: two rectangles, and an ignored corner."""
    truth = np.zeros((96, 128), np.uint8)
    truth[21:75, 10:50] = 1
    truth[30:90, 70:110] = 3
    truth[:9, :9] = 255
    noise = np.random.default_rng(713).integers(0, 12, (96, 128, 3))
    return (60 * (truth % 255)[..., None] + noise).astype(np.uint8), truth


@pytest.fixture
def data(tmp_path, bench):
    """A data folder with one item, whose network made its labels by blocks of 4."""
    image, truth = scene()
    folder = tmp_path / "data" / "dev" / "tiny"
    folder.mkdir(parents=True)
    values, shares = bench.items.reduced(truth, 4)
    for name, pixels in (
        ("image", image), ("mask", truth), ("coarse", values[shares.argmax(axis=0)])
    ):  # fmt: skip
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder.parent.parent


def record(task="net labels", item="a", method="default", before=(0.5, 0.5), after=(0.6, 0.4),
           **more):  # fmt: skip
    made = {
        "task": task, "item": item, "method": method, "exact": True, "mpx": 2.0, "scale": 4.0,
        "before": {"iou": before[0], "mba": before[1], "classes": {}}, "status": "ok",
    }  # fmt: skip
    if after is not None:
        made |= {"after": {"iou": after[0], "mba": after[1], "classes": {}}, "seconds": 3.0}
    return made | more


def content(*records, machine="a machine"):
    return {"machines": [machine], "records": list(records)}


def row(text, first):
    """Return the cells of the first table row that starts with a word."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.strip("| ").split(" | ")]


def test_shares_of_a_block_are_its_areas(bench):
    truth = np.array([[0, 0, 5, 5], [0, 5, 5, 255], [255, 255, 5, 5], [255, 255, 0, 0]], np.uint8)
    values, shares = bench.items.reduced(truth, 2)
    assert values.tolist() == [0, 5]
    np.testing.assert_allclose(shares[1], [[1 / 4, 1.0], [0.0, 1 / 2]])
    np.testing.assert_allclose(shares.sum(axis=0), 1)  # all ignored: background
    assert shares.dtype == np.float32


def test_labels_are_the_largest_shares(bench, data):
    folder = data / "dev" / "tiny"
    labels = bench.items.TASKS["down8 labels"](folder)
    shares = bench.items.TASKS["down8 fractions"](folder)
    assert shares.coarse.shape == (3, 12, 16)
    np.testing.assert_array_equal(labels.coarse, shares.values[shares.coarse.argmax(axis=0)])
    assert (labels.scale, labels.ignore, labels.exact) == (8.0, 255, True)
    assert 255 not in labels.coarse
    # A tie of two classes is no majority: the background keeps it.
    truth = np.array([[0, 1], [0, 1]], np.uint8)
    values, shares = bench.items.reduced(truth, 2)
    assert values[shares.argmax(axis=0)] == 0


def test_classes_that_are_judged(bench):
    _, truth = scene()
    assert bench.items.judged(truth) == [1, 3]
    assert bench.items.judged(np.where(truth == 1, 255, truth)) == [3]
    assert bench.items.judged(np.zeros((40, 40), np.uint8)) == []
    small = np.zeros((40, 40), np.uint8)
    small[:10, :10] = 1
    assert bench.items.judged(small) == []


def test_tasks_choose_by_size(bench, data):
    folder = data / "dev" / "tiny"
    assert bench.items.TASKS["net labels"](folder).scale == 4.0
    assert bench.items.TASKS["net full size"](folder) is None
    assert bench.items.TASKS["net probabilities"](folder) is None
    Image.fromarray(scene()[1]).save(folder / "coarse.png")
    assert bench.items.TASKS["net labels"](folder) is None
    assert bench.items.TASKS["net full size"](folder).scale is None


def test_box_of_an_object(bench):
    truth, coarse = np.zeros((100, 200), np.bool_), np.zeros((50, 100), np.bool_)
    truth[20:60, 40:120] = True  # 10:30, 20:60 in coarse pixels, and 5 % of 20 and 40
    coarse[12:34, 25:40] = True
    box = bench.items.box_of_object(truth, coarse)
    expected = np.zeros_like(box)
    expected[9:34, 18:62] = True
    np.testing.assert_array_equal(box, expected)


def test_measured_quality_is_the_metrics_mean(bench, data):
    start, linear = bench.measure.measure("down4 labels", data / "dev" / "tiny",
                                          ["nearest", "linear"])  # fmt: skip
    item = bench.items.TASKS["down4 labels"](data / "dev" / "tiny")
    assert start["after"] == start["before"] == linear["before"]
    labels = refine(item.image, item.coarse, passes=0, interpolation="linear")
    expected = [metrics.iou(labels, item.truth, label=k, ignore=255) for k in (1, 3)]
    assert linear["after"]["iou"] == pytest.approx(np.mean(expected))
    assert linear["after"]["classes"]["3"]["iou"] == expected[1]
    assert bench.report.gain(linear)[0] == pytest.approx(
        100 * (np.mean(expected) - start["after"]["iou"])
    )


def test_every_method_answers_or_says_why(bench, data):
    for task in ("down4 labels", "down4 fractions"):
        for found in bench.measure.measure(task, data / "dev" / "tiny", bench.methods.METHODS):
            if found["status"] == "ok":
                # A band of 64 pixels and a median of 7 are much for a picture as small as this.
                least = 0.7 if found["method"] == "published" else 0.8
                assert found["after"]["iou"] > least, found["method"]
            else:
                assert found["status"].startswith("skipped: "), found["status"]


def test_a_failure_is_a_record(bench, data, monkeypatch):
    monkeypatch.setitem(bench.methods.METHODS, "cubic", lambda item: 1 / 0)
    (found,) = bench.measure.measure("down4 labels", data / "dev" / "tiny", ["cubic"])
    assert found["status"] == "failed: ZeroDivisionError: division by zero"
    assert "after" not in found
    text = bench.report.report(content(found))
    assert row(text, "cubic") == ["cubic", "-", "-"]
    assert "* cubic: failed: ZeroDivisionError: division by zero (down4 labels tiny)" in text


def test_tiles_cover_the_picture_once(bench):
    count = np.zeros((70, 50), int)
    for outer, within, inner in bench.pieces.tiles(count.shape, 32, 5):
        count[inner] += 1
        marked = np.zeros_like(count)
        marked[outer][within] = 1
        assert marked[inner].all()
        assert marked.sum() == marked[inner].size
    assert (count == 1).all()


def test_summary_and_worst(bench):
    text = bench.report.report(content(
        record(item="a"),
        record(item="b", before=(0.7, 0.6), after=(0.65, 0.9)),
        record(item="c", after=None, status="failed: no"),
        record(item="swissdrone", after=(0.1, 0.1), exact=False),
    ))  # fmt: skip
    assert row(text, "method (items)")[1] == "net labels (3)"
    assert row(text, "nearest, absolute")[1] == "56.67 / 53.33"
    assert row(text, "default") == ["default", "+2.50 / +10.00 (-5.00 b), 1 failed", "1.5"]
    assert row(text, "a")[1] == "+10.00 / -10.00"
    loosely = text[text.index("## Truth drawn loosely") :]
    assert row(loosely, "default") == ["default", "-40.00 / -40.00"]


def test_what_is_reused_is_not_run(bench):
    done = {("net labels", "x", "default")}
    jobs = bench.main.jobs_for(["net labels"], [Path("x"), Path("y")], ["default", "cubic"], done)
    assert jobs == [
        ("net labels", Path("x"), ["cubic"]),
        ("net labels", Path("y"), ["default", "cubic"]),
    ]


def test_merge_takes_the_later(bench, tmp_path, capsys):
    old, new, both = (tmp_path / f"{name}.json" for name in ("old", "new", "both"))
    bench.main.write(old, content(record(), record(method="cubic"), machine="one"))
    bench.main.write(new, content(record(after=(0.9, 0.9)), machine="two"))
    bench.main.main(["--merge", str(old), str(new), "-o", str(both), "--markdown",
                         str(tmp_path / "table.md")])  # fmt: skip
    text = capsys.readouterr().out
    assert text == (tmp_path / "table.md").read_text()
    assert row(text, "default")[1] == "+40.00 / +40.00 (+40.00 a)"
    assert row(text, "cubic")[1] == "+10.00 / -10.00 (+10.00 a)"
    found = json.loads(both.read_text())
    assert found["machines"] == ["one", "two"]
    assert len(found["records"]) == 2
    assert {s["method"]: s["gain"][0] for s in found["summaries"]} == pytest.approx(
        {"default": 40.0, "cubic": 10.0}
    )


def test_a_run_goes_to_json_and_back(bench, data, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HDSEG_DATA", str(data))
    for name in bench.main.ONE_THREAD:
        monkeypatch.setenv(name, "1")  # and back afterwards
    out = tmp_path / "results.json"
    bench.main.main(["--tasks", "down4 labels", "--methods", "linear", "-o", str(out)])
    printed = capsys.readouterr().out
    found = json.loads(out.read_text())
    assert [r["item"] for r in found["records"]] == ["tiny"]
    assert bench.report.report(found) == printed
    again = tmp_path / "again.json"
    monkeypatch.setattr(bench.main, "run", lambda jobs, processes: iter(jobs))
    bench.main.main(["--tasks", "down4 labels", "--methods", "linear", "-o", str(again),
                         "--reuse", str(out)])  # fmt: skip
    assert json.loads(again.read_text())["records"] == found["records"]
