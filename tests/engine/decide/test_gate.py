"""What a run means for the build: one exit code, and no real failure is hidden."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec.structs import replace

from qarunner.engine.decide.gate import (
    Decision,
    by_needs,
    decide,
    exit_code_so_far,
    expected_tests,
    outcome_of,
    passes,
    started_anywhere,
)
from qarunner.engine.state import events as ev
from qarunner.engine.state.run import fold
from qarunner.entry import Retries, Selection, SelectionKind
from qarunner.errors import ExitCode
from qarunner.plan.model import seal
from qarunner.vendors.api import (
    FINISHED,
    GOOD,
    Case,
    Cause,
    Leftover,
    Outcome,
    RemoteRun,
    Resource,
    ResourceKind,
    Verdict,
)
from tests.fictional import entry, plan_of
from tests.worlds import EPOCH, started

if TYPE_CHECKING:
    from qarunner.engine.state.run import Run
    from qarunner.entry import OnSkipped


def one(verdict: Verdict, cause: Cause | None = None) -> Outcome:
    return Outcome(verdict=verdict, cases=(Case(id="t", verdict=verdict),), cause=cause)


PASSED = one(Verdict.PASSED)


def run_of(
    *outcomes: Outcome | None,
    free: tuple[int, ...] = (),
    signal: int | None = None,
    least: int = 1,
    on_skipped: OnSkipped | None = None,
    begun: bool = True,
) -> Run:
    """A run with an entry for each outcome; those at `free` do not gate, and None stands for one that is open.

    `begun`: a vendor has a run of it.
    """
    entries = [entry(f"e{n}", "plain", allow_failure=n in free) for n in range(len(outcomes))]
    plan = plan_of(*entries, min_tests=least, on_skipped=on_skipped)
    closed: list[ev.Event] = [
        ev.EntryClosed(at=EPOCH, entry=each.id, outcome=outcome)
        for each, outcome in zip(entries, outcomes, strict=True)
        if outcome is not None
    ]
    if begun and plan.jobs:
        remote = RemoteRun(id="x1", url=None)
        closed.insert(0, ev.Accepted(at=EPOCH, job=plan.jobs[0].id, runs=(remote,)))
    interrupted = [ev.Interrupted(at=EPOCH, signal=signal)] if signal else []
    return fold(plan, [started(EPOCH, plan), *closed, *interrupted])


def code(*outcomes: Outcome | None, free: tuple[int, ...] = (), signal: int | None = None, least: int = 1) -> int:
    return decide(run_of(*outcomes, free=free, signal=signal, least=least)).exit_code


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One thing that can go wrong, and the exit code that it has alone."""

    code: int
    outcome: Outcome = PASSED
    signal: int | None = None
    least: int = 0


# In the order of section 2 of the contract: "interruption wins, then 9, 1, 4, 6, 8, 7, 75, 3".
REASONS = {
    "SIGHUP": Reason(code=129, signal=1),
    "SIGINT": Reason(code=130, signal=2),
    "SIGTERM": Reason(code=143, signal=15),
    "bug": Reason(code=9, outcome=one(Verdict.ERROR, Cause.BUG)),
    "failed": Reason(code=1, outcome=one(Verdict.FAILED)),
    "blocked": Reason(code=1, outcome=one(Verdict.BLOCKED)),
    "credential": Reason(code=4, outcome=one(Verdict.ERROR, Cause.CREDENTIAL)),
    "allowance": Reason(code=6, outcome=one(Verdict.ERROR, Cause.ALLOWANCE)),
    "uncertain": Reason(code=8, outcome=one(Verdict.UNKNOWN, Cause.UNCERTAIN)),
    "refused": Reason(code=8, outcome=one(Verdict.ERROR, Cause.REFUSED)),
    "unknown": Reason(code=8, outcome=one(Verdict.UNKNOWN)),
    "cancelled": Reason(code=8, outcome=one(Verdict.CANCELLED)),
    "error": Reason(code=8, outcome=one(Verdict.ERROR)),
    "timed out": Reason(code=7, outcome=one(Verdict.TIMED_OUT)),
    "unavailable": Reason(code=8, outcome=one(Verdict.ERROR, Cause.UNAVAILABLE)),
    "too few": Reason(code=3, least=100),
}
ORDER = (129, 130, 143, 9, 1, 4, 6, 8, 7, 75, 3)


