"""The docstrings of all that is public describe every field, and their examples run as shown."""

import doctest
import inspect
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any, get_args, get_type_hints

import pytest

import hdseg_gpu


def classes_in(annotation: Any) -> Iterator[type]:
    """Yield the package's classes that an annotation names."""
    if inspect.isclass(annotation) and annotation.__module__.startswith("hdseg_gpu."):
        yield annotation
    for part in annotation if isinstance(annotation, list) else get_args(annotation):
        yield from classes_in(part)


def public() -> Iterator[tuple[str, Any]]:
    """Yield the exported names and what they stand for."""
    for module in (hdseg_gpu, hdseg_gpu.metrics):
        for name in module.__all__:
            yield f"{module.__name__}.{name}", getattr(module, name)


def annotations_of(found: Any) -> list[Any]:
    """Return the types of a class's fields or of a function's arguments and result."""
    if inspect.isclass(found):
        return list(get_type_hints(found).values())
    if isinstance(found, ModuleType):
        return []
    signature = inspect.signature(found)
    return [p.annotation for p in signature.parameters.values()] + [signature.return_annotation]


def with_mentioned(found: dict[str, Any]) -> dict[str, Any]:
    """Add the classes that a caller receives or passes without an exported name."""
    todo = list(found.values())
    while todo:
        for annotation in annotations_of(todo.pop()):
            for mentioned in classes_in(annotation):
                if mentioned not in found.values():
                    found[f"{mentioned.__module__}.{mentioned.__qualname__}"] = mentioned
                    todo.append(mentioned)
    return found


PUBLIC = with_mentioned(dict(public()))
PUBLIC["hdseg_gpu.accelerate"] = type(hdseg_gpu.accelerate).__call__  # of the module
NAMES = [name for name, found in PUBLIC.items() if not isinstance(found, ModuleType)]
CLASSES = [name for name in NAMES if inspect.isclass(PUBLIC[name])]


def test_only_the_metrics_are_a_module():
    assert PUBLIC.keys() - set(NAMES) == {"hdseg_gpu.metrics"}


def test_classes_without_an_exported_name_are_found():
    assert {name.rpartition(".")[2] for name in CLASSES} >= {
        "ImageSource",
        "Output",
        "TileProgress",
    }


@pytest.mark.parametrize("name", NAMES)
def test_examples_are_true(name):
    text = inspect.getdoc(PUBLIC[name])
    assert "\nExamples\n--------\n>>> " in text, name
    test = doctest.DocTestParser().get_doctest(text, {}, name, None, None)
    assert test.examples
    printed = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    assert runner.run(test, out=printed.append).failed == 0, "".join(printed)


@pytest.mark.parametrize("name", CLASSES)
def test_every_field_is_described(name):
    described = set()
    for one in PUBLIC[name].__mro__:
        text = re.sub(r"(?m)^ +.*\n", "", inspect.cleandoc(one.__doc__ or ""))
        for section in re.findall(r"(?s)(?:Attributes|Parameters)\n-+\n(.+?)(?:\n\n|$)", text):
            for line in section.splitlines():
                described |= set(line.partition(" : ")[0].split(", "))
    ours = [one for one in PUBLIC[name].__mro__ if one.__module__.startswith("hdseg_gpu.")]
    fields = {each for one in ours for each in inspect.get_annotations(one) if each[0] != "_"}
    assert fields - described == set()
