"""Files: reading images and label maps, writing results that appear only when complete."""

from hdseg_gpu.io.arrays import read_array
from hdseg_gpu.io.paths import check_output
from hdseg_gpu.io.picture import Picture
from hdseg_gpu.io.read import read_coarse, read_image, read_labels
from hdseg_gpu.io.write import check_labels, write_labels, write_picture

__all__ = [
    "Picture",
    "check_labels",
    "check_output",
    "read_array",
    "read_coarse",
    "read_image",
    "read_labels",
    "write_labels",
    "write_picture",
]
