"""Cases for golden files: a plan and the answers that it gets in virtual time, as data; what the engine makes of them.

A case says nothing of how the engine is built: it holds entries, answers, signals and lost processes.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, TypeAlias

import msgspec
from msgspec.structs import replace

from qarunner.engine.decide.gate import decide
from qarunner.engine.flow.driver import Options
from qarunner.engine.state import events as ev
from qarunner.engine.state.run import Phase
from qarunner.entry import Gate, OnSkipped, Retries, Selection, SelectionKind
from qarunner.plan.model import Rate, seal
from qarunner.report.summary import summarise
from qarunner.vendors.api import (
    Build,
    Call,
    Cause,
    Dependency,
    FileRef,
    Finished,
    Leftover,
    More,
    Outcome,
    Prepared,
    Reply,
    Request,
    Resource,
    ResourceKind,
    Running,
    Upload,
    UploadAddress,
    Verdict,
    resource_ref,
)
from tests.fictional import AFTER, LOST, UNREACHED, entry, ok
from tests.telling import Telling, World, asks, telling_plan
from tests.worlds import EPOCH, Story, VirtualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from qarunner.engine.decide.interpret import Answer
    from qarunner.engine.state.run import Run
    from qarunner.entry import Entry
    from qarunner.plan.model import Plan
    from qarunner.vendors.api import RemoteRun, Vendor

STORE = "https://files.test/upload"
Expected: TypeAlias = "dict[str, object]"


# --- the case ---------------------------------------------------------------------------------------------------------


class Row(msgspec.Struct, forbid_unknown_fields=True):
    """An entry. `uses` is `environment` or `build`; rows that are named alike before a slash share a create."""

    id: str
    vendor: str
    tests: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    timeout: float = 3600
    allow_failure: bool = False
    failed: int = 0
    infra: int = 1
    needs: tuple[str, ...] = ()
    uses: str | None = None


class Wrong(msgspec.Struct, forbid_unknown_fields=True):
    """What comes instead of some of the answers to a kind of request.

    `request` is a pattern of `POST /runs`, `nth` counts its requests from 1 (empty: all). `answer` is `lost` (nothing
    was done), `after` (it was done, and the answer lost), `unreached`, or nothing, where only `takes` is of interest.
    """

    request: str
    vendor: str = "*"
    nth: tuple[int, ...] = ()
    answer: str | None = None
    status: int = 0
    body: object = None
    text: str = ""
    headers: dict[str, str] = {}
    done: bool = False
    takes: float | None = None
    until: float | None = None


class Process(msgspec.Struct, forbid_unknown_fields=True):
    """One process at work on the run. It is lost with the `nth` event of a kind, before or after that is on disk."""

    later: float = 0
    timeout: float | None = None
    poll_interval: float | None = None
    detach: bool = False
    detach_on_interrupt: bool = False
    cancel: bool = False
    resubmit: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    signals: tuple[tuple[float, int], ...] = ()
    lost_before: tuple[str, int] | None = None
    lost_after: tuple[str, int] | None = None


class Case(msgspec.Struct, forbid_unknown_fields=True):
    about: str
    entries: tuple[Row, ...]
    max_in_flight: int = 100
    min_tests: int = 1
    on_skipped: OnSkipped | None = None
    reads: int | None = None
    creates: int | None = None
    fail_fast: bool = False
    lasts: float = 25
    results: dict[str, tuple[str, ...]] = {}
    wrong: tuple[Wrong, ...] = ()
    processes: tuple[Process, ...] = (Process(),)


# --- the vendors ------------------------------------------------------------------------------------------------------


class Scripted(Telling):
    """Tests by name, environments and builds: POST /environments {key} → {id}; POST /uploads, PUT, POST /targets."""

    def resources(self, call: Call) -> Iterable[Dependency]:
        labels = {label for each in call.entries for label in each.labels}
        return [Dependency(key="it", kind=kind) for kind in ResourceKind if kind.value in labels]

    def submit(self, call: Call) -> Request:
        request = super().submit(call)
        assert isinstance(request.body, dict)
        field_of = {ResourceKind.ENVIRONMENT: "key", ResourceKind.BUILD: "target"}
        for need in self.resources(call):
            request.body["on"] = resource_ref("it", field_of[need.kind])
        return request

    def prepare(self, resource: Resource, token: str, replies: Sequence[Reply]) -> Request | Upload | Prepared:
        done = len(replies)
        if resource.kind is ResourceKind.ENVIRONMENT:
            steps: list[Request | Upload] = [Request(method="POST", path="/environments", body={"key": token})]
            if done == len(steps):
                return Prepared(values={"key": token, "id": replies[-1].json().get("id").text()})
            return steps[done]
        assert resource.build is not None
        steps = [
            Request(method="POST", path="/uploads"),
            Upload(address=UploadAddress(url=STORE), file=FileRef(path=resource.build.path)),
            Request(method="POST", path="/targets"),
        ]
        if done == len(steps):
            return Prepared(values={"target": replies[-1].json().get("target").text()})
        return steps[done]

    def leftover(self, resource: Resource, token: str, prepared: Prepared | None) -> Leftover:
        known = {} if prepared is None else {"id": str(prepared.values["id"])}
        return Leftover(what=f"{resource.kind} {token}", todo="delete it", details={"key": token, **known})

    def release(self, resource: Resource, prepared: Prepared) -> Request | None:
        if resource.kind is ResourceKind.BUILD:
            return None
        return Request(method="DELETE", path=f"/environments/{prepared.values['id']}")

    def read(self, call: Call, run: RemoteRun, replies: Sequence[Reply], *, polls: int) -> Running | More | Finished:
        """A status `more` or `details` asks for one reply more, which the verdict depends on, or does not."""
        first = replies[0].json() if replies[0].ok else None
        status = first.get("status").text() if first is not None and first.has("status") else None
        if status in {"more", "details"}:
            best_effort = status == "details"
            if len(replies) == 1:
                return More(request=Request(method="GET", path=f"/runs/{run.id}/details"), best_effort=best_effort)
            if best_effort and not replies[-1].ok:
                outcome = Outcome(verdict=Verdict.PASSED, counts={Verdict.PASSED: 1}, message="without details")
                return Finished(outcomes={each.id: outcome for each in call.entries})
        found = super().read(call, run, replies, polls=polls)
        if isinstance(found, Running):
            return Running(note=found.note, wait_s=replies[-1].json().get("wait").number_or_none())
        return found


VENDORS: Mapping[str, Vendor] = {
    "keyed": Scripted("keyed", keyed=True),
    "plain": Scripted("plain", keyed=False),
}


@dataclass
class ScriptedWorld(World):
    """The vendors' side of a case."""

    case: Case
    asked: list[int] = field(default_factory=list)
    takes: float = 0.05

    def __post_init__(self) -> None:
        super().__init__(lasts=self.case.lasts, **self.case.results)
        self.asked = [0] * len(self.case.wrong)
        self.environments: dict[str, str] = {}
        self.uploads = 0

    def __call__(self, vendor: str, request: Request, key: str | None, now: float) -> Answer:
        self.takes = 0.05
        wrong = self._wrong(vendor, request, now)
        if wrong is None:
            return self._answer(vendor, request, key, now)
        self.takes = self.takes if wrong.takes is None else wrong.takes
        said = self._said(wrong)
        if wrong.done or said is AFTER or said is None:
            answer = self._answer(vendor, request, key, now)
            return said or answer
        return said

    def _wrong(self, vendor: str, request: Request, now: float) -> Wrong | None:
        found = None
        for number, each in enumerate(self.case.wrong):
            if not fnmatchcase(f"{request.method} {request.path}", each.request) or not fnmatchcase(
                vendor, each.vendor
            ):
                continue
            self.asked[number] += 1
            strikes = not each.nth or self.asked[number] in each.nth
            if found is None and strikes and (each.until is None or now < each.until):
                found = each
        return found

    @staticmethod
    def _said(wrong: Wrong) -> Answer | None:
        if wrong.status:
            text = wrong.text if wrong.body is None else json.dumps(wrong.body)
            return Reply(status=wrong.status, text=text, headers=wrong.headers)
        if wrong.answer is None:
            return None
        return {"lost": LOST, "after": AFTER, "unreached": UNREACHED}[wrong.answer]

    def _answer(self, vendor: str, request: Request, key: str | None, now: float) -> Answer:
        match request.method, request.path.split("/")[1]:
            case "POST", "environments":
                return self._environment(request)
            case "DELETE", _:
                known = self.environments.pop(request.path.rpartition("/")[2], None)
                return Reply(status=204, text="") if known else Reply(status=404, text="no such environment")
            case ("POST", "uploads") | ("PUT", _):
                self.uploads += request.method == "PUT"
                return ok({})
            case "POST", "targets":
                return ok({"target": f"target-{self.uploads}"})
            case _:
                return super().__call__(vendor, request, key, now)

    def _environment(self, request: Request) -> Reply:
        assert isinstance(request.body, dict)
        wanted = str(request.body["key"])
        if wanted in self.environments.values():
            return Reply(status=409, text=f"environment {wanted} exists")
        name = f"e-{len(self.environments) + 1}"
        self.environments[name] = wanted
        return ok({"id": name})


