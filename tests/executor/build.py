"""Compiles the .cu files for the CPU, each once for all test processes."""

import ctypes
import hashlib
import os
import re
import subprocess
import tempfile
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
KERNELS = HERE.parents[1] / "kernels"
# As for the CUDA compilers: no contraction to fused multiply-adds. Kernels that nobody
# launches are unused here. Their names are the file's own: libc, too, has a function `advance`.
FLAGS = ["-std=c++17", "-O1", "-fPIC", "-shared", "-ffp-contract=off", "-Wall", "-Wextra",
         "-Wno-unused-function", "-Wno-unknown-pragmas", "-Werror", "-Wl,-Bsymbolic"]  # fmt: skip
# GCC cannot follow initialisations through the checks that it adds.
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g",
              "-Wno-maybe-uninitialized"]  # fmt: skip


def flags():
    """Return the compiler's flags; HDSEG_SANITIZE=1 looks for bad memory accesses, too."""
    return FLAGS + (SANITIZERS if os.environ.get("HDSEG_SANITIZE") else [])


@cache
def kernel_names(file):
    """Return the kernels of a file, those made by macros, too."""
    command = ["g++", "-std=c++17", "-E", "-P", f"-I{KERNELS}", "-D__global__=a_kernel",
               "-D__launch_bounds__(...)="]  # fmt: skip
    text = subprocess.run(
        [*command, "-x", "c++", str(KERNELS / "cuda" / file)],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return re.findall(r'extern\s+"C"\s+a_kernel\s+void\s+(\w+)\s*\(', text)


def _program(file):
    names = kernel_names(file)
    table = "\n".join(f'      {{"{name}", kernel_of(&{name})}},' for name in names)
    return f"""
#include "shim.h"
#include "cuda/{file}"
#include <map>
namespace executor {{
const std::map<std::string, Kernel>& kernels() {{
  static const std::map<std::string, Kernel> all = {{
{table}
  }};
  return all;
}}
}}
extern "C" const char* executor_arguments(const char* kernel) {{
  const auto found = executor::kernels().find(kernel);
  return found == executor::kernels().end() ? nullptr : found->second.arguments.c_str();
}}
extern "C" void executor_launch(const char* kernel, const unsigned* grid, const unsigned* block,
                                size_t shared, void** arguments, int32_t order, unsigned seed) {{
  const executor::Kernel& found = executor::kernels().at(kernel);
  executor::launch({{grid[0], grid[1], grid[2]}}, {{block[0], block[1], block[2]}}, shared,
                   [&] {{ found.call(arguments); }}, static_cast<executor::Order>(order), seed);
}}
"""


def _digest():
    """Return what changes with any file that is compiled."""
    digest = hashlib.sha256(" ".join(flags()).encode())
    for path in sorted([*KERNELS.glob("common/*"), *KERNELS.glob("cuda/*"), *HERE.iterdir()]):
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def library(file):
    """Return the compiled file as a ctypes library."""
    folder = Path(tempfile.gettempdir()) / f"hdseg_executor_{os.getuid()}_{_digest()}"
    folder.mkdir(exist_ok=True)
    built = folder / f"{file}.so"
    if not built.exists():
        # Test processes may build at the same time: the last one to finish wins.
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            source = Path(scratch) / f"{file}.cpp"
            source.write_text(_program(file))
            fresh = Path(scratch) / built.name
            done = subprocess.run(
                ["g++", *flags(), f"-I{HERE}", f"-I{KERNELS}", "-o", str(fresh), str(source)],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode:
                raise RuntimeError(f"cuda/{file} does not compile:\n{done.stderr[:4000]}")
            os.replace(fresh, built)
    found = ctypes.CDLL(str(built))
    found.executor_arguments.restype = ctypes.c_char_p
    found.executor_launch.restype = None
    return found
