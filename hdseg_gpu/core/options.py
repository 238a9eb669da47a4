"""The options of a refinement: name, type, default, check and words of each, in one place.

``refine``, ``refine_file``, lazy arrays and the command line take their options from the
dataclasses here: signatures, docstrings and help texts are made of the fields.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, dataclass, fields, replace
from functools import partial
from typing import Annotated, Any, Generic, TypeVar, get_args

from numpy.typing import ArrayLike

from hdseg_gpu.core.checks import at_least, choice, integer, switch, zero_or_at_least
from hdseg_gpu.core.elements import SETS
from hdseg_gpu.core.errors import InvalidInput, shown
from hdseg_gpu.core.registry import BACKENDS, SOLVERS

EDGE_RULES = ("intensity", "boundary")
INTERPOLATIONS = ("linear", "cubic")  # and "nearest", for label maps

# What "published" has instead of the options' own defaults: Saravanan, Challa, Danda, arXiv
# 2208.01254, and their own program. None of "edges": "boundary" with a boundary map.
METHODS: dict[str, dict[str, Any]] = {
    "evidence": {},  # docs/decisions/0006-evidence.md
    "published": {
        "passes": 8.0,
        "elements": "9x9",
        "unsure": 0.03,
        "edges": None,
        "beta": 130.0,
        "gamma": 0.0,
        "interpolation": "nearest",
        "majority": 7,
        "solver": "direct",
    },
}
# Passes for each unit of scale where there is no method (``seeds``), and the scale that is assumed
# where it cannot be known: docs/decisions/0002-defaults.md.
PASSES_PER_SCALE = 2.0
ASSUMED_SCALE = 8.0
# The label of pixels to leave alone, by a convention of data sets.
IGNORED = 255
# Largest error of a potential. Rounding alone makes two direct solvers differ by 1e-6 at beta =
# 5000, where clusters hang on edges of 1e-10: less cannot be promised.
TOLERANCE = 1e-4
LEAST_TOLERANCE = 1e-6
MAX_WEIGHT = 1e12  # of beta and gamma; larger ones say no more and lead to overflow
MIN_WEIGHT = 1e-12  # of gamma, if it is not 0; edges weigh 1e-10 at least, in float32
MAX_WINDOW = 15  # of the majority filter

Check = Callable[[str, Any], Any]
Call = TypeVar("Call", bound="CallOptions")


@dataclass(frozen=True)
class About:
    """What is known of an option beside its name, type and default.

    "{default}" in `text` and `help` is what the option is under each method.
    """

    kind: str  # of what may be passed, as docstrings have it
    text: str  # the docstring's sentences
    help: str = ""  # the command line's; without, it is no option there
    check: Check | None = None  # (name, value) -> value; None: ``params_of`` checks it
    usual: Any = None  # the default under "evidence", where None leaves it to the method
    cli: Any = None  # the type on the command line, if it is another one


def about(kind: type[Any]) -> dict[str, About]:
    """Return what is known of each argument of a call, in the order of its signature."""
    found = {each.name: each for each in fields(kind)}
    order = sorted(found, key=lambda name: bool(found[name].kw_only))
    return {name: _about(found[name]) for name in order}


def _about(each: Field[Any]) -> About:
    (said,) = (extra for extra in get_args(each.type) if isinstance(extra, About))
    return said


def checked(call: Call) -> Call:
    """Return a call whose options have passed their checks; those that need the input come later.

    Raises InvalidInput.
    """
    found = {}
    for each in fields(call):
        value, check = getattr(call, each.name), _about(each).check
        if check is not None and not (value is None and each.default is None):
            found[each.name] = check(each.name, value)
    return replace(call, **found)


def one_of(names: Iterable[str]) -> str:
    """Return names as docstrings list what may be passed."""
    return "{" + ", ".join(f'"{name}"' for name in names) + "}"


def any_of(names: Iterable[str]) -> str:
    """Return names as a sentence lists them: a, b or c."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def usual(name: str, method: str = "evidence") -> Any:
    """Return what an option of ``Options`` is under a method if it is not given."""
    found: Mapping[str, About] = about(Options)
    return METHODS[method].get(name, found[name].usual)


def described(name: str, said: About, sentence: str, quote: str = '"') -> str:
    """Return a sentence about an option with its defaults filled in."""
    if "{default}" not in sentence:
        return sentence
    default = _written(said.usual, quote)
    others = [
        f"{quote}{method}{quote}: {_written(changed[name], quote)}"
        for method, changed in METHODS.items()
        if name in changed
    ]
    return sentence.replace("{default}", " ".join([default, *(f"({o})" for o in others)]))


def _written(value: Any, quote: str) -> str:
    if isinstance(value, str):
        return f"{quote}{value}{quote}"
    return str(value) if isinstance(value, bool) else f"{value:g}"


