"""The public functions for arrays in memory: validate, select a backend, run, report."""

import sys
import warnings
from dataclasses import KW_ONLY, dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike

from hdseg_gpu import backends
from hdseg_gpu.backends.interop import Home, given_back, home_of, taken_in
from hdseg_gpu.core import checks, validate
from hdseg_gpu.core.calls import taking
from hdseg_gpu.core.errors import InvalidInput, RefinementWarning
from hdseg_gpu.core.label_map import seed_classes
from hdseg_gpu.core.options import About, CallOptions
from hdseg_gpu.core.report import Progress, Stages
from hdseg_gpu.core.resolve import element_set, params_of, pass_count, scale_of_mask
from hdseg_gpu.core.validate import MAX_CHANNELS
from hdseg_gpu.engine.fallback import MemoryRun, network_of, within_memory
from hdseg_gpu.lazy import is_lazy, refine_lazily
from hdseg_gpu.ops import Ops
from hdseg_gpu.pipeline.seeds import check_seeds, seeded


def available_backends() -> tuple[str, ...]:
    """Return the names of the backends that can run here, best first.

    Examples
    --------
    >>> import hdseg_gpu
    >>> "reference" in hdseg_gpu.available_backends()
    True
    """
    return backends.available()


def release_device_memory() -> None:
    """Free the device memory that is cached for the next call.

    Results are unaffected. Does nothing without a CUDA device.

    Examples
    --------
    >>> import hdseg_gpu
    >>> hdseg_gpu.release_device_memory()
    """
    if "cupy" in sys.modules:
        from hdseg_gpu.backends.cuda.cupy_device import release

        release()


@dataclass(frozen=True)
class RefineCall(CallOptions):
    """The arguments of ``refine``."""

    image: Annotated[
        ArrayLike,
        About(
            "array of uint8, uint16, float32 or float64, shape (H, W) or (H, W, C)",
            f"Grey, colour, or up to {MAX_CHANNELS} channels. Four channels are read as RGBA. "
            "For files, and for images that do not fit into memory, use ``refine_file``.",
        ),
    ]
    coarse: Annotated[
        ArrayLike,
        About(
            "array, shape (h, w) or (K, h, w)",
            "Coarse map: labels (integers of any value, or bools), or the probabilities or logits "
            "of K classes. Integer planes are quantised probabilities. h <= H, w <= W, with the "
            "aspect ratio of the image.",
        ),
    ]
    _: KW_ONLY
    progress: Annotated[
        Progress | None,
        About(
            "callable, optional",
            "Called as progress(stage, fraction).",
            check=checks.callback,
        ),
    ] = None
    return_probabilities: Annotated[
        bool,
        About(
            "bool",
            "Whether to return the probabilities as well, after the labels.",
            check=checks.switch,
        ),
    ] = False
    return_report: Annotated[
        bool,
        About(
            "bool",
            "Whether to return the report as well, as the last item.",
            check=checks.switch,
        ),
    ] = False


