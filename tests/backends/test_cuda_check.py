"""Compiling the CUDA kernels without a GPU."""

import ast
import importlib.util
import inspect
import os
import re
import shutil
from pathlib import Path

import made_up_cuda
import numpy as np
import pytest
from compile_cuda import ARCHITECTURES, by_nvrtc, doubles, resources
from executor import arrays, build, sparse

from hdseg_gpu.backends.cuda import source as cuda_source

FILES = cuda_source.names()
# Allowed spills to memory, in bytes of stores and loads; none without a reason given here.
SPILLS = {}
# float64 by contract, whatever the types.
DOUBLES = re.compile(
    r"(laplacian|place_black_f64|rows_submatrix|stencil_submatrix"  # results in float64
    r"|find_conjugate|conjugate|advance"  # sums and steps of the iteration
    r"|(stencil|sparse)_(look_ahead|residual|refresh|doubtful|factor|bound)"
    r"|(stencil|rows)_inverse|multiply|small_cycle"  # the inverse of the coarsest matrix
    r"|assemble_f(32|64)"  # features that are floats of any magnitude
    r"|float_(sums|squares)_f(32|64)|channel_sums|cell_moments"  # offsets cancel before rounding
    r"|smooth|gaussians_\d+"  # differences of moments
    r"|boundary_detail|upsample_(linear|cubic|classes)|sample_planes"  # weights of samples
    r"|class_evidence"
    r"|nearest_others_in_rows"  # the root of an integer
    r"|(stack_extremes|normalise|softmax)_f64"  # coarse maps in float64
    r")(_(u8|u16|u32|f32|f64|1|3|any))*"
)


def test_there_are_files():
    assert len(FILES) > 5
    for file in FILES:
        assert build.kernel_names(file), file


@pytest.mark.parametrize("file", FILES)
def test_source_is_one_text(file):
    source = cuda_source.source(file)
    assert '#include "' not in source
    lines = re.findall(r'^#line (\d+) "([^"]+)"$', source, re.M)
    assert ("1", f"cuda/{file}") in lines
    # Each line of a file is where #line says it is.
    number, path, checked = 0, "", 0
    for line in source.splitlines():
        place = re.fullmatch(r'#line (\d+) "([^"]+)"', line)
        if place:
            number, path = int(place[1]), place[2]
            continue
        text = (build.KERNELS / path).read_text().splitlines()[number - 1]
        assert line in (text, "" if text == "#pragma once" else text), (path, number)
        number, checked = number + 1, checked + 1
    assert checked > 50
    for header in (path for _, path in lines if path.endswith(".h")):
        # Included twice, it would define its functions twice.
        assert lines.count(("1", header)) == 1


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("file", FILES)
def test_compiles(file, architecture):
    pytest.importorskip("cupy", reason="needs hdseg_gpu[cuda-check]")
    assert len(by_nvrtc(file, architecture)) > 1000


@pytest.mark.parametrize("file", FILES)
def test_computes_in_float32(file):
    pytest.importorskip("cupy", reason="needs hdseg_gpu[cuda-check]")
    ptx = by_nvrtc(file, "compute_90")
    assert set(re.findall(r"\.visible \.entry (\w+)", ptx)) == set(build.kernel_names(file))
    allowed = {kernel for kernel in build.kernel_names(file) if DOUBLES.fullmatch(kernel)}
    assert doubles(ptx) == allowed


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="needs nvcc")
@pytest.mark.parametrize("file", FILES)
def test_registers_are_not_spilled(file):
    for kernel, (registers, spilled, _) in resources(file).items():
        assert spilled <= SPILLS.get(kernel, 0), (kernel, registers, spilled)


def test_errors_name_the_file_and_the_line(monkeypatch):
    pytest.importorskip("cupy", reason="needs hdseg_gpu[cuda-check]")
    broken = cuda_source.source("runs.cu").replace("int64_t low = 0", "int64_t low = nonsense")
    monkeypatch.setattr(cuda_source, "source", lambda file: broken)
    text = (build.KERNELS / "cuda" / "runs.h").read_text().splitlines()
    line = 1 + next(i for i, row in enumerate(text) if "int64_t low = 0" in row)
    with pytest.raises(SyntaxError, match=rf"cuda/runs\.h\({line}\)"):
        by_nvrtc("runs.cu", "sm_90")


