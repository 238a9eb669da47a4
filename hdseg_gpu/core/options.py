"""The options of a refinement, each declared once: name, type, default, check and texts.

The signatures, docstrings and help texts of ``refine``, ``refine_file``, lazy arrays and the
command line are generated from the fields of the dataclasses here.
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

# The defaults of "published" that differ: Saravanan, Challa, Danda, arXiv 2208.01254, and their
# program. "edges" None: "boundary" if there is a boundary map.
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
# Passes per unit of scale where there is no method (``seeds``), and the scale assumed where the
# sizes do not determine it: docs/decisions/0002-defaults.md.
PASSES_PER_SCALE = 2.0
ASSUMED_SCALE = 8.0
# The label of ignored pixels, by convention of many data sets.
IGNORED = 255
# Largest error of a potential. At beta = 5000, where edges of 1e-10 connect clusters, two direct
# solvers differ by 1e-6 from rounding alone: smaller tolerances cannot be guaranteed.
TOLERANCE = 1e-4
LEAST_TOLERANCE = 1e-6
MAX_WEIGHT = 1e12  # of beta and gamma; larger ones change nothing and may overflow
MIN_WEIGHT = 1e-12  # of gamma, if it is not 0; edge weights are at least 1e-10, in float32
MAX_WINDOW = 15  # of the majority filter

Check = Callable[[str, Any], Any]
Call = TypeVar("Call", bound="CallOptions")


@dataclass(frozen=True)
class About:
    """Description of an option beside its name, type and default.

    "{default}" in `text` and `help` is replaced by the option's default under each method.
    """

    kind: str  # type of the argument, as in docstrings
    text: str  # description in docstrings
    help: str = ""  # description on the command line; if empty, there is no such option
    check: Check | None = None  # (name, value) -> value; None: ``params_of`` checks it
    usual: Any = None  # default under "evidence", for options that are None unless given
    cli: Any = None  # type on the command line, if different


def about(kind: type[Any]) -> dict[str, About]:
    """Return the description of each argument of a call, in the order of its signature."""
    found = {each.name: each for each in fields(kind)}
    order = sorted(found, key=lambda name: bool(found[name].kw_only))
    return {name: _about(found[name]) for name in order}


def _about(each: Field[Any]) -> About:
    (said,) = (extra for extra in get_args(each.type) if isinstance(extra, About))
    return said


def checked(call: Call) -> Call:
    """Return a call with checked options; checks that need the input are made later.

    Raises InvalidInput.
    """
    found = {}
    for each in fields(call):
        value, check = getattr(call, each.name), _about(each).check
        if check is not None and not (value is None and each.default is None):
            found[each.name] = check(each.name, value)
    return replace(call, **found)


def one_of(names: Iterable[str]) -> str:
    """Return names as numpydoc lists choices: {"a", "b"}."""
    return "{" + ", ".join(f'"{name}"' for name in names) + "}"


def any_of(names: Iterable[str]) -> str:
    """Return names as in a sentence: a, b or c."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def usual(name: str, method: str = "evidence") -> Any:
    """Return the default of an option of ``Options`` under a method."""
    found: Mapping[str, About] = about(Options)
    return METHODS[method].get(name, found[name].usual)


def described(name: str, said: About, sentence: str, quote: str = '"') -> str:
    """Return the description of an option with its defaults filled in."""
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
        raise InvalidInput(f"{name}={shown(value)} leaves no seed; pass a number below 1.")
    return float(value)


def _window(name: str, value: Any) -> int:
    side = integer(name, value)
    if side not in range(1, MAX_WINDOW + 1, 2):
        raise InvalidInput(
            f"{name}={shown(value)} must be an odd integer from 1 (off) to {MAX_WINDOW}."
        )
    return side


# The type of an option that is not given: None in a call, Never in complete ``Params``.
Missing = TypeVar("Missing")
UNSET: Any = None


