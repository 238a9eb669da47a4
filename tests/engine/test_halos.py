"""Halos are wide enough, and not wider than necessary: with a smaller one results differ."""

import numpy as np
import pytest
import scipy.linalg
import two_roads
from engine_internals import constants, halo_of_blocks, record_evidence, shrink, small_world

from hdseg_gpu import refine, refine_file

pytestmark = pytest.mark.filterwarnings("ignore::hdseg_gpu.RefinementWarning")

EASTERN = np.array([[[0, 0, 0], [0, 1, -1], [0, 0, 0]]], np.int8)  # goes if its right differs
SECOND_EASTERN = np.zeros((1, 5, 5), np.int8)  # goes if what is two pixels to its right differs
SECOND_EASTERN[0, 2, 2:] = 1, 0, -1

# ---- blocks: how far a walker comes ----------------------------------------------------------


@pytest.mark.parametrize("gamma", [0.1, 0.3, 1.0, 5.0, 1000.0])
def test_no_walker_comes_farther_than_the_halo_of_a_block(gamma):
    """Along a line without edges: what is at its end has less than 1e-9 of the potential.

    The halo follows from a bound for the worst of all images; one pixel less, and the bound is
    larger than that.
    """
    halo = halo_of_blocks(gamma)
    bands = np.full((2, halo), -1.0)
    bands[0, 0], bands[1] = 0.0, 2.0 + gamma
    right = np.zeros(halo)
    right[-1] = 1.0  # the neighbour of the last pixel is a seed
    potentials = scipy.linalg.solveh_banded(bands, right)
    assert 0 < potentials[0] < 1e-9
    assert 4 * (1 + gamma) ** -halo <= 1e-9 < 4 * (1 + gamma) ** -(halo - 1)


def test_nobody_can_tell_how_far_without_evidence():
    assert halo_of_blocks(0.0) is halo_of_blocks(0.01) is None


def test_what_a_block_misses_falls_off_with_each_pixel_of_its_halo(monkeypatch):
    """Where all edges have the weight 1, as r^-halo with r + 1 / r = 2 + gamma, as along a line.

    So each pixel less is seen, and the bound from which the halo follows holds.
    """
    case = two_roads.half_doubted(3, 1, 90, 2, solver="direct", beta=0.0)

    def potentials():
        return refine(case.image, case.coarse, return_probabilities=True, **case.options)[1]

    one_block, whole = potentials(), halo_of_blocks(1.0)
    small_world(monkeypatch, enough=1 << 18)
    assert np.abs(potentials() - one_block).max() < 1e-9
    for halo in range(3, 11):
        with monkeypatch.context() as patched:
            shrink(patched, "blocks", whole - halo)
            missed = np.abs(potentials() - one_block).max()
        assert 0.02 < missed * ((3 + 5**0.5) / 2) ** halo < 0.05
        assert missed < 4 * 2.0**-halo


@pytest.mark.parametrize("road", two_roads.ROADS)
@pytest.mark.parametrize("last_halo", [1024, 8])
def test_blocks_that_walkers_leave(last_halo, road, tmp_path, monkeypatch):
    """Between two columns of seeds without edges, the nearer one wins, however far it is.

    Walkers of a block whose surroundings must not grow end there: what is closer to that end has
    the class of the map.
    """
    small_world(monkeypatch, side=64)  # the first halo has 8 pixels
    constants(monkeypatch, _LAST_HALO=last_halo)
    left, right, width = 52, 201, 264  # the last column that is known to be 0, the first that is 1
    coarse, x, expected = np.zeros((10, width), np.uint8), np.arange(width), np.zeros(width, bool)
    coarse[:, right:] = 1
    labels, report = road(
        tmp_path, np.full(coarse.shape, 90, np.uint8), coarse, elements=EASTERN, gamma=0.0,
        scale=4.0, passes=right - left - 1, prune=False, majority=1, interpolation="nearest",
        solver="direct",
    )  # fmt: skip
    assert report.unknown_pixels == 10 * (right - left - 1)
    side = 64 if road is two_roads.by_file else width  # in memory it is solved as a whole
    for block in (slice(i, i + side) for i in range(0, width, side)):
        ends = max(left, block.start - last_halo), min(right, block.stop + last_halo - 1)
        expected[block] = (x[block] >= right) | (2 * x[block] > sum(ends)) & (ends[1] == right)
    np.testing.assert_array_equal(labels, np.tile(expected, (10, 1)))
    assert (report.uncertified_pixels > 0) == (last_halo == 8 and side == 64)


# ---- seeds: how far thinning and pruning come ------------------------------------------------


def unknown_of(tmp_path, coarse, **options):
    image = np.random.default_rng(3).integers(0, 256, coarse.shape).astype(np.uint8)
    report = refine_file(
        image, coarse, tmp_path / "labels.npy", tile=128, overwrite=True, gamma=0.0, scale=4.0,
        interpolation="nearest", **options,
    )  # fmt: skip
    return report.unknown_pixels


