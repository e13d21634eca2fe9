"""When each run is asked next: by its age, by how long its like take, and by what the vendor wishes."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from qarunner.entry import Entry
from qarunner.vendors.api import Cause, Pacing

if TYPE_CHECKING:
    from qarunner.engine.decide.interpret import Retry
    from qarunner.engine.state.run import JobState, Run
    from qarunner.plan.model import Plan, VendorPlan


# ---------------------------------------------------------------------------------------------------------------------

# When the next request to a vendor may leave: pure arithmetic over rates, hints and what has been sent.
#
# Times are seconds of the caller's monotonic clock.


OBSERVE_S = 30.0
"""An observer is woken this often, whatever happens: CI systems end a job that is silent for long."""


FIRST_LOOK_S = 5.0
"""An unknown run is looked at after this long: it may be short, or have broken at once."""


LATEST_FIRST_LOOK_S = 300.0
"""The same for a run that is expected to take longer."""


AGE_PER_GAP = 4
"""For an unknown run, the gap between two looks is this part of its age."""


LONGEST_BLIND_GAP_S = 11.0
"""And they are no longer than this: a loop that asks every ten seconds is never noticeably ahead."""


LONGEST_GAP_PER_AGE = 0.5
"""Where an end is improbable, a run may be left alone for this part of its age, if no setting says otherwise."""


URGENT_S = 1.0
"""Where reads have to queue, the run goes first that was the first to be late by this much, as far as is known."""


PRICE_S = 0.3


PRICE_PER_AGE = 1 / 1500
"""What a read is worth, in seconds of a run's end not being known: more for a run that is already old."""


PAGE_PAUSE_S, LONGEST_LIST_PAUSE_S = 2.0, 10.0
"""How long a list rests for each of its pages, and at most: no longer than the documented loops do."""


LATEST_S = 86_400.0


_IMPROBABLE = 1e-9
"""A run that lives longer than so few do follows no distribution, and rounding would eat the difference."""


_STEPS = 10


class LatenessEstimate:
    """A run between two polls: how late it would probably be to ask now whether it has ended.

    `born` is when it was made, `known` when it was last asked and went on.
    """

    __slots__ = ("_age", "_alive", "_born", "_expected", "_lived")

    def __init__(self, expected: DurationModel, *, born: float, known: float) -> None:
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
        return self._born + _late_at_age(self._expected, self._age, price_s)

    def price_s(self) -> float:
        return max(PRICE_S, self._age * PRICE_PER_AGE)


@functools.lru_cache(maxsize=256)
def _late_at_age(expected: DurationModel, known_s: float, price_s: float) -> float:
    """How old a run is when so many seconds will have been lost since it was last known to go on.

    Runs that have just been made are all of one age, and most of them are expected to take equally long.
    """
    estimate = LatenessEstimate(expected, born=0.0, known=known_s)
    low, high = known_s, known_s + max(1.0, price_s)
    while estimate.late_s(high) < price_s and high < low + LATEST_S:
        high += high - low
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if estimate.late_s(middle) < price_s:
            low = middle
        else:
            high = middle
    return high


class NextPoll(Struct, frozen=True, kw_only=True):
    """When a run is asked again, and what puts it before others that are due by then: the earlier, the more urgent."""

    due: float
    urgency: float
    lateness: LatenessEstimate


