"""What an adapter's author needs: the types that go in and out, and the protocol between them.

An adapter is pure and stateless. It never sends, sleeps, retries, logs or reads the environment; the engine does
that, once, for all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeAlias

from qarunner.cursor import Cursor, Json
from qarunner.entry import Entry, Platform, SelectionKind, TargetKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Verdict(StrEnum):
    """What became of a test, an entry or a run. Only `passed` and `flaky` let a build through."""

    PASSED = "passed"
    FAILED = "failed"
    BLOCKED = "blocked"
    FLAKY = "flaky"
    SKIPPED = "skipped"
    ERROR = "error"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


GOOD = frozenset({Verdict.PASSED, Verdict.FLAKY})
FINISHED = frozenset({Verdict.PASSED, Verdict.FLAKY, Verdict.FAILED, Verdict.BLOCKED})
"""Verdicts of tests that ran to an end: what `gate.min_tests` counts."""


class Cause(StrEnum):
    """Why there is no ordinary verdict; decides the exit code."""

    REFUSED = "refused"
    CREDENTIAL = "credential"
    ALLOWANCE = "allowance"
    UNCERTAIN = "uncertain"
    UNAVAILABLE = "unavailable"
    BUG = "bug"


# --- requests and replies ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRef:
    """The bytes of a build as a request's body; `zipped`: inside a zip that is the same for the same content."""

    path: str
    zipped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call. The credential and the idempotency key are added when it is sent.

    `path` is relative to the vendor's base URL; an absolute one (a presigned upload) is sent without any credential.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: Json = None
    headers: tuple[tuple[str, str], ...] = ()
    file: FileRef | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer over HTTP, whatever its status. Header names are in lower case; secrets are already placeholders."""

    status: int
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300  # noqa: PLR2004  any 2xx: no vendor promises one code

    def json(self) -> Cursor:
        """The body; UnexpectedData if it is not JSON."""
        return Cursor.parse(self.text, "reply $")


# --- what an adapter is asked with, and answers -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """Where a build comes from; everything is optional."""

    repository: str | None = None
    ref: str | None = None
    commit: str | None = None
    event: str | None = None
    build_url: str | None = None
    pr_number: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One create call: its entries, the vendor's settings from the manifest, and the build's metadata."""

    entries: tuple[Entry, ...]
    settings: Mapping[str, Json] = field(default_factory=dict)
    metadata: Metadata = field(default_factory=Metadata)


# --- what has to exist before a create --------------------------------------------------------------------------------


class ResourceKind(StrEnum):
    """A build is uploaded once per vendor and content; an environment is made for one job and deleted afterwards."""

    BUILD = "build"
    ENVIRONMENT = "environment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A local build: its path in the repository (with `/`), its size in bytes, the SHA-256 of its content in hex.

    A folder of split APKs is one build; its size and hash are those of the files in it, in order of their names.
    """

    path: str
    filename: str
    size: int
    sha256: str
    folder: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Something that a call's create refers to. `key` is the adapter's name for it within the call.

    `path` is the build's as the manifest has it; `data` is what the adapter wants to be told again in `prepare`.
    """

    key: str
    kind: ResourceKind
    path: str | None = None
    data: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A need of the plan. Equal needs of several jobs are one resource; `id` is unique in the plan."""

    id: str
    vendor: str
    kind: ResourceKind
    build: Build | None = None
    data: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A resource that exists at the vendor; `values` are what creates refer to, such as `target_id`."""

    values: Mapping[str, str]


def use(key: str, field_: str) -> str:
    """The text in a create's body that stands for a value of a prepared resource: put in when the create is sent."""
    return f"⟦use:{field_}:{key}⟧"


_USE = re.compile(r"⟦use:([a-z_]+):([^⟧]*)⟧")


def fill(body: Json, values: Mapping[str, Mapping[str, str]]) -> Json:
    """A body with the values of prepared resources in place of `use(key, field)`. KeyError if one is missing."""
    match body:
        case str():
            return _USE.sub(lambda found: values[found[2]][found[1]], body) if "⟦use:" in body else body
        case dict():
            return {name: fill(value, values) for name, value in body.items()}
        case list() | tuple():
            return [fill(value, values) for value in body]
        case _:
            return body


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRules:
    """What a vendor takes as `target.binary`: endings of file names, and how many bytes at most (None: not known)."""

    endings: tuple[str, ...]
    max_bytes: int | None = None
    folders: bool = False
    """Whether a folder of split APKs is taken as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteRun:
    """A run at a vendor. `memo` is what the adapter wants to be told again when it reads the run's status."""

    id: str
    url: str | None = None
    memo: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    title: str
    verdict: Verdict
    message: str | None = None
    screenshot_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One test's result. `raw_status` is the vendor's own word; durations are seconds."""

    id: str
    verdict: Verdict
    name: str | None = None
    raw_status: str | None = None
    duration_s: float | None = None
    url: str | None = None
    message: str | None = None
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one entry. `counts` stands in for cases where the vendor tells numbers alone."""

    verdict: Verdict
    cases: tuple[Case, ...] = ()
    counts: Mapping[Verdict, int] = field(default_factory=dict)
    message: str | None = None
    url: str | None = None
    raw_status: str | None = None
    duration_s: float | None = None
    cause: Cause | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Not over yet. `wait_s` is the vendor's hint in seconds, `note` its own word, `done` of `total` tests are over."""

    note: str
    wait_s: float | None = None
    done: int | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class More:
    """Send this as well, and ask again with one reply more.

    `best_effort`: the verdict does not depend on it. Whatever goes wrong with it is handed over as a reply (without
    an answer: status 0), and nothing is repeated.
    """

    request: Request
    best_effort: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The run is over. An entry of the call that has no outcome here becomes `unknown`."""

    outcomes: Mapping[str, Outcome]


Status: TypeAlias = "Running | More | Finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A vendor's error answer in words. `cause` says what it means for the exit code."""

    message: str
    cause: Cause = Cause.REFUSED


