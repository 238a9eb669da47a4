"""Files that are damaged on purpose, and calls at random: what the package makes of them."""

import sys
from pathlib import Path

# The package that is tried is the installed one, never the sources beside this folder, which
# `python -m fuzz` would put first.
if not sys.flags.safe_path and Path(sys.path[0]).resolve() == Path(__file__).resolve().parents[1]:
    del sys.path[0]
