import numpy as np
import pytest

from hdseg_gpu import structuring_elements

# Written by hand from the textbook (Gonzalez & Woods): N and NE; the others are rotations.
N3 = [[-1, -1, -1], [0, 1, 0], [1, 1, 1]]
NE3 = [[0, -1, -1], [1, 1, -1], [1, 1, 0]]


def test_3x3_are_the_textbook_elements():
    expected = [np.rot90(e, -k) for k in range(4) for e in (N3, NE3)]
    np.testing.assert_array_equal(structuring_elements("3x3"), expected)


@pytest.mark.parametrize("name", ["3x3", "9x9"])
def test_eight_rotations_of_int8(name):
    elements = structuring_elements(name)
    n = int(name[0])
    assert elements.shape == (8, n, n)
    assert elements.dtype == np.int8
    for k in range(2, 8):
        np.testing.assert_array_equal(elements[k], np.rot90(elements[k - 2], -1))


def test_9x9_counts_and_first_two():
    elements = structuring_elements("9x9")
    assert [((e == 1).sum(), (e == -1).sum(), (e == 0).sum()) for e in elements] == [
        (25, 24, 32)
    ] * 8
    rows = ["000000000", ".0000000.", "..00000..", "...000...", "....1....",
            "...111...", "..11111..", ".1111111.", "111111111"]  # fmt: skip
    north = [[{"0": -1, "1": 1, ".": 0}[c] for c in row] for row in rows]
    np.testing.assert_array_equal(elements[0], north)
    rows = ["....00000"] * 4 + ["111110000"] + ["11111...."] * 4
    north_east = [[{"0": -1, "1": 1, ".": 0}[c] for c in row] for row in rows]
    np.testing.assert_array_equal(elements[1], north_east)


def test_a_9x9_match_is_a_3x3_match():
    large, small = structuring_elements("9x9")[:, 3:6, 3:6], structuring_elements("3x3")
    assert (large[small != 0] == small[small != 0]).all()
