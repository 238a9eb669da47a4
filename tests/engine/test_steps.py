"""The order of the algorithm's steps, as described in docs/decisions/0006-evidence.md."""

from dataclasses import replace

import numpy as np
import pytest
from engine_internals import params

from hdseg_gpu.engine.steps import (
    Contradiction,
    Decided,
    Detail,
    Redraw,
    Seeds,
    Solve,
    Statistics,
    steps,
)
from hdseg_gpu.pipeline.rounds import lengths_of

SCALE = 4.0
PARAMS = params(passes=48, scale=SCALE)
# Passes of thinning, spread of colour windows, weight of colours: of three rounds, and the walker.
ROUNDS = [(12, 14, 1.1), (4, 8, 1.1), (4, 5, 1.1)]
DOUBTED, TRUSTED = (2, 3, 1.5), (2, 3, 1.0)
SOFT, RAGGED = 0.1, 0.3  # flips per edge of a coarse map: of a network, of a reduced mask
# Counts of pixels near boundaries of each class, and of those with another class's colours.
MANY, NONE = np.array([[1000, 1000], [400, 400]]), np.array([[1000, 1000], [0, 0]])


def driven(params, answer):
    """Return all steps, and what they come to; answer: of a step, what is sent back."""
    seen, order, given = [], steps(params, lengths_of(params, (512, 512))), None
    while True:
        try:
            seen.append(order.send(given))
        except StopIteration as end:
            return seen, end.value
        given = answer(seen[-1])


def answers(detail=SOFT, counts=MANY, unknown=lambda seeds: 100):
    def answer(step):
        match step:
            case Detail():
                return detail
            case Seeds():
                return unknown(step)
            case Contradiction():
                return counts
        return None

    return answer


def kinds(seen):
    return [type(step) for step in seen]


def seeds_of(seen):
    return [step for step in seen if isinstance(step, Seeds)]


def test_a_doubted_map_has_all_rounds():
    seen, decided = driven(PARAMS, answers())
    assert kinds(seen) == [
        Statistics, Detail, Seeds, Contradiction, Redraw,
        Seeds, Redraw, Seeds, Redraw, Seeds, Solve,
    ]  # fmt: skip
    thinned = seeds_of(seen)
    assert [s.number for s in thinned] == [s.redrawn for s in thinned] == [0, 1, 2, 3]
    assert [tuple(s.look) for s in thinned] == [*ROUNDS, DOUBTED]
    assert [s.passes for s in thinned] == [SCALE * units for units in (12, 4, 4, 2)]
    assert all(s.fresh for s in thinned)
    assert [s.first for s in thinned] == [True, False, False, False]
    assert [s.last for s in thinned] == [False, False, False, True]
    assert decided == Decided(thinned[-1], 1.0)
    redrawn = [step for step in seen if isinstance(step, Redraw)]
    assert [step.seeds for step in redrawn] == thinned[:3]
    assert {step.doubt for step in (*redrawn, seen[-1])} == {1.0}
    assert seen[3].seeds == thinned[0]
    assert seen[-1].seeds == thinned[-1]


def test_a_map_that_the_colours_bear_out_is_trusted():
    seen, decided = driven(PARAMS, answers(counts=NONE))
    assert kinds(seen) == [Statistics, Detail, Seeds, Contradiction, Seeds, Solve]
    first, last = seeds_of(seen)
    assert (first.number, last.number, last.redrawn) == (0, 3, 0)
    assert (first.fresh, last.fresh) == (True, False)  # the same classes, thinned less
    assert (tuple(last.look), last.passes) == (TRUSTED, 2 * SCALE)
    assert decided.doubt == seen[-1].doubt == 0.0


def test_a_ragged_map_is_trusted_without_a_look_at_the_colours():
    seen, decided = driven(PARAMS, answers(detail=RAGGED))
    assert kinds(seen) == [Statistics, Detail, Seeds, Solve]
    assert seeds_of(seen)[0].fresh
    assert decided.doubt == 0.0


@pytest.mark.parametrize("nothing_left", [0, 1, 2])
def test_rounds_end_where_nothing_is_unknown(nothing_left):
    def unknown(seeds):
        return 0 if seeds.number == nothing_left else 100

    seen, decided = driven(PARAMS, answers(unknown=unknown))
    last = seeds_of(seen)[-1]
    assert (last.number, last.redrawn, last.fresh) == (3, nothing_left, False)
    assert sum(isinstance(step, Redraw) for step in seen) == nothing_left
    assert decided.doubt == (1.0 if nothing_left else 0.0)
    assert isinstance(seen[-1], Solve)


def test_nothing_is_solved_where_nothing_is_unknown():
    seen, _ = driven(PARAMS, answers(detail=RAGGED, unknown=lambda seeds: 0))
    assert kinds(seen) == [Statistics, Detail, Seeds]


def test_without_evidence_there_is_one_thinning_with_all_passes():
    seen, decided = driven(replace(PARAMS, gamma=0.0), answers())
    assert kinds(seen) == [Statistics, Seeds, Solve]
    assert seen[1] == Seeds(number=3, redrawn=0, passes=48, look=None, fresh=True)
    assert decided.doubt is None


def test_no_round_has_more_passes_than_asked_for():
    seen, _ = driven(replace(PARAMS, passes=10), answers())
    assert [s.passes for s in seeds_of(seen)] == [10, 10, 10, 8]
