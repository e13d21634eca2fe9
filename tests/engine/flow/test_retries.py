"""New attempts: of what failed alone, as often as allowed, never on a guess, and never twice whatever is lost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from qarunner.engine.decide.gate import decide
from qarunner.engine.flow.driver import Options
from qarunner.engine.state import events as ev
from qarunner.entry import Retries, SelectionKind
from qarunner.errors import ExitCode
from qarunner.report import json as jsondoc
from qarunner.report import junit
from qarunner.report.summary import summarise
from qarunner.vendors.api import Cause, RemoteRun, Reply, Verdict
from tests.fictional import LOST, UNREACHED, ok
from tests.telling import TELLING, Telling, Watched, World, asks, entry, telling_plan
from tests.worlds import Story, VirtualClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qarunner.engine.decide.interpret import Answer
    from qarunner.plan.model import Plan
    from qarunner.vendors.api import Call, Finished, More, Request, Running

ONCE = Retries(failed=1)
TWICE = Retries(failed=2)


def play(plan: Plan, world: World, **more: object) -> Story:
    return Story(plan, TELLING, world, **more).drive()  # type: ignore[arg-type]


def verdicts(story: Story) -> dict[str, str]:
    return {name: str(outcome.verdict) for name, outcome in story.run.closed.items()}


def cases(story: Story, name: str) -> dict[str, str]:
    return {case.id: str(case.verdict) for case in story.run.closed[name].cases}


def test_only_the_failed_tests_run_again_and_the_others_stay_passed() -> None:
    world = World(t2=("failed", "passed"), t3=("blocked", "passed"))
    story = play(telling_plan(entry("a", "plain", retries=ONCE, selection=asks("t1", "t2", "t3"))), world)
    assert world.paid == [["a t1", "a t2", "a t3"], ["a t2", "a t3"]]
    assert cases(story, "a") == {"t1": "passed", "t2": "flaky", "t3": "flaky"}
    assert story.run.closed["a"].verdict is Verdict.FLAKY
    assert [case.message for case in story.run.closed["a"].cases] == [
        None,
        "failed in attempt 1: t2 is failed",
        "blocked in attempt 1: t3 is blocked",
    ]
    assert decide(story.run).exit_code is ExitCode.OK


def test_each_attempt_asks_for_what_the_last_one_left() -> None:
    world = World(t1=("failed", "passed"), t2=("failed", "failed", "passed"), t3=("failed",))
    plan = telling_plan(entry("a", "keyed", retries=Retries(failed=5), selection=asks("t1", "t2", "t3", "t4")))
    story = play(plan, world)
    assert [len(paid) for paid in world.paid] == [4, 3, 2, 1, 1, 1]
    assert cases(story, "a") == {"t1": "flaky", "t2": "flaky", "t3": "failed", "t4": "passed"}
    assert decide(story.run).exit_code is ExitCode.FAILED
    assert len({key for _, _, _, key in story.creates()}) == 6
    assert story.run.closed["a"].message == "; ".join(
        f"attempt {n} failed: t{min(n, 3)} is failed" for n in range(1, 7)
    )


def test_without_a_word_of_it_nothing_that_failed_runs_again() -> None:
    world = World(t1=("failed", "passed"))
    story = play(telling_plan(entry("a", "plain", selection=asks("t1"))), world)
    assert len(world.paid) == 1
    assert verdicts(story) == {"a": "failed"}


def test_entries_of_one_run_are_tried_again_each_for_itself() -> None:
    world = World(t1=("failed", "passed"), t3=("failed",))
    plan = telling_plan(
        entry("x/a", "plain", retries=ONCE, selection=asks("t1", "t2")),
        entry("x/b", "plain", retries=ONCE, selection=asks("t3")),
        entry("x/c", "plain", selection=asks("t3")),
        entry("x/d", "plain", retries=ONCE, selection=asks("t4")),
    )
    story = play(plan, world)
    assert world.paid[1:] == [["x/a t1", "x/b t3"]]
    assert verdicts(story) == {"x/a": "flaky", "x/b": "failed", "x/c": "failed", "x/d": "passed"}


def test_a_selection_that_names_no_tests_runs_as_a_whole_and_its_last_word_counts() -> None:
    world = World(cat=("failed", "passed"), other=("passed", "failed"))
    categories = asks("cat", "other", kind=SelectionKind.CATEGORY_IDS)
    story = play(telling_plan(entry("a", "plain", retries=ONCE, selection=categories)), world)
    assert world.paid[1] == ["a cat", "a other"]
    assert cases(story, "a") == {"cat": "flaky", "other": "failed"}
    assert verdicts(story) == {"a": "failed"}


def test_numbers_alone_are_tried_again_as_a_whole() -> None:
    world = World(t1=("failed", "passed"), t2=("blocked", "passed"))
    numbers = asks("t1", "t2", "t3", kind=SelectionKind.TAGS)
    story = play(telling_plan(entry("a", "keyed", retries=ONCE, selection=numbers)), world)
    assert verdicts(story) == {"a": "flaky"}
    assert story.run.closed["a"].counts == {Verdict.PASSED: 1, Verdict.FLAKY: 2}
    assert story.run.closed["a"].message == "attempt 1 failed; attempt 2 passed"


def test_the_vendors_infrastructure_gets_one_attempt_more_by_itself() -> None:
    world = World(t1=("infra", "passed"))
    story = play(telling_plan(entry("a", "plain", selection=asks("t1", "t2"))), world)
    assert world.paid == [["a t1", "a t2"], ["a t1"]]
    assert verdicts(story) == {"a": "flaky"}
    for results, retries in ((("infra",), Retries()), (("infra", "passed"), Retries(infra=0))):
        world = World(t1=results)
        story = play(telling_plan(entry("a", "plain", retries=retries, selection=asks("t1"))), world)
        assert len(world.paid) == 1 + retries.infra
        assert verdicts(story) == {"a": "error"}
        assert decide(story.run).exit_code is ExitCode.NO_VERDICT


def test_what_could_not_make_the_entry_pass_is_not_paid_for() -> None:
    """A failure that may not be repeated stays, whatever a new attempt of another kind would bring."""
    for retries in (Retries(failed=0, infra=3), Retries(failed=3, infra=0)):
        world = World(t1=("failed", "passed"), t2=("infra", "passed"))
        plan = telling_plan(entry("a", "plain", retries=retries, selection=asks("t1", "t2")))
        assert verdicts(Story(plan, SPLIT, world).drive()) == {"a": "failed"}
        assert len(world.paid) == 1
    world = World(t1=("failed", "passed"), t2=("infra", "passed"))
    plan = telling_plan(entry("a", "plain", retries=Retries(failed=1, infra=1), selection=asks("t1", "t2")))
    assert verdicts(Story(plan, SPLIT, world).drive()) == {"a": "flaky"}


class Split(Telling):
    """A run for each test, of which each says its own."""

    def accepted(self, call: Call, reply: Reply) -> tuple[RemoteRun, ...]:
        (run,) = super().accepted(call, reply)
        (only,) = call.entries
        ids = only.selection.ids if only.selection else ()
        return tuple(RemoteRun(id=f"{run.id}@{test}", memo={"run": run.id, "test": test}) for test in ids)

    def poll(self, call: Call, run: RemoteRun) -> Request:
        return super().poll(call, RemoteRun(id=str(run.memo["run"])))

    def read(self, call: Call, run: RemoteRun, replies: Sequence[Reply], *, polls: int) -> Running | More | Finished:
        body = json.loads(replies[-1].text)
        if "tests" in body:
            (only,) = call.entries
            body["tests"][only.id] = {run.memo["test"]: body["tests"][only.id][run.memo["test"]]}
        return super().read(call, run, [ok(body)], polls=polls)


SPLIT = {"plain": Split("plain", keyed=False)}


def test_a_result_that_nobody_understands_is_not_tried_again() -> None:
    world = World(t1=("failed", "passed"), t2=("unknown", "passed"))
    story = play(telling_plan(entry("a", "plain", retries=TWICE, selection=asks("t1", "t2"))), world)
    assert len(world.paid) == 1
    assert verdicts(story) == {"a": "failed"}


def test_a_time_out_is_not_tried_again() -> None:
    plan = telling_plan(entry("a", "keyed", retries=TWICE, timeout_s=30, selection=asks("t1")))
    world = World(lasts=1e9, t1=("failed",))
    assert verdicts(play(plan, world)) == {"a": "timed_out"}
    assert len(world.paid) == 1


def test_each_attempt_has_the_entrys_time_for_itself() -> None:
    plan = telling_plan(entry("a", "plain", retries=TWICE, timeout_s=40, selection=asks("t1")))
    story = play(plan, World(lasts=35, t1=("failed", "failed", "passed")))
    assert verdicts(story) == {"a": "flaky"}
    assert story.clock.now() > 100
    hangs = World(lasts=35, t1=("failed",))
    story = Story(plan, TELLING, hangs, options=Options(poll_interval_s=10))
    story.pool.at.append((60.0, lambda: setattr(hangs, "lasts", 1e9)))
    story.drive()
    outcome = story.run.closed["a"]
    assert (outcome.verdict, len(hangs.paid)) == (Verdict.FAILED, 2)
    assert (
        outcome.message
        == "attempt 1 failed: t1 is failed; attempt 2 timed out: no verdict within 40 s, still 'running'"
    )
    assert 80 < story.clock.now() < 85


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (LOST, "attempt 2 unknown: the connection was lost"),
        (Reply(status=422, text="no"), "attempt 2 error: HTTP 422: no"),
        (Reply(status=401, text="who?"), "attempt 2 error: HTTP 401: who? (with the key of PLAIN_API_KEY)"),
        (UNREACHED, "attempt 2 error: no connection"),
    ],
)
def test_an_attempt_that_comes_to_nothing_leaves_the_failure_as_it_was(answer: Answer, words: str) -> None:
    def world(vendor: str, request: Request, key: str | None, now: float) -> Answer:
        if request.method == "POST" and inner.runs:
            return answer
        return inner(vendor, request, key, now)

    inner = World(t1=("failed", "passed"))
    plan = telling_plan(entry("a", "plain", retries=ONCE, selection=asks("t1", "t2")))
    story = Story(plan, TELLING, world).drive()
    outcome = story.run.closed["a"]
    assert outcome.verdict is Verdict.FAILED
    assert outcome.message == f"attempt 1 failed: t1 is failed; {words}"
    assert cases(story, "a") == {"t1": "failed", "t2": "passed"}
    assert decide(story.run).exit_code is ExitCode.FAILED
    # A resume goes on with the attempt where that is safe, and does not count it as another.
    resumed = Story(plan, TELLING, inner, before=story.events, resumed=True, clock=story.clock).drive()
    safe = answer is UNREACHED or (isinstance(answer, Reply) and answer.status == 401)
    assert verdicts(resumed) == {"a": "flaky" if safe else "failed"}
    assert len(inner.paid) == 1 + safe


def test_a_person_decides_an_uncertain_attempt() -> None:
    world = World(t1=("failed", "passed"))
    world.answers[2] = LOST
    plan = telling_plan(entry("a", "plain", retries=ONCE, selection=asks("t1")))
    story = play(plan, world)
    assert summarise(story.run).uncertain == {"plain-1~2": "the connection was lost"}
    again = Story(plan, TELLING, World(t1=("passed",)), before=story.events, resumed=True, clock=story.clock)
    again.record(ev.UncertaintyResolved(at=0, job="plain-1~2", resubmit=True))
    assert verdicts(again.drive()) == {"a": "flaky"}


def test_an_interruption_starts_no_attempt_and_a_resume_does() -> None:
    plan = telling_plan(entry("a", "plain", retries=ONCE, selection=asks("t1")))
    world = World(t1=("failed", "passed"))
    for moment in (24.0, 30.02, 30.04, 30.06, 30.11, 45.0):
        world = World(t1=("failed", "passed"))
        story = Story(plan, TELLING, world)
        story.pool.at.append((moment, lambda story=story: story.engine.interrupt(2)))  # type: ignore[misc]
        story.drive()
        assert decide(story.run).exit_code is ExitCode.INTERRUPTED
        summary = summarise(story.run)
        assert summary.unfinished
        resumed = play(plan, world, before=story.events, resumed=True, clock=story.clock)
        assert verdicts(resumed) == {"a": "flaky"}, moment
        assert len(world.paid) == 2


def test_the_applys_time_leaves_no_attempt_open() -> None:
    plan = telling_plan(entry("a", "keyed", retries=TWICE, selection=asks("t1", "t2")))
    for limit in (26.0, 29.0, 30.06, 31.0, 60.05, 70.0):
        world = World(t1=("failed",))
        story = play(plan, world, options=Options(timeout_s=limit, poll_interval_s=10))
        assert story.run.complete, limit
        assert story.run.closed["a"].verdict is Verdict.FAILED
        assert story.clock.now() < limit + 7
        assert len(world.paid) <= 1 + limit // 30


def test_an_attempt_takes_no_more_room_than_there_is() -> None:
    rows = [entry(f"e{n}", "plain", retries=ONCE, selection=asks(f"t{n}")) for n in range(6)]
    world = World()
    world.results = {f"t{n}": ("failed", "passed") for n in range(6)}
    story = play(telling_plan(*rows, max_in_flight=2), world)
    under_way = most = 0
    for event in story.events:
        under_way += isinstance(event, ev.Submitting)
        under_way -= isinstance(event, ev.RunFinishedRemotely)
        most = max(most, under_way)
    assert most == 2
    assert set(verdicts(story).values()) == {"flaky"}


def test_a_broken_adapter_leaves_the_failure_as_it_was() -> None:
    class Broken(Telling):
        def submit(self, call: Call) -> Request:
            del call
            raise ZeroDivisionError("oops")

    plan = telling_plan(entry("a", "plain", retries=ONCE, selection=asks("t1")))
    vendors = {**TELLING, "plain": Broken("plain", keyed=False)}
    story = Story(plan, vendors, World(t1=("failed",))).drive()
    assert verdicts(story) == {"a": "failed"}
    assert "no new attempt: vendor 'plain': " in (story.run.closed["a"].message or "")


def test_reports_show_every_attempt_and_count_the_last() -> None:
    world = World(t1=("failed", "failed", "passed"), t3=("failed", "passed"))
    plan = telling_plan(entry("a", "plain", retries=TWICE, selection=asks("t1", "t2", "t3")))
    summary = summarise(play(plan, world).run)
    (row,) = json.loads(jsondoc.render(summary))["entries"]
    assert [(run["id"], run["attempt"]) for run in row["runs"]] == [(f"plain-run-{n}", n) for n in (1, 2, 3)]
    assert [(test["id"], test["attempt"], test["verdict"]) for test in row["tests"]] == [
        ("t1", 1, "failed"),
        ("t1", 2, "failed"),
        ("t1", 3, "flaky"),
        ("t2", 1, "passed"),
        ("t3", 1, "failed"),
        ("t3", 2, "flaky"),
    ]
    assert summary.totals[Verdict.FLAKY] == 2
    assert sum(summary.totals.values()) == 3
    text = junit.render(summary)
    assert 'tests="3" failures="0" errors="0" skipped="0"' in text


@pytest.mark.parametrize("vendor", ["plain", "keyed"])
@pytest.mark.parametrize("answered", [False, True])
def test_a_resume_from_every_prefix_pays_for_no_attempt_twice(vendor: str, *, answered: bool) -> None:
    """`answered`: the process was lost just before the next line, so that what it would say has happened already."""
    plan = telling_plan(
        entry("x/a", vendor, retries=TWICE, selection=asks("t1", "t2")),
        entry("x/b", vendor, retries=ONCE, selection=asks("t3")),
        entry("y/c", vendor, selection=asks("t4")),
    )
    story = Watched(plan, TELLING, World(t1=("failed", "failed", "passed"), t3=("failed",), t4=("infra", "passed")))
    story.drive()
    whole = story.after[-1]
    expected = {"x/a": "flaky", "x/b": "failed", "y/c": "flaky"}
    assert verdicts(story) == expected
    assert len(whole.paid) == 5
    assert any(isinstance(event, ev.Reattempted) for event in story.events)
    for length in range(1, len(story.events)):
        world = story.before[length] if answered else story.after[length - 1]
        clock = VirtualClock()
        clock.seconds = story.events[length - 1].at - 1_790_000_000.0
        resumed = play(plan, world, before=story.events[:length], resumed=True, clock=clock)
        assert resumed.run.complete
        uncertain = {name for name, outcome in resumed.run.closed.items() if outcome.cause is Cause.UNCERTAIN}
        doubted = {state.job.id for state in resumed.run.jobs.values() if state.phase == "uncertain"}
        if vendor == "keyed":
            assert not doubted
        if not doubted:
            assert verdicts(resumed) == expected, length
            assert sorted(map(sorted, world.paid)) == sorted(map(sorted, whole.paid)), length
        else:
            assert Verdict.PASSED not in {resumed.run.closed[each].verdict for each in uncertain}
            for each in world.paid:
                assert world.paid.count(each) <= whole.paid.count(each), length
