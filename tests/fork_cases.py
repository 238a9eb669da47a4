"""Cases of processes and their forked children; backends/test_fork.py runs each in its own process.

A child that hangs is a failure, so the caller must set a timeout.
"""

import os
import signal
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

import hdseg_gpu
from hdseg_gpu import BackendUnavailable, Window, open_image, refine, refine_file, seeds, thinning
from hdseg_gpu.io.slide_source import open_slide

warnings.simplefilter("ignore")
SHAPE = (400, 520)
RNG = np.random.default_rng(31)
COARSE = np.zeros((50, 65), np.uint8)
COARSE[9:30, 20:44] = 1
COARSE[25:45, 40:60] = 2
MASK = np.kron(COARSE, np.ones((8, 8), np.uint8))[: SHAPE[0], : SHAPE[1]]
IMAGE = (60 * MASK[..., None] + RNG.integers(0, 60, (*SHAPE, 3))).astype(np.uint8)


def of_files(folder):
    name = f"{os.getpid()}-{threading.get_ident()}"
    image, output = folder / f"image-{name}.npy", folder / f"labels-{name}.npy"
    np.save(image, IMAGE)
    refine_file(image, COARSE, output, max_memory=4 << 30, overwrite=True)
    return np.load(output)


def everything(folder):
    """Return the result of every public function that computes."""
    labels, probabilities = refine(IMAGE, COARSE, return_probabilities=True)
    return [
        labels,
        probabilities,
        refine(IMAGE, COARSE, method="published", solver="multigrid"),
        refine(IMAGE, COARSE, solver="cg", gamma=0.0),
        seeds(MASK, passes=9),
        thinning(MASK, "9x9", 9),
        thinning(np.packbits(MASK > 0, axis=1, bitorder="little"), "3x3", 9, packed_width=SHAPE[1]),
        of_files(folder),
    ]


