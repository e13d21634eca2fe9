"""Optional details: the verdict is written down before they are read, and nothing waits for them for long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from qarunner.engine.decide.gate import decide
from qarunner.engine.flow.driver import Options
from qarunner.engine.state import events as ev
from qarunner.errors import ExitCode
from qarunner.vendors.api import Case, Finished, More, Outcome, Reply, Request, Running, Verdict
from tests.fictional import LOST, Backend, Fictional, entry, ok, plan_of
from tests.worlds import Story

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qarunner.engine.decide.interpret import Answer
    from qarunner.vendors.api import Call, RemoteRun


class Counting(Fictional):
    """GET /runs/<id> → {passed: 2}, then GET /details → {tests: {name: verdict}}, which names what was counted."""

    def read(self, call: Call, run: RemoteRun, replies: Sequence[Reply], *, polls: int) -> Running | More | Finished:
        del run, polls
        body = replies[0].json()
        if body.has("status"):
            return Running(note=body.get("status").text())
        if len(replies) == 1:
            return More(request=Request(method="GET", path="/details"), best_effort=True)
        counted = Outcome(
            verdict=Verdict.PASSED, counts={Verdict.PASSED: int(body.get("passed").number_or_none() or 0)}
        )
        return Finished(outcomes={each.id: self._detailed(counted, replies[-1]) for each in call.entries})

    def _detailed(self, counted: Outcome, reply: Reply) -> Outcome:
        if not reply.ok:
            return counted
        tests = reply.json().get("tests").value
        assert isinstance(tests, dict)
        cases = tuple(Case(id=name, verdict=Verdict(str(word))) for name, word in tests.items())
        bad = [case.verdict for case in cases if case.verdict is not Verdict.PASSED]
        return Outcome(verdict=bad[0] if bad else Verdict.PASSED, cases=cases)


class Paged(Counting):
    """Its details have five pages."""

    def read(self, call: Call, run: RemoteRun, replies: Sequence[Reply], *, polls: int) -> Running | More | Finished:
        meaning = super().read(call, run, replies, polls=polls)
        is_whole = isinstance(meaning, Running) or len(replies) > 5
        return meaning if is_whole else More(request=Request(method="GET", path="/details"), best_effort=True)


VENDORS = {"keyed": Counting("keyed", keyed=True)}


class Tenant(Backend):
    """`details` is the answer to what is asked for the tests of a run."""

    def __init__(self, details: Answer | dict[str, str]) -> None:
        super().__init__()
        self.details = ok({"tests": details}) if isinstance(details, dict) else details

    def __call__(self, vendor: str, request: Request, key: str | None, now: float) -> Answer:
        if request.path == "/details":
            return self.details
        answer = super().__call__(vendor, request, key, now)
        over = isinstance(answer, Reply) and request.method == "GET" and "passed" in answer.text
        return ok({"passed": 2}) if over else answer


def story(
    details: Answer | dict[str, str],
    *,
    takes: float = 0.05,
    timeout_s: float = 3600,
    options: Options | None = None,
    at: Callable[[Story], None] | None = None,
) -> Story:
    plan = plan_of(entry("a", "keyed", timeout_s=timeout_s))
    made = Story(
        plan,
        VENDORS,
        Tenant(details),
        options=options,
        latency=lambda _vendor, request: takes if request.path == "/details" else 0.05,
    )
    if at is not None:
        at(made)
    return made.drive()


def finished(made: Story) -> list[float]:
    return [event.at for event in made.events if isinstance(event, ev.RunFinishedRemotely)]


def closed(made: Story) -> tuple[float, Outcome]:
    (event,) = [event for event in made.events if isinstance(event, ev.EntryClosed)]
    return event.at, event.outcome


def test_the_verdict_is_on_disk_before_details_are_asked_for() -> None:
    made = story({"login": "passed", "cart": "passed"})
    asked = next(at for at, _, request, _ in made.pool.sent if request.path == "/details")
    first, second = finished(made)
    assert first - made.run.started_at <= asked
    assert [case.id for case in closed(made)[1].cases] == ["login", "cart"]
    assert second == closed(made)[0]
    assert made.run.jobs["keyed-1"].runs["keyed-run-1"].finished_at == first


@pytest.mark.parametrize("answer", [LOST, Reply(status=503, text="down"), Reply(status=200, text="<html>")])
def test_details_that_cannot_be_read_change_nothing(answer: Answer) -> None:
    made = story(answer)
    assert closed(made)[1].verdict is Verdict.PASSED
    assert len(finished(made)) == 1
    assert decide(made.run).exit_code is ExitCode.OK


def test_details_that_hang_cost_five_seconds_and_no_verdict() -> None:
    made = story(LOST, takes=60.0)
    (first,) = finished(made)
    assert closed(made) == (first + 5.0, Outcome(verdict=Verdict.PASSED, counts={Verdict.PASSED: 2}))
    assert decide(made.run).exit_code is ExitCode.OK
    assert made.pool.limits == [3600.0, 5.0], "of the create, and of the details"


@pytest.mark.parametrize("takes", [3.0, 4.9])
def test_pages_of_details_that_are_slow_cost_five_seconds_in_all(takes: float) -> None:
    made = Story(
        plan_of(entry("a", "keyed")),
        {"keyed": Paged("keyed", keyed=True)},
        Tenant({"login": "passed"}),
        latency=lambda _vendor, request: takes if request.path == "/details" else 0.05,
    ).drive()
    assert closed(made) == (finished(made)[0] + 5.0, Outcome(verdict=Verdict.PASSED, counts={Verdict.PASSED: 2}))


@pytest.mark.parametrize("timeout_s", [31.0, 33.0, 35.5])
def test_time_that_is_up_while_details_are_read_takes_nothing_back(timeout_s: float) -> None:
    made = story(LOST, takes=60.0, timeout_s=timeout_s)
    assert closed(made)[1].verdict is Verdict.PASSED
    assert not any(request.path.endswith("/cancel") for _, _, request, _ in made.pool.sent)


def test_an_apply_whose_time_is_up_or_that_is_interrupted_keeps_the_verdict() -> None:
    over = finished(story(LOST, takes=60.0))[0] - story({}).run.started_at
    late = story(LOST, takes=60.0, options=Options(timeout_s=over + 1.0))
    stopped = story(
        LOST, takes=60.0, at=lambda made: made.pool.at.append((over + 1.0, lambda: made.engine.interrupt(2)))
    )
    for made in (late, stopped):
        assert closed(made)[1].verdict is Verdict.PASSED
        assert made.clock.now() == pytest.approx(over + 1.0, abs=0.1)
    assert decide(late.run).exit_code is ExitCode.OK


def test_a_vendor_that_asks_for_silence_is_not_waited_for() -> None:
    made = story(Reply(status=429, text="slow down", headers={"retry-after": "800"}))
    assert closed(made)[1].verdict is Verdict.PASSED
    assert made.clock.now() < 40


def test_details_make_a_verdict_worse_and_never_better() -> None:
    assert closed(story({"login": "passed", "cart": "failed"}))[1].verdict is Verdict.FAILED
    more = closed(story(dict.fromkeys("abc", "passed")))[1]
    assert more == Outcome(verdict=Verdict.PASSED, counts={Verdict.PASSED: 2}), "a third test would count for min_tests"


def test_a_process_that_is_lost_before_the_details_came_has_the_verdict() -> None:
    made = story({"login": "passed", "cart": "passed"})
    first = next(index for index, event in enumerate(made.events) if isinstance(event, ev.RunFinishedRemotely))
    resumed = Story(made.run.plan, VENDORS, Tenant(LOST), before=made.events[: first + 1], resumed=True).drive()
    assert closed(resumed)[1].verdict is Verdict.PASSED
    assert not resumed.pool.sent
