"""The identity of a file, or a folder of files: telling it from another under the same path."""

import os
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hdseg_gpu import InvalidInput
from hdseg_gpu.io import identity, open_image, vrt
from hdseg_gpu.io.identity import Changed, Watch, content_of, identity_of
from hdseg_gpu.io.members import members_of

SIZE = 3 << 20  # more than is sampled


@pytest.fixture
def path(tmp_path):
    found = tmp_path / "image.tif"
    found.write_bytes(np.random.default_rng(3).bytes(SIZE))
    return found


def keep_time(path, change):
    """Change a file so that its time of modification stays."""
    before = path.stat()
    change()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def flip(path, at):
    with path.open("r+b") as stream:
        stream.seek(at)
        byte = stream.read(1)[0]
        stream.seek(at)
        stream.write(bytes([byte ^ 1]))


def replaced(path, content):
    other = path.with_name("other")
    other.write_bytes(content)
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)


# Change of a file -> message.
CHANGES = {
    "longer": (lambda p: p.write_bytes(bytes(SIZE + 5)), f"{SIZE + 5} bytes instead of {SIZE}"),
    "other content": (lambda p: flip(p, 7), r"modified 2\d\d\d-.* instead of 2"),
    "touched": (lambda p: p.chmod(0o600), "touched or replaced 2"),
    "its time put back": (lambda p: keep_time(p, lambda: flip(p, 7)), "other content"),
    "its time put back, unseen": (
        lambda p: keep_time(p, lambda: flip(p, 100_000)),
        "touched or replaced 2",
    ),
    "replaced by the same": (lambda p: replaced(p, p.read_bytes()), "touched or replaced 2"),
    "replaced": (lambda p: replaced(p, bytes(SIZE)), "other content"),
    "gone": (lambda p: p.unlink(), "No such file or directory"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("thoroughly", [False, True])
def test_files_that_change(change, thoroughly, path):
    harm, sentence = CHANGES[change]
    watch = Watch(path, None, identity_of(path))
    watch.check(thoroughly=thoroughly)
    harm(path)
    with pytest.raises(Changed, match=rf"image\.tif\b.*{sentence}.*overwrite=True\.$"):
        watch.check(thoroughly=thoroughly)
    with pytest.raises(Changed, match=sentence):  # and again
        watch.check()


def test_a_change_at_once_has_another_time(path):
    """Clocks of file systems tick some hundred times a second; in between nothing is seen."""
    for _ in range(20):
        flip(path, 100_000)
        before = identity_of(path)
        keep_time(path, lambda: flip(path, 100_000))
        assert before.difference(identity_of(path)) != ""


def test_a_link_that_leads_elsewhere(path, tmp_path):
    link, other = tmp_path / "link.tif", tmp_path / "other.tif"
    link.symlink_to(path)
    shutil.copy2(path, other)
    watch = Watch(link, None, identity_of(link))
    link.unlink()
    link.symlink_to(other)
    with pytest.raises(Changed, match=r"it is .*other\.tif instead of .*image\.tif"):
        watch.check()


def test_other_machines(path):
    """A copy with the same time is the same; other bytes or times are not."""
    there = replace(identity_of(path), host="elsewhere")
    replaced(path, path.read_bytes())
    assert there.difference(identity_of(path)) == ""
    watch = Watch(path, None, there)
    keep_time(path, lambda: flip(path, 100_000))
    with pytest.raises(Changed, match="touched or replaced"):  # here nothing may differ any more
        watch.check()
    keep_time(path, lambda: flip(path, SIZE - 1))
    with pytest.raises(Changed, match="other content"):
        Watch(path, None, there)
    flip(path, SIZE - 1)
    with pytest.raises(Changed, match="modified"):
        Watch(path, None, there)


def test_paths_that_are_no_files(tmp_path):
    with pytest.raises(InvalidInput, match=r"none\.tif does not exist"):
        identity_of(tmp_path / "none.tif")
    for name in ("a\0b.tif", "a" * 300 + ".tif"):
        with pytest.raises(InvalidInput, match="cannot be"):
            identity_of(tmp_path / name)
    os.mkfifo(tmp_path / "pipe.tif")
    identity_of(tmp_path / "pipe.tif")  # it does not wait for a writer
    (tmp_path / "folder.tif").mkdir()
    identity_of(tmp_path / "folder.tif")
    if os.geteuid() != 0:
        (tmp_path / "mine.tif").touch(0o000)
        with pytest.raises(InvalidInput, match=r"mine\.tif cannot be read"):
            identity_of(tmp_path / "mine.tif")


# ---- folders ---------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path):
    found = tmp_path / "image.zarr"
    for row in range(20):
        (found / "0" / "c" / str(row)).mkdir(parents=True)
        for column in range(20):
            (found / "0" / "c" / str(row) / str(column)).write_bytes(bytes([row, column]) * 50)
    (found / "zarr.json").write_text('{"attributes": {"ome": {"multiscales": []}}}')
    (found / "0" / "zarr.json").write_text("{}")
    return found


FOLDER_CHANGES = {
    "a chunk": lambda p: keep_time(p / "0/c/3/11", lambda: flip(p / "0/c/3/11", 20)),
    "a chunk less": lambda p: (p / "0/c/19/19").unlink(),
    "a chunk more": lambda p: (p / "0/c/19/20").write_bytes(b""),
    "two chunks exchanged": lambda p: (
        (p / "0/c/5/5").rename(p / "x"),
        (p / "0/c/5/6").rename(p / "0/c/5/5"),
        (p / "x").rename(p / "0/c/5/6"),
    ),
    "metadata": lambda p: (p / "0/zarr.json").write_text("{ }"),
    "all of it": shutil.rmtree,
}


@pytest.mark.parametrize("change", FOLDER_CHANGES)
@pytest.mark.parametrize("key", [None, "0"])
def test_folders_that_change(change, key, store):
    watch = Watch(store, key, identity_of(store, key))
    watch.check(thoroughly=True)
    FOLDER_CHANGES[change](store)
    with pytest.raises(Changed, match=r"image\.zarr"):
        watch.check(thoroughly=True)


def test_a_folder_is_looked_through_now_and_then(store):
    watch = Watch(store, None, identity_of(store))
    flip(store / "0/c/3/11", 20)

    def read():
        for _ in range(10_000):
            watch.check()
            time.sleep(0.001)

    with pytest.raises(Changed, match="modified"):
        read()


def test_metadata_of_a_folder_are_looked_at_each_time(store, monkeypatch):
    monkeypatch.setattr(identity, "_SHARE", 1e9)
    watch = Watch(store, None, identity_of(store))
    watch.check()
    (store / "zarr.json").write_text("{}")
    with pytest.raises(Changed, match="bytes instead of"):
        watch.check()


def test_what_does_not_belong_to_a_picture(store):
    """Labels are written into the picture that they are for, and other arrays beside one."""
    watch, first = (Watch(store, key, identity_of(store, key)) for key in (None, "0"))
    (store / "labels" / "cells").mkdir(parents=True)
    (store / "labels" / "cells" / "zarr.json").write_text("{}")
    (store / ".out.zarr.hdseg").mkdir()
    (store / ".out.zarr.hdseg" / "run.json").write_text("{}")
    watch.check(thoroughly=True)
    (store / "1").mkdir()
    (store / "1" / "zarr.json").write_text("{}")
    first.check(thoroughly=True)
    with pytest.raises(Changed):
        watch.check(thoroughly=True)


def test_folders_that_contain_themselves(store):
    (store / "loop").symlink_to(store)
    assert identity_of(store).files > 400


# ---- several files ---------------------------------------------------------------------------

# The picture -> its other files.
COMPANIONS = {
    "a.vrt": ["b.tif", "c & d.tif"],
    "a.img": ["a.ige", "a.rrd", "a.img.ovr"],
    "a.mrxs": ["a/Slidedat.ini", "a/Data0000.dat"],
    "a.dcm": ["b.dcm"],
    "a.vms": ["b.jpg"],
}
VRT = (
    "<VRTDataset><SourceFilename relativeToVRT='1'>b.tif</SourceFilename>"
    '<SourceFilename relativeToVRT="1">c &amp; d.tif</SourceFilename>'
    "<SourceFilename>missing.tif</SourceFilename></VRTDataset>"
)
TEXTS = {"a.vrt": VRT, "a.vms": "[Virtual]\nImageFile=b.jpg\nNoLayers=1\n"}


@pytest.mark.parametrize(
    ("name", "other"), [(name, other) for name, others in COMPANIONS.items() for other in others]
)
def test_pictures_of_several_files(name, other, tmp_path):
    picture = tmp_path / name
    picture.write_text(TEXTS.get(name, "a"))
    for companion in COMPANIONS[name]:
        (tmp_path / companion).parent.mkdir(exist_ok=True)
        (tmp_path / companion).write_bytes(bytes(100))
    (tmp_path / "unrelated.txt").write_text("a")
    watch = Watch(picture, None, identity_of(picture))
    (tmp_path / "unrelated.txt").write_text("b")
    (tmp_path / "a.out.tif").write_text("b")
    watch.check(thoroughly=True)
    keep_time(tmp_path / other, lambda: flip(tmp_path / other, 50))
    with pytest.raises(Changed, match=f"{name} has changed since"):
        watch.check()


def test_mosaics_of_mosaics(tmp_path):
    mosaic(tmp_path / "a.vrt", "b.vrt")
    mosaic(tmp_path / "b.vrt", "c.tif", "a.vrt", "b.vrt")
    (tmp_path / "c.tif").write_bytes(bytes(9))
    assert identity_of(tmp_path / "a.vrt").files == 3


def mosaic(path, *sources):
    names = (f"<SourceFilename relativeToVRT='1'>{s}</SourceFilename>" for s in sources)
    path.write_text(f"<VRTDataset>{''.join(names)}</VRTDataset>")


@pytest.mark.parametrize("way", ["name", "link", "mosaic"])
def test_what_lies_elsewhere_is_opened_only_for_mosaics_that_are_trusted(way, tmp_path, opened):
    """By its name, through a link in the folder, or named by a mosaic that lies there."""
    secret, folder = tmp_path / "secret.tif", tmp_path / "asked"
    secret.write_bytes(bytes(9))
    folder.mkdir()
    (folder / "link.tif").symlink_to(secret)
    mosaic(tmp_path / "other.vrt", "secret.tif")
    named = {"name": "../secret.tif", "link": "link.tif", "mosaic": "../other.vrt"}[way]
    mosaic(folder / "a.vrt", named)
    opened.clear()
    before = identity_of(folder / "a.vrt")
    assert set(opened) == {folder / "a.vrt"}
    trusted = identity_of(folder / "a.vrt", trusted=True)
    assert secret in {path.resolve() for path in opened}
    # It counts all the same, by its size and times.
    secret.write_bytes(bytes(8))
    (tmp_path / "other.vrt").touch()
    assert before.difference(identity_of(folder / "a.vrt")) != ""
    assert trusted.difference(identity_of(folder / "a.vrt", trusted=True)) != ""


@pytest.fixture
def opened():
    """The paths of files that Python opens."""
    if not _HEARD:
        sys.addaudithook(_hear)  # it stays
    _HEARD.append(found := [])
    yield found
    _HEARD[:] = [[]]


_HEARD = []


def _hear(event, args):
    if event == "open" and isinstance(args[0], str | bytes | os.PathLike):
        path = Path(os.fsdecode(args[0]))
        if not path.is_relative_to("/proc"):
            _HEARD[-1].append(path)


def test_names_as_mosaics_that_are_trusted_write_them(tmp_path, monkeypatch):
    """However they are written, the files are those that GDAL opens."""
    for name in ("cdata.tif", "c & d.tif", "case.tif", "warped.tif", "hidden.tif", "here.tif"):
        (tmp_path / name).write_bytes(bytes(9))
    (tmp_path / "a.vrt").write_text(
        "<VRTDataset><SourceFilename relativeToVRT='1'><![CDATA[cdata.tif]]></SourceFilename>"
        "<SourceFilename relativeToVRT='1'>c &#38; d.ti<!-- -->f</SourceFilename>"
        "<sourcefilename relativeToVRT='1'>case.tif</sourcefilename>"
        "<SourceDataset relativeToVRT='1'>warped.tif</SourceDataset>"
        "<!-- <SourceFilename relativeToVRT='1'>hidden.tif</SourceFilename> -->"
        "<SourceFilename>here.tif</SourceFilename></VRTDataset>"
    )
    monkeypatch.chdir(tmp_path)
    assert [name for name, _ in members_of(tmp_path / "a.vrt")] == [
        "a.vrt", "cdata.tif", "c & d.tif", "case.tif", "warped.tif", "here.tif",
    ]  # fmt: skip


def test_limits_of_mosaics(tmp_path, monkeypatch):
    for i in range(10):
        mosaic(tmp_path / f"{i}.vrt", f"{i + 1}.vrt")
    with pytest.raises(InvalidInput, match=r"0\.vrt: it has mosaics within mosaics, more than 8"):
        identity_of(tmp_path / "0.vrt")
    assert identity_of(tmp_path / "1.vrt").files == 9
    monkeypatch.setattr(vrt, "_MOST", 5)
    mosaic(tmp_path / "m.vrt", *["1.vrt"] * 6)
    with pytest.raises(InvalidInput, match=r"m\.vrt: it names more than 5 sources"):
        identity_of(tmp_path / "m.vrt")
    monkeypatch.setattr(vrt, "_LONGEST", 200)
    with pytest.raises(InvalidInput, match=r"2\.vrt: with the mosaics in it .* more than 200"):
        identity_of(tmp_path / "2.vrt")


@pytest.mark.timeout(20)
def test_mosaics_that_would_keep_us_waiting(tmp_path):
    """Tags that do not end, without a limit on how many: each was looked for to the end."""
    (tmp_path / "a.vrt").write_text("<SourceFilename " * 500_000)
    with pytest.raises(InvalidInput, match=r"a\.vrt cannot be read.* it is no XML"):
        identity_of(tmp_path / "a.vrt")


def test_a_mosaic_that_is_damaged_in_the_meantime(tmp_path):
    path = tmp_path / "a.vrt"
    mosaic(path, "b.tif")
    watch = Watch(path, None, identity_of(path))
    path.write_text("<VRTDataset>")
    with pytest.raises(Changed, match=r"a\.vrt has changed since .* it is no XML"):
        watch.check()


# ---- arrays ----------------------------------------------------------------------------------


def test_memory_maps_by_their_files(tmp_path, rng):
    path = tmp_path / "a.npy"
    np.save(path, rng.integers(0, 255, (5000, 3000), np.uint8))
    found = [content_of(open_image(np.load(path, mmap_mode="r")), path) for _ in range(2)]
    assert found[0] == found[1]
    half = np.load(path, mmap_mode="r")[2500:]
    assert content_of(open_image(half), path) != found[0]
    with path.open("r+b") as stream:
        stream.seek(7777)
        stream.write(b"\0")
    assert content_of(open_image(np.load(path, mmap_mode="r")), path) != found[0]


def test_arrays_by_their_values(rng, monkeypatch):
    monkeypatch.setattr(identity, "_STRIP", 1000)
    array = rng.integers(0, 255, (70, 50, 3), np.uint8)
    found = content_of(open_image(array))
    assert content_of(open_image(array.copy("F"))) == found
    for at in ((0, 0, 0), (69, 49, 2), (33, 20, 1)):
        other = array.copy()
        other[at] ^= 1
        assert content_of(open_image(other)) != found
    assert content_of(open_image(array.reshape(50, 70, 3))) != found
    assert content_of(open_image(array.view(np.int8))) != found


# ---- links within folders --------------------------------------------------------------------


def differs(before, path, key=None):
    return before.difference(identity_of(path, key)) != ""


def test_links_that_lead_in_circles(store):
    before = identity_of(store)
    for name in ("x", "y", "z"):
        (store / name).symlink_to(".")
        (store / "0" / name).symlink_to("../0/c")
    found = identity_of(store)
    assert found.files == before.files + 6
    assert found.size < before.size + 100  # nothing twice


@pytest.mark.parametrize("what", ["/usr", "/proc", "/", "/dev", "outside"])
def test_links_out_of_a_folder_are_not_followed(store, what):
    outside = store.parent / "outside"
    outside.mkdir()
    (outside / "a").write_bytes(b"a")
    before = identity_of(store)
    (store / "x").symlink_to(outside if what == "outside" else what)
    (store / "file").symlink_to(outside / "a")
    found = identity_of(store)
    assert found.files == before.files + 2
    (outside / "a").write_bytes(b"bc")
    assert not differs(found, store)
    with pytest.raises(InvalidInput, match=r"the key 'x' leads out of the folder"):
        identity_of(store, "x")


def test_links_to_other_arrays_of_a_store(store):
    """What a key's array consists of may lie elsewhere in the store; it counts once."""
    for name in ("one", "two"):
        (store / name).mkdir()
        (store / name / "chunk").write_bytes(b"chunk" * 9)
    alone = identity_of(store, "0").files
    (store / "0/x").symlink_to("../one")
    (store / "0/y").symlink_to("../one")
    before = identity_of(store, "0")
    assert before.files == alone + 2 + 1
    (store / "two/chunk").write_bytes(b"other")
    assert not differs(before, store, "0")
    (store / "one/chunk").write_bytes(b"other")
    assert differs(before, store, "0")
    before = identity_of(store, "0")
    (store / "0/y").unlink()
    (store / "0/y").symlink_to("../two")
    assert differs(before, store, "0")


def test_a_link_in_a_folder_that_leads_elsewhere(store):
    shutil.copytree(store / "0", store / "1")
    (store / "x").symlink_to("0")
    watch = Watch(store, None, identity_of(store))
    watch.check()
    (store / "x").unlink()
    (store / "x").symlink_to("1")
    with pytest.raises(Changed, match=r"image\.zarr"):
        watch.check(thoroughly=True)


def test_pipes_in_a_folder_are_not_read(store):
    os.mkfifo(store / "pipe")
    (store / "link").symlink_to("pipe")
    Watch(store, None, identity_of(store)).check(thoroughly=True)


def test_folders_of_too_many_files(store, monkeypatch):
    monkeypatch.setattr("hdseg_gpu.io.members._MOST", 425)
    assert identity_of(store).files == 402  # and 22 folders
    (store / "a").write_bytes(b"")
    (store / "b").write_bytes(b"")
    with pytest.raises(InvalidInput, match=r"image\.zarr has more than 425 files; .* the key\.$"):
        identity_of(store)
