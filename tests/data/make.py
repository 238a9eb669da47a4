"""Write the small files of this folder: ``python tests/data/make.py``.

Their pixels are the formulas of ``tests/corpus.py``; nothing is taken from anybody's pictures.
"""

import struct
import sys
import tempfile
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import corpus
from corpus import (
    COARSE_SHAPE,
    FOLDER,
    LARGE_SHAPE,
    SHAPE,
    classes,
    colours,
    deep,
    probabilities,
    ramp,
    real,
    small,
)

_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
          (1, 0, 2, 1))  # fmt: skip
_COLOUR = {1: 0, 2: 4, 3: 2, 4: 6}  # PNG's type of colour, by channels


def chunk(name, data):
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(name, pixels, depth=8, *, palette=None, more=(), interlaced=False):
    """Write a PNG of any depth; `more` are chunks before the pixels."""
    planes = pixels if pixels.ndim == 3 else pixels[..., None]
    colour = 3 if palette is not None else _COLOUR[planes.shape[2]]
    passes = [planes]
    if interlaced:
        passes = [planes[top::down, left::across] for top, left, down, across in _ADAM7]
    rows = b"".join(b"\0" + row for part in passes for row in _packed(part, depth))
    head = struct.pack(">IIBBBBB", *pixels.shape[1::-1], depth, colour, 0, 0, int(interlaced))
    chunks = [chunk(b"IHDR", head)]
    if palette is not None:
        chunks.append(chunk(b"PLTE", palette.tobytes()))
    chunks += [*more, chunk(b"IDAT", zlib.compress(rows, 9)), chunk(b"IEND", b"")]
    (FOLDER / name).write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def _packed(planes, depth):
    """Yield the bytes of each row."""
    for row in planes.reshape(len(planes), -1):
        if depth == 16:
            yield row.astype(">u2").tobytes()
        elif depth == 8:
            yield row.astype(np.uint8).tobytes()
        else:
            bits = (row[:, None] >> np.arange(depth)[::-1]) & 1
            yield np.packbits(bits.astype(np.uint8)).tobytes()


def write_png():
    """Write pictures of all depths and types of colour."""
    for depth in (1, 2, 4):
        png(f"grey{depth}.png", small(depth), depth)
        png(f"palette{depth}.png", small(depth), depth, palette=colours()[: 2**depth])
    greys = np.repeat(np.arange(16, dtype=np.uint8)[::-1, None] * 17, 3, axis=1)
    see_through = chunk(b"tRNS", bytes([0, 128, 255]))
    turned = chunk(b"eXIf", exif(6))
    png("palette8.png", classes(), palette=colours())
    png("greypalette4.png", small(4), 4, palette=greys)
    png("palette8_alpha.png", classes(), palette=colours(), more=[see_through])
    png("grey8.png", ramp())
    png("grey8_transparent.png", ramp(), more=[chunk(b"tRNS", b"\0\7")])
    png("grey8_interlaced.png", ramp(), interlaced=True)
    png("grey16.png", deep(), 16)
    png("rgb8.png", ramp(3))
    png("rgb8_interlaced.png", ramp(3), interlaced=True)
    png("rgb8_turned.png", ramp(3), more=[turned])
    png("rgba8.png", ramp(4))
    png("greyalpha8.png", ramp(2))
    png("rgb16.png", deep(3), 16)
    png("rgba16.png", deep(4), 16)
    png("greyalpha16.png", deep(2), 16)


def exif(orientation):
    """Return EXIF data, a TIFF directory, that ask a picture to be turned."""
    return b"II*\0\x08\0\0\0" + struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)


def write_jpeg():
    """Write JPEGs of one, three and four channels."""
    from PIL import Image

    def save(name, pixels, **options):
        Image.fromarray(pixels).save(FOLDER / name, quality=95, subsampling=0, **options)

    save("grey.jpg", ramp())
    save("rgb.jpg", ramp(3))
    save("rgb_progressive.jpeg", ramp(3), progressive=True)
    save("rgb_turned.jpg", ramp(3), exif=b"Exif\0\0" + exif(8))
    save("rgb_restart.jpg", ramp(3), restart_marker_blocks=2)
    cmyk = np.concatenate([255 - ramp(3), np.zeros((*SHAPE, 1), np.uint8)], axis=2)
    Image.fromarray(cmyk, "CMYK").save(FOLDER / "cmyk.jpg", quality=95, subsampling=0)
    first, second = (Image.fromarray(ramp(3)[:: 1 - 2 * i]) for i in (0, 1))
    first.save(FOLDER / "two_pictures.jpg", "MPO", save_all=True, append_images=[second],
               quality=95, subsampling=0)  # fmt: skip


