"""Workspaces with valid checksums but forged contents: nothing in them is trusted."""

import json
import os
import shutil
import struct
import tracemalloc
import zlib
from dataclasses import replace

import numpy as np
import pytest
from small_runs import SIDE, Stop, run, stopped, workspace_of

from hdseg_gpu import Report
from hdseg_gpu.core.errors import Unfinished
from hdseg_gpu.core.plain import restored
from hdseg_gpu.core.report import FileReport, Tally
from hdseg_gpu.core.windows import Window
from hdseg_gpu.engine import by_tiles, names, records
from hdseg_gpu.engine import planes as planes_of_runs
from hdseg_gpu.engine.records import is_possible
from hdseg_gpu.engine.workspace import Workspace, _sealed, _unsealed, folder_for
from hdseg_gpu.io import plane as planes
from hdseg_gpu.io.plane import DamagedTile, Plane, Values

PHASES = ["statistics", "seeds0", "seeds1", "seeds2", "seeds3", "measure", "redraw0", "tiles"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    output = tmp_path_factory.mktemp("undisturbed") / "out.npy"
    run(output)
    return np.load(output)


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory):
    folder = stopped(tmp_path_factory.mktemp("unfinished") / "out.npy")
    assert {p.name for p in folder.iterdir()} >= set(PHASES)
    return folder


@pytest.fixture
def output(tmp_path, unfinished):
    """Return where a run is to be resumed."""
    path = tmp_path / "out.npy"
    shutil.copytree(unfinished, workspace_of(path))
    return path


@pytest.fixture(scope="module")
def job(unfinished):
    """Return the store of that run."""

    def catch(phases, *_):
        jobs.append(phases.store)
        raise Stop

    jobs = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(by_tiles, "run_steps", catch)
        with pytest.raises(Stop):
            run(unfinished.with_name("out.npy"), resume=True)
    return jobs[0]


def assert_resumes(output, undisturbed, times=0):
    for _ in range(times):
        with pytest.raises(Unfinished, match="is damaged; continue with resume=True"):
            run(output, resume=True)
    run(output, resume=True)
    np.testing.assert_array_equal(np.load(output), undisturbed)
    assert os.listdir(output.parent) == ["out.npy"]


def record_of(output, phase):
    return next((workspace_of(output) / phase).glob("*.json"))


# ---- records ---------------------------------------------------------------------------------

WRONG = [
    None, True, "x", "", -1, 1.5, float("nan"), float("inf"), 10**30, [], [-1], [0, 0], [10**9],
    ["x"], [None], [1.5], [True], [[]], [[], []], [0] * 100_000, {}, {"x": 1}, [[-1, -1], [0, 0]],
    [[10**12, 0], [0, 0]], ["../../labels"], ["labels", "labels"],
    [[0, 0, 1, [float("nan")] * 3, 1]],
]  # fmt: skip


@pytest.mark.parametrize("phase", PHASES)
def test_records_of_a_run_are_believed_and_others_are_not(phase, job, unfinished):
    index = int(next((unfinished / phase).glob("*.json")).stem)
    right = job.workspace.recorded(phase, index)
    assert is_possible(job, phase, index, right)
    assert not is_possible(job, phase, index, {**right, "more": 1})
    for name in right:
        assert not is_possible(job, phase, index, {k: v for k, v in right.items() if k != name})
        for wrong in WRONG:
            if (wrong == [] and name == "after") or (name == "seconds" and type(wrong) is dict):
                continue  # valid: there may be no seeds, and stages may have any names
            if wrong != right[name] or type(wrong) is not type(right[name]):
                assert not is_possible(job, phase, index, {**right, name: wrong}), (name, wrong)


def deeper(phase, right):
    """Yield records that are wrong in one value inside."""
    yield {**right, "seconds": {"solve": -1.0}}
    yield {**right, "seconds": {"solve": "long"}}
    yield {**right, "fallback": 3}
    if phase == "statistics":
        block = right["blocks"][0]
        for i in range(len(block)):
            for wrong in (None, "x", -1, float("nan"), [1.0], [1.0] * 5):
                yield {**right, "blocks": [[*block[:i], wrong, *block[i + 1 :]]]}
        yield {**right, "blocks": right["blocks"] * 2}
    elif phase.startswith("seeds"):
        for name in right.keys() & {"unknown", "patches", "before", "after"}:
            for wrong in (-1, 65537, 10**9, 1.0, None, True):
                yield {**right, name: [*right[name][:-1], wrong]}
            yield {**right, name: right[name][:-1]} if name in ("unknown", "patches") else {}
    elif phase == "tiles":
        for name in right["tally"]:
            for wrong in ("x", -1, [1], {}, 1.5j):
                if name == "fallbacks" and wrong == "x":
                    continue
                yield {**right, "tally": {**right["tally"], name: wrong}}
        yield {**right, "skipped": "as it pleases"}  # nothing may be skipped in this run