class PollSchedule(Struct, frozen=True, kw_only=True):
    """How often one vendor's runs are asked. `override_s` is the user's word on the command line: it beats hints.

    `first_s` is the age at the first look; `strict_max` holds `max_s`, however improbable an end is.
    """

    every_s: float
    max_s: float
    hint_s: tuple[float, float] | None
    override_s: float | None = None
    first_s: float = FIRST_LOOK_S
    strict_max: bool = False

    @classmethod
    def of(cls, plan: VendorPlan, documented: Pacing, override_s: float | None) -> PollSchedule:
        """A manifest's `poll` holds from the first look on; what a vendor documents is about two polls of a run."""
        is_own = plan.every_s != documented.every_s
        return cls(
            every_s=plan.every_s,
            max_s=plan.max_s,
            hint_s=documented.hint_s,
            override_s=override_s,
            first_s=plan.every_s if is_own else min(FIRST_LOOK_S, plan.every_s),
            strict_max=is_own or plan.max_s != documented.max_s,
        )

    @property
    def shortest_s(self) -> float:
        """Between two polls of one run."""
        return self.every_s if self.override_s is None else self.override_s

    def list_pause_s(self, pages: int) -> float:
        """Between two readings of a list: one of many pages is many requests, if no setting says otherwise."""
        is_set = self.override_s is not None or self.strict_max
        return self.shortest_s if is_set else max(self.shortest_s, min(LONGEST_LIST_PAUSE_S, pages * PAGE_PAUSE_S))

    def hinted_s(self, hint_s: float) -> float:
        """A vendor's hint, within the bounds in which it is followed."""
        low, high = self.hint_s or (self.every_s, self.max_s)
        return min(max(hint_s, low), high)

    def next_poll(
        self,
        expected: DurationModel,
        *,
        born: float,
        running_at: float | None,
        now: float,
        hint_s: float | None = None,
    ) -> NextPoll:
        """When a run is asked next that was last known to go on when it was asked at `running_at`, or else was made."""
        known = born if running_at is None else running_at
        lateness = LatenessEstimate(expected, born=born, known=known)
        price = lateness.price_s()
        urgency = lateness.late_by(max(URGENT_S, price))
        if self.override_s is not None:
            return NextPoll(due=now + self.override_s, urgency=urgency, lateness=lateness)
        earliest = max(now, known + (self.first_s if running_at is None else self.every_s))
        if hint_s is not None:
            earliest = max(earliest, now + self.hinted_s(hint_s))
        latest = known + self._longest_s(expected, None if running_at is None else known - born)
        return NextPoll(due=max(earliest, min(lateness.late_by(price), latest)), urgency=urgency, lateness=lateness)

    def _longest_s(self, expected: DurationModel, age_s: float | None) -> float:
        """For how long a run is left alone at most; `age_s` is None before the first look."""
        if expected is UNKNOWN:
            gap = self.first_s if age_s is None else max(self.every_s, min(age_s / AGE_PER_GAP, LONGEST_BLIND_GAP_S))
            return min(gap, self.max_s)
        if self.strict_max:
            return self.max_s
        return LATEST_FIRST_LOOK_S if age_s is None else max(self.max_s, age_s * LONGEST_GAP_PER_AGE)


# ---------------------------------------------------------------------------------------------------------------------

# How long a request that fails is tried again, and how far apart the tries are.


FIRST_CONTACT_S = 20.0
"""A vendor that never answered in this apply is given up soon: nothing is at stake, and a wrong URL is likely."""


LONG_S = 900.0
"""A vendor that did answer is waited for: a run that was paid for is worth a quarter of an hour."""


UNREADABLE_S = 60.0
"""For so long replies may be beyond understanding: gateways and eventual consistency pass, a changed API does not."""


UNREADABLE_LEAST = 3
"""And so many of them have to be, however far apart."""


BACKOFF_S = 1.0


LONGEST_BACKOFF_S = 30.0


FIRST_BACKOFF_S = 5.0
"""The longest wait at a first contact, where little patience is to be spent on waiting."""