@pytest.mark.parametrize(
    ("elements", "passes"), [(EASTERN, 20), (EASTERN.repeat(4, axis=0), 5), (SECOND_EASTERN, 10)]
)
def test_a_column_that_thinning_comes_to_in_its_last_pass(elements, passes, tmp_path, monkeypatch):
    """A boundary 20 columns into the next tile: its last pass takes the last column of this.

    So far do sets come whose elements all look the same way; others may not come as far.
    """
    small_world(monkeypatch)
    coarse = np.zeros((100, 256), np.uint8)
    coarse[:, 127 + 20 :] = 1
    options = {"elements": elements, "passes": passes, "prune": False}
    assert unknown_of(tmp_path, coarse, **options) == 100 * 20
    shrink(monkeypatch, "seeds", 1)
    assert unknown_of(tmp_path, coarse, **options) == 100 * 19


def test_a_line_that_is_no_spur_as_thinning_comes_first(tmp_path, monkeypatch):
    """A line of 2 passes hangs on a block that thinning leaves 2 columns of: less than 3 x 3.

    That the block ends where it does is seen `passes` columns behind what pruning looks at.
    """
    small_world(monkeypatch)
    coarse = np.zeros((60, 256), np.uint8)
    coarse[30, 127:137] = 1  # its first pixel is in this tile
    coarse[29:32, 137:144] = 1
    options = {"elements": EASTERN, "passes": 5, "prune": True}
    left_of_both, of_the_block = 3 * 5, 3 * 5
    assert unknown_of(tmp_path, coarse, **options) == left_of_both + of_the_block
    shrink(monkeypatch, "seeds", 1)
    assert unknown_of(tmp_path, coarse, **options) == left_of_both + of_the_block + 1


# ---- colours: which colour windows have an influence -----------------------------------------

CASES = [
    two_roads.half_doubted(3, 1, 90, 2),
    two_roads.half_doubted(4, 2, 60, 2, "ignored"),
    two_roads.half_doubted(3, 2, 60, 1, "probabilities"),
]


def rounds(case, refined, monkeypatch):
    """Return the evidence of each round of a call."""
    with monkeypatch.context() as patched:
        found = record_evidence(patched, case.image.shape[:2])
        refined(case.image, case.coarse, **case.options)
    return found


@pytest.mark.parametrize("case", CASES, ids=["labels", "ignored", "probabilities"])
def test_evidence_in_tiles_is_that_of_the_whole_to_the_last_bit(case, tmp_path, monkeypatch):
    def in_tiles(*arguments, **options):
        output = tmp_path / "labels.npy"
        refine_file(*arguments, output, tile=128, overwrite=True, **options)

    small_world(monkeypatch, enough=1 << 18)
    whole = rounds(case, refine, monkeypatch)
    found = rounds(case, in_tiles, monkeypatch)
    assert len(found) >= 5  # the contradiction, three wide rounds and the last one
    assert found.keys() == whole.keys()
    for key, (label, share) in whole.items():
        np.testing.assert_array_equal(found[key][0], label)
        np.testing.assert_array_equal(found[key][1], share)
    shrink(monkeypatch, "colours", 1)
    less = rounds(case, in_tiles, monkeypatch)
    assert any(
        key not in less or (less[key][1] != share).any() for key, (_, share) in whole.items()
    )


def test_evidence_with_less_around_what_is_smoothed_is_not(tmp_path, monkeypatch):
    """The majority filter between the rounds needs one pixel of the next tile."""
    case = CASES[0]

    def in_tiles(*arguments, **options):
        output = tmp_path / "labels.npy"
        refine_file(*arguments, output, tile=128, overwrite=True, **options)

    small_world(monkeypatch, enough=1 << 18)
    found = rounds(case, in_tiles, monkeypatch)
    constants(monkeypatch, SMOOTHING_REACH=0)
    less = rounds(case, in_tiles, monkeypatch)
    assert any(
        key not in less or (less[key][1] != share).any() for key, (_, share) in found.items()
    )


# ---- the coarse map: which of its pixels interpolation reads ---------------------------------


@pytest.mark.parametrize("taps", [2, 1])
def test_interpolation_reads_two_coarse_pixels_beyond_a_tile(taps, tmp_path, monkeypatch):
    small_world(monkeypatch)
    constants(monkeypatch, _TAPS=taps)
    planes = np.random.default_rng(5).random((2, 32, 40)).astype(np.float32)
    image = np.zeros((256, 320), np.uint8)
    options = {"passes": 0, "interpolation": "cubic", "gamma": 0.0, "majority": 1}
    refine_file(image, planes, tmp_path / "labels.npy", tile=128, **options)
    same = np.array_equal(np.load(tmp_path / "labels.npy"), refine(image, planes, **options))
    assert same == (taps == 2)
