"""Full disks, limits on file sizes, and folders without write permission."""

import os
import re
import resource
import shutil
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest
from large_files import START, environment, finish
from small_runs import COARSE, IMAGE, run, stopped, workspace_of

from hdseg_gpu import InvalidInput
from hdseg_gpu.core.errors import HdsegError, NotWritten, Unfinished
from hdseg_gpu.core.windows import whole
from hdseg_gpu.io import create_output, open_image, read_labels, write_labels
from hdseg_gpu.io.paths import synced_folder

LABELS = np.random.default_rng(13).integers(0, 200, (1100, 900)).astype(np.uint8)
LARGE = ["out.tif", "out.ome.tif", "out.cog.tif", "out.zarr", "out.png", "out.npy"]
SMALL = ["out.tif", "out.png", "out.npy", "out.npz"]
FULL = (
    r"(File too large|No space left on device); free space and continue with "
    r"(--resume|resume=True)\.$"
)


def needs(name):
    if ".zarr" in name:
        pytest.importorskip("zarr")
    if ".cog." in name:
        pytest.importorskip("rasterio")


@contextmanager
def files_of_at_most(size):
    """All file systems know the error of a file that must not grow."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def pixels_of(path):
    with open_image(path) as image:
        return image.read(whole(image.shape))[..., 0]


def bytes_of(path):
    """Return the size of the largest file."""
    return max(p.stat().st_size for p in (path, *path.rglob("*")) if p.is_file())


def created(path):
    with create_output(path, shape=LABELS.shape) as output:
        output.write(whole(LABELS.shape), LABELS)


@pytest.mark.parametrize(
    ("name", "how"), [(n, created) for n in LARGE] + [(n, write_labels) for n in SMALL]
)
def test_outputs_that_do_not_fit(name, how, tmp_path):
    """However far it comes: one line, nothing that is not complete, and nothing beside it."""
    needs(name)
    write = (lambda path: write_labels(path, LABELS)) if how is write_labels else created
    path = tmp_path / name
    write(path)
    size = bytes_of(path)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    for limit in (0, 10, 5000, size // 3, size - 5000, size - 100, size - 1):
        with files_of_at_most(limit), pytest.raises(NotWritten) as caught:
            write(path)
        said = str(caught.value)
        assert re.fullmatch(rf"output \S+{re.escape(name)} cannot be written: [^\n]+\.", said)
        assert os.listdir(tmp_path) == [], limit
    with files_of_at_most(2 * size + 2 * LABELS.size):
        write(path)
    read = read_labels if name.endswith(".npz") else pixels_of
    np.testing.assert_array_equal(read(path), LABELS)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    output = tmp_path_factory.mktemp("undisturbed") / "out.npy"
    run(output)
    return np.load(output)


def phase_of(output):
    """Return the last phase that a run has begun."""
    folder = workspace_of(output)
    if list(folder.glob("tiles/*.json")):
        return "writing"
    phases = [p for p in folder.iterdir() if p.is_dir() and re.fullmatch(r"[a-z]+\d*", p.name)]
    return max(phases, key=lambda p: p.stat().st_ctime_ns).name if phases else "plan"


@pytest.mark.parametrize("name", LARGE)
def test_runs_whose_files_must_not_grow(name, tmp_path, undisturbed):
    needs(name)
    output, met = tmp_path / name, set()
    for limit in (0, 200, 700, 1000, 1500, 2000, 3000, 6000, 9000, 20_000, 100_000, 300_000):
        try:
            with files_of_at_most(limit):
                run(output)
        except Unfinished as error:
            assert re.search(FULL, str(error)), str(error)  # noqa: PT017 - or none
            met.add(phase_of(output))
            assert not output.exists()
            assert [p for p in workspace_of(output).rglob(".*") if p.is_file()] == []
            run(output, resume=True)
        np.testing.assert_array_equal(pixels_of(output), undisturbed)
        assert os.listdir(tmp_path) == [name]
        shutil.rmtree(output) if output.is_dir() else output.unlink()
    assert "plan" in met


@pytest.mark.parametrize("name", LARGE)
def test_disks_that_are_full_when_it_is_written(name, tmp_path, undisturbed):
    """With all tiles done, on a disk of its own where each file system call can fail."""
    needs(name)
    output = tmp_path / name
    folder = stopped(output, **saved(tmp_path))
    pages = sum(-(-p.stat().st_size // 4096) for p in folder.rglob("*") if p.is_file())
    done = on_a_disk_of(
        4 * pages + 4, tmp_path, f"mv {folder} DISK/ && RUN --resume; echo code $?; ls -A DISK;"
        "mount -o remount,size=64m DISK && RUN --resume && ls -A DISK && cp -r DISK/* COPY", name,
    )  # fmt: skip
    *lines, last = done.stdout.splitlines()
    assert lines == ["code 1", folder.name], done.stdout + done.stderr
    assert last == name
    errors = [line for line in done.stderr.splitlines() if not line.startswith("note")]
    assert len(errors) == 1
    assert re.search(r"^error: .*" + FULL, errors[0])
    np.testing.assert_array_equal(pixels_of(tmp_path / "copy" / name), undisturbed)


def saved(folder):
    """Return the paths of the scene, in files."""
    paths = {"image": folder / "image.npy", "coarse": folder / "coarse.npy"}
    np.save(paths["image"], IMAGE)
    np.save(paths["coarse"], COARSE)
    return paths


def on_a_disk_of(size, folder, script, name):
    """Run a script in a mount namespace of its own, where the disk is gone with the process."""
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare")
    for place in ("disk", "copy"):
        (folder / place).mkdir()
    words = {"DISK": "disk", "COPY": "copy"}
    line = f"{sys.executable} -P -c '{START}' refine image.npy coarse.npy -o disk/{name}"
    words["RUN"] = f"{line} --tile 2048 --workers 1 --quiet"
    script = re.sub("DISK|COPY|RUN", lambda found: words[found[0]], script)
    script = f"mount -t tmpfs -o size={size}k none disk || exit 77\n{script}"
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script], cwd=folder,
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"no file systems can be mounted here: {done.stderr}")
    return done


@pytest.mark.parametrize("share", [0.1, 0.25, 0.4, 0.6])
def test_disks_that_are_full_before(share, tmp_path, undisturbed):
    folder = stopped(tmp_path / "first.tif", **saved(tmp_path))
    files = list(folder.rglob("*"))
    size = 4 * (len(files) + sum(p.stat().st_size // 4096 for p in files))
    done = on_a_disk_of(
        int(size * share), tmp_path, "RUN; echo code $?; ls -A DISK;"
        "mount -o remount,size=64m DISK && RUN --resume && ls -A DISK && cp -r DISK/* COPY",
        "out.tif",
    )  # fmt: skip
    assert done.stdout.splitlines() == ["code 1", ".out.tif.hdseg", "out.tif"], done.stderr
    errors = [line for line in done.stderr.splitlines() if not line.startswith("note")]
    assert len(errors) == 1
    assert re.search(r"^error: .*" + FULL, errors[0])
    np.testing.assert_array_equal(pixels_of(tmp_path / "copy" / "out.tif"), undisturbed)


# ---- other errors of disks ---------------------------------------------------------------------


@pytest.mark.parametrize("number", [5, 30, 116, 28, 122])  # EIO, EROFS, ESTALE, ENOSPC, EDQUOT
@pytest.mark.parametrize("call", ["fsync", "replace", "link", "open"])
def test_errors_of_the_disk_are_one_line(call, number, tmp_path, undisturbed, monkeypatch):
    output = tmp_path / "out.npy"
    stopped(output, phase="statistics")
    real, left = getattr(os, call), [0 if call == "link" else 5]

    def failing(*arguments, **options):
        writes = bool(call != "open" or arguments[1] & os.O_CREAT)
        left[0] -= writes
        if writes and left[0] < 0:
            raise OSError(number, os.strerror(number))
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing)
        with pytest.raises(HdsegError) as caught:
            run(output, resume=True)
    said = str(caught.value)
    assert "\n" not in said
    assert os.strerror(number) in said
    assert "resume=True" in said
    assert not output.exists()
    run(output, resume=True)
    np.testing.assert_array_equal(np.load(output), undisturbed)


def test_folders_that_cannot_be_synced(tmp_path, monkeypatch):
    """Not all file systems can; they lose nothing by it that they would not lose anyway."""

    def failing(number):
        def fsync(_):
            raise OSError(number, os.strerror(number))

        return fsync

    for number in (22, 95):
        monkeypatch.setattr(os, "fsync", failing(number))
        synced_folder(tmp_path)
    monkeypatch.setattr(os, "fsync", failing(5))
    with pytest.raises(OSError, match="Input/output"):
        synced_folder(tmp_path)


# ---- plain users -------------------------------------------------------------------------------


# Run once before changing the user: modules imported later may be unreadable for a plain user.
AS_NOBODY = """
import os, sys
from hdseg_gpu.cli import main
assert main([*sys.argv[2:5], sys.argv[1], "--tile", "2048", "--quiet"]) == 0
os.setgroups([]); os.setgid(65534); os.setuid(65534)
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("what", ["folder", "workspace", "store", "planes"])
def test_folders_that_a_plain_user_cannot_write_to(what, tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("plain")
    for folder in (tmp_path, *tmp_path.parents[:3]):  # pytest's own are for one user alone
        if folder.stat().st_mode & 0o777 == 0o700:
            folder.chmod(0o711)
    np.save(tmp_path / "image.npy", IMAGE)
    np.save(tmp_path / "coarse.npy", COARSE)
    there = tmp_path / "there"
    there.mkdir()
    os.chown(there, 65534, 65534)
    output = there / ("out.zarr" if what == "store" else "out.npy")
    line = ["refine", str(tmp_path / "image.npy"), str(tmp_path / "coarse.npy")]
    line += [f"-o{output}", "--tile", "2048", "--quiet"]
    if what == "folder":
        there.chmod(0o555)
    elif what == "workspace":
        stopped(output)  # root's
        line.append("--resume")
    elif what == "planes":
        for path in (stopped(output), *workspace_of(output).rglob("*")):
            os.chown(path, 65534, 65534)
        os.chown(workspace_of(output) / "labels", 0, 0)
        line.append("--resume")
    else:
        pytest.importorskip("zarr")
        output.mkdir()
        (output / "zarr.json").touch()
        line.append("--overwrite")
    before = sorted(str(p) for p in there.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-P", "-c", AS_NOBODY, f"-o{tmp_path / 'first.npy'}", *line],
        env=environment(HOME="/nowhere"), capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip
    if "ModuleNotFoundError" in done.stderr:
        pytest.skip(f"a plain user cannot read the package here: {done.stderr[-300:]}")
    assert done.returncode == 2, done.stderr
    (error,) = [l for l in done.stderr.splitlines() if not l.startswith("note")]  # noqa: E741
    said = r"^error: .*(is not writable|someone else|belongs to|cannot be read|cannot be a file)"
    assert re.search(said, error)
    assert sorted(str(p) for p in there.rglob("*")) == before


def test_folder_that_becomes_read_only_in_a_run(tmp_path, monkeypatch):
    output = tmp_path / "out.npy"

    def failing(*_, **__):
        raise OSError(30, os.strerror(30))

    with monkeypatch.context() as patch:
        patch.setattr("hdseg_gpu.io.own.os.replace", failing)
        with pytest.raises(Unfinished, match="Read-only file system; fix that and continue"):
            run(output)


def test_disk_of_the_command_line(tmp_path):
    """As a process of its own, which has no one to catch what it raises."""
    np.save(tmp_path / "image.npy", IMAGE)
    np.save(tmp_path / "coarse.npy", COARSE)
    (tmp_path / ".out.npy.hdseg").mkdir()
    (tmp_path / ".out.npy.hdseg" / "thesis.txt").touch()
    line = ["refine", str(tmp_path / "image.npy"), str(tmp_path / "coarse.npy")]
    code, said = finish([*line, "-o", str(tmp_path / "out.npy"), "--tile", "2048", "--resume"])
    assert (code, len(said.splitlines())) == (2, 1), said
    with pytest.raises(InvalidInput, match="remove it yourself"):
        run(tmp_path / "out.npy", overwrite=True)