def test_the_executor_knows_nothing_that_cupy_does_not():
    cupy = pytest.importorskip("cupy", reason="needs hdseg_gpu[cuda-check]")
    for name in (*arrays.FUNCTIONS, *arrays.CONSTANTS, "asnumpy", "from_dlpack"):
        assert hasattr(cupy, name), name
    for name, member in vars(arrays.DeviceArray).items():
        if name.startswith("_") or name == "values":
            continue
        theirs = getattr(cupy.ndarray, name)
        if not inspect.isfunction(member):
            continue
        known = re.search(r"\((.*?)\)", (theirs.__doc__ or "").splitlines()[0])
        wanted = set(inspect.signature(member).parameters) - {"self"}
        if known:
            assert wanted <= set(re.findall(r"(\w+)(?=[,=)]|$)", known[1])), (name, known[0])


ROOT = Path(__file__).parents[2]
# The files that call CuPy itself, some of them only on machines with a GPU.
THEIRS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("hdseg_gpu/**/*.py", "tests/*/test_gpu*.py", "benchmarks/gpu*.py")
    for path in ROOT.glob(pattern)
    if re.search(r"\b(cupy|xp)\b", path.read_text())
)


def missing_names(text):
    """Yield the lines and names of CuPy in a program that CuPy does not have.

    A name after `xp` is one of CuPy's, if also one of NumPy's; so are those of what was imported
    from CuPy, and of a name that stands for a part of it. Of results nothing is known.
    """
    tree, known, nothing = ast.parse(text), {}, object()

    def meaning(node):
        """Return what an expression stands for in CuPy, or nothing that is known."""
        if isinstance(node, ast.Name):
            return (
                importlib.import_module("cupy") if node.id == "xp" else known.get(node.id, nothing)
            )
        if not isinstance(node, ast.Attribute):
            return nothing
        if node.attr == "xp":
            return importlib.import_module("cupy")
        owner = meaning(node.value)
        if owner is nothing or not (inspect.ismodule(owner) or inspect.isclass(owner)):
            return nothing
        return getattr(owner, node.attr, None)

    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            known |= {
                a.name: importlib.import_module(a.name) for a in node.names if a.name == "cupy"
            }
        elif isinstance(node, ast.ImportFrom) and re.match(r"cupy\b", node.module or ""):
            module = importlib.import_module(node.module)
            known |= {a.asname or a.name: getattr(module, a.name, None) for a in node.names}
            yield from ((node.lineno, a.name) for a in node.names if not hasattr(module, a.name))
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found = meaning(node.value)
            if inspect.ismodule(found) and found.__name__ != "cupy":
                known[node.targets[0].id] = found
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and meaning(node) is None:
            yield node.lineno, ast.unparse(node)


@pytest.mark.parametrize("file", THEIRS)
def test_cupy_has_what_is_asked_of_it(file):
    pytest.importorskip("cupy", reason="needs hdseg_gpu[cuda-check]")
    assert list(missing_names((ROOT / file).read_text())) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("self.xp.nanny(3)", "self.xp.nanny"),
        ("import cupy\ncupy.cuda.Streem()", "cupy.cuda.Streem"),
        ("from cupy.cuda import Pinned", "Pinned"),
        ("cuda = run.xp.cuda\ncuda.Evento()", "cuda.Evento"),
        ("from cupy.cuda import runtime\nruntime.freeHorse", "runtime.freeHorse"),
        ("ops.xp.ndarray.got", "ops.xp.ndarray.got"),
        ("xp.zeros(3).anything; cuda.jit; self.xp.cuda.Stream().anything", None),
    ],
)
def test_missing_names_are_seen(text, found):
    pytest.importorskip("cupy", reason="needs hdseg_gpu[cuda-check]")
    assert [name for _, name in missing_names(text)] == ([] if found is None else [found])


