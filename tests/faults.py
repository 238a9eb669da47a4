"""Faults of the kind that drivers have, for ``mutations.py`` to plant, and who must notice them.

A text moves with the code that it stands in: one that is not there exactly once is stale, and is to
be written anew here. A fault that no test notices asks for a test, not for another fault.
"""

from typing import NamedTuple


class Fault(NamedTuple):
    """A text in a file of the package, and what stands there instead."""

    name: str
    file: str  # below the package
    text: str
    instead: str
    tests: tuple[str, ...]  # "engine_truths" or "scale::test_of_that_file"


TRUTHS, ROADS, HALOS = "engine_truths", "two_roads", "engine_halos"
OPTIONS, RESUME, MEMORY = "engine_options", "engine_resume", "engine_memory"
BY_FILE = f"{TRUTHS}::test_block_by_block_and_from_file_to_file"
FAULTS: list[Fault] = []


def fault(name: str, file: str, text: str, instead: str, *tests: str) -> None:
    """Add a fault to the list."""
    FAULTS.append(Fault(name, file, text, instead, tests))


# fmt: off
# ---- sigma and what colours are seen as ------------------------------------------------------

fault("pooled sigma forgets channels", "pipeline/survey.py",
      "apart**2 * self.means.size * (", "apart**2 * (", OPTIONS)
fault("pooled sigma forgets what is between parts", "pipeline/survey.py",
      "self.squares + other.squares + between", "self.squares + other.squares", OPTIONS)
fault("means of parts are not weighted", "pipeline/survey.py",
      "self.means + (other.means - self.means) * (other.pixels / pixels)",
      "(self.means + other.means) / 2", TRUTHS)
fault("beta is not divided by the root of the channels", "pipeline/survey.py",
      "strength /= 10.0 * sqrt(of_features.means.size)", "strength /= 10.0", TRUTHS)
fault("colours are seen by the deviation of the edges", "pipeline/survey.py",
      "spread = of_image.deviation", "spread = of_features.deviation", TRUTHS)

# ---- blocks ----------------------------------------------------------------------------------

fault("a block looks 2 pixels far instead of 32", "pipeline/block.py",
      "return halo if halo <= _LARGEST_HALO else None",
      "return 2 if halo <= _LARGEST_HALO else None", HALOS)
fault("a block does not look far enough for the filter", "pipeline/block.py",
      "core.grown(halo + params.median // 2, shape)", "core.grown(halo, shape)", TRUTHS)
fault("the tally counts halos", "pipeline/block.py",
      "unknown = int(ops.xp.count_nonzero(seeds[core.slices] == 0))", "pass", TRUTHS)
fault("labels of blocks are put one pixel off", "pipeline/block.py",
      "here, there = core.seen_from(scope.outer).slices, core.seen_from(part.outer).slices",
      "here, there = core.seen_from(scope.outer).slices, "
      "core._replace(left=max(0, core.left - 1)).seen_from(part.outer).slices", TRUTHS)
fault("blocks share the seeds that become labels", "pipeline/block.py",
      "Scope(core, window, scope.seeds[inside].copy(), image, features)",
      "Scope(core, window, scope.seeds[inside], image, features)", TRUTHS)
fault("blocks have no edges of their own", "pipeline/block.py",
      "if scope.features is not scope.image:", "if False:", TRUTHS)
fault("the final filter has the side of the rounds", "pipeline/block.py",
      "ops.majority(seeds, band, params.median)", "ops.majority(seeds, band, 3)", TRUTHS)
fault("uncertified labels are counted in halos, too", "pipeline/block.py",
      "region.band, solution.x, region.labels, region.places, bound, core, seeds",
      "region.band, solution.x, region.labels, region.places, bound, Window(0, 0, "
      "*seeds.shape), seeds", TRUTHS)

# ---- rounds in memory ------------------------------------------------------------------------

fault("the contradiction's classes have equal weights", "pipeline/doubt.py",
      ", weights=np.sqrt(total))", ")", TRUTHS)