SIGNALS = {"SIGHUP", "SIGINT", "SIGTERM"}


@pytest.mark.parametrize("name", REASONS)
def test_each_reason_has_its_code(name: str) -> None:
    reason = REASONS[name]
    assert code(PASSED, reason.outcome, signal=reason.signal, least=reason.least) == reason.code


def test_of_two_reasons_the_worse_one_wins() -> None:
    for pair in itertools.combinations(REASONS, 2):
        if set(pair) <= SIGNALS:
            continue
        first, second = (REASONS[name] for name in pair)
        signal, least = first.signal or second.signal, max(first.least, second.least)
        won = code(PASSED, first.outcome, second.outcome, signal=signal, least=least)
        assert won == min(first.code, second.code, key=ORDER.index), pair


@pytest.mark.parametrize("outcome", [one(Verdict.ERROR, Cause.UNAVAILABLE), one(Verdict.TIMED_OUT)])
def test_an_apply_is_safe_to_repeat_only_where_nothing_was_begun(outcome: Outcome) -> None:
    assert decide(run_of(outcome, begun=False)).exit_code == 75
    assert decide(run_of(outcome, outcome, begun=False)).exit_code == 75
    assert decide(run_of(PASSED, outcome)).exit_code == (7 if outcome.verdict is Verdict.TIMED_OUT else 8)


def test_a_run_that_does_not_gate_was_paid_for_too() -> None:
    assert decide(run_of(PASSED, one(Verdict.ERROR, Cause.UNAVAILABLE), free=(0,))).exit_code == 8


def test_a_create_that_may_have_happened_is_not_safe_to_repeat() -> None:
    plan = plan_of(entry("a", "plain"), entry("b", "plain"))
    unavailable = one(Verdict.ERROR, Cause.UNAVAILABLE)
    for event in (
        ev.Submitting(at=EPOCH, job=plan.jobs[0].id, attempt=1, key=None),
        ev.Uncertain(at=EPOCH, job=plan.jobs[0].id, message="lost"),
    ):
        closed = ev.EntryClosed(at=EPOCH, entry="b", outcome=unavailable)
        assert decide(fold(plan, [started(EPOCH, plan), event, closed])).exit_code == 8


def test_each_cause_has_a_code_whatever_its_verdict_is() -> None:
    codes = {
        "refused": 8,
        "credential": 4,
        "allowance": 6,
        "uncertain": 8,
        "unavailable": 8,
        "infra": 8,
        "connection": 8,
        "bug": 9,
    }
    assert {str(cause) for cause in Cause} == {*codes, "need"}
    for cause, expected in codes.items():
        assert code(PASSED, one(Verdict.ERROR, Cause(cause))) == expected
        assert code(PASSED, one(Verdict.UNKNOWN, Cause(cause))) == expected


def test_only_passes_are_green() -> None:
    for verdict in Verdict:
        assert (code(one(verdict)) == 0) == (verdict in GOOD)
        assert (code(PASSED, one(verdict)) == 0) == (verdict in GOOD | {Verdict.SKIPPED})


def test_an_entry_that_is_still_open_is_no_pass() -> None:
    assert code(PASSED, None) == 8
    assert code(None, signal=2) == 130
    assert code() == 3


@pytest.mark.parametrize("name", [name for name, reason in REASONS.items() if reason.outcome is not PASSED])
def test_an_entry_that_may_fail_never_decides(name: str) -> None:
    assert code(PASSED, REASONS[name].outcome, None, free=(1, 2)) == 0


