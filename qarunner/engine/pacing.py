"""When the next request to a vendor may leave: pure arithmetic over rates, hints and what has been sent.

Times are seconds of the caller's monotonic clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from qarunner.engine.expectation import Expected
    from qarunner.plan.model import Rate, VendorPlan
    from qarunner.vendors.api import Pacing

MARGIN = 1.02
"""A window is taken this much longer than documented: a request's way to the vendor is not always equally long."""

FIRST_LOOK_S = 120.0
"""However long a run is expected to take, it is looked at after this long: it may have broken at once."""
URGENT_S = 1.0
"""Where reads have to queue, the run goes first that was the first to be late by this much, as far as can be told."""


PRICE_S = 0.1
PRICE_PER_AGE = 1 / 3000
"""What a read is worth, in seconds of a run's end not being known: more for a run that is already old."""
LATEST_S = 86_400.0
LONGEST_SILENCE_S = 30.0
"""How long a vendor that names no time is left alone before it is asked once more."""
_IMPROBABLE = 1e-9
"""A run that lives longer than so few do follows no distribution, and rounding would eat the difference."""
_STEPS = 18


class Kind(StrEnum):
    """What a request is for."""

    CANCEL = "cancel"
    RELEASE = "release"
    READ = "read"
    SETUP = "setup"
    UPLOAD = "upload"
    CREATE = "create"


class Watch:
    """A run between two polls: how late it would probably be to ask now whether it has ended.

    `born` is when it was made, `known` when it was last asked and went on.
    """

    __slots__ = ("_age", "_alive", "_born", "_expected", "_lived")

    def __init__(self, expected: Expected, *, born: float, known: float) -> None:
        self._expected = expected
        self._born = born
        self._age = max(0.0, known - born)
        self._alive = expected.alive(self._age)
        self._lived = expected.lived(self._age)

    def late_s(self, now: float) -> float:
        """The expected seconds since the run's end, where it has ended."""
        age = now - self._born
        if self._alive < _IMPROBABLE:
            return (age - self._age) / 2
        return (age - self._age) - (self._expected.lived(age) - self._lived) / self._alive

    def late_by(self, price_s: float) -> float:
        """When so many seconds will have been lost."""
        low = self._born + self._age
        high = low + max(1.0, price_s)
        while self.late_s(high) < price_s and high < low + LATEST_S:
            high += high - low
        for _ in range(_STEPS):
            middle = (low + high) / 2
            if self.late_s(middle) < price_s:
                low = middle
            else:
                high = middle
        return high

    def price_s(self) -> float:
        return max(PRICE_S, self._age * PRICE_PER_AGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """When a run is asked again, and what puts it before others that are due by then: the earlier, the more urgent."""

    due: float
    urgency: float
    watch: Watch


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """How often one vendor's runs are asked. `override_s` is the user's word on the command line: it beats hints."""

    every_s: float
    max_s: float
    hint_s: tuple[float, float] | None
    override_s: float | None = None

    @classmethod
    def of(cls, plan: VendorPlan, documented: Pacing, override_s: float | None) -> Rhythm:
        return cls(every_s=plan.every_s, max_s=plan.max_s, hint_s=documented.hint_s, override_s=override_s)

    @property
    def shortest_s(self) -> float:
        """Between two polls of one run."""
        return self.every_s if self.override_s is None else self.override_s

    def turn(
        self, expected: Expected, *, born: float, known_at: float | None, now: float, hint_s: float | None = None
    ) -> Turn:
        """When a run is asked next that was last known to go on when it was asked at `known_at`, or else was made."""
        known = born if known_at is None else known_at
        watch = Watch(expected, born=born, known=known)
        price = watch.price_s()
        urgency = watch.late_by(max(URGENT_S, price))
        if self.override_s is not None:
            return Turn(due=now + self.override_s, urgency=urgency, watch=watch)
        earliest = max(now, known + self.every_s)
        if hint_s is not None:
            low, high = self.hint_s or (self.every_s, self.max_s)
            earliest = max(earliest, now + min(max(hint_s, low), high))
        latest = known + (max(self.max_s, FIRST_LOOK_S) if known_at is None else self.max_s)
        return Turn(due=max(earliest, min(watch.late_by(price), latest)), urgency=urgency, watch=watch)
