"""Fuzzing with damaged files, random calls and damaged run folders."""

import sys
from pathlib import Path

# The installed package is tested, never the sources beside this folder, which `python -m fuzz`
# would put first.
if not sys.flags.safe_path and Path(sys.path[0]).resolve() == Path(__file__).resolve().parents[1]:
    del sys.path[0]