# --- playing it -------------------------------------------------------------------------------------------------------


class LostProcessError(BaseException):
    """The process is gone: nothing that it would have caught or written happens."""


class Mortal(Story):
    """A story whose process may be lost at an event."""

    process = Process()

    def record(self, *events: ev.Event, wait: bool = True) -> None:
        for event in events:
            kind = type(event).__struct_config__.tag
            number = 1 + sum(type(earlier).__struct_config__.tag == kind for earlier in self.events)
            if self.process.lost_before == (kind, number):
                raise LostProcessError
            super().record(event, wait=wait)
            if self.process.lost_after == (kind, number):
                raise LostProcessError


def plan_of(case: Case) -> Plan:
    entries = [_entry(row) for row in case.entries]
    plan = telling_plan(*entries, max_in_flight=case.max_in_flight)
    resources = {f"{each.vendor}-{each.labels[0]}-1": _resource(each) for each in entries if each.labels}
    jobs = []
    for job in plan.jobs:
        call = Call(entries=tuple(each for each in entries if each.id in job.entries))
        uses = {need.key: f"{job.vendor}-{need.kind}-1" for need in VENDORS[job.vendor].resources(call)}
        jobs.append(msgspec.structs.replace(job, uses=uses, request=VENDORS[job.vendor].submit(call)))
    vendors = {
        name: msgspec.structs.replace(
            each,
            reads=Rate(count=case.reads) if case.reads else None,
            creates=Rate(count=case.creates) if case.creates else None,
        )
        for name, each in plan.vendors.items()
    }
    gate = Gate(min_tests=case.min_tests, on_skipped=case.on_skipped)
    found = msgspec.structs.replace(
        plan, jobs=tuple(jobs), resources=tuple(resources.values()), vendors=vendors, gate=gate
    )
    return seal(found)