def test_what_comes_after_an_entry_that_may_fail_decides_as_ever() -> None:
    assert code(one(Verdict.FAILED), one(Verdict.TIMED_OUT), PASSED, free=(0,)) == 7


def test_tests_that_do_not_gate_do_not_count_as_finished() -> None:
    assert code(PASSED, free=(0,)) == 3
    assert code(PASSED, PASSED, free=(0,), least=2) == 3
    assert code(one(Verdict.FAILED), free=(0,), least=0) == 0


@pytest.mark.parametrize("verdict", Verdict)
def test_a_test_is_finished_if_it_ran_to_an_end(verdict: Verdict) -> None:
    decision = decide(run_of(PASSED, one(verdict)))
    assert decision.finished == (2 if verdict in FINISHED else 1)


def test_min_tests_counts_tests_not_entries() -> None:
    several = Outcome(verdict=Verdict.PASSED, cases=tuple(Case(id=str(n), verdict=Verdict.PASSED) for n in range(3)))
    counted = Outcome(verdict=Verdict.PASSED, counts={Verdict.PASSED: 4, Verdict.SKIPPED: 9})
    assert decide(run_of(several, counted, least=7)) == Decision(exit_code=ExitCode.OK, finished=7)
    assert decide(run_of(several, counted, least=8)) == Decision(exit_code=ExitCode.NOTHING, finished=7)


def test_a_single_bad_test_in_a_category_decides_whatever_the_run_is_called() -> None:
    mixed = Outcome(
        verdict=Verdict.CANCELLED, counts={Verdict.PASSED: 5, Verdict.FAILED: 1}, message="stopped after a failure"
    )
    assert code(mixed) == 1
    assert code(Outcome(verdict=Verdict.PASSED, counts={Verdict.PASSED: 5, Verdict.TIMED_OUT: 1})) == 7


# --- what was skipped -------------------------------------------------------------------------------------------------

SKIPPED = one(Verdict.SKIPPED)
IN_PART = Outcome(
    verdict=Verdict.PASSED,
    cases=(Case(id="a", verdict=Verdict.PASSED), Case(id="b", verdict=Verdict.SKIPPED)),
)
BY_NEED = Outcome(verdict=Verdict.SKIPPED, cause=Cause.DEPENDENCY, message="needs checkout, which failed")


@pytest.mark.parametrize(
    ("outcomes", "on_skipped", "expected"),
    [
        ((PASSED, SKIPPED), None, 0),
        ((PASSED, SKIPPED), "pass", 0),
        ((PASSED, SKIPPED), "fail", 1),
        ((SKIPPED,), None, 3),
        ((SKIPPED,), "pass", 3),
        ((SKIPPED,), "fail", 1),
        ((IN_PART,), None, 0),
        ((IN_PART,), "fail", 1),
        ((PASSED, BY_NEED), None, 1),
        ((PASSED, BY_NEED), "fail", 1),
        ((PASSED, BY_NEED), "pass", 0),
        ((BY_NEED,), "pass", 3),
        ((one(Verdict.TIMED_OUT), BY_NEED), "pass", 7),
    ],
)
def test_skipped_tests_fail_the_build_as_the_manifest_says(
    outcomes: tuple[Outcome, ...], on_skipped: OnSkipped | None, expected: int
) -> None:
    assert decide(run_of(*outcomes, on_skipped=on_skipped)).exit_code == expected


@pytest.mark.parametrize("outcome", [SKIPPED, BY_NEED, IN_PART])
def test_skipped_entries_that_do_not_gate_are_no_matter(outcome: Outcome) -> None:
    assert decide(run_of(PASSED, outcome, free=(1,), on_skipped="fail")).exit_code == 0


