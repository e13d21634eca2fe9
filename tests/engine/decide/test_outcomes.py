"""Nothing that did not pass ever becomes a pass, and every test is counted."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from qarunner.engine.decide.outcomes import (
    downgrade_unsupported_pass,
    merge,
    takes_details,
    tally,
    without_run,
    worst_verdict,
)
from qarunner.vendors.api import FINISHED, GOOD, Case, Cause, Outcome, Verdict

VERDICTS = st.sampled_from(Verdict)
CASES = st.builds(Case, id=st.sampled_from("abc"), verdict=VERDICTS)
OUTCOMES = st.builds(
    Outcome,
    verdict=VERDICTS,
    cases=st.lists(CASES, max_size=4).map(tuple),
    counts=st.dictionaries(VERDICTS, st.integers(-1, 5), max_size=4),
    message=st.none() | st.just("why"),
    duration_s=st.none() | st.floats(0, 100),
    cause=st.none() | st.sampled_from(Cause),
)


def parts(outcome: Outcome) -> list[Verdict]:
    return [case.verdict for case in outcome.cases] + [each for each, number in outcome.counts.items() if number > 0]


def passing(*verdicts: Verdict) -> Outcome:
    return Outcome(verdict=Verdict.PASSED, cases=tuple(Case(id=str(v), verdict=v) for v in verdicts))


@given(OUTCOMES)
def test_distrust_never_makes_a_pass(outcome: Outcome) -> None:
    checked = downgrade_unsupported_pass(outcome)
    assert checked.verdict == outcome.verdict or checked.verdict not in GOOD
    if checked.verdict in GOOD:
        assert FINISHED.intersection(parts(checked))
        assert set(parts(checked)) <= GOOD | {Verdict.SKIPPED}
    assert (checked.cases, checked.counts, checked.cause) == (outcome.cases, outcome.counts, outcome.cause)
    assert downgrade_unsupported_pass(checked) == checked


def test_a_pass_needs_a_test_that_finished() -> None:
    for hollow in (passing(), passing(Verdict.SKIPPED), Outcome(verdict=Verdict.FLAKY, counts={Verdict.PASSED: 0})):
        assert downgrade_unsupported_pass(hollow).verdict is Verdict.UNKNOWN
        assert downgrade_unsupported_pass(hollow).message == "no test finished"
    assert downgrade_unsupported_pass(passing(Verdict.PASSED, Verdict.SKIPPED)).verdict is Verdict.PASSED
    assert (
        downgrade_unsupported_pass(Outcome(verdict=Verdict.PASSED, counts={Verdict.PASSED: 1})).verdict
        is Verdict.PASSED
    )


def test_a_pass_that_one_of_its_tests_contradicts_is_what_the_test_says() -> None:
    for verdict in set(Verdict) - GOOD - {Verdict.SKIPPED}:
        assert downgrade_unsupported_pass(passing(Verdict.PASSED, verdict)).verdict is verdict


ORDER = ("failed", "blocked", "error", "unknown", "timed_out", "cancelled", "flaky", "passed", "skipped")


def test_the_worst_of_two_verdicts_is_the_one_that_a_person_has_to_look_at_first() -> None:
    assert {str(verdict) for verdict in Verdict} == set(ORDER)
    for first, second in itertools.combinations(ORDER, 2):
        assert (
            worst_verdict([Verdict(first), Verdict(second)])
            == worst_verdict([Verdict(second), Verdict(first)])
            == first
        )


@given(st.lists(OUTCOMES, max_size=4))
@example([])
def test_a_merge_passes_only_if_each_part_may(outcomes: list[Outcome]) -> None:
    merged = merge(outcomes)
    checked = [downgrade_unsupported_pass(outcome) for outcome in outcomes]
    assert merged.verdict is worst_verdict(outcome.verdict for outcome in checked)
    if merged.verdict in GOOD:
        assert all(outcome.verdict in GOOD | {Verdict.SKIPPED} for outcome in checked)
        assert FINISHED.intersection(parts(merged))
    assert merged.cases == tuple(case for outcome in outcomes for case in outcome.cases)
    told = [outcome.duration_s for outcome in outcomes if outcome.duration_s is not None]
    assert merged.duration_s == max(told, default=None)


FAILED = Outcome(
    verdict=Verdict.FAILED,
    counts={Verdict.FAILED: 1},
    message="2 tests failed",
    url="https://vendor.test/failed",
    raw_status="red",
)
NO_DEVICE = Outcome(
    verdict=Verdict.ERROR,
    message="no device",
    url="https://vendor.test/error",
    raw_status="infra",
    cause=Cause.INFRASTRUCTURE,
)
GREEN = Outcome(
    verdict=Verdict.PASSED,
    counts={Verdict.PASSED: 1},
    message="all fine",
    url="https://vendor.test/passed",
    raw_status="green",
)


@pytest.mark.parametrize("runs", [*itertools.permutations([FAILED, NO_DEVICE, GREEN])])
def test_the_words_about_several_runs_are_those_of_the_worst(runs: tuple[Outcome, ...]) -> None:
    merged = merge(runs)
    assert (merged.verdict, merged.message, merged.cause) == (Verdict.FAILED, "2 tests failed", None)
    assert (merged.url, merged.raw_status) == ("https://vendor.test/failed", "red")


@pytest.mark.parametrize("runs", [*itertools.permutations([NO_DEVICE, GREEN])])
def test_the_cause_of_several_runs_is_that_of_the_worst(runs: tuple[Outcome, ...]) -> None:
    merged = merge(runs)
    assert (merged.verdict, merged.message, merged.cause) == (Verdict.ERROR, "no device", Cause.INFRASTRUCTURE)
    assert (merged.url, merged.raw_status) == ("https://vendor.test/error", "infra")


def test_of_equally_bad_runs_the_first_one_speaks() -> None:
    assert merge([FAILED, replace(FAILED, message="another")]).message == "2 tests failed"
    assert merge([replace(FAILED, message="another"), FAILED]).message == "another"


@given(st.lists(OUTCOMES, max_size=4))
def test_the_order_of_runs_decides_nothing(outcomes: list[Outcome]) -> None:
    assert merge(outcomes).verdict is merge(outcomes[::-1]).verdict


def test_numbers_of_several_runs_are_added_and_none_is_below_zero() -> None:
    counts = [{Verdict.PASSED: 2, Verdict.SKIPPED: 0}, {Verdict.PASSED: 3, Verdict.FAILED: -1}]
    merged = merge([Outcome(verdict=Verdict.PASSED, counts=each) for each in counts])
    assert merged.counts == {Verdict.PASSED: 5, Verdict.SKIPPED: 0, Verdict.FAILED: 0}


FULL = Outcome(
    verdict=Verdict.PASSED,
    cases=(Case(id="a", verdict=Verdict.SKIPPED),),
    counts={Verdict.SKIPPED: 2},
    message="all fine",
    url="https://vendor.test/1",
    raw_status="green",
    duration_s=7.0,
    cause=Cause.INFRASTRUCTURE,
)


def test_a_pass_that_is_not_believed_keeps_all_else_that_is_known_of_it() -> None:
    assert downgrade_unsupported_pass(FULL) == replace(FULL, verdict=Verdict.UNKNOWN, message="no test finished")
    failed = replace(FULL, verdict=Verdict.FLAKY, counts={Verdict.PASSED: 2, Verdict.BLOCKED: 1})
    message = "reported as flaky, but one of its tests is blocked"
    assert downgrade_unsupported_pass(failed) == replace(failed, verdict=Verdict.BLOCKED, message=message)


@pytest.mark.parametrize(
    "green",
    [
        FULL,
        replace(FULL, verdict=Verdict.FLAKY, cases=(), counts={}),
        replace(FULL, verdict=Verdict.SKIPPED, counts={Verdict.PASSED: 1}),
        replace(FULL, verdict=Verdict.FAILED, counts={}, cases=(Case(id="a", verdict=Verdict.FLAKY),)),
    ],
)
def test_without_a_run_nothing_has_passed(green: Outcome) -> None:
    assert without_run(green) == Outcome(
        verdict=Verdict.UNKNOWN,
        message=f"reported as {green.verdict}, but the vendor started no run",
        url="https://vendor.test/1",
        raw_status="green",
    )


def test_without_a_run_whatever_has_not_passed_is_as_it_was_told() -> None:
    for verdict in set(Verdict) - GOOD:
        told = replace(FULL, verdict=verdict, counts={Verdict.PASSED: 0, Verdict.SKIPPED: 1})
        assert without_run(told) == told


def test_an_entry_of_which_nothing_is_said_is_unknown() -> None:
    message = "the vendor's answer says nothing of this entry"
    assert merge(()) == Outcome(verdict=Verdict.UNKNOWN, message=message)
    assert worst_verdict(()) is Verdict.UNKNOWN


@given(OUTCOMES, st.integers(0, 5))
def test_a_tally_counts_every_test_and_hides_no_verdict(outcome: Outcome, expected: int) -> None:
    counts = tally(outcome, expected)
    known = len(outcome.cases) + sum(number for number in outcome.counts.values() if number > 0)
    assert all(number > 0 for number in counts.values())
    if known == 0:
        assert counts == {outcome.verdict: max(1, expected)}
    else:
        contradicted = outcome.verdict not in GOOD and outcome.verdict not in parts(outcome)
        assert sum(counts.values()) == known + contradicted
    assert outcome.verdict in GOOD or counts[outcome.verdict] > 0


@given(st.lists(OUTCOMES, min_size=1, max_size=4))
def test_merging_loses_no_test(outcomes: list[Outcome]) -> None:
    for verdict in Verdict:
        number = sum(
            sum(case.verdict is verdict for case in outcome.cases) + max(0, outcome.counts.get(verdict, 0))
            for outcome in outcomes
        )
        assert tally(merge(outcomes), 0).get(verdict, 0) >= number


def failing(*verdicts: Verdict, cause: Cause | None = None) -> Outcome:
    return replace(passing(*verdicts), verdict=Verdict.FAILED, cause=cause)


@pytest.mark.parametrize(
    ("counted", "detailed", "taken"),
    [
        (passing(Verdict.PASSED, Verdict.PASSED), passing(Verdict.PASSED, Verdict.PASSED), True),
        (passing(Verdict.PASSED, Verdict.PASSED), passing(Verdict.PASSED), True),
        (passing(Verdict.PASSED), passing(Verdict.PASSED, Verdict.PASSED), False),
        (passing(Verdict.PASSED), failing(Verdict.PASSED, Verdict.FAILED), True),
        (failing(Verdict.FAILED), passing(Verdict.PASSED), False),
        # A pass of which no test finished is none, on either side.
        (passing(), passing(Verdict.PASSED), False),
        (passing(Verdict.PASSED), passing(), True),
        (Outcome(verdict=Verdict.UNKNOWN), passing(), True),
        (failing(Verdict.FAILED), failing(Verdict.FAILED, cause=Cause.UNAVAILABLE), False),
        (failing(Verdict.FAILED, cause=Cause.UNAVAILABLE), failing(Verdict.FAILED, cause=Cause.UNAVAILABLE), True),
        # Where an outcome names no test, it is one.
        (Outcome(verdict=Verdict.FAILED), failing(Verdict.FAILED), True),
        (Outcome(verdict=Verdict.FAILED), failing(Verdict.FAILED, Verdict.FAILED), False),
        # A test that did not finish is none of those that count.
        (failing(Verdict.FAILED), failing(Verdict.FAILED, Verdict.SKIPPED, Verdict.UNKNOWN), True),
        (failing(Verdict.FAILED, Verdict.SKIPPED), failing(Verdict.FAILED, Verdict.FAILED), False),
    ],
)
def test_details_make_no_verdict_better_and_add_no_test_that_finished(
    counted: Outcome,
    detailed: Outcome,
    taken: bool,  # noqa: FBT001  a parameter of the test
) -> None:
    assert takes_details(counted, detailed) is taken


def test_the_reason_is_that_of_the_first_test_which_has_one() -> None:
    silent = Case(id="a", verdict=Verdict.FAILED)
    cases = (replace(silent, verdict=Verdict.PASSED, message="fine"), silent, replace(silent, message="no button"))
    assert Outcome(verdict=Verdict.FAILED, cases=cases).reason == "no button"
    assert Outcome(verdict=Verdict.FAILED, cases=cases, message="1 failed").reason == "1 failed"
    assert Outcome(verdict=Verdict.FAILED, cases=(silent,)).reason is None