@pytest.mark.parametrize("phase", ["statistics", "seeds0", "seeds3", "tiles"])
def test_records_that_are_wrong_inside(phase, job, unfinished):
    right = job.workspace.recorded(phase, 0)
    tried = [wrong for wrong in deeper(phase, right) if wrong]
    assert len(tried) > 15
    believed = [wrong for wrong in tried if is_possible(job, phase, 0, wrong)]
    # Only the error of a potential may be any number.
    assert all(wrong["tally"]["error"] == -1 for wrong in believed if phase == "tiles")
    assert len(believed) <= (phase == "tiles")


def test_tiles_that_may_be_skipped(job):
    left = {"skipped": "unreadable", "pixels": SIDE * SIDE, "seconds": {}}
    assert not is_possible(job, "redraw0", 0, left)
    assert is_possible(replace(job, skip=True), "redraw0", 0, left)


CHANGES = {
    "empty": lambda r: {},
    "list": lambda r: [1],
    "string": lambda r: "done",
    "far patch": lambda r: {**r, "patches": [10**9]},
    "negative": lambda r: {**r, "patches": [-1], "unknown": [-5]},
    "other run": lambda r: {**r, "run": "0" * 32},
    "other task": lambda r: {**r, "task": 3},
    "other phase": lambda r: {**r, "phase": "elsewhere"},
    "no run": lambda r: {k: v for k, v in r.items() if k != "run"},
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("phase", ["statistics", "seeds0", "seeds3", "tiles"])
def test_forged_records_are_done_again(phase, change, output, undisturbed):
    path = record_of(output, phase)
    workspace = Workspace(workspace_of(output), _unsealed(path)["run"])
    assert workspace.recorded(phase, 0) is not None
    path.write_bytes(_sealed(CHANGES[change](_unsealed(path))))
    if change not in ("far patch", "negative"):  # these are of the wrong form
        assert workspace.recorded(phase, 0) is None
    assert_resumes(output, undisturbed)


def sparse(path, size):
    path.unlink()
    with path.open("wb") as stream:
        stream.truncate(size)


RAW = {
    "nothing": lambda path: path.write_bytes(b""),
    "no seal": lambda path: path.write_bytes(b"{}"),
    "deep": lambda path: path.write_bytes(_seal(b"[" * 200_000)),
    "a number with a million digits": lambda path: path.write_bytes(_seal(b"9" * 1_000_000)),
    "no text": lambda path: path.write_bytes(_seal(b"\xff\xfe{")),
    "ten gigabytes": lambda path: sparse(path, 10 << 30),
}


def _seal(text):
    return b"%08x %s" % (zlib.crc32(text), text)


@pytest.mark.parametrize("what", RAW)
@pytest.mark.parametrize("name", ["seeds0/00000000.json", "run.json", "named.json"])
def test_files_that_are_no_records(what, name, output, undisturbed):
    path = workspace_of(output) / name
    path.touch()
    RAW[what](path)
    tracemalloc.start()
    try:
        _unsealed(path)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    assert_resumes(output, undisturbed)


def test_records_of_another_run_are_not_believed(output, undisturbed, tmp_path):
    """Stale ones have right check sums and the right form, too."""
    (tmp_path / "other").mkdir()
    other = stopped(tmp_path / "other" / "out.npy", gamma=1.0, beta=1.0, passes=9)
    for phase in PHASES:
        shutil.copytree(other / phase, workspace_of(output) / phase, dirs_exist_ok=True)
    for plane in ("labels", "known3", "cells3", "classes2"):
        shutil.copytree(other / plane, workspace_of(output) / plane, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "other")
    assert_resumes(output, undisturbed)


# ---- planes ----------------------------------------------------------------------------------


def forged(plane, index, strips, **head):
    """Return a tile with right check sums, of compressed strips as they are given."""
    core = plane.grid.core(index)
    shape = head.get("shape", core.shape)
    offset = planes._begin(len(strips))
    parts = [planes._HEAD.pack(planes._MAGIC, *shape, head.get("count", len(strips)))]
    for strip in strips:
        length = head.get("length", len(strip))
        at = head.get("offset", offset)
        parts.append(planes._STRIP.pack(at, length, zlib.crc32(strip)))
        offset += len(strip)
    parts.append(planes._CHECK.pack(zlib.crc32(b"".join(parts), plane._seal(index))))
    return b"".join([*parts, *strips])


def strips_of(rows, count=1, fill=b"\1"):
    return [zlib.compress(fill * (n * SIDE)) for n in rows]


FORGED = {
    "as it should be": lambda p: forged(p, 0, strips_of((512, 88))),
    "a row short": lambda p: forged(p, 0, strips_of((512, 87))),
    "a row more": lambda p: forged(p, 0, strips_of((512, 89))),
    "a strip short": lambda p: forged(p, 0, strips_of((600,))),
    "a strip more": lambda p: forged(p, 0, strips_of((512, 44, 44))),
    "no zlib": lambda p: forged(p, 0, [b"x", b"y"]),
    "nothing": lambda p: forged(p, 0, [b"", b""]),
    "cut zlib": lambda p: forged(p, 0, [s[:-5] for s in strips_of((512, 88))]),
    "more behind": lambda p: forged(p, 0, [s + b"more" for s in strips_of((512, 88))]),
    "a bomb": lambda p: forged(p, 0, [zlib.compress(bytes(200 << 20)), *strips_of((88,))]),
    "negative length": lambda p: forged(p, 0, strips_of((512, 88)), length=-1),
    "long length": lambda p: forged(p, 0, strips_of((512, 88)), length=1 << 40),
    "negative offset": lambda p: forged(p, 0, strips_of((512, 88)), offset=-7),
    "far offset": lambda p: forged(p, 0, strips_of((512, 88)), offset=1 << 62),
    "other shape": lambda p: forged(p, 0, strips_of((512, 88)), shape=(600, 601)),
    "negative shape": lambda p: forged(p, 0, strips_of((512, 88)), shape=(-600, -600)),
    "other count": lambda p: forged(p, 0, strips_of((512, 88)), count=1 << 60),
    "a value too high": lambda p: forged(p, 0, strips_of((512, 88), fill=b"\7")),
    "a value too low": lambda p: forged(p, 0, strips_of((512, 88), fill=b"\0")),
    "of another tile": lambda p: forged(replace(p, key="0" * 32), 0, strips_of((512, 88))),
}


def plane_of(folder):
    return Plane(folder, (SIDE, SIDE), 2048, "uint8", values=Values(1, 2), key="5" * 32)


@pytest.mark.parametrize("what", [name for name in FORGED if name != "as it should be"])
def test_forged_tiles_are_damaged(what, tmp_path):
    (tmp_path / "labels").mkdir(mode=0o700)
    plane = plane_of(tmp_path / "labels")
    content = FORGED[what](plane)
    plane.path(0).write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(DamagedTile):
            plane.read(Window(0, 0, SIDE, SIDE))
        assert tracemalloc.get_traced_memory()[1] < 4 * SIDE * SIDE + len(content)
    finally:
        tracemalloc.stop()
    assert not plane.is_whole(0)  # so that a run that is resumed writes it again
    plane.path(0).write_bytes(FORGED["as it should be"](plane))
    assert plane.is_whole(0)
    assert (plane.read(Window(0, 0, SIDE, SIDE)) == 1).all()


@pytest.mark.parametrize("what", [name for name in FORGED if name != "as it should be"])
def test_runs_with_forged_tiles_are_resumed(what, output, undisturbed, job):
    plane = replace(job.plane("labels"), folder=workspace_of(output) / "labels")
    plane.path(0).write_bytes(FORGED[what](plane))
    inside = what.startswith("a value") or what in (
        "a row short", "a row more", "no zlib", "cut zlib", "more behind", "a bomb"
    )  # fmt: skip
    assert_resumes(output, undisturbed, times=int(inside))


def test_a_tile_of_ten_gigabytes(output, undisturbed):
    sparse(workspace_of(output) / "labels" / "00000000", 10 << 30)
    assert_resumes(output, undisturbed)


def test_tiles_in_the_wrong_place(tmp_path):
    (tmp_path / "labels").mkdir(mode=0o700)
    plane = Plane(tmp_path / "labels", (40, 80), 40, "uint8", key="5" * 32)
    plane.write(0, np.ones((40, 40), np.uint8))
    shutil.copy(plane.path(0), plane.path(1))
    assert plane.is_whole(0)
    assert not plane.is_whole(1)
    for other in (replace(plane, key="6" * 32), replace(plane, folder=tmp_path / "known")):
        shutil.copytree(plane.folder, tmp_path / "known", dirs_exist_ok=True)
        assert not other.is_whole(0)


def test_redrawn_tiles_that_no_run_has_drawn(output, undisturbed):
    """Which tiles are redrawn is known by their files: those too many are removed."""
    for redraw in range(1, 4):
        folder = workspace_of(output) / f"classes{redraw}"
        for name in ("00000001", "00000777"):
            (folder / name).write_bytes(b"years of work")

    def look(now):
        if now.phase == "tiles":
            found.update(p.name for p in workspace_of(output).glob("classes?/*"))

    found = set()
    run(output, resume=True, progress=look)
    assert found == {"00000000"}
    np.testing.assert_array_equal(np.load(output), undisturbed)


def test_values_that_a_plane_can_have():
    values = Values(1, 3, wall=255)
    for array, right in (
        ([1, 2, 3], True), ([1, 255], True), ([255, 255], True), ([0, 1], False),
        ([4, 255], False), ([1, 254], False),
    ):  # fmt: skip
        assert values.include(np.array(array, np.uint8)) is right
    assert not Values(0, 3).include(np.array([255], np.uint8))


def test_a_coarse_map_that_does_not_belong_to_the_run(output, undisturbed):
    folder = workspace_of(output)
    np.save(folder / "coarse_ignored.npy", np.ones((75, 75), bool))
    np.save(folder / "coarse_classes.npy", np.zeros((75, 75), np.uint8))
    found = []
    run(output, resume=True, progress=lambda _: found.extend(folder.glob("coarse*")))
    assert {p.name for p in found} == {"coarse_classes.npy"}
    np.testing.assert_array_equal(np.load(output), undisturbed)


# ---- what is kept of a finished run -------------------------------------------------------------


@pytest.fixture
def named(tmp_path):
    """Return an output whose run was stopped when it had its name."""

    def stop(*_):
        raise Stop

    output = tmp_path / "out.npy"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hdseg_gpu.engine.workspace.remove_content", stop)
        with pytest.raises(Stop):
            run(output)
    assert output.exists()
    return output


def test_a_run_that_is_complete_says_so(named, tmp_path):
    first, inode = np.load(named), named.stat().st_ino
    updates = []
    report = run(named, resume=True, progress=updates.append)
    assert isinstance(report, Report)
    assert report.decided_tiles == 1
    assert report.shape == (SIDE, SIDE)
    assert report.labels == (0, 1)
    assert updates == []  # nothing was done again
    assert named.stat().st_ino == inode
    np.testing.assert_array_equal(np.load(named), first)
    assert os.listdir(tmp_path) == ["out.npy"]


def test_a_complete_run_with_other_settings_is_refused(named):
    with pytest.raises(ValueError, match="cannot be resumed: beta was"):
        run(named, resume=True, beta=7.0)
    assert workspace_of(named).exists()


@pytest.mark.parametrize("wrong", [{}, {"report": {}}, {"report": {"shape": 1}}, {"plan": []}])
def test_forged_reports_are_not_believed(wrong, named, undisturbed):
    path = workspace_of(named) / "named.json"
    path.write_bytes(_sealed({**_unsealed(path), **wrong, "report": wrong.get("report", 7)}))
    run(named, resume=True)
    np.testing.assert_array_equal(np.load(named), undisturbed)


def test_an_output_that_is_another_file_is_not_that_of_the_run(named):
    named.unlink()
    named.write_bytes(b"someone else's")
    with pytest.raises(ValueError, match="exists"):
        run(named, resume=True)
    assert named.read_bytes() == b"someone else's"


def test_reports_come_back_as_they_were(tmp_path):
    report = run(tmp_path / "a.npy")
    assert restored(FileReport, json.loads(json.dumps(report.to_dict()))) == report
    for wrong in (None, [], {}, {**report.to_dict(), "tile": "x"}, {**report.to_dict(), "x": 1}):
        with pytest.raises(ValueError, match=r"no |None of|none of|is no"):
            restored(FileReport, wrong)
    assert restored(Tally, vars(Tally())) == Tally()


def test_short_seals(tmp_path):
    (tmp_path / "w").mkdir(mode=0o700)
    workspace = Workspace(tmp_path / "w", "k")
    workspace.keep("a.json", {"x": 1})
    assert workspace.kept("a.json") == {"x": 1}
    content = (tmp_path / "w" / "a.json").read_bytes()
    for n in range(len(content)):
        (tmp_path / "w" / "a.json").write_bytes(content[:n])
        assert workspace.kept("a.json") is None
    assert folder_for(tmp_path / "a.tif").name == ".a.tif.hdseg"
    assert struct.calcsize("<qqI") == planes._STRIP.size


def test_every_folder_of_a_run_has_its_rules():
    """A phase without a check, or a plane without a layout, could not be resumed."""
    assert records._CHECKS.keys() == names.PHASES.keys()
    assert planes_of_runs._LAYOUTS.keys() == names.PLANES.keys()
    assert not names.PHASES.keys() & names.PLANES.keys()
