"""The engine from the first create to the last verdict, in virtual time."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from qarunner.engine.decide.gate import decide
from qarunner.engine.flow.driver import Options
from qarunner.engine.state import events as ev
from qarunner.errors import ExitCode
from qarunner.plan.model import Rate
from qarunner.vendors.api import Cause, RemoteRun, Reply, Verdict
from tests.fictional import AFTER, LOST, PLAIN, UNREACHED, VENDORS, Backend, entry, ok, plan_of
from tests.worlds import Story, VirtualClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from qarunner.engine.decide.interpret import Answer
    from qarunner.vendors.api import Call, Request, Vendor


def first(count: int, answer: Answer, *, path: str = "/runs") -> Callable[[str, Request, int], Answer | None]:
    """What goes wrong with the first calls, where they are creates."""

    def fault(_vendor: str, request: Request, call: int) -> Answer | None:
        return answer if request.path == path and call <= count else None

    return fault


def reads(answer: Answer) -> Callable[[str, Request, int], Answer | None]:
    """The same wrong answer to every read."""

    def fault(_vendor: str, request: Request, _call: int) -> Answer | None:
        return answer if request.method == "GET" else None

    return fault


def verdicts(story: Story) -> dict[str, str]:
    return {name: str(outcome.verdict) for name, outcome in story.run.closed.items()}


def test_everything_passes() -> None:
    story = Story(plan_of(entry("a", "plain"), entry("b", "keyed")), VENDORS, Backend()).drive()
    assert verdicts(story) == {"a": "passed", "b": "passed"}
    assert decide(story.run).exit_code is ExitCode.OK
    assert len(story.creates()) == 2


def test_a_create_is_written_down_before_it_leaves_and_right_after() -> None:
    story = Story(plan_of(entry("a", "plain")), VENDORS, Backend())
    seen: list[list[str]] = []
    real = story.pool.start

    def start(*args: object, **kwargs: object) -> None:
        seen.append([type(event).__name__ for event in story.events])
        real(*args, **kwargs)  # type: ignore[arg-type]

    story.pool.start = start  # type: ignore[method-assign]
    story.drive()
    assert seen[0] == ["RunStarted", "Submitting"]
    assert seen[1] == ["RunStarted", "Submitting", "Accepted"]


def test_a_lost_create_without_a_key_is_never_repeated() -> None:
    for answer in (LOST, AFTER, Reply(status=500, text="oops"), Reply(status=503, text=""), ok({}), ok([])):
        backend = Backend(fault=first(99, answer))
        story = Story(plan_of(entry("a", "plain")), VENDORS, backend).drive()
        assert len(story.creates()) == 1, answer
        assert verdicts(story) == {"a": "unknown"}
        assert story.run.closed["a"].cause is Cause.UNCERTAIN
        assert decide(story.run).exit_code is ExitCode.NO_VERDICT


def test_a_create_that_certainly_did_nothing_is_repeated() -> None:
    slow_down = Reply(status=429, text="slow down", headers={"retry-after": "7"})
    for answer, wait in ((UNREACHED, 0), (slow_down, 7)):
        story = Story(plan_of(entry("a", "plain")), VENDORS, Backend(fault=first(1, answer))).drive()
        assert verdicts(story) == {"a": "passed"}
        assert len(story.creates()) == 2
        assert story.creates()[1][0] - story.creates()[0][0] >= wait


def test_a_lost_create_with_a_key_is_repeated_with_the_same_key() -> None:
    for answer in (LOST, AFTER, Reply(status=500, text=""), Reply(status=504, text="<html>"), ok({})):
        backend = Backend(fault=first(2, answer))
        story = Story(plan_of(entry("a", "keyed")), VENDORS, backend).drive()
        assert verdicts(story) == {"a": "passed"}, answer
        assert len({key for _, _, _, key in story.creates()}) == 1
        assert len(backend.began) == 1


def test_keys_differ_between_jobs() -> None:
    story = Story(plan_of(*(entry(f"e{n}", "keyed") for n in range(20))), VENDORS, Backend()).drive()
    assert len({key for _, _, _, key in story.creates()}) == 20


def test_a_vendor_that_never_answers_is_given_up_soon() -> None:
    backend = Backend(fault=lambda *_: UNREACHED)
    story = Story(plan_of(entry("a", "plain"), entry("b", "keyed")), VENDORS, backend).drive()
    assert decide(story.run).exit_code is ExitCode.UNAVAILABLE
    assert story.clock.now() < 60
    assert not backend.began


@pytest.mark.parametrize("vendor", ["plain", "keyed"])
@pytest.mark.parametrize("answer", [Reply(status=200, text="<html>"), Reply(status=404, text="no such run")])
def test_a_run_that_was_given_up_unread_is_read_by_a_resume(vendor: str, answer: Reply) -> None:
    """It is paid for, and to ask for it again costs nothing."""
    backend, is_well = Backend(), False

    def world(name: str, request: Request, key: str | None, now: float) -> Answer:
        return backend.answer(name, request, key, now) if is_well or request.method == "POST" else answer

    story = Story(plan_of(entry("a", vendor)), VENDORS, world).drive()
    assert decide(story.run).exit_code is ExitCode.NO_VERDICT
    is_well = True
    later = Story(story.run.plan, VENDORS, world, before=story.events, resumed=True, clock=story.clock).drive()
    assert verdicts(later) == {"a": "passed"}
    assert len(backend.began) == 1


def test_ten_minutes_of_outage_cost_ten_minutes_and_nothing_else() -> None:
    def world(vendor: str, request: Request, key: str | None, now: float) -> Answer:
        if 20 < now < 620:
            return Reply(status=503, text="down")
        return backend.answer(vendor, request, key, now)

    backend = Backend(lasts=60)
    story = Story(plan_of(entry("a", "plain"), entry("b", "keyed")), VENDORS, world).drive()
    assert verdicts(story) == {"a": "passed", "b": "passed"}
    assert 620 <= story.clock.now() < 660


def test_a_refused_credential_stops_the_other_creates_of_that_vendor() -> None:
    plan = plan_of(*(entry(f"e{n}", "plain") for n in range(5)), max_in_flight=1)
    backend = Backend(fault=lambda *_: Reply(status=401, text="who?"))
    story = Story(plan, VENDORS, backend).drive()
    assert decide(story.run).exit_code is ExitCode.CREDENTIAL
    assert len(story.creates()) == 1
    assert set(verdicts(story).values()) == {"error"}


def test_an_allowance_is_not_asked_again() -> None:
    story = Story(plan_of(entry("a", "plain")), VENDORS, Backend(fault=lambda *_: Reply(status=402, text="3 of 5")))
    assert decide(story.drive().run).exit_code is ExitCode.BUDGET
    assert len(story.creates()) == 1


@pytest.mark.parametrize("status", [400, 404, 422, 501, 505])
def test_a_refused_create_ends_its_own_entry_alone(status: int) -> None:
    def fault(_vendor: str, request: Request, _n: int) -> Answer | None:
        return Reply(status=status, text="no") if request.body == {"tests": ["bad"]} else None

    story = Story(plan_of(entry("bad", "plain"), entry("good", "plain")), VENDORS, Backend(fault=fault)).drive()
    assert verdicts(story) == {"bad": "error", "good": "passed"}
    assert decide(story.run).exit_code is ExitCode.NO_VERDICT


def test_reads_are_repeated_whatever_goes_wrong_with_one() -> None:
    trouble: list[Answer] = [
        LOST,
        UNREACHED,
        Reply(status=502, text=""),
        Reply(status=200, text="{half"),
        Reply(status=429, text=""),
    ]

    def fault(_vendor: str, request: Request, _n: int) -> Answer | None:
        return trouble.pop() if request.method == "GET" and trouble else None

    story = Story(plan_of(entry("a", "plain")), VENDORS, Backend(fault=fault)).drive()
    assert verdicts(story) == {"a": "passed"}
    assert not trouble


def test_answers_beyond_understanding_end_as_unknown_not_green() -> None:
    for text in ("{", "[]", '{"status": 7}', '"passed"', ""):
        answer = Reply(status=200, text=text)
        backend = Backend(fault=reads(answer))
        story = Story(plan_of(entry("a", "plain")), VENDORS, backend).drive()
        assert verdicts(story) == {"a": "unknown"}, text
        assert decide(story.run).exit_code is ExitCode.NO_VERDICT


def test_an_entry_that_takes_too_long_times_out_and_is_cancelled() -> None:
    plan = plan_of(entry("a", "keyed", timeout_s=45), entry("b", "plain", timeout_s=45))
    story = Story(plan, VENDORS, Backend(lasts=1e9)).drive()
    assert verdicts(story) == {"a": "timed_out", "b": "timed_out"}
    assert [request.path for _, _, request, _ in story.pool.sent if "cancel" in request.path] == [
        "/runs/keyed-run-1/cancel"
    ]
    assert decide(story.run).exit_code is ExitCode.TIMEOUT
    assert 45 <= story.clock.now() < 47


def test_a_result_that_is_there_when_time_is_up_counts() -> None:
    """Polled every 30 s, a run of 44 s would be missed by a time-out of 45 s without a last look."""
    options = Options(poll_interval_s=30)
    story = Story(plan_of(entry("a", "plain", timeout_s=45)), VENDORS, Backend(lasts=44), options=options).drive()
    assert verdicts(story) == {"a": "passed"}


def test_the_whole_apply_has_a_time_too() -> None:
    plan = plan_of(entry("a", "keyed"), entry("b", "keyed"), entry("c", "keyed"), max_in_flight=2)
    backend = Backend(lasts=1e9)
    story = Story(plan, VENDORS, backend, options=Options(timeout_s=30)).drive()
    assert verdicts(story) == dict.fromkeys("abc", "timed_out")
    assert sorted(backend.cancelled) == ["keyed-run-1", "keyed-run-2"]
    assert story.clock.now() < 32
    assert decide(story.run).exit_code is ExitCode.TIMEOUT


def test_what_is_learnt_from_one_last_look_puts_off_no_other() -> None:
    """More runs than workers: when the first of them are found to be over, the looks at the others are due still."""
    entries = [entry(f"k{n}", "keyed") for n in range(14)]
    story = Story(plan_of(*entries), VENDORS, Backend(lasts=28), options=Options(timeout_s=30)).drive()
    assert set(verdicts(story).values()) == {"passed"}


def test_an_interruption_cancels_in_parallel_what_can_be_cancelled() -> None:
    plan = plan_of(*(entry(f"k{n}", "keyed") for n in range(8)), entry("p", "plain"))
    backend = Backend(lasts=1e9)
    story = Story(plan, VENDORS, backend)
    story.pool.at.append((33.0, lambda: story.engine.interrupt(15)))
    story.drive()
    assert len(backend.cancelled) == 8
    assert story.clock.now() < 34
    assert verdicts(story) == {f"k{n}": "cancelled" for n in range(8)}
    assert [run.remote.id for _, run in story.run.active_runs()] == ["plain-run-9"]
    assert decide(story.run).exit_code is ExitCode.TERMINATED


def test_detaching_cancels_nothing() -> None:
    story = Story(plan_of(entry("a", "keyed")), VENDORS, Backend(), options=Options(detach_on_interrupt=True))
    story.pool.at.append((5.0, lambda: story.engine.interrupt(2)))
    story.drive()
    assert not verdicts(story)
    assert decide(story.run).exit_code is ExitCode.INTERRUPTED
    resumed = Story(story.run.plan, VENDORS, Backend(), before=story.events, resumed=True, clock=story.clock)
    resumed.pool._world = story.pool._world
    assert verdicts(resumed.drive()) == {"a": "passed"}


def test_an_interruption_waits_for_creates_under_way_and_cancels_them() -> None:
    backend = Backend()
    story = Story(plan_of(entry("a", "keyed")), VENDORS, backend)
    story.pool._latency = 3.0
    story.pool.at.append((1.0, lambda: story.engine.interrupt(2)))
    story.drive()
    assert backend.cancelled == ["keyed-run-1"]


def test_a_hanging_vendor_does_not_hold_an_interruption() -> None:
    story = Story(plan_of(entry("a", "keyed")), VENDORS, Backend())
    story.pool._latency = 60.0
    story.pool.at.append((1.0, lambda: story.engine.interrupt(2)))
    story.drive()
    assert story.clock.now() == pytest.approx(7.0)


@pytest.mark.parametrize("limit", [None, 30.5])
def test_a_time_that_is_up_while_an_interruption_waits_is_no_reason_to_hurry(limit: float | None) -> None:
    """Nobody heeds it any more, so that a loop which wakes up for it would turn without an end."""
    plan = plan_of(entry("a", "keyed", timeout_s=31.0), entry("b", "plain", timeout_s=30.9))
    fault = first(999, UNREACHED, path="/runs/keyed-run-1/cancel")
    story = Story(plan, VENDORS, Backend(lasts=1e9, fault=fault), options=Options(timeout_s=limit))
    story.pool.at.append((30.0, lambda: story.engine.interrupt(2)))
    story.drive()
    assert 31 < story.clock.now() < 38


def test_no_more_runs_are_under_way_than_allowed() -> None:
    plan = plan_of(*(entry(f"e{n}", "plain") for n in range(9)), max_in_flight=3)
    story = Story(plan, VENDORS, Backend()).drive()
    under_way, most = 0, 0
    for event in story.events:
        under_way += isinstance(event, ev.Submitting) - isinstance(event, ev.EntryClosed)
        most = max(most, under_way)
    assert most == 3
    assert Counter(verdicts(story).values()) == {"passed": 9}


@pytest.mark.parametrize("runs", [1, 40, 300])
def test_no_rate_is_ever_exceeded(runs: int) -> None:
    plan = plan_of(
        *(entry(f"e{n}", "keyed", timeout_s=1e6) for n in range(runs)),
        reads=Rate(count=60),
        creates=Rate(count=20),
        max_in_flight=1000,
    )
    story = Story(plan, VENDORS, Backend(lasts=300)).drive()
    assert Counter(verdicts(story).values()) == {"passed": runs}
    for method, most in (("GET", 60), ("POST", 20)):
        times = [at for at, _, request, _ in story.pool.sent if request.method == method]
        for first, last in zip(times, times[most:], strict=False):
            assert last - first > 60


def test_an_adapter_that_breaks_ends_its_own_job_alone() -> None:
    class Broken(type(PLAIN)):  # type: ignore[misc]
        def read(self, *_: object, **__: object) -> None:
            raise ZeroDivisionError("oops")

    vendors: dict[str, Vendor] = {**VENDORS, "plain": Broken("plain", keyed=False)}
    story = Story(plan_of(entry("a", "plain"), entry("b", "keyed")), vendors, Backend()).drive()
    assert verdicts(story) == {"a": "error", "b": "passed"}
    assert story.run.closed["a"].cause is Cause.BUG
    assert "ZeroDivisionError" in (story.run.closed["a"].message or "")
    assert decide(story.run).exit_code is ExitCode.BUG


def test_more_requests_of_one_poll() -> None:
    asked: list[str] = []

    def world(vendor: str, request: Request, key: str | None, now: float) -> Answer:
        if request.method == "GET":
            asked.append(request.path)
            return ok({"status": "passed" if request.path.endswith("/details") else "more"})
        return backend.answer(vendor, request, key, now)

    backend = Backend()
    story = Story(plan_of(entry("a", "plain")), VENDORS, world).drive()
    assert asked == ["/runs/plain-run-1", "/runs/plain-run-1/details"]
    assert verdicts(story) == {"a": "passed"}


def test_nothing_gating_is_nothing_green() -> None:
    plan = plan_of(entry("a", "plain", allow_failure=True))
    assert decide(Story(plan, VENDORS, Backend()).drive().run).exit_code is ExitCode.NOTHING
    relaxed = plan_of(entry("a", "plain", allow_failure=True), min_tests=0)
    assert decide(Story(relaxed, VENDORS, Backend(ends="failed")).drive().run).exit_code is ExitCode.OK


def test_resume_from_every_prefix_starts_nothing_twice() -> None:
    """The crash table: the journal is cut after each event, and the vendors go on where they were."""
    plan = plan_of(entry("p1", "plain"), entry("k1", "keyed"), entry("p2", "plain"), entry("k2", "keyed"))
    whole = Story(plan, VENDORS, Backend()).drive().events
    for length in range(len(whole) + 1):
        backend = Backend()
        clock = VirtualClock()
        # What had left before the cut has happened at the vendors, answered or not.
        for event in whole[:length]:
            if isinstance(event, ev.Submitting):
                state = next(job for job in plan.jobs if job.id == event.job)
                backend.answer(state.vendor, state.request, event.key, event.at - 1_790_000_000.0)
        before = len(backend.began)
        clock.seconds = 100.0
        story = Story(plan, VENDORS, backend, before=whole[:length], resumed=length > 0, clock=clock).drive()
        found = verdicts(story)
        uncertain = {
            job.entries[0]
            for job in plan.jobs
            if job.vendor == "plain"
            and any(isinstance(e, ev.Submitting) and e.job == job.id for e in whole[:length])
            and not any(isinstance(e, ev.Accepted) and e.job == job.id for e in whole[:length])
        }
        assert {name for name, verdict in found.items() if verdict == "unknown"} == uncertain, length
        assert {verdict for name, verdict in found.items() if name not in uncertain} <= {"passed"}
        assert len(found) == 4
        assert len(backend.began) == 4, f"{length}: {before} runs before, {len(backend.began)} after"


def test_a_person_decides_an_uncertain_create() -> None:
    plan = plan_of(entry("a", "plain"))
    lost = Story(plan, VENDORS, Backend(fault=lambda *_: LOST)).drive()
    again = Story(plan, VENDORS, Backend(), before=lost.events, resumed=True)
    again.drive()
    assert verdicts(again) == {"a": "unknown"}
    assert not again.pool.sent
    resubmitted = Story(plan, VENDORS, Backend(), before=again.events, resumed=True)
    resubmitted.record(ev.UncertaintyResolved(at=0, job="plain-1", resubmit=True))
    assert verdicts(resubmitted.drive()) == {"a": "passed"}
    dropped = Story(plan, VENDORS, Backend(), before=again.events, resumed=True)
    dropped.record(ev.UncertaintyResolved(at=0, job="plain-1", resubmit=False))
    assert verdicts(dropped.drive()) == {"a": "unknown"}
    assert dropped.run.closed["a"].verdict is Verdict.UNKNOWN
    assert not dropped.pool.sent


def test_what_was_unavailable_is_tried_again_on_resume() -> None:
    plan = plan_of(entry("a", "keyed"), entry("b", "plain"))
    down = Story(plan, VENDORS, Backend(fault=lambda *_: UNREACHED)).drive()
    assert decide(down.run).exit_code is ExitCode.UNAVAILABLE
    up = Story(plan, VENDORS, Backend(), before=down.events, resumed=True).drive()
    assert verdicts(up) == {"a": "passed", "b": "passed"}


class Splitting(type(PLAIN)):  # type: ignore[misc]
    """Three runs for each create: the ids are those of the create with a letter."""

    def accepted(self, call: Call, reply: Reply) -> tuple[RemoteRun, ...]:
        (first,) = super().accepted(call, reply)
        return tuple(RemoteRun(id=f"{first.id}{letter}") for letter in "xyz")


def splitting(answers: dict[str, object]) -> Story:
    """A story of one entry with three runs, of which each has an answer of its own."""

    def world(vendor: str, request: Request, key: str | None, now: float) -> Answer:
        if request.method == "GET":
            answer = answers[request.path[-1]]
            return answer if isinstance(answer, Reply) else ok({"status": answer})
        return backend.answer(vendor, request, key, now)

    backend = Backend()
    vendors: dict[str, Vendor] = {**VENDORS, "plain": Splitting("plain", keyed=False)}
    return Story(plan_of(entry("a", "plain", timeout_s=100)), vendors, world)


def test_one_run_that_nobody_understands_does_not_hide_the_results_of_the_others() -> None:
    story = splitting({"x": "failed", "y": Reply(status=200, text="?"), "z": "passed"}).drive()
    outcome = story.run.closed["a"]
    assert outcome.verdict is Verdict.FAILED
    assert [(case.verdict, case.id[-1]) for case in outcome.cases][1] == (Verdict.UNKNOWN, "y")
    assert decide(story.run).exit_code is ExitCode.FAILED


def test_one_run_that_is_refused_is_no_pass_beside_two_that_are() -> None:
    story = splitting({"x": "passed", "y": Reply(status=403, text="no"), "z": "passed"}).drive()
    assert story.run.closed["a"].verdict is Verdict.ERROR
    assert len(story.run.closed["a"].cases) == 3


def test_results_that_came_before_the_time_was_up_stay_in_the_report() -> None:
    story = splitting({"x": "passed", "y": "running", "z": "passed"}).drive()
    assert story.run.closed["a"].verdict is Verdict.TIMED_OUT
    assert sorted(case.verdict for case in story.run.closed["a"].cases) == ["passed", "passed", "timed_out"]
    assert decide(story.run).exit_code is ExitCode.TIMEOUT


@pytest.mark.parametrize("status", [404, 409])
def test_a_cancel_of_what_is_over_is_not_repeated(status: int) -> None:
    def fault(_vendor: str, request: Request, _n: int) -> Answer | None:
        return Reply(status=status, text="over") if "cancel" in request.path else None

    story = Story(plan_of(entry("a", "keyed", timeout_s=30)), VENDORS, Backend(lasts=1e9, fault=fault)).drive()
    assert sum("cancel" in request.path for _, _, request, _ in story.pool.sent) == 1


class Hanging:
    """Answers what `hangs` says only after a minute."""

    def __init__(self, story: Story, hangs: str) -> None:
        real = story.pool.start

        def start(
            token: int, vendor: str, request: Request, *, key: str | None, fresh: bool, limit_s: float | None = None
        ) -> None:
            story.pool._latency = 60.0 if request.method == hangs else 0.05
            real(token, vendor, request, key=key, fresh=fresh, limit_s=limit_s)

        story.pool.start = start  # type: ignore[method-assign]


@pytest.mark.parametrize("vendor", ["plain", "keyed"])
def test_a_poll_that_hangs_does_not_hold_an_entry_beyond_its_time(vendor: str) -> None:
    story = Story(plan_of(entry("a", vendor, timeout_s=20)), VENDORS, Backend())
    Hanging(story, "GET")
    story.drive()
    assert verdicts(story) == {"a": "timed_out"}
    assert story.clock.now() < 27


@pytest.mark.parametrize("vendor", ["plain", "keyed"])
def test_a_create_that_hangs_does_not_hold_an_apply_beyond_its_time(vendor: str) -> None:
    story = Story(plan_of(entry("a", vendor)), VENDORS, Backend(), options=Options(timeout_s=10))
    Hanging(story, "POST")
    story.drive()
    assert verdicts(story) == {"a": "unknown"}
    assert decide(story.run).exit_code is ExitCode.NO_VERDICT
    assert story.clock.now() < 18


@pytest.mark.parametrize("answer", [LOST, AFTER, Reply(status=500, text=""), ok({})])
@pytest.mark.parametrize("limit", [None, 8.0])
def test_a_keyed_create_that_is_lost_again_and_again_is_uncertain_and_a_resume_finds_out(
    answer: Answer, limit: float | None
) -> None:
    plan = plan_of(entry("a", "keyed"))
    backend = Backend(fault=first(999, answer))
    lost = Story(plan, VENDORS, backend, options=Options(timeout_s=limit)).drive()
    assert verdicts(lost) == {"a": "unknown"}
    assert decide(lost.run).exit_code is ExitCode.NO_VERDICT
    backend.fault = None
    found = Story(plan, VENDORS, backend, before=lost.events, resumed=True, clock=lost.clock).drive()
    assert verdicts(found) == {"a": "passed"}
    assert len(backend.began) == 1


def test_a_keyed_create_that_may_have_happened_is_not_called_refused() -> None:
    answers: list[Answer] = [AFTER, Reply(status=400, text="no")]

    def fault(_vendor: str, request: Request, _n: int) -> Answer | None:
        return answers.pop(0) if request.path == "/runs" and answers else None

    story = Story(plan_of(entry("a", "keyed")), VENDORS, Backend(fault=fault)).drive()
    assert story.run.closed["a"].cause is Cause.UNCERTAIN
