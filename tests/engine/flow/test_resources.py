"""Builds and environments, from the first request to the removal, in virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from qarunner.engine.decide.gate import decide
from qarunner.engine.flow.driver import Options
from qarunner.engine.state import events as ev
from qarunner.errors import ExitCode
from qarunner.plan.model import seal
from qarunner.vendors.api import (
    Build,
    FileRef,
    More,
    Prepared,
    Reply,
    Request,
    Resource,
    ResourceKind,
    Upload,
    UploadAddress,
    resource_ref,
)
from tests.fictional import LOST, UNREACHED, VENDORS, Backend, Fictional, entry, ok, plan_of
from tests.worlds import Story, VirtualClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qarunner.engine.decide.interpret import Answer
    from qarunner.plan.model import Plan

PUT = "https://files.test/upload"


class Uploading(Fictional):
    """A build: POST /uploads, PUT, POST /targets. An environment: POST /environments, DELETE afterwards."""

    def prepare(self, resource: Resource, token: str, replies: Sequence[Reply]) -> Request | Upload | Prepared | More:
        if resource.kind is ResourceKind.ENVIRONMENT:
            if replies:
                return Prepared(values={"key": token})
            return Request(method="POST", path="/environments", body={"key": token})
        assert resource.build is not None
        if len(replies) == 3:
            return Prepared(values={"target": replies[2].json().get("target").text()})
        steps: tuple[Request | Upload, ...] = (
            Request(method="POST", path="/uploads"),
            Upload(address=UploadAddress(url=PUT), file=FileRef(path=resource.build.path, zipped=True)),
            Request(method="POST", path="/targets"),
        )
        return steps[len(replies)]

    def release(self, resource: Resource, prepared: Prepared) -> Request | None:
        if resource.kind is ResourceKind.BUILD:
            return None
        return Request(method="DELETE", path=f"/environments/{prepared.values['key']}")


class Store(Backend):
    """The vendor's side of it; `made` and `removed` are environments."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self.uploads = 0
        self.made: list[str] = []
        self.removed: list[str] = []
        self.bodies: list[object] = []

    def answer(self, vendor: str, request: Request, key: str | None, now: float) -> Reply:
        if request.path == PUT:
            self.uploads += 1
            return Reply(status=200, text="")
        if request.path == "/uploads":
            return ok({})
        if request.path == "/targets":
            return ok({"target": f"bin_{self.uploads}"})
        if request.path == "/environments":
            assert isinstance(request.body, dict)
            self.made.append(str(request.body["key"]))
            return ok({})
        if request.method == "DELETE":
            self.removed.append(request.path.rpartition("/")[2])
            return ok({})
        if request.path == "/runs":
            self.bodies.append(request.body)
        return super().answer(vendor, request, key, now)


VENDOR = {**VENDORS, "keyed": Uploading("keyed", keyed=True), "plain": Uploading("plain", keyed=False)}
BUILD = Resource(
    id="plain-build-1",
    vendor="plain",
    kind=ResourceKind.BUILD,
    build=Build(path="app.apk", filename="app.apk", size=3, sha256="abc"),
)
ENVIRONMENT = Resource(id="keyed-environment-1", vendor="keyed", kind=ResourceKind.ENVIRONMENT)


def using(plan: Plan, resource: Resource, field: str) -> Plan:
    """The plan with a resource that all its jobs need and name in their creates."""
    jobs = tuple(
        msgspec.structs.replace(
            job,
            uses={"it": resource.id},
            request=Request(method="POST", path="/runs", body={"what": [resource_ref("it", field)]}),
        )
        for job in plan.jobs
    )
    return seal(msgspec.structs.replace(plan, jobs=jobs, resources=(resource,)))


def builds(count: int = 3) -> Plan:
    return using(plan_of(*(entry(f"e{n}", "plain") for n in range(count))), BUILD, "target")


def environments() -> Plan:
    return using(plan_of(entry("a", "keyed"), entry("b", "keyed")), ENVIRONMENT, "key")


def test_one_upload_serves_every_create() -> None:
    store = Store()
    story = Story(builds(), VENDOR, store).drive()
    assert decide(story.run).exit_code is ExitCode.OK
    assert store.uploads == 1
    assert store.bodies == [{"what": ["bin_1"]}] * 3


@pytest.mark.parametrize("answer", [LOST, UNREACHED, Reply(status=503, text=""), Reply(status=429, text="")])
@pytest.mark.parametrize("at", ["/uploads", PUT, "/targets"])
def test_an_upload_that_breaks_off_is_begun_again(answer: Answer, at: str) -> None:
    broken = [answer]

    def fault(_vendor: str, request: Request, _n: int) -> Answer | None:
        return broken.pop() if request.path == at and broken else None

    store = Store(fault=fault)
    story = Story(builds(), VENDOR, store).drive()
    assert decide(story.run).exit_code is ExitCode.OK
    assert len(store.bodies) == 3
    assert sum(isinstance(event, ev.Preparing) for event in story.events) == 2


def test_a_store_that_takes_nothing_does_not_get_the_build_for_a_quarter_of_an_hour() -> None:
    def fault(_vendor: str, request: Request, _n: int) -> Answer | None:
        return Reply(status=500, text="no") if request.path == PUT else None

    store = Store(fault=fault)
    story = Story(builds(), VENDOR, store).drive()
    assert decide(story.run).exit_code is ExitCode.UNAVAILABLE
    assert sum(isinstance(event, ev.Preparing) for event in story.events) == 5
    assert not store.bodies