@taking(RefineCall)
def refine(call: RefineCall) -> Any:
    """Return the labels of a large image: its coarse map, relabelled near the boundaries.

    The coarse map is upsampled to the image and every class is thinned. The pixels removed form the
    unknown band; local colour models and a random walker label it.

    Returns
    -------
    labels : array, shape (H, W)
        Of the image's array type and on its device: a NumPy array, CuPy array or torch tensor. For
        a Dask array the result is lazy, and the image is refined tile by tile. In the dtype of the
        coarse labels; if `coarse` holds probabilities, class indices in the smallest sufficient
        dtype of uint8, uint16 and int32.
    probabilities : array of float32, with the K classes on class_axis
        Of the same array type. Classes are in ascending order of the labels, without the ignored
        label; 0 or 1 outside the unknown band.
    report : Report
        Settings, counts, times, and notes on assumptions.

    Raises
    ------
    InvalidInput
        An argument is invalid; the message names it and the remedy.
    BackendUnavailable
        The requested backend cannot run here.
    NotConverged
        solver="multigrid", "cg" or "amg" did not converge.
    OutOfDeviceMemory
        The device does not have enough memory, or max_device_memory is too small.

    Warns
    -----
    RefinementWarning
        Something was assumed, ignored or replaced.

    Notes
    -----
    With L the graph Laplacian of the 4-neighbour grid, U the unknown pixels, S the seeds, m^k the
    indicator of the seeds of class k and lambda^k its evidence:

        (L_UU + gamma I) x^k = -L_US m^k + gamma lambda^k,   label = argmax_k x^k

        "intensity":  w_ij = exp(-beta ||I_i - I_j||^2 / (10 sigma sqrt(C))) + 1e-10
        "boundary":   w_ij = exp(-beta (g_i + g_j)^2 / sigma) + 1e-10

    sigma is the standard deviation of the whole image (or of g). Integers are scaled to [0, 1],
    floats are used unchanged; scale them to [0, 1] for the same effect of beta.

    The evidence lambda^k is the softmax over k of

        weight log N(I; mean_k, C_k) + 1/2 sum sign(d) (a log(1 + abs d) + b abs d)

    N is the local colour model of class k. It is estimated from sums over cells `scale` / 2 pixels
    wide, each weighted by a confidence that grows with its distance to the boundary. d is the
    signed distance to the boundary in units of the scale, of the coarse map and of the labels of
    the previous round. Three rounds relabel the band, from wide colour windows and bands to narrow
    ones; a fourth computes the evidence for the walker. The trust in the coarse map depends on the
    detail of its boundaries and on how often the colours contradict it there (`report.doubt`);
    without doubt only the last round runs, close to the boundary. Probabilities of the network
    enter directly.

    References
    ----------
    Grady, Random Walks for Image Segmentation, PAMI 2006; Grady, Multilabel Random Walker Image
    Segmentation Using Prior Models, CVPR 2005; Saravanan, Challa, Danda, arXiv 2208.01254, 2022.

    Examples
    --------
    >>> import numpy as np
    >>> import hdseg_gpu
    >>> y, x = np.mgrid[:96, :96]
    >>> disk = (y - 47.5) ** 2 + (x - 47.5) ** 2 < 30**2
    >>> image = np.where(disk, 200, 50).astype(np.uint8)
    >>> coarse = disk[4::8, 4::8]  # 12 x 12: a network's low-resolution mask
    >>> enlarged = coarse.repeat(8, axis=0).repeat(8, axis=1)
    >>> labels, report = hdseg_gpu.refine(image, coarse, return_report=True)
    >>> print(f"{(enlarged == disk).mean():.3f} {(labels == disk).mean():.3f}")
    0.951 1.000
    >>> report.unknown_pixels, report.gamma, report.notes
    (5684, 1.0, ())
    """
    axis = validate.axis_of("channel_axis", call.channel_axis)
    if is_lazy(call.image):
        if call.return_probabilities or call.return_report:
            raise InvalidInput(
                "image is a Dask array, whose labels are lazy: return_probabilities and "
                "return_report are for arrays in memory; leave them out."
            )
        return refine_lazily(call.image, call.coarse, call)
    stages = Stages(call.progress)
    budget = checks.memory("max_device_memory", call.max_device_memory)
    home = home_of(call.image)
    ops = backends.select(call.backend, home)
    if ops.xp is np:
        _without_device(ops, home, budget, stages)
        stages.notes.extend(backends.lost_by_fork(call.backend))
    with ops.here(budget):
        pixels = taken_in(ops, "image", call.image)
        pixels = validate.image(pixels, axis, call.alpha, stages, backends.beside(ops, pixels))
    shape = pixels.shape[:2]
    network = network_of(ops, call.coarse, home, budget, call.class_axis, stages, call.ignore_index)
    params = params_of(call, network.summary, shape, stages)
    with ops.here(budget):
        edge_map = None if call.boundary is None else _beside(ops, call.boundary, home)
        if edge_map is not None:
            edge_map = validate.edge_strengths(edge_map, shape, backends.beside(ops, edge_map))
    job = MemoryRun(pixels, edge_map, network, params, call.return_probabilities)
    ops, outcome = within_memory(ops, job, budget, stages, final=call.backend != "auto")
    _warn(stages, stacklevel=4)
    with ops.here(budget):  # device errors surface when results are fetched
        returned: tuple[Any, ...] = (given_back(ops, outcome.labels, home),)
        if call.return_probabilities:
            assert outcome.probabilities is not None
            axes = [1, 2]
            axes.insert(validate.axis_of("class_axis", call.class_axis) % 3, 0)
            returned += (given_back(ops, outcome.probabilities.transpose(axes), home),)
    if call.return_report:
        returned += (outcome.found.report(stages),)
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
    elements : str or array of int8, shape (m, n, n)
        Structuring elements, or the name of a set, see ``structuring_elements``.
    passes : int, optional
        Passes of thinning. Default: 2 scale, rounded.
    scale : float, optional
        Mask pixels per pixel that the network decided. 8 is assumed, with a warning, when neither
        this nor `passes` is given.
    backend : str
        Where it runs, as for ``refine``.

    Returns
    -------
    array of int32 (int64 if the labels need it), shape (H, W)
        Of the mask's array type and on its device: a NumPy array, CuPy array or torch tensor.

    Raises
    ------
    InvalidInput
        An argument is invalid, or no seed is left.
    BackendUnavailable, OutOfDeviceMemory
        The requested backend cannot run here, or its device does not have enough memory.

    Examples
    --------
    >>> import numpy as np
    >>> import hdseg_gpu
    >>> mask = np.zeros((9, 12), np.uint8)
    >>> mask[:, 6:] = 1
    >>> hdseg_gpu.seeds(mask, elements="3x3", passes=1)[0]
    array([1, 1, 1, 1, 1, 0, 0, 2, 2, 2, 2, 2], dtype=int32)
    """
    home = home_of(mask)
    ops = backends.select(backend, home)
    stages = Stages()
    stages.notes.extend(backends.lost_by_fork(backend))
    cells = element_set(elements)
    count = pass_count(passes, scale_of_mask(scale, passes, stages))
    with ops.here():
        array = ops.xp.asarray(validate.labels("mask", taken_in(ops, "mask", mask)))
        classes = seed_classes(array, ops)
        indices = classes.classes
        assert indices is not None
        thinned = ops.seeds(indices, classes.count, cells, count)
        before = ops.histogram(indices, classes.count) > 0
        check_seeds(before, seeded(ops, thinned, classes.count) > 0, classes.values, count, stages)
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
    elements : str or array of int8, shape (m, n, n)
        Structuring elements B_1..B_m, or the name of a set, see ``structuring_elements``.
    passes : int
        How often all of them are applied, one after the other.
    packed_width : int, optional
        W, if the mask is packed.
    backend : str
        Where it runs, as for ``refine``.

    Returns
    -------
    array of the mask's type, shape and dtype
        Pixels that survive keep their value, the others are 0 or False. Packed if the mask is, with
        the unused bits of each row's last byte 0.

    Raises
    ------
    InvalidInput
        An argument is invalid.
    BackendUnavailable, OutOfDeviceMemory
        The requested backend cannot run here, or its device does not have enough memory.

    Notes
    -----
    X becomes X minus its hit-or-miss transform by B_1, then by B_2, ... (Gonzalez & Woods). The
    image is padded by repeating its edge pixels, so nothing is removed from the frame inwards.

    Examples
    --------
    >>> import numpy as np
    >>> import hdseg_gpu
    >>> mask = np.zeros((9, 12), np.uint8)
    >>> mask[:, 6:] = 1
    >>> hdseg_gpu.thinning(mask, "3x3", 2)[0]  # the image frame is no edge of the mask
    array([0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1], dtype=uint8)
    """
    home = home_of(mask)
    ops = backends.select(backend, home)
    cells, count = element_set(elements), pass_count(passes, 1.0)
    with ops.here():
        taken = taken_in(ops, "mask", mask)
        if packed_width is not None:
            bits = ops.xp.asarray(validate.packed_mask(taken, packed_width))
            thinned: Any = ops.thinning_packed(bits, int(packed_width), cells, count)
        else:
            thinned = ops.thinning(ops.xp.asarray(validate.binary_mask(taken)), cells, count)
        return given_back(ops, thinned, home)


def _without_device(ops: Ops, home: Home, budget: int | None, stages: Stages) -> None:
    """Note that options or arrays on a device have no effect, for a backend on the host."""
    if home.on_device:
        reason = backends.reason_against(home.backend)
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
            "move them to one device."
        )
    return taken_in(ops, "boundary", boundary)


def _warn(stages: Stages, stacklevel: int = 3) -> None:
    for note in (*stages.notes, *stages.fallbacks):
        warnings.warn(note, RefinementWarning, stacklevel=stacklevel)
