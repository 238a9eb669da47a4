"""Compiles the kernels without a GPU: ``python -P tests/compile_cuda.py [file.cu ...]`` reports."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from hdseg_gpu.backends.cuda import source as cuda_source
from hdseg_gpu.backends.cuda.cupy_device import OPTIONS

ARCHITECTURES = ("sm_80", "sm_90", "sm_100")


def by_nvrtc(file, architecture):
    """Return what CuPy's compiler makes of a file, or SyntaxError with the compiler's words.

    That is machine code for "sm_90", and text, PTX, for "compute_90".
    """
    from cupy.cuda import nvrtc

    program = nvrtc.createProgram(cuda_source.source(file), file, (), ())
    try:
        options = (f"--gpu-architecture={architecture}", "-ftz=true", *OPTIONS)
        nvrtc.compileProgram(program, options)
        if architecture.startswith("sm"):
            return nvrtc.getCUBIN(program)
        ptx = nvrtc.getPTX(program)
        return ptx.decode() if isinstance(ptx, bytes) else ptx
    except nvrtc.NVRTCError:
        raise SyntaxError(nvrtc.getProgramLog(program)) from None
    finally:
        nvrtc.destroyProgram(program)


def doubles(ptx):
    """Return the kernels that compute in float64, in PTX."""
    found = set()
    for kernel in re.split(r"\.visible \.entry ", ptx)[1:]:
        if ".f64" in kernel:
            found.add(re.match(r"\w+", kernel)[0])
    return found


def resources(file, architecture="sm_90"):
    """Return {kernel: (registers, bytes spilled, bytes of stack)} by nvcc."""
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / file
        source.write_text(cuda_source.source(file))
        done = subprocess.run(
            ["nvcc", *OPTIONS, f"-arch={architecture}", "-cubin", "-Xptxas", "-v",
             "-o", f"{scratch}/out.cubin", str(source)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
    found = {}
    for part in done.stderr.split("Compiling entry function ")[1:]:
        name = re.match(r"'(\w+)'", part)[1]
        stack, stores, loads = map(int, re.search(
            r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", part
        ).groups())  # fmt: skip
        found[name] = int(re.search(r"Used (\d+) registers", part)[1]), stores + loads, stack
    return found


if __name__ == "__main__":
    for name in sys.argv[1:] or cuda_source.names():
        for target in ARCHITECTURES:
            print(f"{name} {target}: {len(by_nvrtc(name, target))} bytes")
        print(f"  float64 in {sorted(doubles(by_nvrtc(name, 'compute_90')))}")
        for kernel, (registers, spilled, stack) in sorted(resources(name).items()):
            print(f"  {kernel}: {registers} registers, {spilled} bytes spilled, {stack} of stack")
