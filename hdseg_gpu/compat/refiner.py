"""``Refiner``: refinement as a module of torch, behind a network or behind its output."""

from collections.abc import Mapping
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Any

from hdseg_gpu.backends.interop import is_tensor
from hdseg_gpu.compat.channels_first import OPTIONS, OUTPUTS, options_of, refined
from hdseg_gpu.core.checks import choice, count
from hdseg_gpu.core.errors import InvalidInput, shown
from hdseg_gpu.core.validate import IMAGE_DTYPES

if TYPE_CHECKING:
    from torch.nn import Module
else:
    try:
        from torch.nn import Module
    except ModuleNotFoundError:

        class Module:
            """Stands in for torch's, so that ``from hdseg_gpu import *`` works without torch."""

            def __init__(self) -> None:
                raise ModuleNotFoundError("Refiner needs torch; install it: pip install torch")


_DTYPES = (*IMAGE_DTYPES, "float16", "bfloat16")
_BATCH = 4  # dimensions


class Refiner(Module):  # type: ignore[misc]
    """A module of torch whose forward pass returns labels of full resolution.

    ``Refiner(model)(images)`` reduces the images, runs the model on them, and refines its output;
    ``Refiner()(images, coarse)`` refines an output that is there already. Each image is refined
    by itself, as by ``refine``, on the device of `images`.

    It is for inference: it is not differentiable, runs the model without gradients, and returns
    tensors that require none. It has no parameters or buffers of its own: ``state_dict()`` holds
    those of the model only, and is empty without one. The model runs as it is: call ``eval()``
    first, as for any module.

    ``torch.compile`` compiles the model and leaves the refinement out of the graph, so that
    ``fullgraph=True`` fails. It cannot be scripted or traced; script the model instead.

    Parameters
    ----------
    model : callable, optional
        Takes images (N, C, h, w) and returns a tensor as `coarse` below, which may be smaller than
        its input; or a mapping with it under "out", as torchvision's models do; or an object with
        it as `logits`, as those of transformers.
    size : int, optional
        Side that the longer side of an image is reduced to for the model, by bilinear
        interpolation with antialiasing; images are never enlarged. None: not at all.
    output : {"labels", "probabilities"}
        What is returned.
    **options
        Those of ``refine``, except boundary, edges, channel_axis and class_axis.

    Notes
    -----
    Called with

    images : tensor of uint8, uint16, float16, bfloat16, float32 or float64, shape (N, C, H, W)
        In any memory format. The model receives them in the dtype of its parameters (float32 if it
        has none), integers scaled to [0, 1]. Floats are used unchanged, for the model and for
        ``refine``, where beta is meant for [0, 1]: normalise by mean and deviation inside the
        model, for example ``torch.nn.Sequential(Normalize(mean, std), network)``.
    coarse : tensor, shape (N, K, h, w), or (N, h, w) or (N, 1, h, w) for labels
        Only without a model. Probabilities or logits of K >= 2 classes, of any floats; or labels,
        integers or bools.

    it returns a tensor on the device of `images`, in host memory or on a CUDA device: labels
    (N, H, W) in the dtype of the coarse labels, class indices if there were probabilities; or, with
    output="probabilities", float32 (N, K, H, W). Errors and warnings are those of ``refine``.

    See Also
    --------
    RefineMaskd : the same for dictionaries, as in MONAI.

    Examples
    --------
    >>> import torch
    >>> import hdseg_gpu
    >>> images = torch.full((1, 3, 64, 64), 50, dtype=torch.uint8)
    >>> images[..., 30:] = 200
    >>> class Threshold(torch.nn.Module):  # in place of a network
    ...     def forward(self, x):
    ...         foreground = (x.mean(1) > 0.5).float()
    ...         return torch.stack([1 - foreground, foreground], 1)
    >>> refiner = hdseg_gpu.Refiner(Threshold(), size=16).eval()
    >>> labels = refiner(images)
    >>> labels.shape, labels[0, 40, 28:33].tolist()
    (torch.Size([1, 64, 64]), [0, 0, 1, 1, 1])
    """

    def __init__(
        self,
        model: Any = None,
        size: int | None = 513,
        *,
        output: str = "labels",
        **options: Any,
    ) -> None:
        super().__init__()
        if model is not None and not callable(model):
            raise InvalidInput(
                f"model={shown(model)} cannot be called; pass a torch.nn.Module, or None and call "
                "the Refiner with the images and their coarse maps."
            )
        self.size = count("size", size)
        self.output = choice("output", output, OUTPUTS)
        self.options = options_of("Refiner", options)
        self.model = model

    def forward(self, images: Any, coarse: Any = None) -> Any:
        """Return the labels or probabilities of a batch."""
        import torch

        if torch.jit.is_tracing():
            raise TypeError(_refusal("traced"))
        _require_images(images)
        if coarse is None and self.model is None:
            raise InvalidInput(
                "coarse=None, and this Refiner has no model; pass coarse, or Refiner(model)."
            )
        if coarse is not None and self.model is not None:
            raise InvalidInput(
                "coarse is given, but this Refiner has a model; pass the images alone, or use a "
                "Refiner without a model."
            )
        with torch.no_grad():
            if coarse is None:
                coarse = self._predicted(images)
            run = _refined
            if torch.compiler.is_compiling():
                run = torch.compiler.disable(_refined)
            return run(images, coarse, self.output, self.options)

    def extra_repr(self) -> str:
        """Return the arguments, for ``repr``."""
        said = {"size": self.size, "output": self.output} | self.options
        return ", ".join(f"{name}={shown(value)}" for name, value in said.items())

    def __prepare_scriptable__(self) -> Any:
        """Refuse ``torch.jit.script``, which calls this first."""
        raise TypeError(_refusal("scripted"))

    def _predicted(self, images: Any) -> Any:
        """Return the model's output for reduced images."""
        import torch

        model = self.model
        weights = model.parameters() if isinstance(model, Module) else ()
        dtype = next((w.dtype for w in weights if w.is_floating_point()), torch.float32)
        # One by one: a float copy of the whole batch might not fit into memory.
        small = torch.cat([_reduced(each, self.size) for each in images.split(1)]).to(dtype)
        found = model(small)
        if isinstance(found, Mapping):
            found = found.get("out", found)
        found = getattr(found, "logits", found)
        if not is_tensor(found):
            raise InvalidInput(
                f"model returned a {type(found).__qualname__}; wrap it so that it returns a tensor "
                '(N, K, h, w), a mapping with it under "out", or an object with it as .logits.'
            )
        return found


