"""Threads that send, and the real clock: the only place where the engine meets either."""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, Protocol, TypeAlias

from qarunner.vendors.api import AnyRequest, Fault

if TYPE_CHECKING:
    from qarunner.engine.decide.interpret import Answer


class Clock(Protocol):
    def now(self) -> float:
        """Monotonic seconds."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch."""
        ...


class Sender(Protocol):
    def send(
        self, vendor: str, request: AnyRequest, *, key: str | None, fresh: bool, limit_s: float | None = None
    ) -> Answer:
        """Sends one request; nothing but a fault comes after `limit_s` seconds."""
        ...


class Pool(Protocol):
    """Sends requests elsewhere and hands back their answers. `share` is how many of one vendor can be under way."""

    share: int

    def start(
        self,
        token: int,
        vendor: str,
        request: AnyRequest,
        *,
        key: str | None,
        fresh: bool,
        limit_s: float | None = None,
    ) -> None: ...

    def wait(self, timeout: float | None) -> list[tuple[int, Answer]]:
        """The answers that came, as soon as there is one; empty after `timeout` seconds or a wake."""
        ...

    def wake(self) -> None:
        """Ends a wait; may be called from a signal handler."""
        ...

    def close(self) -> None: ...


_SLEEPLESS: int | None = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC_RAW", None))


def _awake_or_asleep() -> float:
    """Seconds of a clock that is never set, and that goes on while the machine sleeps."""
    return time.monotonic() if _SLEEPLESS is None else time.clock_gettime(_SLEEPLESS)


class SystemClock:
    """The wall clock is read once: one that is set meanwhile moves no time, age or duration of this process."""

    def __init__(self) -> None:
        self._began_at = time.time() - _awake_or_asleep()

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return self._began_at + _awake_or_asleep()


LONGEST_WAIT_S = 0.5
"""A wait is cut into pieces: on Windows a signal's handler runs only between them."""


_Errand: TypeAlias = "tuple[int, str, AnyRequest, str | None, bool, float | None]"


class Workers:
    """Daemon threads, as many as there are requests: one that hangs never keeps the process from ending."""

    def __init__(self, sender: Sender, share: int) -> None:
        self.share = share
        self._sender = sender
        self._busy = 0
        self._started = 0
        self._tasks: queue.SimpleQueue[_Errand | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[int, Answer] | None] = queue.SimpleQueue()

    def start(
        self,
        token: int,
        vendor: str,
        request: AnyRequest,
        *,
        key: str | None,
        fresh: bool,
        limit_s: float | None = None,
    ) -> None:
        self._busy += 1
        if self._busy > self._started:
            self._started += 1
            threading.Thread(target=self._work, name=f"sender-{self._started}", daemon=True).start()
        self._tasks.put((token, vendor, request, key, fresh, limit_s))

    def wait(self, timeout: float | None) -> list[tuple[int, Answer]]:
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = LONGEST_WAIT_S if deadline is None else min(LONGEST_WAIT_S, max(0.0, deadline - time.monotonic()))
            try:
                first = self._answers.get(timeout=left)
            except queue.Empty:
                if deadline is not None and time.monotonic() >= deadline:
                    return []
                continue
            return self._drain(first)

    def _drain(self, first: tuple[int, Answer] | None) -> list[tuple[int, Answer]]:
        taken = [first]
        while not self._answers.empty():
            taken.append(self._answers.get())
        answers = [answer for answer in taken if answer is not None]
        self._busy -= len(answers)
        return answers

    def wake(self) -> None:
        self._answers.put(None)

    def close(self) -> None:
        for _ in range(self._started):
            self._tasks.put(None)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            token, vendor, request, key, fresh, limit_s = task
            try:
                answer = self._sender.send(vendor, request, key=key, fresh=fresh, limit_s=limit_s)
            except Exception as error:  # noqa: BLE001  the engine must get an answer to every request, even to a bug
                answer = Fault(sent=True, message=f"the sender failed: {type(error).__name__}: {error}")
            self._answers.put((token, answer))
