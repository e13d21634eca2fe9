"""A run's folder: the plan, and an append-only journal that never loses an acknowledged line."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import sys
from typing import TYPE_CHECKING, Self

import msgspec
from msgspec import Struct, field

from qarunner.engine.io.seal import Chain, DamagedLineError, Key, Reader, Trust, ends_within
from qarunner.engine.state import events as ev
from qarunner.errors import JournalLost, RunFolderError, RunInUse
from qarunner.paths import (
    NOT_WRITABLE,
    make_folder,
    make_private_folder,
    open_own,
    open_regular,
    read_regular,
    way_to_write,
)
from qarunner.text import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import TracebackType


# ---------------------------------------------------------------------------------------------------------------------

# A lock on a file that the system itself releases when its process ends, however it ends.


_TAKEN = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK})


def open_shared(path: Path) -> int:
    """Opens a file that several processes read and write, each while it holds it. OSError if that cannot be done."""
    return open_own(path, os.O_RDWR)


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


REQUESTS = "requests.count"
"""How many lines of the journal stand before a request that makes something: a journal with fewer was cut."""


class Recorded(Struct, frozen=True, kw_only=True):
    """What a journal says. `size` counts the bytes of its whole lines; what stands behind them was torn."""

    events: list[ev.Event]
    size: int
    chain: Chain = field(default_factory=Chain)
    trust: Trust = Trust.UNCHECKED
    broken_at: int | None = None
    """The number of the first line that no holder of the keys has written."""
    damage: RunFolderError | None = None
    """What is wrong behind these events. Only a cancel goes on with them: it pays for nothing."""

    @property
    def requests(self) -> int:
        return _requests(self.events)

    @property
    def started(self) -> ev.RunStarted:
        first = self.events[0]
        assert isinstance(first, ev.RunStarted)  # noqa: S101  no journal is read that begins in another way
        return first


class Journal:
    """Appends events to a folder that this process alone holds. The lock is on the journal itself."""

    def __init__(self, folder: Path, fd: int, size: int, chain: Chain, requests: int = 0) -> None:
        self.folder = folder
        self._path = os.fspath(folder / JOURNAL)
        self._fd = fd
        self._size = size
        self._chain = chain
        self._requests = self._counted = requests
        """Lines before a request: those that are written, and those that are counted beside the journal."""
        self._count_fd: int | None = None
        self._unsynced: list[bytes] = []
        """Events that are written, and have to be on disk before the next step."""
        self._lost: JournalLost | None = None
        self._refused: OSError | None = None
        """Why it can only be read."""

    @classmethod
    def create(
        cls, folder: Path, plan: bytes, started: ev.RunStarted, keys: Sequence[Key] = (), run_key: bytes = b""
    ) -> Journal:
        """Makes the folder of a new run: its plan and its first line appear at once, sealed with each of the keys.

        `run_key` is made by chance for this run alone. RunFolderError if the folder exists or cannot be written.
        """
        line, chain = _first(started, keys, run_key)
        try:
            make_private_folder(folder.parent)
            if folder.is_symlink() or folder.exists():
                raise _taken(folder)
            made = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
            make_folder(made)
        except OSError as error:
            raise RunFolderError(f"{folder}: cannot be made: {error.strerror}", hint=_ELSEWHERE) from error
        try:
            _write_private(made / PLAN, plan)
            _write_private(made / JOURNAL, line)
            _write_private(made / REQUESTS, _COUNT % 0)
            _sync_folder(made)
            _name(made, folder)
        except OSError as error:
            shutil.rmtree(made, ignore_errors=True)
            raise _unwritable(folder, error) from error
        _sync_folder(folder.parent)
        journal = cls(folder, _opened_and_locked(folder)[0], len(line), chain)
        try:
            journal.look_for_it()  # between its name and its lock, somebody may have gone on with it
        except OSError as error:
            journal.close()
            raise RunInUse(f"{folder}: another qarunner is at work on this run") from error
        return journal

    @classmethod
    def reopen(cls, folder: Path, keys: Sequence[Key] = (), *, to_cancel: bool = False) -> tuple[Journal, Recorded]:
        """Goes on with a run, after cutting off a torn last line. RunFolderError if another process holds it.

        `to_cancel`: a journal that can only be read will do, and so will the whole part of a damaged one, to which
        nothing is written. What runs is cancelled, whatever can be written down.
        """
        fd, refused = _opened_and_locked(folder, reading_will_do=to_cancel)
        try:
            recorded = read(folder, keys, to_cancel=to_cancel)
            if recorded.damage is not None:
                refused = OSError(errno.EIO, "it is damaged")
            if refused is None and os.fstat(fd).st_size != recorded.size:
                os.ftruncate(fd, recorded.size)
        except OSError as error:
            os.close(fd)
            raise _unwritable(folder / JOURNAL, error) from error
        except RunFolderError:
            os.close(fd)
            raise
        journal = cls(folder, fd, recorded.size, recorded.chain, recorded.requests)
        journal._refused = refused
        return journal, recorded

    def append(self, *events: ev.Event, wait: bool = True) -> None:
        """Writes events, all of them or not one, and waits for the disk where losing them could cost a run.

        JournalLost if it cannot. Without `wait`, that is left to `sync`.
        """
        bodies, lines, chain = [ev.to_line(event)[:-1] for event in events], [], self._chain
        for body in bodies:
            line, chain = chain.line(body)
            lines.append(line)
        self._append(events, bodies, b"".join(lines), chain, wait=wait)

    def append_sealed(self, event: ev.Event, keys: Sequence[Key], run_key: bytes) -> None:
        """The same, and seals all that was written so far anew: a person says that it is true."""
        body = ev.to_line(event)[:-1]
        self._append((event,), [body], *self._chain.sealed_line(body, keys, run_key), wait=True)

    def _append(
        self, events: Sequence[ev.Event], bodies: Sequence[bytes], lines: bytes, chain: Chain, *, wait: bool
    ) -> None:
        if self._lost is not None:
            raise self._lost
        if self._refused is not None:
            raise self._lose(self._refused, bodies)
        waiting = [body for event, body in zip(events, bodies, strict=True) if not isinstance(event, ev.EXPENDABLE)]
        try:
            if any(isinstance(event, ev.TO_BE_FOUND) for event in events):
                self.look_for_it()
            if os.write(self._fd, lines) != len(lines):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301  handled as what it is
            if wait and (waiting or self._unsynced):
                os.fsync(self._fd)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._size)
            raise self._lose(error, [*self._unsynced, *bodies]) from error
        self._unsynced = [] if wait else self._unsynced + waiting
        self._size += len(lines)
        self._chain = chain
        self._requests += _requests(events)
        if wait:
            self._count()

    def sync(self) -> None:
        """Waits until what was appended is on disk. JournalLost if that cannot be; what was written is left there."""
        if self._lost is not None or not self._unsynced:
            return
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise self._lose(error, self._unsynced) from error
        self._unsynced = []
        self._count()

    def _count(self) -> None:
        """Counts the requests whose lines are on disk. A count that is lost or too small is no harm."""
        if self._requests != self._counted:
            with contextlib.suppress(OSError):
                if self._count_fd is None:
                    self._count_fd = open_own(self.folder / REQUESTS, os.O_WRONLY, create=False)
                _write_count(self._count_fd, self._requests)
            self._counted = self._requests

    def _lose(self, error: OSError, bodies: Sequence[bytes]) -> JournalLost:
        why = f"{self._path}: cannot be written: {error.strerror}"
        details = [f"it could not record: {body.decode()}" for body in bodies]
        self._lost = JournalLost(why, details=details, hint=self._remedy(error))
        return self._lost

    def _remedy(self, error: OSError) -> str:
        try:
            self.look_for_it()
        except OSError as reason:
            if reason.errno == errno.ENOENT:
                return "put the run's folder back as it was"
        return way_to_write(error)

    def look_for_it(self) -> None:
        """OSError if a resume would find no journal under its name, or another one than is written here."""
        opened = os.fstat(self._fd)
        try:
            named = os.lstat(self._path)
        except FileNotFoundError:
            raise OSError(errno.ENOENT, "it was removed") from None
        if (opened.st_dev, opened.st_ino) != (named.st_dev, named.st_ino):
            raise OSError(errno.ENOENT, "another file is in its place")
        if opened.st_size != self._size:
            raise OSError(errno.EIO, "somebody else has changed it")

    def close(self) -> None:
        for fd in (self._fd, self._count_fd):
            if fd is not None:
                os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _first(started: ev.RunStarted, keys: Sequence[Key], run_key: bytes) -> tuple[bytes, Chain]:
    body = ev.to_line(started)[:-1]
    return Chain().sealed_line(body, keys, run_key) if keys else Chain().line(body)


_ELSEWHERE = "name a folder that can be written: --runs-dir DIR, or QARUNNER_RUNS_DIR"


def _unwritable(path: Path, error: OSError) -> RunFolderError:
    return RunFolderError(f"{path}: cannot be written: {error.strerror}", hint=way_to_write(error))


def _taken(folder: Path) -> RunFolderError:
    if (folder / PLAN).exists() or (folder / JOURNAL).exists():
        hint = f"qarunner resume {folder.name}, or the same apply with --continue, or another --run-id"
        return RunFolderError(f"{folder}: there is a run of this id already", hint=hint)
    return RunFolderError(f"{folder}: cannot be made: it is there, and no run", hint="another --run-id, or --runs-dir")


def _name(made: Path, folder: Path) -> None:
    """Gives a folder that is complete its name. RunFolderError if another process was faster."""
    try:
        made.rename(folder)
    except OSError:
        if folder.exists():
            shutil.rmtree(made, ignore_errors=True)
            raise _taken(folder) from None
        raise


def _write_private(path: Path, data: bytes) -> None:
    """A new file that its owner alone can read. OSError if it is not on disk as a whole."""
    fd = open_own(path, os.O_WRONLY | os.O_EXCL | os.O_APPEND)
    try:
        if os.write(fd, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(fd)
    finally:
        os.close(fd)


_COUNT = b"%9d\n"
"""Always of the same length, so that it is never half of a number."""


def _write_count(fd: int, requests: int) -> None:
    os.lseek(fd, 0, os.SEEK_SET)
    os.write(fd, _COUNT % requests)


def _opened_and_locked(folder: Path, *, reading_will_do: bool = False) -> tuple[int, OSError | None]:
    """The journal, held by this process, and why it cannot be written to if that is so.

    RunFolderError if it is not there, is a link, or is held by another.
    """
    path, refused = folder / JOURNAL, None
    refuse_links(folder)
    try:
        try:
            fd = open_own(path, os.O_RDWR | os.O_APPEND, create=False)
        except OSError as error:
            if not (reading_will_do and error.errno in NOT_WRITABLE):
                raise
            fd, refused = open_own(path, os.O_RDONLY, create=False), error
    except FileNotFoundError:
        raise _unknown(folder) from None
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        _lock(fd)
    except OSError as error:
        os.close(fd)
        if error.errno in _TAKEN:
            message = f"{folder}: another qarunner is at work on this run"
            raise RunInUse(message, hint="wait until it ends, or stop it first") from None
        raise _unwritable(folder, error) from error
    return fd, refused


def refuse_links(folder: Path) -> None:
    """RunFolderError if the folder of a run, or a file of it, is a link: who set it may lead it anywhere."""
    for path in (folder, *(folder / name for name in (PLAN, JOURNAL, REPORT, REQUESTS))):
        if path.is_symlink():
            raise RunFolderError(f"{path}: is a link; a run's folder has no links", hint="put the file itself there")


def _unknown(folder: Path) -> RunFolderError:
    hint = "restore its journal.jsonl, or start another run: runs that it has at the vendors are not known here"
    return RunFolderError(f"{folder}: nothing is known of this run: its journal has no event", hint=hint)


def read(folder: Path, keys: Sequence[Key] = (), *, to_cancel: bool = False) -> Recorded:
    """A journal's events. Reads only; a last line without its newline is torn. RunFolderError for any damage.

    `to_cancel`: what stands before the damage will do.
    """
    path = folder / JOURNAL
    refuse_links(folder)
    counted = _counted(folder)  # before the journal is read: a process that is at work writes them the other way round
    try:
        data = read_regular(path)
    except FileNotFoundError:
        raise _unknown(folder) from None
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be read: {error.strerror}") from error
    return _recorded(path, data, keys, counted, to_cancel=to_cancel)


class Tail:
    """Reads on in the journal of a run that another process drives. Nothing is locked or changed."""

    def __init__(self, folder: Path, keys: Sequence[Key] = ()) -> None:
        self._path = folder / JOURNAL
        self._reader = Reader(keys)
        self._size = self._lines = 0

    @property
    def trust(self) -> Trust:
        return self._reader.trust

    def more(self) -> list[ev.Event]:
        """The events of whole lines that are new since the last call. RunFolderError for any damage."""
        refuse_links(self._path.parent)
        try:
            with open_regular(self._path) as file:
                file.seek(self._size)
                lines = file.read().split(b"\n")[:-1]
        except OSError as error:
            raise RunFolderError(f"{self._path}: cannot be read: {error.strerror}") from error
        events = []
        for line in lines:
            self._lines += 1
            events.append(_event(self._path, self._lines, line, self._reader))
            self._size += len(line) + 1
        return events


def _recorded(path: Path, data: bytes, keys: Sequence[Key], counted: int, *, to_cancel: bool = False) -> Recorded:
    *lines, rest = data.split(b"\n")
    reader, damage = Reader(keys), None
    events: list[ev.Event] = []
    try:
        for number, line in enumerate(lines, 1):
            event = _event(path, number, line, reader, events[:1])
            if not events:
                _check_first(path, event, checked=reader.checked)
            events.append(event)
        if _has_an_end(rest, reader):
            raise _damaged(path, len(lines) + 1, "its end is not a newline")
        if not events:
            raise _unknown(path.parent)
        _check_not_cut(path, _requests(events), counted)
    except RunFolderError as error:
        if not (events and to_cancel):
            raise
        damage = error
    return Recorded(
        events=events,
        size=sum(map(len, lines)) + len(lines),
        chain=reader.chain,
        trust=reader.trust,
        broken_at=reader.broken_at,
        damage=damage,
    )


def _requests(events: Sequence[ev.Event]) -> int:
    return sum(isinstance(event, ev.BEFORE_A_REQUEST) for event in events)


def _counted(folder: Path) -> int:
    """How many requests the folder knows of; 0 if an earlier version has written it, or the count was not copied."""
    try:
        return int(read_regular(folder / REQUESTS))
    except (OSError, ValueError):
        return 0


def _check_not_cut(path: Path, requests: int, counted: int) -> None:
    """RunFolderError if the journal had more requests when it was written: they would be sent again, and paid again."""
    if requests < counted:
        raise RunFolderError(
            f"{path}: its end is missing: it knows of {plural(requests, 'request')}, and {counted} were made",
            hint="restore the file as it was written: what it has lost may run at the vendors; nothing was changed",
        )


def _event(path: Path, number: int, line: bytes, reader: Reader, first: Sequence[ev.Event] = ()) -> ev.Event:
    if number == 1:
        _check_version(path, line)
    try:
        body = reader.take(line)
    except DamagedLineError as error:
        raise _damaged(path, number, str(error)) from error
    try:
        return ev.from_line(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        began = next((f"qarunner {each.tool}" for each in first if isinstance(each, ev.RunStarted)), "one version")
        raise RunFolderError(
            f"{path}:{number}: not an event of this qarunner: {error}",
            hint=f"use the qarunner that wrote it: {began} began the run, and a later one may have gone on with it; "
            "nothing was changed",
        ) from error


class _Beginning(msgspec.Struct):
    version: int
    tool: str | None = None


def _check_version(path: Path, line: bytes) -> None:
    """A later format is refused by its number: it may have other checksums, and other fields."""
    try:
        beginning = msgspec.json.decode(line, type=_Beginning)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return  # what it is instead is said when it is read
    if beginning.version > ev.VERSION:
        tool = f"qarunner {beginning.tool}, which wrote it" if beginning.tool else "the qarunner that wrote it"
        raise RunFolderError(
            f"{path}: a journal of version {beginning.version}; this qarunner reads version {ev.VERSION}",
            hint=f"use {tool}; nothing was changed",
        )


def _has_an_end(rest: bytes, reader: Reader) -> bool:
    """True if a line that came to its end stands before what has no newline: a write that was cut short has no end."""
    if reader.checked:
        return ends_within(rest)
    try:
        ev.from_line(rest[:-1])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return True


def _damaged(path: Path, number: int, why: str) -> RunFolderError:
    hint = "restore the file as it was written; nothing was changed"
    return RunFolderError(f"{path}:{number}: the line is damaged: {why}", hint=hint)


def _check_first(path: Path, first: ev.Event, *, checked: bool) -> None:
    if not isinstance(first, ev.RunStarted):
        raise RunFolderError(f"{path}:1: a journal begins with RunStarted, this one with {type(first).__name__}")
    if first.version > ev.WITHOUT_CHECKS and not checked:
        raise _damaged(path, 1, "it has no checksum")


def started_in(folder: Path) -> ev.RunStarted | None:
    """How a run began, by its first line alone; None if that tells nothing, or the folder is gone."""
    try:
        with open_regular(folder / JOURNAL) as file:
            first = ev.from_line(Reader(()).take(file.readline().rstrip(b"\n")))
    except (OSError, DamagedLineError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return first if isinstance(first, ev.RunStarted) else None


def _sync_folder(folder: Path) -> None:
    """Makes a new file's name durable; Windows cannot open folders and does this by itself."""
    with contextlib.suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def folders(runs: Path) -> list[Path]:
    """Every folder that may hold a run, in no order. One that begins with a dot is not a run yet."""
    try:
        candidates = [folder for folder in runs.iterdir() if not folder.name.startswith(".")]
    except OSError:
        return []
    return [folder for folder in candidates if (folder / PLAN).exists() or (folder / JOURNAL).exists()]


def by_age(runs: Path) -> list[Path]:
    """Every folder that may hold a run, the one that was started last first, as the journals say.

    A file's own time is that of its last copy: it counts only where a journal tells nothing.
    """
    return sorted(folders(runs), key=lambda folder: (_began(folder), folder.name), reverse=True)


def _began(folder: Path) -> float:
    first = started_in(folder)
    if first is not None:
        return first.at
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0


def newest(runs: Path) -> Path | None:
    """The run that was started last. None if no journal says when one was."""
    return next((folder for folder in by_age(runs) if started_in(folder) is not None), None)


def is_driven(folder: Path) -> bool:
    """True if a process is at work on a run. Looks without taking the lock for itself."""
    try:
        fd = open_own(folder / JOURNAL, os.O_RDONLY if sys.platform != "win32" else os.O_RDWR, create=False)
    except OSError:
        return False
    try:
        _look(fd)
    except OSError as error:
        return error.errno in _TAKEN
    finally:
        os.close(fd)
    return False
