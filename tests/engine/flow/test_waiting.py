"""How long entries wait for a vendor to take them: from the first request on, and never beyond their time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from qarunner.engine.decide.gate import decide
from qarunner.engine.flow.driver import Options
from qarunner.engine.schedule.timing import LONG_S
from qarunner.engine.state import events as ev
from qarunner.errors import ExitCode
from qarunner.plan.model import Rate, seal
from qarunner.vendors.api import Cause, Reply
from tests.engine.flow.test_resources import BUILD, ENVIRONMENT, PUT, VENDOR, Store, using
from tests.fictional import UNREACHED, VENDORS, Backend, entry, plan_of
from tests.worlds import Story, VirtualClock

if TYPE_CHECKING:
    from qarunner.engine.decide.interpret import Answer
    from qarunner.vendors.api import Request

BOTH = pytest.mark.parametrize("vendor", ["plain", "keyed"])


def too_many(seconds: str | None = None) -> Reply:
    headers = {} if seconds is None else {"retry-after": seconds}
    return Reply(status=429, text="slow down", headers=headers)


def no_creates(answer: Answer) -> Backend:
    return Backend(fault=lambda _v, request, _n: answer if request.path == "/runs" else None)


def verdicts(story: Story) -> set[tuple[str, Cause | None]]:
    return {(str(outcome.verdict), outcome.cause) for outcome in story.run.closed.values()}


def closed_at(story: Story) -> dict[str, float]:
    return {name: round(at - story.run.started_at, 1) for name, at in story.run.closed_at.items()}


# --- creates that a vendor does not take ------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("seconds", [None, "20"])
def test_a_create_that_is_refused_all_the_time_ends_with_its_entry_and_never_times_out(
    vendor: str, seconds: str | None
) -> None:
    story = Story(plan_of(entry("a", vendor, timeout_s=1200)), VENDORS, no_creates(too_many(seconds))).drive()
    assert verdicts(story) == {("error", Cause.UNAVAILABLE)}
    assert 1100 < story.clock.now() <= 1200
    assert decide(story.run).exit_code is ExitCode.UNAVAILABLE
    assert "HTTP 429: slow down" in str(story.run.closed["a"].message)


def test_where_another_run_was_started_it_is_no_safe_end() -> None:
    backend = Backend(
        fault=lambda vendor, request, _n: too_many() if (vendor, request.path) == ("plain", "/runs") else None
    )
    plan = plan_of(entry("a", "plain", timeout_s=100), entry("b", "keyed"))
    assert decide(Story(plan, VENDORS, backend).drive().run).exit_code is ExitCode.NO_VERDICT


@BOTH
@pytest.mark.parametrize("seconds", ["3600", "86400", "9" * 400])
def test_a_wait_beyond_the_entrys_time_is_not_begun(vendor: str, seconds: str) -> None:
    story = Story(plan_of(entry("a", vendor, timeout_s=1800)), VENDORS, no_creates(too_many(seconds))).drive()
    assert verdicts(story) == {("error", Cause.UNAVAILABLE)}
    assert story.clock.now() < 1


def test_a_vendor_that_takes_it_at_last_is_waited_for() -> None:
    def fault(_vendor: str, request: Request, number: int) -> Answer | None:
        return too_many("60") if request.path == "/runs" and number < 40 else None

    story = Story(plan_of(entry("a", "plain", timeout_s=3600)), VENDORS, Backend(fault=fault)).drive()
    assert 2300 < story.clock.now() < 2500, "longer than the patience for a vendor that is down"
    assert verdicts(story) == {("passed", None)}


@BOTH
@pytest.mark.parametrize("room", [2, 100])
def test_many_creates_that_are_refused_wait_side_by_side(vendor: str, room: int) -> None:
    entries = [entry(f"e{number}", vendor, timeout_s=600) for number in range(60)]
    story = Story(plan_of(*entries, max_in_flight=room), VENDORS, no_creates(too_many())).drive()
    assert verdicts(story) == {("error", Cause.UNAVAILABLE)}
    assert story.clock.now() < 700
    assert len(story.pool.sent) < 100, "all of an apply keeps silent after one refusal"


@BOTH
def test_a_create_that_is_refused_again_and_again_does_not_keep_paid_runs_unread(vendor: str) -> None:
    """Each short silence was ended by the next try of the create, and the run that had passed was never its turn."""
    backend = Backend(
        fault=lambda _v, request, _n: too_many("20") if request.path == "/runs" and backend.began else None
    )
    plan = plan_of(entry("paid", vendor), entry("refused", vendor, timeout_s=1200))
    story = Story(plan, VENDORS, backend).drive()
    assert closed_at(story)["paid"] < 90


@BOTH
def test_the_time_of_a_create_behind_one_that_is_refused_is_counted_as_well(vendor: str) -> None:
    """It would have left by now: it waited for as long as the one before it had time."""
    plan = plan_of(
        entry("long", vendor, timeout_s=7200), entry("short", vendor, timeout_s=600), creates=Rate(count=1, per_s=10)
    )
    story = Story(plan, VENDORS, no_creates(too_many("20"))).drive()
    assert verdicts(story) == {("error", Cause.UNAVAILABLE)}
    assert closed_at(story)["short"] == pytest.approx(600, abs=1)


@BOTH
def test_a_vendor_that_is_down_is_waited_for_once_and_not_for_each_create(vendor: str) -> None:
    """It has taken one, and refuses connections from then on."""

    def fault(_vendor: str, request: Request, number: int) -> Answer | None:
        del request
        return UNREACHED if number > 12 else None

    entries = [entry(f"e{number}", vendor, timeout_s=7200) for number in range(60)]
    story = Story(plan_of(*entries, max_in_flight=100), VENDORS, Backend(fault=fault)).drive()
    assert len(story.run.closed) == 60
    assert story.clock.now() < LONG_S + 200


def test_the_time_of_an_entry_that_waits_for_a_place_has_not_begun() -> None:
    entries = [entry(f"e{number}", "plain", timeout_s=40) for number in range(5)]
    story = Story(plan_of(*entries, max_in_flight=1), VENDORS, Backend()).drive()
    assert verdicts(story) == {("passed", None)}
    assert story.clock.now() > 100


@BOTH
@pytest.mark.parametrize("timeout", [30, 200])
def test_an_apply_whose_time_is_up_says_what_was_refused(vendor: str, timeout: float) -> None:
    plan = plan_of(*(entry(f"e{number}", vendor) for number in range(3)), max_in_flight=1)
    story = Story(plan, VENDORS, no_creates(too_many("20")), options=Options(timeout_s=timeout)).drive()
    assert story.clock.now() <= timeout + 6
    assert story.run.closed["e0"].cause is Cause.UNAVAILABLE
    assert decide(story.run).exit_code is ExitCode.UNAVAILABLE


# --- what a vendor puts off for long ----------------------------------------------------------------------------------


def put_off(path: str, *, until: float, seconds: str | None, then: Answer | None = None) -> Story:
    """A story with an environment, whose vendor asks for silence at one path for a while, and then fails once."""
    clock, rest = VirtualClock(), [] if then is None else [then]

    def fault(_vendor: str, request: Request, _number: int) -> Answer | None:
        if not f"{request.method} {request.path}".startswith(path):
            return None
        return too_many(seconds) if clock.now() < until else rest.pop() if rest else None

    plan = using(plan_of(entry("a", "keyed", timeout_s=7200)), ENVIRONMENT, "key")
    return Story(plan, VENDOR, Store(fault=fault), clock=clock).drive()


@pytest.mark.parametrize("path", ["GET /runs", "POST /runs", "POST /environments"])
@pytest.mark.parametrize("seconds", [None, "60", "1500"])
@pytest.mark.parametrize("then", [None, UNREACHED, Reply(status=503, text="busy")])
def test_a_vendor_that_asks_for_silence_is_there_and_waited_for(
    path: str, seconds: str | None, then: Answer | None
) -> None:
    """A failure after that begins a patience of its own: it was given up at once."""
    story = put_off(path, until=LONG_S + 900, seconds=seconds, then=then)
    assert verdicts(story) == {("passed", None)}
    assert LONG_S < story.clock.now() < 2 * 1500 + 100


def test_a_run_that_is_never_read_times_out_with_its_entry_and_is_cancelled() -> None:
    story = put_off("GET /runs", until=1e9, seconds="1500")
    assert verdicts(story) == {("timed_out", None)}
    assert closed_at(story)["a"] == pytest.approx(7200, abs=15)
    assert [request.path for _, _, request, _ in story.pool.sent if request.path.endswith("/cancel")]
    assert decide(story.run).exit_code is ExitCode.TIMEOUT


def test_a_create_that_is_put_off_does_not_silence_the_reads_of_what_is_paid() -> None:
    """The run of the other entry has failed, and was called a time-out: it was never read."""
    creates: list[None] = []

    def fault(_vendor: str, request: Request, _number: int) -> Answer | None:
        if request.path == "/runs":
            creates.append(None)
        return too_many("3600") if len(creates) > 1 and request.path == "/runs" else None

    plan = plan_of(entry("a", "plain", timeout_s=1800), entry("b", "plain", timeout_s=7200))
    story = Story(plan, VENDORS, Backend(ends="failed", fault=fault)).drive()
    assert str(story.run.closed["a"].verdict) == "failed"
    assert closed_at(story)["a"] < 310
    assert decide(story.run).exit_code is ExitCode.FAILED


@BOTH
@pytest.mark.parametrize("seconds", ["60", "3600"])
def test_the_last_read_of_a_run_breaks_a_silence(vendor: str, seconds: str) -> None:
    """It was paid for, and may have failed: it is asked once, as with `--timeout`."""
    refused = [too_many(seconds)]

    def fault(_vendor: str, request: Request, _number: int) -> Answer | None:
        return refused.pop() if refused and request.method == "GET" else None

    story = Story(
        plan_of(entry("a", vendor, timeout_s=40)), VENDORS, Backend(ends="failed", lasts=20, fault=fault)
    ).drive()
    assert verdicts(story) == {("failed", None)}
    assert closed_at(story)["a"] == pytest.approx(40, abs=0.2)


@BOTH
def test_a_vendor_that_keeps_its_silence_is_asked_twice_more_at_most(vendor: str) -> None:
    backend = Backend(lasts=1e9, fault=lambda _v, request, _n: too_many("3600") if request.method == "GET" else None)
    story = Story(plan_of(entry("a", vendor, timeout_s=40)), VENDORS, backend).drive()
    assert verdicts(story) == {("timed_out", None)}
    assert sum(request.method == "GET" for _, _, request, _ in story.pool.sent) <= 3
    assert story.clock.now() < 41


# --- creates without an answer ----------------------------------------------------------------------------------------


def slow_creates(takes: float, *, timeout_s: float, vendor: str, backend: Backend | None = None) -> Story:
    return Story(
        plan_of(entry("a", vendor, timeout_s=timeout_s)),
        VENDORS,
        backend or Backend(),
        latency=lambda _vendor, request: takes if request.path == "/runs" else 0.05,
    )


@BOTH
@pytest.mark.parametrize("timeout_s", [2, 8, 90])
def test_a_create_that_hangs_is_uncertain_when_its_time_is_up(vendor: str, timeout_s: float) -> None:
    story = slow_creates(1e6, timeout_s=timeout_s, vendor=vendor).drive()
    assert verdicts(story) == {("unknown", Cause.UNCERTAIN)}
    assert story.clock.now() <= max(timeout_s, 5)
    assert decide(story.run).exit_code is ExitCode.NO_VERDICT
    assert len(story.creates()) == 1


def test_a_create_that_is_answered_when_the_time_is_up_is_looked_at_and_cancelled() -> None:
    backend = Backend(lasts=1e9)
    story = slow_creates(4.0, timeout_s=3, vendor="keyed", backend=backend).drive()
    assert verdicts(story) == {("timed_out", None)}
    assert backend.cancelled == ["keyed-run-1"]
    assert story.clock.now() < 5


def test_the_time_of_a_run_is_counted_from_its_create() -> None:
    story = slow_creates(20.0, timeout_s=40, vendor="keyed", backend=Backend(lasts=1e9)).drive()
    assert closed_at(story)["a"] == pytest.approx(40.1, abs=0.15)


# --- uploads and environments -----------------------------------------------------------------------------------------


def uploading(store: Store, *timeouts: float, takes: float, options: Options | None = None) -> Story:
    plan = plan_of(*(entry(f"e{number}", "plain", timeout_s=each) for number, each in enumerate(timeouts)))
    return Story(
        using(plan, BUILD, "target"),
        VENDOR,
        store,
        options=options,
        latency=lambda _vendor, request: takes if request.path == PUT else 0.05,
    )


def test_the_time_of_an_entry_is_counted_from_its_upload() -> None:
    story = uploading(Store(lasts=1e9), 60, takes=30).drive()
    assert verdicts(story) == {("timed_out", None)}
    assert closed_at(story)["e0"] == pytest.approx(60.1, abs=0.15)


def test_a_shared_upload_ends_with_the_last_entry_that_waits_for_it() -> None:
    story = uploading(Store(), 20, 40, takes=1e6).drive()
    assert verdicts(story) == {("timed_out", None)}
    assert closed_at(story) == {"e0": 20.0, "e1": 40.0}
    assert story.clock.now() == pytest.approx(40, abs=0.1)
    assert story.pool.limits == [pytest.approx(45, abs=0.1)]
    assert "upload of app.apk was under way" in str(story.run.closed["e0"].message)
    assert decide(story.run).exit_code is ExitCode.TIMEOUT


def test_an_upload_that_comes_in_time_for_one_of_two_serves_that_one() -> None:
    story = uploading(Store(), 20, 90, takes=30).drive()
    assert {name: str(outcome.verdict) for name, outcome in story.run.closed.items()} == {
        "e0": "timed_out",
        "e1": "passed",
    }
    assert len(story.creates()) == 3, "two for the build, and one run"


def test_an_entry_that_comes_later_has_a_time_of_its_own() -> None:
    """The upload is under way when it begins, and ends with it; what the first entry waits for is not ended by that."""
    plan = plan_of(
        entry("quick", "keyed"),
        entry("first", "plain", timeout_s=500),
        entry("later", "plain", needs=("quick",), timeout_s=60),
    )
    used = using(plan, BUILD, "target")
    quick, *others = used.jobs
    jobs = (msgspec.structs.replace(quick, uses={}, request=plan.jobs[0].request), *others)
    story = Story(
        seal(msgspec.structs.replace(used, jobs=jobs)),
        VENDOR,
        Store(),
        latency=lambda _vendor, request: 400.0 if request.path == PUT else 0.05,
    ).drive()
    verdict = {name: str(outcome.verdict) for name, outcome in story.run.closed.items()}
    assert verdict == {"quick": "passed", "first": "passed", "later": "timed_out"}
    assert closed_at(story)["later"] == pytest.approx(closed_at(story)["quick"] + 60, abs=0.2)


def test_an_environment_that_is_refused_all_the_time_ends_with_its_entry() -> None:
    store = Store(fault=lambda _v, request, _n: too_many("30") if request.path == "/environments" else None)
    plan = using(plan_of(entry("a", "keyed", timeout_s=200)), ENVIRONMENT, "key")
    story = Story(plan, VENDOR, store).drive()
    assert verdicts(story) == {("error", Cause.UNAVAILABLE)}
    assert 150 < story.clock.now() <= 200
    assert not [event for event in story.events if isinstance(event, ev.Submitting)]


def test_an_environment_that_comes_too_late_is_removed() -> None:
    store = Store()
    plan = using(plan_of(entry("a", "keyed", timeout_s=20)), ENVIRONMENT, "key")
    story = Story(plan, VENDOR, store, latency=lambda _v, request: 40.0 if request.path == "/environments" else 0.05)
    story.drive()
    assert closed_at(story) == {"a": 20.0}
    assert store.removed == store.made
    assert not store.began


# --- afterwards -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", ["90", "3600", "86400", "9" * 400])
def test_a_removal_does_not_wait_for_as_long_as_a_vendor_likes(seconds: str) -> None:
    store = Store(fault=lambda _v, request, _n: too_many(seconds) if request.method == "DELETE" else None)
    plan = using(plan_of(entry("a", "keyed")), ENVIRONMENT, "key")
    story = Story(plan, VENDOR, store).drive()
    assert verdicts(story) == {("passed", None)}
    assert story.clock.now() < closed_at(story)["a"] + 5
    (left,) = story.run.resources["keyed-environment-1"].left()
    assert left.certain


def test_a_short_silence_is_kept_before_a_removal_is_tried_again() -> None:
    refused = [too_many("20"), too_many("20")]

    def fault(_vendor: str, request: Request, _number: int) -> Answer | None:
        return refused.pop() if refused and request.method == "DELETE" else None

    store = Store(fault=fault)
    story = Story(using(plan_of(entry("a", "keyed")), ENVIRONMENT, "key"), VENDOR, store).drive()
    assert store.removed == store.made
    assert 40 < story.clock.now() - closed_at(story)["a"] < 45


def test_a_removal_that_hangs_ends_a_minute_after_the_last_verdict() -> None:
    story = Story(
        using(plan_of(entry("a", "keyed")), ENVIRONMENT, "key"),
        VENDOR,
        Store(),
        latency=lambda _v, request: 1e6 if request.method == "DELETE" else 0.05,
    ).drive()
    assert story.clock.now() == pytest.approx(closed_at(story)["a"] + 60, abs=0.2)
    assert story.run.resources["keyed-environment-1"].left()


@pytest.mark.parametrize("timeout", [60, 300])
def test_no_silence_is_longer_than_the_time_of_the_apply(timeout: float) -> None:
    backend = Backend(lasts=1e9, fault=lambda _v, request, _n: too_many("800") if request.method == "GET" else None)
    options = Options(timeout_s=timeout)
    story = Story(plan_of(entry("a", "keyed"), entry("b", "plain")), VENDORS, backend, options=options).drive()
    assert timeout <= story.clock.now() <= timeout + 6
    assert backend.cancelled == ["keyed-run-1"]
