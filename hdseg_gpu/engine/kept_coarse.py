"""The coarse map of a run: checked part by part, kept as .npy files in the workspace."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu import backends
from hdseg_gpu.core.coarse_map import decoder_of, whole_map
from hdseg_gpu.core.memory import Budget, MiB
from hdseg_gpu.core.params import Coarse, CoarseSummary
from hdseg_gpu.core.report import Stages
from hdseg_gpu.core.values import in_memory_order
from hdseg_gpu.core.windows import Window
from hdseg_gpu.engine.workspace import Workspace
from hdseg_gpu.io.coarse_source import CoarseSource
from hdseg_gpu.io.identity import Changed
from hdseg_gpu.io.npy import NewNpy, Npy
from hdseg_gpu.pipeline.ignored import continued, extend_into_ignored

_SMALL = 64 * MiB  # which every plan allows for
_ARRAYS = ("classes", "probabilities", "ignored")


class CoarseValues:
    """A coarse map after one pass over its values, in memory or part by part."""

    def __init__(
        self,
        source: CoarseSource,
        stages: Stages,
        ignore_index: int | None,
        allowed: Budget,
        *,
        at_once: bool,
    ) -> None:
        """Raise InvalidInput for maps that ``decoder_of`` refuses.

        at_once: whether the map is read once and held in memory until ``in_memory``.
        """
        if not at_once and source.room > _SMALL:
            allowed.require(
                source.room, f"{source.name}: reading the coarse map part by part",
                "save it with smaller tiles",
            )  # fmt: skip
        self._value_ops, self._reuse = backends.of_host(), source.own
        axis = source.class_axis
        self._whole = whole_map(source.take(), axis) if at_once else None
        if at_once:
            source.close()
        self._parts = _Hashed(source)
        parts = self._whole or self._parts
        self._decoder = decoder_of(parts, axis, stages, ignore_index, self._value_ops)

    @property
    def summary(self) -> CoarseSummary:
        """Return the summary of the map."""
        return self._decoder.summary

    def in_memory(self) -> Coarse:
        """Return the map, if it was read at once; to be called only once.

        Classes are extended into ignored pixels.
        """
        assert self._whole is not None
        array, self._whole = self._whole.array, None
        return continued(self._decoder.decoded(array, self._value_ops, reuse=self._reuse))

    @property
    def content(self) -> str:
        """Return a hash of all values, if they were read part by part."""
        return self._parts.content

    def keep(self, workspace: Workspace) -> None:
        """Write the arrays of the map into the workspace, and remove those of an earlier run.

        Classes are extended into ignored pixels.
        """
        arrays = self._decoder.arrays
        with ExitStack() as stack:

            def scratch(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NewNpy:
                folder = workspace.folder
                file = tempfile.TemporaryFile(prefix=".hdseg-", dir=folder)  # noqa: SIM115
                return NewNpy(stack.enter_context(file), shape, dtype)

            kept: dict[str, NewNpy] = {}
            for name in _ARRAYS:
                file = f"coarse_{name}.npy"
                if name in arrays:
                    stream = stack.enter_context(workspace.new_file(file))
                    kept[name] = NewNpy(stream, *arrays[name])
                else:
                    workspace.file(file).unlink(missing_ok=True)
            for window, part in self._parts:
                coarse = self._decoder.decoded(part, self._value_ops)
                for name, array in kept.items():
                    array[..., *window.slices] = getattr(coarse, name)
            if "ignored" in kept:
                extend_into_ignored(kept["classes"], kept["ignored"], scratch)


class _Hashed:
    """The parts of a coarse map; reading them again raises Changed if a value differs."""

    def __init__(self, source: CoarseSource) -> None:
        self.shape, self.dtype = source.shape, source.dtype
        self._source, self._hashes = source, list[bytes]()

    @property
    def content(self) -> str:
        """Return a hash of all values, the shape, the dtype and the class axis."""
        found = sha256(repr((self.shape, self.dtype.str, self._source.axis)).encode())
        found.update(b"".join(self._hashes))
        return found.hexdigest()

    def __iter__(self) -> Iterator[tuple[Window, NDArray[Any]]]:
        for i, (window, part) in enumerate(self._source):
            ordered = np.ascontiguousarray(in_memory_order(part))
            # Other dtypes, such as dates, have no buffer; the decoder refuses them later.
            plain = ordered.dtype.kind in "biuf"
            now = sha256(ordered.data if plain else ordered.tobytes()).digest()
            if i == len(self._hashes):
                self._hashes.append(now)
            elif self._hashes[i] != now:
                raise Changed(
                    f"{self._source.name} was changed while the run read it; start over with "
                    "overwrite=True."
                )
            yield window, part


def kept_coarse(workspace: Workspace, coarse: CoarseSummary) -> Coarse:
    """Return the coarse map; windows of its arrays are read from the disk when they are cut."""
    loaded: dict[str, Any] = {
        name: Npy(path)  # closed when it is no longer referenced
        for name in _ARRAYS
        if (path := workspace.file(f"coarse_{name}.npy")).exists()
    }
    return Coarse(
        coarse.values, loaded.get("classes"), loaded.get("probabilities"),
        loaded.get("ignored"), coarse.ignore_index,
    )  # fmt: skip
