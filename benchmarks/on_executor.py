"""``python -P benchmarks/on_executor.py -m MODULE ...``: run code for a card without one.

In this process backend="cuda" is the tests' executor, which runs the unchanged kernels on the CPU,
and `import cupy` finds a stand-in (stand_in.py). ``-c CODE`` and ``FILE`` work as in Python. Times
are meaningless: the purpose is to find wrong names and arguments.
"""

import runpy
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Last, so that an installed package comes before the source folder.
sys.path += [str(ROOT), str(ROOT / "tests")]


def main() -> None:
    """Run the module, code or file given on the command line."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    from benchmarks import stand_in

    stand_in.install()
    kind, *rest = sys.argv[1:]
    if kind == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        sys.argv = ["-c", *rest[1:]]
        exec(compile(rest[0], "<command>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = [kind, *rest]
        runpy.run_path(kind, run_name="__main__")


if __name__ == "__main__":
    main()
