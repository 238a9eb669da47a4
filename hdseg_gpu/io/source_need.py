"""Type and memory need of images that GDAL opens by content."""

import re
import struct

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.memory import Budget
from hdseg_gpu.io.jp2_head import decoding_of
from hdseg_gpu.io.jpeg_head import jpeg_head
from hdseg_gpu.io.png_head import png_head
from hdseg_gpu.io.stored import Stored
from hdseg_gpu.io.tiff_head import MOST_PAGES, tiff_head

_PICTURES = (
    b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff",
    b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51",
)  # fmt: skip
_ELSEWHERE = re.compile(rb"<(VRTDataset|GDAL|[A-Za-z]*TileIndex)")  # signatures of other drivers
_START = 1 << 16
_LOOK = 1 << 20  # bytes of a JPEG within which its first scan usually begins


def is_picture(file: Stored) -> bool:
    """Return whether GDAL opens a file as TIFF, PNG, JPEG or JPEG 2000 and as nothing else."""
    start = file.start(_START)
    return start.startswith(_PICTURES) and not _ELSEWHERE.search(start)


def need_of_source(file: Stored, budget: Budget) -> int:
    """Return an upper bound of the bytes to decode a tile of a TIFF, PNG, JPEG or JPEG 2000."""
    start = file.start(4)
    if start[:2] in (b"II", b"MM"):
        return _tiff(file, budget)
    if start == b"\x89PNG":
        return _png(file)
    if start[:2] == b"\xff\xd8":
        return _jpeg(file)
    need = decoding_of(file)
    if not need:
        raise InvalidInput(f"{file.name} cannot be read: its header gives no tile size.")
    return need


def _tiff(file: Stored, budget: Budget) -> int:
    """Return the bytes for any page: GDAL uses overviews if a mosaic is coarser than its source."""
    head = tiff_head(file, budget)
    if head.more:
        raise InvalidInput(
            f"{file.name} has more than {MOST_PAGES} pages; save only the first one."
        )
    pages = (*head.pages, *head.children)
    tile = max(page.segment for page in pages)
    # All bands at once, then one by one.
    pixels = max(page.segment * (2 if page.samples > 1 else 1) for page in pages)
    return pixels + min(tile, file.size)  # decoded and stored


def _png(file: Stored) -> int:
    head = png_head(file)
    height, width = head.shape
    lines = height if head.interlaced else 2
    return lines * width * head.channels * max(1, head.depth // 8) + 3 * head.aside


def _jpeg(file: Stored) -> int:
    """Return the bytes for a JPEG; later scans matter only if the first lacks channels."""
    head = jpeg_head(file.name, file.some, min(file.size, _LOOK))
    whole = struct.pack(">HB", 6 + 2 * head.channels, head.channels)  # start of a scan with all
    begins = head.before - 6 - 2 * head.channels
    if not head.progressive and (begins < 0 or file.some(begins, 3) != whole):
        head = jpeg_head(file.name, file.some, file.size)
    return head.coefficients
