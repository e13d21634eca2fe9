"""When the next request to a vendor may leave: pure arithmetic over rates, hints and what has been sent.

Times are seconds of the caller's monotonic clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qarunner.plan.model import Rate, VendorPlan
    from qarunner.vendors.api import Pacing

MARGIN = 1.02
"""A window is taken this much longer than documented: a request's way to the vendor is not always equally long."""

GROWTH = 0.1
"""Polls of a run are this share of its age apart, within the vendor's bounds."""


class Kind(StrEnum):
    """What a request is for; in the order in which they go first."""

    CANCEL = "cancel"
    RELEASE = "release"
    READ = "read"
    SETUP = "setup"
    UPLOAD = "upload"
    CREATE = "create"


class Window:
    """At most `count` requests in any window, however the windows are laid."""

    __slots__ = ("_rate", "_sent")

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._sent: deque[float] = deque(maxlen=rate.count)

    def ready_at(self, now: float) -> float:
        if len(self._sent) < self._rate.count:
            return now
        return max(now, self._sent[0] + self._rate.per_s * MARGIN)

    def sent(self, now: float) -> None:
        self._sent.append(now)

    def spread_s(self, runs: int) -> float:
        """The interval at which so many runs can be asked evenly."""
        return runs * self._rate.per_s * MARGIN / self._rate.count


class Pacer:
    """The budget of one vendor's credential."""

    def __init__(self, plan: VendorPlan) -> None:
        self._all = Window(plan.all) if plan.all else None
        self._of = {
            Kind.CREATE: Window(plan.creates) if plan.creates else None,
            Kind.READ: Window(plan.reads) if plan.reads else None,
        }
        self._held_until = float("-inf")

    def _windows(self, kind: Kind) -> list[Window]:
        if kind is Kind.UPLOAD:
            # A presigned upload goes to a store of files, not to the vendor's API.
            return []
        return [window for window in (self._of.get(kind), self._all) if window is not None]

    def ready_at(self, kind: Kind, now: float) -> float:
        """The earliest time, now or later, at which a request of this kind may leave."""
        return max([now, self._held_until, *(window.ready_at(now) for window in self._windows(kind))])

    def sent(self, kind: Kind, now: float) -> None:
        for window in self._windows(kind):
            window.sent(now)

    def hold(self, until: float) -> None:
        """The vendor asked for silence."""
        self._held_until = max(self._held_until, until)

    def spread_s(self, runs: int) -> float:
        """The interval between two polls of one run that the rates allow for so many runs."""
        return max([0.0, *(window.spread_s(runs) for window in self._windows(Kind.READ))])


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

    def interval_s(self, *, age_s: float, hint_s: float | None, spread_s: float) -> float:
        """Seconds until a run is asked again: the vendor's hint before ours, never faster than the rates allow."""
        if self.override_s is not None:
            return max(self.override_s, spread_s)
        if hint_s is not None:
            low, high = self.hint_s or (self.every_s, self.max_s)
            return max(min(max(hint_s, low), high), spread_s)
        return max(self.every_s, min(age_s * GROWTH, self.max_s), spread_s)