@dataclass(frozen=True, kw_only=True)
class Options(Generic[Missing]):
    """The options of the algorithm: labels depend only on these and on the input."""

    method: Annotated[
        str,
        About(
            one_of(METHODS),
            "Set of defaults for the options below; options that are passed override it. "
            '"evidence" is the most accurate. "published" is the plain random walker of '
            "Saravanan, Challa and Danda with the settings of their program.",
            f"Set of defaults for other options: {any_of(METHODS)}.",
            check=lambda name, value: choice(name, value, tuple(METHODS)),
        ),
    ] = "evidence"
    scale: Annotated[
        float | Missing,
        About(
            "float, optional",
            "Image pixels per pixel that the network decided. Default: max(H / h, W / w); "
            f"{ASSUMED_SCALE:g} is assumed, with a warning, when the coarse map has the image's "
            "size.",
            "Image pixels per pixel that the network decided. Default: the ratio of the sizes.",
        ),
    ] = UNSET
    passes: Annotated[
        int | Missing,
        About(
            "int, optional",
            "Passes of thinning: the band is about 2 passes wide. 0 is interpolation only: "
            "without a band there is no evidence, and only pixels that are `unsure` go to the "
            "walker. With evidence, these are the passes of the first round; later rounds have "
            "fewer, and without doubt in the coarse map only the last round runs. Default: "
            "{default} times the scale, rounded.",
            "Passes of thinning; 0 is interpolation only. Default: {default} times the scale.",
            usual=12.0,  # per unit of scale
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
            "In [0, 1). Pixels whose two largest interpolated probabilities differ by at most "
            "this become unknown as well, unless an object would lose all its seeds; 0 is off. "
            "No effect if `coarse` holds labels. Default: {default}.",
            "Pixels whose two largest probabilities differ by at most this become unknown. "
            "Default: {default}.",
            check=_unsure,
            usual=0.0,
        ),
    ] = UNSET
    prune: Annotated[
        bool | Missing,
        About(
            "bool, optional",
            "Whether spurs of the seeds become unknown: seeds removed by an opening of their "
            "class's seeds with a 3 x 3 square that lie within 2 passes (in rows and in columns) "
            "of a seed of their class that is not removed. Isolated thin structures stay. "
            "Default: {default}.",
            "Whether spurs of seeds become unknown. Default: --prune.",
            check=switch,
            usual=True,
        ),
    ] = UNSET
    edges: Annotated[
        str | Missing,
        About(
            f"{one_of(EDGE_RULES)}, optional",
            'Source of the edge weights, see Notes. Default: "intensity" ("published": '
            '"boundary" if there is a boundary map).',
            f"Source of the edge weights: {any_of(EDGE_RULES)} (needs --boundary). Default: "
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
            'How the coarse map is upsampled. Default: {default} for labels, "linear" for '
            'probabilities, which do not support "nearest". Labels are interpolated as one plane '
            "per class, 1 inside and 0 outside: the boundary becomes smooth instead of "
            "stair-stepped.",
            f"How COARSE is upsampled: {any_of(('nearest', *INTERPOLATIONS))}. Default: "
            "{default} for labels, linear for probabilities.",
            usual="cubic",
        ),
    ] = UNSET
    majority: Annotated[
        int | Missing,
        About(
            "int, optional",
            f"Side, odd and at most {MAX_WINDOW}, of the window of a final majority filter over "
            "the band; with two labels this is the median filter. A pixel's own label wins a tie, "
            "else the smallest. 1 is off. Probabilities and the counts in the report are those "
            "before the filter. Default: {default}.",
            "Side of the final majority filter; 1 is off. Default: {default}.",
            check=_window,
            usual=3,
        ),
    ] = UNSET
    solver: Annotated[
        str | Missing,
        About(
            f"{one_of(SOLVERS)}, optional",
            'How the system is solved. "auto": "multigrid", and "direct" where its error cannot '
            'be certified. "cg": the conjugate gradients of SciPy or CuPy, preconditioned by '
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
            "Largest error of a potential against the exact solution of the system, at least "
            f"{LEAST_TOLERANCE:g}. The system's weights are float32, within 6e-6 of the "
            "formulas below.",
            "Largest error of a potential.",
            check=partial(at_least, minimum=LEAST_TOLERANCE, maximum=0.5),
        ),
    ] = TOLERANCE


@dataclass(frozen=True, kw_only=True)
class CallOptions(Options[None]):
    """The options that all functions of the algorithm share, beside the input."""

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
            "Label of ignored pixels. They are upsampled by nearest neighbour, keep the label, and "
            "affect other pixels no more than the outside of the image. For the thinning they take "
            "the nearest class (city-block distance). No edge of the walker's graph leads to them; "
            "pixels they separate from all seeds keep their class unless gamma > 0. Their "
            f"probabilities are 0 for all classes. Default: {IGNORED}, with a warning, if it is "
            f"the largest label of an integer map that has labels other than 0 and {IGNORED}. "
            "False, or a label that does not occur such as -1: none.",
            f"Label of ignored pixels in COARSE; -1 for none. Default: {IGNORED}, if it is the "
            f"largest label and COARSE has labels other than 0 and {IGNORED}.",
        ),
    ] = None
    channel_axis: Annotated[
        int,
        About(
            "int",
            "Axis of the channels in an `image` that is an array, or a file of arrays. Other files "
            "define it themselves.",
            "Axis of the channels in IMAGE, if it is a file of arrays.",
        ),
    ] = -1
    alpha: Annotated[
        bool | None,
        About(
            "bool, optional",
            "Whether the last channel is alpha and is ignored. Default: True if there are 4 "
            "channels, or the file says so.",
            "Whether the image's last channel is alpha and is ignored. Default: if the file says "
            "so, or if there are 4 channels.",
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
            'Where it runs. An explicit name is never replaced. "auto": "cuda" if there is a '
            'device, else "cpu".',
            f"Where it runs: {any_of(('auto', *BACKENDS))}.",
        ),
    ] = "auto"
    max_device_memory: Annotated[
        float | None,
        About(
            "float, optional",
            "Bytes of a CUDA device's memory that the call may use beside its input and output. "
            "Default: 90 % of what is free when the call begins; set it if several processes share "
            "a device. An image in host memory that does not fit is processed in strips, with the "
            'same result; if memory is still too small, backend="auto" continues with "cpu" and '
            "warns. An image on the device is copied only if it is not contiguous or has alpha.",
            "Limit of CUDA device memory: bytes, or e.g. 800M or 4G (2^30). Default: 90 % of what "
            "is free.",
            cli=str | None,
        ),
    ] = None
