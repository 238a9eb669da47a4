"""A file of each kind that ``open_image`` reads, all with the pixels ``GREY``."""

import numpy as np
import pytest
import tifffile
from file_samples import GREY
from PIL import Image


def save_zarr(path, pixels=GREY, **options):
    zarr = pytest.importorskip("zarr")
    options = {"chunks": (16, 16, 3)[: pixels.ndim], **options}
    array = zarr.create_array(path, shape=pixels.shape, dtype=pixels.dtype, **options)
    array[...] = pixels
    return path


def save_raster(path, driver, pixels=GREY, **options):
    rasterio = pytest.importorskip("rasterio")
    options = {"transform": rasterio.Affine(1, 0, 5, 0, -1, 7), **options}
    with rasterio.open(path, "w", driver=driver, width=pixels.shape[1], height=pixels.shape[0],
                       count=1, dtype=pixels.dtype, **options) as raster:  # fmt: skip
        raster.write(pixels, 1)


def save_mosaic(path, source="a.tif", extra="", **attributes):
    more = "".join(f' {name}="{value}"' for name, value in attributes.items())
    path.write_text(
        f'<VRTDataset rasterXSize="57" rasterYSize="41">{extra}<VRTRasterBand dataType="Byte" '
        f'band="1"{more}><SimpleSource><SourceFilename relativeToVRT="1">{source}</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )


def save_mosaic_and_tiff(path):
    tifffile.imwrite(path.with_name("a.tif"), GREY)
    save_mosaic(path)


SOURCES = {
    "a.png": lambda path: Image.fromarray(GREY).save(path),
    "a.jpg": lambda path: Image.fromarray(GREY).save(path),
    "a.tif": lambda path: tifffile.imwrite(path, GREY, tile=(16, 16), compression="zlib"),
    "plain.tif": lambda path: tifffile.imwrite(path, GREY),
    "a.npy": lambda path: np.save(path, GREY),
    "a.zarr": save_zarr,
    "a.jp2": lambda path: save_raster(path, "JP2OpenJPEG"),
    "a.img": lambda path: save_raster(path, "HFA"),
    "a.vrt": save_mosaic_and_tiff,
}
