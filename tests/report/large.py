"""A finished run of as many entries as one likes: what pages, formats and their benchmark are measured with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from qarunner.engine.state import events as ev
from qarunner.engine.state.run import fold
from qarunner.entry import Platform, Selection, SelectionKind, Target, TargetKind
from qarunner.report.summary import summarise
from qarunner.vendors.api import Case, Outcome, RemoteRun, Step, Verdict
from tests.fictional import entry, plan_of
from tests.worlds import EPOCH, started

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qarunner.engine.state.run import Run
    from qarunner.entry import Entry
    from qarunner.plan.model import Plan
    from qarunner.report.summary import Summary

TESTS = 3


def large_summary(number: int) -> Summary:
    return summarise(large_run(number))


def large_run(number: int) -> Run:
    plan = large_plan(number)
    return fold(plan, events_of(plan))


def large_plan(number: int) -> Plan:
    return plan_of(*(row(n) for n in range(number)))


def row(number: int) -> Entry:
    """One of a mixed matrix: two vendors, three platforms, a few labels."""
    plain = entry(f"area-{number % 12}/flow-{number:05d}", "keyed" if number % 2 else "plain")
    return replace(
        plain,
        name=f"Flow {number}",
        labels=("smoke",) if number % 3 else ("nightly", "slow"),
        platform=(Platform.WEB, Platform.ANDROID, Platform.IOS)[number % 3],
        target=Target(kind=TargetKind.WEB_URL, value="https://staging.example.com/shop"),
        selection=Selection(kind=SelectionKind.TEST_IDS, ids=tuple(f"t{number}-{k}" for k in range(TESTS))),
    )


def verdict_of(number: int) -> Verdict:
    return {3: Verdict.FAILED, 11: Verdict.FLAKY, 13: Verdict.SKIPPED}.get(number % 37, Verdict.PASSED)


def events_of(plan: Plan) -> Iterator[ev.Event]:
    yield started(EPOCH, plan)
    for number, job in enumerate(plan.jobs):
        run = RemoteRun(id=f"run-{number}", url=f"https://vendor.test/runs/{number}")
        yield ev.Accepted(at=EPOCH + number % 60, job=job.id, runs=(run,))
    for number, row in enumerate(plan.entries):
        cases = tuple(_case(number, k, verdict_of(number)) for k in range(TESTS))
        message = f"Button {number} not found after 30 s" if verdict_of(number) is Verdict.FAILED else None
        outcome = Outcome(verdict=verdict_of(number), cases=cases, message=message, duration_s=20.0 + number % 40)
        name = plan.jobs[number].id
        yield ev.RunFinishedRemotely(
            at=EPOCH + 60 + number % 60, job=name, run=f"run-{number}", outcomes={row.id: outcome}
        )
        yield ev.EntryClosed(at=EPOCH + 60 + number % 60, entry=row.id, outcome=outcome)


def _case(number: int, test: int, verdict: Verdict) -> Case:
    is_bad = verdict is Verdict.FAILED and test == 1
    steps = (
        Step(title="open the page", verdict=Verdict.PASSED),
        Step(
            title="press the button",
            verdict=Verdict.FAILED,
            message=f"Button {number} not found after 30 s",
            screenshot_url=f"https://vendor.test/shots/{number}.png",
        ),
    )
    return Case(
        id=f"t{number}-{test}",
        name=f"case {test} of flow {number}",
        verdict=Verdict.FAILED if is_bad else Verdict.PASSED if verdict is Verdict.FAILED else verdict,
        duration_s=5.0 + test,
        url=f"https://vendor.test/runs/{number}/{test}",
        message=f"Button {number} not found after 30 s" if is_bad else None,
        steps=steps if is_bad else (),
    )
