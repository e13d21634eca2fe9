"""What a process sees of the file system: real files in a temporary folder, and whatever goes wrong with them.

A disk stands in for `os` in the modules that open and write a run's journal, so that the real journal and the real lock
are part of every world.
"""

from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Sequence
    from types import ModuleType

JOURNAL = "journal.jsonl"
SCREEN = frozenset({1, 2})
"""The file descriptors of stdout and stderr."""


class LostProcessError(BaseException):
    """The process is gone: nothing that it would have caught or written happens."""


class When(StrEnum):
    """Where a line of the journal is when its process is lost."""

    BEFORE = "before"
    TORN = "torn"
    AFTER = "after"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """The process is lost at a line that it writes, counted from 1."""

    line: int
    when: When


class Disk:
    """The file system of one process."""

    def __init__(self, dice: random.Random, screen: Callable[[str], object], *, loss: Loss | None = None) -> None:
        self._dice = dice
        self._screen = screen
        self._loss = loss
        self._open: dict[int, tuple[Path, int]] = {}
        """The journals that are open: where each was opened, and its inode. A number is used again after a close."""
        self._synced: dict[Path, int] = {}
        self.lines = 0
        self.full = False
        self.dead = False
        self.at_once = False
        """True if the process ended itself in a handler."""
        self.before_lock: Callable[[], object] | None = None
        """Runs just before the process takes the lock of its run."""

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)

    # --- what `os` has ----------------------------------------------------------------------------------------------

    def open(self, path: Path | str, flags: int, mode: int = 0o777) -> int:
        self._alive()
        if Path(path).name != JOURNAL:
            return os.open(path, flags, mode)
        writes = bool(flags & (os.O_WRONLY | os.O_RDWR))  # to read it takes no lock
        if self.before_lock is not None and writes:
            first, self.before_lock = self.before_lock, None
            first()
        fd = os.open(path, flags, mode)
        self._open[fd] = Path(path), os.fstat(fd).st_ino
        if writes:
            self._synced.setdefault(Path(path), os.fstat(fd).st_size)  # an earlier process has left it
        return fd

    def close(self, fd: int) -> None:
        self._open.pop(fd, None)
        os.close(fd)

    def _journal(self, fd: int) -> Path | None:
        """Where the journal behind a number was opened; None for another file."""
        path, inode = self._open.get(fd, (None, None))
        return path if inode == os.fstat(fd).st_ino else None

    def write(self, fd: int, data: bytes) -> int:
        self._alive()
        if fd in SCREEN:
            self._screen(data.decode())
            return len(data)
        if self.full:
            return self._without_room(fd, data)
        if self._journal(fd) is None:
            return os.write(fd, data)
        self.lines += 1
        when = self._loss.when if self._loss is not None and self._loss.line == self.lines else None
        if when is When.BEFORE:
            self.die()
        written = os.write(fd, data[: self._dice.randrange(len(data))] if when is When.TORN else data)
        if when is not None:
            self.die()
        return written

    def _without_room(self, fd: int, data: bytes) -> int:
        """Nothing fits any more, or a part of a line does."""
        if self._dice.random() < 0.5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.write(fd, data[: self._dice.randrange(len(data))])

    def fsync(self, fd: int) -> None:
        self._alive()
        if (path := self._journal(fd)) is not None:
            self._synced[path] = os.fstat(fd).st_size

    def ftruncate(self, fd: int, length: int) -> None:
        self._alive()
        os.ftruncate(fd, length)

    def truncate(self, path: Path | str, length: int) -> None:
        self._alive()
        os.truncate(path, length)

    def _exit(self, code: int) -> None:
        """Ends the process at once, as a second signal does."""
        del code
        self.at_once = True
        self.die()

    # --- how a process ends -----------------------------------------------------------------------------------------

    def _alive(self) -> None:
        if self.dead:
            raise LostProcessError

    def die(self) -> None:
        """The process is lost here and now."""
        self.dead = True
        raise LostProcessError

    def let_go(self) -> None:
        """What the system does when a process is gone: its files are closed, and its locks are free."""
        for fd in list(self._open):
            with contextlib.suppress(OSError):
                if self._journal(fd) is not None:
                    os.close(fd)
        self._open.clear()

    def lose_power(self) -> None:
        """What was not confirmed may be gone, from any byte on."""
        for path, synced in self._synced.items():
            if path.exists():
                size = path.stat().st_size
                if size > synced:
                    os.truncate(path, self._dice.randint(synced, size))


@contextlib.contextmanager
def installed(disk: Disk, modules: Sequence[ModuleType]) -> Iterator[None]:
    """The modules see this disk in place of `os`; a process within another one has its own."""
    before = [(module, module.__dict__["os"]) for module in modules]
    for module, _ in before:
        module.__dict__["os"] = disk
    try:
        yield
    finally:
        disk.let_go()
        for module, own in before:
            module.__dict__["os"] = own


def flip_a_bit(path: Path, dice: random.Random) -> int:
    """Changes one bit of a file's whole lines; returns the number of its byte. A torn line is worth nothing anyway.

    One flip of eight is that of the last newline, without which a line looks torn.
    """
    data = bytearray(path.read_bytes())
    last = data.rfind(b"\n")
    place = last if dice.random() < 1 / 8 else dice.randrange(last + 1)
    data[place] ^= 1 << dice.randrange(8)
    path.write_bytes(bytes(data))
    return place
