"""Entries that need others: begun when those have passed, skipped and never sent when one did not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from qarunner.engine.decide.gate import decide
from qarunner.engine.flow.driver import Options
from qarunner.engine.state import events as ev
from qarunner.entry import Retries
from qarunner.errors import ExitCode
from qarunner.plan.model import seal
from qarunner.vendors.api import Cause, Reply
from tests.fictional import LOST, UNREACHED, VENDORS, Backend, entry, plan_of
from tests.worlds import Story

if TYPE_CHECKING:
    from collections.abc import Callable

    from qarunner.engine.decide.interpret import Answer
    from qarunner.entry import OnSkipped
    from qarunner.plan.model import Plan
    from qarunner.vendors.api import Request


def verdicts(story: Story) -> dict[str, str]:
    return {name: str(outcome.verdict) for name, outcome in story.run.closed.items()}


def made(name: str, answer: Answer) -> Callable[[str, Request, int], Answer | None]:
    """What goes wrong with the creates of one entry."""

    def fault(_vendor: str, request: Request, _call: int) -> Answer | None:
        return answer if request.body == {"tests": [name]} else None

    return fault


def gated(plan: Plan, on_skipped: OnSkipped | None) -> Plan:
    return seal(msgspec.structs.replace(plan, gate=msgspec.structs.replace(plan.gate, on_skipped=on_skipped)))


def test_an_entry_begins_when_all_that_it_needs_has_passed() -> None:
    plan = plan_of(
        entry("late", "keyed", needs=("a", "b")), entry("a", "plain"), entry("b", "keyed"), entry("free", "plain")
    )
    story = Story(plan, VENDORS, Backend()).drive()
    assert verdicts(story) == dict.fromkeys(("late", "a", "b", "free"), "passed")
    closed = {event.entry: event.at for event in story.events if isinstance(event, ev.EntryClosed)}
    begun = {event.job: event.at for event in story.events if isinstance(event, ev.Submitting)}
    assert begun["keyed-1"] >= max(closed["a"], closed["b"])
    assert begun["plain-2"] < closed["a"]


def test_a_chain_goes_one_by_one_whatever_the_order_in_the_manifest() -> None:
    names = [f"e{number}" for number in range(30)]
    rows = [entry(name, "plain", needs=tuple(names[index - 1 : index])) for index, name in enumerate(names)]
    story = Story(plan_of(*reversed(rows)), VENDORS, Backend()).drive()
    assert set(verdicts(story).values()) == {"passed"}
    assert list(story.run.closed) == names


def test_a_chain_of_thousands_that_breaks_at_its_start_is_skipped_to_its_end() -> None:
    names = [f"e{number}" for number in range(3000)]
    rows = [entry(name, "plain", needs=tuple(names[index - 1 : index])) for index, name in enumerate(names)]
    story = Story(plan_of(*rows), VENDORS, Backend(ends="failed")).drive()
    assert len(story.creates()) == 1
    assert story.run.closed["e1"].message == "needs e0, which failed"
    assert story.run.closed["e2999"].message == "needs e2998, which was skipped"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, "failed"),
        (LOST, "has no verdict"),
        (Reply(status=422, text="no"), "ended in an error"),
        (UNREACHED, "ended in an error"),
    ],
)
def test_what_needs_an_entry_that_did_not_pass_is_skipped_and_never_sent(answer: Answer | None, why: str) -> None:
    plan = plan_of(entry("a", "plain", allow_failure=True), entry("b", "keyed", needs=("a",)), entry("c", "keyed"))
    backend = Backend(fault=made("a", answer)) if answer else Backend()
    story = Story(plan, VENDORS, lambda vendor, *rest: ended(backend, vendor, *rest, failed="plain")).drive()
    assert story.run.closed["b"].cause is Cause.DEPENDENCY
    assert story.run.closed["b"].message == f"needs a, which {why}"
    assert not [sent for sent in story.creates() if sent[2].body == {"tests": ["b"]}]
    assert verdicts(story)["c"] == "passed"
    assert decide(story.run).exit_code is ExitCode.FAILED
    relaxed = Story(gated(plan, "pass"), VENDORS, lambda *rest: ended(backend, *rest, failed="plain")).drive()
    assert decide(relaxed.run).exit_code is ExitCode.OK


@pytest.mark.parametrize(
    ("answer", "free", "code"),
    [
        (LOST, False, ExitCode.NO_VERDICT),
        (UNREACHED, False, ExitCode.NO_VERDICT),
        (None, False, ExitCode.FAILED),
        (LOST, True, ExitCode.FAILED),
    ],
)
def test_what_was_skipped_hides_no_code_of_the_entry_that_it_needs(
    answer: Answer | None, *, free: bool, code: ExitCode
) -> None:
    a, b = entry("a", "plain", allow_failure=free), entry("b", "keyed", needs=("a",))
    plan = plan_of(a, b, entry("c", "keyed", needs=("b",)), entry("d", "keyed"))
    backend = Backend(fault=made("a", answer)) if answer else Backend()
    story = Story(plan, VENDORS, lambda vendor, *rest: ended(backend, vendor, *rest, failed="plain")).drive()
    assert [story.run.closed[name].cause for name in "bc"] == [Cause.DEPENDENCY, Cause.DEPENDENCY]
    assert decide(story.run).exit_code is code
    strict = Story(gated(plan, "fail"), VENDORS, lambda *rest: ended(backend, *rest, failed="plain")).drive()
    assert decide(strict.run).exit_code is ExitCode.FAILED


def ended(backend: Backend, vendor: str, request: Request, key: str | None, now: float, *, failed: str) -> Answer:
    """As the backend says, but for one vendor whose runs all fail."""
    backend.ends = "failed" if vendor == failed else "passed"
    return backend(vendor, request, key, now)


def test_a_need_that_times_out_is_a_need_that_did_not_pass() -> None:
    plan = plan_of(entry("a", "keyed", timeout_s=30), entry("b", "plain", needs=("a",)))
    story = Story(plan, VENDORS, Backend(lasts=1e9)).drive()
    assert verdicts(story) == {"a": "timed_out", "b": "skipped"}
    assert story.run.closed["b"].message == "needs a, which timed out"


def test_a_need_that_nobody_planned_is_said() -> None:
    story = Story(plan_of(entry("a", "plain", needs=("gone",))), VENDORS, Backend()).drive()
    assert story.run.closed["a"].message == "needs gone, which is not a part of this plan"
    assert not story.pool.sent


def test_the_applys_time_ends_what_waits_for_an_entry() -> None:
    plan = plan_of(entry("a", "keyed"), entry("b", "plain", needs=("a",)), entry("c", "plain", needs=("b",)))
    story = Story(plan, VENDORS, Backend(lasts=1e9), options=Options(timeout_s=20)).drive()
    assert verdicts(story) == dict.fromkeys("abc", "timed_out")
    assert len(story.creates()) == 1
    assert decide(story.run).exit_code is ExitCode.TIMEOUT


def test_an_interruption_leaves_what_waits_to_a_resume() -> None:
    plan = plan_of(entry("a", "plain"), entry("b", "keyed", needs=("a",)))
    story = Story(plan, VENDORS, Backend())
    story.pool.at.append((5.0, lambda: story.engine.interrupt(2)))
    story.drive()
    assert verdicts(story) == {}
    resumed = Story(plan, VENDORS, story.pool._world, before=story.events, resumed=True, clock=story.clock).drive()
    assert verdicts(resumed) == {"a": "passed", "b": "passed"}


def test_a_resume_opens_what_was_skipped_when_it_opens_what_that_needs() -> None:
    plan = plan_of(
        entry("a", "keyed"),
        entry("b", "plain", needs=("a",)),
        entry("c", "plain", needs=("b",)),
        entry("bad", "plain"),
        entry("d", "plain", needs=("bad",)),
    )

    def fault(vendor: str, request: Request, _call: int) -> Answer | None:
        if request.body == {"tests": ["bad"]}:
            return Reply(status=422, text="no")
        return UNREACHED if vendor == "keyed" else None

    down = Story(plan, VENDORS, Backend(fault=fault)).drive()
    assert verdicts(down) == {"a": "error", "b": "skipped", "c": "skipped", "bad": "error", "d": "skipped"}
    up = Story(plan, VENDORS, Backend(), before=down.events, resumed=True).drive()
    assert verdicts(up) == {"a": "passed", "b": "passed", "c": "passed", "bad": "error", "d": "skipped"}


def test_a_person_who_resubmits_a_need_frees_what_waits_for_it() -> None:
    plan = plan_of(entry("a", "plain"), entry("b", "plain", needs=("a",)))
    lost = Story(plan, VENDORS, Backend(fault=made("a", LOST))).drive()
    assert verdicts(lost) == {"a": "unknown", "b": "skipped"}
    again = Story(plan, VENDORS, Backend(), before=lost.events, resumed=True)
    again.record(ev.UncertaintyResolved(at=0, job="plain-1", resubmit=True))
    assert verdicts(again.drive()) == {"a": "passed", "b": "passed"}


def test_a_new_attempt_that_passes_is_a_pass_for_what_waits() -> None:
    plan = plan_of(entry("a", "plain", retries=Retries(failed=1)), entry("b", "keyed", needs=("a",)))
    backend = Backend()

    def world(vendor: str, request: Request, key: str | None, now: float) -> Answer:
        backend.ends = "failed" if request.path.endswith("plain-run-1") else "passed"
        return backend(vendor, request, key, now)

    story = Story(plan, VENDORS, world).drive()
    assert verdicts(story) == {"a": "flaky", "b": "passed"}


def test_a_resume_from_every_prefix_keeps_the_order() -> None:
    plan = plan_of(entry("a", "keyed"), entry("b", "keyed", needs=("a",)), entry("c", "keyed", needs=("a", "b")))
    whole = Story(plan, VENDORS, Backend()).drive().events
    for length in range(1, len(whole) + 1):
        backend = Backend()
        for event in whole[:length]:
            if isinstance(event, ev.Submitting):
                job = next(each for each in plan.jobs if each.id == event.job)
                backend.answer(job.vendor, job.request, event.key, event.at - 1_790_000_000.0)
        story = Story(plan, VENDORS, backend, before=whole[:length], resumed=True)
        story.clock.seconds = 200.0
        assert verdicts(story.drive()) == dict.fromkeys("abc", "passed"), length
        assert len(backend.began) == 3
