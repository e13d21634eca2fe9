"""What signals do, from the first line of the program to its last: one asks for an end, a later one ends at once.

Nothing is imported here that takes time: until the handlers stand, a signal ends the process with a traceback.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING, NoReturn

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
        try:
            yield
        finally:
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
            while data:
                data = data[os.write(self._to, data) :]
        os._exit(code)


PROCESS = Signals()
"""Those of this process."""
