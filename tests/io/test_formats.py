"""The registry of formats, lists made from it, and a new format added by its entry alone."""

import re
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from command_line import COARSE, LABELS, RGB, assert_error, folder, hdseg, names  # noqa: F401 - fixtures
from recipes import code
from systems import HOSTS

import hdseg_gpu
from hdseg_gpu import InvalidInput, refine, refine_file
from hdseg_gpu.core.report import Stages
from hdseg_gpu.io import check_output, formats, note_lost_place, read_labels, write_labels
from hdseg_gpu.io.formats import FORMATS, Format, format_of, suffix_of
from hdseg_gpu.io.source import Georeference

# ---- a new format, as CONTRIBUTING's recipe has it ---------------------------------------------


@pytest.fixture
def raw(monkeypatch):
    """Register the recipe's format, in a module beside those of the package."""
    module = ModuleType("hdseg_gpu.io.raw")
    exec(code("format"), vars(module))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    (entry,) = eval(f"({code('format entry')})", {"Format": Format})
    monkeypatch.setattr(formats, "FORMATS", (*FORMATS, entry))


def save_raw(pixels, path):
    planes = pixels.reshape(*pixels.shape[:2], -1)
    Path(path).write_bytes(np.array(planes.shape, "<u4").tobytes() + planes.tobytes())


def raw_labels(path):
    data = Path(path).read_bytes()
    height, width, channels = np.frombuffer(data[:12], "<u4")
    assert channels == 1
    return np.frombuffer(data[12:], np.uint8).reshape(height, width)


@pytest.mark.usefixtures("raw")
def test_the_command_reads_and_writes_a_new_format(hdseg):  # noqa: F811
    save_raw(RGB, "image.raw")
    save_raw(COARSE, "coarse.raw")
    expected = refine(RGB, COARSE)
    for options in ("", " --overwrite --tile 2048"):  # at once, and tile by tile
        code, _, err = hdseg(f"refine image.raw coarse.raw -o out.raw -q{options}")
        assert (code, err) == (0, "")
        np.testing.assert_array_equal(raw_labels("out.raw"), expected)
    save_raw(LABELS, "mask.raw")
    assert hdseg("seeds mask.raw -o seeds.raw --passes 2 -q")[0] == 0
    np.testing.assert_array_equal(raw_labels("seeds.raw"), hdseg_gpu.seeds(LABELS, passes=2))
    assert hdseg("evaluate out.raw mask.raw -q")[0] == 0
    assert [n for n in names() if n.startswith(".")] == []


@pytest.mark.usefixtures("raw")
def test_the_library_reads_and_writes_a_new_format(tmp_path):
    save_raw(RGB, tmp_path / "image.raw")
    for backend in HOSTS:
        refine_file(
            tmp_path / "image.raw", COARSE, tmp_path / "out.raw", backend=backend, overwrite=True
        )
        expected = refine(RGB, COARSE, backend=backend)
        np.testing.assert_array_equal(raw_labels(tmp_path / "out.raw"), expected)
    with hdseg_gpu.create_output(tmp_path / "made.raw", shape=(9, 5)) as output:
        output.write(hdseg_gpu.Window(0, 0, 9, 5), np.full((9, 5), 7, np.uint8))
    np.testing.assert_array_equal(read_labels(tmp_path / "made.raw"), np.full((9, 5), 7))


@pytest.mark.usefixtures("raw")
def test_what_a_new_format_cannot_do_is_refused(tmp_path, hdseg):  # noqa: F811
    save_raw(RGB, "image.raw")
    for options, part in (("--image-key a", "no named arrays"), ("--level 1", "one resolution")):
        assert_error(hdseg(f"refine image.raw coarse.png -o out.png {options}"), 2, part)
    with pytest.raises(InvalidInput, match=r"raw holds labels from 0 to 255.* 300"):
        write_labels(tmp_path / "out.raw", np.full((3, 3), 300))
    with pytest.raises(InvalidInput, match=r"files ending in .*\.raw can be read"):
        hdseg_gpu.open_image(__file__)
    with pytest.raises(InvalidInput, match=r"choose one of .*\.raw\."):
        check_output(tmp_path / "out.bmp", overwrite=False)
    save_raw(RGB[..., 0], tmp_path / "cut.raw")
    (tmp_path / "cut.raw").write_bytes((tmp_path / "cut.raw").read_bytes()[:500])
    with pytest.raises(InvalidInput, match=r"cut\.raw cannot be read"):
        read_labels(tmp_path / "cut.raw")


def test_without_its_entry_it_is_unknown(tmp_path):
    save_raw(RGB, tmp_path / "image.raw")
    with pytest.raises(InvalidInput, match="can be read"):
        hdseg_gpu.open_image(tmp_path / "image.raw")
    with pytest.raises(InvalidInput, match="choose one of"):
        check_output(tmp_path / "out.raw", overwrite=False)


# ---- the entries ---------------------------------------------------------------------------------


def test_no_extension_has_two_formats():
    suffixes = [suffix for each in FORMATS for suffix in each.suffixes]
    assert len(set(suffixes)) == len(suffixes)
    assert all(re.fullmatch(r"(\.[a-z0-9]+)+", suffix) for suffix in suffixes)


