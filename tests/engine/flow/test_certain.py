"""What came before a run's end counts, at every vendor: real adapters, driven by the engine, and scripted replies."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import pytest

from qarunner.diagnostics import Place
from qarunner.engine.decide.gate import decide
from qarunner.engine.flow.closing import CANCEL_AND_LOOK_S
from qarunner.engine.flow.driver import Options
from qarunner.engine.state import events as ev
from qarunner.engine.state.run import fold
from qarunner.entry import Entry, Gate, Platform, Policy, Selection, SelectionKind, Target, TargetKind
from qarunner.errors import ExitCode
from qarunner.plan.model import VERSION, Job, Plan, VendorPlan, seal
from qarunner.vendors import registry
from qarunner.vendors.api import Call, Metadata, Reply
from tests.worlds import Story

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qarunner.decode import Json
    from qarunner.engine.decide.interpret import Answer
    from qarunner.vendors.api import Request

    Says = Callable[[Request, float], Json | Reply]

GROUP = "22222222-2222-4222-8222-222222222222"
URL = "https://staging.example.com"


def entry(name: str, vendor: str, kind: SelectionKind, *ids: str, needs: tuple[str, ...] = ()) -> Entry:
    return Entry(
        id=name,
        vendor=vendor,
        policy=Policy(timeout_s=100),
        origin=Place(file="qa-matrix.yml", line=1, column=1),
        platform=Platform.WEB if vendor == "doksi" else None,
        target=Target(kind=TargetKind.WEB_URL, value=URL) if vendor == "doksi" else None,
        selection=Selection(kind=kind, ids=ids),
        needs=needs,
    )


def story(says: Says, *entries: Entry, options: Options | None = None, fail_fast: bool = False) -> Story:
    """A plan of real creates; `says` gives the bodies of replies, by the request and the time in seconds."""
    name = entries[0].vendor
    vendor = registry.get(name)
    settings: Mapping[str, Json] = {"project": "p", "details": False} if name == "certyn" else {}
    metadata = Metadata()
    jobs = [
        Job(
            id=f"{name}-{number}",
            vendor=name,
            entries=tuple(each.id for each in group),
            request=vendor.submit(Call(entries=group, settings=settings, metadata=metadata)),
        )
        for number, group in enumerate(vendor.group(entries), 1)
    ]
    plan = seal(
        Plan(
            version=VERSION,
            tool="test",
            digest="",
            secrets=(),
            manifest="qa-matrix.yml",
            name="shop",
            entries=entries,
            jobs=tuple(jobs),
            vendors={
                name: VendorPlan(settings=settings, key_env=vendor.info.key_env, every_s=10, max_s=30, max_in_flight=16)
            },
            gate=Gate(),
            metadata=metadata,
        )
    )

    def world(_vendor: str, request: Request, _key: str | None, now: float) -> Answer:
        body = says(request, now)
        return body if isinstance(body, Reply) else Reply(status=200, text=json.dumps(body))

    return Story(plan, {name: vendor}, world, options=options or Options(), fail_fast=fail_fast)


def verdicts(told: Story) -> dict[str, str]:
    return {name: str(outcome.verdict) for name, outcome in told.run.closed.items()}


def cases(told: Story, name: str) -> dict[str, str]:
    return {case.id: str(case.verdict) for case in told.run.closed[name].cases}


# --- Doksi: one run of several entries --------------------------------------------------------------------------------


def doksi(**words: str) -> Callable[[Request, float], Json]:
    def says(request: Request, _now: float) -> Json:
        results: list[Json] = [
            {"result_id": f"r-{test}", "test_id": test, "url": f"https://doksi.example/{test}", "status": word}
            for test, word in words.items()
        ]
        return (
            {"run_id": "run", "status": "running", "results": results}
            if request.method == "GET"
            else {
                "run_id": "run",
                "results": [{"result_id": f"r-{test}", "test_id": test} for test in words],
            }
        )

    return says


def test_a_failure_is_not_hidden_by_a_test_that_hangs() -> None:
    told = story(doksi(a="failed", b="running"), entry("e", "doksi", SelectionKind.TEST_IDS, "a", "b")).drive()
    assert verdicts(told) == {"e": "failed"}
    assert cases(told, "e") == {"a": "failed", "b": "timed_out"}
    assert [case.url for case in told.run.closed["e"].cases] == ["https://doksi.example/a", "https://doksi.example/b"]
    assert decide(told.run).exit_code is ExitCode.FAILED
    for job in told.run.jobs.values():
        for run in job.runs.values():
            run.latest.clear()  # what this process saw, and did not write down
    assert fold(told.run.plan, [ev.from_line(ev.to_line(event)) for event in told.events]) == told.run


def test_an_entry_of_a_shared_run_is_closed_when_its_results_are_final() -> None:
    first, second = (entry(name, "doksi", SelectionKind.TEST_IDS, name) for name in "ab")
    told = story(doksi(a="passed", b="running"), first, second).drive()
    assert verdicts(told) == {"a": "passed", "b": "timed_out"}
    assert told.run.closed_at["a"] < told.run.closed_at["b"] - 60
    assert len(told.run.jobs) == 1


@pytest.mark.parametrize("status", ["running", "failed"])
def test_a_later_word_takes_the_pass_of_an_entry_away_that_was_over_before_its_run(status: str) -> None:
    def says(request: Request, now: float) -> Json:
        if now < 40:
            return doksi(a="passed", b="running")(request, now)
        later = doksi(a="failed", b="running" if status == "running" else "passed")(request, now)
        return {**cast("dict[str, Json]", later), "status": status}

    first, second = (entry(name, "doksi", SelectionKind.TEST_IDS, name) for name in "ab")
    told = story(says, first, second).drive()
    assert verdicts(told) == {"a": "failed", "b": "timed_out" if status == "running" else "passed"}
    closed = [str(event.outcome.verdict) for event in told.events if isinstance(event, ev.EntryClosed)]
    assert closed[:2] == ["passed", "failed"]
    assert decide(told.run).exit_code is ExitCode.FAILED


def test_a_failure_in_a_shared_run_ends_it_at_once_with_fail_fast() -> None:
    first, second = (entry(name, "doksi", SelectionKind.TEST_IDS, name) for name in "ab")
    told = story(doksi(a="failed", b="running"), first, second, fail_fast=True).drive()
    assert verdicts(told) == {"a": "failed", "b": "cancelled"}
    assert told.clock.now() < 30


@pytest.mark.parametrize("options", [None, Options(timeout_s=50)])
def test_what_is_certain_counts_when_the_whole_apply_ends(options: Options | None) -> None:
    told = story(
        doksi(a="failed", b="running"), entry("e", "doksi", SelectionKind.TEST_IDS, "a", "b"), options=options
    ).drive()
    assert cases(told, "e") == {"a": "failed", "b": "timed_out"}


# --- DocketQA and TesterArmy: a run for each test ---------------------------------------------------------------------


def docketqa(request: Request, now: float) -> Json:
    if request.method == "POST":
        runs: list[Json] = [{"id": 900 + test, "test_blueprint_id": test} for test in (11, 12)]
        return {"test_group_run": {"id": 88, "test_runs": runs}}
    number = int(request.path.rpartition("/")[2])
    word = "failed" if number == 911 and now > 20 else "running"
    return {"test_run": {"id": number, "test_blueprint_id": number - 900, "status": word}}


def test_a_docketqa_test_that_hangs_stands_beside_the_one_that_failed() -> None:
    told = story(docketqa, entry("e", "docketqa", SelectionKind.TEST_IDS, "11", "12")).drive()
    assert cases(told, "e") == {"11": "failed", "12": "timed_out"}
    assert told.run.closed["e"].cases[1].url == "https://app.docketqa.com/dashboard/testrun/912"
    assert decide(told.run).exit_code is ExitCode.FAILED


def test_a_docketqa_test_that_nobody_could_read_has_its_id_all_the_same() -> None:
    def silent(request: Request, now: float) -> Json | Reply:
        hangs = request.method == "GET" and request.path.endswith("912")
        return Reply(status=503, text="down") if hangs else docketqa(request, now)

    told = story(silent, entry("e", "docketqa", SelectionKind.TEST_IDS, "11", "12")).drive()
    assert cases(told, "e").keys() == {"11", "12"}
    assert decide(told.run).exit_code is ExitCode.FAILED


def army(first: str, *, cancel: Reply | None = None) -> Callable[[Request, float], Json | Reply]:
    cancelled: list[float] = []

    def says(request: Request, now: float) -> Json | Reply:
        if request.path.endswith("/runs"):
            return {"status": "queued", "groupId": GROUP, "batchId": "b", "runIds": ["r1", "r2"], "count": 2}
        if request.path.endswith("/cancel"):
            cancelled.append(now)
            return cancel or {}
        name = request.path.rpartition("/")[2]
        if name == "r1" and now > 20:
            return {"id": name, "testId": "t1", "status": "completed", "output": {"result": first}}
        if name == "r2" and cancelled and cancel is not None:  # it had ended before the cancel came
            return {"id": name, "testId": "t2", "status": "completed", "output": {"result": "FAILED"}}
        return {"id": name, "testId": f"t{name[1]}", "status": "cancelled" if cancelled else "running"}

    return says


@pytest.mark.parametrize(("word", "verdict"), [("FAILED", "failed"), ("PASS", "timed_out")])
def test_a_testerarmy_test_that_hangs_stands_beside_the_other(word: str, verdict: str) -> None:
    told = story(army(word), entry("e", "testerarmy", SelectionKind.CATEGORY_IDS, GROUP)).drive()
    assert verdicts(told) == {"e": verdict}
    assert cases(told, "e") == {"t1": "failed" if word == "FAILED" else "passed", "t2": "timed_out"}


def test_a_cancel_that_comes_too_late_ends_with_the_vendors_verdict() -> None:
    late = Reply(status=409, text='{"error": "Conflict", "message": "already terminal"}')
    told = story(army("PASS", cancel=late), entry("e", "testerarmy", SelectionKind.CATEGORY_IDS, GROUP)).drive()
    assert cases(told, "e") == {"t1": "passed", "t2": "failed"}
    assert decide(told.run).exit_code is ExitCode.FAILED


def test_the_read_after_a_cancel_that_came_too_late_is_tried_again() -> None:
    looks: list[float] = []

    def says(request: Request, now: float) -> Json | Reply:
        if request.path.endswith("/cancel"):
            looks.append(now)
            return Reply(status=409, text='{"error": "Conflict", "message": "already terminal"}')
        if request.method == "POST":
            return {"status": "queued", "runIds": ["r1"], "count": 1}
        if looks and len(looks) < 3:
            looks.append(now)
            return Reply(status=503, text="a gateway")
        return {"id": "r1", "status": "completed" if looks else "running", "output": {"result": "FAILED"}}

    told = story(says, entry("e", "testerarmy", SelectionKind.CATEGORY_IDS, GROUP)).drive()
    assert verdicts(told) == {"e": "failed"}
    assert looks[-1] < 100 + CANCEL_AND_LOOK_S


def test_a_failure_that_a_resume_reads_after_a_time_out_is_told() -> None:
    over: list[str] = []

    def says(request: Request, _now: float) -> Json | Reply:
        if request.path.endswith("/cancel"):
            return Reply(status=409, text='{"error": "Conflict", "message": "cannot be cancelled"}')
        if request.method == "POST":
            return {"status": "queued", "runIds": ["r1"], "count": 1}
        return {"id": "r1", "status": "completed" if over else "running", "output": {"result": (over or [""])[0]}}

    for result, verdict in (("FAILED", "failed"), ("PASS", "timed_out")):
        over.clear()
        told = story(says, entry("e", "testerarmy", SelectionKind.CATEGORY_IDS, GROUP)).drive()
        assert verdicts(told) == {"e": "timed_out"}
        over.append(result)
        world, army_vendor = told.pool._world, {"testerarmy": registry.get("testerarmy")}
        later = Story(told.run.plan, army_vendor, world, before=told.events, resumed=True, clock=told.clock).drive()
        assert verdicts(later) == {"e": verdict}


# --- Certyn: counters -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", ["in_progress", "cancelled", "gone"])
def test_certyns_counters_count_when_the_time_is_up(after: str) -> None:
    cancelled: list[float] = []

    def says(request: Request, now: float) -> Json | Reply:
        if request.path.endswith("/cancel"):
            cancelled.append(now)
            return {}
        if request.method == "POST":
            return {"runId": "r", "testCaseCount": 4}
        if cancelled and after == "gone":
            return Reply(status=500, text="down")
        state = after if cancelled else "in_progress"
        return {"runId": "r", "state": state, "total": 4, "passed": 2, "failed": 1, "blocked": 0, "pending": 1}

    told = story(says, entry("e", "certyn", SelectionKind.CATEGORY_IDS, "smoke")).drive()
    assert verdicts(told) == {"e": "failed"}
    counts = {str(verdict): number for verdict, number in told.run.closed["e"].counts.items()}
    assert counts == {"passed": 2, "failed": 1, "timed_out": 1}
    assert decide(told.run).exit_code is ExitCode.FAILED