class RetryState(Struct, kw_only=True):
    """Failures in a row of one request; a good reply starts a new one."""

    since: float | None = None
    count: int = 0
    unreadable: int = 0
    unreadable_since: float | None = None
    message: str | None = None
    """What was wrong with the newest try."""

    def add(self, again: Retry, now: float) -> None:
        if again.held:  # the vendor is there: what fails afterwards begins a patience of its own
            self.since = None
        elif self.since is None:
            self.since = now
        self.count += 1
        self.message = again.message
        if again.unreadable:
            self.unreadable += 1
            self.unreadable_since = now if self.unreadable_since is None else self.unreadable_since

    def exhausted(
        self, again: Retry, now: float, *, established: bool, failing_since: float | None = None
    ) -> Cause | None:
        """Why to give up, if it is time: no sense in the replies, or no reply for too long.

        A vendor that asks for silence is there: the time of the entries bounds that wait, and no patience does.
        `failing_since` is when the vendor's last good reply was followed by a failure: patience is for a vendor, and
        the next of many requests has no patience of its own.
        """
        if again.held:
            return None
        unreadable_s = now - (now if self.unreadable_since is None else self.unreadable_since)
        if self.unreadable >= UNREADABLE_LEAST and unreadable_s >= UNREADABLE_S:
            return Cause.REFUSED
        patience = LONG_S if established else FIRST_CONTACT_S
        since = min((at for at in (self.since, failing_since) if at is not None), default=now)
        return Cause.UNAVAILABLE if now - since + (again.wait_s or 0.0) > patience else None

    def backoff(self, again: Retry, jitter: float, *, longest: float = LONGEST_BACKOFF_S) -> float:
        """Seconds until the next try: the vendor's word, or full jitter growing to 30 s; `jitter` is uniform in 0…1."""
        ceiling = min(longest, BACKOFF_S * 2.0 ** min(self.count, 10))
        wait_s = max(0.1, ceiling * jitter)
        return wait_s if again.wait_s is None else again.wait_s + min(wait_s, 1.0)


# ---------------------------------------------------------------------------------------------------------------------

# When a run is likely to end, and when it is worth asking: pure arithmetic over how long earlier runs took.
#
# Durations are taken as lognormal, which fits what people wait for: never negative, now and then far too long. Of a run
# that was still going when it was asked last, what counts is the rest of its distribution.


SPREAD = 0.25
"""The standard deviation of a logarithm of the durations of one entry, until its own runs tell another one."""


SPREAD_WEIGHT = 3
"""How many runs that guess is worth."""


MIXED_SPREAD = 0.7
"""The same guess where only runs of other tests at the same vendor are known."""


ODD_SHARE = 0.01


ODD_SPREAD = 1.0
"""This share of runs keeps to no habit: one that breaks at once, or takes for ever, is found all the same."""


TEST_SPREAD = 0.6
"""The standard deviation of a logarithm of the durations of a run's single tests."""


LEAST_SPREAD = 0.05
"""However much of a run is over, what its progress says of its end is no more certain than this."""


_NOTHING_S = 1e-9


_ROOT = math.sqrt(2.0)


class DurationModel(Struct, frozen=True, kw_only=True):
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

    def after(self, age_s: float, done: int, total: int) -> DurationModel:
        """The same with what a run's progress says: at this age, so many of its tests were over."""
        if not 0 < done <= total or age_s <= 0:
            return self
        # Half a test more, on average, is under way. What its tests have taken says how long those that are left take.
        passed = min(done + 0.5, float(total))
        left = max(total - passed, 0.25)
        spread = max(LEAST_SPREAD, TEST_SPREAD * math.sqrt(left / (total * passed)))
        weight, prior = 1 / (spread * spread), 1 / (self.spread * self.spread)
        log = (weight * math.log(age_s * total / passed) + prior * math.log(self.median_s)) / (weight + prior)
        return DurationModel(median_s=math.exp(log), spread=1 / math.sqrt(weight + prior))

    def alive(self, age_s: float) -> float:
        """The probability that a run lives to this age."""
        if age_s <= _NOTHING_S:
            return 1.0
        log, odd = math.log(age_s / self.median_s), max(ODD_SPREAD, self.spread)
        return (1.0 - ODD_SHARE) * _above(log / self.spread) + ODD_SHARE * _above(log / odd)

    def lived(self, age_s: float) -> float:
        """The expected lifetime up to this age: the integral of `alive`."""
        if age_s <= _NOTHING_S:
            return age_s
        odd = max(ODD_SPREAD, self.spread)
        return (1.0 - ODD_SHARE) * self._lived(age_s, self.spread) + ODD_SHARE * self._lived(age_s, odd)

    def _lived(self, age_s: float, spread: float) -> float:
        score = math.log(age_s / self.median_s) / spread
        return age_s * _above(score) + self.median_s * math.exp(spread * spread / 2) * _above(spread - score)


