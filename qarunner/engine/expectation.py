"""When a run is likely to end, and when it is worth asking: pure arithmetic over how long earlier runs took.

Durations are taken as lognormal, which fits what people wait for: never negative, now and then far too long. Of a run
that was still going when it was asked last, what counts is the rest of its distribution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

SPREAD = 0.25
"""The standard deviation of a logarithm of the durations of one entry, until its own runs tell another one."""
SPREAD_WEIGHT = 3
"""How many runs that guess is worth."""
MIXED_SPREAD = 0.7
"""The same guess where only runs of other tests at the same vendor are known."""
ODD_SHARE = 0.01
ODD_SPREAD = 1.0
"""This share of runs keeps to no habit: one that breaks at once, or takes for ever, is found all the same."""
_NOTHING_S = 1e-9
_ROOT = math.sqrt(2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """How long a run takes: half of its like take longer than `median_s`; `spread` is that of the logarithm."""

    median_s: float
    spread: float

    def took_s(self, known_s: float, found_s: float) -> float:
        """How long a run probably took that was going on at the first age, and was found to be over at the second."""
        then, now = self.alive(known_s), self.alive(found_s)
        if then - now <= 1e-9:  # noqa: PLR2004  too unlikely for its distribution to say anything
            return (known_s + found_s) / 2
        lived = self.lived(found_s) - self.lived(known_s)
        mean = (known_s * then - found_s * now + lived) / (then - now)
        return min(max(known_s, mean), found_s)

    def _parts(self) -> tuple[tuple[float, float], tuple[float, float]]:
        return (1.0 - ODD_SHARE, self.spread), (ODD_SHARE, max(ODD_SPREAD, self.spread))

    def alive(self, age_s: float) -> float:
        """The probability that a run lives to this age."""
        if age_s <= _NOTHING_S:
            return 1.0
        log = math.log(age_s / self.median_s)
        return sum(share * _above(log / spread) for share, spread in self._parts())

    def lived(self, age_s: float) -> float:
        """The expected lifetime up to this age: the integral of `alive`."""
        if age_s <= _NOTHING_S:
            return age_s
        log = math.log(age_s / self.median_s)
        return sum(
            share
            * (
                age_s * _above(log / spread)
                + self.median_s * math.exp(spread * spread / 2) * _above(spread - log / spread)
            )
            for share, spread in self._parts()
        )


UNKNOWN = Expected(median_s=120.0, spread=1.0)
"""A run of which nothing is known: minutes, perhaps."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """How long some runs took, as the sums that an expectation needs."""

    count: int = 0
    logs: float = 0.0
    squares: float = 0.0

    def add(self, seconds: float) -> None:
        log = math.log(max(1.0, seconds))
        self.count += 1
        self.logs += log
        self.squares += log * log

    def expected(self, spread: float) -> Expected:
        """What is expected of the next one; `spread` is the guess before any of them was known."""
        mean = self.logs / self.count
        around = max(0.0, self.squares - self.count * mean * mean) + SPREAD_WEIGHT * spread * spread
        variance = around / (self.count - 1 + SPREAD_WEIGHT)
        # Of few runs the mean itself is uncertain.
        return Expected(median_s=math.exp(mean), spread=math.sqrt(variance * (1 + 1 / self.count)))


def _above(score: float) -> float:
    """The upper tail of the standard normal distribution."""
    return 0.5 * math.erfc(score / _ROOT)
