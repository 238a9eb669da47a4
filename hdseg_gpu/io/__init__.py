"""Files: reading images and label maps, writing results that appear only when complete."""

from hdseg_gpu.io.read import Picture, read_array, read_coarse, read_image, read_labels
from hdseg_gpu.io.write import check_output, write_labels, write_picture

__all__ = [
    "Picture",
    "check_output",
    "read_array",
    "read_coarse",
    "read_image",
    "read_labels",
    "write_labels",
    "write_picture",
]
