"""The examples in docstrings of all public names run and print what they show."""

import doctest
import inspect
from types import ModuleType

import pytest

import hdseg_gpu

PUBLIC = {n: getattr(hdseg_gpu, n) for n in hdseg_gpu.__all__} | {
    f"metrics.{n}": getattr(hdseg_gpu.metrics, n) for n in hdseg_gpu.metrics.__all__
}
PUBLIC["accelerate"] = type(hdseg_gpu.accelerate).__call__  # of the module
NAMES = [name for name, found in PUBLIC.items() if not isinstance(found, ModuleType)]


def test_only_the_metrics_are_a_module():
    assert PUBLIC.keys() - set(NAMES) == {"metrics"}


@pytest.mark.parametrize("name", NAMES)
def test_examples_are_true(name):
    text = inspect.getdoc(PUBLIC[name])
    assert "\nExamples\n--------\n>>> " in text, name
    test = doctest.DocTestParser().get_doctest(text, {}, name, None, None)
    assert test.examples
    said = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    assert runner.run(test, out=said.append).failed == 0, "".join(said)
