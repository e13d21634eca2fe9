"""Says how far a run has come, from nothing but the injected clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

Clock = Callable[[], float]
"""Seconds that only ever grow, such as `time.monotonic`."""

HANG = "hang"
"""The outcome of a run that never ends by itself."""


class Phase(StrEnum):
    """How far a run has come."""

    QUEUED = "queued"
    RUNNING = "running"
    OVER = "over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How one run of one test goes; times are seconds of the emulation, from its creation."""

    outcome: str = "passed"
    duration: float = 3.0
    queued: float = 0.5
    name: str | None = None
    word: str | None = None
    message: str | None = None

    def ending(self, outcome: str) -> Course:
        """The same course with another outcome."""
        return replace(self, outcome=outcome)

    def lasted(self, elapsed: float) -> float:
        """The seconds that the run has taken so far, or took in all."""
        return min(self.duration, elapsed) if self.phase(elapsed) is Phase.OVER else elapsed

    def phase(self, elapsed: float) -> Phase:
        """The phase at a time since the creation."""
        if elapsed < min(self.queued, self.duration):
            return Phase.QUEUED
        return Phase.RUNNING if self.outcome == HANG or elapsed < self.duration else Phase.OVER


class Timeline:
    """The emulation's time: the injected clock, `speed` times as fast."""

    def __init__(self, clock: Clock, speed: float) -> None:
        self._clock = clock
        self._origin = clock()
        self._began = datetime.now(UTC)
        self.speed = speed

    def real(self) -> float:
        """Seconds of the injected clock since the start; rate limits count these."""
        return self._clock() - self._origin

    def now(self) -> float:
        """Seconds of the emulation since the start; runs advance by these."""
        return self.real() * self.speed

    def stamp(self, moment: float) -> str:
        """A moment of the emulation as an ISO 8601 text in UTC."""
        at = self._began + timedelta(seconds=moment)
        return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
