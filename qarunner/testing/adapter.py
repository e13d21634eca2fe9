"""An adapter under test: an example's scene, a world without doors, and every call checked against the protocol."""

from __future__ import annotations

import builtins
import contextlib
import io
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from copy import deepcopy
from datetime import date
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast
from unittest.mock import patch

from msgspec import Struct, field
from msgspec.structs import replace

from qarunner.decode import Json, UnexpectedData
from qarunner.engine.decide.outcomes import merge, without_run
from qarunner.errors import ManifestError, UserError
from qarunner.manifest.expand import check_rows, expand
from qarunner.manifest.load import entry_of, load
from qarunner.plan.compile import compile_plan
from qarunner.plan.guard import AdapterBug
from qarunner.plan.model import Job, Plan, from_json, to_json
from qarunner.vendors.api import (
    AnyRequest,
    Build,
    BuildRules,
    Call,
    Cause,
    Complaint,
    Conflict,
    Dependency,
    Finished,
    InventoryKind,
    Item,
    Leftover,
    Metadata,
    More,
    Outcome,
    Prepared,
    Refusal,
    RemoteRun,
    Reply,
    Request,
    Running,
    Status,
    Upload,
    Vendor,
    Verdict,
)

if TYPE_CHECKING:
    from qarunner.manifest.model import Manifest, Row


# ---------------------------------------------------------------------------------------------------------------------

# A world in which an adapter finds nothing: no environment, no file, no network, no clock.


_asking: ContextVar[bool] = ContextVar("asking", default=False)


_DOORS: tuple[tuple[Any, str, str], ...] = (
    (builtins, "open", "opens a file"),
    (io, "open", "opens a file"),
    (os, "open", "opens a file"),
    (type(os.environ), "__getitem__", "reads the environment"),
    (type(os.environ), "__iter__", "reads the environment"),
    (socket.socket, "connect", "uses the network"),
    (socket, "getaddrinfo", "uses the network"),
    (subprocess.Popen, "__init__", "starts a process"),
    (time, "sleep", "sleeps"),
    (time, "time", "reads the clock"),
)


class Touched(AssertionError):  # noqa: N818  what happened
    """An adapter reached for the world."""


@contextlib.contextmanager
def closed_world() -> Iterator[None]:
    """While an adapter is asked, everything that is not in its arguments is out of reach."""
    with contextlib.ExitStack() as stack:
        for owner, name, what in _DOORS:
            stack.enter_context(patch.object(owner, name, _guarded(getattr(owner, name), what)))
        yield


@contextlib.contextmanager
def asking() -> Iterator[None]:
    """Around the adapter's own code; the rest of the program goes on as ever."""
    token = _asking.set(True)
    try:
        yield
    finally:
        _asking.reset(token)


