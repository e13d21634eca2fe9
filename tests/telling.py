"""Two imaginary vendors that tell test by test, and a world that remembers what every run was paid for."""

from __future__ import annotations

import copy
from collections import Counter
from typing import TYPE_CHECKING

from qarunner.entry import Gate, Selection, SelectionKind
from qarunner.plan.model import VERSION, Job, Plan, VendorPlan, seal
from qarunner.vendors.api import Call, Case, Cause, Finished, Metadata, Outcome, Request, Running, Verdict
from tests.fictional import Fictional, entry, ok
from tests.worlds import Story

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qarunner.engine.decide.interpret import Answer
    from qarunner.engine.state import events as ev
    from qarunner.entry import Entry
    from qarunner.vendors.api import More, RemoteRun, Reply, Vendor

_WORST = ("failed", "blocked", "infra", "unknown", "passed")


class Telling(Fictional):
    """POST /runs {tests: {entry: [test, …]}} → {id}; GET → {tests: {entry: {test: verdict}}}, or {status: running}.

    One run for all entries that are named alike before a slash. A test `infra` is a failure of the vendor's own.
    """

    def group(self, entries: Sequence[Entry]) -> list[tuple[Entry, ...]]:
        found: dict[str, list[Entry]] = {}
        for each in entries:
            found.setdefault(each.id.partition("/")[0], []).append(each)
        return [tuple(group) for group in found.values()]

    def submit(self, call: Call) -> Request:
        tests = {each.id: list(each.selection.ids) for each in call.entries if each.selection}
        return Request(method="POST", path="/runs", body={"tests": tests})

    def read(self, call: Call, run: RemoteRun, replies: Sequence[Reply], *, polls: int) -> Running | More | Finished:
        del run, polls
        body = replies[-1].json()
        if body.has("status"):
            return Running(note=body.get("status").text())
        return Finished(
            outcomes={each.id: _outcome(each, body.get("tests").get(each.id).value) for each in call.entries}
        )


def _outcome(each: Entry, told: object) -> Outcome:
    assert isinstance(told, dict)
    worst = min(told.values(), key=_WORST.index)
    if each.selection and each.selection.kind is SelectionKind.TAGS:
        return Outcome(verdict=Verdict(worst), counts=Counter(Verdict(word) for word in told.values()))
    verdicts = {test: Verdict.ERROR if word == "infra" else Verdict(word) for test, word in told.items()}
    cases = tuple(
        Case(id=test, verdict=verdict, message=f"{test} is {told[test]}" if verdict is not Verdict.PASSED else None)
        for test, verdict in verdicts.items()
    )
    cause = Cause.INFRASTRUCTURE if worst == "infra" else None
    return Outcome(verdict=Verdict.ERROR if cause else Verdict(worst), cases=cases, cause=cause)


TELLING: Mapping[str, Vendor] = {"keyed": Telling("keyed", keyed=True), "plain": Telling("plain", keyed=False)}


class World:
    """`results` are the words for each test, one for each time that it runs; the last one stays. Others pass.

    `paid` are the tests of every run, as `entry test`.
    """

    def __init__(self, *, lasts: float = 25.0, **results: Sequence[str]) -> None:
        self.lasts = lasts
        self.results = results
        self.runs: dict[str, tuple[float, dict[str, dict[str, str]]]] = {}
        self.keys: dict[str, str] = {}
        self.paid: list[list[str]] = []
        self.cancelled: list[str] = []
        self.answers: dict[int, Answer] = {}

    def __call__(self, vendor: str, request: Request, key: str | None, now: float) -> Answer:
        if request.path.endswith("/cancel"):
            self.cancelled.append(request.path.split("/")[2])
            return ok({})
        if request.method == "POST":
            return self._create(vendor, request, key, now)
        began, tests = self.runs[request.path.split("/")[2]]
        return ok({"tests": tests} if now - began >= self.lasts else {"status": "running"})

    def _create(self, vendor: str, request: Request, key: str | None, now: float) -> Answer:
        if key is not None and key in self.keys:
            return ok({"id": self.keys[key]})
        name = f"{vendor}-run-{len(self.runs) + 1}"
        assert isinstance(request.body, dict)
        wanted = request.body["tests"]
        assert isinstance(wanted, dict)
        before = Counter(each for run in self.paid for each in run)
        tests = {
            entry_id: {test: self._result(test, before[f"{entry_id} {test}"]) for test in ids}
            for entry_id, ids in wanted.items()
            if isinstance(ids, list)
        }
        self.runs[name] = (now, tests)
        self.paid.append([f"{entry_id} {test}" for entry_id, told in tests.items() for test in told])
        if key is not None:
            self.keys[key] = name
        return self.answers.get(len(self.runs)) or ok({"id": name})

    def _result(self, test: object, times: int) -> str:
        words = self.results.get(str(test)) or ("passed",)
        return words[min(times, len(words) - 1)]


def asks(*ids: str, kind: SelectionKind = SelectionKind.TEST_IDS) -> Selection:
    return Selection(kind=kind, ids=ids)


def telling_plan(*entries: Entry, max_in_flight: int = 100) -> Plan:
    """A plan whose jobs are the vendors' groups, entries with different needs apart."""
    jobs = []
    for name in dict.fromkeys(each.vendor for each in entries):
        own = [each for each in entries if each.vendor == name]
        for number, group in enumerate(TELLING[name].group(own), 1):
            ids = tuple(each.id for each in group)
            request = TELLING[name].submit(Call(entries=tuple(group)))
            jobs.append(Job(id=f"{name}-{number}", vendor=name, entries=ids, request=request))
    vendors = {
        name: VendorPlan(key_env=f"{name.upper()}_API_KEY", every_s=10, max_s=30, max_in_flight=max_in_flight)
        for name in dict.fromkeys(each.vendor for each in entries)
    }
    return seal(
        Plan(
            version=VERSION,
            tool="test",
            name="story",
            manifest="qa-matrix.yml",
            digest="",
            gate=Gate(),
            metadata=Metadata(),
            secrets=(),
            vendors=vendors,
            jobs=tuple(jobs),
            entries=entries,
        )
    )


class Watched(Story):
    """A story that remembers how the world stood just before each event was on disk, and just after."""

    def record(self, *events: ev.Event, wait: bool = True) -> None:
        if not hasattr(self, "before"):
            self.before: list[World] = []
            self.after: list[World] = []
        world = self.pool._world
        assert isinstance(world, World)
        for event in events:
            self.before.append(copy.deepcopy(world))
            super().record(event, wait=wait)
            self.after.append(copy.deepcopy(world))


__all__ = ["TELLING", "Telling", "Watched", "World", "asks", "entry", "telling_plan"]
