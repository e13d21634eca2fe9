"""However requests come, no window ever holds more of them than a vendor allows."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qarunner.engine.decide.interpret import LONGEST_READ_SILENCE_S
from qarunner.engine.schedule.rate_limits import (
    CLEANUP,
    LONGEST_CLEANUP_SILENCE_S,
    LONGEST_LAST_SILENCE_S,
    LONGEST_SILENCE_S,
    MARGIN,
    RateLimiter,
    RateWindow,
    RequestKind,
)
from qarunner.engine.schedule.timing import UNKNOWN, DurationModel, LatenessEstimate, PollSchedule
from qarunner.plan.model import Rate, VendorPlan
from qarunner.vendors.api import Pacing

RATES = st.builds(Rate, count=st.integers(1, 12), per_s=st.floats(0.5, 120))
GAPS = st.lists(st.floats(0, 30), max_size=80)
SECONDS = st.floats(0, 1e6)


def vendor(reads: Rate | None = None, creates: Rate | None = None, of_all: Rate | None = None) -> VendorPlan:
    return VendorPlan(key_env="K", every_s=10, max_s=30, max_in_flight=9, reads=reads, creates=creates, all=of_all)


def most_in_a_window(times: list[float], per_s: float) -> int:
    return max((sum(at <= other < at + per_s for other in times) for at in times), default=0)


@given(RATES, GAPS)
def test_no_window_holds_more_than_the_rate(rate: Rate, gaps: list[float]) -> None:
    window, now, times = RateWindow(rate), 0.0, list[float]()
    for gap in gaps:
        now = window.ready_at(now + gap)
        assert window.ready_at(now) == now
        window.sent(now)
        times.append(now)
    assert most_in_a_window(times, rate.per_s) <= rate.count


@given(RATES, RATES, RATES, st.lists(st.tuples(st.floats(0, 10), st.sampled_from(RequestKind)), max_size=80))
def test_each_kind_keeps_its_own_rate_and_all_keep_theirs(
    reads: Rate, creates: Rate, of_all: Rate, wanted: list[tuple[float, RequestKind]]
) -> None:
    limiter, now = RateLimiter(vendor(reads, creates, of_all)), 0.0
    times: dict[RequestKind, list[float]] = {kind: [] for kind in RequestKind}
    for gap, kind in wanted:
        now = limiter.ready_at(kind, now + gap)
        limiter.try_take(kind, now)
        times[kind].append(now)
    assert most_in_a_window(times[RequestKind.READ], reads.per_s) <= reads.count
    assert most_in_a_window(times[RequestKind.CREATE], creates.per_s) <= creates.count
    # A presigned upload goes to a store of files, not to the vendor's API.
    counted = itertools.chain(*(sent for kind, sent in times.items() if kind is not RequestKind.UPLOAD))
    assert most_in_a_window(sorted(counted), of_all.per_s) <= of_all.count


@given(RATES, st.integers(1, 40))
def test_a_rate_is_used_up_before_anybody_waits(rate: Rate, requests: int) -> None:
    window = RateWindow(rate)
    for number in range(requests):
        now = window.ready_at(0.0)
        assert now == (0.0 if number < rate.count else now)
        assert now <= (number // rate.count) * rate.per_s * MARGIN + 1e-6
        window.sent(now)


def test_a_vendor_without_rates_is_asked_at_once() -> None:
    limiter = RateLimiter(vendor())
    for _ in range(1000):
        assert limiter.ready_at(RequestKind.READ, 5.0) == 5.0
        limiter.try_take(RequestKind.READ, 5.0)


@given(SECONDS, st.floats(1, 1e6), st.floats(1, 1e6), st.sampled_from(RequestKind))
def test_a_vendor_that_asks_for_silence_gets_it_for_every_kind(
    now: float, first: float, second: float, kind: RequestKind
) -> None:
    limiter = RateLimiter(vendor())
    limiter.hold(first, now, named=True)
    limiter.hold(second, now, named=True)
    end = now + min(max(first, second), LONGEST_SILENCE_S)
    # What is not cancelled runs on, and is paid for: a cancel or a removal does not wait for long.
    breaks = kind in CLEANUP and end >= now + LONGEST_CLEANUP_SILENCE_S
    # What was paid for is read now and then, and at the last.
    longest = now + LONGEST_READ_SILENCE_S if kind in {RequestKind.READ, RequestKind.LIST} else end
    assert limiter.ready_at(kind, now) == (now if breaks else min(longest, end))
    if kind not in CLEANUP:
        at_last = now if end >= now + LONGEST_LAST_SILENCE_S else end
        assert limiter.ready_at(kind, now, is_last=True) == at_last


def test_after_a_silence_one_request_finds_out_whether_it_is_over() -> None:
    limiter, now, waits = RateLimiter(vendor()), 0.0, list[float]()
    for _ in range(8):
        limiter.note_reply(refused=True)
        limiter.hold(0.1, now, named=False)
        waits.append(limiter.ready_at(RequestKind.READ, now) - now)
        now += waits[-1]
        assert limiter.try_take(RequestKind.READ, now)
        assert limiter.ready_at(RequestKind.READ, now) == math.inf
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    limiter.note_reply(refused=False)
    assert all(limiter.try_take(RequestKind.READ, now) for _ in range(9))


MINUTES = DurationModel(median_s=240.0, spread=0.25)
HABITS = st.builds(DurationModel, median_s=st.floats(1, 5000), spread=st.floats(0.05, 1.5))


def schedule(override: float | None = None, hint: tuple[float, float] | None = (2.0, 15.0)) -> PollSchedule:
    return PollSchedule(every_s=10, max_s=30, hint_s=hint, override_s=override)


@given(HABITS, st.floats(0, 7200), st.none() | st.floats(0, 600), st.none() | st.floats(0, 1e9))
def test_a_run_is_asked_neither_too_often_nor_too_rarely(
    expected: DurationModel, age: float, ago: float | None, hint: float | None
) -> None:
    now = 10_000.0
    born = now - age
    known = None if ago is None else max(born, now - ago)
    due = schedule().next_poll(expected, born=born, running_at=known, now=now, hint_s=hint).due
    last = born if known is None else known
    first = known is None
    lowest = max(now, last + (5.0 if first else 10.0), 0.0 if hint is None else now + min(max(hint, 2.0), 15.0))
    assert lowest <= due <= max(lowest, last + (300.0 if first else max(30.0, (last - born) / 2)))


@given(HABITS | st.just(UNKNOWN), st.floats(0, 7200), st.none() | st.floats(0, 3600))
def test_a_users_poll_holds_from_the_first_look_on(expected: DurationModel, age: float, ago: float | None) -> None:
    own = VendorPlan(key_env="K", every_s=2, max_s=4, max_in_flight=1)
    users = PollSchedule.of(own, Pacing(every_s=10, max_s=30), None)
    now, known = age, None if ago is None else max(0.0, age - ago)
    due = users.next_poll(expected, born=0.0, running_at=known, now=now).due
    assert max(now, (known or 0.0) + 2.0) <= due <= max(now, (known or 0.0) + 4.0)


def test_a_run_of_which_nothing_is_known_is_looked_at_after_five_seconds() -> None:
    for every in (5.0, 10.0):
        documented = Pacing(every_s=every, max_s=30)
        default = PollSchedule.of(VendorPlan(key_env="K", every_s=every, max_s=30, max_in_flight=1), documented, None)
        assert default.next_poll(UNKNOWN, born=0.0, running_at=None, now=0.0).due == 5.0
        assert default.next_poll(UNKNOWN, born=0.0, running_at=5.0, now=5.0).due == 5.0 + every


@given(st.integers(1, 40), st.integers(0, 40))
def test_progress_says_when_a_run_will_end(total: int, done: int) -> None:
    """Each test takes ten seconds: the more of them are over, the nearer is what is expected."""
    done = min(done, total)
    expected = UNKNOWN.after(10.0 * done, done, total)
    if done:
        assert expected.spread < UNKNOWN.spread
        assert expected.median_s <= max(120.0, 10.0 * total) * 1.01
    else:
        assert expected == UNKNOWN
    if done >= 4:
        assert expected.median_s == pytest.approx(10 * total, rel=0.35)


def test_a_hint_is_the_earliest_time_within_the_vendors_bounds_or_else_within_ours() -> None:
    def wait(hint: float, bounds: tuple[float, float] | None) -> float:
        likely = 240.0
        return schedule(hint=bounds).next_poll(MINUTES, born=0, running_at=likely, now=likely, hint_s=hint).due - likely

    assert [wait(hint, (12.0, 25.0)) for hint in (0.0, 20.0, 500.0)] == [12.0, 20.0, 25.0]
    assert [wait(hint, None) for hint in (0.0, 12.0, 500.0)] == [10.0, 12.0, 30.0]


@given(HABITS, st.floats(0, 7200), st.none() | st.floats(0, 1e9), st.floats(0.02, 100))
def test_the_users_interval_beats_hints_and_habits(
    expected: DurationModel, age: float, hint: float | None, override: float
) -> None:
    poll = schedule(override).next_poll(expected, born=0.0, running_at=None, now=age, hint_s=hint)
    assert poll.due == age + override


def test_a_run_is_asked_rarely_before_it_can_have_ended_and_often_when_it_is_likely_to() -> None:
    due = schedule(hint=None).next_poll(MINUTES, born=0, running_at=None, now=0).due
    assert 120 < due < 200
    gaps = [schedule(hint=None).next_poll(MINUTES, born=0, running_at=at, now=at).due - at for at in (30, 130, 240)]
    assert gaps == [30, pytest.approx(22, abs=8), 10]


def test_a_run_without_any_habit_is_asked_as_often_as_the_vendor_wishes() -> None:
    at, gaps = 0.0, []
    while at < 300:
        poll = schedule(hint=None).next_poll(UNKNOWN, born=0, running_at=at or None, now=at)
        gaps.append(poll.due - at)
        at = poll.due
    assert gaps[0] == 5
    assert all(10 <= gap <= 15 for gap in gaps[1:])


@given(HABITS, st.floats(0, 5000), st.floats(0, 2000), st.floats(0, 2000))
def test_a_run_is_the_later_the_longer_nobody_asked(
    expected: DurationModel, known: float, one: float, two: float
) -> None:
    watch = LatenessEstimate(expected, born=0.0, known=known)
    sooner, later = sorted((known + one, known + two))
    assert -0.01 <= watch.late_s(sooner) <= watch.late_s(later) + 0.01
    assert watch.late_s(later) <= later - known + 0.01


def test_reads_leave_half_a_window_for_bursts_and_spend_the_rest_evenly() -> None:
    limiter, now, times = RateLimiter(vendor(reads=Rate(count=60))), 0.0, list[float]()
    for _ in range(120):
        now = limiter.ready_at(RequestKind.READ, now)
        limiter.try_take(RequestKind.READ, now)
        times.append(now)
    assert times[29] == 0.0
    assert max(after - before for before, after in itertools.pairwise(times)) < 2.1
    assert times[-1] < 125