def _entry(row: Row) -> Entry:
    selection = Selection(kind=SelectionKind.TAGS, ids=row.tags) if row.tags else asks(*row.tests or (row.id,))
    found = entry(
        row.id,
        row.vendor,
        timeout_s=row.timeout,
        allow_failure=row.allow_failure,
        retries=Retries(failed=row.failed, infra=row.infra),
        needs=row.needs,
        selection=selection,
    )
    return found if row.uses is None else replace(found, labels=(row.uses,))


def _resource(user: Entry) -> Resource:
    kind = ResourceKind(user.labels[0])
    build = Build(path="app.apk", filename="app.apk", size=3, sha256="abc")
    own = build if kind is ResourceKind.BUILD else None
    return Resource(id=f"{user.vendor}-{kind}-1", vendor=user.vendor, kind=kind, build=own)


def play(case: Case) -> Expected:
    """What the journal holds after all processes, and what the run came to."""
    plan, world, clock = plan_of(case), ScriptedWorld(case=case), VirtualClock()
    events: list[ev.Event] = []
    sent: list[str] = []
    run: Run | None = None
    took: list[float] = []
    for process in case.processes:
        clock.seconds += process.later
        begins = clock.seconds
        story = _life(case, plan, world, clock, events, process)
        events, run = story.events, story.run
        took.append(round(clock.seconds - begins, 2))
        sent += [
            f"{round(at, 2):g} {vendor} {request.method} {request.path}"
            for at, vendor, request, _ in story.pool.sent
            if request.method != "GET"
        ]
    assert run is not None
    summary = summarise(run)
    return {
        "events": [_plain(event) for event in events],
        "sent": sent,
        "outcomes": {name: _without_defaults(outcome) for name, outcome in sorted(run.closed.items())},
        "exit_code": int(decide(run).exit_code),
        "seconds": took,
        "running_on": [remote.remote.id for _, remote in run.active_runs()],
        "left": [left.leftover.what for each in run.resources.values() for left in each.left()],
        "uncertain": [state.job.id for state in run.jobs.values() if state.phase is Phase.UNCERTAIN],
        "totals": {str(verdict): number for verdict, number in summary.totals.items() if number},
    }