def test_the_cuda_that_is_made_up_has_nothing_that_cupys_has_not(monkeypatch):
    cupy = pytest.importorskip("cupy", reason="needs hdseg_gpu[cuda-check]")
    from cupy import cuda

    made_up, _ = made_up_cuda.cuda(monkeypatch, card=made_up_cuda.Card(0))
    for ours, theirs in (
        (made_up.cuda, cuda),
        (made_up.cuda.runtime, cuda.runtime),
        (made_up.cuda.memory, cuda.memory),
        (made_up_cuda.Pool, cuda.MemoryPool),
        (made_up_cuda.Event, cuda.Event),
    ):
        for name in vars(ours):
            if not name.startswith("_") and (ours, name) != (made_up_cuda.Pool, "free"):
                assert hasattr(theirs, name), (theirs, name)
    for name in ("wait_event", "synchronize"):
        assert hasattr(cuda.Stream, name)
    assert {"out", "blocking"} <= set(re.findall(r"\w+", cupy.ndarray.get.__doc__))
    assert "stream" in cupy.ndarray.set.__doc__


def test_the_executors_cg_takes_what_cupys_takes():
    cupyx = importlib.util.find_spec("cupyx")
    if cupyx is None:
        pytest.skip("needs hdseg_gpu[cuda-check]")
    # Without the libraries of CUDA it cannot be imported, but read.
    path = Path(cupyx.origin).parent / "scipy" / "sparse" / "linalg" / "_iterative.py"
    functions = [f for f in ast.parse(path.read_text()).body if isinstance(f, ast.FunctionDef)]
    theirs = next(f.args for f in functions if f.name == "cg")
    ours = inspect.signature(sparse.cg).parameters.values()
    assert [a.arg for a in theirs.args] == [p.name for p in ours if p.kind != p.KEYWORD_ONLY]
    assert {a.arg for a in theirs.kwonlyargs} == {p.name for p in ours if p.kind == p.KEYWORD_ONLY}


def test_the_executor_is_as_strict_as_cupy():
    here, there = np.arange(3), arrays.namespace.arange(3)
    for mix in (
        lambda: there + here,
        lambda: here + there,
        lambda: np.sum(there),
        lambda: np.asarray(there),
        lambda: there[here],
        lambda: arrays.namespace.concatenate([here, there]),
        lambda: there.__setitem__(0, here[:1]),
    ):
        with pytest.raises(TypeError):
            mix()
    with pytest.raises(AttributeError, match="nanmax"):
        _ = arrays.namespace.nanmax
    assert isinstance(there + 1, arrays.DeviceArray)
    assert isinstance(np.abs(there), arrays.DeviceArray)
    np.testing.assert_array_equal(arrays.namespace.asarray(here).get(), here)


def test_a_missing_barrier_is_seen(tmp_path, monkeypatch):
    """The three orders of the threads are there to find what one order hides."""
    from executor import ORDERS, ExecutorDevice

    folder = tmp_path / "kernels"
    shutil.copytree(build.KERNELS, folder)
    kernel = """
#include "cuda/launch.h"
extern "C" __global__ void reversed(const int32_t* from, int32_t* to) {
  __shared__ int32_t row[64];
  row[threadIdx.x] = from[threadIdx.x];
  %s
  to[threadIdx.x] = row[blockDim.x - 1 - threadIdx.x];
}
"""
    monkeypatch.setattr(build, "KERNELS", folder)
    values = np.arange(1, 65, dtype=np.int32)
    for barrier in ("__syncthreads();", ""):
        build.library.cache_clear()
        (folder / "cuda" / "test.cu").write_text(kernel % barrier)
        found = set()
        for order in ORDERS:
            device = ExecutorDevice(order)
            to = device.xp.empty(64, np.int32)
            device.launch("test.cu", "reversed", (1,), (64,), (device.xp.asarray(values), to))
            found.add(bool((to.get() == values[::-1]).all()))
        assert found == {True} if barrier else False in found
    build.library.cache_clear()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda s, n, d: (s, 3, 4, n),  # too few
        lambda s, n, d: (n, 3, 4, s, d),  # another order
        lambda s, n, d: (s, np.int32(3), 4, n, d),  # narrower
        lambda s, n, d: (s.values, 3, 4, n, d),  # in host memory
        lambda s, n, d: (s[:, ::2], 3, 4, n, d),  # not contiguous
    ],
)
def test_the_executor_checks_arguments(wrong):
    from executor import ExecutorDevice

    device = ExecutorDevice()
    seeds = device.xp.zeros((3, 4), np.uint8)
    found, done = device.xp.zeros(9, np.int32), device.xp.zeros(1, np.int64)
    device.launch("runs.cu", "count_runs_u8", (1,), (96,), (seeds, 3, 4, found, done))
    with pytest.raises(AssertionError):
        device.launch("runs.cu", "count_runs_u8", (1,), (96,), wrong(seeds, found, done))


