"""Options: the same in every interface, documented defaults that are true, and passes=0."""

import inspect
import pickle
import re
import typing

import numpy as np
import pytest
from gallery import blobs, photograph, reduced
from skimage_walker import bilinear, dense_walker

import hdseg_gpu
from hdseg_gpu import InvalidInput, refine, refine_file
from hdseg_gpu.api import RefineCall
from hdseg_gpu.core.options import METHODS, Options, about, described, usual
from hdseg_gpu.core.params import Params
from hdseg_gpu.engine.arguments import FileCall

SHAPE = (36, 45)
CALLS = {refine: RefineCall, refine_file: FileCall}


def scene(kind="labels", classes=3, scale=4):
    """Return an image and a coarse map, of probabilities that are often close together."""
    truth = blobs(SHAPE, classes)
    coarse = reduced(truth, scale)
    if kind == "labels":
        return photograph(truth), coarse
    planes = np.stack([coarse == k for k in range(classes)]) + 0.5
    planes += 0.4 * np.random.default_rng(1709).random(planes.shape)
    return photograph(truth), (planes / planes.sum(axis=0)).astype(np.float32)


def from_memory(image, coarse, folder, **options):
    return refine(image, coarse, return_report=True, **options)


def from_file(image, coarse, folder, **options):
    report = refine_file(image, coarse, folder / "out.npy", tile=2048, overwrite=True, **options)
    return np.load(folder / "out.npy"), report


both_roads = pytest.mark.parametrize("road", [from_memory, from_file])


# ---- passes=0 ------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::hdseg_gpu.RefinementWarning")
@pytest.mark.parametrize("gamma", [None, 0.0, 5.0])
@both_roads
def test_without_passes_probabilities_are_interpolated_and_the_unsure_walk(road, gamma, tmp_path):
    image, planes = scene("probabilities")
    labels, report = road(image, planes, tmp_path, passes=0, unsure=0.1, gamma=gamma, majority=1)
    fine = bilinear(planes, SHAPE)
    by_size = np.sort(fine, axis=0)
    marked = np.where(by_size[-1] - by_size[-2] <= 0.1, 0, fine.argmax(axis=0) + 1)
    assert 50 < (marked == 0).sum() == report.unknown_pixels < marked.size / 2
    walked = dense_walker(image, marked, None, beta=1000.0, gamma=0.0)
    by_size = np.sort(walked, axis=0)
    sure = by_size[-1] - by_size[-2] > 1e-3
    assert sure.mean() > 0.95
    np.testing.assert_array_equal(labels[sure], walked.argmax(axis=0)[sure])
    assert (report.gamma, report.doubt, report.passes) == (0.0, None, 0)
    said = [note for note in report.notes if "gamma=5 has no effect with passes=0" in note]
    assert len(said) == (gamma == 5.0)


@pytest.mark.filterwarnings("ignore::hdseg_gpu.RefinementWarning")
@pytest.mark.parametrize("gamma", [None, 5.0])
@both_roads
def test_without_passes_labels_are_interpolated(road, gamma, tmp_path):
    image, coarse = scene("labels")
    labels, report = road(image, coarse, tmp_path, passes=0, interpolation="linear", gamma=gamma)
    fine = bilinear(np.stack([coarse == k for k in range(3)]), SHAPE)
    by_size = np.sort(fine, axis=0)
    sure = by_size[-1] - by_size[-2] > 1e-6
    np.testing.assert_array_equal(labels[sure], fine.argmax(axis=0)[sure])
    assert (report.gamma, report.unknown_pixels, report.solver) == (0.0, 0, "none")


@both_roads
def test_with_passes_the_report_has_the_gamma_asked_for(road, tmp_path):
    image, coarse = scene("labels")
    for gamma, expected in ((None, 1.0), (0.25, 0.25), (0.0, 0.0)):
        _, report = road(image, coarse, tmp_path, gamma=gamma, passes=3)
        assert report.gamma == expected
        assert not [note for note in report.notes if "gamma" in note]


# ---- signatures ----------------------------------------------------------------------------------


@pytest.mark.parametrize("function", CALLS)
def test_signatures_say_everything(function):
    found = inspect.signature(function).parameters
    assert list(found) == list(about(CALLS[function]))
    hints = typing.get_type_hints(function)
    for name, parameter in found.items():
        needed = name in ("image", "coarse", "output")
        kind = parameter.POSITIONAL_OR_KEYWORD if needed else parameter.KEYWORD_ONLY
        assert parameter.kind is kind
        assert (parameter.default is parameter.empty) == needed
        assert hints[name] == parameter.annotation
        assert not getattr(parameter.annotation, "__parameters__", ())
    assert found["beta"].annotation == float | None
    assert found["tol"].annotation is float
    assert list(found) == [re.split(" : ", line)[0] for line in documented(function)]


