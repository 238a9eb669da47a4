"""Workspaces: a folder that is not one of ours is neither written to, nor followed, nor emptied."""

import os
import shutil
import socket

import numpy as np
import pytest
from small_runs import MODES, everything, run, stopped, workspace_of

from hdseg_gpu import InvalidInput
from hdseg_gpu.core.errors import Unfinished
from hdseg_gpu.engine.workspace import _lock_of, _sealed
from hdseg_gpu.io.own import ForeignPath, new_file, own_file, own_folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    output = tmp_path_factory.mktemp("undisturbed") / "out.npy"
    run(output)
    return np.load(output)


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory):
    return stopped(tmp_path_factory.mktemp("unfinished") / "out.npy")


@pytest.fixture
def output(tmp_path):
    (tmp_path / "here").mkdir()
    return tmp_path / "here" / "out.npy"


@pytest.fixture
def victim(tmp_path):
    """Return a folder of somebody, with names in it that runs use, too."""
    folder = tmp_path / "victim"
    (folder / "labels").mkdir(parents=True)
    for name in ("thesis.txt", "lock", "run.json", "labels/00000000", "output.npy"):
        (folder / name).write_text(f"years of work: {name}")
    return folder


def foreign(path, _):
    path.mkdir(mode=0o700)
    if os.geteuid():
        pytest.skip("only root can make folders of others")
    os.chown(path, 65534, 65534)


def open_to(mode):
    def make(path, _):
        path.mkdir()
        path.chmod(mode)

    return make


def folder_with(*names):
    def make(path, _):
        for name in names:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text("years of work")

    return make


def copied(path, victim):
    shutil.copytree(victim, path)


# What lies where a run wants its folder.
PLANTED = {
    "a link to a folder": lambda path, victim: path.symlink_to(victim),
    "a link to an empty folder": lambda path, victim: path.symlink_to(_emptied(victim)),
    "a link to nothing": lambda path, victim: path.symlink_to(victim / "nothing"),
    "a link to a file": lambda path, victim: path.symlink_to(victim / "thesis.txt"),
    "a link to itself": lambda path, _: path.symlink_to(path),
    "a file": lambda path, _: path.write_text("years of work"),
    "an empty file": lambda path, _: path.touch(),
    "a pipe": lambda path, _: os.mkfifo(path),
    "a folder of someone else": foreign,
    "a folder that a group may write to": open_to(0o770),
    "a folder that all may write to": open_to(0o707),
    "a stranger's folder": folder_with("thesis.txt"),
    "a stranger's folder with our names": copied,
    "a stranger's folder in ours": folder_with("labels/photo.jpg"),
    "a stranger's notes": folder_with("run.json.bak"),
    "hidden files": folder_with(".git/config"),
    "other outputs": folder_with("output.tif"),
    "a folder called like an output": folder_with("output.npy/thesis.txt"),
    "a folder called like what is not complete": folder_with(".hdseg-0123456789ab.part/thesis.txt"),
    "a folder called like a probe": folder_with(".hdseg-0123456789ab.probe/thesis.txt"),
}


def _emptied(victim):
    folder = victim / "empty"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("what", PLANTED)
def test_what_is_no_folder_of_ours_is_left_alone(what, mode, output, victim):
    PLANTED[what](workspace_of(output), victim)
    assert_refused_untouched(output, mode)


def assert_refused_untouched(output, mode):
    before = everything(output.parent.parent)
    with pytest.raises(
        InvalidInput, match=r"\.out\.npy\.hdseg.*; remove it yourself, or"
    ) as caught:
        run(output, **MODES[mode])
    assert "\n" not in str(caught.value)
    assert everything(output.parent.parent) == before


def link(target="thesis.txt"):
    return lambda path, victim: path.symlink_to(victim / target)


def hard_link(path, victim):
    path.hardlink_to(victim / "thesis.txt")


KINDS = {
    "link": link(),
    "link to a folder": link("labels"),
    "link to nothing": link("nothing"),
    "hard link": hard_link,
    "pipe": lambda path, _: os.mkfifo(path),
    "socket": lambda path, _: _socket(path),
    "folder": lambda path, _: path.mkdir(),
}


def _socket(path):
    here = os.getcwd()
    os.chdir(path.parent)  # names of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(here)