def skipping(*needs: tuple[str, ...], free: tuple[int, ...] = (), on_skipped: OnSkipped | None = None) -> Decision:
    """The gate's word on e0, which timed out, and on entries that need others and were skipped for it."""
    entries = [
        entry("e0", "plain", allow_failure=0 in free),
        *(entry(f"e{n}", "plain", allow_failure=n in free, needs=each) for n, each in enumerate(needs, 1)),
    ]
    plan = plan_of(*entries, min_tests=0, on_skipped=on_skipped)
    accepted = ev.Accepted(at=EPOCH, job=plan.jobs[0].id, runs=(RemoteRun(id="x1"),))
    closed = [
        ev.EntryClosed(at=EPOCH, entry=each.id, outcome=BY_NEED if each.needs else one(Verdict.TIMED_OUT))
        for each in entries
    ]
    return decide(fold(plan, [started(EPOCH, plan), accepted, *closed]))


def test_a_skipped_entry_hides_no_code_of_what_it_needs() -> None:
    timed_out = Decision(exit_code=ExitCode.TIMEOUT, finished=0)
    assert skipping(("e0",)) == timed_out
    assert skipping(("e0",), ("e1",), ("e2",)) == timed_out
    assert skipping(("e0",), ("elsewhere", "e1")) == timed_out


def test_a_skipped_entry_fails_the_build_where_nothing_that_it_needs_does() -> None:
    failed = Decision(exit_code=ExitCode.FAILED, finished=0, skipped=("e1",), failed_by_skips_only=True)
    assert skipping(("e0",), free=(0,)) == failed
    assert skipping(("elsewhere",), free=(0,)).skipped == ("e1",)
    assert skipping(("e0",), ("e1",), free=(0,)).skipped == ("e1", "e2")
    assert skipping(("e0",), ("e1",), free=(0, 1)).skipped == ("e2",)


def test_entries_that_need_each_other_explain_nothing() -> None:
    """No manifest can have such a circle; a plan that somebody made by hand is no pass for it."""
    plan = plan_of(entry("e0", "plain", needs=("e1",)), entry("e1", "plain", needs=("e0",)), min_tests=0)
    closed = [ev.EntryClosed(at=EPOCH, entry=each, outcome=BY_NEED) for each in ("e0", "e1")]
    decision = decide(fold(plan, [started(EPOCH, plan), *closed]))
    assert (decision.exit_code, decision.skipped) == (ExitCode.FAILED, ("e0", "e1"))


def test_where_skips_fail_each_of_them_does() -> None:
    decision = skipping(("e0",), ("e1",), on_skipped="fail")
    assert decision == Decision(exit_code=ExitCode.FAILED, finished=0, skipped=("e1", "e2"), failed_by_skips_only=True)


def test_skips_are_the_only_reason_unless_something_failed_or_weighs_more() -> None:
    skips = decide(run_of(SKIPPED, PASSED, on_skipped="fail"))
    assert skips == Decision(exit_code=ExitCode.FAILED, finished=1, skipped=("e0",), failed_by_skips_only=True)
    failed = decide(run_of(SKIPPED, one(Verdict.FAILED), on_skipped="fail"))
    assert failed == Decision(exit_code=ExitCode.FAILED, finished=1, skipped=("e0",))
    bug = decide(run_of(SKIPPED, one(Verdict.ERROR, Cause.BUG), on_skipped="fail"))
    assert bug == Decision(exit_code=ExitCode.BUG, finished=0, skipped=("e0",))
    unknown = decide(run_of(SKIPPED, one(Verdict.UNKNOWN), on_skipped="fail"))
    assert unknown == Decision(exit_code=ExitCode.FAILED, finished=0, skipped=("e0",), failed_by_skips_only=True)


# --- whether anything was begun ---------------------------------------------------------------------------------------


def with_build(*happened: ev.Event, kind: ResourceKind = ResourceKind.BUILD) -> Run:
    """A run whose one entry timed out, and whose build came as far as `happened`."""
    plan = plan_of(entry("e0", "plain"))
    build = Resource(id="plain-build-1", vendor="plain", kind=kind)
    plan = seal(msgspec.structs.replace(plan, resources=(build,)))
    closed = ev.EntryClosed(at=EPOCH, entry="e0", outcome=one(Verdict.TIMED_OUT))
    return fold(plan, [started(EPOCH, plan), *happened, closed])