def _guarded(original: Callable[..., Any], what: str) -> Callable[..., Any]:
    def guard(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401  whatever the original takes
        if _asking.get():
            raise Touched(f"an adapter only translates, but this one {what}")
        return original(*arguments, **named)

    return guard


# ---------------------------------------------------------------------------------------------------------------------

# What an author tells of a vendor, and the scene that is made of it: a plan, a create, and runs that are read.


Body: TypeAlias = "Json | Reply"


Answers: TypeAlias = "Body | tuple[Body, ...] | Callable[[Any], Body]"
"""A body of JSON; a tuple of bodies, one for each request in turn; or a function from the request to its body."""


Runs: TypeAlias = "Mapping[str, Sequence[Reply]]"


Exchange: TypeAlias = "tuple[Request, Reply]"


MOST_REPLIES = 20
"""An adapter that asks for more than this about one run or resource would ask for ever."""


METADATA = Metadata(
    repository="acme/shop",
    ref="refs/heads/main",
    ref_name="main",
    commit="0123456789abcdef0123456789abcdef01234567",
    event="push",
    build_url="https://ci.example.com/builds/7",
    branch="main",
    ci="github",
    host="github",
    run_id="7",
    actor="ada",
)
"""As the program has it of a push to a branch at GitHub."""


class Example(Struct, frozen=True, kw_only=True, dict=True):
    """Entries that share one create call, and what the vendor answers.

    `rows` are entries as a manifest has them, without `vendor`. `created` answers the create; `passed`, `failed` and
    `running` answer what is then asked of each run, in three stories. `ends` are further stories, by a name for each:
    other ways in which a run ends (`aborted`, `no_result`), with the verdict of the worst entry. A body is JSON, or a
    whole `Reply`. Where `read` asks for more, give a tuple of bodies; where answers depend on the run or on a page, a
    function of the request. `made` answers the requests of `prepare`, where the vendor needs uploads or environments.
    `nothing` answers the create where the vendor takes it, but starts no run. `listed` answers, by kind, what
    `inventory` asks for with the example's `settings`; `items` are the names in that list, by their ids. `many` answers
    what `poll_many` asks for: it shows the runs as `passed` does. `sent` is the create that the vendor's page wants for
    these rows, settings and `metadata`: with it, nothing that belongs into it can be dropped.

    `failed` and `ends` differ from `passed` only in what says how the run ended: each such difference is tried alone.
    """

    rows: Sequence[Mapping[str, Json]]
    created: Body
    passed: Answers
    failed: Answers
    running: Answers
    ends: Mapping[str, tuple[Answers, Verdict]] = field(default_factory=dict)
    made: Answers = ()
    nothing: Body = None
    settings: Mapping[str, Json] = field(default_factory=dict)
    metadata: Metadata = METADATA
    listed: Mapping[InventoryKind, Answers] = field(default_factory=dict)
    items: Mapping[InventoryKind, Mapping[str, str]] = field(default_factory=dict)
    many: Answers = ()
    sent: Request | None = None


def reply_of(answers: Answers, request: AnyRequest, number: int) -> Reply:
    """The answer to a request, which is the one of that number about its run or resource."""
    if callable(answers):
        body = answers(request)
    elif isinstance(answers, tuple):
        assert number < len(answers), f"the example has {len(answers)} answers, but one more is asked for: {request}"
        body = answers[number]
    else:
        assert number == 0, f"the example has one answer, but more is asked for: {request}; give a tuple of them"
        body = answers
    return body if isinstance(body, Reply) else Reply(status=200, text=json.dumps(body))


class Scene:
    """An example, carried out by the adapter. Everything in it went through the same code as in an apply."""

    def __init__(self, vendor: Vendor, example: Example) -> None:
        self.vendor = vendor
        self.adapter = watched(vendor)
        self.name = vendor.info.name
        self.example = example

    def altered(self, **changes: Any) -> Scene:  # noqa: ANN401  fields of an Example
        """The same with another example."""
        return Scene(self.vendor, replace(self.example, **changes))

    def with_row(self, old: Mapping[str, Json], new: Mapping[str, Json]) -> Scene:
        return self.altered(rows=[new if row is old else row for row in self.example.rows])

    @cached_property
    def manifest(self) -> Manifest:
        rows = [{"vendor": self.name, **row} for row in self.example.rows]
        vendors = {self.name: dict(self.example.settings)} if self.example.settings else {}
        data = {"version": 1, "name": "conformance", "vendors": vendors, "matrix": rows}
        return load("example", json.dumps(data, indent=1))

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        return expand(self.manifest)

    @cached_property
    def plan(self) -> Plan:
        """The plan, written down and read again. AssertionError if a row is not a valid one."""
        try:
            plan = self.compiled()
        except ManifestError as error:
            text = "\n".join(
                f"{diagnostic} ({diagnostic.hint})\n  {diagnostic.source}" for diagnostic in error.diagnostics
            )
            raise AssertionError(f"the example's rows are refused:\n{text}") from error
        again = from_json(to_json(plan), path=Path("plan.json"))
        assert again == plan, "a plan has to be the same after it was written down: is all of it plain JSON?"
        return again

    def compiled(self) -> Plan:
        """The plan; ManifestError if a row is not a valid one."""
        problems = check_rows(self.manifest, self.rows)
        if problems:
            raise ManifestError(problems)
        try:
            return self._compile()
        except AdapterBug as error:
            raise AssertionError(str(error.__cause__ or error)) from error

    def _compile(self) -> Plan:
        return compile_plan(
            manifest=self.manifest,
            rows=self.rows,
            entries=[entry_of(self.manifest, row, today=date.min) for row in self.rows],  # no quarantine has ended
            settings={self.name: self.example.settings},
            vendors={self.name: self.adapter},  # so that these calls are watched as well
            secrets=(),
            metadata=self.example.metadata,
            git={},
            ci={},
            tool="conformance",
            measure=_measured,
        )

    @property
    def job(self) -> Job:
        jobs = self.plan.jobs
        assert len(jobs) == 1, f"{len(jobs)} create calls for one example: write an Example for each"
        return jobs[0]

    @cached_property
    def call(self) -> Call:
        return self.plan.call(self.job, self.plan.entry_map())

    @property
    def created(self) -> Reply:
        return reply_of(self.example.created, self.job.request, 0)

    @cached_property
    def runs(self) -> tuple[RemoteRun, ...]:
        try:
            runs = self.adapter.accepted(self.call, self.created)
        except UnexpectedData as error:
            raise AssertionError(f"{self.name}: the example's `created` is not understood: {error}") from error
        assert isinstance(runs, tuple), f"{self.name}: the example's `created` starts no run: {runs}"
        return runs

    def runs_of(self, created: Reply) -> tuple[RemoteRun, ...]:
        """The runs of an answer to the create; nothing where it says that there is no run to ask for."""
        answer = self.adapter.accepted(self.call, created)
        return answer if isinstance(answer, tuple) else ()

    def read(self, run: RemoteRun, replies: Sequence[Reply], *, polls: int = 0) -> Status:
        """What the adapter makes of the replies about a run."""
        return self.adapter.read(self.call, run, replies, polls=polls)

    # --- stories ------------------------------------------------------------------------------------------------------

    def exchanges(self, answers: Answers) -> dict[str, list[Exchange]]:
        """What the adapter asks about each run, and what the story answers."""
        return {run.id: self._exchanges(run, answers) for run in self.runs}

    def _exchanges(self, run: RemoteRun, answers: Answers) -> list[Exchange]:
        request = self.adapter.poll(self.call, run)
        pairs = [(request, reply_of(answers, request, 0))]
        while isinstance(status := self.read(run, [reply for _, reply in pairs]), More):
            pairs.append((status.request, reply_of(answers, status.request, len(pairs))))
            assert len(pairs) < MOST_REPLIES, f"{self.name}: read asks for more and more"
        return pairs

    def story(self, answers: Answers) -> dict[str, list[Reply]]:
        """The replies about each run, as the adapter asks for them."""
        return {run: [reply for _, reply in pairs] for run, pairs in self.exchanges(answers).items()}

    def outcomes(self, created: Reply, story: Runs) -> dict[str, Outcome] | None:
        """What these replies come to, with the engine's own last net; None while anything is not over.

        A run or a request that the story does not have is not found.
        """
        try:
            runs = self.adapter.accepted(self.call, created)
            if not isinstance(runs, tuple):
                return dict(runs.outcomes) if isinstance(runs, Finished) else None
            ends = [self._last(run, story.get(run.id, ())) for run in runs]
        except UnexpectedData:
            return None
        over = [end.outcomes for end in ends if isinstance(end, Finished)]
        if len(over) < len(ends):
            return None
        return {
            entry.id: merge([by_entry[entry.id] for by_entry in over if entry.id in by_entry])
            for entry in self.call.entries
        }

    def early(self, story: Runs) -> dict[str, Outcome]:
        """Entries that are over although their run goes on, as these replies say."""
        outcomes: dict[str, Outcome] = {}
        for run in self.runs:
            with contextlib.suppress(UnexpectedData):
                status = self._last(run, story.get(run.id, ()))
                outcomes |= status.outcomes if isinstance(status, Running) else {}
        return outcomes

    def _last(self, run: RemoteRun, story: Sequence[Reply]) -> Running | Finished:
        replies: list[Reply] = []
        for number in range(MOST_REPLIES):
            replies.append(story[number] if number < len(story) else Reply(status=404, text="not found"))
            status = self.read(run, replies)
            if not isinstance(status, More):
                return status
        raise AssertionError(f"{self.name}: read asks for more and more")


def _measured(path: str, rules: BuildRules | None) -> Build:
    """A build that does not have to exist."""
    del rules
    return Build(path=path, filename=path.rpartition("/")[2], size=4096, sha256="ab" * 32)


_SHOWN = 1500


_MAY_REFUSE: Mapping[str, type[Exception]] = {
    **dict.fromkeys(("accepted", "read", "prepare", "inventory", "poll_many"), UnexpectedData),
    **dict.fromkeys(("group", "submit"), UserError),
}


_NONE = type(None)


_ANSWERS: Mapping[str, tuple[type, ...]] = {
    "check": (Complaint,),
    "check_call": (Complaint,),
    "check_all": (Conflict,),
    "group": (object,),
    "resources": (Dependency,),
    "notices": (str,),
    "prepare": (Request, Upload, More, Prepared, Refusal),
    "kept": (Leftover, _NONE),
    "may_stay": (Leftover, _NONE),
    "release": (Request, _NONE),
    "submit": (Request,),
    "accepted": (tuple, Finished, Refusal),
    "poll": (Request,),
    "read": (Running, More, Finished),
    "poll_many": (Request, Mapping, _NONE),
    "inventory": (Request, Refusal, tuple),
    "cancel": (Request, _NONE),
    "cancel_all": (Request, _NONE),
    "refused": (Refusal,),
}
"""What an answer is, or what each of its elements is."""


_ITERABLE = frozenset({"check", "check_call", "check_all", "group", "resources", "notices"})


def watched(vendor: Vendor) -> Vendor:
    """The same adapter, with each answer held against the protocol: AssertionError for what breaks it."""
    return cast("Vendor", _Watched(vendor))


class _Watched:
    """Asks a vendor's methods. Each call is made twice: equal questions have equal answers, and change nothing."""

    def __init__(self, vendor: Vendor) -> None:
        self._vendor = vendor
        self.info = vendor.info
        self._calls: dict[int, tuple[Call, Call]] = {}

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method not in _ANSWERS:
            raise AttributeError(method)
        return partial(self._ask, method)

    def _copy(self, argument: object) -> object:
        """A copy; of a call one for all questions: it is large, and each question makes sure that it is equal still."""
        if not isinstance(argument, Call):
            return deepcopy(argument)
        if id(argument) not in self._calls:
            self._calls[id(argument)] = argument, deepcopy(argument)
        return self._calls[id(argument)][1]

    def _ask(self, method: str, *arguments: object, **named: object) -> object:
        others = tuple(map(self._copy, arguments))
        other_named, itself = deepcopy((named, getattr(self._vendor, "__dict__", None)))
        first = self._once(method, arguments, named)
        same = (arguments, named, getattr(self._vendor, "__dict__", None)) == (others, other_named, itself)
        assert same, self._said(method, arguments, "changed what it was given, or itself")
        second = self._once(method, others, other_named)
        same = repr(first) == repr(second) if isinstance(first, Exception) else first == second
        assert same, self._said(method, arguments, f"answered {first!r}, then {second!r}")
        if isinstance(first, Exception):
            raise first
        for problem in _problems(method, arguments, first):
            raise AssertionError(self._said(method, arguments, problem))
        return first

    def _once(self, method: str, arguments: Sequence[object], named: dict[str, Any]) -> object:
        try:
            with asking():
                answer = getattr(self._vendor, method)(*arguments, **named)
                return list(answer) if method in _ITERABLE else answer
        except Touched as error:
            raise AssertionError(self._said(method, arguments, str(error))) from error
        except Exception as error:
            if isinstance(error, _MAY_REFUSE.get(method, ())):
                return error
            raise AssertionError(self._said(method, arguments, f"raised {type(error).__name__}: {error}")) from error

    def _said(self, method: str, arguments: Sequence[object], what: str) -> str:
        shown = "\n".join(f"  {argument!r}"[:_SHOWN] for argument in arguments)
        return f"{self.info.name}: {method}: {what}\ngiven\n{shown}"


def _problems(method: str, arguments: Sequence[Any], answer: Any) -> Iterator[str]:  # noqa: ANN401  of any method
    """What breaks the protocol in the answer to a method with these arguments."""
    for element in answer if method in _ITERABLE else (answer,):
        if not isinstance(element, _ANSWERS[method]):
            yield f"expected {' or '.join(kind.__name__ for kind in _ANSWERS[method])}, got {element!r}"
        match element:
            case Complaint() if not (element.message and isinstance(element.path, tuple)):
                yield f"a complaint has words, and a tuple as its path: {element!r}"
            case Conflict() if not element.entries or set(element.entries) - _entries(*arguments[0]):
                yield f"a conflict is one of entries that are there: {element!r}"
            case Refusal() if not (str(element.message).strip() and isinstance(element.cause, Cause)):
                yield f"a refusal without words, or without a Cause: {element!r}"
            case Running() | Finished():
                yield from _of_outcomes(method, arguments[0], element)
            case tuple() if method == "accepted":
                yield from _of_runs(element)
            case tuple() if method == "inventory" and not all(isinstance(item, Item) for item in element):
                yield f"expected Items, got {element!r}"


def _entries(*calls: Call) -> set[str]:
    return {entry.id for call in calls for entry in call.entries}


def _of_outcomes(method: str, call: Call, status: Running | Finished) -> Iterator[str]:
    others = {*status.entries, *status.so_far} if isinstance(status, Running) else set()
    if strangers := (others | set(status.outcomes)) - _entries(call):
        yield f"outcomes of other entries: {strangers}"
    if method == "accepted":
        good = [name for name, outcome in status.outcomes.items() if without_run(outcome) != outcome]
        if good:
            yield f"without a run, no test passes: {good}"


def _of_runs(runs: tuple[object, ...]) -> Iterator[str]:
    """An answer without runs and without a reason is UnexpectedData."""
    ids = [run.id if isinstance(run, RemoteRun) else None for run in runs]
    if not ids or not all(isinstance(name, str) and name for name in ids):
        yield f"a run without an id, or no run, which is UnexpectedData: {runs}"
    if len(ids) > len(set(ids)):
        yield f"runs with the same id: {ids}"