@pytest.mark.skipif(os.environ.get("HDSEG_SANITIZE") is None, reason="needs HDSEG_SANITIZE=1")
def test_the_sanitizers_are_on():
    assert any("address" in flag for flag in build.flags())


def test_one_kernels_types_alone():
    """What is compiled for a kernel has it, and no others of its macros but with its types."""
    one = cuda_source.source("evidence.cu", "class_evidence_u8_u8")
    assert "\nHDSEG_EVIDENCE_KERNEL(uint8_t, u8, uint8_t, u8)\n" in one
    assert "u16)\n" not in one
    assert "HDSEG_LABEL_KERNELS(uint8_t, u8)" in one
    assert cuda_source.source("evidence.cu", "add_evidence_u8") == one
    both = cuda_source.source("edges.cu", "assemble_f32_u16")
    assert "HDSEG_ASSEMBLE(float, f32, uint16_t, u16)" in both
    assert "u8)\n" not in both
    for file in FILES:
        for kernel in build.kernel_names(file):
            source = cuda_source.source(file, kernel)
            assert source.count("\n") == cuda_source.source(file).count("\n")
            assert len(source) <= len(cuda_source.source(file))


@pytest.mark.parametrize(
    "kernel",
    ["evidence.cu class_evidence_f32_u16", "moments.cu cell_moments_u8_any", "cells.cu confidence",
     "colours.cu gaussians_16", "planes.cu open_planes", "thinning.cu thin_cells"],
)  # fmt: skip
def test_one_kernel_compiles(kernel, monkeypatch):
    pytest.importorskip("cupy", reason="needs hdseg_gpu[cuda-check]")
    file, name = kernel.split()
    text = cuda_source.source(file, name)
    monkeypatch.setattr(cuda_source, "source", lambda _: text)
    ptx = by_nvrtc(file, "compute_90")
    assert f".visible .entry {name}(" in ptx


@pytest.mark.parametrize(
    ("module", "name", "file", "constant"),
    [
        ("band", "_CHUNK", "runs.cu", "kChunk"),
        ("band", "_HEAD", "components.cu", "kHead"),
        ("kernels", "PIECE", "positions.h", "kPiece"),
        ("evidence", "_SQUARE", "nearby.cu", "kSquare"),
        ("evidence", "_BOXES", "nearby.cu", "kBoxes"),
        ("evidence", "_MOST_NEAR", "nearby.cu", "kMostNear"),
        ("kernels", "SCANNED", "scan.h", "kScanned"),
        ("layout", "PADDING", "columns.h", "kPadding"),
        ("vectors", "_TOGETHER", "level.cu", "kTogether"),
        ("masks", "_TOGETHER", "planes.cu", "kTogether"),
        ("masks", "_HALO", "tile.h", "kHalo"),
        ("upsampling", "_ROWS", "upsampling.cu", "kRows"),
        ("upsampling", "_COLUMNS", "upsampling.cu", "kColumns"),
    ],
)
def test_constants_are_the_same_in_both_languages(module, name, file, constant):
    text = (build.KERNELS / "cuda" / file).read_text()
    value = getattr(importlib.import_module(f"hdseg_gpu.backends.cuda.{module}"), name)
    assert re.search(rf"constexpr \w+ {constant} = {value};", text), (file, constant, value)
