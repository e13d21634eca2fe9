"""However requests come, no window ever holds more of them than a vendor allows."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from qarunner.engine.pacing import MARGIN, Kind, Pacer, Rhythm, Window
from qarunner.plan.model import Rate, VendorPlan

RATES = st.builds(Rate, count=st.integers(1, 12), per_s=st.floats(0.5, 120))
GAPS = st.lists(st.floats(0, 30), max_size=80)
SECONDS = st.floats(0, 1e6)


def vendor(reads: Rate | None = None, creates: Rate | None = None, of_all: Rate | None = None) -> VendorPlan:
    return VendorPlan(key_env="K", every_s=10, max_s=30, max_in_flight=9, reads=reads, creates=creates, all=of_all)


def most_in_a_window(times: list[float], per_s: float) -> int:
    return max((sum(at <= other < at + per_s for other in times) for at in times), default=0)


@given(RATES, GAPS)
def test_no_window_holds_more_than_the_rate(rate: Rate, gaps: list[float]) -> None:
    window, now, times = Window(rate), 0.0, list[float]()
    for gap in gaps:
        now = window.ready_at(now + gap)
        assert window.ready_at(now) == now
        window.sent(now)
        times.append(now)
    assert most_in_a_window(times, rate.per_s) <= rate.count


@given(RATES, RATES, RATES, st.lists(st.tuples(st.floats(0, 10), st.sampled_from(Kind)), max_size=80))
def test_each_kind_keeps_its_own_rate_and_all_keep_theirs(
    reads: Rate, creates: Rate, of_all: Rate, wanted: list[tuple[float, Kind]]
) -> None:
    pacer, now = Pacer(vendor(reads, creates, of_all)), 0.0
    times: dict[Kind, list[float]] = {kind: [] for kind in Kind}
    for gap, kind in wanted:
        now = pacer.ready_at(kind, now + gap)
        pacer.sent(kind, now)
        times[kind].append(now)
    assert most_in_a_window(times[Kind.READ], reads.per_s) <= reads.count
    assert most_in_a_window(times[Kind.CREATE], creates.per_s) <= creates.count
    # A presigned upload goes to a store of files, not to the vendor's API.
    counted = itertools.chain(*(sent for kind, sent in times.items() if kind is not Kind.UPLOAD))
    assert most_in_a_window(sorted(counted), of_all.per_s) <= of_all.count


@given(RATES, st.integers(1, 40))
def test_a_rate_is_used_up_before_anybody_waits(rate: Rate, requests: int) -> None:
    window = Window(rate)
    for number in range(requests):
        now = window.ready_at(0.0)
        assert now == (0.0 if number < rate.count else now)
        assert now <= (number // rate.count) * rate.per_s * MARGIN + 1e-6
        window.sent(now)


def test_a_vendor_without_rates_is_asked_at_once() -> None:
    pacer = Pacer(vendor())
    for _ in range(1000):
        assert pacer.ready_at(Kind.READ, 5.0) == 5.0
        pacer.sent(Kind.READ, 5.0)
    assert pacer.spread_s(1000) == 0.0


@given(SECONDS, SECONDS, SECONDS, st.sampled_from(Kind))
def test_a_vendor_that_asks_for_silence_gets_it_for_every_kind(
    now: float, first: float, second: float, kind: Kind
) -> None:
    pacer = Pacer(vendor())
    pacer.hold(first)
    pacer.hold(second)
    assert pacer.ready_at(kind, now) == max(now, first, second)


def rhythm(override: float | None = None, hint: tuple[float, float] | None = (2.0, 15.0)) -> Rhythm:
    return Rhythm(every_s=10, max_s=30, hint_s=hint, override_s=override)


@given(SECONDS, st.floats(0, 1e9), st.floats(0, 100))
def test_a_hint_is_followed_within_its_bounds_and_never_beyond_the_rates(
    age: float, hint: float, spread: float
) -> None:
    interval = rhythm().interval_s(age_s=age, hint_s=hint, spread_s=spread)
    assert interval >= spread
    assert 2.0 <= interval <= max(15.0, spread)
    if 2.0 <= hint <= 15.0:
        assert interval == max(hint, spread)


def test_a_hint_of_a_vendor_that_documents_no_bounds_stays_within_ours() -> None:
    for hint, expected in ((0.0, 10.0), (12.0, 12.0), (500.0, 30.0)):
        assert rhythm(hint=None).interval_s(age_s=0, hint_s=hint, spread_s=0) == expected


@given(SECONDS, st.none() | st.floats(0, 1e9), st.floats(0, 100), st.floats(0.1, 100))
def test_the_users_interval_beats_hints_but_not_the_rates(
    age: float, hint: float | None, spread: float, override: float
) -> None:
    assert rhythm(override).interval_s(age_s=age, hint_s=hint, spread_s=spread) == max(override, spread)


@given(SECONDS, SECONDS, st.floats(0, 100))
def test_without_a_hint_polls_grow_apart_within_their_bounds(age: float, older: float, spread: float) -> None:
    young, old = sorted((age, older))
    intervals = [rhythm().interval_s(age_s=each, hint_s=None, spread_s=spread) for each in (young, old)]
    assert intervals == sorted(intervals)
    for interval in intervals:
        assert max(10.0, spread) <= interval <= max(30.0, spread)


@given(st.integers(1, 500), RATES)
def test_runs_that_are_asked_evenly_keep_the_rate(runs: int, rate: Rate) -> None:
    spread = Pacer(vendor(reads=rate)).spread_s(runs)
    assert runs / spread <= rate.count / rate.per_s
