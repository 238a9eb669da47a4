"""The public functions: validate, select, survey, run, report."""

import sys
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hdseg_gpu import backends
from hdseg_gpu.backends.interop import Home, given_back, home_of, taken_in
from hdseg_gpu.core import validate
from hdseg_gpu.core.errors import InvalidInput, RefinementWarning
from hdseg_gpu.core.label_map import seed_classes
from hdseg_gpu.core.ops import Ops
from hdseg_gpu.core.options import params_of
from hdseg_gpu.core.params import TOLERANCE
from hdseg_gpu.core.report import Progress, Stages, note_precision, report_of
from hdseg_gpu.engine.fallback import Job, network_of, within_memory
from hdseg_gpu.lazy import is_lazy, refine_lazily
from hdseg_gpu.pipeline.seeds import check_seeds, seeded


def available_backends() -> tuple[str, ...]:
    """Return the names of the backends that can run here, best first."""
    return backends.available()


def release_device_memory() -> None:
    """Give device memory that is kept for the next call back, for others to use.

    Results are not touched. Without a CUDA device there is nothing to do.
    """
    if "cupy" in sys.modules:
        from hdseg_gpu.backends.cuda_device import release

        release()


def refine(
    image: ArrayLike,
    coarse: ArrayLike,
    *,
    method: str = "evidence",
    scale: float | None = None,
    passes: int | None = None,
    elements: str | ArrayLike | None = None,
    unsure: float | None = None,
    prune: bool | None = None,
    edges: str | None = None,
    boundary: ArrayLike | None = None,
    beta: float | None = None,
    gamma: float | None = None,
    interpolation: str | None = None,
    median: int | None = None,
    ignore_index: int | None = None,
    alpha: bool | None = None,
    class_axis: int = 0,
    channel_axis: int = -1,
    backend: str = "auto",
    max_device_memory: float | None = None,
    solver: str | None = None,
    tol: float = TOLERANCE,
    progress: Progress | None = None,
    return_probabilities: bool = False,
    return_report: bool = False,
) -> Any:
    """Return the labels of a large image, its small mask decided again near the boundaries.

    The coarse map is enlarged to the image; every class is thinned, and what was removed is the
    unknown band; class evidence from the colours nearby and a random walker decide the band.

    Parameters
    ----------
    image : array of uint8, uint16, float32 or float64, shape (H, W) or (H, W, C)
        Grey, colour, or up to 16 channels. Four channels are read as RGBA. Files and what does not
        fit into memory: see ``refine_file``.
    coarse : array, shape (h, w) or (K, h, w)
        Labels (integers of any value, or bools), or the probabilities or logits of K classes.
        Integer planes are quantised probabilities. h <= H, w <= W, of the same aspect.
    method : {"evidence", "published"}
        Where the defaults of the options below come from; what is given is final. "evidence" is
        the most accurate one known here. "published" is the plain random walker of Saravanan,
        Challa and Danda as their own program has it.
    scale : float, optional
        Image pixels for each pixel the network decided. Default: max(H / h, W / w); 8 is assumed,
        with a warning, when the coarse map has the image's size.
    passes : int, optional
        Passes of thinning: the band is about 2 passes wide; 0 is plain interpolation. With
        evidence, those of the first round; the next have less, and a coarse map that deserves no
        doubt has the last round alone. Default: 12 scale ("published": 8 scale), rounded.
    elements : {"9x9", "3x3"} or array of int8, shape (m, n, n), optional
        Structuring elements: +1 hit, -1 miss, 0 don't care; n odd and at most 9. Default: "3x3"
        ("published": "9x9").
    unsure : float, optional
        In [0, 1). Pixels whose largest two interpolated probabilities differ by at most this are
        unknown, too, unless an object would be left without seeds; 0 is off. Without effect on
        labels. Default: 0 ("published": 0.03).
    prune : bool, optional
        Whether spurs of the seeds become unknown: seeds that do not survive the opening of their
        class's seeds by a 3 x 3 square, at most 2 passes (in rows and in columns) from a seed of
        their class that does. Thin structures on their own stay. Default: True.
    edges : {"intensity", "boundary"}, optional
        What the edge weights are taken from, see Notes. Default: "intensity" ("published":
        "boundary" if there is a boundary map).
    boundary : array, shape (H, W), optional
        Edge strengths g in [0, 1] (integers are scaled to it), for edges="boundary".
    beta : float, optional
        How strongly an edge stops the walker. Default: 1000 ("published": 130).
    gamma : float, optional
        Weight of the class evidence, see Notes; 0 is the plain random walker. Default: 1
        ("published": 0).
    interpolation : {"nearest", "linear", "cubic"}, optional
        How the coarse map is enlarged. Default: "cubic" for labels ("published": "nearest"),
        "linear" for probabilities. Labels are interpolated as one plane a class, 1 inside and 0
        outside: the boundary comes out smooth instead of stair-stepped.
    median : int, optional
        Side, odd and at most 15, of the window whose most frequent label each pixel of the band
        takes in the end: the median filter where two labels meet. A pixel's own label wins a tie,
        else the smallest. 1 is off. Probabilities and counts of the report stay the walker's.
        Default: 3 ("published": 7).
    ignore_index : int or False, optional
        Label of pixels that pass through: enlarged by nearest neighbour, they keep it, and for
        all others they are as good as outside the picture. The nearest class (in city blocks)
        goes on beneath them for the thinning; then no edge of the walker's graph leads to them,
        and what they cut off from all seeds keeps its class unless gamma > 0. Probabilities are 0
        there for all classes. Default: 255, with a warning, if a map of integers has it as its
        largest label and is not a mask of 0 and 255 alone. False, or a label that does not occur
        such as -1: none.
    alpha : bool, optional
        Whether the last channel is alpha, to be ignored. Default: only if there are 4 channels.
    class_axis, channel_axis : int
        Where the classes and the channels are.
    backend : {"auto", "cuda", "cpu", "reference"}
        Where it runs. An explicit name is final. "auto": "cuda" if there is a device, else "cpu".
    max_device_memory : float, optional
        Bytes of a CUDA device's memory that the call may take beside its input and output.
        Default: 90 % of what is free when the call begins; where several processes share a device,
        give each its part to be sure of it. An image in host memory that does not fit is sent
        strip by strip, with the same result; if there still is not enough, backend="auto" goes on
        with "cpu" and says so. One on the device is copied only if it is not contiguous or has
        alpha.
    solver : {"auto", "multigrid", "cg", "amg", "direct"}, optional
        How the system is solved. "auto": "multigrid", and "direct" where that proves nothing. "cg":
        the conjugate gradients of SciPy or CuPy, preconditioned by multigrid. Default: "auto"
        ("published": "direct").
    tol : float
        Largest error that a potential may have against the exact solution of the system, from
        1e-6 on. The system's weights are float32, within 6e-6 of the formulas below.
    progress : callable, optional
        Called as progress(stage, fraction).
    return_probabilities, return_report : bool
        Return (labels, probabilities), (labels, report) or all three.

    Returns
    -------
    labels : array, shape (H, W)
        Where and what the image is: NumPy's, CuPy's array on its device, or a tensor of torch
        wherever that is; lazy if the image is a Dask array, which is then refined tile by tile. In
        the dtype of the coarse labels; class indices (uint8, uint16 or int32, the smallest
        that holds them) when probabilities came in.
    probabilities : array of float32 like the labels, with the K classes on class_axis
        In ascending order of the labels, without the ignored one; 0 or 1 outside the unknown band.
    report : Report
        Settings, counts, times, and notes on what was assumed.

    Raises
    ------
    InvalidInput
        An argument cannot be used; the message says which, and what to do.
    BackendUnavailable
        The backend asked for cannot run here.
    NotConverged
        solver="multigrid", "cg" or "amg" did not converge.
    OutOfDeviceMemory
        The device has not memory enough, or max_device_memory is too small.

    Warns
    -----
    RefinementWarning
        Something was assumed, ignored or replaced.

    Notes
    -----
    With L the graph Laplacian of the 4-neighbour grid, U the unknown pixels, S the seeds, m^k the
    seeds' indicator of class k and lambda^k its evidence:

        (L_UU + gamma I) x^k = -L_US m^k + gamma lambda^k,   label = argmax_k x^k

        "intensity":  w_ij = exp(-beta ||I_i - I_j||^2 / (10 sigma sqrt(C))) + 1e-10
        "boundary":   w_ij = exp(-beta (g_i + g_j)^2 / sigma) + 1e-10

    sigma is the standard deviation of the whole image (or of g). Integers are scaled to [0, 1],
    floats are used as they are: beta means the same for them if they are scaled alike.

    The evidence lambda^k is the softmax over k of

        weight log N(I; mean_k, C_k) + 1/2 sum sign(d) (a log(1 + abs d) + b abs d)

    N has the colours of class k nearby, from the sums of cells that are `scale` / 2 wide, each as
    far as its distance to the boundary makes it sure; d is the distance in units of the scale, of
    the coarse map and of what the last round found. Three rounds go from wide windows and bands to
    narrow ones. How far the coarse map is trusted follows from the detail of its boundaries and
    from how the colours contradict it there (`report.doubt`); without doubt there is one round,
    close to the boundary. Probabilities of the network enter as such.

    References
    ----------
    Grady, Random Walks for Image Segmentation, PAMI 2006; Grady, Multilabel Random Walker Image
    Segmentation Using Prior Models, CVPR 2005; Saravanan, Challa, Danda, arXiv 2208.01254, 2022.
    """
    validate.callback("progress", progress)
    axis = validate.axis_of("channel_axis", channel_axis)
    with_probabilities = validate.switch("return_probabilities", return_probabilities)
    with_report = validate.switch("return_report", return_report)
    if is_lazy(image):
        if with_probabilities or with_report or axis not in (-1, 2):
            raise InvalidInput(
                "image is a Dask array, whose labels are lazy: return_probabilities, return_report "
                "and channel_axis are for arrays in memory; leave them out."
            )
        return refine_lazily(
            image, coarse, method=method, scale=scale, passes=passes, elements=elements,
            unsure=unsure, prune=prune, edges=edges, boundary=boundary, beta=beta, gamma=gamma,
            interpolation=interpolation, median=median, ignore_index=ignore_index, alpha=alpha,
            class_axis=class_axis, backend=backend, max_device_memory=max_device_memory,
            solver=solver, tol=tol,
        )  # fmt: skip
    stages = Stages(progress)
    budget = validate.memory("max_device_memory", max_device_memory)
    home = home_of(image)
    ops = backends.select(backend, home)
    if ops.xp is np:
        _without_device(ops, home, budget, stages)
        stages.notes.extend(backends.lost_by_fork(backend))
    with ops.here(budget):
        pixels = taken_in(ops, "image", image)
        pixels = validate.image(pixels, axis, alpha, stages, backends.beside(ops, pixels))
    shape = pixels.shape[:2]
    network = network_of(ops, coarse, home, budget, class_axis, stages, ignore_index)
    params = params_of(
        network, shape, stages, boundary,
        method=method, scale=scale, passes=passes, elements=elements, unsure=unsure, prune=prune,
        edges=edges, beta=beta, gamma=gamma, interpolation=interpolation, median=median,
        solver=solver, tol=tol,
    )  # fmt: skip
    with ops.here(budget):
        edge_map = None if boundary is None else _beside(ops, boundary, home)
        features = validate.edge_features(
            pixels, edge_map, params.edges, backends.beside(ops, edge_map)
        )
    strengths = None if features is pixels else features
    job = Job(pixels, strengths, network, params, with_probabilities)
    ops, outcome = within_memory(ops, job, budget, stages, final=backend != "auto")
    found = outcome.found
    note_precision(found.tally, params.tolerance, stages)
    _warn(stages)
    with ops.here(budget):  # a device that has failed says so when results are fetched
        returned: tuple[Any, ...] = (given_back(ops, outcome.labels, home),)
        if with_probabilities:
            assert outcome.probabilities is not None
            axes = [1, 2]
            axes.insert(validate.axis_of("class_axis", class_axis) % 3, 0)
            returned += (given_back(ops, outcome.probabilities.transpose(axes), home),)
    if with_report:
        returned += (
            report_of(
                ops.name, shape, network.shape, network, params, outcome.sigma, found.seeds.passes,
                found.doubt, found.tally, stages,
            ),
        )  # fmt: skip

    return returned if len(returned) > 1 else returned[0]