NAMES = [
    "lock",
    "run.json",
    "named.json",
    "coarse_classes.npy",
    "coarse_probabilities.npy",
    "output.npy",
    "output.npy.1",
    ".run.json.0123456789ab",
    "statistics/00000000.json",
    "labels/00000000",
    "labels/.00000000.0123456789ab",
    "strange",
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_what_is_planted_in_a_workspace_is_left_alone(name, kind, mode, output, victim, unfinished):
    if kind == "hard link" and name.startswith("output"):
        pytest.skip("an output is given its name by a hard link")
    shutil.copytree(unfinished, workspace_of(output))
    path = workspace_of(output) / name
    path.unlink(missing_ok=True)
    KINDS[kind](path, victim)
    assert_refused_untouched(output, mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["labels", "known3", "seeds0", "tiles", "statistics"])
def test_links_in_place_of_its_folders(name, mode, output, victim, unfinished):
    shutil.copytree(unfinished, workspace_of(output))
    shutil.rmtree(workspace_of(output) / name)
    (workspace_of(output) / name).symlink_to(victim / "labels")
    assert_refused_untouched(output, mode)


@pytest.mark.parametrize("mode", ["resume", "overwrite"])
def test_a_zarr_store_with_links_in_it_is_removed_and_not_followed(mode, tmp_path, victim):
    pytest.importorskip("zarr")
    (tmp_path / "here").mkdir()
    output = tmp_path / "here" / "out.zarr"
    inner = stopped(output) / "output.zarr" / "0"
    inner.mkdir(parents=True)
    (inner / "c").symlink_to(victim)
    before = everything(victim)
    run(output, **MODES[mode])
    assert everything(victim) == before
    assert [p.name for p in output.parent.iterdir()] == ["out.zarr"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["output.zarr", "output.ome.zarr", ".hdseg-0123456789ab.part"])
@pytest.mark.parametrize("plan", [None, b"", b"deadbeef {}", {}, {"run": "x"}])
def test_a_store_that_no_plan_speaks_of_is_left_alone(plan, name, mode, tmp_path):
    output = tmp_path / "here" / "out.zarr"
    folder = workspace_of(output)
    (folder / name).mkdir(parents=True)
    folder.chmod(0o700)
    (folder / name / "thesis.txt").write_text("years of work")
    if plan is not None:
        (folder / "run.json").write_bytes(plan if isinstance(plan, bytes) else _sealed(plan))
    before = everything(tmp_path)
    with pytest.raises(InvalidInput, match=r"\.out\.zarr\.hdseg holds .*remove it yourself"):
        run(output, **MODES[mode])
    assert everything(tmp_path) == before


def test_the_plan_is_removed_last(tmp_path, monkeypatch):
    """A run that is killed while it removes its folder leaves what the next one knows as ours."""
    pytest.importorskip("zarr")
    output = tmp_path / "out.zarr"
    folder = stopped(output)
    (folder / "output.zarr" / "0").mkdir(parents=True)
    removed = []

    def noted(remove):
        def removing(path, *rest, **options):
            if "dir_fd" in options:
                removed.append(str(path))
            return remove(path, *rest, **options)

        return removing

    for module, name in ((os, "unlink"), (shutil, "rmtree")):
        monkeypatch.setattr(module, name, noted(getattr(module, name)))
    run(output, overwrite=True)
    assert removed.index("run.json") > removed.index("output.zarr")


@pytest.mark.parametrize("mode", MODES)
def test_what_a_run_leaves_that_was_killed_at_its_start(mode, output, undisturbed):
    """Neither the empty folder, nor the lock, nor half a plan is in the way of the next run."""
    for left in ((), ("lock",), ("lock", ".run.json.0123456789ab")):
        workspace_of(output).mkdir(mode=0o700)
        (workspace_of(output) / ".hdseg-0123456789ab.probe").mkdir()  # of own_folder, say
        for name in left:
            (workspace_of(output) / name).write_bytes(b"")
        if mode == "plain":
            with pytest.raises(InvalidInput, match=r"unfinished run .*resume=True .*over"):
                run(output)
            shutil.rmtree(workspace_of(output))
            continue
        run(output, **MODES[mode])
        np.testing.assert_array_equal(np.load(output), undisturbed)
        assert os.listdir(output.parent) == ["out.npy"]
        output.unlink()


def test_folders_and_files_are_for_this_user_alone(output):
    before = os.umask(0)
    try:
        folder = stopped(output)
    finally:
        os.umask(before)
    for path in (folder, *folder.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


def test_what_appears_in_it_during_a_run_stays(output, undisturbed):
    def drop(now):
        if now.phase == "tiles":
            (workspace_of(output) / "notes.txt").write_text("years of work")

    run(output, progress=drop)
    np.testing.assert_array_equal(np.load(output), undisturbed)
    assert [p.name for p in workspace_of(output).iterdir()] == ["notes.txt"]
    output.unlink()
    assert_refused_untouched(output, "resume")


@pytest.mark.parametrize("what", ["nothing", "a link", "a folder", "another run"])
def test_folder_that_is_swapped_during_a_run(what, output, victim, unfinished):
    """What was begun in one folder never goes on in another that has its name."""
    away = output.parent.with_name("away")

    def swap(now):
        if now.phase != "seeds0" or away.exists():
            return
        output.parent.rename(away)
        output.parent.symlink_to(victim)
        place = victim / workspace_of(output).name
        if what == "a link":
            place.symlink_to(victim / "labels")
        elif what == "a folder":
            shutil.copytree(victim / "labels", place)
        elif what == "another run":
            shutil.copytree(unfinished, place)
            (place / "output.npy").write_bytes(b"nearly complete")
        seen.append(everything(victim))

    seen = []
    with pytest.raises(
        Unfinished, match=r"\.out\.npy\.hdseg.*(is not the folder of|continue with resume=True)"
    ):
        run(output, progress=swap)
    assert seen == [everything(victim)]


def test_names_that_are_nearly_too_long(tmp_path, undisturbed):
    output = tmp_path / ("x" * 251 + ".npy")
    stopped(output)
    (folder,) = tmp_path.iterdir()
    assert len(folder.name) < 60
    run(output, resume=True)
    np.testing.assert_array_equal(np.load(output), undisturbed)
    assert list(tmp_path.iterdir()) == [output]
    many = tmp_path / ("a." + "b" * 246 + ".npy")
    run(many)
    np.testing.assert_array_equal(np.load(many), undisturbed)


@pytest.mark.parametrize("mode", MODES)
def test_output_folder_that_is_a_file(mode, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match=r"does not exist|is not"):
        run(tmp_path / "file" / "out.npy", **MODES[mode])


def test_files_of_our_own(tmp_path):
    (tmp_path / "target").write_bytes(b"years of work")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with new_file(tmp_path / "link") as stream:
        stream.write(b"new")
    assert (tmp_path / "target").read_bytes() == b"years of work"
    assert not (tmp_path / "link").is_symlink()
    with own_file(tmp_path / "link", 3) as stream:
        assert stream.read() == b"new"
    with pytest.raises(ForeignPath, match="larger"), own_file(tmp_path / "link", 2):
        pass
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ForeignPath), own_file(tmp_path / "pipe"):
        pass
    with pytest.raises(FileNotFoundError), own_file(tmp_path / "nothing"):
        pass
    with pytest.raises(FileNotFoundError), own_folder(tmp_path / "nothing"):
        pass


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "link to nothing"])
def test_locks_are_files_of_our_own(kind, tmp_path, victim):
    (tmp_path / "w").mkdir(mode=0o700)
    KINDS[kind](tmp_path / "w" / "lock", victim)
    before = everything(tmp_path)
    with own_folder(tmp_path / "w") as folder, pytest.raises(OSError, match=r"."):
        _lock_of(folder)
    assert everything(tmp_path) == before


