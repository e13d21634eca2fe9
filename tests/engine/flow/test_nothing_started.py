"""Creates that the vendor takes without starting a run: over at once, on disk, and never a pass."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from qarunner.engine.decide.gate import decide
from qarunner.engine.decide.outcomes import without_run
from qarunner.engine.state import events as ev
from qarunner.errors import ExitCode
from qarunner.report import json as jsondoc
from qarunner.report.summary import summarise
from qarunner.vendors.api import Case, Cause, Finished, Outcome, Refusal, Verdict
from tests.fictional import VENDORS, Backend, Fictional, entry, plan_of
from tests.worlds import Story

if TYPE_CHECKING:
    from qarunner.vendors.api import Accepted, Call, Reply

PLAN = plan_of(entry("a", "keyed"), entry("b", "plain"))
CANCELLED = Outcome(verdict=Verdict.CANCELLED, message="over the quota", raw_status="cancelled")


class Says(Fictional):
    """Takes every create and says this of it."""

    def __init__(self, said: Accepted) -> None:
        super().__init__("keyed", keyed=True)
        self.said = said

    def accepted(self, call: Call, reply: Reply) -> Accepted:  # type: ignore[override]
        del call, reply
        return self.said


def told(said: Accepted, **options: object) -> Story:
    return Story(PLAN, {**VENDORS, "keyed": Says(said)}, Backend(), **options)  # type: ignore[arg-type]


def test_nothing_is_asked_for_where_nothing_runs() -> None:
    story = told(Finished(outcomes={"a": CANCELLED})).drive()
    assert story.run.closed["a"] == CANCELLED
    assert str(story.run.closed["b"].verdict) == "passed"
    assert [request.method for _, vendor, request, _ in story.pool.sent if vendor == "keyed"] == ["POST"]
    assert decide(story.run).exit_code is ExitCode.NO_VERDICT
    row = json.loads(jsondoc.render(summarise(story.run)))["entries"]
    assert isinstance(row, list)
    assert (row[0]["verdict"], row[0]["reason"], row[0]["runs"]) == ("cancelled", "over the quota", [])


def test_it_is_on_disk_before_anything_follows_from_it_and_a_resume_folds_it() -> None:
    whole = told(Finished(outcomes={"a": CANCELLED})).drive().events
    at = next(number for number, event in enumerate(whole) if isinstance(event, ev.CreateMadeNothing))
    assert isinstance(whole[at + 1], ev.EntryClosed)
    assert not issubclass(ev.CreateMadeNothing, ev.EXPENDABLE)
    for length in range(at + 1, len(whole) + 1):
        events = [ev.from_line(ev.to_line(event)) for event in whole[:length]]
        resumed = told(Finished(outcomes={"a": CANCELLED}), before=events, resumed=True).drive()
        assert resumed.run.closed["a"] == CANCELLED
        assert not [request for _, vendor, request, _ in resumed.pool.sent if vendor == "keyed"]


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(verdict=Verdict.PASSED, cases=(Case(id="a", verdict=Verdict.PASSED),)),
        Outcome(verdict=Verdict.FLAKY, counts={Verdict.FLAKY: 3}),
        Outcome(verdict=Verdict.SKIPPED, counts={Verdict.PASSED: 3}),
    ],
)
def test_without_a_run_nothing_passes(outcome: Outcome) -> None:
    story = told(Finished(outcomes={"a": outcome})).drive()
    assert story.run.closed["a"].verdict is Verdict.UNKNOWN
    assert decide(story.run).finished == 1
    assert without_run(outcome).cases == ()


def test_an_entry_that_it_does_not_speak_of_is_unknown() -> None:
    assert told(Finished(outcomes={})).drive().run.closed["a"].verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(("cause", "code"), [(Cause.ALLOWANCE, ExitCode.BUDGET), (Cause.REFUSED, ExitCode.NO_VERDICT)])
def test_a_refusal_in_a_good_answer_is_one(cause: Cause, code: ExitCode) -> None:
    story = told(Refusal(message="not today", cause=cause)).drive()
    assert story.run.closed["a"].verdict is Verdict.ERROR
    assert story.run.closed["a"].message == "not today"
    assert decide(story.run).exit_code is code
