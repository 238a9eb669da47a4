"""A process that tries cases one after another, and announces each to the monitor."""

import faulthandler
import gc
import json
import logging
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from fuzz import calls, corpus, guard, mutants, planted, reads, resumes
from fuzz.mutants import generator
from fuzz.oracle import Finding

_WARM = ("rgb8.png", "rgb.jpg", "jpeg.tif", "slide.svs", "rows.npy", "v3.zarr.zip", "v2.zarr",
         "rgb.jp2", "mosaic.vrt", "one.npz")  # fmt: skip


class Worker:
    """Works in a private folder, and checks that nothing else is touched."""

    def __init__(self, root: Path, seed: int, most_memory: int) -> None:
        self.place, self.seed, self.most = reads.Place(root, most_memory), seed, most_memory
        for folder in (self.place.case, self.place.out, self.place.tmp, self.place.outside):
            folder.mkdir(parents=True)
        reads.write_inputs(root / "inputs")
        _write_secrets(self.place.outside)
        os.chdir(root)
        os.environ["TMPDIR"] = str(self.place.tmp)
        os.environ["HDSEG_DEBUG"] = "1"  # the command raises instead of printing a line
        logging.disable(logging.CRITICAL)
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for the process's life
        self._warm_up()
        guard.limit_memory(2 * most_memory)
        guard.limit_files(1 << 30)
        self.guard = guard.Guard(root)
        self.outside = guard.Watch(self.place.outside)
        self.inputs = guard.Watch(root / "inputs", changes_only=True)

    def _warm_up(self) -> None:
        """Read intact files, so that libraries start their threads and open permanent files."""
        for seed in corpus.seeds():
            if seed.entry in _WARM:
                path = mutants.Mutant(seed.entry, seed.files, "").write(self.place.case)
                reads.try_everything(Random(seed.entry), path, self.place)
        resumes.begun(self.place)
        self._clear()

    def run(self, case: str) -> list[Finding]:
        """Try a case and return its findings."""
        campaign, _, number = case.partition(":")
        os.ftruncate(2, 0)  # the log: in the end it is about the last case
        os.lseek(2, 0, os.SEEK_SET)
        try:
            found, origin = self._guarded(campaign, generator(campaign, self.seed, int(number)))
        finally:
            self._clear()
        return [Finding(**{**each.to_dict(), "case": case, "origin": origin}) for each in found]

    def _guarded(self, campaign: str, rng: Random) -> tuple[list[Finding], str]:
        act = self._prepared(campaign, rng)
        guard.forget_peak()
        open_before = guard.descriptors()
        self.guard.arm()
        try:
            findings, origin = act()
        finally:
            events = self.guard.disarm()
            guard.fill_memory_with(0)
        peak = guard.peak()
        if peak > self.most:
            findings.append(Finding("memory", "peak", "", f"{peak >> 20} MiB", "whole case"))
        findings += [Finding("outside", what, "", of, "whole case") for what, of in events]
        for name in self.outside.names():
            findings.append(Finding("outside", "file", name, "was touched", "whole case"))
        for name in self.inputs.names():
            findings.append(Finding("outside", "file", name, "was changed", "whole case"))
        return findings + self._left(guard.descriptors() - open_before), origin

    def _prepared(self, campaign: str, rng: Random) -> Callable[[], tuple[list[Finding], str]]:
        """Write the files of a case, and return a function that tries it."""
        if campaign == "calls":
            return lambda: calls.try_one(rng, self.place)
        if campaign == "resumes":
            return resumes.prepared(rng, self.place)
        mutant = mutants.mutant(rng)
        path = mutant.write(self.place.case)

        def act() -> tuple[list[Finding], str]:
            judge = reads.try_everything(rng, path, self.place)
            for name, data in mutant.files.items():
                same = (self.place.case / name).read_bytes() == data
                judge.require(same, "whole case", "a file was changed")
            count = sum(1 for each in self.place.case.rglob("*") if each.is_file())
            judge.require(count == len(mutant.files), "whole case", "a file was added")
            return judge.findings, mutant.origin

        return act

    def _left(self, opened: set[str]) -> list[Finding]:
        """Return findings of resources that a case did not release."""
        found = []
        if opened:
            gc.collect()
            still = sorted(each.split(" ", 1)[1] for each in opened & guard.descriptors())
            ours = [each for each in still if str(self.place.root) in each or "deleted" in each]
            if ours:
                names = [each.rpartition("/")[2] for each in ours]
                found.append(Finding("descriptor", "open file", "", f"{names}", "whole case"))
        if any(self.place.tmp.iterdir()):
            names = [each.name for each in self.place.tmp.iterdir()]
            found.append(Finding("outside", "temporary file", "", f"left {names}", "whole case"))
        return found

    def _clear(self) -> None:
        for folder in (self.place.case, self.place.out, self.place.tmp):
            for path in folder.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()


def _write_secrets(folder: Path) -> None:
    """Write files that no case may open."""
    shutil.copy(Path(__file__).parents[1] / "tests/data/strips.tif", folder / "secret.tif")
    (folder / "secret.npy").write_bytes(b"secret")
    os.mkfifo(folder / "fifo")


def serve(spec: dict[str, Any]) -> None:
    """Try all cases of a specification, with a line of JSON to the pipe before and after each."""
    faulthandler.enable()
    pipe = os.fdopen(spec["pipe"], "w", buffering=1)

    def tell(**what: Any) -> None:
        print(json.dumps(what), file=pipe, flush=True)

    worker = Worker(Path(spec["root"]), spec["seed"], spec["memory"])
    if spec["plant"] is not None:
        planted.plant(spec["plant"])
    tell(ready=True)
    for case in spec["cases"]:
        tell(begin=case)
        try:
            found = worker.run(case)
        except MemoryError:  # in the fuzzer itself, after a case that used all memory
            found = [Finding("memory", "fuzzer", "", traceback.format_exc()[-300:], "", case=case)]
        tell(end=case, found=[each.to_dict() for each in found])
    tell(done=True)


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