Refiner.__signature__ = Signature(
    [
        Parameter("model", Parameter.POSITIONAL_OR_KEYWORD, default=None),
        Parameter("size", Parameter.POSITIONAL_OR_KEYWORD, default=513),
        Parameter("output", Parameter.KEYWORD_ONLY, default="labels"),
        *OPTIONS,
    ]
)


def _reduced(images: Any, size: int | None) -> Any:
    """Return images as floats, integers scaled to [0, 1], their longer side at most `size`."""
    import torch

    if images.is_floating_point():
        floats = images.float() if images.element_size() == 2 else images
    else:
        floats = images.float() / torch.iinfo(images.dtype).max
    h, w = images.shape[2:]
    if size is None or max(h, w) <= size:
        return floats
    shape = [max(1, round(side * size / max(h, w))) for side in (h, w)]
    return torch.nn.functional.interpolate(floats, shape, mode="bilinear", antialias=True)


def _require_images(images: Any) -> None:
    if not is_tensor(images):
        raise TypeError(f"images is a {type(images).__qualname__}; pass a tensor (N, C, H, W).")
    shape, dtype = tuple(images.shape), str(images.dtype).removeprefix("torch.")
    if len(shape) != _BATCH or 0 in shape:
        raise InvalidInput(f"images has the shape {shape}; pass (N, C, H, W), none of them 0.")
    if dtype not in _DTYPES:
        raise InvalidInput(f"images has the dtype {dtype}; convert it to one of {_DTYPES}.")


def _refined(images: Any, coarse: Any, output: str, options: Mapping[str, Any]) -> Any:
    """Return the labels or probabilities of a batch, refined one by one."""
    import torch

    found = []
    for i, (image, its) in enumerate(zip(images, _maps(coarse, len(images)), strict=True)):
        try:
            found.append(refined(image, its, output, options))
        except InvalidInput as error:
            raise InvalidInput(f"Item {i} of the batch: {error}") from error
    return torch.stack(found)


def _maps(coarse: Any, number: int) -> Any:
    """Return the coarse maps of a batch: (number, h, w) of labels or (number, K, h, w)."""
    if not is_tensor(coarse):
        raise TypeError(
            f"coarse is a {type(coarse).__qualname__}; pass a tensor (N, K, h, w), or labels "
            "(N, h, w)."
        )
    shape = tuple(coarse.shape)
    if len(shape) not in (_BATCH - 1, _BATCH):
        raise InvalidInput(f"coarse has the shape {shape}; pass (N, K, h, w), or labels (N, h, w).")
    if shape[0] != number:
        raise InvalidInput(
            f"coarse has the shape {shape}, and there are {number} images; pass one map for each."
        )
    if len(shape) == _BATCH and shape[1] == 1:
        if coarse.is_floating_point():
            raise InvalidInput(
                f"coarse has the shape {shape}, with one class only; for a foreground probability "
                "p pass torch.cat([1 - p, p], 1), for its logit z "
                "torch.cat([torch.zeros_like(z), z], 1)."
            )
        return coarse[:, 0]
    return coarse


def _refusal(done: str) -> str:
    return (
        f"Refiner cannot be {done}: it is no graph of torch. Let the model be {done}, and wrap it."
    )