def _life(
    case: Case, plan: Plan, world: ScriptedWorld, clock: VirtualClock, events: list[ev.Event], process: Process
) -> Mortal:
    options = Options(
        poll_interval_s=process.poll_interval,
        timeout_s=process.timeout,
        detach=process.detach,
        detach_on_interrupt=process.detach_on_interrupt,
    )
    story = Mortal(
        plan,
        VENDORS,
        world,
        before=events,
        resumed=bool(events) and not process.cancel,
        clock=clock,
        options=options,
        fail_fast=case.fail_fast,
        latency=lambda _vendor, _request: world.takes,
    )
    story.process = process
    _decide(story, process)
    if process.cancel:
        story.record(ev.RunStopped(at=clock.wall(), reason=ev.Reason.CANCELLED))
    for at, number in process.signals:
        story.pool.at.append((clock.now() + at, _interrupt(story, number)))
    with contextlib.suppress(LostProcessError):
        story.drive()
        if process.detach and story.run.signal is None and story.run.ended is None and not story.run.complete:
            story.record(ev.Detached(at=clock.wall()))
    return story


def _interrupt(story: Story, number: int) -> Callable[[], None]:
    return lambda: story.engine.interrupt(number)


def _decide(story: Story, process: Process) -> None:
    """A person's decisions, as `resume` writes them down."""
    at = story.clock.wall()
    for job, resubmit in [*((job, True) for job in process.resubmit), *((job, False) for job in process.drop)]:
        state = story.run.jobs[job]
        if not resubmit:
            unknown = Outcome(verdict=Verdict.UNKNOWN, cause=Cause.UNCERTAIN, message=state.message)
            for name in story.run.open_entries(state):
                story.record(ev.EntryClosed(at=at, entry=name, outcome=unknown))
        story.record(ev.UncertaintyResolved(at=at, job=job, resubmit=resubmit))


def _plain(event: ev.Event) -> dict[str, object]:
    """An event as data; its time is seconds since the beginning, and what describes this build of it is left out."""
    data = json.loads(msgspec.json.encode(event))
    found = {name: _short(value) for name, value in data.items() if not _empty(value)}
    found["at"] = round(data["at"] - EPOCH, 2)
    if isinstance(event, ev.RunStarted):
        return {name: found[name] for name in ("event", "at", "run_id", "fail_fast") if name in found}
    return found


def _without_defaults(outcome: Outcome) -> object:
    return _short(json.loads(msgspec.json.encode(outcome)))


def _short(value: object) -> object:
    """Data without fields that are empty: an event that gets a field more stays the same where nothing is in it."""
    if isinstance(value, dict):
        return {name: _short(inner) for name, inner in value.items() if not _empty(inner)}
    return [_short(inner) for inner in value] if isinstance(value, list) else value


def _empty(value: object) -> bool:
    return value is None or value in ([], {}, "")
