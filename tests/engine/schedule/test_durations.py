"""What earlier runs let expect, and what is learnt while an apply runs."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qarunner.engine.schedule.timing import UNKNOWN, DurationHistory, DurationModel, Tally, names_of
from qarunner.engine.state.run import JobState, Run
from tests.fictional import entry, plan_of

HABITS = st.builds(DurationModel, median_s=st.floats(1, 5000), spread=st.floats(0.05, 1.5))


@given(HABITS, st.floats(0, 5000), st.floats(0, 5000))
def test_lifetimes_add_up(expected: DurationModel, one: float, two: float) -> None:
    young, old = sorted((one, two))
    assert 0.0 <= expected.alive(old) <= expected.alive(young) <= 1.0
    lived = expected.lived(old) - expected.lived(young)
    assert -1e-6 <= lived <= (old - young) * expected.alive(young) + 1e-6
    assert lived >= (old - young) * expected.alive(old) - 1e-6


def test_half_of_the_runs_live_longer_than_the_median() -> None:
    assert DurationModel(median_s=240, spread=0.3).alive(240) == pytest.approx(0.5)


@given(HABITS, st.floats(0, 9000), st.floats(0, 9000))
def test_a_run_ended_between_its_last_two_answers(expected: DurationModel, one: float, two: float) -> None:
    known, found = sorted((one, two))
    assert known <= expected.took_s(known, found) <= found


def test_a_run_that_was_asked_late_did_not_take_that_long() -> None:
    """Else each apply under load would teach the next one to ask still later."""
    usual = DurationModel(median_s=240, spread=0.2)
    assert 230 < usual.took_s(0, 600) < 260


def test_few_runs_leave_more_doubt_than_many() -> None:
    chance = random.Random(1)  # noqa: S311  made-up durations
    tally, spreads = Tally(), []
    for _ in range(400):
        tally.add(100 * math.exp(chance.gauss(0, 0.1)))
        spreads.append(tally.expected(0.25).spread)
    assert spreads[0] > 0.25
    assert spreads[-1] == pytest.approx(0.1, rel=0.2)
    assert tally.expected(0.25).median_s == pytest.approx(100, rel=0.05)


def test_an_entrys_own_runs_count_before_those_of_the_same_tests_and_of_the_same_vendor() -> None:
    entries = [entry(name, "plain") for name in ("a", "b", "c", "d", "e")]
    plan = plan_of(*entries)
    own, tests = names_of(entries[0])[0], names_of(entries[1])[1]
    habits, jobs = DurationHistory(plan, {own: [100.0], tests: [200.0]}), Run.of(plan).job_of
    assert habits.expected(jobs["a"]).median_s == pytest.approx(100)
    assert habits.expected(jobs["b"]).median_s == pytest.approx(200)
    assert habits.expected(jobs["c"]) is UNKNOWN
    for name in ("c", "d", "e"):
        habits.ended(jobs[name], known_s=295, found_s=305)
    assert habits.expected(jobs["c"]).median_s == pytest.approx(300, rel=0.02)
    assert habits.took[names_of(entries[2])[0]] == [pytest.approx(300, abs=5)]


def test_a_run_for_several_entries_ends_with_its_slowest() -> None:
    pair = [entry("a", "plain"), entry("b", "plain")]
    plan = plan_of(*pair)
    habits = DurationHistory(plan, {names_of(pair[0])[0]: [50.0], names_of(pair[1])[0]: [400.0]})
    both = JobState(job=plan.jobs[0], entries={each.id: each for each in pair})
    assert habits.expected(both).median_s == pytest.approx(400)
