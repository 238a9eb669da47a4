"""Pixel indices are 64-bit in every kernel: variables named like one are never narrower."""

import re
from pathlib import Path

import pytest

KERNELS = Path(__file__).parents[2] / "kernels"
SOURCES = sorted(
    path
    for room in ("common", "cpu", "cuda")
    for path in (KERNELS / room).iterdir()
    if path.is_file()
)
NARROW = r"u?int(?:8|16|32)_t|int|unsigned(?: int)?|short|size_t|ptrdiff_t|long(?: long)?"
# Names of pixel indices, sides of the image, counts of pixels, and distances of pixels in memory.
# Positions in the band, entries of a level and their counts are 32-bit: at most (2^31 - 1) / 5
# pixels are unknown.
OF_PIXELS = re.compile(
    r"(\w+_)?(pixel|pixels|height|width|stride|rows|row|top|bottom|y|x|down|reach)_?|other|tall|wide"
)
# The same names for other things.
OTHERWISE = {
    ("aggregation.cpp", "other"),  # an aggregate
    ("grid.h", "rows"),  # of taps
    ("level.cpp", "top"),  # the bits of a float
    ("multigrid.h", "down"),  # from a position in the band to another
    ("thinning.cpp", "tile_row"),  # counts tiles
    ("thinning.cpp", "x"),  # cells of an element
    ("thinning.cpp", "y"),
}


def code(path):
    """Return a source without comments, strings and preprocessor lines."""
    text = re.sub(r"//[^\n]*|/\*.*?\*/", "", path.read_text(), flags=re.S)
    return re.sub(r'^\s*#[^\n]*|"[^"\n]*"', "", text, flags=re.M)


def declared(text, types):
    """Yield (type, name) for every parameter, member or variable of some types."""
    for match in re.finditer(rf"\b(?:const )?({types})\b(?!\s*[>(,)])\s*([^;(){{}}=:]*)", text):
        kind, names = match.groups()
        for name in names.split(","):
            found = re.fullmatch(r"\s*[*&]*\s*(?:const\s+)?[*&]*\s*(\w+)\s*(?:\[[^]]*\])?\s*", name)
            if found is None:  # the next parameter, with a type of its own
                break
            yield kind, found[1]


def test_there_is_something_to_read():
    assert len(SOURCES) > 50
    names = {name for path in SOURCES for _, name in declared(code(path), "int64_t")}
    assert {"pixel", "height", "width", "stride", "y", "x", "row"} <= names
    text = "struct S { int64_t height, width; const int32_t* pixel; };\nvoid f(int y, float y2);"
    assert list(declared(text, NARROW)) == [("int32_t", "pixel"), ("int", "y")]
    assert list(declared(text, "int64_t")) == [("int64_t", "height"), ("int64_t", "width")]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_counts_pixels_has_64_bits(path):
    narrow = [
        (kind, name)
        for kind, name in declared(code(path), NARROW)
        if OF_PIXELS.fullmatch(name) and (path.name, name) not in OTHERWISE
    ]
    assert not narrow, f"{path.name}: {narrow} must be int64_t"


def test_structures_that_hold_pixels():
    grid, band = code(KERNELS / "common" / "grid.h"), code(KERNELS / "common" / "band.h")
    assert re.search(r"struct Grid \{\s*int64_t height, width;", grid) or re.search(
        r"struct Grid \{\s*int64_t height;\s*int64_t width;", grid
    )
    assert "const int64_t* pixel;" in band
    assert "int64_t runs;" in band
    assert "std::vector<int64_t> pixel;" in code(KERNELS / "cpu" / "band.h")


@pytest.mark.parametrize("path", sorted((KERNELS / "cpu").glob("bind*.cpp")), ids=lambda p: p.name)
def test_arrays_of_pixels_from_python_have_64_bits(path):
    for kind, name in re.findall(r"Vector<(?:const )?(\w+)>&? (\w+)", code(path)):
        if OF_PIXELS.fullmatch(name):
            assert kind == "int64_t", f"{path.name}: {name}"
