"""The kernels that ``refine`` launches without options, compiled before they are needed.

Kernels of one file and the same types are compiled together, so one stands for all of them.
tests/backends/test_cuda_backend.py compares this with what is launched.
"""

_KERNELS = (
    ("cells.cu", "confidence"),
    ("cells.cu", "small_cell_labels_{classes}"),
    ("colours.cu", "gaussians_{channels}"),
    ("colours.cu", "smooth"),
    ("colours.cu", "window_sums_{classes}"),
    ("components.cu", "labels_at_{classes}"),
    ("components.cu", "link_runs"),
    ("detail.cu", "boundary_detail_{classes}"),
    ("edges.cu", "assemble_{image}_{classes}"),
    ("evidence.cu", "class_evidence_{image}_{classes}"),
    ("filters.cu", "majority_{classes}"),
    ("labels.cu", "decide_{classes}"),
    ("level.cu", "stencil_look_ahead"),
    ("moments.cu", "cell_moments_{image}_{channels}"),
    ("nearby.cu", "count_nearby_{classes}"),
    ("planes.cu", "pack_classes_{classes}"),
    ("planes.cu", "open_planes"),
    ("reduction.cu", "eliminate_red"),
    ("reduction.cu", "place_black_f64"),
    ("nearest_other.cu", "nearest_others_in_rows_{classes}"),
    ("runs.cu", "count_runs_{classes}"),
    ("scan.cu", "scan"),
    ("statistics.cu", "{sums}_sums_{image}"),
    ("statistics.cu", "histogram_{classes}"),
    ("thinning.cu", "thin_presets_1"),
    ("upsampling.cu", "upsample_classes_{classes}"),
    ("vectors.cu", "advance"),
)


def kernels_for(image: str, channels: int, classes: str) -> list[tuple[str, str]]:
    """Return (file, kernel) for an image and class indices of these types, such as "u8"."""
    known = str(channels) if channels in (1, 3) else "any"
    sums = "channel" if image.startswith("f") else "integer"
    return [
        (file, name.format(image=image, channels=known, classes=classes, sums=sums))
        for file, name in _KERNELS
        if known != "any" or "gaussians" not in name
    ]
