"""Learning that modules were imported, as soon as they are."""

import sys
from collections.abc import Callable, Collection, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class Watch(MetaPathFinder):
    """Calls a function after any of some modules was imported, between start and stop.

    It stands first among the finders, lets the others find the module, and adds the call to its
    loader, which keeps its type: data files of the module are found through it.
    """

    def __init__(self, names: Collection[str], then: Callable[[], None]) -> None:
        self._names, self._then = names, then

    def start(self) -> None:
        """Begin; the modules that are imported already are not reported."""
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def stop(self) -> None:
        """End."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return what the other finders find."""
        if fullname not in self._names:
            return None
        for finder in list(sys.meta_path):
            if finder is not self and hasattr(finder, "find_spec"):
                spec = finder.find_spec(fullname, path, target)
                if spec is not None:
                    self._report_from(spec.loader)
                    return spec
        return None

    def _report_from(self, loader: Any) -> None:
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            vars(loader).pop("exec_module", None)
            execute(module)
            self._then()

        loader.exec_module = exec_module
