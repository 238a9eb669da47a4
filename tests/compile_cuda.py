"""Compiles the kernels without a GPU: ``python -P tests/compile_cuda.py [file.cu ...]`` reports."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from hdseg_gpu.backends import cuda_source
from hdseg_gpu.backends.cuda_device import OPTIONS

ARCHITECTURES = ("sm_80", "sm_90", "sm_100")


def by_nvrtc(file, architecture):
    """Return (cubin, PTX) as CuPy compiles a file; SyntaxError with the compiler's words if not."""
    from cupy.cuda import nvrtc

    source = cuda_source.source(file)
    found = []
    for kind, read in (("sm", nvrtc.getCUBIN), ("compute", nvrtc.getPTX)):
        program = nvrtc.createProgram(source, file, (), ())
        try:
            architecture = f"{kind}_{architecture.partition('_')[2]}"
            options = (f"--gpu-architecture={architecture}", "-ftz=true", *OPTIONS)
            nvrtc.compileProgram(program, options)
            found.append(read(program))
        except nvrtc.NVRTCError:
            raise SyntaxError(nvrtc.getProgramLog(program)) from None
        finally:
            nvrtc.destroyProgram(program)
    return found[0], found[1].decode() if isinstance(found[1], bytes) else found[1]


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
            cubin, ptx = by_nvrtc(name, target)
            print(f"{name} {target}: {len(cubin)} bytes, float64 in {sorted(doubles(ptx))}")
        for kernel, (registers, spilled, stack) in sorted(resources(name).items()):
            print(f"  {kernel}: {registers} registers, {spilled} bytes spilled, {stack} of stack")
