"""An adapter under test: a call that breaks the protocol is an AssertionError with what it was given."""

# ruff: noqa: S101  a conformance suite asserts

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from qarunner.cursor import UnexpectedData
from qarunner.engine.outcomes import without_run
from qarunner.errors import UserError
from qarunner.testing.world import Touched, asking
from qarunner.vendors.api import (
    Cause,
    Clash,
    Complaint,
    Finished,
    More,
    Need,
    Prepared,
    Refusal,
    RemoteRun,
    Request,
    Running,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qarunner.cursor import Json
    from qarunner.entry import Entry
    from qarunner.vendors.api import Accepted, Build, Call, Reply, Resource, Status, Vendor

_SHOWN = 1500
_MAY_REFUSE = {
    "accepted": UnexpectedData,
    "read": UnexpectedData,
    "prepare": UnexpectedData,
    "group": UserError,
    "submit": UserError,
}


class Adapter:
    """Asks a vendor's methods. Each call is made twice: equal questions have equal answers, and change nothing."""

    def __init__(self, vendor: Vendor) -> None:
        self.vendor = vendor
        self.info = vendor.info
        self.name = vendor.info.name

    def _ask(self, method: str, *given: object, lists: bool = False, **named: object) -> Any:  # noqa: ANN401
        before = deepcopy((given, named, getattr(self.vendor, "__dict__", None)))
        other, other_named = deepcopy((given, named))
        first = self._once(method, given, named, lists=lists)
        second = self._once(method, other, other_named, lists=lists)
        after = (given, named, getattr(self.vendor, "__dict__", None))
        assert after == before, self._said(method, given, "changed what it was given, or itself")
        same = repr(first) == repr(second) if isinstance(first, Exception) else first == second
        assert same, self._said(method, given, f"answered {first!r}, then {second!r}")
        if isinstance(first, Exception):
            raise first
        return first

    def _once(self, method: str, given: Sequence[object], named: dict[str, Any], *, lists: bool) -> object:
        try:
            with asking():
                answer = getattr(self.vendor, method)(*given, **named)
                return list(answer) if lists else answer
        except Touched as error:
            raise AssertionError(self._said(method, given, str(error))) from error
        except Exception as error:
            if isinstance(error, _MAY_REFUSE.get(method, ())):
                return error
            raise AssertionError(self._said(method, given, f"raised {type(error).__name__}: {error}")) from error

    def _said(self, method: str, given: Sequence[object], what: str) -> str:
        shown = "\n".join(f"  {each!r}"[:_SHOWN] for each in given)
        return f"{self.name}: {method}: {what}\ngiven\n{shown}"

    def _expect(self, method: str, answer: object, *kinds: type) -> None:
        wanted = " or ".join(kind.__name__ for kind in kinds)
        assert isinstance(answer, kinds), f"{self.name}: {method}: expected {wanted}, got {answer!r}"

    # --- the protocol -------------------------------------------------------------------------------------------------

    def check(self, row: dict[str, object], settings: dict[str, Json]) -> list[Complaint]:
        found: list[Complaint] = self._ask("check", row, settings, lists=True)
        for each in found:
            self._expect("check", each, Complaint)
            assert each.message, f"{self.name}: check: a complaint without a message"
            assert isinstance(each.path, tuple), f"{self.name}: check: a path is a tuple: {each!r}"
        return found

    def group(self, entries: Sequence[Entry]) -> list[tuple[Entry, ...]]:
        groups: list[tuple[Entry, ...]] = self._ask("group", list(entries), lists=True)
        return groups

    def resources(self, call: Call) -> list[Need]:
        found: list[Need] = self._ask("resources", call, lists=True)
        for each in found:
            self._expect("resources", each, Need)
        return found

    def notices(self, call: Call) -> list[str]:
        found: list[str] = self._ask("notices", call, lists=True)
        for each in found:
            self._expect("notices", each, str)
        return found

    def check_call(self, call: Call) -> list[Complaint]:
        found: list[Complaint] = self._ask("check_call", call, lists=True)
        return found

    def check_all(self, calls: Sequence[Call], builds: Mapping[str, Build]) -> list[Clash]:
        found: list[Clash] = self._ask("check_all", calls, builds, lists=True)
        known = {entry.id for call in calls for entry in call.entries}
        for each in found:
            self._expect("check_all", each, Clash)
            assert each.entries, f"{self.name}: check_all: a clash of nobody"
            assert set(each.entries) <= known, f"{self.name}: check_all: entries that are not there: {each!r}"
        return found

    def prepare(self, resource: Resource, token: str, replies: Sequence[Reply]) -> Request | More | Prepared | Refusal:
        step: Request | More | Prepared | Refusal = self._ask("prepare", resource, token, list(replies))
        self._expect("prepare", step, Request, More, Prepared, Refusal)
        return step

    def release(self, resource: Resource, prepared: Prepared) -> Request | None:
        request: Request | None = self._ask("release", resource, prepared)
        self._expect("release", request, Request, type(None))
        return request

    def submit(self, call: Call) -> Request:
        request: Request = self._ask("submit", call)
        self._expect("submit", request, Request)
        return request

    def accepted(self, call: Call, reply: Reply) -> Accepted:
        """The runs, or why there is none to ask for; an answer that says neither is UnexpectedData."""
        runs: Accepted = self._ask("accepted", call, reply)
        self._expect("accepted", runs, tuple, Finished, Refusal)
        if isinstance(runs, Refusal):
            assert runs.message.strip(), self._said("accepted", (call, reply), "a refusal without words")
            return runs
        if isinstance(runs, Finished):
            strangers = set(runs.outcomes) - {entry.id for entry in call.entries}
            assert not strangers, self._said("accepted", (call, reply), f"outcomes of other entries: {strangers}")
            good = [name for name, outcome in runs.outcomes.items() if without_run(outcome) != outcome]
            assert not good, self._said("accepted", (call, reply), f"without a run, no test passes: {good}")
            return runs
        for run in runs:
            self._expect("accepted", run, RemoteRun)
            self._expect("accepted", run.id, str)
            assert run.id, self._said("accepted", (call, reply), f"a run without an id: {run!r}")
        ids = [run.id for run in runs]
        assert ids, self._said("accepted", (call, reply), "no run: that is UnexpectedData")
        assert len(ids) == len(set(ids)), self._said("accepted", (call, reply), f"runs with the same id: {ids}")
        return runs

    def runs(self, call: Call, reply: Reply) -> tuple[RemoteRun, ...]:
        """The runs of an answer to a create; none where it says that there is none to ask for."""
        found = self.accepted(call, reply)
        return found if isinstance(found, tuple) else ()

    def poll(self, call: Call, run: RemoteRun) -> Request:
        request: Request = self._ask("poll", call, run)
        self._expect("poll", request, Request)
        return request

    def read(self, call: Call, run: RemoteRun, replies: Sequence[Reply], *, polls: int = 0) -> Status:
        status: Status = self._ask("read", call, run, list(replies), polls=polls)
        self._expect("read", status, Running, More, Finished)
        if isinstance(status, Finished):
            strangers = set(status.outcomes) - {entry.id for entry in call.entries}
            assert not strangers, self._said("read", (call, run, replies), f"outcomes of other entries: {strangers}")
        return status

    def cancel(self, call: Call, run: RemoteRun) -> Request | None:
        request: Request | None = self._ask("cancel", call, run)
        self._expect("cancel", request, Request, type(None))
        return request

    def cancel_all(self, call: Call, runs: Sequence[RemoteRun]) -> Request | None:
        request: Request | None = self._ask("cancel_all", call, list(runs))
        self._expect("cancel_all", request, Request, type(None))
        return request

    def refused(self, reply: Reply) -> Refusal:
        refusal: Refusal = self._ask("refused", reply)
        self._expect("refused", refusal, Refusal)
        self._expect("refused", refusal.cause, Cause)
        self._expect("refused", refusal.message, str)
        assert refusal.message.strip(), self._said("refused", (reply,), "a refusal without words")
        return refusal
