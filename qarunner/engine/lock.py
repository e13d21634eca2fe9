"""A lock on a file that the system itself releases when its process ends, however it ends."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TAKEN = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK})


class Lock:
    """An exclusive lock; the file stays where it is, since removing it would let two processes hold two locks."""

    def __init__(self, fd: int) -> None:
        self._fd: int | None = fd

    @classmethod
    def acquire(cls, path: Path) -> Lock | None:
        """Takes the lock, or None if another process has it. OSError if there can be no such lock here."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(fd)
        except OSError as error:
            os.close(fd)
            if error.errno in _TAKEN:
                return None
            raise
        return cls(fd)

    @staticmethod
    def is_held(path: Path) -> bool:
        """Whether a process has the lock. Looks without taking it for itself; a file that is not there has none."""
        try:
            fd = os.open(path, os.O_RDONLY if sys.platform != "win32" else os.O_RDWR)
        except OSError:
            return False
        try:
            _look(fd)
        except OSError as error:
            return error.errno in _TAKEN
        finally:
            os.close(fd)
        return False

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def open_shared(path: Path) -> int:
    """Opens a file that several processes read and write, each while it holds it. OSError if that cannot be done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)


@contextlib.contextmanager
def held_once(fd: int) -> Iterator[bool]:
    """Holds an open file for a moment; false if another process does just now. Never waits."""
    try:
        _lock(fd)
    except OSError as error:
        if error.errno not in _TAKEN:
            raise
        yield False
        return
    try:
        yield True
    finally:
        _unlock(fd)


if sys.platform == "win32":
    import msvcrt

    _FAR = 1 << 30
    """Windows locks bytes against reading, too: one that no file of ours reaches."""

    def _lock(fd: int) -> None:
        os.lseek(fd, _FAR, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)

    _look = _lock

    def _unlock(fd: int) -> None:
        os.lseek(fd, _FAR, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _look(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def _unlock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)
