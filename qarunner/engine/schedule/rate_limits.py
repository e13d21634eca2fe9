"""When the next request to a vendor may leave: pure arithmetic over rates, silences and what has been sent.

Times are seconds of the caller's monotonic clock.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from qarunner.engine.decide.interpret import LONGEST_READ_SILENCE_S

if TYPE_CHECKING:
    from qarunner.plan.model import Rate, VendorPlan


MARGIN = 1.02
"""A window is taken this much longer than documented: a request's way to the vendor is not always equally long."""


LONGEST_UNNAMED_SILENCE_S = 30.0
"""How long a vendor that names no time is left alone before it is asked once more."""


LONGEST_SILENCE_S = 86_400.0
"""No vendor means more than a day: a longer `Retry-After` is nonsense, and may be too large for arithmetic."""


LONGEST_CLEANUP_SILENCE_S = 60.0
"""A cancel or a removal does not wait longer than this: what is not ended in time runs on, and is paid for."""


LONGEST_LAST_SILENCE_S = 5.0
"""The last read of a run whose time is up does not wait longer than this: it was paid for, and may have failed."""


class RequestKind(StrEnum):
    """What a request is for."""

    CANCEL = "cancel"
    RELEASE = "release"
    LIST = "list"
    """A read that tells of many runs. Nothing waits for it alone: each of them has a read of its own."""
    READ = "read"
    SETUP = "setup"
    UPLOAD = "upload"
    CREATE = "create"


CLEANUP = frozenset({RequestKind.CANCEL, RequestKind.RELEASE})
"""Requests that end something at the vendor. Without them, something runs on without need."""


READS = frozenset({RequestKind.READ, RequestKind.LIST})