PREPARING = ev.Preparing(at=EPOCH, resource="plain-build-1", attempt=1)


def test_time_that_was_up_before_anything_left_is_a_vendor_that_was_not_there() -> None:
    assert decide(with_build()).exit_code is ExitCode.UNAVAILABLE
    assert decide(with_build(PREPARING)).exit_code is ExitCode.TIMEOUT


def test_an_environment_that_was_removed_again_is_nothing_that_was_started() -> None:
    left = Leftover(what="an environment", todo="delete it")
    ready = ev.ResourceReady(at=EPOCH, resource="plain-build-1", values={}, leftover=left)
    released = ev.ResourceReleased(at=EPOCH, resource="plain-build-1")
    kind = ResourceKind.ENVIRONMENT
    assert started_anywhere(with_build(PREPARING, ready, kind=kind))
    assert not started_anywhere(with_build(PREPARING, ready, released, kind=kind))
    assert not started_anywhere(with_build(PREPARING, kind=kind))


def test_an_upload_that_stays_is_no_run_and_is_not_paid_for() -> None:
    left = Leftover(what="an upload", todo="nothing")
    ready = ev.ResourceReady(at=EPOCH, resource="plain-build-1", values={}, leftover=left)
    assert not started_anywhere(with_build(PREPARING, ready))


@pytest.mark.parametrize("key", [None, "key-1"])
def test_a_create_that_may_have_made_a_run_was_started(key: str | None) -> None:
    submitting = ev.Submitting(at=EPOCH, job="plain-1", attempt=1, key=key)
    uncertain = ev.Uncertain(at=EPOCH, job="plain-1", message="no answer")
    refused = ev.CreateFailed(at=EPOCH, job="plain-1", message="HTTP 400", cause=Cause.REFUSED)
    assert started_anywhere(with_build(submitting))
    assert started_anywhere(with_build(submitting, uncertain))
    assert not started_anywhere(with_build(submitting, refused))


# --- the order of needs -----------------------------------------------------------------------------------------------


def order(**needs: str) -> str:
    return "".join(
        each.id for each in by_needs([entry(name, "plain", needs=tuple(ids)) for name, ids in needs.items()])
    )


def test_entries_come_after_those_that_they_need() -> None:
    assert order(a="", b="", c="") == "abc"
    assert order(a="b", b="c", c="") == "cba"
    assert order(a="cb", b="d", c="d", d="") == "dcba"
    assert order(a="x", b="ax") == "ab"
    assert order(a="b", b="a") == "ba"
    assert order(a="a") == "a"


# --- entries that are still open --------------------------------------------------------------------------------------


def test_an_open_entry_says_where_it_stood() -> None:
    run = run_of(None)
    open_one = outcome_of(run, run.plan.entries[0])
    assert open_one == Outcome(verdict=Verdict.CANCELLED, message="not over when the apply stopped (running)")
    run.detached = True
    detached = outcome_of(run, run.plan.entries[0])
    assert detached == Outcome(verdict=Verdict.UNKNOWN, message="not over yet (running): the apply was detached")


def test_an_open_entry_that_never_began_says_so() -> None:
    run = run_of(None, begun=False)
    assert outcome_of(run, run.plan.entries[0]).message == "not begun when the apply stopped"
    run.detached = True
    assert outcome_of(run, run.plan.entries[0]).message == "not begun yet: the apply was detached"


def test_an_open_entry_whose_next_attempt_waits_has_begun_and_keeps_what_came_before() -> None:
    plan = plan_of(entry("e0", "plain", retries=Retries(failed=1)), min_tests=1)
    (job,) = plan.jobs
    failed = one(Verdict.FAILED)
    events: list[ev.Event] = [
        started(EPOCH, plan),
        ev.Accepted(at=EPOCH, job=job.id, runs=(RemoteRun(id="x1", url=None),)),
        ev.RunFinishedRemotely(at=EPOCH, job=job.id, run="x1", outcomes={"e0": failed}),
        ev.Reattempted(
            at=EPOCH,
            of=job.id,
            job=replace(job, id="e0#2"),
            entries=plan.entries,
            attempt=2,
            why=(ev.RetryReason.FAILED,),
        ),
    ]
    open_one = outcome_of(fold(plan, events), plan.entries[0])
    assert open_one.message == "attempt 1 failed; attempt 2 cancelled: not over when the apply stopped (waiting)"


