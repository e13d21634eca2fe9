"""Two imaginary vendors for the engine's tests: one with an idempotency key and a cancel, one with neither."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from qarunner.diagnostics import Place
from qarunner.entry import Entry, Gate, Policy, Retries, Selection, SelectionKind
from qarunner.plan.model import VERSION, Job, Plan, VendorPlan, seal
from qarunner.vendors.api import (
    Auth,
    Call,
    Capabilities,
    Case,
    Cause,
    Fault,
    Finished,
    Metadata,
    More,
    Outcome,
    Pacing,
    Refusal,
    RemoteRun,
    Reply,
    Request,
    Running,
    Vendor,
    VendorInfo,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from qarunner.decode import Json
    from qarunner.engine.decide.interpret import Answer
    from qarunner.entry import OnSkipped
    from qarunner.plan.model import Rate
    from qarunner.vendors.api import (
        Complaint,
    )

AFTER = Fault(sent=True, message="the connection was lost after the vendor had done it")
LOST = Fault(sent=True, message="the connection was lost")
UNREACHED = Fault(sent=False, message="no connection")


class Fictional(Vendor):
    """POST /runs {tests} → {id}; GET /runs/<id> → {status}; one run for all entries of a call."""

    def __init__(self, name: str, *, keyed: bool) -> None:
        self.keyed = keyed
        self.info = VendorInfo(
            name=name,
            title=name.title(),
            docs="",
            base_url="https://vendor.test",
            url_env=(f"{name.upper()}_URL",),
            key_env=f"{name.upper()}_API_KEY",
            auth=Auth(headers={"Authorization": "Bearer {key}"}),
            capabilities=Capabilities(
                targets={None: frozenset()},
                target_required=False,
                selections=frozenset({SelectionKind.TEST_IDS}),
                cancel=keyed,
            ),
            pacing=Pacing(every_s=10, max_s=30),
            idempotency_header="Idempotency-Key" if keyed else None,
        )

    def check(self, row: Mapping[str, object], settings: Mapping[str, Json]) -> Iterable[Complaint]:
        del row, settings
        return ()

    def group(self, entries: Sequence[Entry]) -> Iterable[tuple[Entry, ...]]:
        return [(entry,) for entry in entries]

    def submit(self, call: Call) -> Request:
        return Request(method="POST", path="/runs", body={"tests": [entry.id for entry in call.entries]})

    def accepted(self, call: Call, reply: Reply) -> tuple[RemoteRun, ...]:
        del call
        return (RemoteRun(id=reply.json().get("id").text()),)

    def poll(self, call: Call, run: RemoteRun) -> Request:
        del call
        return Request(method="GET", path=f"/runs/{run.id}")

    def read(self, call: Call, run: RemoteRun, replies: Sequence[Reply], *, polls: int) -> Running | More | Finished:
        del polls
        reply = replies[-1].json()
        status = reply.get("status").text()
        if status == "more":
            return More(request=Request(method="GET", path=f"/runs/{run.id}/details"))
        if status in {"passed", "failed"}:
            verdict = Verdict(status)
            return Finished(
                outcomes={
                    entry.id: Outcome(verdict=verdict, cases=(Case(id=entry.id, verdict=verdict),))
                    for entry in call.entries
                }
            )
        return Running(note=status, wait_s=reply.get("wait").number_or_none())

    def cancel(self, call: Call, run: RemoteRun) -> Request | None:
        del call
        return Request(method="POST", path=f"/runs/{run.id}/cancel") if self.keyed else None

    def refused(self, reply: Reply) -> Refusal:
        cause = {401: Cause.CREDENTIAL, 402: Cause.ALLOWANCE}.get(reply.status, Cause.REFUSED)
        return Refusal(message=f"HTTP {reply.status}: {reply.text}", cause=cause)


KEYED = Fictional("keyed", keyed=True)
PLAIN = Fictional("plain", keyed=False)
VENDORS = {"keyed": KEYED, "plain": PLAIN}


def entry(
    entry_id: str,
    vendor: str,
    *,
    timeout_s: float = 3600,
    allow_failure: bool = False,
    retries: Retries | None = None,
    needs: tuple[str, ...] = (),
    selection: Selection | None = None,
) -> Entry:
    return Entry(
        id=entry_id,
        vendor=vendor,
        policy=Policy(timeout_s=timeout_s, allow_failure=allow_failure, retries=retries or Retries()),
        origin=Place(file="qa-matrix.yml", line=1, column=1),
        selection=selection or Selection(kind=SelectionKind.TEST_IDS, ids=(entry_id,)),
        needs=needs,
    )


def plan_of(
    *entries: Entry,
    reads: Rate | None = None,
    creates: Rate | None = None,
    max_in_flight: int = 100,
    min_tests: int = 1,
    on_skipped: OnSkipped | None = None,
) -> Plan:
    """A plan with one job for each entry; job ids are `keyed-1`, `plain-1`, …"""
    numbers: dict[str, int] = {}
    jobs = []
    for each in entries:
        numbers[each.vendor] = numbers.get(each.vendor, 0) + 1
        request = VENDORS[each.vendor].submit(Call(entries=(each,)))
        job = Job(id=f"{each.vendor}-{numbers[each.vendor]}", vendor=each.vendor, entries=(each.id,), request=request)
        jobs.append(job)
    vendors = {
        name: VendorPlan(
            key_env=f"{name.upper()}_API_KEY",
            every_s=10,
            max_s=30,
            max_in_flight=max_in_flight,
            reads=reads,
            creates=creates,
        )
        for name in numbers
    }
    return seal(
        Plan(
            version=VERSION,
            tool="test",
            name="story",
            manifest="qa-matrix.yml",
            digest="",
            gate=Gate(min_tests=min_tests, on_skipped=on_skipped),
            metadata=Metadata(),
            secrets=(),
            vendors=vendors,
            jobs=tuple(jobs),
            entries=entries,
        )
    )


class Backend:
    """What the imaginary vendors do: runs that end after a time, and whatever `fault` says instead."""

    def __init__(
        self,
        *,
        lasts: float = 25.0,
        ends: str = "passed",
        fault: Callable[[str, Request, int], Answer | None] | None = None,
    ) -> None:
        self.lasts = lasts
        self.ends = ends
        self.fault = fault
        self.began: dict[str, float] = {}
        self.keys: dict[str, str] = {}
        self.cancelled: list[str] = []
        self.calls = 0

    def __call__(self, vendor: str, request: Request, key: str | None, now: float) -> Answer:
        self.calls += 1
        wrong = self.fault(vendor, request, self.calls) if self.fault else None
        if wrong is AFTER:
            self.answer(vendor, request, key, now)
        return wrong or self.answer(vendor, request, key, now)

    def answer(self, vendor: str, request: Request, key: str | None, now: float) -> Reply:
        if request.path.endswith("/cancel"):
            self.cancelled.append(request.path.split("/")[2])
            return ok({})
        if request.method == "POST":
            return self._create(vendor, key, now)
        run = request.path.split("/")[2]
        if run not in self.began:
            return Reply(status=404, text="no such run")
        return ok({"status": self.ends if now - self.began[run] >= self.lasts else "running"})

    def _create(self, vendor: str, key: str | None, now: float) -> Reply:
        if key is not None and key in self.keys:
            return ok({"id": self.keys[key]})
        run = f"{vendor}-run-{len(self.began) + 1}"
        self.began[run] = now
        if key is not None:
            self.keys[key] = run
        return ok({"id": run})


def ok(data: object) -> Reply:
    return Reply(status=200, text=json.dumps(data))
