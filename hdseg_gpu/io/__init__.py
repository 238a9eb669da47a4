"""Reading images and label maps, and writing results atomically."""

from hdseg_gpu.io.coarse_source import open_coarse
from hdseg_gpu.io.create import Output, check_labels, create_labels, create_output
from hdseg_gpu.io.open import open_image, open_within
from hdseg_gpu.io.paths import check_output
from hdseg_gpu.io.picture import Picture
from hdseg_gpu.io.read import read_coarse, read_image, read_labels
from hdseg_gpu.io.source import Georeference, ImageSource, LabelSource
from hdseg_gpu.io.write import note_lost_place, write_labels, write_picture

__all__ = [
    "Georeference",
    "ImageSource",
    "LabelSource",
    "Output",
    "Picture",
    "check_labels",
    "check_output",
    "create_labels",
    "create_output",
    "note_lost_place",
    "open_coarse",
    "open_image",
    "open_within",
    "read_coarse",
    "read_image",
    "read_labels",
    "write_labels",
    "write_picture",
]