def documented(function):
    text = inspect.getdoc(function).partition("Parameters\n")[2].partition("Returns\n")[0]
    return re.findall(r"^\w+ : .+", text, re.M)


def test_public_functions_are_functions():
    for function in CALLS:
        assert pickle.loads(pickle.dumps(function)) is function
        assert function.__module__.startswith("hdseg_gpu.")
        assert function is getattr(hdseg_gpu, function.__name__)


@pytest.mark.parametrize("function", CALLS)
def test_unknown_names_are_refused_with_those_there_are(function, tmp_path):
    inputs = (*scene(), tmp_path / "out.npy")[: 2 + (function is refine_file)]
    with pytest.raises(InvalidInput) as caught:
        function(*inputs, gama=1.0)
    said = str(caught.value)
    assert f"{function.__name__}() has no option 'gama'; did you mean gamma?" in said
    assert "\n" not in said
    assert [name for name in about(CALLS[function]) if name not in said] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("function", CALLS)
def test_calls_of_a_wrong_shape_are_type_errors_of_the_function(function):
    image, coarse = scene()
    with pytest.raises(TypeError, match=rf"{function.__name__}\(\) missing .*coarse"):
        function(image)
    with pytest.raises(TypeError, match=rf"{function.__name__}\(\) too many positional"):
        function(image, coarse, "out.npy", "evidence")
    with pytest.raises(TypeError, match=rf"{function.__name__}\(\) multiple values.*image"):
        function(image, coarse, image=image)


def test_params_are_complete():
    with pytest.raises(TypeError, match="needs scale, passes"):
        Params(elements=np.zeros((1, 1, 1), np.int8))


# ---- words and defaults --------------------------------------------------------------------------


def default_said(name, method):
    """Return the default that the docstring of refine has for an option under a method."""
    text = " ".join(inspect.getdoc(refine).split())
    (sentence,) = re.findall(
        rf"\b{name} : .*?Default: (.*?)(?:\. |, and|, rounded| times| for)", text
    )
    first, *others = re.split(r' \("(?=\w+":)', sentence)
    found = {"evidence": first}
    found |= dict(re.match(r'(\w+)": (.*)\)', other).groups() for other in others)
    value = found.get(method, first)
    return value.strip('"') if value.startswith('"') else float({"True": 1}.get(value, value))


@pytest.mark.filterwarnings("ignore::hdseg_gpu.RefinementWarning")
@pytest.mark.parametrize("method", METHODS)
@both_roads
def test_what_is_not_given_is_what_the_docstring_says(road, method, tmp_path):
    """The report of a call without options, against the words that users read."""
    image, planes = scene("probabilities", scale=3)
    _, coarse = scene("labels", scale=3)
    used = road(image, planes, tmp_path, method=method)[1]
    of_labels = road(image, coarse, tmp_path, method=method)[1]
    for name in ("beta", "gamma", "unsure", "majority", "prune"):
        assert getattr(used, name) == default_said(name, method), name
    assert of_labels.interpolation == default_said("interpolation", method)
    assert used.interpolation == "linear"
    if method == "published":  # evidence has fewer passes in its last round
        assert used.passes == round(default_said("passes", method) * used.scale)
        assert used.solver == "direct" == default_said("solver", method)


def test_the_methods_change_options_that_there_are():
    for changed in METHODS.values():
        assert changed.keys() <= about(Options).keys()
    assert usual("passes") == default_said("passes", "evidence") == 12


def test_every_option_is_described():
    for kind in (RefineCall, FileCall):
        for name, said in about(kind).items():
            assert said.text.endswith("."), name
            assert "{default}" not in (inspect.getdoc(refine) + inspect.getdoc(refine_file))
            if name in about(Options):
                assert said.help.endswith("."), name


def test_the_command_has_the_options_of_refine_file(capsys, monkeypatch):
    from hdseg_gpu.cli import main

    monkeypatch.setenv("COLUMNS", "250")
    assert main(["refine", "--help"]) == 0
    said = " ".join(re.sub("[│|]", " ", capsys.readouterr().out).split())
    for name, parameter in inspect.signature(refine_file).parameters.items():
        if name in ("image", "coarse", "output", "progress"):
            continue
        flag = "--" + name.replace("_", "-")
        assert re.search(rf" {flag} ", said), name
        assert (f"--no-{flag[2:]} " in said) == (parameter.annotation == bool | None), name
        sentence = described(name, about(FileCall)[name], about(FileCall)[name].help, "")
        assert sentence in said, name


@pytest.mark.parametrize("function", CALLS)
def test_warnings_point_at_the_caller(function, tmp_path):
    image, coarse = scene("labels")
    inputs = (image, coarse, tmp_path / "out.npy")[: 2 + (function is refine_file)]
    with pytest.warns(hdseg_gpu.RefinementWarning, match="unsure=0.1 has no effect") as caught:
        function(*inputs, unsure=0.1)
    assert {warning.filename for warning in caught} == {__file__}
