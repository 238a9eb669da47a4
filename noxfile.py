"""Chores: ``nox -l`` lists them. They call the same tools as .ci/run."""

import subprocess
from pathlib import Path

import nox

nox.options.sessions = ["tests", "lint"]
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}


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
    session.run(
        "bash", "-c", "find kernels -name '*.h' -o -name '*.cpp' -o -name '*.cu' | "
        "xargs clang-format --dry-run --Werror", external=True,
    )  # fmt: skip


@nox.session
def sanitize(session: nox.Session) -> None:
    """Run the CUDA kernels on the processor under AddressSanitizer and UBSan."""
    session.install("-c", "constraints-cpu.txt", ".[test,cuda-check]")
    library = subprocess.run(
        ["g++", "-print-file-name=libasan.so"], check=True, capture_output=True, text=True
    ).stdout.strip()
    watched = {"HDSEG_SANITIZE": "1", "LD_PRELOAD": library, "ASAN_OPTIONS": "detect_leaks=0"}
    suites = session.posargs or sorted(map(str, Path("tests").glob("test_cuda_*.py")))
    session.run("pytest", "-n", "0", "--timeout", "0", *suites, env=ENVIRONMENT | watched)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Try damaged files and calls at random for two minutes, or as options say (fuzz/README.md)."""
    session.install("-c", "constraints-cpu.txt", "-e", ".[test]")
    session.run("python", "-m", "fuzz", *(session.posargs or ["--seconds", "120"]))


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Run the suites of benchmarks/, or those named, and print the report (see its README)."""
    session.install("-e", ".[bench]")
    suites = session.posargs or ["benchmarks"]
    results = f"{session.create_tmp()}/results.json"
    session.run("pytest", *suites, "-n", "0", f"--benchmark-json={results}", env=ENVIRONMENT)
    session.run("python", "-m", "benchmarks.report", results)


@nox.session
def accuracy(session: nox.Session) -> None:
    """Compare masks refined by us and by others with the truth; options as in its README."""
    session.install("-e", ".[bench]")
    session.run("python", "-m", "benchmarks.accuracy", *session.posargs, env=ENVIRONMENT)


@nox.session
def gpu(session: nox.Session) -> None:
    """Test and measure the backend cuda on this machine's GPU; options as in benchmarks/README."""
    session.install("-e", ".[test,bench,cuda13]")
    session.run("pytest", "-m", "gpu", "-n", "0", env=ENVIRONMENT)
    session.run("python", "-m", "benchmarks.gpu", *session.posargs)
