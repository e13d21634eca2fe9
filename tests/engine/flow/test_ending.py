"""Runs that end before their own end: --fail-fast, a person's cancel, and an apply that leaves its runs to a resume."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec
import pytest

from qarunner.engine.decide.gate import decide, exit_code_so_far
from qarunner.engine.flow.driver import Options
from qarunner.engine.state import events as ev
from qarunner.entry import Retries
from qarunner.errors import ExitCode
from qarunner.plan.model import Rate, seal
from qarunner.vendors.api import Reply, Verdict
from tests.engine.flow.test_resources import ENVIRONMENT, VENDOR, Store, using
from tests.fictional import LOST, UNREACHED, VENDORS, Backend, entry, plan_of
from tests.telling import TELLING, Watched, World, asks, telling_plan
from tests.worlds import EPOCH, Story, VirtualClock, started

if TYPE_CHECKING:
    from qarunner.engine.decide.interpret import Answer
    from qarunner.vendors.api import Request

DETACH = Options(detach=True)
BY = "cancelled by --fail-fast, since bad failed"
CANCEL = "cancelled with qarunner cancel"


def verdicts(story: Story) -> dict[str, str]:
    return {name: str(outcome.verdict) for name, outcome in story.run.closed.items()}


def messages(story: Story) -> dict[str, str | None]:
    return {name: outcome.message for name, outcome in story.run.closed.items()}


class Uneven(World):
    """Runs that never end, but for those of one test."""

    def __call__(self, vendor: str, request: Request, key: str | None, now: float) -> Answer:
        run = request.path.split("/")[2] if request.path.count("/") > 1 else ""
        self.lasts = 25.0 if "bad" in str(self.runs.get(run, "")) else 1e9
        return super().__call__(vendor, request, key, now)


def uneven(*, retries: Retries | None = None) -> Story:
    plan = telling_plan(
        entry("bad", "plain", selection=asks("bad"), retries=retries or Retries()),
        entry("slow", "keyed", selection=asks("t1")),
        entry("on", "plain", selection=asks("t2")),
        entry("later", "keyed", selection=asks("t3"), needs=("slow",)),
    )
    return Story(plan, TELLING, Uneven(bad=("failed",)), fail_fast=True)


def test_after_the_first_failure_nothing_begins_and_what_runs_is_cancelled() -> None:
    story = uneven().drive()
    world = story.pool._world
    assert isinstance(world, World)
    assert verdicts(story) == {"bad": "failed", "slow": "cancelled", "on": "cancelled", "later": "skipped"}
    assert messages(story) == {
        "bad": None,
        "slow": BY,
        "on": f"{BY}; plain has no call to cancel it: it runs on",
        "later": f"never begun: {BY}",
    }
    assert world.cancelled == ["keyed-run-3"]
    assert [run.remote.id for _, run in story.run.active_runs()] == ["plain-run-2"]
    assert decide(story.run).exit_code is ExitCode.FAILED
    assert story.clock.now() < 32
    resumed = Story(story.run.plan, TELLING, world, before=story.events, resumed=True, clock=story.clock).drive()
    assert verdicts(resumed) == verdicts(story)
    assert len(world.paid) == 3


def test_a_failure_counts_when_its_attempts_are_used_up() -> None:
    story = uneven(retries=Retries(failed=2)).drive()
    assert [type(event).__name__ for event in story.events].count("Reattempted") == 2
    assert 75 < story.clock.now() < 95
    assert verdicts(story)["slow"] == "cancelled"


def test_a_failure_that_does_not_gate_ends_nothing() -> None:
    plan = plan_of(entry("a", "plain", allow_failure=True), entry("b", "keyed"))
    backend = Backend(ends="failed")
    story = Story(plan, VENDORS, backend, fail_fast=True)
    story.pool.at.append((31.0, lambda: setattr(backend, "ends", "passed")))
    assert set(verdicts(story.drive())) == {"a", "b"}
    assert not [event for event in story.events if isinstance(event, ev.RunStopped) and event.entry == "a"]


def test_a_create_on_its_way_is_cancelled_when_it_arrives() -> None:
    plan = telling_plan(
        entry("bad", "plain", selection=asks("bad")),
        *(entry(f"e{n}", "keyed", selection=asks(f"t{n}")) for n in range(3)),
    )
    world = Uneven(bad=("failed",))
    story = Story(plan, TELLING, world, fail_fast=True)
    real = story.pool.start

    def start(token: int, vendor: str, request: object, **more: object) -> None:
        story.pool._latency = 40.0 if vendor == "keyed" and getattr(request, "path", "") == "/runs" else 0.05
        real(token, vendor, request, **more)  # type: ignore[arg-type]

    story.pool.start = start  # type: ignore[method-assign]
    story.drive()
    assert sorted(world.cancelled) == ["keyed-run-2", "keyed-run-3", "keyed-run-4"]
    assert Verdict.CANCELLED in {outcome.verdict for outcome in story.run.closed.values()}
    assert story.run.complete


def test_a_fail_fast_that_is_lost_at_any_line_is_gone_on_with() -> None:
    story = uneven()
    watched = Watched(story.run.plan, TELLING, story.pool._world, fail_fast=True)
    watched.drive()
    first = next(index for index, event in enumerate(watched.events) if isinstance(event, ev.EntryClosed))
    for length in range(first + 1, len(watched.events) + 1):
        clock = VirtualClock()
        clock.seconds = watched.events[length - 1].at - 1_790_000_000.0
        world = watched.after[length - 1]
        resumed = Story(watched.run.plan, TELLING, world, before=watched.events[:length], resumed=True, clock=clock)
        assert verdicts(resumed.drive()) == verdicts(watched), length
        assert len(world.paid) == 3
        assert set(world.cancelled) == {"keyed-run-3"}


class Half(Store):
    """Runs of `plain` fail after a while, and those of `keyed` never end."""

    def answer(self, vendor: str, request: Request, key: str | None, now: float) -> Reply:
        self.lasts, self.ends = (25.0, "failed") if vendor == "plain" else (1e9, "")
        return super().answer(vendor, request, key, now)


@pytest.mark.parametrize(("timeout_s", "ends_at"), [(None, 85), (3600, 85), (40, 46)])
@pytest.mark.parametrize("hangs", ["POST /runs/keyed-run-2/cancel", "DELETE /environments"])
def test_a_fail_fast_waits_a_minute_for_a_vendor_that_answers_nothing_and_ends_with_its_apply(
    hangs: str, timeout_s: float | None, ends_at: float
) -> None:
    """With `--timeout 1h` it waited for the rest of that hour."""
    plan = using(plan_of(entry("bad", "plain"), entry("on", "keyed")), ENVIRONMENT, "key")
    story = Story(plan, VENDOR, Half(), fail_fast=True, options=Options(timeout_s=timeout_s))
    story.pool._latency = lambda _v, request: 1e6 if f"{request.method} {request.path}".startswith(hangs) else 0.05
    story.drive()
    assert story.clock.now() == pytest.approx(ends_at, abs=1)
    assert story.run.complete


# --- a person's cancel ------------------------------------------------------------------------------------------------


def cancelled(story: Story) -> Story:
    """What `qarunner cancel` does to a run that a process has left."""
    again = Story(story.run.plan, VENDORS, story.pool._world, before=story.events, clock=story.clock)
    if again.run.ended is None:
        again.record(ev.RunStopped(at=again.clock.wall(), reason=ev.Reason.CANCELLED))
    return again.drive()


def left(backend: Backend, *, moment: float = 15.0) -> Story:
    plan = plan_of(
        entry("k", "keyed"), entry("p", "plain"), entry("n", "plain", needs=("k",)), entry("d", "keyed", needs=("p",))
    )
    story = Story(plan, VENDORS, backend, options=Options(detach_on_interrupt=True))
    story.pool.at.append((moment, lambda: story.engine.interrupt(2)))
    return story.drive()


def test_a_cancel_ends_what_can_be_ended_and_begins_nothing() -> None:
    backend = Backend(lasts=1e9)
    story = cancelled(left(backend))
    assert backend.cancelled == ["keyed-run-1"]
    assert messages(story) == {
        "k": CANCEL,
        "p": f"{CANCEL}; plain has no call to cancel it: it runs on",
        "n": f"never begun: {CANCEL}",
        "d": f"never begun: {CANCEL}",
    }
    assert set(verdicts(story).values()) == {"cancelled"}
    assert decide(story.run).exit_code is ExitCode.NO_VERDICT
    sent = len(backend.began)
    again = cancelled(story)
    assert not again.creates()
    resumed = Story(story.run.plan, VENDORS, backend, before=again.events, resumed=True, clock=story.clock).drive()
    assert verdicts(resumed) == verdicts(story)
    assert len(backend.began) == sent


def test_results_that_are_there_stay() -> None:
    backend = Backend()
    story = left(backend, moment=45.0)
    assert verdicts(story) == {"k": "passed", "p": "passed"}
    assert verdicts(cancelled(story)) == {"k": "passed", "p": "passed", "n": "cancelled", "d": "cancelled"}


@pytest.mark.parametrize("status", [403, 422, 500])
def test_a_cancel_that_the_vendor_refuses_is_told_and_tried_again_by_the_next_one(status: int) -> None:
    backend = Backend(lasts=1e9)
    story = left(backend)
    backend.fault = lambda _v, request, _n: Reply(status=status, text="no") if "cancel" in request.path else None
    refused = cancelled(story)
    assert verdicts(refused)["k"] == "cancelled"
    assert messages(refused)["k"] == f"{CANCEL}; it could not be: HTTP {status}: no; it runs on"
    assert "keyed-run-1" in [run.remote.id for _, run in refused.run.active_runs()]
    assert set(refused.engine.uncancelled) == {"keyed-run-1"}
    backend.fault = None
    again = cancelled(refused)
    assert backend.cancelled == ["keyed-run-1"]
    assert not again.engine.uncancelled


def test_a_create_in_doubt_is_found_by_its_key_and_cancelled() -> None:
    """Only where there is a key: without one, it stays for a person to decide."""
    plan = plan_of(entry("k", "keyed"), entry("p", "plain"))
    backend = Backend(lasts=1e9)
    events: list[ev.Event] = [started(EPOCH, plan)]
    for job, key in (("keyed-1", "key-1"), ("plain-1", None)):
        events.append(ev.Submitting(at=EPOCH, job=job, attempt=1, key=key))
    story = Story(plan, VENDORS, backend, before=events)
    story.record(ev.RunStopped(at=story.clock.wall(), reason=ev.Reason.CANCELLED))
    story.drive()
    assert backend.cancelled == ["keyed-run-1"]
    assert verdicts(story) == {"k": "cancelled", "p": "unknown"}


@pytest.mark.parametrize("hangs", ["/cancel", "-7/cancel", "/runs"])
def test_a_cancel_waits_a_minute_for_a_vendor_that_answers_nothing(hangs: str) -> None:
    """However many runs it has, and however often a request would be sent again; also to find out about a create."""
    plan = plan_of(*(entry(f"k{number}", "keyed") for number in range(1, 31)))
    backend = Backend(lasts=1e9)
    story = Story(plan, VENDORS, backend, options=Options(detach_on_interrupt=True))
    story.pool.at.append((15.0, lambda: story.engine.interrupt(2)))
    events = story.drive().events
    if hangs == "/runs":
        events = [
            event for event in events if isinstance(event, ev.Submitting) or getattr(event, "job", "") != "keyed-7"
        ]
    backend.fault = lambda _v, request, _n: LOST if request.path.endswith(hangs) else None
    slow = lambda _v, request: 60.0 if request.path.endswith(hangs) else 0.05  # noqa: E731  a function for one argument
    again = Story(plan, VENDORS, backend, before=events, clock=story.clock, latency=slow)
    again.record(ev.RunStopped(at=again.clock.wall(), reason=ev.Reason.CANCELLED))
    before = again.clock.now()
    again.drive()
    assert again.clock.now() - before < 62
    assert again.run.complete
    assert len(backend.cancelled) == (0 if hangs == "/cancel" else 29)
    assert verdicts(again)["k7"] == ("unknown" if hangs == "/runs" else "cancelled")


def test_an_interrupted_cancel_is_gone_on_with() -> None:
    backend = Backend(lasts=1e9)
    story = left(backend)
    backend.fault = lambda _v, request, _n: LOST if "cancel" in request.path else None
    first = Story(story.run.plan, VENDORS, backend, before=story.events, clock=story.clock)
    first.record(ev.RunStopped(at=first.clock.wall(), reason=ev.Reason.CANCELLED))
    first.pool.at.append((first.clock.now() + 0.5, lambda: first.engine.interrupt(2)))
    first.drive()
    backend.fault = None
    assert verdicts(cancelled(first))["k"] == "cancelled"
    assert backend.cancelled == ["keyed-run-1"]


# --- detached ---------------------------------------------------------------------------------------------------------


def test_a_detached_apply_returns_when_every_create_is_on_disk() -> None:
    plan = plan_of(entry("a", "keyed"), entry("b", "plain"), entry("c", "plain", needs=("a",)))
    backend = Backend()
    story = Story(plan, VENDORS, backend, options=DETACH).drive()
    assert story.clock.now() < 1
    assert len([event for event in story.events if isinstance(event, ev.Accepted)]) == 2
    assert exit_code_so_far(story.run) is ExitCode.OK
    story.record(ev.Detached(at=story.clock.wall()))
    resumed = Story(plan, VENDORS, backend, before=story.events, resumed=True, clock=story.clock).drive()
    assert verdicts(resumed) == dict.fromkeys("abc", "passed")
    assert len(backend.began) == 3


def test_what_there_is_no_room_for_is_waited_for() -> None:
    plan = plan_of(*(entry(f"e{n}", "plain") for n in range(5)), max_in_flight=2)
    story = Story(plan, VENDORS, Backend(), options=DETACH).drive()
    assert len([event for event in story.events if isinstance(event, ev.Accepted)]) == 5
    assert not story.run.complete


def only_plain(answer: Answer, vendor: str, _request: Request, _call: int) -> Answer | None:
    return answer if vendor == "plain" else None


def test_the_code_says_that_a_create_was_refused() -> None:
    for answer, code in (
        (Reply(status=401, text="who?"), ExitCode.CREDENTIAL),
        (LOST, ExitCode.NO_VERDICT),
        (UNREACHED, ExitCode.NO_VERDICT),
    ):
        backend = Backend(fault=partial(only_plain, answer))
        plan = plan_of(entry("a", "keyed"), entry("b", "plain"))
        story = Story(plan, VENDORS, backend, options=DETACH).drive()
        assert exit_code_so_far(story.run) is code
        assert "a" not in story.run.closed


def test_runs_that_ended_long_before_the_resume_are_still_read() -> None:
    """Their time was up while nobody looked: each is asked at least once, however slowly the rates let us."""
    plan = plan_of(*(entry(f"e{n}", "keyed", timeout_s=60) for n in range(40)), reads=None)
    backend = Backend()
    story = Story(plan, VENDORS, backend, options=DETACH).drive()
    story.clock.seconds += 7200

    vendor = msgspec.structs.replace(plan.vendors["keyed"], reads=Rate(count=10))
    slow = seal(msgspec.structs.replace(plan, vendors={"keyed": vendor}))
    resumed = Story(slow, VENDORS, backend, before=story.events, resumed=True, clock=story.clock).drive()
    assert set(verdicts(resumed).values()) == {"passed"}
