"""Runs that are killed, interrupted, or find their files damaged give the same output."""

import errno
import io
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from threading import Lock

import numpy as np
import pytest
import tifffile
from large_files import (
    OPTIONS,
    START,
    beside,
    build,
    environment,
    finish,
    folder_of,
    plan_of,
    start,
)

from hdseg_gpu import refine_file
from hdseg_gpu.core.errors import Unfinished
from hdseg_gpu.core.windows import whole
from hdseg_gpu.engine import output as labels
from hdseg_gpu.io import open_image, tiff_pyramid

KILLS = 20


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return build(tmp_path_factory.mktemp("large"))


@pytest.fixture(scope="module")
def undisturbed(inputs, tmp_path_factory):
    """Return the file that comes out if nothing happens, and how long the command takes."""
    output = tmp_path_factory.mktemp("undisturbed") / "out.tif"
    began = time.monotonic()
    assert finish(inputs.line(output))[0] == 0
    assert beside(output) == []
    return output.read_bytes(), time.monotonic() - began


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out.tif"


def assert_resumes(inputs, output, undisturbed, *more):
    code, said = finish(inputs.line(output, "--resume", *more))
    assert code == 0, said
    assert output.read_bytes() == undisturbed[0]
    assert beside(output) == []


def killed_at(inputs, output, phase, records, *more):
    """Kill a run as soon as a phase has so many records."""
    folder = folder_of(output) / phase
    with start(inputs.line(output, *more)) as child:
        while len(list(folder.glob("*.json")) if folder.exists() else ()) < records:
            assert child.poll() is None, child.stderr.read()
            time.sleep(0.002)
        child.kill()
        child.communicate()
    assert not output.exists()


# ---- kill -9 ---------------------------------------------------------------------------------


def test_killed_at_any_time(inputs, output, undisturbed):
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    kills, chains, reached = 0, 0, set()
    while kills < KILLS:
        output.unlink(missing_ok=True)
        more, last = (), 0  # a new chain
        while kills < KILLS:
            with start(inputs.line(output, *more)) as child:
                try:
                    said = child.communicate(timeout=rng.uniform(0.2, 0.4 * undisturbed[1]))[1]
                    break  # it finished
                except subprocess.TimeoutExpired:
                    child.kill()
                    said = child.communicate()[1]
            kills += 1
            if output.exists():
                break  # only its folder was left to remove
            more = ("--resume",)
            if folder_of(output).exists():
                done = plan_of(output)
                reached |= done.keys()
                now = sum(map(len, done.values()))
                assert now >= last  # no finished task is lost
                last = now
        chains += 1
        assert_same_end(inputs, output, undisturbed, child, said)
    print(f"{kills} kills in {chains} chains, in phases {sorted(reached)}")
    assert {"statistics", "seeds0", "redraw0"} <= reached


def is_complete(output):
    """Return whether nothing is known any more of the run that wrote an output."""
    folder = folder_of(output)
    return output.exists() and not (folder.exists() and set(os.listdir(folder)) - {"lock"})


def assert_same_end(inputs, output, undisturbed, child, said):
    assert child.returncode in (0, -signal.SIGKILL), said
    if child.returncode == -signal.SIGKILL and is_complete(output):
        assert_refused(finish(inputs.line(output, "--resume")), "exists", "nothing is left to do")
    elif child.returncode == -signal.SIGKILL:
        assert_resumes(inputs, output, undisturbed)
    assert output.read_bytes() == undisturbed[0]
    assert beside(output) == []


KILL = "import os, signal; die = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)\n"
# Where a run dies -> code that kills it there.
DEATHS = {
    "in the middle of the file": (
        "import hdseg_gpu.io.tiff_pyramid as m; old, seen = m.strips, []\n"
        "def strips(*a):\n"
        "    for s in old(*a):\n"
        "        yield s\n"
        "        seen.append(s)\n"
        "        len(seen) == 6 and die()\n"
        "m.strips = strips\n"
    ),
    "before the file has its name": "import hdseg_gpu.engine.output as m; m.take_name = die\n",
    "when the file has its name": (
        "import hdseg_gpu.engine.output as m; old = m.take_name\n"
        "m.take_name = lambda *a: (old(*a), die())\n"
    ),
    "while its folder is removed": (
        "import hdseg_gpu.engine.workspace_content as m\n"
        "old = m.shutil.rmtree\n"
        "def remove(f, **k):\n"
        "    old(f, **k)\n"
        "    str(f).endswith('.part') or die()\n"  # that is a writer's own
        "m.shutil.rmtree = remove\n"
    ),
}


