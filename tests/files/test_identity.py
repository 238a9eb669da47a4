"""Images that are changed or replaced during a run, between runs, or before one is resumed."""

import os
import shutil
from threading import Thread

import numpy as np
import pytest
import tifffile
from large_files import beside, folder_of
from small_files import OPTIONS, build, during, in_place, picture, replace

from hdseg_gpu import InvalidInput, refine, refine_file
from hdseg_gpu.core.errors import Unfinished
from hdseg_gpu.core.windows import Window
from hdseg_gpu.executors.local import Local
from hdseg_gpu.io import inputs as sources
from hdseg_gpu.io.identity import Changed
from hdseg_gpu.io.inputs import Input, closed, input_of, reading, source_of


@pytest.fixture(name="picture")
def _picture():
    return picture()


@pytest.fixture
def inputs(tmp_path):
    return build(tmp_path / "in")


@pytest.fixture
def output(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "labels.npy"


PHASES = ["statistics", "seeds0", "measure", "redraw0", "seeds3", "tiles"]


@pytest.mark.parametrize("on_error", ["fail", "skip"])
@pytest.mark.parametrize("harm", [in_place, replace])
@pytest.mark.parametrize("phase", PHASES)
def test_an_image_that_changes_during_a_run(phase, harm, on_error, inputs, output):
    image, coarse, _ = inputs
    progress = during(phase, harm, image)
    with pytest.raises(Unfinished, match=r"image\.tif has changed since .*overwrite=True\.$"):
        refine_file(image, coarse, output, progress=progress, on_error=on_error, **OPTIONS)
    assert not output.exists()
    assert beside(output) == [folder_of(output).name]
    with pytest.raises(
        InvalidInput, match=r"cannot be resumed: image was another .*overwrite=True"
    ):
        refine_file(image, coarse, output, resume=True, **OPTIONS)
    assert not output.exists()
    refine_file(image, coarse, output, overwrite=True, **OPTIONS)
    expected = refine(tifffile.imread(image), np.load(coarse))
    np.testing.assert_array_equal(np.load(output), expected)
    assert beside(output) == []


@pytest.mark.parametrize("harm", [in_place, replace, lambda p: p.unlink()])
@pytest.mark.parametrize("which", [1, 2])
def test_other_files_that_change_during_a_run(which, harm, inputs, output):
    image, coarse, boundary = inputs
    progress = during("seeds3", harm, inputs[which])
    options = {"boundary": boundary, "edges": "boundary", "method": "published", **OPTIONS}
    with pytest.raises(Unfinished, match=rf"{inputs[which].name}\b.*overwrite=True\.$"):
        refine_file(image, coarse, output, progress=progress, **options)
    assert not output.exists()


@pytest.mark.parametrize("which", ["image", "coarse", "boundary"])
def test_a_file_that_changes_while_the_picture_is_refined_at_once(which, inputs, output):
    path = getattr(inputs, which)
    given = {**inputs._asdict(), "output": output, "edges": "boundary", "passes": 4}
    with pytest.raises(Unfinished, match=rf"{path.name} has changed since the run began"):
        refine_file(**given, progress=during("solve", in_place, path))
    assert not output.exists()
    assert refine_file(**given).tiles == 1
    assert output.exists()


@pytest.mark.parametrize("which", ["image", "boundary"])
def test_an_array_that_changes_while_it_is_refined_at_once(which, picture, output):
    arrays = {"image": picture, "boundary": picture / np.float32(255)}
    given = {**arrays, "coarse": np.eye(75, 65, dtype=np.uint8), "edges": "boundary", "passes": 1}
    progress = during("solve", lambda array: array.fill(0), arrays[which])
    with pytest.raises(Unfinished, match=rf"{which}: the array was changed while the run read it"):
        refine_file(**given, output=output, progress=progress)
    assert not output.exists()


def test_no_phase_begins_after_a_change(inputs, output):
    """Not even one that would not read the file that changed."""

    def tell(now):
        begun.append(now.phase)
        harm(now)

    image, coarse, _ = inputs
    begun, harm = [], during("seeds3", in_place, image)
    with pytest.raises(Unfinished, match=r"image\.tif has changed since the run began"):
        refine_file(image, coarse, output, progress=tell, method="published", **OPTIONS)
    assert begun[-1] == "seeds3"


def test_damage_due_to_a_change_is_not_skipped(inputs, output):
    """What cannot be decoded since a file was cut is no damage that one asked to live with."""
    image, coarse, _ = inputs
    progress = during("redraw0", lambda p: os.truncate(p, p.stat().st_size // 2), image)
    with pytest.raises(Unfinished, match=r"image\.tif has changed since .* bytes instead of"):
        refine_file(image, coarse, output, progress=progress, on_error="skip", **OPTIONS)
    assert not output.exists()


class Stop(Exception):
    """Raised in the middle of a run."""


def stop(now):
    if now.phase == "seeds0":
        raise Stop


@pytest.mark.parametrize("harm", [in_place, replace, lambda p: p.chmod(0o600)])
def test_resuming_with_another_file(harm, inputs, output):
    image, coarse, _ = inputs
    with pytest.raises(Stop):
        refine_file(image, coarse, output, progress=stop, **OPTIONS)
    harm(image)
    with pytest.raises(InvalidInput, match=r"cannot be resumed: image was another \(.*image\.tif"):
        refine_file(image, coarse, output, resume=True, **OPTIONS)
    assert not output.exists()


def test_resuming_with_the_same_file(inputs, picture, output):
    image, coarse, _ = inputs
    with pytest.raises(Stop):
        refine_file(image, coarse, output, progress=stop, **OPTIONS)
    refine_file(image, coarse, output, resume=True, **OPTIONS)
    np.testing.assert_array_equal(np.load(output), refine(picture, np.load(coarse)))


# ---- arrays ----------------------------------------------------------------------------------


def test_resuming_with_the_same_array(inputs, picture, output):
    with pytest.raises(Stop):
        refine_file(picture, inputs[1], output, progress=stop, **OPTIONS)
    refine_file(picture.copy(), inputs[1], output, resume=True, **OPTIONS)
    np.testing.assert_array_equal(np.load(output), refine(picture, np.load(inputs[1])))


def test_resuming_with_another_array(inputs, picture, output):
    with pytest.raises(Stop):
        refine_file(picture, inputs[1], output, progress=stop, **OPTIONS)
    other = picture.copy()
    other[-1, -1] ^= 1
    with pytest.raises(
        InvalidInput, match=r"image was an array with other values; .*overwrite=True"
    ):
        refine_file(other, inputs[1], output, resume=True, **OPTIONS)
    with pytest.raises(InvalidInput, match="image was an array and is a file now"):
        refine_file(inputs[0], inputs[1], output, resume=True, **OPTIONS)
    assert not output.exists()


@pytest.mark.parametrize("library", ["dask", "zarr"])
def test_resuming_with_arrays_that_are_not_in_memory(library, inputs, picture, output):
    """Nobody can tell them apart without reading all of them."""
    if library == "dask":
        image = pytest.importorskip("dask.array").from_array(picture, chunks=100)
    else:
        image = pytest.importorskip("zarr").array(picture)
    with pytest.raises(Stop):
        refine_file(image, inputs[1], output, progress=stop, **OPTIONS)
    with pytest.raises(InvalidInput, match="image is an array that is read lazily"):
        refine_file(image, inputs[1], output, resume=True, **OPTIONS)
    refine_file(image, inputs[1], output, overwrite=True, **OPTIONS)
    np.testing.assert_array_equal(np.load(output), refine(picture, np.load(inputs[1])))


def test_an_array_that_changes_during_a_run(inputs, picture, output):
    def harm(array):
        array[300:, 300:] ^= 1

    progress = during("redraw0", harm, picture)
    with pytest.raises(Unfinished, match="image: the array was changed while the run read it"):
        refine_file(picture, inputs[1], output, progress=progress, **OPTIONS)
    assert not output.exists()


# ---- what is open ----------------------------------------------------------------------------

CORNER = Window(0, 0, 10, 10)


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{i}.tif" for i in range(8)]
    for i, path in enumerate(paths):
        tifffile.imwrite(path, np.full((20, 20), i, np.uint8), tile=(16, 16))
    yield paths
    for run in ("", "a", "b"):
        sources.end(run)
    assert len(sources._open) == 0
    sources._ended.clear()  # runs are called otherwise


def first_pixel(given, run):
    with reading(given, run) as source:
        return int(source.read(CORNER)[0, 0, 0])


def test_a_replaced_file_is_opened_again(files):
    given = input_of(files[0])
    assert first_pixel(given, "a") == 0
    files[1].replace(files[0])
    with pytest.raises(Changed, match=r"0\.tif has changed since"):
        first_pixel(given, "a")
    assert first_pixel(input_of(files[0]), "b") == 1


def test_what_was_read_while_a_file_was_replaced_is_refused(files):
    given = input_of(files[0])

    def read():
        with reading(given, "a") as source:
            files[1].replace(files[0])
            source.read(CORNER)

    with pytest.raises(Changed, match="has changed since"):
        read()


def test_few_sources_stay_open(files):
    opened = []
    for i, path in enumerate(files):
        with reading(input_of(path), "a") as source:
            opened.append(source)
            assert source.read(CORNER)[0, 0, 0] == i
    assert len(sources._open) == sources._MOST
    with pytest.raises(InvalidInput, match="is closed"):
        opened[0].read(CORNER)
    assert opened[-1].read(CORNER)[0, 0, 0] == len(files) - 1
    sources.end("a")
    assert len(sources._open) == 0
    with pytest.raises(InvalidInput, match="is closed"):
        opened[-1].read(CORNER)


def test_what_another_run_reads_stays_open(files):
    given = input_of(files[0])
    assert first_pixel(given, "a") == first_pixel(given, "b") == 0
    sources.end("a")
    assert len(sources._open) == 1
    with pytest.raises(Unfinished, match="was stopped"):
        first_pixel(given, "a")
    assert first_pixel(given, "b") == 0
    sources.end("b")
    assert len(sources._open) == 0


def test_nothing_is_closed_that_is_being_read(files):
    given = input_of(files[3])
    with reading(given, "a") as source:
        for path in files:
            first_pixel(input_of(path), "b")
        sources.end("a")
        closed(given)
        assert source.read(CORNER)[0, 0, 0] == 3
    with pytest.raises(InvalidInput, match="is closed"):
        source.read(CORNER)


def test_alpha_opens_nothing_twice(files):
    given = input_of(files[0])
    again = Input(given.where, alpha=True, identity=given.identity)
    assert source_of(given) is source_of(again)
    closed(given)
    assert len(sources._open) == 0


def test_many_threads_read_while_files_are_replaced(files):
    """Whatever comes out is what the input of the run says, or an error."""
    found, errors = [], []

    def read(given, value):
        for _ in range(50):
            try:
                found.append((first_pixel(given, "a"), value))
            except Changed:
                errors.append(value)

    for i in range(1, 6):
        threads = [Thread(target=read, args=(input_of(files[0]), i - 1)) for _ in range(4)]
        for thread in threads:
            thread.start()
        shutil.copyfile(files[i], files[7])
        files[7].replace(files[0])
        for thread in threads:
            thread.join()
    assert {got for got, value in found if got != value} == set()
    assert len(errors) > 0


def test_schedulers_hear_at_once_that_a_run_ends(inputs, output, monkeypatch):
    """Not when the exception that ended it is forgotten: until then workers work in vain."""
    ended, run = [], Local.run

    def counted(*arguments):
        try:
            yield from run(*arguments)
        finally:
            ended.append(arguments)

    def stop_after_a_tile(now):
        if now.done == 1:
            raise Stop

    monkeypatch.setattr(Local, "run", counted)
    with pytest.raises(Stop) as caught:
        refine_file(*inputs[:2], output, progress=stop_after_a_tile, **OPTIONS)
    assert len(ended) == 1
    assert caught.traceback is not None
