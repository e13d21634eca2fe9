"""A run's folder: the plan, and an append-only journal of which no acknowledged line is ever lost."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import TYPE_CHECKING, Self

import msgspec

from qarunner.engine.state import events as ev
from qarunner.errors import JournalLost, RunFolderError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType


# ---------------------------------------------------------------------------------------------------------------------

# A lock on a file that the system itself releases when its process ends, however it ends.


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


PLAN = "plan.json"


JOURNAL = "journal.jsonl"


REPORT = "report.json"


LOCK = "lock"


class Journal:
    """Appends events to a folder that this process alone holds."""

    def __init__(self, folder: Path, lock: Lock, size: int) -> None:
        self.folder = folder
        self._lock = lock
        self._size = size
        self._lost: JournalLost | None = None
        self._fd = os.open(folder / JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _BINARY, 0o644)

    @classmethod
    def create(cls, folder: Path, plan: bytes) -> Journal:
        """Makes the folder of a new run. RunFolderError if it exists or cannot be written."""
        try:
            _make_runs(folder.parent)
            # A folder without a plan was left by a process that was killed before it could send anything.
            folder.mkdir(exist_ok=not (folder / PLAN).exists())
        except OSError as error:
            if isinstance(error, FileExistsError) and folder.is_dir():
                raise RunFolderError(
                    f"{folder}: there is a run of this id already",
                    hint=f"qarunner resume {folder.name}, or another --run-id",
                ) from None
            raise RunFolderError(f"{folder}: cannot be made: {error.strerror}", hint="see --runs-dir") from error
        lock = _locked(folder)
        try:
            write_whole(folder / PLAN, plan)
            journal = cls(folder, lock, 0)
        except OSError as error:
            lock.release()
            raise RunFolderError(f"{folder}: cannot be written: {error.strerror}") from error
        _sync_folder(folder)
        _sync_folder(folder.parent)
        return journal

    @classmethod
    def reopen(cls, folder: Path) -> tuple[Journal, list[ev.Event]]:
        """Goes on with a run, after cutting off a torn last line. RunFolderError if another process holds it."""
        lock = _locked(folder)
        try:
            events, whole = read(folder)
            if (folder / JOURNAL).exists():
                os.truncate(folder / JOURNAL, whole)
            return cls(folder, lock, whole), events
        except OSError as error:
            lock.release()
            raise RunFolderError(f"{folder / JOURNAL}: cannot be written: {error.strerror}") from error
        except RunFolderError:
            lock.release()
            raise

    def append(self, event: ev.Event) -> None:
        """Writes one event, and waits for the disk where losing it could cost a run. JournalLost if it cannot."""
        if self._lost is not None:
            raise self._lost
        line = ev.to_line(event)
        try:
            if isinstance(event, ev.BEFORE_A_REQUEST):
                self._look_for_it()
            written = os.write(self._fd, line)
            if written != len(line):
                raise OSError(28, "no space left on device")  # noqa: TRY301  handled as what it is
            if isinstance(event, ev.DURABLE):
                os.fsync(self._fd)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._size)
            path, lost = self.folder / JOURNAL, line.decode().rstrip()
            why = f"{path}: cannot be written: {error.strerror}"
            self._lost = JournalLost(why, details=[f"it could not record: {lost}"])
            raise self._lost from error
        self._size += len(line)

    def _look_for_it(self) -> None:
        """OSError if a resume would find no journal under its name, or another one than is written here."""
        own = os.fstat(self._fd)
        try:
            named = (self.folder / JOURNAL).lstat()
        except FileNotFoundError:
            raise OSError(errno.ENOENT, "it was removed") from None
        if (own.st_dev, own.st_ino) != (named.st_dev, named.st_ino):
            raise OSError(errno.ENOENT, "another file is in its place")
        if own.st_size != self._size:
            raise OSError(errno.EIO, "somebody else has changed it")

    def close(self) -> None:
        os.close(self._fd)
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


_BINARY: int = getattr(os, "O_BINARY", 0)  # Windows would turn every newline into two bytes


def read(folder: Path) -> tuple[list[ev.Event], int]:
    """A journal's events, and the length in bytes of its whole lines. Reads only; the last line may be torn."""
    path = folder / JOURNAL
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        # Killed between the plan and the first line: nothing was sent.
        return [], 0
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be read: {error.strerror}") from error
    events: list[ev.Event] = []
    whole = 0
    lines = data.splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n"):
            break
        try:
            event = ev.from_line(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            # Half a line is a torn one; a whole one that is no event of ours was written by somebody else.
            if number == len(lines) and not isinstance(error, msgspec.ValidationError):
                break
            raise RunFolderError(
                f"{path}:{number}: not an event of this qarunner: {error}",
                hint="use the version that wrote it; nothing was changed",
            ) from error
        if not events:
            _check_version(path, event)
        events.append(event)
        whole += len(line)
    return events, whole


def _check_version(path: Path, first: ev.Event) -> None:
    if not isinstance(first, ev.RunStarted):
        raise RunFolderError(f"{path}:1: a journal begins with RunStarted, this one with {type(first).__name__}")
    if first.version != ev.VERSION:
        raise RunFolderError(
            f"{path}: a journal of version {first.version}; this qarunner reads version {ev.VERSION}",
            hint=f"use qarunner {first.tool}, which wrote it; nothing was changed",
        )


def _locked(folder: Path) -> Lock:
    try:
        lock = Lock.acquire(folder / LOCK)
    except OSError as error:
        raise RunFolderError(f"{folder}: cannot be written: {error.strerror}") from error
    if lock is None:
        raise RunFolderError(
            f"{folder}: another qarunner is at work on this run", hint="wait until it ends, or stop it first"
        )
    return lock


def _make_runs(runs: Path) -> None:
    """Makes the folder of all runs, and keeps it out of commits; one that the user made is left as it is."""
    if runs.is_dir():
        return
    runs.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError):
        (runs / ".gitignore").write_text("*\n", encoding="utf-8")


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file that a reader sees either whole or not at all. OSError if it cannot."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or (path.exists() and not path.is_file()):
        # A link, a pipe or a device such as /dev/stdout is written to, not replaced.
        path.write_bytes(data)
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _sync_folder(folder: Path) -> None:
    """Makes a new file's name durable; Windows cannot open folders and does this by itself."""
    with contextlib.suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def newest(runs: Path) -> Path | None:
    """The run that was started last."""
    try:
        folders = [folder for folder in runs.iterdir() if (folder / PLAN).is_file()]
    except OSError:
        return None
    return max(folders, key=lambda folder: ((folder / PLAN).stat().st_mtime_ns, folder.name), default=None)


def folders(runs: Path) -> list[Path]:
    """Every folder that may hold a run, in no order."""
    try:
        return [folder for folder in runs.iterdir() if (folder / PLAN).exists() or (folder / JOURNAL).exists()]
    except OSError:
        return []


def is_driven(folder: Path) -> bool:
    """Whether a process is at work on a run."""
    return Lock.is_held(folder / LOCK)
