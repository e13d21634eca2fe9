"""A journal that is read back tells the same state as the engine had when it wrote it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from qarunner.engine.decide.gate import decide
from qarunner.engine.flow.driver import Options
from qarunner.engine.state import events as ev
from qarunner.engine.state.run import Phase, advance, fold
from qarunner.plan.model import Plan, to_json
from qarunner.report import json as jsondoc
from qarunner.report import junit
from qarunner.report.summary import summarise
from qarunner.vendors.api import Case, Outcome, RemoteRun, Reply, Step, Verdict
from tests.fictional import LOST, UNREACHED, VENDORS, Backend, entry, ok, plan_of
from tests.worlds import EPOCH, Story

if TYPE_CHECKING:
    from collections.abc import Callable

    from qarunner.decode import Json
    from qarunner.engine.decide.interpret import Answer
    from qarunner.vendors.api import Request

PLAN = plan_of(entry("a", "plain", timeout_s=100), entry("b", "keyed", timeout_s=100), entry("c", "keyed"))


def everything(answer: Answer) -> Callable[[str, Request, int], Answer | None]:
    return lambda *_: answer


def creates(answer: Answer, until: int = 10**6) -> Callable[[str, Request, int], Answer | None]:
    return lambda _vendor, request, number: answer if request.path == "/runs" and number <= until else None


def reads(answer: Answer) -> Callable[[str, Request, int], Answer | None]:
    return lambda _vendor, request, number: answer if request.method == "GET" and number % 3 else None


WORLDS: dict[str, tuple[Backend, Options]] = {
    "passes": (Backend(), Options()),
    "fails": (Backend(ends="failed"), Options()),
    "never ends": (Backend(lasts=1e9), Options(timeout_s=250)),
    "lost creates": (Backend(fault=creates(LOST, 2)), Options()),
    "slow vendor": (Backend(fault=creates(Reply(status=429, text="", headers={"retry-after": "3"}), 2)), Options()),
    "refused": (Backend(fault=creates(Reply(status=422, text="né 😀"))), Options()),
    "no credential": (Backend(fault=everything(Reply(status=401, text="who?"))), Options()),
    "unreached": (Backend(fault=everything(UNREACHED)), Options()),
    "bad reads": (Backend(fault=reads(Reply(status=502, text="<html>"))), Options()),
    "nonsense": (Backend(fault=reads(ok({"status": 7}))), Options()),
}


def story(name: str) -> Story:
    backend, options = WORLDS[name]
    told = Story(PLAN, VENDORS, Backend(lasts=backend.lasts, ends=backend.ends, fault=backend.fault), options=options)
    if name == "never ends":
        told.pool.at.append((90.0, lambda: told.engine.interrupt(2)))
    return told.drive()


@pytest.mark.parametrize("name", WORLDS)
def test_the_journal_tells_what_the_engine_knew(name: str) -> None:
    told = story(name)
    lines = b"".join(ev.to_line(event) for event in told.events)
    events = [ev.from_line(line) for line in lines.splitlines()]
    assert events == told.events
    plan = msgspec.json.decode(to_json(told.run.plan), type=Plan)
    assert plan == told.run.plan
    again = fold(plan, events)
    assert again == told.run
    assert decide(again) == decide(told.run)


@pytest.mark.parametrize("name", WORLDS)
def test_every_prefix_of_a_journal_is_a_state(name: str) -> None:
    told = story(name)
    run = fold(PLAN, [])
    for number, event in enumerate(told.events):
        advance(run, event)
        assert run == fold(PLAN, told.events[: number + 1])
        assert set(run.closed) == set(run.closed_at)


@pytest.mark.parametrize("name", WORLDS)
def test_a_report_from_the_journal_equals_the_one_of_the_apply(name: str) -> None:
    told = story(name)
    summary = summarise(told.run)
    told.record(ev.RunFinished(at=told.clock.wall() + 5, exit_code=int(summary.exit_code)))
    again = summarise(fold(PLAN, [ev.from_line(ev.to_line(event)) for event in told.events]))
    assert jsondoc.render(again) == jsondoc.render(summary)
    assert junit.render(again) == junit.render(summary)


def test_a_report_is_the_same_however_its_plan_and_its_numbers_came() -> None:
    """A plan's mappings come back sorted, and an integer of an adapter's comes back as a float."""
    case = Case(id="a", verdict=Verdict.PASSED, duration_s=22)
    closed = ev.EntryClosed(at=EPOCH, entry="a", outcome=Outcome(verdict=Verdict.PASSED, cases=(case,), duration_s=7))
    facts = {"sha": "1", "branch": "main", "tag": None}
    plan = msgspec.structs.replace(PLAN, git=facts, ci={"name": "x", "event": "y"})
    live = jsondoc.render(summarise(fold(plan, [closed])))
    kept = fold(msgspec.json.decode(to_json(plan), type=Plan), [ev.from_line(ev.to_line(closed))])
    assert jsondoc.render(summarise(kept)) == live


def test_a_resume_that_finds_nothing_to_do_changes_no_report() -> None:
    told = story("fails")
    before = jsondoc.render(summarise(told.run))
    later = Story(PLAN, VENDORS, Backend(), before=told.events, resumed=True)
    later.clock.seconds = 1e6
    later.drive()
    assert not later.pool.sent
    assert jsondoc.render(summarise(later.run)) == before


def test_everything_that_an_outcome_can_hold_survives_the_journal() -> None:
    step = Step(title="tap", verdict=Verdict.BLOCKED, message='"\n\t', screenshot_url="https://x/y")
    case = Case(id="1", verdict=Verdict.FLAKY, name="ü\u2028😀", duration_s=0.1 + 0.2, steps=(step,))
    outcome = Outcome(verdict=Verdict.FLAKY, cases=(case,), counts={Verdict.TIMED_OUT: 3}, url="u", duration_s=1e-9)
    memo: dict[str, Json] = {"list": [1, 2.5, None, True, {"deep": "x"}], "big": 2**60}
    for event in (
        ev.Accepted(at=EPOCH + 0.123456, job="plain-1", runs=(RemoteRun(id="r", memo=memo), RemoteRun(id="s"))),
        ev.RunFinishedRemotely(
            at=EPOCH, job="plain-1", run="r", outcomes={"a": outcome, "b": Outcome(verdict=Verdict.ERROR)}
        ),
    ):
        line = ev.to_line(event)
        assert line.count(b"\n") == 1
        assert ev.from_line(line) == event


def test_an_event_of_a_job_that_the_plan_does_not_have_is_no_state() -> None:
    with pytest.raises(KeyError):
        fold(PLAN, [ev.Submitting(at=0, job="other-1", attempt=1)])


def test_a_job_is_over_when_the_last_of_its_runs_is() -> None:
    runs = (RemoteRun(id="r"), RemoteRun(id="s"))
    accepted = ev.Accepted(at=EPOCH, job="plain-1", runs=runs)
    finished = [ev.RunFinishedRemotely(at=EPOCH, job="plain-1", run=run.id, outcomes={}) for run in runs]
    assert fold(PLAN, [accepted, finished[0]]).jobs["plain-1"].phase is Phase.RUNNING
    assert fold(PLAN, [accepted, *finished]).jobs["plain-1"].phase is Phase.DONE


def test_a_process_whose_clock_was_behind_gives_no_time_before_what_it_follows() -> None:
    """JUnit had a run of minus three hours, and CTRF one that stopped before it started."""
    told = story("passes").events
    behind = [
        msgspec.structs.replace(event, at=event.at - 10_800 * (number > len(told) // 2))
        for number, event in enumerate(told)
    ]
    run = fold(PLAN, behind)
    assert run.started_at <= min(run.closed_at.values()) <= run.last_at
    assert 'time="-' not in junit.render(summarise(run))
