"""Wrong values of the options of a method are refused in one line that names them and helps."""

import numpy as np
import pytest
from refusals import COARSE, IMAGE, PLANES, refused

from hdseg_gpu import refine

OPTIONS = {
    **{
        f"method {value!r}": ({"method": value}, [f"method={value!r}", "'evidence'", "'published'"])
        for value in ("Published", "", None, 2)
    },
    **{
        f"unsure {value!r}": ({"unsure": value}, [f"unsure={value!r}", "number"])
        for value in (-0.1, 1, 1.0, 1.5, np.nan, np.inf, True, "0.1")
    },
    **{
        f"majority {value!r}": ({"majority": value}, [f"majority={value!r}", "integer"])
        for value in (0, 2, -3, 17, 3.0, True, "5", np.nan)
    },
    **{
        f"prune {value!r}": ({"prune": value}, [f"prune={value!r}", "True or False"])
        for value in (1, 0, "yes", 2.5)
    },
    **{
        f"ignore_index {value!r}": ({"ignore_index": value}, [f"ignore_index={value!r}", "integer"])
        for value in (True, 255.0, "255", np.nan)
    },
    "published without a map": (
        {"method": "published", "edges": "boundary"},
        ["edges='boundary'", "needs boundary="],
    ),
    "published with a map it may not use": (
        {"method": "published", "edges": "intensity", "boundary": IMAGE},
        ["boundary=", "edges='intensity'"],
    ),
    "solver of a method": ({"method": "published", "solver": "lu"}, ["solver='lu'", "'direct'"]),
}


@pytest.mark.parametrize("case", OPTIONS)
@pytest.mark.parametrize("coarse", [COARSE, PLANES], ids=["labels", "probabilities"])
def test_refine_refuses(case, coarse):
    options, parts = OPTIONS[case]
    with refused(*parts):
        refine(IMAGE, coarse, **options)


@pytest.mark.parametrize("scale", [1e15, 1e30, 1e308])
def test_absurd_scale_is_refused_like_other_input(scale):
    with refused():
        refine(IMAGE, COARSE, scale=scale, method="published")
