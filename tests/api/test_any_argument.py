"""Any value for any parameter of any public function: a result, or a one-line error that names it.

Parameters are taken from the signatures, so that new ones are covered automatically.
"""

import inspect
import shutil
import warnings
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import hdseg_gpu
from hdseg_gpu import HdsegError, InvalidInput, Window

IMAGE = np.random.default_rng(7).integers(0, 256, (24, 32, 3), dtype=np.uint8)
COARSE = np.zeros((6, 8), np.uint8)
COARSE[2:5, 2:6] = 1
MASK = COARSE.repeat(4, axis=0).repeat(4, axis=1)


class Odd:
    """An object with some methods that raise, or say odd things."""

    def __init__(self, name, **methods):
        self.__class__ = type(name, (), methods)

    def __repr__(self):
        return self.__class__.__name__


def raising(error):
    def method(*_, **__):
        raise error

    return method


VALUES = {
    **{repr(v): v for v in (None, True, False, -1, 0, 1, 2, 3, 255, 4096, 2**31, 2**63, 2**70)},
    "10 ** 5000": 10**5000,
    "-10 ** 400": -(10**400),
    **{repr(v): v for v in (0.0, -0.0, 0.5, 1.5, -2.0, 1e-320, 5e-324, 1e-200, 1e-30, 1e30, 1e300)},
    "nan": float("nan"),
    "inf": float("inf"),
    "-inf": float("-inf"),
    **{
        repr(v): v
        for v in (
            *(np.int8(7), np.uint8(0), np.uint8(2), np.uint8(200), np.int64(-1), np.int64(1)),
            *(
                np.int64(2048),
                np.uint64(2**64 - 1),
                np.float16(0.5),
                np.float32(2),
                np.float64(0.1),
            ),
            *(np.float32("nan"), np.longdouble(1), np.finfo(np.longdouble).tiny, np.bool_(True)),
            *(np.bool_(False), np.str_("auto"), np.bytes_(b"x"), np.complex64(1j)),
            np.datetime64("2020-01-01"),
        )
    },
    "Fraction": Fraction(1, 3),
    "large Fraction": Fraction(10**400, 3),
    "Decimal": Decimal("0.5"),
    "complex": 1 + 2j,
    **{
        repr(v): v
        for v in ("", "x", "auto", "dask", "a\0b", "a\nb", "\ud800", "x" * 5000, ".", "/")
    },
    **{
        repr(v): v for v in (b"x", b"", bytearray(b"x"), [], [1], [[1, 2], [3]], (1, 2), {}, {1: 2})
    },
    **{repr(v): v for v in (set(), range(3), slice(1), int, ..., NotImplemented)},
    "object": object(),
    "module": np,
    "Path": Path("nowhere.npy"),
    "empty Path": Path(),
    "0-d array": np.array(3),
    "0-d bool": np.array(True),
    "array": np.array([1, 2]),
    "2-d array": np.ones((2, 2)),
    "3-d array": np.ones((2, 3, 3), np.int64),
    "array of str": np.array(["x"]),
    "array of objects": np.array([object(), None]),
    "structured array": np.zeros((4, 4), [("a", "u1"), ("b", "f8")]),
    "empty array": np.zeros((0, 3)),
    "NaN array": np.full((24, 32), np.nan),
    "dates": np.zeros((24, 32), "M8[s]"),
    "complex array": np.zeros((24, 32), complex),
    "strings": np.full((24, 32), "a"),
    "no repr": Odd("Odd", __repr__=raising(RuntimeError("no"))),
    "repr of lines": Odd("Odd", __repr__=lambda _: "two\nlines\n" * 200),
    "no comparison": Odd("Odd", __eq__=raising(TypeError("no")), __hash__=None),
    "no bool": Odd("Odd", __bool__=raising(ValueError("ambiguous"))),
    "needs gradients": Odd("Odd", __array__=raising(RuntimeError("detach first\nplease"))),
    "bfloat16": Odd("Odd", __array__=raising(TypeError("Got unsupported ScalarType BFloat16"))),
    "no path": Odd("Odd", __fspath__=raising(OSError("no"))),
    "path of bytes": Odd("Odd", __fspath__=lambda _: b"x"),
    "no length": Odd("Odd", __len__=raising(KeyError("no")), __getitem__=raising(KeyError("no"))),
    "window of floats": Window(0.5, 0, 2, 2),
    "window of text": Window("a", None, [], 2),
    "window of 10 ** 5000": Window(10**5000, 0, 1, 1),
    "window outside": Window(-5, 0, 50, 50),
    "empty window": Window(0, 0, 0, 0),
}
# The names of parameters in messages, where they differ.
CALLED = {
    ("open_image", "image"): "{value}",
    ("refine_file", "image"): "{value}",
    ("refine_file", "coarse"): "{value}",
    ("refine_file", "boundary"): "{value}",
    ("refine_file", "output"): "output",
    ("refine_file", "image_key"): "key",
    ("refine_file", "workers"): "max_memory",
    ("refine_file", "tile"): "max_memory",
    ("create_output", "path"): "output",
    ("structuring_elements", "name"): "elements",
    ("read_source", "window"): "pass a non-empty Window",
    ("read_output", "window"): "pass a Window",
    ("write_output", "window"): "pass a Window",
}