UNKNOWN = DurationModel(median_s=120.0, spread=1.0)
"""An unknown run: minutes, perhaps."""


class Tally(Struct, kw_only=True):
    """How long some runs took, as the sums that an expectation needs."""

    count: int = 0
    logs: float = 0.0
    squares: float = 0.0

    def add(self, seconds: float) -> None:
        log = math.log(max(1.0, seconds))
        self.count += 1
        self.logs += log
        self.squares += log * log

    def expected(self, spread: float) -> DurationModel:
        """What is expected of the next one; `spread` is the guess before any of them was known."""
        mean = self.logs / self.count
        around = max(0.0, self.squares - self.count * mean * mean) + SPREAD_WEIGHT * spread * spread
        variance = around / (self.count - 1 + SPREAD_WEIGHT)
        # Of few runs the mean itself is uncertain.
        return DurationModel(median_s=math.exp(mean), spread=math.sqrt(variance * (1 + 1 / self.count)))


def _above(score: float) -> float:
    """The upper tail of the standard normal distribution."""
    return 0.5 * math.erfc(score / _ROOT)


# ---------------------------------------------------------------------------------------------------------------------

# How long this plan's runs are expected to take: from earlier applies, and from what has ended in this one.


Durations: TypeAlias = Mapping[str, Sequence[float]]
"""Seconds that runs took, by what was run: the names are those of `names_of`."""


ENOUGH = 3
"""So many runs of other tests at the same vendor say more than nothing does."""


def names_of(entry: Entry) -> tuple[str, str]:
    """What an entry's durations are known under: itself, and whatever runs the same tests on the same platform.

    An attempt at the failed tests alone is neither, since it takes less time.
    """
    selection = entry.selection
    tests = [] if selection is None else [str(selection.kind), *sorted(selection.ids)]
    same = [entry.vendor, entry.platform, *tests]
    return json.dumps([entry.id, *same]), json.dumps(same)


