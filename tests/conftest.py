"""Fixtures shared by all tests."""

import os

# Busy-waiting BLAS threads would compete for the cores with OpenMP and with other workers.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

from pathlib import Path

import gpu
import numpy as np
import pytest
from executor import ExecutorDevice
from executor.through import ThroughDevice
from hypothesis import settings

from hdseg_gpu import backends
from hdseg_gpu.backends.cpu import CpuOps, isa
from hdseg_gpu.backends.cuda import CudaOps

settings.register_profile("suite", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("suite")


@pytest.fixture(scope="session")
def reference():
    return backends.load("reference")


def pytest_generate_tests(metafunc):
    """Give `ops` its parameters; "gpu" is among them only where it can run and was asked for."""
    if "ops" in metafunc.fixturenames:
        found = [*isa.NAMES, "cuda"]
        if gpu.asked_for(metafunc.config) and gpu.reason_against() is None:
            found.append(pytest.param("gpu", marks=pytest.mark.gpu))
        metafunc.parametrize("ops", found, indirect=True, scope="session")


@pytest.fixture(scope="session")
def ops(request):
    """Each instruction set of `cpu`, and `cuda` on the executor: to agree with the reference.

    With ``pytest -m gpu`` on a machine with a CUDA device it is `cuda` on that device.
    """
    if request.param == "gpu":
        return ThroughDevice(backends.load("cuda"))
    if request.param == "cuda":
        return ThroughDevice(CudaOps(ExecutorDevice()))
    if request.param not in isa.supported():
        pytest.skip(f"this processor has no {request.param}")
    return CpuOps(request.param)


@pytest.fixture(scope="session")
def data():
    """Folder of real images, or skip."""
    folder = Path(os.environ.get("HDSEG_DATA", "../shared/data"))
    if not (folder / "dev").is_dir():
        pytest.skip(f"no real images at HDSEG_DATA={folder}")
    return folder


@pytest.fixture
def rng():
    return np.random.default_rng(20221)
