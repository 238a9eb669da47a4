"""The files of an image: one, all of a folder, or others beside it or named in it."""

import os
import re
import stat
from collections.abc import Collection, Iterator
from heapq import heappop, heappush
from pathlib import Path

from hdseg_gpu.core.errors import InvalidInput, shown
from hdseg_gpu.io.img import sides_of
from hdseg_gpu.io.paths import is_zarr, real_within
from hdseg_gpu.io.vrt import named_files
from hdseg_gpu.io.zarr_files import ATTRIBUTES, METADATA

_MOST = 10_000_000  # files and folders of a store
_LONGEST = 64 << 20  # upper bound of the bytes of a file that names others

Member = tuple[str, os.stat_result]  # name relative to the image's folder, status


def members_of(path: Path, key: str | None = None, *, trusted: bool = False) -> Iterator[Member]:
    """Yield the files with an image's pixels and metadata, the main file first.

    key: an array in a Zarr folder, of which nothing else is considered. Sidecar files without
    pixels (world files, statistics) do not count: viewers write them. trusted: whether mosaics
    outside the folder may be read for the files they name.
    """
    main = path.stat()
    if stat.S_ISDIR(main.st_mode):
        if is_zarr(path):
            yield from _in_store(path, key)
        return
    yield path.name, main
    for other in _beside(path, trusted):
        try:
            yield os.path.relpath(other, path.parent), other.stat()
        except OSError:  # missing; if it appears later, the number of files changes
            continue


def _in_store(path: Path, key: str | None) -> Iterator[Member]:
    if key is None or not (path / key).is_dir():
        # Labels are stored inside the image's group, and may be the output being written.
        yield from _walked(path, path, path.name, ("labels",) if _is_picture(path) else ())
        return
    if real_within(os.path.realpath(path), path / key) is None:
        raise InvalidInput(f"{path}: the key {shown(key)} leads out of the folder; name another.")
    above = path
    for part in Path(key).parts:  # metadata on the way belong to the array
        for name in METADATA:
            if (above / name).is_file():
                yield os.path.relpath(above / name, path.parent), (above / name).stat()
        above = above / part
    yield from _walked(path, above, f"{path.name}/{key}", ())


def _is_picture(path: Path) -> bool:
    return any(b'"multiscales"' in _content(path / name) for name in ATTRIBUTES)


def _walked(store: Path, top: Path, name: str, but: Collection[str]) -> Iterator[Member]:
    """Yield the files in a folder of a store, each folder once.

    Links to folders are followed only within the store, and after everything else, so that the
    result does not depend on the order of entries. They, and links that lead out, count as files
    themselves. but: names in the folder to leave out.
    """
    root, seen, count = os.path.realpath(store), set[tuple[int, int]](), 0
    folders, links = [(name, str(top))], list[tuple[str, str]]()
    while folders or links:
        above, folder = folders.pop() if folders else heappop(links)
        try:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            entries = os.scandir(folder)
        except FileNotFoundError:  # removed in the meantime
            continue
        with entries:
            for entry in entries:
                if (folder == str(top) and entry.name in but) or entry.name.endswith(".hdseg"):
                    continue
                count += 1
                if count > _MOST:
                    raise InvalidInput(
                        f"{store} has more than {_MOST} files; save it with larger chunks, or name "
                        "an array in it as the key."
                    )
                inner = f"{above}/{entry.name}"
                try:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append((inner, entry.path))
                    elif not entry.is_symlink():
                        yield inner, entry.stat(follow_symlinks=False)
                    else:
                        real = real_within(root, entry.path)
                        whole = real is not None and not os.path.isdir(real)
                        yield inner, entry.stat(follow_symlinks=whole)
                        if real is not None and not whole:
                            heappush(links, (inner, real))
                except FileNotFoundError:  # a broken link, or removed in the meantime
                    continue


def _beside(path: Path, trusted: bool) -> list[Path]:
    """Return the other files of an image that is a file."""
    suffix = path.suffix.lower()
    if suffix == ".vrt":
        folder = path.parent.resolve()  # the names are resolved, too
        named = named_files(path, trusted=trusted)
        return [path.parent / os.path.relpath(other, folder) for other in named]
    if suffix == ".img":
        return sides_of(path)
    if suffix == ".mrxs" and path.with_suffix("").is_dir():
        return sorted(path.with_suffix("").iterdir())
    if suffix == ".dcm":  # the files of a slide are those of its series in the folder
        return sorted(p for p in path.parent.glob("*.[dD][cC][mM]") if p.name != path.name)
    if suffix in (".vms", ".vmu"):
        values = re.findall(rb"^[^=\r\n]+=[ \t]*([^\r\n]+)", _content(path), re.MULTILINE)
        names = {os.path.basename(os.fsdecode(value.strip())) for value in values}
        return [path.with_name(n) for n in sorted(names - {"", path.name})]
    return []


def _content(path: Path) -> bytes:
    """Return the content of a regular file, else nothing: a pipe would not end."""
    if not path.is_file():
        return b""
    with path.open("rb") as stream:
        return stream.read(_LONGEST)