class RateWindow:
    """At most `count` requests in any window, however the windows are laid."""

    __slots__ = ("_length", "_rate", "_sent")

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._length = rate.per_s * MARGIN
        self._sent: deque[float] = deque(maxlen=rate.count)

    def ready_at(self, now: float) -> float:
        self._forget(now)
        if len(self._sent) < self._rate.count:
            return now
        return max(now, self._sent[0] + self._length)

    def sent(self, now: float) -> None:
        self._sent.append(now)

    def even_at(self, now: float) -> float:
        """When the next one would leave if half of the window is for bursts, and the rest lasts until more is free."""
        self._forget(now)
        free = self._rate.count - len(self._sent)
        if free <= 0 or len(self._sent) < max(1, self._rate.count // 2):
            return now
        last = self._sent[-1]
        return max(now, last + (self._sent[0] + self._length - last) / (free + 1))

    def _forget(self, now: float) -> None:
        while self._sent and self._sent[0] + self._length <= now:
            self._sent.popleft()


def rates_of(plan: VendorPlan) -> dict[str, Rate]:
    """The vendor's rates by what they are about."""
    rates = {"reads": plan.reads, "creates": plan.creates, "all": plan.all}
    return {name: rate for name, rate in rates.items() if rate is not None}


def counted_as(kind: RequestKind) -> tuple[str, ...]:
    """The rates that a request counts in."""
    match kind:
        case RequestKind.READ | RequestKind.LIST:
            return ("reads", "all")
        case RequestKind.CREATE:
            return ("creates", "all")
        case RequestKind.UPLOAD:
            # A presigned upload goes to a store of files, not to the vendor's API.
            return ()
        case _:
            return ("all",)


class Shared(Protocol):
    """What others that use the same credential have sent."""

    def claim(self, kind: RequestKind, now: float, *, silent: bool = True) -> float:
        """Counts a request that leaves now and returns `now`; else a later time at which to ask again.

        `silent`: whether a silence that the vendor asked for is kept.
        """
        ...

    def hold(self, seconds: float) -> None: ...


class RateLimiter:
    """The budget of one vendor's credential, shared with others if there are any."""

    def __init__(self, plan: VendorPlan, shared: Shared | None = None) -> None:
        self._windows = {name: RateWindow(rate) for name, rate in rates_of(plan).items()}
        self._shared = shared
        self._others: dict[tuple[RequestKind, bool], float] = {}
        self._held_at = self._held_until = float("-inf")
        self._stops_waiting_at = float("inf")
        self._silences = 0
        self._probing = False
        """True while one request finds out whether a silence is over."""

    @property
    def is_shared(self) -> bool:
        """True if requests of several kinds count in one rate, or one finds out for all whether a silence is over."""
        return "all" in self._windows or self._probing

    def paces(self, kind: RequestKind) -> bool:
        """True if requests of a kind may have to wait for a rate."""
        return bool(self._windows_of(kind))

    def _windows_of(self, kind: RequestKind) -> list[RateWindow]:
        return [self._windows[name] for name in counted_as(kind) if name in self._windows]

    def ready_at(self, kind: RequestKind, now: float, *, is_last: bool = False) -> float:
        """The earliest time, now or later, at which a request of this kind may leave; infinite if a reply decides.

        `is_last`: no other request of its kind comes after it.
        """
        if self._probing and self._stops_waiting_at == float("inf"):
            return float("inf")
        times = [window.ready_at(now) for window in self._windows_of(kind)]
        if "reads" in self._windows and "reads" in counted_as(kind):
            # All at once, and then silence for most of a minute, would be late for whatever ends in between.
            times.append(self._windows["reads"].even_at(now))
        held_until = self._held_until
        if held_until >= self._longest(kind, now, is_last=is_last):
            held_until = now
        if kind in READS:
            held_until = min(held_until, self._held_at + LONGEST_READ_SILENCE_S)
        return max([now, held_until, self._others.get((kind, is_last), now), *times])

    def _longest(self, kind: RequestKind, now: float, *, is_last: bool) -> float:
        """Until when a silence is kept: a request of this kind breaks one that lasts longer."""
        if self._held_at + LONGEST_READ_SILENCE_S <= now < self._held_until and kind in READS:
            return now
        most = LONGEST_CLEANUP_SILENCE_S if kind in CLEANUP else LONGEST_LAST_SILENCE_S if is_last else float("inf")
        return min(now + most, self._stops_waiting_at)

    def try_take(self, kind: RequestKind, now: float, *, is_last: bool = False) -> bool:
        """Counts a request that leaves now; false if others have just used up what was left."""
        windows = self._windows_of(kind)
        if self._shared is not None and windows:
            self._others[kind, is_last] = ready = self._claim(self._shared, kind, now, is_last=is_last)
            if ready > now:
                return False
        for window in windows:
            window.sent(now)
        self._probing = self._silences > 0 and kind is not RequestKind.UPLOAD
        return True

    def _claim(self, shared: Shared, kind: RequestKind, now: float, *, is_last: bool) -> float:
        ready = shared.claim(kind, now, silent=self._stops_waiting_at == float("inf"))
        is_broken = ready > now and ready >= self._longest(kind, now, is_last=is_last)
        return shared.claim(kind, now, silent=False) if is_broken else ready

    def note_reply(self, *, refused: bool) -> None:
        """A reply came, or will never come; `refused`: it asks for silence."""
        self._probing = False
        if not refused:
            self._silences = 0

    def hold(self, wait_s: float, now: float, *, named: bool) -> float:
        """The vendor asked for silence. Then one request finds out whether it is over, and the others wait for that.

        Returns the seconds until then; they grow where the vendor has not `named` any.
        """
        if now >= self._held_until:
            self._silences += 1
        if not named:
            wait_s = max(wait_s, min(LONGEST_UNNAMED_SILENCE_S, 2.0 ** min(self._silences, 10) / 2))
        wait_s = min(wait_s, LONGEST_SILENCE_S)
        self._held_at, self._held_until = now, max(self._held_until, now + wait_s)
        if self._shared is not None:
            self._shared.hold(wait_s)
        return self._held_until - now

    def stop_waiting_at(self, at: float) -> None:
        """Nothing leaves after that time. A silence that lasts longer is broken: what is not cancelled runs on."""
        self._stops_waiting_at = at
        self._others.clear()