def refine(folder, **options):
    return hdseg_gpu.refine(**{"image": IMAGE, "coarse": COARSE} | options)


def refine_file(folder, **options):
    np.save(folder / "image.npy", IMAGE)
    given = {"image": folder / "image.npy", "coarse": COARSE, "output": folder / "out.npy"}
    return hdseg_gpu.refine_file(**given | {"tile": 2048} | options)


def seeds(folder, **options):
    return hdseg_gpu.seeds(**{"mask": MASK, "passes": 2} | options)


def thinning(folder, **options):
    return hdseg_gpu.thinning(**{"mask": MASK, "elements": "3x3", "passes": 2} | options)


def structuring_elements(folder, **options):
    return hdseg_gpu.structuring_elements(**{"name": "3x3"} | options)


def open_image(folder, **options):
    np.save(folder / "image.npy", IMAGE)
    with hdseg_gpu.open_image(**{"image": folder / "image.npy"} | options) as source:
        return source.read(Window(0, 0, *source.shape))


def read_source(folder, **options):
    with hdseg_gpu.open_image(IMAGE) as source:
        return source.read(**{"window": Window(0, 0, 4, 4)} | options)


def create_output(folder, **options):
    given = {"path": folder / "out.npy", "shape": (24, 32)}
    with hdseg_gpu.create_output(**given | options) as output:
        return output.shape


def write_output(folder, **options):
    with hdseg_gpu.create_output(folder / "out.npy", shape=(24, 32)) as output:
        given = {"window": Window(0, 0, 24, 32), "labels": MASK}
        return output.write(**given | options)


def read_output(folder, **options):
    with hdseg_gpu.create_output(folder / "out.npy", shape=(24, 32)) as output:
        return output.read(**{"window": Window(0, 0, 24, 32)} | options)


def iou(folder, **options):
    given = {"prediction": MASK, "truth": MASK, "label": 1}
    return hdseg_gpu.metrics.iou(**given | options)


def mean_boundary_accuracy(folder, **options):
    given = {"prediction": MASK, "truth": MASK, "label": 1}
    return hdseg_gpu.metrics.mean_boundary_accuracy(**given | options)


PUBLIC = {
    refine: hdseg_gpu.refine,
    refine_file: hdseg_gpu.refine_file,
    seeds: hdseg_gpu.seeds,
    thinning: hdseg_gpu.thinning,
    structuring_elements: hdseg_gpu.structuring_elements,
    open_image: hdseg_gpu.open_image,
    read_source: hdseg_gpu.open_image(IMAGE).read,
    create_output: hdseg_gpu.create_output,
    write_output: hdseg_gpu.io.Output.write,
    read_output: hdseg_gpu.io.Output.read,
    iou: hdseg_gpu.metrics.iou,
    mean_boundary_accuracy: hdseg_gpu.metrics.mean_boundary_accuracy,
}
CASES = [
    pytest.param(call, name, id=f"{call.__name__}-{name}")
    for call, function in PUBLIC.items()
    for name in inspect.signature(function).parameters
    if name != "self"
]


_LONGEST = 600  # letters of a message, beside a path


def faults_of(call, name, folder):
    """Yield a line for each value that is answered wrongly."""
    for title, value in VALUES.items():
        if name == "progress" and callable(value):
            continue  # what it raises is the caller's
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                call(folder, **{name: value})
        except HdsegError as error:
            said = str(error)
            path = str(value).replace("\n", "\\n") if isinstance(value, str | Path) else ""
            called = name, CALLED.get((call.__name__, name), name).format(value=path or "-")
            if "\n" in said or len(said) > _LONGEST + len(path):
                yield f"{title}: not one line: {said[:300]!r}"
            elif isinstance(error, InvalidInput) and not any(each in said for each in called):
                yield f"{title}: does not name it: {said}"
        except Exception as error:
            yield f"{title}: {type(error).__name__}: {str(error)[:200]}"
        left = {path.name for path in folder.iterdir()} - {"image.npy", "out.npy"}
        left -= {".out.npy.hdseg"}  # what a run over a file has done can be resumed
        if left:
            yield f"{title}: left {left}"


@pytest.mark.parametrize(("call", "name"), CASES)
def test_any_value_is_answered(call, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path.parent)
    folder = tmp_path / "files"
    folder.mkdir()
    assert list(faults_of(call, name, folder)) == []


def test_the_table_sees_faults(tmp_path):
    def lax(folder, **options):
        if options["name"] is None:
            raise TypeError("raw")
        if isinstance(options["name"], str):
            raise InvalidInput("name " * 2000)
        raise InvalidInput("nothing")

    found = list(faults_of(lax, "name", tmp_path))
    assert len(found) == len(VALUES)