def write_tiff():
    """Write TIFFs of all layouts and compressions."""
    import tifffile

    def save(name, pixels, **options):
        options = {"software": False, "metadata": None} | options
        tifffile.imwrite(FOLDER / name, pixels, **options)

    tiled = {"tile": (16, 16)}
    save("strips.tif", ramp(), rowsperstrip=5)
    save("strips_be.tif", deep(), rowsperstrip=23, byteorder=">")
    save("rgb_strips.tif", ramp(3), photometric="rgb", rowsperstrip=4, compression="zlib")
    save("tiles.tif", ramp(3), photometric="rgb", compression="zlib", **tiled)
    planes = np.moveaxis(ramp(3), -1, 0)
    save("planar.tif", planes, photometric="rgb", planarconfig="separate", rowsperstrip=8)
    planes = np.moveaxis(deep(4), -1, 0)
    save("planar_tiles.tif", planes, photometric="minisblack", planarconfig="separate",
         compression="zlib", **tiled)  # fmt: skip
    save("palette.tif", classes(), photometric="palette",
         colormap=colours().T.astype(np.uint16) * 257)  # fmt: skip
    save("miniswhite.tif", ramp(), photometric="miniswhite", rowsperstrip=9)
    save("bilevel.tif", small(1).astype(bool), rowsperstrip=8)
    save("deflate_predictor.tif", deep(3), photometric="rgb", compression="deflate",
         predictor=True, **tiled)  # fmt: skip
    save("lzw.tif", ramp(), compression="lzw", predictor=True, rowsperstrip=7)
    save("packbits.tif", ramp(), compression="packbits", rowsperstrip=7)
    save("zstd.tif", ramp(3), photometric="rgb", compression="zstd", **tiled)
    save("jpeg.tif", ramp(3), photometric="rgb", compression="jpeg",
         compressionargs={"level": 95}, **tiled)  # fmt: skip
    save("jpeg2000.tif", ramp(3), photometric="rgb", compression="jpeg2000", **tiled)
    save("float_predictor.tif", real(np.float32), compression="zlib", predictor=True, **tiled)
    save("half.tif", real(np.float16), rowsperstrip=6)
    save("double.tif", real(np.float64), compression="zlib", rowsperstrip=6)
    save("signed.tif", ramp().astype(np.int16) - 99, compression="zlib", rowsperstrip=6)
    save("bigtiff.tif", ramp(3), photometric="rgb", bigtiff=True, compression="zlib", **tiled)
    save("rgba.tiff", ramp(4), photometric="rgb", extrasamples=["unassalpha"], rowsperstrip=8)
    pages = np.stack([ramp(), ramp()[::-1]])
    save("pages.tif", pages, photometric="minisblack", compression="zlib")
    _geotiff(save)
    _ome_tiff(tifffile, save)
    slide = ramp(3, shape=LARGE_SHAPE)
    with tifffile.TiffWriter(FOLDER / "slide.svs") as writer:
        options = {
            "photometric": "rgb", "compression": "jpeg", "compressionargs": {"level": 95},
            "metadata": None, "software": False,
        }  # fmt: skip
        text = "Aperio Image Library v1\r\n140x150 [0,0 140x150] (64x64)|AppMag = 20|MPP = 0.5"
        writer.write(slide, description=text, tile=(64, 64), **options)
        writer.write(slide[::4, ::4], description="Aperio Image Library v1\r\nsmall", **options)
        writer.write(slide[::4, ::4], description=text, tile=(64, 64), **options)