def dying(inputs, output, where, *more):
    """Run the command until it dies there."""
    line = [sys.executable, "-P", "-c", KILL + DEATHS[where] + START, *inputs.line(output, *more)]
    done = subprocess.run(line, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.fixture(scope="module")
def nearly_done(inputs, tmp_path_factory):
    """Return the folder of a run of which nothing but the last step is missing."""
    output = tmp_path_factory.mktemp("nearly") / "out.tif"
    dying(inputs, output, "before the file has its name")
    return folder_of(output)


@pytest.mark.parametrize("where", DEATHS)
@pytest.mark.parametrize("name", ["out.tif", "out.zarr"])
def test_killed_while_writing(where, name, inputs, nearly_done, undisturbed, tmp_path):
    output = tmp_path / name
    if name == "out.zarr":
        pytest.importorskip("zarr")
        if "middle" in where:
            pytest.skip("its writer has no strips; what it leaves is where that of others is")
    shutil.copytree(nearly_done, folder_of(output))
    dying(inputs, output, where, "--resume")
    named = where in ("when the file has its name", "while its folder is removed")
    assert output.exists() == named
    assert beside(output) == [folder_of(output).name]
    if named:  # it is refused like any other, but for the run that wrote it
        assert_refused(finish(inputs.line(output)), "exists")
    code, said = finish(inputs.line(output, "--resume"))
    assert code == 0, said
    assert beside(output) == []
    assert same_labels(output, undisturbed)


def same_labels(output, undisturbed):
    if output.suffix == ".tif":
        return output.read_bytes() == undisturbed[0]
    with open_image(output) as source:
        pixels = source.read(whole(source.shape))[..., 0]
    return np.array_equal(pixels, tifffile.imread(io.BytesIO(undisturbed[0])))


def assert_refused(result, *parts):
    code, said = result
    assert code == 2, said
    last = said.splitlines()[-1]
    assert [p for p in ("error: ", *parts) if p not in last] == [], said


def test_a_foreign_file_is_not_replaced_by_a_resumed_run(inputs, output):
    killed_at(inputs, output, "seeds0", 1)
    output.write_bytes(b"someone else's")
    assert_refused(finish(inputs.line(output, "--resume")), "exists")
    assert output.read_bytes() == b"someone else's"


# ---- Ctrl-C ----------------------------------------------------------------------------------


# A child that prints its phase and then waits for a signal.
WAITING = """\
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells let background jobs ignore it
write, said = sys.stderr.write, []
def waiting(text):
    count = write(text)
    said.append(text)
    line = "".join(said[-2:])
    if line.startswith("redraw0: 0") and line.endswith("\\n"):
        sys.stderr.flush()
        time.sleep(60)
    return count
sys.stderr.write = waiting
"""


def test_interrupted(inputs, output, undisturbed):
    with start(inputs.line(output), WAITING) as child:
        for line in child.stderr:
            if line.startswith("redraw0: 0"):
                break
        child.send_signal(signal.SIGINT)
        said = child.communicate()[1]
    assert child.returncode == 1
    errors = [line for line in said.splitlines() if not line.startswith(("redraw", "seeds"))]
    assert len(errors) == 1, said
    assert errors[0].startswith("error: interrupted")
    assert "--resume" in errors[0]
    assert str(output) in errors[0]
    assert not output.exists()
    assert_resumes(inputs, output, undisturbed)


# ---- damage ----------------------------------------------------------------------------------


def flip(path, rng):
    """Change a few bytes in a row anywhere in a file."""
    content = bytearray(path.read_bytes())
    at = rng.randrange(len(content))
    for i in range(at, min(at + 4, len(content))):
        content[i] ^= 0x5A
    path.write_bytes(content)


def cut(path, rng):
    """Cut a file short."""
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])


def remove(path, _):
    path.unlink()


@pytest.mark.parametrize("harm", [flip, cut, remove])
def test_damaged_files_are_not_trusted(harm, inputs, nearly_done, output, undisturbed):
    folder, rng = folder_of(output), random.Random(5)
    shutil.copytree(nearly_done, folder)
    harmed = []
    for kept in sorted(p for p in folder.iterdir() if p.is_dir()):
        files = sorted(kept.iterdir())
        harmed += rng.sample(files, min(3, len(files)))
    assert {p.parent.name for p in harmed} >= {"known3", "classes3", "labels", "tiles", "seeds0"}
    for path in harmed:
        harm(path, rng)
    harm(folder / "coarse_classes.npy", rng)
    updates = []
    report = refine_file(*inputs, output, resume=True, progress=updates.append, **OPTIONS)
    assert output.read_bytes() == undisturbed[0]
    assert beside(output) == []
    assert report.decided_tiles == 8
    # Only damaged tasks are repeated.
    before = {t.phase: t.done for t in reversed(updates)}
    assert 0 < before["tiles"] < 8
    assert 0 < before["statistics"] < 9


