"""Functions offered to scikit-image's dispatching: an entry point of ``skimage_backend_infos``.

It is imported with scikit-image in every process, so it imports nothing.
"""


class _Information:
    supported_functions = ("skimage.segmentation:random_walker", "skimage.morphology:thin")


def info() -> _Information:
    """Return which functions of scikit-image we implement."""
    return _Information()