def _geotiff(save):
    """Write a picture that lies in UTM zone 32, and one of which no tile was ever written."""
    import rasterio

    save("geo.tif", deep(), rowsperstrip=8, extratags=[
        (33550, 12, 3, (2.0, 2.0, 0.0), True),
        (33922, 12, 6, (0.0, 0.0, 0.0, 500000.0, 5400000.0, 0.0), True),
        (34735, 3, 16, (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32632), True),
    ])  # fmt: skip
    with rasterio.open(
        FOLDER / "sparse.tif", "w", driver="GTiff", height=LARGE_SHAPE[0], width=LARGE_SHAPE[1],
        count=1, dtype="uint8", tiled=True, blockxsize=64, blockysize=64, sparse_ok=True,
    ):  # fmt: skip
        pass
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.tif"
        profile = {
            "driver": "GTiff", "height": LARGE_SHAPE[0], "width": LARGE_SHAPE[1], "count": 1,
            "dtype": "uint8", "crs": "EPSG:32632",
            "transform": rasterio.Affine(2, 0, 500000, 0, -2, 5400000),
        }  # fmt: skip
        with rasterio.open(plain, "w", **profile) as raster:
            raster.write(ramp(shape=LARGE_SHAPE), 1)
        from rasterio.shutil import copy

        copy(plain, FOLDER / "cog.tif", driver="COG", compress="DEFLATE", blocksize=128)


def _ome_tiff(tifffile, save):
    """Write an OME-TIFF, one with a pyramid, and two files that are one picture."""
    axes = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.25,
            "PhysicalSizeYUnit": "µm"}  # fmt: skip
    save("ome.ome.tif", deep(), ome=True, metadata=axes, compression="zlib", **{"tile": (16, 16)})
    with tifffile.TiffWriter(FOLDER / "pyramid.ome.tif", ome=True) as writer:
        pyramid = ramp(shape=LARGE_SHAPE)
        options = {"compression": "zlib", "tile": (64, 64), "software": False}
        writer.write(pyramid, subifds=1, metadata=axes, **options)
        writer.write(pyramid[::2, ::2], subfiletype=1, **options)
    names = {"first.ome.tif": "a", "second.ome.tif": "b"}
    planes = "".join(
        f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1"><UUID FileName="{name}">'
        f"urn:uuid:{digit * 8}-{digit * 4}-{digit * 4}-{digit * 4}-{digit * 12}</UUID></TiffData>"
        for z, (name, digit) in enumerate(names.items())
    )
    for z, (name, digit) in enumerate(names.items()):
        text = (
            '<?xml version="1.0" encoding="UTF-8"?><OME '
            'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:{digit * 8}-{digit * 4}-{digit * 4}-{digit * 4}-{digit * 12}">'
            f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" '
            f'SizeX="{SHAPE[1]}" SizeY="{SHAPE[0]}" SizeZ="2" SizeC="1" SizeT="1">'
            f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{planes}</Pixels></Image></OME>'
        )
        save(name, ramp()[:: 1 - 2 * z], description=text)


def write_arrays():
    """Write arrays of NumPy in all versions, and archives of them."""
    np.save(FOLDER / "rows.npy", ramp(3))
    np.save(FOLDER / "columns.npy", np.asfortranarray(ramp()))
    np.save(FOLDER / "foreign.npy", deep().astype(">u2"))
    for version in ((2, 0), (3, 0)):
        with (FOLDER / f"version{version[0]}.npy").open("wb") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            np.lib.format.write_array(stream, ramp(), version)
    np.save(FOLDER / "bools.npy", small(1).astype(bool))
    np.save(FOLDER / "floats.npy", real(np.float32, 3))
    np.save(FOLDER / "halves.npy", real(np.float16))
    np.save(FOLDER / "labels.npy", classes(COARSE_SHAPE))
    np.save(FOLDER / "signed_labels.npy", classes(COARSE_SHAPE).astype(np.int64) - 2)
    np.save(FOLDER / "probabilities.npy", probabilities())
    np.savez(FOLDER / "one.npz", image=ramp())
    np.savez_compressed(FOLDER / "deflated.npz", image=ramp())
    np.savez(FOLDER / "several.npz", probabilities=probabilities(), labels=classes(COARSE_SHAPE))


