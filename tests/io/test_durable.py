"""Durable writing: write, fsync, rename, then fsync of the folder."""

import os
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from large_files import START, environment
from small_runs import COARSE, IMAGE, run, workspace_of

from hdseg_gpu import InvalidInput
from hdseg_gpu.cli import main
from hdseg_gpu.core.windows import Window, whole
from hdseg_gpu.io import check_output, create_output, open_image, read_labels, write_labels
from hdseg_gpu.io import paths as paths_module
from hdseg_gpu.io.own import make_folder
from hdseg_gpu.io.paths import completed, exchanged, take_name

LABELS = np.random.default_rng(31).integers(0, 5, (700, 600)).astype(np.uint8)
LARGE = ["out.tif", "out.ome.tif", "out.cog.tif", "out.zarr", "out.ome.zarr", "out.png", "out.npy"]
SMALL = ["out.tif", "out.tiff", "out.png", "out.npy", "out.npz"]


def needs(name):
    if ".zarr" in name:
        pytest.importorskip("zarr")
    if ".cog." in name:
        pytest.importorskip("rasterio")


def refined(path):
    run(path, overwrite=path.exists())


def created(path):
    with create_output(path, shape=LABELS.shape, overwrite=path.exists()) as output:
        output.write(whole(LABELS.shape), LABELS)


def written(path):
    write_labels(path, LABELS, overwrite=path.exists())


WAYS = [(name, how) for how in (refined, created) for name in LARGE]
WAYS += [(name, written) for name in SMALL]


class Watch:
    """What is forced to the disk, named and removed, in its order."""

    def __init__(self, monkeypatch, target):
        self.target, self.events, self.synced = target, [], {}
        self.real = {name: getattr(os, name) for name in ("fsync", "link", "rename", "replace")}
        for name in ("link", "rename", "replace"):
            monkeypatch.setattr(os, name, self.naming(name))
        monkeypatch.setattr(os, "fsync", self.fsync)
        monkeypatch.setattr(paths_module, "exchanged", self.exchanged)
        rmtree, unlink = shutil.rmtree, os.unlink
        monkeypatch.setattr(shutil, "rmtree", self.removing(rmtree))
        monkeypatch.setattr(os, "unlink", self.removing(unlink))

    def fsync(self, file):
        path = os.readlink(f"/proc/self/fd/{file if isinstance(file, int) else file.fileno()}")
        self.real["fsync"](file)
        self.events.append(("fsync", path))
        if os.path.isfile(path):
            with open(path, "rb") as stream:
                self.synced[os.stat(path).st_ino] = stream.read()
        else:
            self.synced[os.stat(path).st_ino] = sorted(os.listdir(path))

    def naming(self, name):
        def call(source, target, **options):
            if os.fspath(target) == str(self.target):
                self.check(source)
                self.events.append(("name", str(self.target)))
            return self.real[name](source, target, **options)

        return call

    def exchanged(self, one, other):
        if other == self.target:
            self.check(one)
            self.events.append(("name", str(self.target)))
        return exchanged(one, other)

    def removing(self, real):
        def call(path, *arguments, **options):
            self.events.append(("remove", os.fspath(path)))
            return real(path, *arguments, **options)

        return call

    def check(self, complete):
        """See that all of it is on the disk just as it is."""
        inner = [os.path.join(d, n) for d, ds, fs in os.walk(complete) for n in (*ds, *fs)]
        for path in (complete, *inner):
            now = self.synced[os.stat(path).st_ino]
            if os.path.isdir(path):
                assert now == sorted(os.listdir(path)), path
            else:
                with open(path, "rb") as stream:
                    assert now == stream.read(), path

    def assert_in_order(self):
        kinds = [event for event in self.events if event[1].startswith(str(self.target.parent))]
        (named,) = (i for i, event in enumerate(kinds) if event[0] == "name")
        assert kinds[named + 1] == ("fsync", str(self.target.parent)), kinds[named:]


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize(("name", "how"), WAYS)
def test_outputs_are_on_the_disk_before_they_have_their_name(
    name, how, again, tmp_path, monkeypatch
):
    needs(name)
    path = tmp_path / name
    if again:
        how(path)
    with monkeypatch.context() as patch:
        watch = Watch(patch, path)
        how(path)
    watch.assert_in_order()
    assert os.listdir(tmp_path) == [name]
    if how is refined:  # the workspace is there until the output's name is on the disk
        names = [event for event in watch.events if event[0] in ("name", "remove")]
        after = [path for kind, path in names[names.index(("name", str(path))) :] if kind != "name"]
        assert {"lock", "named.json"} <= set(after)
        assert not {"lock", "named.json", "labels"} & {
            p for _, p in names[: names.index(("name", str(path)))]
        }


