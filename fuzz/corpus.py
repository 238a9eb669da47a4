"""The files to mutate: those of tests/data."""

import io
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "tests" / "data"
_KINDS = {
    ".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".tif": "tiff", ".tiff": "tiff",
    ".svs": "tiff", ".npy": "npy", ".npz": "zip", ".zip": "zip", ".vrt": "xml",
}  # fmt: skip
# Additional files that an image needs.
_BESIDE = {"first.ome.tif": ("second.ome.tif",), "mosaic.vrt": ("strips.tif",)}
# Relative frequency of a seed: Zarr stores are slow, other formats have fewer samples.
_WEIGHTS = {"zarr": 0.4, "zip": 0.8, "xml": 3.0, "npy": 0.7, "blind": 2.0}
_EXTENSIONS = (
    ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".ome.tif", ".npy", ".npz", ".zarr.zip", ".svs",
    ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif", ".svslide", ".dcm", ".jp2", ".img", ".vrt",
)  # fmt: skip
# Beginnings of unsupported formats, which a decoder that goes by content would open.
_FOREIGN = {
    "ps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 37 23\n%%EndComments\n"
          b"(../outside/made) (w) file closefile showpage\n%%EOF\n",
    "vrt": b'<VRTDataset rasterXSize="37" rasterYSize="23"><VRTRasterBand dataType="Byte" band="1">'
           b"<SimpleSource><SourceFilename>../outside/secret.tif</SourceFilename></SimpleSource>"
           b"</VRTRasterBand></VRTDataset>",
    "vrt-http": b'<VRTDataset rasterXSize="37" rasterYSize="23"><VRTRasterBand dataType="Byte" '
                b'band="1"><SimpleSource><SourceFilename>/vsicurl/http://127.0.0.1:48293/a.tif'
                b"</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>",
    "wms": b'<GDAL_WMS><Service name="TMS"><ServerUrl>http://127.0.0.1:48293/${z}/${x}/${y}'
           b"</ServerUrl></Service><DataWindow><SizeX>37</SizeX><SizeY>23</SizeY></DataWindow>"
           b"<BandsCount>3</BandsCount></GDAL_WMS>",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="37" height="23"><image '
           b'href="../outside/secret.tif" width="37" height="23"/></svg>',
    "gif": b"GIF89a%\0\x17\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0%\0\x17\0\0\2\x16\x84\x8f\xa9\xcb"
           b"\xed\x0f\xa3\x9c\xb4\xda\x8b\xb3\xde\xbc\xfb\x0f\x86\xe2H\0;",
    "bmp": b"BM\x3a\0\0\0\0\0\0\0\x36\0\0\0(\0\0\0\1\0\0\0\1\0\0\0\1\0\x18\0" + bytes(28),
    "ppm": b"P6 2 2 255\n" + bytes(12),
    "ppm-huge": b"P6 99999 99999 255\n" + bytes(12),
    "pcx": b"\n\5\1\x08\0\0\0\0\1\0\1\0" + bytes(120),
    "tga": b"\0\0\2\0\0\0\0\0\0\0\0\0\2\0\2\0\x18\0" + bytes(12),
    "webp": b"RIFF\x1a\0\0\0WEBPVP8L\r\0\0\0/\0\0\0\x10\x07\x10\x11\x11\x88\x88\xfe\x07\0",
    "fits": b"".join(card.ljust(80) for card in (
        b"SIMPLE  =                    T", b"BITPIX  =                    8", b"END",
    )).ljust(5760, b"\0"),
    "pdf": b"%PDF-1.4\n1 0 obj<</Type/Catalog/OpenAction<</S/JavaScript>>>>endobj\n%%EOF",
    "pickle": b"\x80\x04\x95\x1d\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x02id"
              b"\x94\x85\x94R\x94.",
    "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(88),
    "psd": b"8BPS\0\1" + bytes(6) + b"\0\3\0\0\0\2\0\0\0\2\0\x08\0\3" + bytes(28),
    "icns": b"icns\0\0\0\x10ic07\0\0\0\x08",
    "dds": b"DDS |\0\0\0" + bytes(120),
    "html": b"<html><script>1</script></html>",
    "empty": b"",
}  # fmt: skip


@dataclass(frozen=True)
class Seed:
    """One image as files by name; `entry` is the file or folder to open."""

    entry: str
    kind: str
    files: dict[str, bytes]

    @property
    def suffix(self) -> str:
        """Return the extension that decides its format."""
        name = self.entry.lower()
        known = [each for each in (".zarr.zip", ".ome.tif", ".zarr") if name.endswith(each)]
        return known[0] if known else name[name.rfind(".") :]


@cache
def seeds() -> tuple[Seed, ...]:
    """Return all images in the order of their names."""
    found = []
    for path in sorted(FOLDER.iterdir()):
        if not path.is_file() or path.suffix == ".py":
            continue
        files = {name: (FOLDER / name).read_bytes() for name in _BESIDE.get(path.name, ())}
        data = path.read_bytes()
        kind = _KINDS.get(path.suffix, "blind")
        found.append(Seed(path.name, kind, {path.name: data, **files}))
        if path.name.endswith(".zarr.zip"):
            found.append(_unpacked(path.name.removesuffix(".zip"), data))
    return tuple(found)


@cache
def weights() -> tuple[float, ...]:
    """Return the relative frequency of each seed."""
    return tuple(_WEIGHTS.get(seed.kind, 1.0) for seed in seeds())


def extensions() -> tuple[str, ...]:
    """Return the extensions under which contents of other formats are tried."""
    return _EXTENSIONS


def foreign() -> dict[str, bytes]:
    """Return contents of unsupported formats, by name."""
    return _FOREIGN


def _unpacked(name: str, data: bytes) -> Seed:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {f"{name}/{each}": archive.read(each) for each in archive.namelist()}
    return Seed(name, "zarr", files)
