"""Refining a file tile by tile, in bounded memory."""

from hdseg_gpu.engine.arguments import FileCall
from hdseg_gpu.engine.budget import Plan
from hdseg_gpu.engine.disk_store import DiskStore
from hdseg_gpu.engine.file_run import FileRun, Refinement
from hdseg_gpu.engine.output import TileLabels
from hdseg_gpu.engine.phases import OnDisk
from hdseg_gpu.engine.run import run as run_steps
from hdseg_gpu.engine.workspace import Workspace
from hdseg_gpu.executors.base import Executor
from hdseg_gpu.executors.local import Local
from hdseg_gpu.executors.progress import Meter


def refine_by_tiles(
    run: FileRun, call: FileCall, workspace: Workspace, plan: Plan, executor: Executor | None
) -> Refinement:
    """Refine an image tile by tile; its labels stay in the workspace.

    executor: None for threads of this process, within its memory.
    """
    store = DiskStore(
        ops=run.ops,
        image=run.image,
        boundary=run.boundary,
        coarse=run.coarse.summary,
        shape=run.source.shape,
        params=run.params,
        workspace=workspace,
        tile=plan.tile,
        threads=plan.threads,
        skip=call.on_error == "skip",
        sigma=call.sigma,
        device_memory=run.device_memory,
        final=run.final,
        plan=plan if executor is None else None,
    )
    phases = OnDisk(store, executor or Local(plan.workers), run.stages, Meter(call.progress))
    found = run_steps(phases, run.stages)
    labels = TileLabels(phases.store, found.seeds, frozenset(found.decided), run.stages)
    return Refinement(
        found=found, labels=labels, tile=plan.tile, tiles=len(store.tiles), workers=plan.workers
    )
