"""The faults of faults.py can be planted, and the tests that shall notice them are there."""

from pathlib import Path

import pytest
from faults import FAULTS
from mutations import TESTS, source


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_not_stale(fault):
    assert source(fault).count(fault.text) == 1
    assert fault.instead != fault.text
    for test in fault.tests:
        suite, _, name = test.partition("::")
        room, _, file = suite.rpartition("/")
        text = (Path(TESTS) / room / f"test_{file}.py").read_text()
        assert f"def {name.partition('[')[0]}(" in text if name else text
