"""Calls of ops in benchmarks match their signatures; CuPy's stand-in has no names of its own."""

import ast
import importlib
import inspect
import sys
from pathlib import Path

import pytest

from hdseg_gpu.ops import Ops

ROOT = Path(__file__).parents[2]
BENCHMARKS = sorted((ROOT / "benchmarks").glob("*.py"))


def op_calls(text):
    """Yield (line, op, positional arguments, names of others) of ops.VERB(...)."""
    for node in ast.walk(ast.parse(text)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        owner = node.func.value
        name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", None)
        starred = any(isinstance(a, ast.Starred) for a in node.args)
        if name == "ops" and not starred:
            yield node.lineno, node.func.attr, len(node.args), [k.arg for k in node.keywords]


def wrong_calls(text):
    """Return the lines whose calls do not fit the contract."""
    found = []
    for line, op, count, names in op_calls(text):
        try:
            signature = inspect.signature(getattr(Ops, op))
            signature.bind(None, *[None] * count, **dict.fromkeys(names))
        except (AttributeError, TypeError) as error:
            found.append(f"line {line}: {op}: {error}")
    return found


@pytest.mark.skipif(not BENCHMARKS, reason="benchmarks/ is not part of an installed package")
def test_benchmarks_call_ops_as_the_contract_has_them():
    assert sum(len(list(op_calls(path.read_text()))) for path in BENCHMARKS) > 20
    for path in BENCHMARKS:
        assert not wrong_calls(path.read_text()), path


def test_wrong_calls_are_found():
    assert wrong_calls("run.ops.decide(band, x, labels, places, bound, seeds)")
    assert wrong_calls("ops.thining(mask, elements, 3)")
    assert wrong_calls("ops.thinning(mask, elements, times=3)")
    assert not wrong_calls("ops.thinning(mask, elements, passes=3); other.decide(1)")


def resolve(name):
    """Return what a dotted name is, importing as much of it as can be imported."""
    parts = name.split(".")
    found = importlib.import_module(parts[0])
    for i, part in enumerate(parts[1:], 2):
        if not hasattr(found, part) and inspect.ismodule(found):
            importlib.import_module(".".join(parts[:i]))
        found = getattr(found, part)
    return found


@pytest.mark.skipif(not BENCHMARKS, reason="benchmarks/ is not part of an installed package")
def test_the_stand_in_knows_nothing_that_cupy_does_not():
    pytest.importorskip("cupy", reason="needs hdseg_gpu[cuda-check]")
    sys.path.append(str(ROOT))
    from benchmarks import stand_in

    sys.path.remove(str(ROOT))
    for module in stand_in.modules().values():
        for name, member in vars(module).items():
            if name.startswith("__"):
                continue
            theirs = resolve(f"{module.__name__}.{name}")
            if not inspect.isclass(member) and not isinstance(member, stand_in.Runtime):
                continue
            own = member if inspect.isclass(member) else type(member)
            for attribute in vars(own):
                if not attribute.startswith("_"):
                    assert hasattr(theirs, attribute), (module.__name__, name, attribute)
