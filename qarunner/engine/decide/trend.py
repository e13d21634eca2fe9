"""What earlier runs say of an entry: whether its failure is new, how often it is flaky, how long it usually takes."""

from __future__ import annotations

import statistics
from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

from qarunner.vendors.api import GOOD, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LATEST = 20
"""So many results of an entry are looked at."""

_SLOWER, _SLOWER_S = 1.5, 5.0
"""A run is slower than usual by this factor, and by so many seconds at least."""

_ENOUGH = 3
"""So many durations make a habit."""

_NO_RESULT = frozenset({Verdict.SKIPPED, Verdict.CANCELLED})
"""Verdicts that say nothing about the tests."""

_MARKS = {Verdict.PASSED: "▁", Verdict.FLAKY: "▄"}
_BAD = "█"


class News(StrEnum):
    """What this result is beside the earlier ones."""

    NEW = "new"
    KNOWN = "known"
    FIXED = "fixed"


class Past(Struct, frozen=True, kw_only=True):
    """An earlier result of an entry or a test. `commit` is the one that was tested."""

    run: str
    verdict: Verdict
    at: float
    duration_s: float | None = None
    commit: str | None = None


class Trend(Struct, frozen=True, kw_only=True):
    """An entry's results, this one included. `failing` counts the failures in a row, `since` is the first one's run.

    `flaky` of the latest `runs` were flaky. `marks` are the latest results, the oldest first, a sign for each.
    """

    news: News | None
    failing: int
    since: str | None
    flaky: int
    bad: int
    runs: int
    usual_s: float | None
    slower: bool
    marks: str

    @property
    def words(self) -> tuple[str, ...]:
        """What is worth saying of it, in short."""
        texts = []
        if self.news is News.NEW:
            texts.append("new failure")
        elif self.news is News.KNOWN:
            texts.append(f"failing for {self.failing} runs")
        elif self.news is News.FIXED:
            texts.append("fixed")
        if self.flaky:
            texts.append(f"flaky {self.flaky} of {self.runs}")
        if self.slower:
            texts.append("slower than usual")
        return tuple(texts)


def is_bad(verdict: Verdict) -> bool:
    return verdict not in GOOD and verdict not in _NO_RESULT


def trend(earlier: Iterable[Past], now: Past) -> Trend | None:
    """`earlier` are the results before this one, the newest first. None without any result to compare with."""
    before = [past for past in earlier if past.verdict not in _NO_RESULT][: LATEST - 1]
    every = before if now.verdict in _NO_RESULT else [now, *before]
    if not every or not before:
        return _first(now)
    usual = usual_s(before)
    streak = next((number for number, past in enumerate(every) if not is_bad(past.verdict)), len(every))
    return Trend(
        news=_news(now, before),
        failing=streak,
        since=every[streak - 1].run if streak else None,
        flaky=_flaky(every),
        bad=sum(is_bad(past.verdict) for past in every),
        runs=len(every),
        usual_s=usual,
        slower=_is_slower(now.duration_s, usual),
        marks="".join(_MARKS.get(past.verdict, _BAD) for past in reversed(every)),
    )


def _first(now: Past) -> Trend | None:
    """Of an entry that has no earlier result, where others have: its failure is new."""
    if not is_bad(now.verdict):
        return None
    return Trend(
        news=News.NEW, failing=1, since=now.run, flaky=0, bad=1, runs=1, usual_s=None, slower=False, marks=_BAD
    )


def _news(now: Past, before: Sequence[Past]) -> News | None:
    was_bad = is_bad(before[0].verdict)
    if is_bad(now.verdict):
        return News.KNOWN if was_bad else News.NEW
    return News.FIXED if was_bad and now.verdict in GOOD else None


def _flaky(every: Sequence[Past]) -> int:
    """Results that were flaky in themselves, and failures at a commit at which the same has passed, too."""
    passed = {past.commit for past in every if past.commit and past.verdict in GOOD}
    return sum(past.verdict is Verdict.FLAKY or (is_bad(past.verdict) and past.commit in passed) for past in every)


def usual_s(results: Iterable[Past]) -> float | None:
    """The median of what good results took, in seconds. None for too few."""
    known = [past.duration_s for past in results if past.duration_s is not None and past.verdict in GOOD]
    return round(statistics.median(known), 1) if len(known) >= _ENOUGH else None


def _is_slower(took: float | None, usual: float | None) -> bool:
    return took is not None and usual is not None and took > max(usual * _SLOWER, usual + _SLOWER_S)