@pytest.mark.parametrize("arguments", [(), ("--figure",)])
def test_pictures_of_seeds_and_the_demo(arguments, tmp_path, monkeypatch):
    np.save(tmp_path / "mask.npy", COARSE)
    with monkeypatch.context() as patch:
        watch = Watch(patch, tmp_path / "seeds.png")
        line = ["seeds", str(tmp_path / "mask.npy"), "-o", str(tmp_path / "seeds.png"), *arguments]
        assert main(line) == 0
    watch.assert_in_order()
    with monkeypatch.context() as patch:
        watch = Watch(patch, tmp_path / "demo" / "demo_overlay.png")
        assert main(["demo", "-o", str(tmp_path / "demo"), "--quiet"]) == 0
    watch.assert_in_order()


SYSTEM_CALLS = "write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlinkat"


@pytest.mark.parametrize("name", ["out.tif", "out.cog.tif", "out.zarr", "out.png", "out.npy"])
def test_order_of_system_calls(name, tmp_path):
    """The same as the kernel sees it, with the libraries that write by themselves."""
    needs(name)
    if shutil.which("strace") is None:
        pytest.skip("there is no strace")
    np.save(tmp_path / "image.npy", IMAGE)
    np.save(tmp_path / "coarse.npy", COARSE)
    (tmp_path / "here").mkdir()
    output, log = tmp_path / "here" / name, tmp_path / "log"
    line = ["refine", str(tmp_path / "image.npy"), str(tmp_path / "coarse.npy"), "-o", str(output)]
    done = subprocess.run(
        ["strace", "-f", "-y", "-s", "0", "-o", log, "-e", f"trace={SYSTEM_CALLS}",
         sys.executable, "-P", "-c", START, *line, "--tile", "2048", "--quiet"],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "ptrace" in done.stderr or "PTRACE" in done.stderr:
        pytest.skip(f"nothing can be traced here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    events = system_calls(log)
    folder = str(workspace_of(output))
    (named,) = (i for i, (call, text) in enumerate(events) if f'"{output}"' in text and call != "x")
    complete = re.search(rf'"({re.escape(folder)}/output[^"]*)"', events[named][1])[1]
    written = {}
    for i, (call, text) in enumerate(events):
        if (found := re.match(r"\d+<([^>]*)>", text)) and found[1].startswith(complete):
            written.setdefault(found[1], []).append((i, call))
    assert complete in written or f"{complete}/zarr.json" in written
    for path, calls in written.items():
        if os.path.exists(path.replace(complete, str(output))):
            assert calls[-1][1] == "fsync", path  # nothing is written behind it
            assert calls[-1][0] < named
    after = [event for event in events[named + 1 :] if str(output.parent) in event[1]]
    assert after[0][0] == "fsync"
    assert f"<{output.parent}>" in after[0][1]
    assert "unlinkat" not in [c for c, t in events[:named] if re.search(r"lock|named|labels", t)]


def system_calls(log):
    """Return (name, arguments) of the calls in a log of strace, in the order they began."""
    found = []
    for line in log.read_text(errors="replace").splitlines():
        match = re.match(r"\d+ +(\w+)\((.*)", line)
        if match and "resumed>" not in line.split("(")[0]:
            found.append((match[1], match[2]))
    return found


# ---- folders that take the place of folders --------------------------------------------------


def store(path, value):
    with create_output(path, shape=(40, 30), overwrite=path.exists()) as output:
        output.write(Window(0, 0, 40, 30), np.full((40, 30), value, np.uint8))


def value_of(path):
    with open_image(path) as image:
        return image.read(Window(0, 0, 1, 1)).item()


KILLED_WHILE_REPLACING = """
import os, signal, sys
from pathlib import Path
from hdseg_gpu.io import paths
seen = 0
def counted(real):
    def call(*a, **k):
        global seen
        seen += 1
        if seen == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*a, **k)
    return call
if sys.argv[4] == "without":
    paths.exchanged = lambda *a: False
for name in ("rename", "replace", "fsync", "unlink", "rmdir"):
    setattr(os, name, counted(getattr(os, name)))
paths.take_name(Path(sys.argv[1]), Path(sys.argv[2]), True)
"""


@pytest.mark.parametrize("exchange", ["with", "without"])
def test_nothing_is_lost_when_a_folder_is_replaced(exchange, tmp_path):
    """Killed at any call, the old store or the new one has the name, or both are beside it."""
    pytest.importorskip("zarr")
    ends = set()
    for calls in range(1, 60):
        folder = tmp_path / str(calls)
        make_folder(folder)
        store(folder / "new.zarr", 2)
        store(folder / "out.zarr", 1)
        line = [
            sys.executable, "-P", "-c", KILLED_WHILE_REPLACING,
            folder / "new.zarr", folder / "out.zarr", str(calls), exchange,
        ]  # fmt: skip
        done = subprocess.run(line, env=environment(), check=False, capture_output=True)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        if (folder / "out.zarr").exists():
            found = value_of(folder / "out.zarr")
        else:
            assert exchange == "without"
            (before,) = folder.glob(".hdseg-*.old")
            assert (value_of(folder / "new.zarr"), (before / "zarr.json").exists()) == (2, True)
            found = 0
        ends.add(found)
        if done.returncode == 0:
            assert found == 2
            assert os.listdir(folder) == ["out.zarr"]
            break
        shutil.rmtree(folder)
    assert done.returncode == 0
    assert ends == ({1, 2} if exchange == "with" else {0, 1, 2})


def test_a_store_that_cannot_be_replaced_stays(tmp_path, monkeypatch):
    pytest.importorskip("zarr")
    store(tmp_path / "out.zarr", 1)
    store(tmp_path / "new.zarr", 2)
    real = os.rename

    def rename(source, target, **options):
        if os.fspath(source).endswith("new.zarr"):
            raise OSError(28, "No space left on device")
        return real(source, target, **options)

    monkeypatch.setattr(paths_module, "exchanged", lambda *_: False)
    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(OSError, match="No space"):
        take_name(tmp_path / "new.zarr", tmp_path / "out.zarr", True)
    assert value_of(tmp_path / "out.zarr") == 1
    assert sorted(os.listdir(tmp_path)) == ["new.zarr", "out.zarr"]


def test_two_names_are_exchanged(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").write_text("b")
    assert exchanged(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a").read_text() == "b"
    assert (tmp_path / "b").is_dir()
    assert not exchanged(tmp_path / "a", tmp_path / "nothing")


# ---- links -----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [refined, created, written])
def test_links_are_kept_and_what_they_lead_to_is_replaced(how, tmp_path):
    (tmp_path / "big").mkdir()
    link, target = tmp_path / "out.npy", tmp_path / "big" / "other.npy"
    target.write_bytes(b"old")
    link.symlink_to(os.path.join("big", "other.npy"))
    with pytest.raises(InvalidInput, match="exists"):
        check_output(link, overwrite=False)
    how(link)
    assert link.is_symlink()
    assert not target.is_symlink()
    assert np.load(link).max() > 0
    assert os.listdir(tmp_path / "big") == ["other.npy"]
    assert sorted(os.listdir(tmp_path)) == ["big", "out.npy"]


def test_a_run_through_a_link_is_resumed_where_it_leads(tmp_path):
    (tmp_path / "big").mkdir()
    link, target = tmp_path / "out.npy", tmp_path / "big" / "out.npy"
    link.symlink_to(target)

    def stop(now):
        assert workspace_of(target).exists()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(link, overwrite=True, progress=stop)
    run(link, resume=True, overwrite=True)
    assert link.is_symlink()
    assert np.load(target).max() == 1
    assert os.listdir(tmp_path / "big") == ["out.npy"]


@pytest.mark.parametrize("leads_to", ["loop", "config", "folder", "no folder", "store"])
def test_links_that_lead_to_no_output(leads_to, tmp_path):
    link = tmp_path / "out.npy"
    (tmp_path / "config").write_text("important")
    (tmp_path / "folder").mkdir()
    (tmp_path / "store.zarr").mkdir()
    (tmp_path / "store.zarr" / "zarr.json").write_text("{}")
    target = {"loop": link, "store": tmp_path / "store.zarr"}.get(
        leads_to, tmp_path / leads_to / ("x.npy" if leads_to == "no folder" else "")
    )
    link.symlink_to(target)
    before = sorted(os.listdir(tmp_path))
    for how in (refined_over, created_over):
        with pytest.raises(InvalidInput, match=r"out\.npy|no folder does not exist"):
            how(link)
    assert (tmp_path / "config").read_text() == "important"
    assert sorted(os.listdir(tmp_path)) == before


def refined_over(path):
    run(path, overwrite=True)


def created_over(path):
    create_output(path, shape=(8, 8), overwrite=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make links of others")
def test_links_of_others_are_not_followed(tmp_path):
    (tmp_path / "config.npy").write_text("important")
    link = tmp_path / "out.npy"
    link.symlink_to(tmp_path / "config.npy")
    os.lchown(link, 65534, 65534)
    for how in (refined_over, created_over, lambda path: write_labels(path, LABELS)):
        with pytest.raises(InvalidInput, match="link of another user"):
            how(link)
    assert (tmp_path / "config.npy").read_text() == "important"


def test_temporary_names_are_nobodys(tmp_path, monkeypatch):
    """A link that waits under the temporary name is not written through."""
    monkeypatch.setattr(paths_module, "uuid4", lambda: type("Known", (), {"hex": "0" * 32}))
    (tmp_path / "victim").write_text("important")
    for name in (".hdseg-000000000000.part", ".hdseg-000000000000.tiles"):
        (tmp_path / name).symlink_to(tmp_path / "victim")
    for how in (created, written):
        with pytest.raises(OSError, match=r"out\.npy cannot be written"):
            how(tmp_path / "out.npy")
    assert (tmp_path / "victim").read_text() == "important"
    assert not (tmp_path / "out.npy").exists()


# ---- at the door -----------------------------------------------------------------------------


IN_THE_WAY = {
    "file where a store should be": ("out.zarr", lambda p: p.write_text("x"), "a file, but a Z"),
    "link to a file where a store should be": (
        "out.zarr", lambda p: (p.with_name("a.zarr").touch(), p.symlink_to("a.zarr")), "a file",
    ),
    "folder that is no store": ("out.zarr", lambda p: p.mkdir(), "a folder, but no Zarr store"),
    "folder with something": (
        "out.zarr", lambda p: (p.mkdir(), (p / "thesis.txt").touch()), "a folder, but no Zarr",
    ),
    "folder for an array": ("out.npy", lambda p: p.mkdir(), "is a folder; name a file in it"),
    "folder for a picture": ("out.png", lambda p: p.mkdir(), "is a folder; name a file in it"),
    "folder for a TIFF": ("out.tif", lambda p: p.mkdir(), "is a folder; name a file in it"),
    "store for a TIFF": (
        "out.tif", lambda p: (p.mkdir(), (p / "zarr.json").touch()), "is a folder; name a file",
    ),
    "pipe": ("out.npy", os.mkfifo, "is no file"),
    "device": ("out.npy", lambda p: p.symlink_to("/dev/null"), "link to /dev/null, which has an"),
}  # fmt: skip


@pytest.mark.parametrize("way", [refined_over, created_over])
@pytest.mark.parametrize("what", IN_THE_WAY)
def test_what_cannot_be_replaced_is_refused_before_any_work(what, way, tmp_path, monkeypatch):
    name, make, sentence = IN_THE_WAY[what]
    make(tmp_path / name)
    monkeypatch.setattr("hdseg_gpu.files.source_of", lambda *_: pytest.fail("it was opened"))
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(InvalidInput, match=sentence) as caught:
        way(tmp_path / name)
    assert name in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == before


def test_files_of_others_in_a_sticky_folder(tmp_path, monkeypatch):
    (tmp_path / "out.npy").touch()
    tmp_path.chmod(0o1777)
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    with pytest.raises(InvalidInput, match="belongs to someone else and cannot be replaced"):
        check_output(tmp_path / "out.npy", overwrite=True)


def test_what_appears_during_the_work_stays(tmp_path):
    for make in (lambda p: p.mkdir(), lambda p: p.write_text("important")):
        path = tmp_path / "out.npy"
        with pytest.raises(InvalidInput, match="has appeared"), completed(path, False):
            make(path)
        assert os.listdir(tmp_path) == ["out.npy"]
        shutil.rmtree(path, ignore_errors=True)


def test_small_pictures_survive(tmp_path):
    """What is written is what is read, after all of this."""
    for name in SMALL:
        write_labels(tmp_path / name, LABELS)
        np.testing.assert_array_equal(read_labels(tmp_path / name), LABELS)