def seeds(
    mask: ArrayLike,
    *,
    elements: str | ArrayLike = "9x9",
    passes: int | None = None,
    scale: float | None = None,
    backend: str = "auto",
) -> Any:
    """Return the seeds of a full-size mask: 0 where unknown, label + 1 elsewhere.

    Parameters
    ----------
    mask : array of bools or non-negative integers, shape (H, W)
        Labels; every label is thinned against the rest.
    elements : {"9x9", "3x3"} or array of int8, shape (m, n, n)
        Structuring elements, see ``structuring_elements``.
    passes : int, optional
        Passes of thinning. Default: 2 scale, rounded.
    scale : float, optional
        Mask pixels for each pixel the network decided. 8 is assumed, with a warning, when neither
        this nor `passes` is given.
    backend : {"auto", "cuda", "cpu", "reference"}
        Where it runs.

    Returns
    -------
    array of int32 (int64 if the labels need it), shape (H, W)
        NumPy's; CuPy's or a tensor of torch, where the mask is, if it is one.

    Raises
    ------
    InvalidInput
        An argument cannot be used, or no seed is left.
    BackendUnavailable, OutOfDeviceMemory
        The backend asked for cannot run here, or its device has not memory enough.
    """
    home = home_of(mask)
    ops = backends.select(backend, home)
    stages = Stages()
    stages.notes.extend(backends.lost_by_fork(backend))
    cells = validate.element_set(elements)
    count = validate.pass_count(passes, validate.scale_of_mask(scale, passes, stages))
    with ops.here():
        array = ops.xp.asarray(validate.labels("mask", taken_in(ops, "mask", mask)))
        classes = seed_classes(array, ops)
        indices = classes.classes
        assert indices is not None
        thinned = ops.seeds(indices, classes.count, cells, count)
        before = ops.histogram(indices, classes.count) > 0
        check_seeds(before, seeded(ops, thinned, classes.count) > 0, classes, count, stages)
        _warn(stages)
        largest = int(classes.values[-1]) + 1
        dtype = np.int32 if largest <= np.iinfo(np.int32).max else np.int64
        # Class index + 1 -> label + 1; 0 stays unknown.
        table = np.concatenate([[0], classes.values.astype(dtype) + 1]).astype(dtype)
        return given_back(ops, ops.xp.asarray(table)[thinned], home)


