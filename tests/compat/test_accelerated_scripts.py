"""python -m hdseg_gpu.accelerate, and modules that are imported after acceleration began."""

import subprocess
import sys

import pytest

pytest.importorskip("skimage")


def test_a_script(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom scipy.ndimage import binary_hit_or_miss\nimport numpy as np\n"
        "assert __name__ == '__main__' and sys.argv[1:] == ['a', '-b']\n"
        "binary_hit_or_miss(np.ones((200, 200)))\nraise SystemExit(3)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "hdseg_gpu.accelerate", script, "a", "-b"],
        capture_output=True, text=True, check=False, cwd=tmp_path,  # where no package lies
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "hdseg_gpu.accelerate: scipy.ndimage.binary_hit_or_miss: 1 taken" in done.stderr


def script_of(tmp_path, text, *python):
    (tmp_path / "script.py").write_text(text)
    return subprocess.run(
        [sys.executable, *python, "script.py"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip


def test_a_script_imports_its_neighbours(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "script.py").write_text("import neighbour\n")
    (tmp_path / "folder" / "neighbour.py").write_text("print('here')\n")
    done = subprocess.run(
        [sys.executable, "-m", "hdseg_gpu.accelerate", "folder/script.py"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout == "here\n", done.stderr


@pytest.mark.parametrize("text", [
    "def f():\n    1 / 0\n\nf()\n",
    "x = (\n",
    "raise SystemExit('bye')\n",
    "try:\n    {}[1]\nexcept KeyError as e:\n    raise ValueError('chained') from e\n",
    "import threading\ndef f():\n    threading.main_thread().join()\n    print('after')\n"
    "threading.Thread(target=f).start()\n",
    "import pickle\nclass C: pass\nprint(pickle.loads(pickle.dumps(C)) is C, __file__, __name__)\n",
])  # fmt: skip
def test_scripts_say_and_return_what_they_do_in_plain_python(tmp_path, text):
    plain = script_of(tmp_path, text)
    ours = script_of(tmp_path, text, "-m", "hdseg_gpu.accelerate")
    assert (ours.returncode, ours.stdout) == (plain.returncode, plain.stdout)
    said, report = ours.stderr.rsplit("hdseg_gpu.accelerate: ", 1)
    assert said == plain.stderr
    assert report == "no call of a function that is accelerated\n"


def test_a_script_that_is_not_there(tmp_path):
    command = [sys.executable, "-m", "hdseg_gpu.accelerate"]
    done = subprocess.run(
        [*command, tmp_path / "none.py"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "none.py" in done.stderr


CUCIM = "def thin(image, max_num_iter=None):\n    return 'theirs'\n"
LATE = """
import sys
assert not {"skimage", "cupy", "scipy.ndimage"} & sys.modules.keys(), "imported unasked"
import cupy
from cucim.skimage.morphology import thin
assert hasattr(thin, "__wrapped__")
from scipy.ndimage import binary_hit_or_miss
import skimage
assert hasattr(skimage.segmentation.random_walker, "__wrapped__")
assert hasattr(binary_hit_or_miss, "__wrapped__")
import importlib.resources
assert importlib.resources.files("cucim.skimage.morphology")
assert not vars(sys.modules["cucim.skimage.morphology"].__loader__).get("exec_module")
thin([1])
"""


def test_modules_imported_within_are_replaced_too(tmp_path):
    (tmp_path / "cupy.py").write_text("class ndarray: pass\n")
    (tmp_path / "cucim/skimage/morphology").mkdir(parents=True)
    for folder in ("cucim", "cucim/skimage"):
        (tmp_path / folder / "__init__.py").write_text("")
    (tmp_path / "cucim/skimage/morphology/__init__.py").write_text(CUCIM)
    done = script_of(tmp_path, LATE, "-m", "hdseg_gpu.accelerate")
    assert done.returncode == 0, done.stderr
    assert "cucim.skimage.morphology.thin: 0 taken, 0 s; passed on: 1 x list" in done.stderr


def test_imports_in_other_threads_meet_no_deadlock(tmp_path):
    text = (
        "import threading, importlib, hdseg_gpu\n"
        "names = ['skimage.segmentation', 'skimage.morphology', 'scipy.ndimage'] * 3\n"
        "def bring(name): getattr(importlib.import_module(name), '__doc__')\n"
        "def use():\n    for _ in range(50):\n        with hdseg_gpu.accelerate(): pass\n"
        "work = [threading.Thread(target=bring, args=[n]) for n in names]\n"
        "work += [threading.Thread(target=use) for _ in range(3)]\n"
        "for t in work: t.start()\n"
        "for t in work: t.join(60)\n"
        "assert not any(t.is_alive() for t in work)\n"
        "from hdseg_gpu.compat import acceleration\n"
        "import skimage.segmentation, sys\n"
        "assert skimage.segmentation.random_walker not in acceleration._REPLACEMENTS.values()\n"
        "assert acceleration._WATCH not in sys.meta_path\n"
    )
    done = script_of(tmp_path, text)
    assert done.returncode == 0, done.stderr