def test_file_systems_that_do_not_tell_owners(tmp_path, undisturbed, monkeypatch):
    """Where all folders look as if they were somebody else's, so do those that we make."""
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    output = tmp_path / "out.npy"
    stopped(output)
    run(output, resume=True)
    np.testing.assert_array_equal(np.load(output), undisturbed)
    assert os.listdir(tmp_path) == ["out.npy"]


def test_another_version_is_named(output, monkeypatch):
    for module in ("files", "engine.file_run"):
        monkeypatch.setattr(f"hdseg_gpu.{module}.version", lambda _: "0.0.7")
    stopped(output)
    monkeypatch.undo()
    before = everything(output.parent)
    sentence = r"hdseg_gpu 0\.0\.7 began it, and this is .*; resume with that version, or start"
    with pytest.raises(InvalidInput, match=sentence):
        run(output, resume=True)
    assert everything(output.parent) == before
    run(output, overwrite=True)


def test_a_clock_that_is_set_back(output, undisturbed, monkeypatch):
    """Nothing depends on what time it is, or was."""
    stopped(output)
    for i, path in enumerate(sorted(workspace_of(output).rglob("*"))):
        when = (4_000_000_000, 1_000)[i % 2]
        os.utime(path, (when, when))
    now = iter(range(2_000_000_000, 0, -1_000_000))
    monkeypatch.setattr("time.time", lambda: next(now))
    updates = []
    run(output, resume=True, progress=updates.append)
    np.testing.assert_array_equal(np.load(output), undisturbed)
    assert all(t.done == t.tiles for t in updates)  # all of it was believed


def test_a_wrong_plan_is_no_plan(output, undisturbed):
    for content in ([1], "run", 7, None, {}, {"run": 3}, {"run": "../../x"}, {"tile": "x"}):
        plan = stopped(output) / "run.json"
        plan.write_bytes(_sealed(content))
        run(output, resume=True)
        np.testing.assert_array_equal(np.load(output), undisturbed)
        output.unlink()