def test_a_refused_upload_ends_its_entries_and_no_create_leaves() -> None:
    def fault(_vendor: str, request: Request, _n: int) -> Answer | None:
        return Reply(status=413, text="too large") if request.path == PUT else None

    store = Store(fault=fault)
    story = Story(builds(), VENDOR, store).drive()
    assert decide(story.run).exit_code is ExitCode.NO_VERDICT
    assert not store.bodies
    assert "too large" in (story.run.closed["e0"].message or "")


def test_an_environment_is_removed_after_its_last_job() -> None:
    store = Store(ends="failed")
    story = Story(environments(), VENDOR, store).drive()
    assert decide(story.run).exit_code is ExitCode.FAILED
    assert len(store.made) == 1
    assert store.removed == store.made
    assert store.bodies == [{"what": store.made}] * 2


def test_an_environment_is_removed_after_an_interruption_once_its_runs_are_cancelled() -> None:
    store = Store(lasts=1e9)
    story = Story(environments(), VENDOR, store)
    story.pool.at.append((40.0, lambda: story.engine.interrupt(2)))
    story.drive()
    assert len(store.cancelled) == 2
    assert store.removed == store.made
    order = [
        request.path for _, _, request, _ in story.pool.sent if request.method == "DELETE" or "cancel" in request.path
    ]
    assert order[-1].startswith("/environments/")


def test_an_environment_stays_when_the_apply_detaches() -> None:
    store = Store()
    story = Story(environments(), VENDOR, store, options=Options(detach_on_interrupt=True))
    story.pool.at.append((5.0, lambda: story.engine.interrupt(2)))
    story.drive()
    assert not store.removed
    resumed = Story(story.run.plan, VENDOR, store, before=story.events, resumed=True, clock=story.clock).drive()
    assert decide(resumed.run).exit_code is ExitCode.OK
    assert store.removed == store.made


def test_an_environment_that_cannot_be_removed_is_left_with_a_message() -> None:
    def fault(_vendor: str, request: Request, _n: int) -> Answer | None:
        return Reply(status=403, text="not yours") if request.method == "DELETE" else None

    story = Story(environments(), VENDOR, Store(fault=fault)).drive()
    assert decide(story.run).exit_code is ExitCode.OK
    released = [event for event in story.events if isinstance(event, ev.ResourceReleased)]
    assert [event.message for event in released] == ["HTTP 403: not yours"]


def test_an_environment_is_removed_after_a_time_out() -> None:
    plan = using(plan_of(entry("a", "keyed", timeout_s=30)), ENVIRONMENT, "key")
    store = Store(lasts=1e9)
    story = Story(plan, VENDOR, store).drive()
    assert decide(story.run).exit_code is ExitCode.TIMEOUT
    assert store.removed == store.made


def test_the_whole_time_may_be_up_during_an_upload() -> None:
    story = Story(builds(), VENDOR, Store(), options=Options(timeout_s=5))
    story.pool._latency = 4.0
    story.drive()
    assert decide(story.run).exit_code is ExitCode.TIMEOUT
    assert len(story.run.closed) == 3


@pytest.mark.parametrize("plan", [builds(2), environments()], ids=["build", "environment"])
def test_resume_from_every_prefix_leaves_nothing_behind(plan: Plan) -> None:
    whole_store = Store()
    whole = Story(plan, VENDOR, whole_store).drive().events
    for length in range(len(whole) + 1):
        store = Store()
        for event in whole[:length]:
            if isinstance(event, ev.Submitting):
                store.answer(
                    plan.jobs[0].vendor, Request(method="POST", path="/runs"), event.key, event.at - 1_790_000_000
                )
        clock = VirtualClock()
        clock.seconds = 100.0
        story = Story(plan, VENDOR, store, before=whole[:length], resumed=length > 0, clock=clock).drive()
        assert len(story.run.closed) == 2, length
        if plan.resources[0].kind is ResourceKind.ENVIRONMENT:
            assert {str(outcome.verdict) for outcome in story.run.closed.values()} == {"passed"}
            assert len(store.began) == 2
            made = {
                *store.made,
                *(value for e in whole[:length] if isinstance(e, ev.ResourceReady) for value in e.values.values()),
            }
            removed = {*store.removed}
            if not any(isinstance(e, ev.ResourceReleased) for e in whole[:length]):
                assert removed == made, length


class Putting(Uploading):
    """Its last step must not be sent twice: the adapter judges the reply."""

    def prepare(self, resource: Resource, token: str, replies: Sequence[Reply]) -> Request | Upload | Prepared | More:
        step = super().prepare(resource, token, replies)
        is_last = isinstance(step, Request) and step.path == "/targets"
        return More(request=step, best_effort=True) if is_last and isinstance(step, Request) else step


@pytest.mark.parametrize("at", ["/uploads", "/targets"])
def test_a_vendor_that_asks_for_silence_is_waited_for_whichever_step_it_puts_off(at: str) -> None:
    busy = [Reply(status=429, text="", headers={"retry-after": "1200"})]

    def fault(_vendor: str, request: Request, _n: int) -> Answer | None:
        return busy.pop() if request.path == at and busy else None

    store = Store(fault=fault)
    plan = using(plan_of(entry("a", "plain", timeout_s=7200.0)), BUILD, "target")
    story = Story(plan, {**VENDOR, "plain": Putting("plain", keyed=False)}, store).drive()
    assert decide(story.run).exit_code is ExitCode.OK
    assert (store.uploads, store.bodies) == (1, [{"what": ["bin_1"]}])