def write_zarr():
    """Write Zarr stores as .zip files, nothing compressed twice."""
    import zarr
    from zarr.codecs import BytesCodec, GzipCodec
    from zarr.storage import MemoryStore

    def stored(name, fill):
        store = MemoryStore()
        fill(store)
        _zip(FOLDER / name, {key: value.to_bytes() for key, value in store._store_dict.items()})

    def array(store, pixels, path=None, version=3, chunks=(16, 16), **options):
        made = zarr.create_array(
            store, name=path, shape=pixels.shape, dtype=pixels.dtype, zarr_format=version,
            chunks=(*chunks, *pixels.shape[2:]), **options,
        )  # fmt: skip
        made[...] = pixels

    import numcodecs

    small_zlib, small_blosc = numcodecs.Zlib(1), numcodecs.Blosc("lz4", 5)
    stored("v2.zarr.zip", lambda s: array(s, ramp(), version=2, compressors=small_zlib))
    stored("v2_blosc.zarr.zip", lambda s: array(s, deep(3), version=2, compressors=small_blosc))
    stored("v3.zarr.zip", lambda s: array(s, ramp(3), compressors=GzipCodec()))
    stored("v3_sharded.zarr.zip", lambda s: array(
        s, deep(), chunks=(8, 8), shards=(16, 16), compressors=GzipCodec(),
        serializer=BytesCodec(),
    ))  # fmt: skip

    def group(store):
        zarr.create_group(store, zarr_format=3)
        zarr.create_group(store, path="labels", zarr_format=3)
        array(store, ramp(), "labels/cells", dimension_names=("y", "x"))

    stored("group.zarr.zip", group)
    stored("ome04.zarr.zip", lambda s: _ome_zarr(zarr, array, s, "0.4"))
    stored("ome05.zarr.zip", lambda s: _ome_zarr(zarr, array, s, "0.5"))


def _ome_zarr(zarr, array, store, version):
    """Write an OME-Zarr picture of two levels with the channels first."""
    axes = [{"name": "c", "type": "channel"}]
    axes += [{"name": a, "type": "space", "unit": "micrometer"} for a in "yx"]
    datasets = [
        {
            "path": str(level),
            "coordinateTransformations": [
                {"type": "scale", "scale": [1, 0.5 * 2**level, 0.25 * 2**level]}
            ],
        }
        for level in (0, 1)
    ]
    metadata = {"axes": axes, "datasets": datasets, "name": "ramp"}
    old = version == "0.4"
    attributes = (
        {"multiscales": [{**metadata, "version": version}]}
        if old
        else {"ome": {"version": version, "multiscales": [metadata]}}
    )
    zarr.create_group(store, zarr_format=2 if old else 3, attributes=attributes)
    planes = np.moveaxis(ramp(3), -1, 0)
    for level, pixels in enumerate((planes, planes[:, ::2, ::2])):
        made = zarr.create_array(
            store, name=str(level), shape=pixels.shape, dtype=pixels.dtype, chunks=(1, 16, 16),
            zarr_format=2 if old else 3,
            **({"chunk_key_encoding": {"name": "v2", "separator": "/"}} if old else {}),
        )  # fmt: skip
        made[...] = pixels


def _zip(path, members):
    """Write members by name, with a fixed date."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(members):
            archive.writestr(zipfile.ZipInfo(name), members[name])


def write_rasters():
    """Write JPEG 2000, IMG and a virtual mosaic."""
    import rasterio

    def save(name, pixels, **options):
        planes = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with rasterio.open(
                FOLDER / name, "w", height=SHAPE[0], width=SHAPE[1], count=len(planes),
                dtype=planes.dtype, **options,
            ) as raster:  # fmt: skip
                raster.write(planes)

    lossless = {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES", "GMLJP2": "NO"}
    save("grey.jp2", ramp(), **lossless)
    save("rgb.jp2", ramp(3), **lossless)
    save("deep.img", deep(), driver="HFA", compressed="YES")
    (FOLDER / "mosaic.vrt").write_text(
        f'<VRTDataset rasterXSize="{SHAPE[1]}" rasterYSize="{SHAPE[0]}">\n'
        '  <VRTRasterBand dataType="Byte" band="1">\n    <SimpleSource>\n'
        '      <SourceFilename relativeToVRT="1">strips.tif</SourceFilename>\n'
        "      <SourceBand>1</SourceBand>\n"
        f'      <SrcRect xOff="0" yOff="0" xSize="{SHAPE[1]}" ySize="{SHAPE[0]}"/>\n'
        f'      <DstRect xOff="0" yOff="0" xSize="{SHAPE[1]}" ySize="{SHAPE[0]}"/>\n'
        "    </SimpleSource>\n  </VRTRasterBand>\n</VRTDataset>\n"
    )


def main():
    """Write all files and say how many bytes they are."""
    for write in (write_png, write_jpeg, write_tiff, write_arrays, write_zarr, write_rasters):
        write()
    files = [p for p in FOLDER.iterdir() if p.suffix != ".py" and p.is_file()]
    missing = corpus.samples().keys() - {p.name for p in files}
    print(f"{len(files)} files, {sum(p.stat().st_size for p in files)} bytes, missing {missing}")


if __name__ == "__main__":
    main()