# --- what a vendor can do ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """The table that the check, `qarunner vendors` and the docs share.

    `targets` maps a platform to the targets that it takes there (None: entries without a platform).
    `instead` maps a manifest word that the vendor cannot take (`test_ids`, `web_url`, `artifacts`, `ios` …) to the
    reason and, where there is one, the way to do it instead.
    """

    targets: Mapping[Platform | None, frozenset[TargetKind]]
    target_required: bool
    selections: frozenset[SelectionKind]
    several_ids: bool = True
    artifacts: bool = False
    cancel: bool = False
    per_test_results: bool = True
    builds: Mapping[Platform, BuildRules] = field(default_factory=dict)
    instead: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacing:
    """How often a vendor may be asked. Rates are requests a minute (None: not documented), intervals are seconds."""

    every_s: float
    max_s: float
    reads: int | None = None
    creates: int | None = None
    all: int | None = None
    max_in_flight: int = 16
    hint_s: tuple[float, float] | None = None
    """The bounds within which the vendor's own hint is followed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorInfo:
    """Everything about a vendor that is data. `auth` is the header and its text, with `{key}` for the credential."""

    name: str
    title: str
    docs: str
    base_url: str
    url_env: tuple[str, ...]
    key_env: str
    auth: tuple[str, str]
    capabilities: Capabilities
    pacing: Pacing
    idempotency_header: str | None = None
    options: Mapping[str, Json] = field(default_factory=dict)
    """JSON Schema of an entry's `options`, as `properties`."""
    settings: Mapping[str, Json] = field(default_factory=dict)
    """JSON Schema of what this vendor adds under `vendors.<name>`, as `properties`."""
    credential_environ: tuple[str, ...] = ()
    """Names of other credentials of this vendor; templates can never read them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """Something in an entry that this vendor cannot do. `path` leads from the entry to the place."""

    path: tuple[str | int, ...]
    message: str
    hint: str | None = None


class Vendor(Protocol):
    """An adapter. Exceptions other than UnexpectedData out of its methods are its bugs, and end one job alone.

    Inherit from it: methods with a body here are what a vendor without uploads and environments needs.
    """

    info: VendorInfo

    def check(self, row: Mapping[str, object], settings: Mapping[str, Json]) -> Iterable[Complaint]:
        """What the capability table cannot say of a row of the manifest; strings may still be templates.

        The row is the merged mapping with the manifest's own keys; it passed the schema and the table.
        """
        del row, settings
        return ()

    def group(self, entries: Sequence[Entry]) -> Iterable[tuple[Entry, ...]]:
        """Which entries share one create call, in order."""
        return [(entry,) for entry in entries]

    def resources(self, call: Call) -> Iterable[Need]:
        """What has to exist before the call's create."""
        del call
        return ()

    def prepare(self, resource: Resource, token: str, replies: Sequence[Reply]) -> Request | Prepared:
        """The next request that makes a resource, given the 2xx replies to the ones before; at last, the resource.

        `token` is a short text that no other resource of any run has. UnexpectedData: a reply cannot be used.
        """
        raise NotImplementedError

    def release(self, resource: Resource, prepared: Prepared) -> Request | None:
        """The request that removes a resource when its last job has ended; None: it stays."""
        del resource, prepared
        return None

    def notices(self, call: Call) -> Iterable[str]:
        """What a call changes beyond its own run, in a sentence each: the plan says it before anything is sent."""
        del call
        return ()

    def submit(self, call: Call) -> Request:
        """The create. Values of resources stand in it as `use(key, field)`."""
        ...

    def accepted(self, call: Call, reply: Reply) -> tuple[RemoteRun, ...]:
        """The runs that a 2xx answer to a create tells of. UnexpectedData: it cannot be told whether there is one."""
        ...

    def poll(self, call: Call, run: RemoteRun) -> Request:
        """The first request for a run's status."""
        ...

    def read(self, call: Call, run: RemoteRun, replies: Sequence[Reply], *, polls: int) -> Status:
        """What the replies to `poll` and to each `More` say. `polls` counts earlier polls of this run.

        Also asked about a 404: Running, or UnexpectedData. Outcomes of the entries that this run is about; where an
        entry has several runs, the engine merges them.
        """
        ...

    def cancel(self, call: Call, run: RemoteRun) -> Request | None:
        """The request that stops a run; None where the vendor has none."""
        del call, run
        return None

    def refused(self, reply: Reply) -> Refusal:
        """An error answer in words, from whichever call."""
        ...
