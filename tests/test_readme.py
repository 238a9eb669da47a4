"""The README's two commands are those that CI runs, and its Python example works."""

import re
from pathlib import Path

import numpy as np
import pytest
from gallery import blobs, photograph, reduced

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.M | re.S)


def test_ci_runs_exactly_the_two_commands():
    commands = "".join(blocks("sh")[:2]).strip().splitlines()
    assert commands == [
        "pip install . && hdseg demo",
        'pip install -c constraints-cpu.txt ".[test]" && pytest',
    ]
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert [line for line in lines if line in commands] == commands


def test_python_example_runs(tmp_path, monkeypatch):
    from hdseg_gpu.io import write_labels, write_picture

    truth = blobs((64, 96))
    write_picture(tmp_path / "photo.png", photograph(truth))
    write_labels(tmp_path / "coarse.png", reduced(truth, 4))
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks("python"):
        exec(block, names)
    assert names["labels"].shape == truth.shape
    assert names["report"].unknown_pixels > 0


def test_every_option_of_refine_is_documented():
    import inspect

    import hdseg_gpu

    for function in (hdseg_gpu.refine, hdseg_gpu.refine_file):
        text = inspect.getdoc(function)
        section = text.partition("Parameters\n")[2].partition("Returns\n")[0]
        documented = re.findall(r"^(\w+) : ", section, re.M)
        assert documented == list(inspect.signature(function).parameters)


def test_numbers_in_documents_are_those_of_the_code():
    from inspect import signature

    import hdseg_gpu
    from hdseg_gpu.core.options import usual
    from hdseg_gpu.pipeline.block import halo_of

    guide = " ".join((ROOT / "docs" / "large-images.md").read_text().split())
    defaults = {n: p.default for n, p in signature(hdseg_gpu.refine_file).parameters.items()}
    for pattern, text, expected in (
        (r"`tol` \(default ([\d.e-]+)\)", README, defaults["tol"]),
        (r"`--worker-timeout` seconds \(default: (\d+)\)", guide, defaults["worker_timeout"]),
        (r"from gamma = [\d.]+ on \((\d+) is the default\)", guide, usual("gamma")),
    ):
        assert float(re.search(pattern, text)[1]) == expected
    limit = float(re.search(r"bit by bit from gamma = ([\d.]+) on", guide)[1])
    assert halo_of(limit) is not None
    assert halo_of(0.9 * limit) is None
    assert f"gamma < {limit:g} " in hdseg_gpu.refine_file.__doc__


@pytest.mark.parametrize("path", sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/**/*.md")))
def test_links_in_documents_lead_somewhere(path):
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", path.read_text()):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("name", ["image.jpg", "coarse.png", "truth.png"])
def test_demo_data_is_attributed(name):
    from importlib.resources import files

    text = (files("hdseg_gpu") / "data" / "demo" / "ATTRIBUTION.md").read_text()
    assert f"`{name}`" in text
    assert "CC BY 4.0" in text
    assert np.asarray((files("hdseg_gpu") / "data" / "demo" / name).read_bytes()).size
