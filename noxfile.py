"""Development tasks: ``nox -l`` lists them. They call the same tools as .ci/run."""

import os
import platform
import subprocess
from pathlib import Path

import nox

nox.options.sessions = ["tests", "lint"]
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}
# The tests of the kernels and of the code that calls them.
KERNEL_TESTS = [
    f"tests/{name}.py"
    for name in (
        *("api/test_any_argument", "api/test_bad_input", "api/test_default_method"),
        *("api/test_published", "api/test_refine", "core/test_tiles", "files/test_refine_file"),
        *("pipeline/test_ignore_index", "solvers/test_solvers"),
        *(f"ops/test_{name}" for name in ("band", "cells", "evidence", "levels", "majority")),
        *(f"ops/test_{name}" for name in ("odd_arrays", "ops", "prune", "thinning", "windows")),
    )
]


@nox.session(python=["3.11", "3.12"])
def tests(session: nox.Session) -> None:
    """Run the tests against a fresh install."""
    session.install("-c", "constraints-cpu.txt", ".[test]")
    session.run("pytest", *session.posargs, env=ENVIRONMENT)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types and the C++ format."""
    session.install(".[lint]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    # Code that only runs on a machine with a GPU: check its names and arguments.
    session.run("mypy", "tests/backends/test_gpu.py", "tests/backends/test_gpu_arrays.py")
    session.run(
        "bash", "-c", "find kernels -name '*.h' -o -name '*.cpp' -o -name '*.cu' | "
        "xargs clang-format --dry-run --Werror", external=True,
    )  # fmt: skip


@nox.session
def sanitize(session: nox.Session) -> None:
    """Run the tests of all kernels, C++ and CUDA (on the CPU), under ASan and UBSan."""
    built = "cmake.define.HDSEG_SANITIZE=address,undefined"
    session.install("-c", "constraints-cpu.txt", "-C", built, ".[test,cuda-check]")
    watched = {
        "HDSEG_SANITIZE": "1",  # for the CUDA kernels
        "LD_PRELOAD": " ".join(found("g++", f"lib{name}.so") for name in ("asan", "ubsan")),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python itself leaks
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    suites = session.posargs or KERNEL_TESTS + sorted(
        map(str, Path("tests/backends").glob("test_cuda_*.py"))
    )
    session.run("pytest", "-n", "0", "--timeout", "0", *suites, env=ENVIRONMENT | watched)


@nox.session
def races(session: nox.Session) -> None:
    """Run the tests of the C++ kernels under ThreadSanitizer; needs clang++ and its libomp.

    CLANGXX names the compiler, such as clang++-19.
    """
    compiler = os.environ.get("CLANGXX", "clang++")
    archer = Path(found(compiler, "libomp.so")).with_name("libarcher.so")
    if not archer.exists():
        session.error(f"{compiler} has no libarcher.so, which reports OpenMP synchronisation.")
    built = "cmake.define.HDSEG_SANITIZE=thread"
    session.install("-c", "constraints-cpu.txt", "-C", built, ".[test]", env={"CXX": compiler})
    watched = {
        "LD_PRELOAD": found(compiler, f"libclang_rt.tsan-{platform.machine()}.so"),
        "LD_LIBRARY_PATH": str(archer.parent),
        "OMP_TOOL_LIBRARIES": str(archer),
        "OMP_NUM_THREADS": "4",
        # It cannot see the synchronisation of uninstrumented code such as NumPy.
        "TSAN_OPTIONS": "ignore_noninstrumented_modules=1 exitcode=66",
    }
    suites = session.posargs or KERNEL_TESTS
    # -s: reports go to the standard error, which pytest would capture.
    session.run(
        "pytest", "-s", "-n", "0", "--timeout", "0", "-k", "not cuda", *suites,
        env=ENVIRONMENT | watched,
    )  # fmt: skip


def found(compiler: str, library: str) -> str:
    """Return the path of a compiler's library."""
    asked = [compiler, f"-print-file-name={library}"]
    place = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    return str(Path(place).resolve())


@nox.session
def fuzz(session: nox.Session) -> None:
    """Fuzz with damaged files and random calls for two minutes, or by options (fuzz/README.md)."""
    session.install("-c", "constraints-cpu.txt", "-e", ".[test]")
    session.run("python", "-m", "fuzz", *(session.posargs or ["--seconds", "120"]))


@nox.session
def mutation(session: nox.Session) -> None:
    """Plant faults in the driver, one by one, and report those that no test notices."""
    session.install("-c", "constraints-cpu.txt", ".[test]")
    session.run("python", "-P", "tests/mutations.py", *session.posargs, env=ENVIRONMENT)


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Run all suites of benchmarks/, or the named ones, and print the report (see its README)."""
    session.install("-e", ".[bench]")
    suites = session.posargs or ["benchmarks"]
    results = f"{session.create_tmp()}/results.json"
    session.run("pytest", *suites, "-n", "0", f"--benchmark-json={results}", env=ENVIRONMENT)
    session.run("python", "-m", "benchmarks.report", results)


@nox.session
def accuracy(session: nox.Session) -> None:
    """Measure the accuracy of our and other methods; options as in benchmarks/README.md."""
    session.install("-e", ".[bench]")
    session.run("python", "-m", "benchmarks.accuracy", *session.posargs, env=ENVIRONMENT)


@nox.session
def gpu(session: nox.Session) -> None:
    """Test and benchmark the backend cuda on this machine's GPU; calls as in docs/gpu.md."""
    session.install("-e", ".[test,bench,cuda13]")
    session.run("benchmarks/gpu_proof.sh", "--no-install", *session.posargs, external=True)


@nox.session
def gpu_dry(session: nox.Session) -> None:
    """Run the same steps on the tests' executor, without a GPU: two minutes."""
    session.install("-c", "constraints-cpu.txt", ".[test]")
    into = f"{session.create_tmp()}/gpu-proof"
    session.run("benchmarks/gpu_proof.sh", "--dry-run", "--into", into, external=True)