@pytest.mark.parametrize("harm", [flip, cut, remove])
def test_damaged_plan(harm, inputs, nearly_done, output, undisturbed):
    shutil.copytree(nearly_done, folder_of(output))
    harm(folder_of(output) / "run.json", random.Random(7))
    assert_resumes(inputs, output, undisturbed)


def test_damage_that_is_met_during_a_run(inputs, nearly_done, output, undisturbed):
    shutil.copytree(nearly_done, folder_of(output))
    (folder_of(output) / "tiles" / "00000004.json").unlink()

    def harm(now):
        if now.phase == "tiles" and now.done < now.tiles:
            cut(folder_of(output) / "classes3" / "00000004", random.Random(3))

    with pytest.raises(
        Unfinished, match=r"classes3/00000004 is damaged; continue with resume=True"
    ):
        refine_file(*inputs, output, resume=True, progress=harm, **OPTIONS)
    assert not output.exists()
    assert_resumes(inputs, output, undisturbed)


# ---- full disks ------------------------------------------------------------------------------


class Full:
    """A disk that has no space from the n-th call of a function on."""

    def __init__(self, monkeypatch, where, name, calls):
        self.left, self.lock, real = calls, Lock(), getattr(where, name)

        def limited(*arguments, **options):
            with self.lock:
                self.left -= 1
                if self.left < 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*arguments, **options)

        monkeypatch.setattr(where, name, limited)


# Phase in which the disk is full -> the call that fails.
FULL = {
    "plan": (os, "fsync", 0),
    "statistics": (os, "fsync", 3),
    "seeds": (os, "fsync", 15),
    "redraw": (os, "fsync", 40),
    "tiles": (os, "fsync", 95),
    "coarse map": (np.lib.format, "write_array_header_1_0", 0),
    "output": (tiff_pyramid, "_compressed", 20),
    "name": (labels, "take_name", 0),
}


@pytest.mark.parametrize("where", FULL)
def test_full_disk(where, inputs, nearly_done, output, undisturbed, monkeypatch):
    resume = where in ("coarse map", "output", "name")
    if resume:
        shutil.copytree(nearly_done, folder_of(output))
    with monkeypatch.context() as patch:
        full = Full(patch, *FULL[where])
        with pytest.raises(Unfinished, match="No space left on device; free space and continue"):
            refine_file(*inputs, output, resume=resume, **OPTIONS)
        assert full.left < 0
    assert beside(output) == [folder_of(output).name]
    assert not output.exists()
    parts = list(folder_of(output).rglob(".*"))
    assert parts == []  # half a file would only take more of what is missing
    if resume:
        assert_resumes(inputs, output, undisturbed)


def limited(bytes_of_a_file):
    """Return code that limits files' sizes: all file systems know that error."""
    return f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({bytes_of_a_file},) * 2)\n"


def test_files_that_must_not_grow(inputs, output, undisturbed):
    line = [sys.executable, "-P", "-c", limited(4000) + START, *inputs.line(output)]
    done = subprocess.run(line, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.fullmatch(
        r"error: .*: File too large; free space .* --resume\.", last_line(done.stderr)
    )
    assert not output.exists()
    assert_resumes(inputs, output, undisturbed)


def last_line(said):
    return said.splitlines()[-1]


DISK = """
mount -t tmpfs -o size={size}k none "$1" || exit 77
shift
"$@"; echo "code $?"; ls -A {folder}
mount -o remount,size=64m {folder} || exit 77
"$@" --resume && ls -A {folder} && cp {folder}/out.tif {copy}
"""


@pytest.mark.parametrize("where", ["coarse map", "planes", "output"])
def test_small_disk(where, inputs, nearly_done, tmp_path, undisturbed):
    """In a mount namespace of its own, where the disk is gone with the process."""
    folder, copy = tmp_path / "disk", tmp_path / "copy.tif"
    folder.mkdir()
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare")
    # In pages of 4096 bytes, as the disk counts; the output is in this folder, too.
    files = [p for p in nearly_done.rglob("*") if p.is_file() and p.name != "output.tif"]
    all_of_it = sum(-(-p.stat().st_size // 4096) * 4 for p in files)
    size = {"coarse map": 60, "planes": 400, "output": all_of_it + 60}[where]
    script = DISK.format(size=size, folder=folder, copy=copy)
    line = [sys.executable, "-P", "-c", START, *inputs.line(folder / "out.tif", "--quiet")]
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", folder, *line],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"no file systems can be mounted here: {done.stderr}")
    assert done.stdout.splitlines() == ["code 1", ".out.tif.hdseg", "out.tif"]
    assert re.fullmatch(r"error: .*: No space left on device; free space .*\n", done.stderr)
    assert copy.read_bytes() == undisturbed[0]