fault("the contradiction is measured elsewhere", "pipeline/doubt.py",
      "_NEAR = (1.0, 2.0)", "_NEAR = (1.0, 3.0)", TRUTHS)
fault("doubt forgets the detail", "pipeline/doubt.py",
      "limit + _PER_DETAIL * log(detail / _DETAIL)", "limit", TRUTHS)
fault("the sample of patches is one patch short", "pipeline/doubt.py",
      "np.cumsum(counts[order]) - counts[order] < SAMPLE",
      "np.cumsum(counts[order]) < SAMPLE", TRUTHS)
fault("colours alone are not alone", "pipeline/evidence.py",
      "silent = drawn._replace(log=0.0, linear=0.0)", "silent = drawn", TRUTHS)
fault("the last round has the weight of all others", "pipeline/rounds.py",
      "LAST = Round(2, 3, 1.5)", "LAST = Round(2, 3, 1.1)", TRUTHS)
fault("a trusted map's round has another weight", "pipeline/rounds.py",
      "TRUSTED = Round(2, 3, 1.0)", "TRUSTED = Round(2, 3, 1.5)", TRUTHS)
fault("the third wide round looks as far as the second", "pipeline/rounds.py",
      "Round(4, 5, 1.1))", "Round(4, 8, 1.1))", TRUTHS)
fault("all wide rounds have the passes of the first", "pipeline/rounds.py",
      "return params.passes if i == 0 else min(",
      "return params.passes if i >= 0 else min(", TRUTHS)
fault("passes of the last round are not bounded by those asked for", "pipeline/rounds.py",
      "return min(params.passes, max(1,", "return max(0, max(1,", TRUTHS)
fault("doubt does not choose the last round", "pipeline/rounds.py",
      "return LAST if doubt > 0 else TRUSTED", "return LAST", TRUTHS)
fault("cells are as wide as the scale", "pipeline/rounds.py",
      "cell = max(2, round(unit / 2))", "cell = max(2, round(unit))", TRUTHS)
fault("rivals count that are farther", "pipeline/rounds.py",
      "_FAR = 16.0", "_FAR = 3.0", TRUTHS)
fault("redrawn labels are not smoothed", "pipeline/decide.py",
      "return ops.majority(seeds, band, SMOOTHING)", "return ops.majority(seeds, band, 1)", TRUTHS)
fault("rounds forget what the last one found", "pipeline/decide.py",
      "now = rounds.redraw(seeds, band, look, doubt, now, nearby)",
      "now = rounds.redraw(seeds, band, look, doubt, None, nearby) and None", TRUTHS)
fault("the last look has the classes of the map", "pipeline/decide.py",
      "scene.look(last, doubt, now, nearby)", "scene.look(last, doubt, None)", TRUTHS)
fault("ignored cells have colours", "pipeline/evidence.py",
      "if self.ignored is not None:", "if False:", TRUTHS)
fault("probabilities count as far as distances", "pipeline/evidence.py",
      "if self.coarse.probabilities is None:\n            return self._trusted(doubt)",
      "if True:\n            return self._trusted(doubt)", TRUTHS)
fault("a doubted network counts as a trusted one", "pipeline/evidence.py",
      "_TRUST_PROBABILITY / self.lengths.unit * (1 - doubt)",
      "_TRUST_PROBABILITY / self.lengths.unit", TRUTHS)
fault("the scale that was told is forgotten", "pipeline/doubt.py",
      "if scale <= coarse.scale_to(shape) * (1 + 1e-9):", "if True:", TRUTHS, ROADS)

# ---- the same from file to file --------------------------------------------------------------

fault("the map is not continued beneath what is ignored", "files.py",
      "keep_coarse(workspace, continued(network))", "keep_coarse(workspace, network)", BY_FILE)
fault("walls become a class where bytes are full", "scale/solving.py",
      "seeds[walls] = wall_of(seeds.dtype)", "pass", ROADS)
fault("tiles are redrawn without their surroundings", "scale/tasks.py",
      "outer = core.grown(SMOOTHING // 2, job.shape)", "outer = core", BY_FILE)
fault("redraws have the seeds of the first round", "scale/tasks.py",
      "marked = seeds_in(job, outer, classes, known=wide)",
      "marked = seeds_in(job, outer, classes, known=0)", BY_FILE)
fault("redraws look with the first round", "scale/tasks.py",
      "found = scene.look(WIDE[wide], job.doubt)", "found = scene.look(WIDE[0], job.doubt)",
      BY_FILE)
fault("redraws see windows of the last round", "scale/tasks.py",
      "scene = scene_of(job, outer, WIDE[wide], redrawn=wide)",
      "scene = scene_of(job, outer, WIDE[-1], redrawn=wide)", HALOS)
fault("redraws begin from the map each time", "scale/tasks.py",
      "classes = classes_in(job, wide, outer)\n    try",
      "classes = classes_in(job, 0, outer)\n    try", BY_FILE)
fault("cells are those after the last redraw but one", "scale/scene.py",
      "_cells(job, redrawn, outer) if redrawn else None",
      "_cells(job, redrawn - 1, outer) if redrawn else None", BY_FILE)
fault("the contradiction's origin is the patch's", "scale/tasks.py",
      "(patch.top - corner.top, patch.left - corner.left)", "(0, 0)", BY_FILE)
fault("the contradiction is measured on all patches", "scale/phases.py",
      "chosen = np.flatnonzero(sample(unknown)).tolist()",
      "chosen = np.flatnonzero(unknown).tolist()", BY_FILE)
fault("a wide round too few is redrawn", "scale/phases.py",
      "return len(WIDE) if detail < MOST_DETAIL else 0",
      "return len(WIDE) - 1 if detail < MOST_DETAIL else 0", BY_FILE)
fault("redrawn passes are those of the first round", "scale/phases.py",
      "Step(i, i, wide_passes(i, job.params, job.lengths))",
      "Step(i, i, wide_passes(0, job.params, job.lengths))", BY_FILE)
fault("the last passes know no doubt", "scale/phases.py",
      "passes = last_passes(runner.job.doubt, job.params, job.lengths)",
      "passes = job.params.passes", BY_FILE)
fault("without evidence there are fewer passes", "scale/phases.py",
      "passes = job.params.passes\n", "pass\n", BY_FILE)
fault("a class before thinning is one after it", "scale/phases.py",
      'before[_integers(result["before"])] = True',
      'before[_integers(result["after"])] = True', TRUTHS)
fault("halos of seeds are halved", "scale/tasks.py",
      "outer = core.grown(reach_of(job.params, step.passes), job.shape)",
      "outer = core.grown(reach_of(job.params, step.passes) // 2, job.shape)", HALOS)
fault("halos of seeds forget pruning", "pipeline/seeds.py",
      "+ (2 * passes + 4 if params.prune else 0)", "", HALOS)
fault("halos of colours are a window short", "pipeline/colours.py",
      "(3 * max(radii) + 1) * size", "(3 * max(radii)) * size", HALOS)
fault("windows of colours begin anywhere", "scale/scene.py",
      "window.grown(halo, job.shape).aligned(size, job.shape)", "window.grown(halo, job.shape)",
      HALOS)
fault("cells do not look for rivals around their window", "scale/scene.py",
      "outer = inner.grown(lengths.reach, plane.shape)",
      "outer = inner", HALOS)
fault("the map's part is too small for an interpolation", "core/windows.py",
      "_TAPS = 3", "_TAPS = 1", BY_FILE, "windows_tiles")
fault("unknown pixels are put into the patch of the window", "pipeline/doubt.py",
      "(rows + window.top) // PATCH * patches[1] + (columns + window.left) // PATCH",
      "rows // PATCH * patches[1] + columns // PATCH", BY_FILE)
fault("tiles in the last column are not decided", "scale/phases.py",
      "np.flatnonzero(in_squares(unknown, self.job.tile)).tolist()",
      "np.flatnonzero(in_squares(unknown, self.job.tile)[:, :-1]).tolist()", BY_FILE)
fault("boundary maps are read without their halo", "scale/solving.py",
      "job.read(outer, boundary=True)", "job.read(outer, boundary=False)[..., :1]", BY_FILE)
fault("a block that walkers leave is not looked at more widely", "scale/solving.py",
      "or found.leaving <= job.params.tolerance or", "or True or",
      "scale::test_walkers_that_go_far", "scale::test_a_wide_blob_gets_a_larger_window")
fault("labels of tiles that are not decided are those of the map", "scale/labels.py",
      "classes = classes_in(job, self.step.classes, window)",
      "classes = classes_in(job, 0, window)", TRUTHS)

# ---- what is asked for -----------------------------------------------------------------------

fault("lazily, the axis of the classes is forgotten", "api.py",
      "class_axis=class_axis, backend=backend, max_device_memory=max_device_memory,",
      "backend=backend, max_device_memory=max_device_memory,", OPTIONS)
fault("lazily, the ignored label is forgotten", "api.py",
      "interpolation=interpolation, median=median, ignore_index=ignore_index, "
      "alpha=alpha,\n            class_axis",
      "interpolation=interpolation, median=median, alpha=alpha,\n            class_axis", OPTIONS)
fault("lazily, the tolerance is forgotten", "api.py",
      "            solver=solver, tol=tol,\n        )  # fmt: skip\n    stages",
      "            solver=solver,\n        )  # fmt: skip\n    stages", OPTIONS)
fault("probabilities come back on the first axis", "api.py",
      'axes.insert(validate.axis_of("class_axis", class_axis) % 3, 0)',
      "axes.insert(0, 0)", OPTIONS)
fault("sigma as told is not used", "pipeline/survey.py",
      "unit * of_features.deviation if known is None else known",
      "unit * of_features.deviation", OPTIONS)
fault("gamma is forgotten by the matrix", "pipeline/graph.py",
      "band, features, params.edges, frozen.strength, seeds, solved, places, params.gamma",
      "band, features, params.edges, frozen.strength, seeds, solved, places, 0.0", TRUTHS)

# ---- resumed runs, and memory ----------------------------------------------------------------

fault("a run is resumed with another boundary map", "files.py",
      '"boundary": None if edge_map is None else edge_map.plain(),',
      '"boundary": edge_map is None,', RESUME)
fault("a run is resumed with another picture", "files.py",
      '"image": given.plain(),', '"image": "",', RESUME)
fault("a run is resumed with other ignored pixels", "files.py",
      "network.values, network.classes, network.probabilities, network.ignored)",
      "network.values, network.classes, network.probabilities)", RESUME)
fault("a run is resumed with other labels", "files.py",
      "(network.values, network.classes,", "(network.classes,", RESUME)
fault("a run is resumed with another ignored label", "files.py",
      '"ignore_index": network.ignore_index,', "", RESUME)
fault("a run is resumed with other options", "files.py",
      "        **settings,\n", "", RESUME)
fault("a run is resumed with another sigma", "files.py",
      ', "sigma": sigma,', ",", RESUME)
fault("a run is resumed with another tile", "files.py",
      '"tile": plan.tile,', "", RESUME)
fault("a run is resumed after another cut", "files.py",
      '"block": [BLOCK, CUT_ERROR],', '"block": [BLOCK],', RESUME)
fault("a run is resumed by another version", "scale/workspace.py",
      "    if then != now:\n", "    if False:\n", RESUME)
fault("the plan halves halos", "scale/memory.py",
      "halo = reach + size + (halo_of(params.gamma) or 256)",
      "halo = (reach + size + (halo_of(params.gamma) or 256)) // 2", MEMORY)
fault("the plan knows only the last round", "scale/memory.py",
      "look = WIDE[0] if self.doubtful else LAST", "look = LAST", MEMORY)
fault("the plan forgets unknown pixels", "scale/memory.py",
      "solve + unknown * _FOR_UNKNOWN)", "solve)", MEMORY, "scale::test_the_plan_fits_the_budget")
fault("the plan is for one worker", "scale/memory.py",
      "at_once = min(most, budget // need.of_tile(size))", "at_once = most",
      "scale::test_the_plan_fits_the_budget")