def thinning(
    mask: ArrayLike,
    elements: str | ArrayLike,
    passes: int,
    *,
    packed_width: int | None = None,
    backend: str = "auto",
) -> Any:
    """Return the mask thinned: what no element matched in any of the passes.

    Parameters
    ----------
    mask : array of bool or uint8, shape (H, W)
        The set X: where the mask is not 0. With `packed_width`, uint8 of shape (H, ceil(W / 8)):
        one bit for each pixel, as from ``numpy.packbits(mask, axis=1, bitorder="little")``.
    elements : {"9x9", "3x3"} or array of int8, shape (m, n, n)
        Structuring elements B_1..B_m, see ``structuring_elements``.
    passes : int
        How often all of them are applied, one after the other.
    packed_width : int, optional
        W, if the mask is packed.
    backend : {"auto", "cuda", "cpu", "reference"}
        Where it runs.

    Returns
    -------
    array like the mask
        Pixels that survive keep their value, the others are 0 or False; packed if the mask is,
        the unused bits of each row's last byte 0.

    Raises
    ------
    InvalidInput
        An argument cannot be used.
    BackendUnavailable, OutOfDeviceMemory
        The backend asked for cannot run here, or its device has not memory enough.

    Notes
    -----
    X becomes X minus its hit-or-miss transform by B_1, then by B_2, ... (Gonzalez & Woods). The
    outside of the picture repeats its edge pixels, so nothing is removed from the frame inwards.
    """
    home = home_of(mask)
    ops = backends.select(backend, home)
    cells, count = validate.element_set(elements), validate.pass_count(passes, 1.0)
    with ops.here():
        taken = taken_in(ops, "mask", mask)
        if packed_width is not None:
            bits = ops.xp.asarray(validate.packed_mask(taken, packed_width))
            thinned: Any = ops.thinning_packed(bits, int(packed_width), cells, count)
        else:
            thinned = ops.thinning(ops.xp.asarray(validate.binary_mask(taken)), cells, count)
        return given_back(ops, thinned, home)


def _without_device(ops: Ops, home: Home, budget: int | None, stages: Stages) -> None:
    """Say what becomes of wishes that are about a device, where a backend has none."""
    if home.on_device:
        reason = backends.reason_against("cuda")
        because = "." if reason is None else f": {reason}"
        stages.notes.append(
            f"The image is on a CUDA device and was copied for backend='{ops.name}'{because}"
        )
    elif budget is not None:
        stages.notes.append(f"max_device_memory= has no effect with backend='{ops.name}'.")


def _beside(ops: Ops, boundary: ArrayLike, home: Home) -> Any:
    """Return the boundary map as the backend's array if it is on its device."""
    there = home_of(boundary)
    if home.on_device and there.on_device and there.device != home.device:
        raise InvalidInput(
            f"boundary is on device {there.device} and the image on device {home.device}; "
            "move one of them."
        )
    return taken_in(ops, "boundary", boundary)


def _warn(stages: Stages) -> None:
    for note in (*stages.notes, *stages.fallbacks):
        warnings.warn(note, RefinementWarning, stacklevel=3)