@pytest.mark.parametrize("each", FORMATS, ids=lambda each: each.name)
def test_functions_are_there_and_take_what_they_are_said_to_take(each):
    import inspect

    for function in (each.read, each.open_array, each.write):
        assert function is None or callable(formats.loaded(function))
    if each.read is not None:
        options = inspect.signature(formats.loaded(each.read)).parameters
        assert set(each.takes) <= set(options)
    if each.write is not None:
        (path, labels, *place) = inspect.signature(formats.loaded(each.write)).parameters.values()
        assert [path.name, labels.name] == ["path", "labels"]
        assert place


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.tif", ("TIFF", ".tif")),
        ("A.TIF", ("TIFF", ".TIF")),
        ("a.b.tiff", ("TIFF", ".tiff")),
        ("a.ome.tif", ("OME-TIFF", ".ome.tif")),
        ("a.Cog.Tiff", ("COG", ".Cog.Tiff")),
        ("a.ome.zarr", ("Zarr", ".ome.zarr")),
        ("a.zarr.zip", ("zipped Zarr", ".zarr.zip")),
        ("a.zip", (None, ".zip")),
        (".png", (None, "")),
        ("cog.tif", ("TIFF", ".tif")),
        (".cog.tif", ("TIFF", ".tif")),
        ("png", (None, "")),
    ],
)
@pytest.mark.parametrize("order", [1, -1])
def test_the_longest_extension_decides(name, expected, order, monkeypatch):
    monkeypatch.setattr(formats, "FORMATS", FORMATS[::order])
    found = format_of(Path(name))
    assert (None if found is None else found.name, suffix_of(Path(name))) == expected


def test_help_names_the_formats(hdseg):  # noqa: F811
    text = " ".join(re.sub(r"[^\w.,-]+", " ", hdseg("refine --help")[1]).split())
    for each in formats.readable():
        assert each.name in text, each.name
    assert formats.names(formats.writable()) in text


def test_docstrings_name_the_formats():
    for function, formats_of in (
        (hdseg_gpu.open_image, formats.readable()),
        (hdseg_gpu.create_output, formats.writable()),
    ):
        text = function.__doc__.partition("Returns\n")[0]
        for each in formats_of:
            assert each.name in text, each.name
            for suffix in each.suffixes:
                assert re.search(rf"(?<![\w.]){re.escape(suffix)}(?!\w)", text), suffix
        assert "{" not in text.partition("Examples")[0]
        assert max(map(len, text.splitlines())) <= 96
    words = hdseg_gpu.create_output.__doc__.partition("The extension")[2].partition("\nlike")[0]
    said = " ".join(words.split())
    unread = {f.name for f in FORMATS if f.write is None}
    assert not unread & set(re.findall(r"[\w.]+", said))
    both = [f.name for f in FORMATS if f.places and f.write]
    assert both == [f.name for f in FORMATS if f.pyramid and f.write]
    first = f"{', '.join(both[:-1])} and {both[-1]}"
    assert f"{first} get a pyramid and the georeference of `like`." in said
    assert "PNG holds labels from 0 to 65535." in said


SMALL = Format("small", (".small",), write="array_writer:write_npy", most=255)
ALONE = Format("alone", (".one", ".two"), write="array_writer:write_npy", places=True)


def test_remedies_name_what_helps(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "FORMATS", (SMALL, ALONE))
    with pytest.raises(InvalidInput, match=r"from -1 to 7; write \.one\.$"):
        write_labels(tmp_path / "out.small", np.array([[-1, 7]]))
    image, stages = SimpleNamespace(name="scan"), Stages()
    image.georeference = Georeference(transform=(1.0, 0.0, 0.0, 0.0, -1.0, 0.0))
    note_lost_place(tmp_path / "out.small", image, stages)
    note_lost_place(tmp_path / "out.one", image, stages)
    assert stages.notes == [
        "scan has a georeference, which small cannot hold; write .one to keep it."
    ]


@pytest.mark.parametrize("shape", [(1, 9), (9, 1)])
def test_sizes_that_a_format_cannot_hold_are_refused(tmp_path, monkeypatch, shape):
    short = replace(SMALL, longest=8)
    monkeypatch.setattr(formats, "FORMATS", (short, ALONE))
    with pytest.raises(InvalidInput, match=rf"out\.small: {shape[0]} x {shape[1]} pixels are more"):
        write_labels(tmp_path / "out.small", np.zeros(shape, np.uint8))
    with pytest.raises(InvalidInput, match=r"than small holds; write \.one\."):
        write_labels(tmp_path / "out.small", np.zeros(shape, np.uint8))
    assert not [name for name in names() if "out" in name or name.startswith(".")]
    write_labels(tmp_path / "out.small", np.zeros((8, 8), np.uint8))


@pytest.mark.parametrize(
    ("items", "expected"),
    [("", ""), ("a", "a"), ("ab", "a or b"), ("abc", "a, b or c")],
)
def test_names_in_a_row(items, expected):
    found = [Format(name, (f".{name}",)) for name in items]
    assert formats.names(found) == expected
    assert formats.names(found, "and") == expected.replace("or", "and")


def test_documents_name_the_extensions():
    text = (Path(__file__).parents[2] / "docs" / "large-images.md").read_text()
    table = text.partition("| format |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    found = {row[0]: row[1:] for row in rows}
    assert list(found) == [each.name for each in FORMATS]
    for each in FORMATS:
        extensions, read, write, *_ = found[each.name]
        assert each.about in read
        assert extensions == ", ".join(f"`{suffix}`" for suffix in each.suffixes)
        assert (read != "", write != "") == (each.read is not None, each.write is not None)
        if each.write is not None:
            said = ("georeference" in write, "pyramid" in write)
            assert said == (each.places, each.pyramid), each.name
