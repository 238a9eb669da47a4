"""Writing files: never half-written, replaced without permission, or lost."""

import errno
from pathlib import Path

import numpy as np
import pytest
from file_samples import GREY, refused

from hdseg_gpu import InvalidInput
from hdseg_gpu.io import (
    check_output,
    create,
    formats,
    read_image,
    read_labels,
    write_labels,
)


@pytest.mark.parametrize(
    "extension",
    [
        s
        for each in formats.writable()
        if not each.store
        for s in (*each.suffixes, each.suffixes[0].upper())
    ],
)
def test_good_output_is_accepted(extension, tmp_path):
    path = tmp_path / f"out{extension}"
    check_output(path, overwrite=False, inputs=(tmp_path / "missing.png",))
    path.write_bytes(b"old")
    check_output(path, overwrite=True)
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("out.jpg", [r"'\.jpg'", "JPEG would change the labels", r"\.png"]),
        ("out.JPEG", [r"'\.JPEG'", "JPEG", r"\.png"]),
        ("out.bmp", [r"'\.bmp'", r"\.png", r"\.npz"]),
        ("out", ["''", r"\.png"]),
        ("folder.png", ["is a folder"]),
        ("missing/out.png", []),
    ],
)
def test_bad_output_is_refused(name, parts, overwrite, tmp_path):
    (tmp_path / "folder.png").mkdir()
    with (
        refused(tmp_path / name, *parts)
        if parts
        else pytest.raises(InvalidInput, match=r"output folder .*missing does not exist; create it")
    ):
        check_output(tmp_path / name, overwrite=overwrite)
    assert [p.name for p in tmp_path.iterdir()] == ["folder.png"]


def test_existing_output_needs_overwrite(tmp_path):
    (tmp_path / "out.png").write_bytes(b"old")
    with refused(tmp_path / "out.png", "exists", "overwrite=True"):
        check_output(tmp_path / "out.png", overwrite=False)
    assert (tmp_path / "out.png").read_bytes() == b"old"


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("way", ["same", "relative", "dotted", "symlink", "hard link", "folder"])
def test_output_that_is_an_input_is_refused(way, overwrite, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "image.png"
    source.write_bytes(b"image")
    (tmp_path / "sub").mkdir()
    output = {
        "same": source,
        "relative": Path("image.png"),
        "dotted": tmp_path / "sub" / ".." / "image.png",
        "symlink": tmp_path / "link.png",
        "hard link": tmp_path / "hard.png",
        "folder": tmp_path / "alias" / "image.png",
    }[way]
    (tmp_path / "link.png").symlink_to(source)
    (tmp_path / "hard.png").hardlink_to(source)
    (tmp_path / "alias").symlink_to(tmp_path, target_is_directory=True)
    with refused(output, "is also an input", "name another file"):
        check_output(output, overwrite=overwrite, inputs=(tmp_path / "other.png", source))


FILES = [f"out{each.suffixes[0]}" for each in formats.writable() if not each.store]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "disk full"), KeyboardInterrupt()])
@pytest.mark.parametrize("existing", [True, False])
@pytest.mark.parametrize("name", FILES)
def test_write_that_fails_half_way_leaves_nothing(name, existing, error, tmp_path, monkeypatch):
    path = tmp_path / name
    if existing:
        path.write_bytes(b"old content")
    seen = []

    def half(complete, _labels, _place):
        complete.write_bytes(b"half of it")
        seen.extend(p for p in tmp_path.rglob("*") if p.is_file() and p.stat().st_size == 10)
        raise error

    monkeypatch.setattr(create, "loaded", lambda _: half)
    with pytest.raises(type(error)):
        write_labels(path, GREY)
    assert len(seen) == 1  # something was on the disk, under another name
    assert seen != [path]
    assert [p.name for p in tmp_path.iterdir()] == ([name] if existing else [])
    assert not existing or path.read_bytes() == b"old content"


@pytest.mark.parametrize("name", FILES)
def test_overwriting_replaces_the_content(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(b"old content")
    write_labels(path, GREY)
    np.testing.assert_array_equal(read_labels(path), GREY, strict=True)
    assert list(tmp_path.iterdir()) == [path]


def test_names_that_are_too_long(tmp_path):
    long = tmp_path / ("x" * 300 + ".png")
    with pytest.raises(InvalidInput, match="cannot be a file: File name too long"):
        read_image(long)
    with pytest.raises(InvalidInput, match="cannot be a file: File name too long"):
        check_output(long, overwrite=False)
    # The longest name there can be is still written: the temporary one is short.
    longest = tmp_path / ("x" * 251 + ".png")
    write_labels(longest, GREY)
    np.testing.assert_array_equal(read_labels(longest), GREY)


def test_output_that_appears_in_the_meantime_stays(tmp_path):
    path = tmp_path / "mask.npy"
    path.write_bytes(b"someone else's")
    with pytest.raises(InvalidInput, match="has appeared in the meantime"):
        write_labels(path, GREY, overwrite=False)
    assert path.read_bytes() == b"someone else's"
    assert list(tmp_path.iterdir()) == [path]
    write_labels(tmp_path / "free.npy", GREY, overwrite=False)
    np.testing.assert_array_equal(read_labels(tmp_path / "free.npy"), GREY)


def test_link_to_nothing_needs_overwrite(tmp_path):
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(InvalidInput, match="exists"):
        check_output(tmp_path / "link.png", overwrite=False)