def _unsure(name: str, value: Any) -> float:
    if at_least(name, value, 0.0, 1.0) == 1.0:
        raise InvalidInput(f"{name}={shown(value)} leaves no pixel known; pass a number below 1.")
    return float(value)


def _window(name: str, value: Any) -> int:
    side = integer(name, value)
    if side not in range(1, MAX_WINDOW + 1, 2):
        raise InvalidInput(
            f"{name}={shown(value)} is not possible; pass an odd integer from 1 (off) to "
            f"{MAX_WINDOW}."
        )
    return side


# What an option is that is not given: None in a call, Never in what is complete (``Params``).
Missing = TypeVar("Missing")
UNSET: Any = None


@dataclass(frozen=True, kw_only=True)
class Options(Generic[Missing]):
    """The options of the algorithm: labels depend on these, and on nothing else but the input."""

    method: Annotated[
        str,
        About(
            one_of(METHODS),
            "Where the defaults of the options below come from; what is given is final. "
            '"evidence" is the most accurate one known here. "published" is the plain random '
            "walker of Saravanan, Challa and Danda as their own program has it.",
            f"{any_of(METHODS)}: where the defaults of other options come from.",
            check=lambda name, value: choice(name, value, tuple(METHODS)),
        ),
    ] = "evidence"
    scale: Annotated[
        float | Missing,
        About(
            "float, optional",
            "Image pixels for each pixel the network decided. Default: max(H / h, W / w); "
            f"{ASSUMED_SCALE:g} is assumed, with a warning, when the coarse map has the image's "
            "size.",
            "Image pixels for each pixel the network decided. Default: as the sizes are.",
        ),
    ] = UNSET
    passes: Annotated[
        int | Missing,
        About(
            "int, optional",
            "Passes of thinning: the band is about 2 passes wide. 0 is plain interpolation: "
            "without a band there is no evidence either, and what is `unsure` is the walker's "
            "alone. With evidence, these are the passes of the first round; the next have fewer, "
            "and a coarse map that deserves no doubt has the last round alone. Default: {default} "
            "times the scale, rounded.",
            "Passes of thinning; 0 is interpolation alone. Default: {default} times the scale.",
            usual=12.0,  # for each unit of scale
        ),
    ] = UNSET
    elements: Annotated[
        Any,
        About(
            f"{one_of(SETS)} or array of int8, shape (m, n, n), optional",
            "Structuring elements: +1 hit, -1 miss, 0 don't care; n odd and at most 9. Default: "
            "{default}.",
            f"Structuring elements: {any_of(SETS)}. Default: {{default}}.",
            usual="3x3",
            cli=str | None,
        ),
    ] = None
    unsure: Annotated[
        float | Missing,
        About(
            "float, optional",
            "In [0, 1). Pixels whose largest two interpolated probabilities differ by at most "
            "this are unknown, too, unless an object would be left without seeds; 0 is off. "
            "Without effect on labels. Default: {default}.",
            "Pixels are unknown, too, whose two largest probabilities differ by at most this. "
            "Default: {default}.",
            check=_unsure,
            usual=0.0,
        ),
    ] = UNSET
    prune: Annotated[
        bool | Missing,
        About(
            "bool, optional",
            "Whether spurs of the seeds become unknown: seeds that do not survive the opening of "
            "their class's seeds by a 3 x 3 square, at most 2 passes (in rows and in columns) "
            "from a seed of their class that does. Thin structures on their own stay. Default: "
            "{default}.",
            "Whether spurs of seeds become unknown. Default: --prune.",
            check=switch,
            usual=True,
        ),
    ] = UNSET
    edges: Annotated[
        str | Missing,
        About(
            f"{one_of(EDGE_RULES)}, optional",
            'What the edge weights are taken from, see Notes. Default: "intensity" ("published": '
            '"boundary" if there is a boundary map).',
            f"What edge weights are taken from: {any_of(EDGE_RULES)} (needs --boundary). Default: "
            "intensity (published: boundary if there is a boundary map).",
            usual="intensity",
        ),
    ] = UNSET
    beta: Annotated[
        float | Missing,
        About(
            "float, optional",
            "How strongly an edge stops the walker. Default: {default}.",
            "How strongly an edge stops the walker. Default: {default}.",
            check=partial(at_least, minimum=0.0, maximum=MAX_WEIGHT),
            usual=1000.0,
        ),
    ] = UNSET
    gamma: Annotated[
        float | Missing,
        About(
            "float, optional",
            "Weight of the class evidence, see Notes; 0 is the plain random walker. Default: "
            "{default}, and 0 if passes=0.",
            "Weight of the class evidence; 0 is the plain random walker. Default: {default}.",
            check=partial(zero_or_at_least, minimum=MIN_WEIGHT, maximum=MAX_WEIGHT),
            usual=1.0,
        ),
    ] = UNSET
    interpolation: Annotated[
        str | Missing,
        About(
            f"{one_of(('nearest', *INTERPOLATIONS))}, optional",
            'How the coarse map is enlarged. Default: {default} for labels, "linear" for '
            'probabilities, which cannot take "nearest". Labels are interpolated as one plane a '
            "class, 1 inside and 0 outside: the boundary comes out smooth instead of "
            "stair-stepped.",
            f"How COARSE is enlarged: {any_of(('nearest', *INTERPOLATIONS))}. Default: "
            "{default} for labels, linear for probabilities.",
            usual="cubic",
        ),
    ] = UNSET
    majority: Annotated[
        int | Missing,
        About(
            "int, optional",
            f"Side, odd and at most {MAX_WINDOW}, of the window whose most frequent label each "
            "pixel of the band takes in the end: a mode filter. A "
            "pixel's own label wins a tie, else the smallest. 1 is off. Probabilities and counts "
            "of the report stay the walker's. Default: {default}.",
            "Side of the final majority filter; 1 is off. Default: {default}.",
            check=_window,
            usual=3,
        ),
    ] = UNSET
    solver: Annotated[
        str | Missing,
        About(
            f"{one_of(SOLVERS)}, optional",
            'How the system is solved. "auto": "multigrid", and "direct" where that proves '
            'nothing. "cg": the conjugate gradients of SciPy or CuPy, preconditioned by '
            "multigrid. Default: {default}.",
            f"How the system is solved: {any_of(SOLVERS)}. Default: {{default}}.",
            check=lambda name, value: choice(name, value, tuple(SOLVERS)),
            usual="auto",
        ),
    ] = UNSET
    tol: Annotated[
        float,
        About(
            "float",
            "Largest error that a potential may have against the exact solution of the system, "
            f"from {LEAST_TOLERANCE:g} on. The system's weights are float32, within 6e-6 of the "
            "formulas below.",
            "Largest error of a potential.",
            check=partial(at_least, minimum=LEAST_TOLERANCE, maximum=0.5),
        ),
    ] = TOLERANCE


