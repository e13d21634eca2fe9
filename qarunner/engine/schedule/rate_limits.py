"""When the next request to a vendor may leave: pure arithmetic over rates, hints and what has been sent.

Times are seconds of the caller's monotonic clock.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from qarunner.plan.model import Rate, VendorPlan


MARGIN = 1.02
"""A window is taken this much longer than documented: a request's way to the vendor is not always equally long."""


LONGEST_SILENCE_S = 30.0
"""How long a vendor that names no time is left alone before it is asked once more."""


class Kind(StrEnum):
    """What a request is for."""

    CANCEL = "cancel"
    RELEASE = "release"
    READ = "read"
    SETUP = "setup"
    UPLOAD = "upload"
    CREATE = "create"


class Window:
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


def counted_as(kind: Kind) -> tuple[str, ...]:
    """The rates that a request counts in."""
    match kind:
        case Kind.READ:
            return ("reads", "all")
        case Kind.CREATE:
            return ("creates", "all")
        case Kind.UPLOAD:
            # A presigned upload goes to a store of files, not to the vendor's API.
            return ()
        case _:
            return ("all",)


class Shared(Protocol):
    """What others that use the same credential have sent."""

    def claim(self, kind: Kind, now: float, *, silent: bool = True) -> float:
        """Counts a request that leaves now and returns `now`; else a later time at which to ask again.

        `silent`: whether a silence that the vendor asked for is kept.
        """
        ...

    def hold(self, seconds: float) -> None: ...


class Pacer:
    """The budget of one vendor's credential, shared with others if there are any."""

    def __init__(self, plan: VendorPlan, shared: Shared | None = None) -> None:
        self._of = {name: Window(rate) for name, rate in rates_of(plan).items()}
        self._shared = shared
        self._others: dict[Kind, float] = {}
        self._held_until = float("-inf")
        self._ends_at = float("inf")
        self._silences = 0
        self._asking = False

    @property
    def _ending(self) -> bool:
        return self._ends_at < float("inf")

    def _windows(self, kind: Kind) -> list[Window]:
        return [self._of[name] for name in counted_as(kind) if name in self._of]

    def ready_at(self, kind: Kind, now: float) -> float:
        """The earliest time, now or later, at which a request of this kind may leave; infinite if an answer decides."""
        if self._asking and not self._ending:
            return float("inf")
        times = [window.ready_at(now) for window in self._windows(kind)]
        if kind is Kind.READ and "reads" in self._of:
            # All at once, and then none for most of a minute, would be late for whatever ends in between.
            times.append(self._of["reads"].even_at(now))
        held_until = self._held_until if self._held_until < self._ends_at else now
        return max([now, held_until, self._others.get(kind, now), *times])

    def claim(self, kind: Kind, now: float) -> bool:
        """Counts a request that leaves now; false if others have just used up what was left."""
        windows = self._windows(kind)
        if self._shared is not None and windows:
            self._others[kind] = ready = self._shared.claim(kind, now, silent=not self._ending)
            if ready > now:
                return False
        for window in windows:
            window.sent(now)
        self._asking = self._silences > 0 and kind is not Kind.UPLOAD
        return True

    def heard(self, *, refused: bool) -> None:
        """An answer came; `refused`: it asks for silence."""
        self._asking = False
        if not refused:
            self._silences = 0

    def hold(self, wait_s: float, now: float, *, named: bool) -> float:
        """The vendor asked for silence. Then one request finds out whether it is over, and the others wait for that.

        Returns the seconds until then; they grow where the vendor has not `named` any.
        """
        if now >= self._held_until:
            self._silences += 1
        if not named:
            wait_s = max(wait_s, min(LONGEST_SILENCE_S, 2.0 ** min(self._silences, 10) / 2))
        self._held_until = max(self._held_until, now + wait_s)
        if self._shared is not None:
            self._shared.hold(wait_s)
        return self._held_until - now

    def end_by(self, at: float) -> None:
        """Nothing leaves after that: a longer silence is broken, since what is not cancelled by then runs on."""
        self._ends_at = at