def test_a_run_that_no_key_could_verify_is_never_green() -> None:
    run = run_of(PASSED)
    assert decide(run).exit_code is ExitCode.OK
    run.unverified = True
    assert decide(run).exit_code is ExitCode.NO_VERDICT
    assert decide(run_of(one(Verdict.FAILED))).exit_code is ExitCode.FAILED


@pytest.mark.parametrize(
    ("selection", "number"),
    [
        (Selection(kind=SelectionKind.TEST_IDS, ids=("1", "2", "3")), 3),
        (Selection(kind=SelectionKind.CATEGORY_IDS, ids=("1", "2", "3")), 1),
        (Selection(kind=SelectionKind.TAGS, ids=("1", "2", "3")), 1),
        (None, 1),
    ],
)
def test_tests_that_are_named_are_expected(selection: Selection | None, number: int) -> None:
    assert expected_tests(replace(entry("e0", "plain"), selection=selection)) == number


def test_only_good_verdicts_pass() -> None:
    assert [verdict for verdict in Verdict if passes(verdict)] == [Verdict.PASSED, Verdict.FLAKY]


# --- a run that goes on without its apply -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, reason in REASONS.items() if reason.outcome is not PASSED])
def test_a_detached_run_fails_for_what_gates_and_is_closed(name: str) -> None:
    reason = REASONS[name]
    assert exit_code_so_far(run_of(None, reason.outcome)) == reason.code
    assert exit_code_so_far(run_of(None, reason.outcome, free=(1,))) == 0
    assert exit_code_so_far(run_of(reason.outcome, one(Verdict.FAILED), free=(0,))) == 1


def test_a_detached_run_has_failed_for_nothing_that_is_open_or_that_only_resume_counts() -> None:
    assert exit_code_so_far(run_of(None, None, least=5)) == 0
    assert exit_code_so_far(run_of(PASSED, None, signal=2)) == 0
    assert exit_code_so_far(run_of(one(Verdict.SKIPPED), BY_NEED, on_skipped="fail")) == 0


def test_a_chain_of_thousands_of_needs_is_decided_at_once() -> None:
    """Recursion would end at a thousand; a walk without memory would not end at all in layers."""
    count, layer = 4000, 4
    layers = [[f"e{n + m}" for m in range(layer)] for n in range(0, count, layer)]
    entries = [
        entry(each, "plain", needs=tuple(layers[number - 1]) if number else ())
        for number, ids in enumerate(layers)
        for each in ids
    ]
    plan = plan_of(*reversed(entries))
    by_need = [ev.EntryClosed(at=EPOCH, entry=each.id, outcome=BY_NEED) for each in entries[1:]]
    failed = ev.EntryClosed(at=EPOCH, entry="e0", outcome=one(Verdict.TIMED_OUT))
    accepted = ev.Accepted(at=EPOCH, job=plan.jobs[0].id, runs=(RemoteRun(id="x1", url=None),))
    decision = decide(fold(plan, [started(EPOCH, plan), accepted, failed, *by_need]))
    # e1 to e3 need nothing, so their skips have no code of their own and fail the build.
    assert (decision.exit_code, decision.skipped) == (ExitCode.FAILED, ("e3", "e2", "e1"))


def test_of_several_reasons_a_detached_run_has_the_worst() -> None:
    assert exit_code_so_far(run_of(one(Verdict.TIMED_OUT), one(Verdict.UNKNOWN), one(Verdict.BLOCKED))) == 1
    assert exit_code_so_far(run_of(one(Verdict.TIMED_OUT), one(Verdict.UNKNOWN))) == 8
