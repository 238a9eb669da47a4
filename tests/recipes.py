"""The recipes of CONTRIBUTING.md, for tests that follow them to the letter."""

import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import hdseg_gpu
from hdseg_gpu.backends.cpu import isa

PACKAGE = Path(hdseg_gpu.__file__).parent
TEXT = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text()

# An editable install takes precedence over folders; it must not in these processes.
_OF_FOLDER = """
import sys
sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in type(f).__module__.lower()]
import hdseg_gpu
assert hdseg_gpu.__file__.startswith({folder!r}), hdseg_gpu.__file__
"""


def code(name):
    """Return the code block of a recipe."""
    (found,) = re.findall(rf"^<!-- recipe: {name} -->\n```python\n(.*?)^```", TEXT, re.M | re.S)
    return found


class Copy:
    """A copy of the package in a folder, to be changed and run in processes of its own."""

    def __init__(self, folder):
        self.folder, self.package = folder, folder / "hdseg_gpu"
        shutil.copytree(PACKAGE, self.package, ignore=shutil.ignore_patterns("__pycache__"))
        for name in isa.NAMES:
            try:
                module = importlib.import_module(f"hdseg_gpu.backends.cpu._cpu_{name}")
            except ImportError:
                continue
            shutil.copy(module.__file__, self.package / "backends" / "cpu")

    def edit(self, path, change):
        """Change a file by a function of its text, which must change it."""
        file = self.package / path
        before = file.read_text()
        after = change(before)
        assert after != before, path
        file.write_text(after)

    def insert(self, path, block, before):
        """Insert a block before the only line that begins so."""
        line = re.compile(rf"^{re.escape(before)}", re.M)
        assert len(line.findall((self.package / path).read_text())) == 1
        self.edit(path, lambda text: line.sub(lambda found: block + found[0], text))

    def run(self, script):
        """Run a script with the copy; return what it printed."""
        path = os.pathsep.join([str(self.folder), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            [sys.executable, "-P", "-c", _OF_FOLDER.format(folder=str(self.folder)) + script],
            capture_output=True, text=True, check=False, cwd=self.folder,
            env=os.environ | {"PYTHONPATH": path, "COLUMNS": "200"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout
