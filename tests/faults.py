"""Faults for ``mutations.py`` to plant, typical of engines, and the tests that must notice them.

A fault replaces a text of the source. If that text does not occur exactly once, the fault is stale
and must be rewritten. If no test notices a fault, add a test; do not replace the fault.
"""

from typing import NamedTuple


class Fault(NamedTuple):
    """A text in a file of the package, and what stands there instead."""

    name: str
    file: str  # below the package
    text: str
    instead: str
    tests: tuple[str, ...]  # "engine/truths" or "files/refine_file::test_of_that_file"


TRUTHS, ROADS, HALOS = "engine/truths", "engine/two_roads", "engine/halos"
OPTIONS, RESUME, MEMORY = "engine/options", "engine/resume", "engine/memory"
STEPS, CALLS, PARTS = "engine/steps", "engine/calls", "engine/parts"
COARSE = "io/coarse_source"
IN_PARTS = f"{TRUTHS}::test_blocks_in_parts"
SAMPLES, FORGED, EXECUTORS = "pipeline/samples", "files/forged", "executors/executors"
OUTPUT, IDENTITY = "engine/output", "files/identity"
BY_FILE = f"{TRUTHS}::test_block_by_block_and_from_file_to_file"
FAULTS: list[Fault] = []


def fault(name: str, file: str, text: str, instead: str, *tests: str) -> None:
    """Add a fault to the list."""
    FAULTS.append(Fault(name, file, text, instead, tests))


# fmt: off
# ---- sigma and what colours are seen as ------------------------------------------------------

fault("pooled sigma forgets channels", "pipeline/statistics.py",
      "apart**2 * self.means.size * (", "apart**2 * (", OPTIONS)
fault("pooled sigma forgets what is between parts", "pipeline/statistics.py",
      "self.squares + other.squares + between", "self.squares + other.squares", OPTIONS)
fault("means of parts are not weighted", "pipeline/statistics.py",
      "self.means + (other.means - self.means) * (other.pixels / pixels)",
      "(self.means + other.means) / 2", TRUTHS)
fault("beta is not divided by the root of the channels", "pipeline/statistics.py",
      "edge_scale /= 10.0 * sqrt(of_edges.means.size)", "edge_scale /= 10.0", TRUTHS)
fault("colours are seen by the deviation of the edges", "pipeline/statistics.py",
      "spread = of_image.deviation", "spread = of_edges.deviation", TRUTHS)

# ---- blocks ----------------------------------------------------------------------------------

fault("a block looks 2 pixels far instead of 32", "pipeline/block.py",
      "return halo if halo <= _LARGEST_HALO else None",
      "return 2 if halo <= _LARGEST_HALO else None", HALOS)
fault("a block does not look far enough for the filter", "pipeline/block.py",
      "core.padded(halo + params.majority // 2, shape)", "core.padded(halo, shape)", TRUTHS)
fault("blocks look a pixel less far than their halo", "pipeline/block.py",
      "core.padded(halo + params.majority // 2, shape)",
      "core.padded(halo + params.majority // 2 - 1, shape)", HALOS)
fault("the tally counts halos", "pipeline/block.py",
      "if scope.core == scope.outer:", "if True:", TRUTHS)
fault("labels of blocks are put one pixel off", "pipeline/block.py",
      "here, there = core.relative_to(scope.outer).slices, core.relative_to(part.outer).slices",
      "here, there = core.relative_to(scope.outer).slices, "
      "core._replace(left=max(0, core.left - 1)).relative_to(part.outer).slices", IN_PARTS)
fault("blocks share the seeds that become labels", "pipeline/block.py",
      "Scope(core, window, scope.seeds[inside].copy(), image, features)",
      "Scope(core, window, scope.seeds[inside], image, features)", IN_PARTS)
fault("blocks have no edges of their own", "pipeline/block.py",
      "if scope.features is not scope.image:", "if False:", IN_PARTS)
fault("the final filter has the side of the rounds", "pipeline/block.py",
      "ops.majority(seeds, band, params.majority)", "ops.majority(seeds, band, 3)", TRUTHS)
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
fault("nearest_others count that are farther", "pipeline/rounds.py",
      "_FAR = 16.0", "_FAR = 3.0", TRUTHS)
fault("redrawn labels are not smoothed", "engine/tasks.py",
      'ops.majority(marked, band, SMOOTHING)',
      'ops.majority(marked, band, 1)', TRUTHS)
fault("rounds forget what the last one found", "engine/memory_store.py",
      'replace(self._context, redrawn=cells)',
      'replace(self._context, redrawn=None)', TRUTHS)
fault("redrawn classes are never used", "engine/steps.py",
      'redrawn = i + 1',
      'redrawn = i', TRUTHS, STEPS)
fault("ignored cells have colours", "pipeline/evidence.py",
      "if self.ignored is not None:", "if False:", TRUTHS)
fault("probabilities count as far as distances", "pipeline/evidence.py",
      "if self.coarse.probabilities is None:\n            return self._trusted(doubt)",
      "if True:\n            return self._trusted(doubt)", TRUTHS)
fault("a doubted network counts as a trusted one", "pipeline/evidence.py",
      "_TRUST_PROBABILITY / self.lengths.unit * (1 - doubt)",
      "_TRUST_PROBABILITY / self.lengths.unit", TRUTHS)
fault("the scale that was given is forgotten", "pipeline/doubt.py",
      "if scale <= coarse.scale_to(shape) * (1 + 1e-9):", "if True:", TRUTHS, ROADS)

# ---- the same from file to file --------------------------------------------------------------

fault("the map is not continued beneath what is ignored", "engine/kept_coarse.py",
      'if "ignored" in kept:', "if False:", BY_FILE)
fault("walls become a class where bytes are full", "engine/solve_tile.py",
      'found[seeds == wall_of(seeds.dtype)] = wall_of(found.dtype)',
      'pass', PARTS)
fault("tiles are redrawn without their surroundings", "engine/tasks.py",
      'outer = core.padded(SMOOTHING_REACH, store.shape)',
      'outer = core', BY_FILE)
fault("seeds are those of the first round", "engine/disk_store.py",
      'self.plane(f"known{step.number}").read(window)',
      'self.plane("known0").read(window)', BY_FILE)
fault("redraws look with the first round", "engine/tasks.py",
      'context.model(step.seeds.look, step.doubt, store.nearby)',
      'context.model(step.seeds.look._replace(weight=1.5), step.doubt, store.nearby)', BY_FILE)
fault("contexts have the windows of the last round", "engine/disk_store.py",
      'windows_for(step.look.spread, lengths)',
      'windows_for(3.0, lengths)', HALOS)
fault("redraws begin from the map each time", "engine/tasks.py",
      'classes = store.classes(step.seeds.redrawn, outer)\n',
      'classes = store.classes(0, outer)\n', BY_FILE)
fault("cells are those after the last redraw but one", "engine/disk_store.py",
      'self._cells(step.redrawn, outer) if step.redrawn else None',
      'self._cells(step.redrawn - 1, outer) if step.redrawn else None', BY_FILE)
fault("the contradiction's origin is the patch's", "engine/tasks.py",
      '(window.top - corner.top, window.left - corner.left)',
      '(0, 0)', BY_FILE)
fault("the contradiction is measured on all patches", "engine/disk_store.py",
      'grouped(sample(unknown), self.shape',
      'grouped(unknown > 0, self.shape', BY_FILE)
fault("a wide round too few is redrawn", "engine/steps.py",
      'enumerate(WIDE if detail < MOST_DETAIL else ())',
      'enumerate(WIDE[:-1] if detail < MOST_DETAIL else ())', TRUTHS, STEPS)
fault("redrawn passes are those of the first round", "engine/steps.py",
      'wide_passes(i, params, lengths)',
      'wide_passes(0, params, lengths)', TRUTHS, STEPS)
fault("the last passes know no doubt", "engine/steps.py",
      'passes, look = last_passes(doubt, params, lengths), last_round(doubt)',
      'passes, look = params.passes, last_round(doubt)', TRUTHS, STEPS)
fault("without evidence there are fewer passes", "engine/steps.py",
      'doubt, redrawn, passes, look = None, 0, params.passes, None',
      'doubt, redrawn, passes, look = None, 0, params.passes // 2, None', TRUTHS, STEPS)
fault("a class before thinning is one after it", "engine/tasks.py",
      'ops.mark_present(classes, present[0])',
      'ops.mark_present(seeds - (seeds > 0), present[0])', TRUTHS)
fault("halos of seeds are halved", "engine/tasks.py",
      'outer = core.padded(reach_of(store.params, step.passes), store.shape)',
      'outer = core.padded(reach_of(store.params, step.passes) // 2, store.shape)', HALOS)
fault("halos of seeds forget pruning", "pipeline/seeds.py",
      "2 * passes + 2 if params.prune", "2 * passes + 1 if params.prune", HALOS)
fault("halos of colours are a window short", "pipeline/colours.py",
      "(3 * max(radii) + 1) * size", "(3 * max(radii)) * size", HALOS)
fault("windows of colours begin anywhere", "engine/disk_store.py",
      'window.padded(halo, self.shape).aligned(size, self.shape)',
      'window.padded(halo, self.shape)', HALOS)
fault("cells do not look for nearest_others around their window", "engine/disk_store.py",
      'outer = inner.padded(lengths.reach, plane.shape)',
      'outer = inner', HALOS)
fault("the map's part is too small for an interpolation", "core/windows.py",
      "_TAPS = 2", "_TAPS = 1", BY_FILE, "core/tiles")
fault("unknown pixels are put into the patch of the window", "pipeline/doubt.py",
      "(rows + window.top) // PATCH * patches[1] + (columns + window.left) // PATCH",
      "rows // PATCH * patches[1] + columns // PATCH", BY_FILE)
fault("tiles in the last column are not decided", "engine/disk_store.py",
      'np.flatnonzero(in_squares(unknown, self.tile)).tolist()',
      'np.flatnonzero(in_squares(unknown, self.tile)[:, :-1]).tolist()', BY_FILE)
fault("boundary maps are forgotten", "engine/solve_tile.py",
      'edges = store.edges(window)\n',
      'edges = None if store.edges(window) is None else image[..., :1]\n', BY_FILE)
fault("a block that walkers leave is not looked at more widely", "engine/solve_tile.py",
      'or found.escape_probability <= store.params.tolerance or',
      'or True or', "files/refine_file::test_walkers_that_go_far",
      "files/refine_file::test_a_wide_blob_gets_a_larger_window")
fault("labels of tiles that are not decided are those of the map", "engine/output.py",
      'labels = store.seeds(self.step, window)',
      'labels = store.unrefined(window)', TRUTHS)

# ---- what is asked for -----------------------------------------------------------------------

fault("probabilities come back on the first axis", "api.py",
      'axes.insert(validate.axis_of("class_axis", call.class_axis) % 3, 0)',
      'axes.insert(0, 0)', OPTIONS)
fault("sigma as given is not used", "pipeline/statistics.py",
      "unit * of_edges.deviation if known is None else known",
      "unit * of_edges.deviation", OPTIONS)
fault("gamma is forgotten by the matrix", "pipeline/graph.py",
      'band, features, params.edges, statistics.edge_scale, seeds, solved, places, params.gamma',
      'band, features, params.edges, statistics.edge_scale, seeds, solved, places, 0.0', TRUTHS)

# ---- resumed runs, and memory ----------------------------------------------------------------

fault("a run is resumed with another boundary map", "engine/file_run.py",
      '"boundary": None if self.boundary is None else self.boundary.plain(),',
      '"boundary": self.boundary is None,', RESUME)
fault("a run is resumed with another picture", "engine/file_run.py",
      '"image": self.image.plain(),', '"image": "",', RESUME)
fault("a run is resumed with another coarse map", "engine/kept_coarse.py",
      'found.update(b"".join(self._hashes))', "pass", RESUME)
fault("values of a coarse map need not be read in the same type", "engine/kept_coarse.py",
      "sha256(repr((self.shape, self.dtype.str, self._source.axis)).encode())",
      "sha256(repr((self.shape, self._source.axis)).encode())", RESUME)
fault("a run is resumed with a coarse map whose last part is another", "engine/kept_coarse.py",
      'found.update(b"".join(self._hashes))', 'found.update(b"".join(self._hashes[:-1]))', COARSE)
fault("a run is resumed with another ignored label", "engine/file_run.py",
      '"ignore_index": self.coarse.summary.ignore_index,', "", RESUME)
fault("a run is resumed with other options", "engine/file_run.py",
      "            **options,\n", "", RESUME)
fault("a run is resumed with another sigma", "files.py",
      '"sigma": call.sigma, ',
      '', RESUME)
fault("a run is resumed with another tile", "files.py",
      '"tile": plan.tile,', "", RESUME)
fault("a run is resumed after another cut", "engine/file_run.py",
      '"block": [BLOCK, CUT_ERROR],', '"block": [BLOCK],', RESUME)
fault("a run is resumed by another version", "engine/workspace.py",
      "    if then != now:\n", "    if False:\n", RESUME)
fault("the plan halves halos", "engine/budget.py",
      "halo = reach + size + (halo_of(params.gamma) or 256)",
      "halo = (reach + size + (halo_of(params.gamma) or 256)) // 2", MEMORY)
fault("the plan knows only the last round", "engine/budget.py",
      "look = WIDE[0] if self.doubtful else LAST", "look = LAST", MEMORY)
fault("the plan forgets unknown pixels", "engine/budget.py",
      "solve + unknown * _FOR_UNKNOWN)", "solve)", MEMORY,
      "files/refine_file::test_the_plan_fits_the_budget")
fault("the plan is for one worker", "engine/budget.py",
      "at_once = min(most, budget // need.of_tile(size))", "at_once = most",
      "files/refine_file::test_the_plan_fits_the_budget")

# ---- steps, and what stores keep -----------------------------------------------------------------

fault("an ideal map is doubted", "engine/steps.py",
      "if doubt == 0:\n                    break", "if False:\n                    break",
      TRUTHS, STEPS)
fault("rounds go on where nothing is unknown", "engine/steps.py",
      "if (yield seeds) == 0:\n                break",
      "if (yield seeds) == 0:\n                pass", STEPS)
fault("redraws know no doubt", "engine/steps.py",
      "yield Redraw(seeds, doubt)", "yield Redraw(seeds, 0.0)", TRUTHS, STEPS)
fault("the walker knows no doubt", "engine/steps.py",
      "yield Solve(seeds, doubt or 0.0)", "yield Solve(seeds, 0.0)", TRUTHS, STEPS)
fault("cells are computed again for the same classes", "engine/steps.py",
      "seeds = Seeds(len(WIDE), redrawn, passes, look, thinned < redrawn)",
      "seeds = Seeds(len(WIDE), redrawn, passes, look, True)", STEPS)
fault("several blocks share the seeds", "engine/solve_tile.py",
      "alone = len(blocks) == 1 and window == outer", "alone = window == outer", TRUTHS)
fault("labels are written into the seeds", "engine/solve_tile.py",
      "labels = seeds[core.relative_to(outer).slices].copy()",
      "labels = seeds[core.relative_to(outer).slices]", TRUTHS)
fault("blocks without unknown pixels have no probabilities", "engine/solve_tile.py",
      "if not store.wants_probabilities:", "if True:", TRUTHS)
fault("edges of the ends are not looked at", "engine/solve_tile.py",
      "if inside and bool((seeds[part] == 0).any())", "if False", HALOS)
fault("undecided labels of a far block stay undecided", "engine/solve_tile.py",
      "if outer.shape != store.shape:", "if False:", HALOS)
fault("models are needed where the first round needed them", "engine/memory_store.py",
      "self.nearby = found.pop() if step.look is not None else None",
      "self.nearby = self.nearby or (found.pop() if step.look is not None else None)", TRUTHS)
fault("sampled patches are all patches", "pipeline/doubt.py",
      "    for patch in patches:\n        rows",
      "    for patch in range(len(patches)):\n        rows",
      BY_FILE)
fault("tiles that were redrawn are read from an earlier round", "engine/disk_store.py",
      'plane = self.plane(f"classes{redrawn}")', 'plane = self.plane("classes1")', BY_FILE)
fault("the walls of a window are forgotten", "engine/disk_store.py",
      "if self.coarse.ignore_index is not None:", "if False:", BY_FILE)
fault("statistics of one block are forgotten", "engine/run.py",
      "for result in results.values() for block in result[\"blocks\"]",
      "for result in results.values() for block in result[\"blocks\"][:1]", OPTIONS)
fault("classes that only one tile has are lost", "engine/run.py",
      "found[np.array(result[name], np.int64)] = True",
      "found[:] = False\n        found[np.array(result[name], np.int64)] = True",
      f"{TRUTHS}::test_classes_that_thinning_takes_away_are_named")
fault("the tally is the last tile's", "engine/run.py",
      'self.tally += restored(Tally, result["tally"])',
      'self.tally = restored(Tally, result["tally"])', BY_FILE)

# ---- samples of patches --------------------------------------------------------------------------

fault("patches are always looked at together", "pipeline/doubt.py",
      "if together <= apart else", "if True else", SAMPLES)
fault("patches are never looked at together", "pipeline/doubt.py",
      "if together <= apart else", "if False else", SAMPLES)
fault("groups do not know their halo", "pipeline/doubt.py",
      "_area(around(shape, patches).padded(halo, shape))",
      "_area(around(shape, patches))", SAMPLES)
fault("a group's window ends where its first patch does", "pipeline/doubt.py",
      "max(w.bottom for w in windows), max(w.right for w in windows), shape,",
      "windows[0].bottom, max(w.right for w in windows), shape,", SAMPLES, BY_FILE)
fault("the band of a sample is that of its window", "pipeline/doubt.py",
      "masked = ops.xp.full_like(seeds, wall_of(seeds.dtype))",
      "masked = seeds.copy()", SAMPLES, BY_FILE)

# ---- what stores keep, and records ---------------------------------------------------------------

fault("a store in memory makes cells again", "engine/memory_store.py",
      "if not step.fresh:", "if False:", CALLS)
fault("a store on disk makes cells again", "engine/disk_store.py",
      "if not step.fresh:", "if False:", CALLS)
fault("the band is found again", "engine/memory_store.py",
      "        return self._band\n", "        return self.ops.band(seeds)\n", CALLS)
fault("classes before thinning are those of the last round", "engine/steps.py",
      "return self.fresh and self.redrawn == 0", "return self.fresh", TRUTHS, STEPS)
fault("all records are believed", "engine/records.py",
      "        return False\n", "        return True\n", FORGED)
fault("records name unknown pixels outside the tile", "engine/records.py",
      "_true(common is not None and 0 < _whole(count) <= _pixels(common))",
      "_true(common is not None and 0 < _whole(count))", FORGED)
fault("records name classes that there are not", "engine/records.py",
      "_true(not classes or classes[-1] < store.coarse.count)", "pass", FORGED)
fault("records count more contradictions than pixels", "engine/records.py",
      "_true(all(0 <= _whole(w) <= _whole(t) for t, w in zip(total, wrong, strict=True)))",
      "pass", FORGED)
fault("records name other planes", "engine/records.py",
      '_equal(result["planes"], ["labels"])', "pass", FORGED)
fault("planes of a record need not be whole", "engine/phases.py",
      "return result if all(plane.is_whole(index) for plane in written) else None",
      "return result", FORGED)
fault("tiles of an earlier run stay redrawn", "engine/phases.py",
      'self.store.plane(f"classes{redrawn}").forget_all_but(tiles)', "pass", FORGED)
fault("the last phase has the workers of the first plan", "engine/budget.py",
      "workers=min(self.workers, self.budget // each)", "workers=self.workers",
      PARTS)

# ---- files of a run, and its output --------------------------------------------------------------

fault("cells of the coarse map are those of the last redraw", "engine/disk_store.py",
      "            self._cells(0, outer),\n", "            self._cells(step.redrawn, outer),\n",
      BY_FILE)
fault("a tile that only earlier rounds redrew is the map's again", "engine/disk_store.py",
      "classes = self.classes(redrawn - 1, window)", "classes = self.classes(0, window)", TRUTHS)
fault("a redraw forgets the one before it", "engine/run.py",
      "before_redrawing(step.seeds.redrawn + 1, tiles)",
      "before_redrawing(step.seeds.redrawn, tiles)", TRUTHS)
fault("a patch has the unknown pixels of its last seed tile alone", "engine/disk_store.py",
      'np.int64)] += np.array(result["unknown"]', 'np.int64)] = np.array(result["unknown"]',
      f"{TRUTHS}::test_patches_in_two_tiles_have_the_unknown_pixels_of_both")
fault("the last strip of the coarse map is left out", "engine/disk_store.py",
      "for top in range(0, max(1, grid[0] - OVERLAP), step):",
      "for top in range(0, max(1, grid[0] - OVERLAP - step), step):",
      f"{TRUTHS}::test_the_coarse_map_is_read_a_few_rows_at_a_time")
fault("rows that strips of the coarse map share count twice", "pipeline/doubt.py",
      "shared = ops.boundary_detail(strip[:OVERLAP]) if i else (0, 0)", "shared = 0, 0",
      f"{TRUTHS}::test_the_coarse_map_is_read_a_few_rows_at_a_time")
fault("strips of the coarse map see less than they blur", "pipeline/doubt.py",
      "OVERLAP = 8 ", "OVERLAP = 7 ", "io/coarse_source")
fault("each part of the map says itself whether it has logits", "core/coarse_map.py",
      "value_ops.normalise(stack, self.logits, flat, first)",
      "value_ops.normalise(stack, bool(stack.max() > 1), flat, first)", COARSE)
fault("the last part of the map is not looked at", "io/coarse_source.py",
      "for window in parts_of(whole(self.grid), self.storage, self._pixel):",
      "for window in list(parts_of(whole(self.grid), self.storage, self._pixel))[:-1]:", COARSE)
fault("places in later parts of the map are counted from their corner", "core/coarse_map.py",
      "found.append([row + window.top, column + window.left])",
      "found.append([row, column])", COARSE)
fault("what lies above a strip of the map is forgotten", "pipeline/ignored.py",
      "_seen_before(own, holes, rows.start, above_at[i], above[i])",
      "_seen_before(own, holes, rows.start, above_at[0], above[0])", COARSE)
fault("what lies below a strip of the map is forgotten", "pipeline/ignored.py",
      "at, seen = down[0], second[0]", "pass", COARSE)
fault("tiles that are left as they are have no walls", "engine/disk_store.py",
      "labels: Classes = self.classes(0, window) + 1\n        return self._walled(window, labels)",
      "labels: Classes = self.classes(0, window) + 1\n        return labels", OUTPUT)
fault("an alpha channel is a colour", "engine/disk_store.py",
      "validate.image(values, -1, self.image.alpha, Stages())",
      "validate.image(values, -1, False, Stages())", OPTIONS)
fault("a sample of patches counts twice", "engine/run.py",
      "np.sum(counts, axis=0)", "np.sum([*counts, counts[0]], axis=0)",
      f"{TRUTHS}::test_the_coarse_map_is_read_a_few_rows_at_a_time",
      f"{TRUTHS}::test_patches_in_two_tiles_have_the_unknown_pixels_of_both")
fault("tiles that could not be redrawn are solved", "engine/run.py",
      "tiles, step, sorted(self.lost))", "tiles, step, [])",
      "files/refusals::test_tiles_that_need_the_garbage_around_them")
fault("seconds of the last phase are the last tile's", "engine/phases.py",
      "total.get(name, 0.0) + spent", "spent", RESUME)
fault("a tile on the host is not reported", "engine/phases.py",
      "                self._stages.fall_back(result[\"fallback\"])\n", "                pass\n",
      "engine/fallback")
fault("tiles leave the device that was asked for", "engine/disk_store.py",
      "            if self.final:\n", "            if False:\n", "engine/fallback")
fault("a tile that does not fit keeps its backend", "engine/disk_store.py",
      "function(replace(self, ops=host))", "function(self)", "engine/fallback")
fault("what an earlier attempt counted is dropped", "engine/phases.py",
      "        return found\n", '        return found if name != "tiles" else '
      "{i: found[i] for i in missing}\n", RESUME)
fault("files that change are not looked at", "engine/phases.py",
      "        self.store.check_inputs()\n", "",
      f"{IDENTITY}::test_no_phase_begins_after_a_change")
fault("progress of a resumed run begins at nothing", "engine/phases.py",
      "len(indices), len(found))", "len(indices), 0)", RESUME)
fault("a map without unknown pixels is solved", "engine/steps.py",
      "if (yield seeds) > 0:", "if (yield seeds) >= 0:", STEPS)
fault("a detailed map is doubted", "engine/steps.py",
      "WIDE if detail < MOST_DETAIL else ()", "WIDE", STEPS)
fault("a strip stays when the writer is past it", "engine/output.py",
      "if self._strip is None or self._strip[0] != first:", "if self._strip is None:", OUTPUT)
fault("windows of two strips are read from the first", "engine/output.py",
      "if first != last or window.width", "if window.width", OUTPUT)
fault("the ignored label does not count for the bits of a PNG", "engine/output.py",
      "max([int(coarse.values.max()), *known])", "int(coarse.values.max())", OUTPUT)
fault("a run that is complete does not say so", "engine/output.py",
      "        self.workspace.about_to_name(self._complete, report)\n", "", FORGED)
fault("a record of another tile is believed", "engine/workspace.py",
      "place == (self.key, phase, index) else", "place[:2] == (self.key, phase) else", FORGED)
fault("errors that were skipped count as none", "engine/workspace.py",
      '{"on_error": ("fail", "skip")}', '{"on_error": ("skip", "fail")}', RESUME)

# ---- who runs the tasks --------------------------------------------------------------------------

fault("after an error the rest is done all the same", "executors/local.py",
      "while len(running) < self.workers and (index", "while (index", EXECUTORS)
fault("results come in the order of tiles", "executors/local.py",
      "yield running.pop(future), future.result()",
      "yield min(running.values()), (running.pop(future), future.result())[1]", EXECUTORS)
fault("results of workers come in the order of tiles", "executors/dask.py",
      "                index = running.pop(future)\n",
      "                index = min(running.values())\n                running.pop(future)\n",
      EXECUTORS)
fault("workers compare the image alone", "executors/dask_worker.py",
      "    for given in inputs:\n", "    for given in inputs[:1]:\n", EXECUTORS)
fault("workers that come later may have another version", "executors/dask_worker.py",
      "if version(PACKAGE) != release:", "if False:", EXECUTORS)
fault("time left forgets what was done before", "executors/progress.py",
      "now = perf_counter() - self._start, self._done - self._before",
      "now = perf_counter() - self._start, self._done", EXECUTORS)
fault("the speed is that of the last tile", "executors/progress.py",
      "self._pixels += pixels", "self._pixels = pixels", EXECUTORS)

# ---- lazy arrays, and files that are refined at once ---------------------------------------------

fault("lazy arrays forget the axis of the classes", "lazy.py",
      "options = values_of(call, CallOptions)",
      'options = values_of(call, CallOptions) | {"class_axis": 0}', OPTIONS)
fault("lazy labels have the type of another axis", "lazy.py",
      "coarse_labels(coarse, call.class_axis,", "coarse_labels(coarse, 0,", OPTIONS)
fault("all rows of lazy blocks are the first", "lazy.py",
      "unpacked(packed, j, core.shape)", "unpacked(packed, j % grid.columns, core.shape)",
      "files/refine_file::test_dask_arrays_are_lazy")
fault("an alpha channel is a colour where a file fits", "engine/whole_file.py",
      "-1, run.image.alpha, Stages())", "-1, False, Stages())", OPTIONS)
fault("arrays that fit are not looked at", "engine/file_run.py",
      "        check_values(image=self.image, boundary=self.boundary)\n", "",
      f"{IDENTITY}::test_an_array_that_changes_while_it_is_refined_at_once")
fault("a boundary map that fits is not looked at", "engine/file_run.py",
      "        check_unchanged(self.boundary)\n", "",
      f"{IDENTITY}::test_a_file_that_changes_while_the_picture_is_refined_at_once")
fault("a coarse map's file is not looked at where the image fits", "engine/file_run.py",
      "            self.coarse_file.check(thoroughly=True)\n", "            pass\n",
      f"{IDENTITY}::test_a_file_that_changes_while_the_picture_is_refined_at_once")
fault("an unfinished run is in nobody's way", "engine/whole_file.py",
      " and not folder_for(target).exists()", "", RESUME)
fault("the map of a file that fits is not continued", "engine/kept_coarse.py",
      "return continued(self._decoder.decoded(array, self._value_ops, reuse=self._reuse))",
      "return self._decoder.decoded(array, self._value_ops, reuse=self._reuse)",
      "pipeline/ignore_index::test_a_file_that_is_refined_at_once_has_the_labels_of_its_array")
