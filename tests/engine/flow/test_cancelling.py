"""Runs that are asked to stop: together or each by itself, and what is over keeps its result, in virtual time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeAlias

import pytest

from qarunner.engine.decide.gate import decide
from qarunner.engine.state import events as ev
from qarunner.engine.state.run import fold
from qarunner.errors import ExitCode
from qarunner.vendors.api import RemoteRun, Reply, Request
from tests.fictional import LOST, VENDORS, Backend, Fictional, entry, ok, plan_of
from tests.worlds import Story

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from qarunner.engine.decide.interpret import Answer
    from qarunner.vendors.api import Call, Vendor


Fault: TypeAlias = "Callable[[str, Request, int], Answer | None] | None"


class Army(Fictional):
    """Three runs a create, which one request stops."""

    def accepted(self, call: Call, reply: Reply) -> tuple[RemoteRun, ...]:
        del call
        batch = reply.json().get("id").text()
        return tuple(RemoteRun(id=f"{batch}{letter}", memo={"batch": batch}) for letter in "xyz")

    def cancel_all(self, call: Call, runs: Sequence[RemoteRun]) -> Request | None:
        del call
        return Request(method="POST", path=f"/batches/{runs[0].memo['batch']}/cancel")


class Alone(Army):
    """Knows only how to stop one run, as an adapter that was written before."""

    cancel_all = Fictional.cancel_all


class Camp(Backend):
    """`says` is the status of each run by its last letter, until it is cancelled."""

    def __init__(self, says: Mapping[str, str], fault: Fault = None) -> None:
        super().__init__(fault=fault)
        self.says = dict(says)

    def answer(self, vendor: str, request: Request, key: str | None, now: float) -> Reply:
        letter = request.path.removesuffix("/cancel")[-1]
        if request.path.startswith("/batches/"):
            self.cancelled += [each for each, word in self.says.items() if word == "running"]
            self.says = {each: "failed" if word == "running" else word for each, word in self.says.items()}
            return ok({"cancelled": 1, "alreadyFinished": 2})
        if request.path.endswith("/cancel"):
            if self.says[letter] != "running":
                return Reply(status=409, text="over")
            self.cancelled.append(letter)
            return ok({})
        if request.method == "GET":
            return ok({"status": self.says[letter]})
        return super().answer(vendor, request, key, now)


def interrupted(vendor: Vendor, camp: Camp, ends: Mapping[str, str] | None = None) -> Story:
    """An apply that a signal stops; `ends` come true just before it, so that nobody has read them yet."""
    plan = plan_of(entry("a", "keyed"))
    story = Story(plan, {**VENDORS, "keyed": vendor}, camp)

    def stop() -> None:
        camp.says.update(ends or {})
        story.engine.interrupt(2)

    story.pool.at.append((14.0, stop))
    return story.drive()


def cancels(story: Story) -> list[str]:
    return [request.path for _, _, request, _ in story.pool.sent if request.path.endswith("/cancel")]


RUNNING = dict.fromkeys("xyz", "running")


def test_one_request_stops_all_runs_of_a_create() -> None:
    camp = Camp(RUNNING)
    story = interrupted(Army("keyed", keyed=True), camp)
    assert cancels(story) == ["/batches/keyed-run-1/cancel"]
    assert sorted(camp.cancelled) == ["x", "y", "z"]
    assert not list(story.run.active_runs())
    assert decide(story.run).exit_code is ExitCode.INTERRUPTED


def test_an_adapter_that_knows_only_cancel_stops_each_run() -> None:
    camp = Camp(RUNNING)
    story = interrupted(Alone("keyed", keyed=True), camp)
    assert len(cancels(story)) == 3
    assert sorted(camp.cancelled) == ["x", "y", "z"]
    assert str(story.run.closed["a"].verdict) == "cancelled"


@pytest.mark.parametrize("answer", [Reply(status=404, text="no batch"), Reply(status=403, text="no"), LOST])
def test_runs_are_stopped_one_by_one_where_it_does_not_work_together(answer: Answer) -> None:
    camp = Camp(RUNNING, lambda _vendor, request, _n: answer if request.path.startswith("/batches/") else None)
    story = interrupted(Army("keyed", keyed=True), camp)
    assert sorted(camp.cancelled) == ["x", "y", "z"]
    assert not list(story.run.active_runs())
    assert story.clock.now() < 21


@pytest.mark.parametrize("vendor", [Army, Alone])
def test_results_that_were_there_before_the_cancel_are_kept(vendor: type[Fictional]) -> None:
    camp = Camp(RUNNING)
    story = interrupted(vendor("keyed", keyed=True), camp, {"x": "passed", "y": "passed", "z": "failed"})
    outcome = story.run.closed["a"]
    assert sorted(str(case.verdict) for case in outcome.cases) == ["failed", "passed", "passed"]
    assert not list(story.run.active_runs())
    assert decide(story.run).exit_code is ExitCode.INTERRUPTED


def test_what_passed_before_the_cancel_does_not_hide_what_was_cancelled() -> None:
    story = interrupted(Alone("keyed", keyed=True), Camp(RUNNING), {"x": "passed", "y": "passed"})
    assert str(story.run.closed["a"].verdict) == "cancelled"
    assert sorted(str(case.verdict) for case in story.run.closed["a"].cases) == ["cancelled", "passed", "passed"]
    assert decide(fold(story.run.plan, [*story.events, ev.Resumed(at=0)])).exit_code is ExitCode.NO_VERDICT


@pytest.mark.parametrize("status", [404, 409, 410])
def test_a_run_that_is_over_is_not_called_running_and_a_resume_reads_it(status: int) -> None:
    """The last look may fail; the run is asked for again."""

    def fault(_vendor: str, request: Request, _n: int) -> Answer | None:
        if request.path.endswith("/cancel"):
            return Reply(status=status, text="over")
        stopped = any(isinstance(event, ev.Interrupted) for event in story.events)
        return LOST if stopped and request.method == "GET" else None

    camp = Camp(RUNNING, fault)
    story = Story(plan_of(entry("a", "keyed")), {**VENDORS, "keyed": Alone("keyed", keyed=True)}, camp)
    story.pool.at.append((14.0, lambda: story.engine.interrupt(2)))
    story.drive()
    assert not list(story.run.active_runs())
    assert "a" not in story.run.closed
    camp.says, camp.fault = dict.fromkeys("xyz", "passed"), None
    resumed = Story(
        story.run.plan, {**VENDORS, "keyed": Alone("keyed", keyed=True)}, camp, before=story.events, resumed=True
    )
    assert str(resumed.drive().run.closed["a"].verdict) == "passed"


def test_after_a_resume_what_was_cancelled_before_is_no_pass() -> None:
    """Of three runs, two were cancelled by the interruption; the third would not be, and passes later."""
    refused = Reply(status=403, text="no")
    camp = Camp(RUNNING, lambda _vendor, request, _n: refused if request.path.endswith("z/cancel") else None)
    vendor = Alone("keyed", keyed=True)
    story = interrupted(vendor, camp)
    assert [run.remote.id for _, run in story.run.active_runs()] == ["keyed-run-1z"]
    camp.says["z"] = "passed"
    plan = story.run.plan
    later = Story(plan, {**VENDORS, "keyed": vendor}, camp, before=story.events, resumed=True).drive()
    assert str(later.run.closed["a"].verdict) == "cancelled"
    assert decide(later.run).exit_code is ExitCode.NO_VERDICT


@pytest.mark.parametrize("vendor", [Army, Alone])
def test_a_run_that_failed_before_the_cancel_of_its_late_entry_is_a_failure(vendor: type[Fictional]) -> None:
    def fault(_vendor: str, request: Request, _n: int) -> Answer | None:
        if "z/cancel" not in request.path:
            return None
        camp.says["z"] = "failed"
        return Reply(status=409, text="over")

    camp = Camp(RUNNING, fault)
    story = Story(plan_of(entry("a", "keyed", timeout_s=30)), {**VENDORS, "keyed": vendor("keyed", keyed=True)}, camp)
    story.drive()
    outcome = story.run.closed["a"]
    assert str(outcome.verdict) == "failed"
    assert {str(case.verdict) for case in outcome.cases} <= {"failed", "timed_out"}
    assert len(outcome.cases) == 3
    assert not list(story.run.active_runs())
    assert decide(story.run).exit_code is ExitCode.FAILED


@pytest.mark.parametrize("status", [404, 409, 410])
def test_a_timed_out_run_whose_cancel_finds_nothing_is_named_while_it_says_that_it_runs(status: int) -> None:
    """Its entry is closed and stays so, but somebody pays for the run."""
    gone = Reply(status=status, text="no such run")
    camp = Camp(RUNNING, lambda _vendor, request, _n: gone if request.path.endswith("z/cancel") else None)
    plan = plan_of(entry("a", "keyed", timeout_s=30))
    story = Story(plan, {**VENDORS, "keyed": Alone("keyed", keyed=True)}, camp).drive()
    assert str(story.run.closed["a"].verdict) == "timed_out"
    assert [run.remote.id for _, run in story.run.active_runs()] == ["keyed-run-1z"]
    assert fold(plan, [ev.from_line(ev.to_line(event)) for event in story.events]) == story.run


def test_a_resume_cancels_the_runs_of_an_entry_that_timed_out_before_its_cancel_left() -> None:
    plan, vendors = plan_of(entry("a", "keyed", timeout_s=30)), {**VENDORS, "keyed": Alone("keyed", keyed=True)}
    killed = [
        event for event in Story(plan, vendors, Camp(RUNNING)).drive().events if not isinstance(event, ev.RunCancelled)
    ]
    assert str(fold(plan, killed).closed["a"].verdict) == "timed_out"
    camp = Camp(RUNNING)
    resumed = Story(plan, vendors, camp, before=killed, resumed=True).drive()
    assert sorted(camp.cancelled) == ["x", "y", "z"]
    assert not list(resumed.run.active_runs())


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_cancel_that_is_refused_is_not_repeated(status: int) -> None:
    camp = Camp(RUNNING, lambda _v, request, _n: Reply(status=status, text="no") if "cancel" in request.path else None)
    story = interrupted(Alone("keyed", keyed=True), camp)
    assert len(cancels(story)) == 3
    assert len(list(story.run.active_runs())) == 3


@pytest.mark.parametrize("silence_s", [5, 60])
def test_a_silence_is_kept_unless_it_outlasts_the_interruption(silence_s: int) -> None:
    """What is not cancelled by then runs on, and is paid for."""
    slow = Reply(status=429, headers={"retry-after": str(silence_s)}, text="slow down")
    camp = Camp(RUNNING, lambda _vendor, request, _n: slow if request.method == "GET" else None)
    story = Story(plan_of(entry("a", "keyed")), {**VENDORS, "keyed": Army("keyed", keyed=True)}, camp)
    story.pool.at.append((17.0, lambda: story.engine.interrupt(2)))
    story.drive()
    assert sorted(camp.cancelled) == ["x", "y", "z"]
    asked = max(at for at, _, request, _ in story.pool.sent if request.method == "GET" and at < 17)
    told = next(at for at, _, request, _ in story.pool.sent if request.path.endswith("/cancel"))
    assert told == 17 if silence_s == 60 else asked + silence_s <= told < 24


def test_a_cancel_that_is_under_way_is_not_sent_again_by_an_interruption() -> None:
    story = Story(
        plan_of(entry("a", "keyed", timeout_s=30)),
        VENDORS,
        Backend(lasts=1e9),
        latency=lambda _vendor, request: 9.0 if request.path.endswith("/cancel") else 0.05,
    )
    story.pool.at.append((32.0, lambda: story.engine.interrupt(2)))
    story.drive()
    assert len(cancels(story)) == 1


def test_the_journal_of_a_cancel_tells_the_same() -> None:
    story = interrupted(Army("keyed", keyed=True), Camp(RUNNING), {"x": "passed"})
    again = fold(story.run.plan, [ev.from_line(ev.to_line(event)) for event in story.events])
    assert again == story.run
    assert all(json.loads(ev.to_line(e))["over"] for e in story.events if isinstance(e, ev.RunCancelled))


def test_a_run_that_says_that_it_runs_is_not_over_whatever_its_cancel_said() -> None:
    over = Reply(status=409, text="over")
    camp = Camp(RUNNING, lambda _vendor, request, _n: over if request.path.endswith("z/cancel") else None)
    story = interrupted(Alone("keyed", keyed=True), camp)
    assert [run.remote.id for _, run in story.run.active_runs()] == ["keyed-run-1z"]
    assert "a" not in story.run.closed
