"""The tests of scikit-image and SciPy, with our functions in place of theirs."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

# The last wheel of scikit-image that ships its tests; of the functions, 0.26 has changed nothing.
WHEEL = "scikit-image==0.25.2"
HERE = Path(__file__).parent
FILES = {
    "random_walker": "skimage/segmentation/tests/test_random_walker.py",
    "thin": "skimage/morphology/tests/test_skeletonize.py",
}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """Fetch the wheel; skip without a network."""
    pytest.importorskip("skimage")
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
        "--python-version", "3.12", "--platform", "manylinux2014_x86_64", "--dest", folder, WHEEL,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = list(folder.glob("*.whl"))
    if not found:
        pytest.skip(f"{WHEEL} cannot be fetched: {done.stderr.strip().splitlines()[-1:]}")
    with zipfile.ZipFile(found[0]) as archive:
        archive.extractall(folder, [n for n in archive.namelist() if "/tests/" in n])
    return folder


def swapped(path, swap, folder, *options):
    """Run a file of tests with a function replaced; return pytest's exit status and output."""
    path_of = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-q", "-p", "swapped", "-p", "no:cacheprovider",
         "-c", os.devnull, "--rootdir", str(folder), str(path), *options],
        env=os.environ | {"PYTHONPATH": path_of, "SWAPPED": swap, "PYTEST_ADDOPTS": ""},
        capture_output=True, text=True, check=False, cwd=folder,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_random_walker(wheel, tmp_path):
    path = tmp_path / "test_random_walker.py"
    path.write_text((wheel / FILES["random_walker"]).read_text())
    swap = "skimage.segmentation:random_walker=hdseg_gpu:random_walker"
    status, output = swapped(path, swap, tmp_path)
    assert status == 0, output
    assert re.search(r"\b38 passed", output), output


def test_thin(wheel, tmp_path):
    path = tmp_path / "test_skeletonize.py"
    path.write_text((wheel / FILES["thin"]).read_text())
    swap = "skimage.morphology:thin=hdseg_gpu:thin"
    status, output = swapped(path, swap, tmp_path, "-k", "TestThin")
    assert status == 0, output
    assert re.search(r"\b[5-9] passed|\b1\d passed", output), output


def test_hit_or_miss(tmp_path):
    path = Path(pytest.importorskip("scipy.ndimage").__file__).parent / "tests/test_morphology.py"
    if not path.exists():
        pytest.skip("SciPy is installed without its tests")
    swap = "scipy.ndimage:binary_hit_or_miss=hdseg_gpu:hit_or_miss"
    status, output = swapped(path, swap, tmp_path, "-k", "hit_or_miss")
    assert status == 0, output
    assert re.search(r"\b\d\d+ passed", output), output


def test_a_wrong_function_is_noticed(wheel, tmp_path):
    path = tmp_path / "test_skeletonize.py"
    path.write_text((wheel / FILES["thin"]).read_text())
    swap = "skimage.morphology:thin=hdseg_gpu:seeds"
    assert swapped(path, swap, tmp_path, "-k", "TestThin")[0] == 1
