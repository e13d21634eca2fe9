"""How long a failing request is tried again, and how far apart the tries are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qarunner.engine.decide.interpret import Retry
from qarunner.engine.schedule.timing import FIRST_CONTACT_S, LONG_S, LONGEST_BACKOFF_S, UNREADABLE_S, RetryState
from qarunner.vendors.api import Cause

DOWN = Retry(message="no connection")
ODD = Retry(message="HTTP 200, but what?", unreadable=True)


def given_up_after(again: Retry, *, established: bool, step_s: float = 1.0) -> tuple[float, Cause]:
    """The seconds after which a request that fails every `step_s` is given up."""
    retries, now = RetryState(), 1000.0
    while now < 10_000:
        retries.add(again, now)
        cause = retries.exhausted(again, now, established=established)
        if cause is not None:
            return now - 1000.0, cause
        now += step_s
    raise AssertionError("never given up")


def test_a_vendor_that_never_answered_is_given_up_soon() -> None:
    assert given_up_after(DOWN, established=False) == (FIRST_CONTACT_S + 1, Cause.UNAVAILABLE)


def test_a_vendor_that_did_answer_is_waited_for() -> None:
    assert given_up_after(DOWN, established=True) == (LONG_S + 1, Cause.UNAVAILABLE)


def test_a_vendor_that_asks_for_silence_is_there() -> None:
    """No patience ends with it, and what fails afterwards begins one of its own."""
    retries, tomorrow = RetryState(), Retry(message="HTTP 429", wait_s=86_400.0, held=True)
    retries.add(DOWN, 0.0)
    retries.add(tomorrow, 10.0)
    assert retries.exhausted(tomorrow, 10.0, established=False) is None
    retries.add(DOWN, 5000.0)
    assert retries.exhausted(DOWN, 5000.0 + FIRST_CONTACT_S, established=False) is None
    assert retries.exhausted(DOWN, 5001.0 + FIRST_CONTACT_S, established=False) is Cause.UNAVAILABLE


@pytest.mark.parametrize("step_s", [0.1, 1.0, 30.0])
def test_answers_beyond_understanding_get_a_minute_however_often_they_come(step_s: float) -> None:
    seconds, cause = given_up_after(ODD, established=True, step_s=step_s)
    assert seconds == pytest.approx(UNREADABLE_S, abs=step_s)
    assert cause is Cause.REFUSED


def test_one_or_two_answers_beyond_understanding_are_not_enough() -> None:
    assert given_up_after(ODD, established=True, step_s=400.0) == (800.0, Cause.REFUSED)
    retries = RetryState()
    for at in (0.0, 100.0):
        retries.add(ODD, at)
        retries.add(DOWN, at)
    assert retries.exhausted(DOWN, 110.0, established=True) is None


def test_patience_is_for_a_vendor_and_not_for_each_of_its_requests() -> None:
    retries = RetryState()
    retries.add(DOWN, 5000.0)
    assert retries.exhausted(DOWN, 5000.0, established=True) is None
    assert retries.exhausted(DOWN, 5000.0, established=True, failing_since=5000.0 - LONG_S - 1) is Cause.UNAVAILABLE


def test_a_good_answer_starts_a_new_account() -> None:
    assert RetryState().exhausted(DOWN, 1e9, established=False) is None


@given(st.integers(1, 1000), st.floats(0, 1))
def test_tries_grow_apart_to_half_a_minute(failures: int, jitter: float) -> None:
    retries = RetryState(since=0.0, count=failures)
    assert 0.1 <= retries.backoff(DOWN, jitter) <= min(LONGEST_BACKOFF_S, 2.0**failures)


@given(st.integers(1, 1000), st.floats(0, 1), st.floats(0, 3600))
def test_the_vendors_own_wait_is_kept_and_spread_a_little(failures: int, jitter: float, wait: float) -> None:
    found = RetryState(since=0.0, count=failures).backoff(Retry(message="HTTP 503", wait_s=wait), jitter)
    assert wait < found <= wait + 1.0
