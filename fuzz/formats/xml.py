"""Mutations of names and numbers in XML: OME metadata and GDAL's virtual mosaics."""

import re
from random import Random

from fuzz import blind

# The other files are those that a worker watches; the address is one the monitor listens on.
OTHER_FILES = (b"../outside/secret.tif", b"../outside/secret.npy", b"../outside/fifo",
               b"/proc/self/cwd/outside/secret.tif", b"file:///proc/self/cwd/outside/secret.tif",
               b"http://127.0.0.1:48293/secret.tif", b"/vsicurl/http://127.0.0.1:48293/secret.tif",
               b"/vsicurl?url=http://127.0.0.1:48293/secret.tif", b"WMS:http://127.0.0.1:48293/?x",
               b"/vsizip/../outside/secret.zip/secret.tif", b"NETCDF:../outside/secret.tif:x",
               b"GTIFF_DIR:1:../outside/secret.tif", b"/vsisubfile/0_9,../outside/secret.tif",
               b"mosaic.vrt", b"strips.tif", b"second.ome.tif", b"/dev/zero", b"", b".", b"..",
               b"-", b"\xff", b"x" * 5000)  # fmt: skip
_NUMBERS = (b"NaN", b"-1", b"1e308", b"inf", b"0", b"0.5", b"x", b"")
_ELEMENTS = (
    b'<VRTRasterBand dataType="Byte" band="2" subClass="VRTDerivedRasterBand">'
    b"<PixelFunctionLanguage>Python</PixelFunctionLanguage><PixelFunctionType>f.f"
    b"</PixelFunctionType><PixelFunctionCode>def f(*a, **k): open('../outside/made', 'w')"
    b"</PixelFunctionCode></VRTRasterBand>",
    b'<VRTRasterBand dataType="UInt16" band="1" subClass="VRTRawRasterBand"><SourceFilename '
    b'relativetoVRT="1">../outside/secret.tif</SourceFilename><ImageOffset>0</ImageOffset>'
    b"<PixelOffset>2</PixelOffset><LineOffset>74</LineOffset></VRTRasterBand>",
    b"<SRS>EPSG:99999</SRS>", b"<GeoTransform>0, 1</GeoTransform>",
    b"<BinaryOnly MetadataFile='../outside/secret.tif' UUID='x'/>",
    b'<ColorInterp>Palette</ColorInterp><ColorTable><Entry c1="999" c2="-1" c3="0"/></ColorTable>',
    b"<OverviewList>2 4</OverviewList>", b"<MaskBand/>", b"<NoDataValue>nan</NoDataValue>",
)  # fmt: skip
_BOMB = (
    b'<!DOCTYPE r [<!ENTITY a "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">'
    b'<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;"><!ENTITY e '
    b'"&d;&d;&d;&d;&d;&d;"><!ENTITY f SYSTEM "../outside/secret.npy">]>'
)


def changed(rng: Random, data: bytes) -> bytes:
    """Return the text after one to three changes of its names, numbers or elements."""
    for _ in range(rng.randint(1, 3)):
        data = rng.choice(_CHANGES)(rng, data)
    return data


def _within(rng: Random, data: bytes, pattern: bytes, new: bytes) -> bytes:
    """Replace the first group of one of the matches."""
    found = list(re.finditer(pattern, data))
    if not found:
        return data
    match = rng.choice(found)
    return data[: match.start(1)] + new + data[match.end(1) :]


def _number(rng: Random, data: bytes) -> bytes:
    new = rng.choice((str(blind.interesting(rng)).encode(), rng.choice(_NUMBERS)))
    return _within(rng, data, rb'[">](-?\d[\d.]*)["<]', new)


def _attribute(rng: Random, data: bytes) -> bytes:
    values = [match[1] for match in re.finditer(rb'"([^"]*)"', data)] or [b""]
    return _within(rng, data, rb'"([^"]*)"', rng.choice((*values, *_NUMBERS, *OTHER_FILES)))


def _file_name(rng: Random, data: bytes) -> bytes:
    pattern = rb'(?:<SourceFilename[^>]*>|FileName="|MetadataFile=\')([^"<\']*)'
    return _within(rng, data, pattern, rng.choice(OTHER_FILES))


def _relative(rng: Random, data: bytes) -> bytes:
    return _within(rng, data, rb'relativeToVRT="(\d)"', rng.choice((b"0", b"1", b"2", b"")))


def _element(rng: Random, data: bytes) -> bytes:
    found = list(re.finditer(rb"<(\w+)[^>]*?(/>|>.*?</\1>)", data, re.DOTALL))
    if not found:
        return data
    match = rng.choice(found)
    new = rng.choice((b"", match[0] * 2, match[0] * 40, rng.choice(_ELEMENTS) + match[0]))
    return data[: match.start()] + new + data[match.end() :]


def _entities(rng: Random, data: bytes) -> bytes:
    start = data.find(b"?>") + 2 if data.startswith(b"<?") else 0
    text = data[start:]
    text = _within(rng, text, rb'"([^"]*)"', rng.choice((b"&e;", b"&f;", b"&amp;", b"&#0;")))
    return data[:start] + _BOMB + text


def _bytes(rng: Random, data: bytes) -> bytes:
    return blind.changed(rng, data, most=2)


_CHANGES = (_number, _number, _number, _attribute, _attribute, _file_name, _file_name, _relative,
            _element, _element, _entities, _bytes)  # fmt: skip
