"""``import hdseg_gpu`` is cheap, and optional libraries stay unloaded until they are needed."""

import subprocess
import sys

import pytest

import hdseg_gpu

HEAVY = ["cupy", "torch", "dask", "pyamg", "zarr", "scipy", "typer", "rich", "PIL", "tifffile"]


def loaded_after(code):
    program = f"{code}\nimport sys; print([m for m in {HEAVY} if m in sys.modules])"
    # -P: the package that is installed, not the source folder tests may be started in
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_import_loads_nothing_heavy():
    assert loaded_after("import hdseg_gpu; hdseg_gpu.__version__, dir(hdseg_gpu)") == "[]"


def test_cpu_work_loads_no_optional_library():
    code = "import hdseg_gpu, numpy\nhdseg_gpu.seeds(numpy.eye(20, dtype=bool), passes=1)"
    assert loaded_after(code) == "[]"


def test_public_names_exist_and_are_documented():
    assert set(hdseg_gpu.__all__) <= set(dir(hdseg_gpu))
    for name in hdseg_gpu.__all__:
        assert getattr(hdseg_gpu, name).__doc__, name


def test_unknown_name():
    with pytest.raises(AttributeError, match="nonsense"):
        _ = hdseg_gpu.nonsense


def test_without_the_compiled_module(monkeypatch):
    from hdseg_gpu import BackendUnavailable, available_backends, backends

    monkeypatch.setitem(sys.modules, "hdseg_gpu.backends.cpu._cpu_baseline", None)
    assert available_backends() == ("reference",)
    assert backends.select("auto").name == "reference"
    with pytest.raises(BackendUnavailable, match="pip install"):
        backends.select("cpu")  # an explicit name is never replaced