class DurationHistory:
    """Learns while an apply runs. `took` is what it has learnt, for the next one."""

    def __init__(self, plan: Plan, earlier: Durations) -> None:
        self._names: dict[str, list[tuple[str, str]]] = {}
        self._tallies: dict[str, Tally] = {}
        self._vendors: dict[str, Tally] = {name: Tally() for name in plan.vendors}
        self._jobs: dict[str, list[JobState]] = {}
        """Jobs that were asked about, by what their durations are known under."""
        self._unknown: dict[str, dict[str, JobState]] = {name: {} for name in plan.vendors}
        """Of them, by vendor: those that only the vendor's other runs say anything about."""
        self.took: dict[str, list[float]] = {}
        for name, durations in earlier.items():
            self._learn(name, durations)
        self._earlier = frozenset(self._tallies)

    def _learn(self, name: str, durations: Iterable[float]) -> None:
        tally = self._tallies.setdefault(name, Tally())
        for seconds in durations:
            tally.add(seconds)

    def expected(self, state: JobState) -> DurationModel:
        """Of a run for several entries, the slowest of them counts: it ends with its last test."""
        known = [model for names in self._of(state) if (model := self._known(names)) is not None]
        if known:
            return max(known, key=lambda each: each.median_s)
        vendor = self._vendors[state.job.vendor]
        return vendor.expected(MIXED_SPREAD) if vendor.count >= ENOUGH else UNKNOWN

    def known_s(self, state: JobState) -> float | None:
        """Seconds that a run of a job usually takes; None if no earlier apply has run any of its entries.

        The first of its runs that ends in this one says nothing of what is usual.
        """
        rows = (names for names in self._of(state) if not self._earlier.isdisjoint(names))
        known = [model.median_s for names in rows if (model := self._known(names)) is not None]
        return max(known, default=None)

    def _of(self, state: JobState) -> list[tuple[str, str]]:
        names = self._names.get(state.job.id)
        if names is None:
            names = self._names[state.job.id] = [names_of(entry) for entry in state.entries.values()]
            for name in {name for pair in names for name in pair}:
                self._jobs.setdefault(name, []).append(state)
            if all(self._known(pair) is None for pair in names):
                self._unknown[state.job.vendor][state.job.id] = state
        return names

    def _known(self, names: tuple[str, str]) -> DurationModel | None:
        tally = next((self._tallies[name] for name in names if name in self._tallies), None)
        return None if tally is None else tally.expected(SPREAD)

    def ended(self, state: JobState, *, known_s: float, found_s: float) -> list[JobState]:
        """A run was going on at the first of these ages, and over at the second.

        Returns the jobs whose expected end has changed. Of many ends, those at powers of two say it.
        """
        seconds = self.expected(state).took_s(known_s, found_s)
        vendor = self._vendors[state.job.vendor]
        vendor.add(seconds)
        changed: dict[str, JobState] = {}
        if vendor.count >= ENOUGH and _is_power_of_two(vendor.count - ENOUGH + 1):
            changed.update(self._unknown[state.job.vendor])
        for name in dict.fromkeys(name for names in self._of(state) for name in names):
            self._learn(name, [seconds])
            self.took.setdefault(name, []).append(round(seconds, 1))
            if _is_power_of_two(self._tallies[name].count):
                jobs = {job.job.id: job for job in self._jobs.get(name, ())}
                changed.update(jobs)
                for job in jobs:
                    self._unknown[state.job.vendor].pop(job, None)
        changed.pop(state.job.id, None)
        return list(changed.values())


def _is_power_of_two(count: int) -> bool:
    return count & (count - 1) == 0


class TimeLeft(Struct, frozen=True, kw_only=True):
    """Seconds until a run's last entry ends. `slowest` is the entry that takes longest by itself.

    `unknown` entries have never run: they are not in it.
    """

    seconds: float
    slowest: Entry | None
    unknown: int


def began_at(state: JobState) -> float | None:
    """When the first run of a job was accepted, in seconds since the epoch."""
    return min((remote.accepted_at for remote in state.runs.values()), default=None)


def time_left(run: Run, durations: DurationHistory, now: float) -> TimeLeft:
    """By what is known of each entry: needs come first, and few of a vendor's runs go on at a time."""
    entries = run.plan.entry_map()
    needs = {entry.id: entry.needs for entry in entries.values() if entry.id not in run.closed}
    ends: dict[str, float] = {}
    lanes = dict.fromkeys(run.plan.vendors, 0.0)
    counted: dict[str, float] = {}
    slowest, unknown = ("", 0.0), 0
    for entry in TopologicalSorter(needs).static_order():
        if entry not in needs:
            continue
        state = run.job_of[entry]
        if (left := counted.get(state.job.id)) is None:
            usual, began = durations.known_s(state), began_at(state)
            unknown += len(state.job.entries) if usual is None else 0
            left = max(0.0, (usual or 0.0) - (now - began if began is not None else 0.0))
            counted[state.job.id] = left
            lanes[state.job.vendor] += left / max(1, run.plan.vendors[state.job.vendor].max_in_flight)
        ends[entry] = left + max((ends.get(need, 0.0) for need in needs[entry]), default=0.0)
        slowest = max(slowest, (entry, left), key=lambda each: each[1])
    seconds = max((*ends.values(), *lanes.values()), default=0.0)
    return TimeLeft(seconds=seconds, slowest=entries.get(slowest[0]), unknown=unknown)
