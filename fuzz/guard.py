"""Detects forbidden effects: other files, programs, the network, memory and descriptors."""

import ctypes
import os
import resource
import sys
import sysconfig
from pathlib import Path
from typing import Any

_M_PERTURB = -6  # of glibc's mallopt
_IN_OPEN, _IN_CHANGED = 0x20, 0x2 | 0x4 | 0x40 | 0x80 | 0x100 | 0x200
_NONBLOCK = 0o4000
_PROGRAMS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.spawn",
             "pty.spawn")  # fmt: skip
_NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto",
            "urllib.Request", "ftplib.connect", "http.client.connect")  # fmt: skip
_CHANGES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chmod",
            "os.truncate", "shutil.rmtree", "shutil.move")  # fmt: skip
_SYSTEM = ("/proc", "/sys", "/dev/null", "/dev/urandom", "/usr", "/lib", "/lib64", "/etc")


class Guard:
    """Records forbidden events between `arm` and `disarm`, and blocks those that could do harm."""

    def __init__(self, root: Path) -> None:
        """`root` has the folders case, inputs, out, tmp and outside; the last is forbidden."""
        self.root = os.path.realpath(root)
        self._events: list[tuple[str, str]] = []
        self._armed = False
        code = [sys.prefix, sys.base_prefix, *sysconfig.get_paths().values()]
        code += [p for p in sys.path if p] + [str(Path(__file__).resolve().parents[1])]
        inside = [f"{self.root}/{name}" for name in ("case", "inputs", "out", "tmp")]
        self._readable = (*_SYSTEM, *code, *map(os.path.realpath, code), *inside)
        self._writable = tuple(f"{self.root}/{name}" for name in ("out", "tmp"))
        sys.addaudithook(self._hear)

    def arm(self) -> None:
        """Start recording."""
        self._events.clear()
        self._armed = True

    def disarm(self) -> list[tuple[str, str]]:
        """Stop recording and return pairs (event, detail)."""
        self._armed = False
        return list(dict.fromkeys(self._events))

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if not self._armed:
            return
        if event == "open":
            self._opened(*args)
        elif event in _PROGRAMS:
            self._forbid("a program is started", f"{event}({args[0]!r:.200})")
        elif event in _NETWORK:
            self._forbid("the network is used", f"{event}{args[1:]!r:.200}")
        elif event == "pickle.find_class":
            self._forbid("something is unpickled", repr(args))
        elif event in _CHANGES:
            self._changed(event, args)

    def _changed(self, event: str, args: tuple[Any, ...]) -> None:
        folder = ""
        if isinstance(args[-1], int) and args[-1] >= 0 and event != "os.truncate":
            folder = f"/proc/self/fd/{args[-1]}/"  # what the name is relative to
        for path in args[:2]:
            if isinstance(path, str | bytes | os.PathLike):
                full = folder + os.fsdecode(path)
                follow = event in ("os.chmod", "os.truncate")  # the others do not follow links
                if not self._within(full, self._writable, follow):
                    self._forbid("a file outside is changed", f"{event}({full!r:.200})")

    def _opened(self, path: Any, mode: Any, flags: Any) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return
        name = os.fsdecode(path)
        if mode is None and not os.path.isabs(name):
            return  # by os.open, which does not report what the name is relative to
        if name in ("/dev/null", "/proc/self/clear_refs") or name.startswith("<"):
            return
        writes = isinstance(flags, int) and flags & (
            os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        )
        follow = not (isinstance(flags, int) and flags & os.O_NOFOLLOW)
        if writes and not self._within(name, self._writable, follow):
            self._forbid("a file outside is opened to write", repr(name)[:200])
        elif not self._within(name, self._readable, follow):
            self._forbid("a file outside is opened", repr(name)[:200])

    def _within(self, path: str, roots: tuple[str, ...], follow: bool) -> bool:
        try:
            folder, last = os.path.split(path)
            full = os.path.realpath(path) if follow else f"{os.path.realpath(folder)}/{last}"
        except (OSError, ValueError):
            return True  # it cannot be a file
        return any(full == root or full.startswith(root + "/") for root in roots)

    def _forbid(self, what: str, detail: str) -> None:
        self._events.append((what, detail))
        raise PermissionError(f"fuzz: {what}: {detail}")


class Watch:
    """Detects whether any code, compiled code included, opened or changed a file in a folder."""

    def __init__(self, folder: Path, changes_only: bool = False) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._file = self._libc.inotify_init1(_NONBLOCK)
        mask = _IN_CHANGED if changes_only else _IN_OPEN | _IN_CHANGED
        self._libc.inotify_add_watch(self._file, os.fsencode(folder), mask)

    def names(self) -> list[str]:
        """Return the names of files that were touched since the last call."""
        found: list[str] = []
        try:
            while data := os.read(self._file, 1 << 16):
                at = 0
                while at < len(data):
                    length = int.from_bytes(data[at + 12 : at + 16], "little")
                    found.append(os.fsdecode(data[at + 16 : at + 16 + length].rstrip(b"\0")))
                    at += 16 + length
        except BlockingIOError:
            pass
        return sorted(set(found))


def fill_memory_with(byte: int) -> None:
    """Fill newly allocated memory with a byte, to expose uninitialised reads; 0 turns it off."""
    ctypes.CDLL(None).mallopt(_M_PERTURB, byte)


def limit_memory(more: int) -> None:
    """Limit the address space of this process to `more` bytes above its current size."""
    now = _status("VmSize")
    resource.setrlimit(resource.RLIMIT_AS, (now + more, resource.RLIM_INFINITY))


def limit_files(most: int) -> None:
    """Limit the size of files to `most` bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


def forget_peak() -> None:
    """Reset the peak resident memory."""
    with open("/proc/self/clear_refs", "w") as stream:
        stream.write("5")


def peak() -> int:
    """Return the peak resident memory since the reset, in bytes."""
    return _status("VmHWM")


def _status(name: str) -> int:
    with open("/proc/self/status") as stream:
        for line in stream:
            if line.startswith(name + ":"):
                return int(line.split()[1]) << 10
    return 0


def descriptors() -> set[str]:
    """Return the target of each open descriptor."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
        except OSError:  # the descriptor of this listing
            continue
    return found
