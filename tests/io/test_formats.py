"""The registry of formats, lists made from it, and a new format added by its entry alone."""

import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from command_line import COARSE, LABELS, RGB, assert_error, folder, hdseg, names  # noqa: F401 - fixtures
from recipes import code
from systems import HOSTS

import hdseg_gpu
from hdseg_gpu import InvalidInput, refine, refine_file
from hdseg_gpu.io import check_output, formats, read_labels, write_labels
from hdseg_gpu.io.formats import FORMATS, Format, format_of, suffix_of

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


def test_documents_name_the_extensions():
    text = (Path(__file__).parents[2] / "docs" / "large-images.md").read_text()
    table = text.partition("| format |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    found = {row[0]: row[1:] for row in rows}
    assert list(found) == [each.name for each in FORMATS]
    for each in FORMATS:
        extensions, read, write, *_ = found[each.name]
        assert extensions == ", ".join(f"`{suffix}`" for suffix in each.suffixes)
        assert (read != "", write != "") == (each.read is not None, each.write is not None)
        if each.write is not None:
            said = ("georeference" in write, "pyramid" in write)
            assert said == (each.places, each.pyramid), each.name