def in_child(check):
    """Return what a forked child's check says: an empty string if all is well."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        said = "it did not end"
        try:
            signal.alarm(40)
            said = check() or "well"
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        finally:
            os.write(write, said.encode())
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        said = stream.read()
    os.waitpid(child, 0)
    return said


def agrees(expected, folder):
    found = everything(folder)
    same = [
        np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(expected, found, strict=True)
    ]
    return "" if all(same) else f"differs: {same}"


def threads():
    return hdseg_gpu.api.backends.load("cpu")._kernels.thread_count()


def after_use(folder):
    expected = everything(folder)
    print(in_child(lambda: agrees(expected, folder)))
    print(in_child(lambda: in_child(lambda: agrees(expected, folder))))  # a child's child
    print(np.array_equal(refine(IMAGE, COARSE), expected[0]), threads() > 1)


def threads_of_a_child(folder):
    expected = everything(folder)

    def check():
        with ThreadPoolExecutor(3) as pool:
            said = list(pool.map(lambda _: agrees(expected, folder), range(3)))
            counts = set(pool.map(lambda _: threads(), range(3)))
        return "".join(said) + ("" if counts == {1} and threads() == 1 else f"{counts} threads")

    print(in_child(check))


def before_use(folder):
    os.environ["OMP_NUM_THREADS"] = "2"

    def check():
        found = everything(folder)
        return "" if threads() == 2 and len(found) > 5 else f"{threads()} threads"

    print(in_child(check))


def amid_kernels(folder):
    """Fork again and again while other threads are in kernels."""
    expected = refine(IMAGE, COARSE)
    big, image = np.tile(MASK, (3, 3)), np.tile(IMAGE, (2, 2, 1))
    stop = threading.Event()

    def busy():
        while not stop.is_set():
            thinning(big, "9x9", 12)
            seeds(big, passes=5)
            refine(image, np.tile(COARSE, (2, 2)))

    others = [threading.Thread(target=busy) for _ in range(2)]
    for other in others:
        other.start()
    said = set()
    for _ in range(12):
        time.sleep(RNG.random() / 10)
        said.add(in_child(lambda: "" if (refine(IMAGE, COARSE) == expected).all() else "differs"))
    stop.set()
    for other in others:
        other.join()
    print(*said)


def held_locks(folder):
    """Fork while another thread holds every lock there is."""
    from hdseg_gpu.core import locks

    expected = everything(folder)
    np.save(folder / "image.npy", IMAGE)
    source = open_image(folder / "image.npy")
    held, done = threading.Event(), threading.Event()

    def hold():
        found = list(locks._all)
        for lock in found:
            lock.__enter__()
        held.set()
        done.wait()
        for lock in found:
            lock.__exit__()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    assert len(locks._all) > 1

    def check():
        part = source.read(Window(3, 5, 40, 50))
        return agrees(expected, folder) if (part == IMAGE[3:43, 5:55]).all() else "wrong pixels"

    print(in_child(check))
    done.set()
    holder.join()


def _pooled(seed):
    image = np.roll(IMAGE, seed, axis=0)
    return refine(image, COARSE)


def pool(folder):
    expected = [_pooled(seed) for seed in range(4)]
    with get_context("fork").Pool(2) as workers:
        found = workers.map(_pooled, range(4))
    print(all((a == b).all() for a, b in zip(expected, found, strict=True)))


def loader(folder):
    """A DataLoader whose workers refine, and read windows of a source that the parent opened."""
    from torch.utils.data import DataLoader, Dataset

    np.save(folder / "image.npy", IMAGE)
    source = open_image(folder / "image.npy")

    class Refined(Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, i):
            pixels = source.read(Window(0, 0, *SHAPE))
            return refine(np.roll(pixels, i, axis=0), COARSE)

    data = Refined()
    expected = [data[i] for i in range(4)]
    found = list(DataLoader(data, batch_size=None, num_workers=2, multiprocessing_context="fork"))
    print(all((a == b.numpy()).all() for a, b in zip(expected, found, strict=True)))


def lazily(folder):
    import dask.array

    expected = refine(IMAGE, COARSE)

    def check():
        labels = refine(dask.array.from_array(IMAGE, chunks=(200, 200, 3)), COARSE)
        return "" if (labels.compute(scheduler="threads") == expected).all() else "differs"

    print(in_child(check))


def sources(folder):
    """Children read the same open source at once: whatever is common to them moves under them."""
    paths = [Path(p) for p in sys.argv[3:]]
    for path in paths:
        opened = open_slide if path.suffix == ".svs" else open_image  # else tifffile would read it
        with opened(path) as source:
            height, width = source.shape
            windows = [
                Window(int(y), int(x), min(64, height), min(64, width))
                for y, x in zip(
                    RNG.integers(0, max(height - 64, 0) + 1, 60),
                    RNG.integers(0, max(width - 64, 0) + 1, 60),
                    strict=True,
                )
            ]
            expected = [source.read(window) for window in windows]
            children = []
            for _ in range(3):
                child = os.fork()
                if child == 0:
                    signal.alarm(40)
                    try:
                        same = all(
                            np.array_equal(source.read(w), e)
                            for _ in range(5)
                            for w, e in zip(windows, expected, strict=True)
                        )
                        source.close()
                        os._exit(0 if same else 3)
                    except BaseException as error:
                        print(path.name, error, file=sys.stderr)
                        os._exit(4)
                children.append(child)
            ends = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
            pairs = zip(windows, expected, strict=True)
            still = all(np.array_equal(source.read(w), e) for w, e in pairs)
            print(path.name, ends, still)


def cuda(folder):
    """A process that has opened a device, as far as this package knows."""
    from hdseg_gpu.backends.cuda import installation

    expected = refine(IMAGE, COARSE, backend="cpu")
    installation.opened()

    class Array:
        def __init__(self):
            self.__cuda_array_interface__ = {"data": (1, False), "shape": (4, 4), "version": 3}

    def refused(call):
        try:
            call()
        except BackendUnavailable as error:
            said = str(error)
            return "forked" in said and "spawn" in said and "\n" not in said
        return False

    def check():
        with warnings.catch_warnings(record=True) as noted:
            warnings.simplefilter("always")
            same = (refine(IMAGE, COARSE) == expected).all()
        notes = [str(note.message) for note in noted]
        ok = (
            refused(lambda: refine(IMAGE, COARSE, backend="cuda")),
            refused(lambda: refine(Array(), COARSE)),
            refused(lambda: refine(IMAGE, Array(), backend="cpu")),
            same,
            sum("'cpu' instead of 'cuda'" in note and "spawn" in note for note in notes) == 1,
            "cuda" not in hdseg_gpu.available_backends(),
        )
        return "" if all(ok) else f"{ok} {notes}"

    print(in_child(check))


if __name__ == "__main__":
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(100)
    globals()[sys.argv[1]](Path(sys.argv[2]))
