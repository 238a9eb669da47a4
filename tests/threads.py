"""Runs a script with several numbers of threads, to compare results."""

import os
import subprocess
import sys
from pathlib import Path


def printed(script, *threads):
    """Return what the script prints with each number of threads, in processes of their own."""
    # -P: the installed package, not the folder beside it.
    return [
        subprocess.run(
            [sys.executable, "-P", "-c", script],
            env={**os.environ, "OMP_NUM_THREADS": n, "PYTHONPATH": str(Path(__file__).parent)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for n in threads
    ]
