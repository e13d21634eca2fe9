"""What signals do, from the first line of the program to its last: one asks for an end, a later one ends at once.

Nothing is imported here that takes time: until the handlers stand, a signal ends the process with a traceback.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import signal
import stat
import sys
import time
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import FrameType

ONE_S = 1.0
"""Signals within so many seconds of the first are the same wish: terminals and CI systems send one twice."""
_END = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
_AT_ONCE = "SIGQUIT"
_MAY_BE_IGNORED = frozenset({"SIGHUP", "SIGQUIT"})
"""`nohup` ignores SIGHUP, and shells ignore SIGQUIT for what runs in the background: it stays so."""
_STDOUT = 1
_LOOK_S = 0.1
_PIECE = 512
"""Bytes that every pipe takes without waiting once it takes any (POSIX: PIPE_BUF)."""


class Interruption(KeyboardInterrupt):
    """A signal came while nothing runs at a vendor: the program just ends."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class Signals:
    """The handlers of one process."""

    def __init__(self) -> None:
        self._stand = False
        self._begin(kept=False)

    def _begin(self, *, kept: bool) -> None:
        self._kept = kept
        self._first: int | None = None
        self._at = 0.0
        self._interrupt: Callable[[int], None] | None = None
        self._farewell: Callable[[], Iterable[str]] = list
        self._to = _STDOUT
        self._now: Callable[[], float] = time.monotonic

    @contextlib.contextmanager
    def standing(self, *, kept: bool = False) -> Iterator[None]:
        """Handles signals from here on. A first one that is `kept` waits for whoever will heed it."""
        if self._stand:
            yield
            return
        self._begin(kept=kept)
        before = self._install()
        self._stand = True
        streams = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = map(self._unstuck, streams)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = streams
            self._stand = False
            for number, handler in before.items():
                signal.signal(number, handler)

    def _install(self) -> dict[int, Callable[[int, FrameType | None], object] | int | None]:
        before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}
        for name in (*_END, _AT_ONCE):
            number = getattr(signal, name, None)  # Windows knows one of these alone, and others do not know that
            if number is None or (name in _MAY_BE_IGNORED and signal.getsignal(number) is signal.SIG_IGN):
                continue
            with contextlib.suppress(ValueError):  # beside the main thread: signals are not this program's there
                before[number] = signal.signal(number, self._leave if name == _AT_ONCE else self._heed)
        return before

    @contextlib.contextmanager
    def heeded(
        self,
        interrupt: Callable[[int], None],
        farewell: Callable[[], Iterable[str]],
        *,
        now: Callable[[], float] = time.monotonic,
        to: int = _STDOUT,
    ) -> Iterator[None]:
        """While runs may go on: the first signal is for `interrupt`, which returns at once.

        Whatever ends the process at once says the lines of `farewell` before, through the file descriptor `to`.
        Afterwards a first signal changes nothing any more: all is said, and the process ends.
        """
        with self.standing():
            self._interrupt, self._farewell, self._now, self._to = interrupt, farewell, now, to
            self._kept = True
            if self._first is not None:
                self._at = now()
                interrupt(self._first)
            try:
                yield
            finally:
                self._interrupt = None

    def write_to_pipe(self, path: str | os.PathLike[str], data: bytes) -> None:
        """Writes into a named pipe as soon as it is read, and as long as no signal has come. OSError if it cannot."""
        fd = -1
        while fd < 0:
            try:
                fd = os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0))
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                if self._first is not None:
                    raise OSError(errno.ENXIO, "is a pipe that nobody reads") from None
                time.sleep(_LOOK_S)
        with os.fdopen(fd, "wb", buffering=0):
            os.set_blocking(fd, True)
            with io.BufferedWriter(_Unstuck(fd, lambda: self._first is not None)) as buffer:
                buffer.write(data)

    def _unstuck(self, stream: TextIO) -> TextIO:
        """The same stream, of which no writing outlasts a signal. A file and a stream of Windows never wait long."""
        try:
            fd = stream.fileno()
            if sys.platform == "win32" or stat.S_ISREG(os.fstat(fd).st_mode):
                return stream
            stream.flush()
        except (OSError, ValueError, AttributeError):  # closed, full, or none at all
            return stream
        buffer = io.BufferedWriter(_Unstuck(fd, lambda: self._first is not None))
        return io.TextIOWrapper(
            buffer, encoding=stream.encoding, errors=stream.errors, line_buffering=bool(stream.line_buffering)
        )

    def _heed(self, number: int, frame: FrameType | None) -> None:
        if self._first is not None:
            if self._now() - self._at >= ONE_S:
                self._leave(number, frame)
            return
        self._first, self._at = number, self._now()
        if self._interrupt is not None:
            self._interrupt(number)
        elif not self._kept:
            raise Interruption(number)

    def _leave(self, number: int, _: FrameType | None) -> NoReturn:
        """Ends the process. Not through a stream: a handler may have interrupted just that."""
        code = 128 + number
        lines: list[str] = []
        with contextlib.suppress(Exception):  # it looks at what was being changed
            lines += self._farewell()
        lines.append(f"qarunner: exit {code}: ended at once by {signal.Signals(number).name}")
        data = "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")
        with contextlib.suppress(OSError):
            while data and _takes(self._to, ONE_S):
                data = data[os.write(self._to, data[:_PIECE]) :]
        os._exit(code)


class _Unstuck(io.RawIOBase):
    """Writes to a pipe or a terminal. Once a signal has come, it waits for a reader for a second, and no more after."""

    def __init__(self, fd: int, ending: Callable[[], bool]) -> None:
        self._fd = fd
        self._ending = ending
        self._until: float | None = None
        self._lost = False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return os.isatty(self._fd)

    def write(self, data: Any, /) -> int:  # noqa: ANN401  whatever holds bytes
        view = memoryview(data)
        while not self._lost and not _takes(self._fd, _LOOK_S):
            if self._ending():
                self._until = self._until or time.monotonic() + ONE_S
                self._lost = time.monotonic() >= self._until
        if self._lost:
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        return os.write(self._fd, view[:_PIECE])


def _takes(fd: int, within_s: float) -> bool:
    """Whether a piece can be written without waiting. A signal's handler runs while this waits."""
    if sys.platform == "win32":
        return True
    try:
        return bool(select.select((), (fd,), (), within_s)[1])
    except ValueError:  # a number that select cannot look at
        return True


PROCESS = Signals()
"""Those of this process."""