@dataclass(frozen=True, kw_only=True)
class CallOptions(Options[None]):
    """What every way to call the algorithm takes beside the input."""

    boundary: Annotated[
        ArrayLike | None,
        About(
            "array, shape (H, W), optional",
            'Edge strengths g in [0, 1] (integers are scaled to it), for edges="boundary".',
        ),
    ] = None
    ignore_index: Annotated[
        int | None,
        About(
            "int or False, optional",
            "Label of pixels that pass through: enlarged by nearest neighbour, they keep it, and "
            "for all others they are as good as outside the picture. The nearest class (in city "
            "blocks) goes on beneath them for the thinning; then no edge of the walker's graph "
            "leads to them, and what they cut off from all seeds keeps its class unless gamma > "
            f"0. Probabilities are 0 there for all classes. Default: {IGNORED}, with a warning, "
            "if a map of integers has it as its largest label and is not a mask of 0 and "
            f"{IGNORED} alone. False, or a label that does not occur such as -1: none.",
            f"Label of COARSE that passes through; -1 for none. Default: {IGNORED}, where it is "
            "the largest label of more than a mask.",
        ),
    ] = None
    alpha: Annotated[
        bool | None,
        About(
            "bool, optional",
            "Whether the last channel is alpha, to be ignored. Default: only if there are 4 "
            "channels, or the file says so.",
            "Whether the image's last channel is alpha, to be ignored. Default: as the file says, "
            "or if there are 4 channels.",
        ),
    ] = None
    class_axis: Annotated[
        int,
        About(
            "int",
            "Axis of the classes in `coarse`.",
            "Axis of the classes in COARSE.",
        ),
    ] = 0
    backend: Annotated[
        str,
        About(
            one_of(("auto", *BACKENDS)),
            'Where it runs. An explicit name is final. "auto": "cuda" if there is a device, else '
            '"cpu".',
            f"Where it runs: {any_of(('auto', *BACKENDS))}.",
        ),
    ] = "auto"
    max_device_memory: Annotated[
        float | None,
        About(
            "float, optional",
            "Bytes of a CUDA device's memory that the call may take beside its input and output. "
            "Default: 90 % of what is free when the call begins; where several processes share a "
            "device, give each its part to be sure of it. An image in host memory that does not "
            "fit is sent strip by strip, with the same result; if there still is not enough, "
            'backend="auto" goes on with "cpu" and says so. One on the device is copied only if '
            "it is not contiguous or has alpha.",
            "Memory of a CUDA device to take: bytes, or such as 800M or 4G (2^30). Default: 90 % "
            "of what is free.",
            cli=str | None,
        ),
    ] = None
