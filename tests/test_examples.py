"""The examples in docstrings of public functions run and print what they show."""

import doctest
import inspect

import pytest

import hdseg_gpu

FUNCTIONS = {n: getattr(hdseg_gpu, n) for n in hdseg_gpu.__all__} | {
    f"metrics.{n}": getattr(hdseg_gpu.metrics, n)
    for n in ("iou", "mean_boundary_accuracy", "per_class")
}
FUNCTIONS["accelerate"] = type(hdseg_gpu.accelerate).__call__  # of the module


@pytest.mark.parametrize(
    "name", [n for n, found in FUNCTIONS.items() if inspect.isfunction(found)] + ["accelerate"]
)
def test_examples_are_true(name):
    found = FUNCTIONS[name]
    text = inspect.getdoc(found if inspect.isfunction(found) else type(found).__call__)
    assert "\nExamples\n--------\n>>> " in text, name
    test = doctest.DocTestParser().get_doctest(text, {}, name, None, None)
    assert test.examples
    said = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    assert runner.run(test, out=said.append).failed == 0, "".join(said)
