"""Lazy arrays stay lazy until the task reads them."""

import numpy as np
import pytest
from gallery import blobs, photograph, reduced

from hdseg_gpu import lazy, refine


def test_no_array_is_computed_before_the_task(monkeypatch):
    """Image, coarse map and boundary map are given to refine_file as Dask's."""
    dask = pytest.importorskip("dask.array")
    truth = blobs((96, 120), 2)
    image, coarse = photograph(truth), reduced(truth, 8)
    boundary = np.random.default_rng(7).random(truth.shape)
    given, run = [], lazy.refine_file

    def seen(image, coarse, path, **options):
        given.extend((image, coarse, options["boundary"]))
        return run(image, coarse, path, **options)

    monkeypatch.setattr(lazy, "refine_file", seen)
    arrays = [dask.from_array(a, chunks=40) for a in (image, coarse, boundary)]
    labels = refine(arrays[0], arrays[1], edges="boundary", boundary=arrays[2])
    found = labels.compute(scheduler="synchronous")
    assert [type(each) for each in given] == [type(arrays[0])] * 3
    np.testing.assert_array_equal(found, refine(image, coarse, edges="boundary", boundary=boundary))
