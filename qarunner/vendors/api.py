"""What an adapter's author needs: the types that go in and out, and the protocol between them.

An adapter is pure and stateless. It never sends, sleeps, retries, logs or reads the environment; the engine does
that, once, for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Protocol, TypeAlias

from msgspec import Struct, field

from qarunner.decode import Json as Json
from qarunner.decode import JsonReader as JsonReader
from qarunner.decode import UnexpectedData as UnexpectedData
from qarunner.entry import Entry as Entry
from qarunner.entry import NameKind
from qarunner.entry import Platform as Platform
from qarunner.entry import SelectionKind as SelectionKind
from qarunner.entry import TargetKind as TargetKind
from qarunner.regex import regex

# ---------------------------------------------------------------------------------------------------------------------

# Requests and replies as adapters see them: before credentials are added, after secrets are taken out.


class FileRef(Struct, frozen=True, kw_only=True):
    """The bytes of a build as a request's body; `zipped`: inside a zip that is the same for the same content."""

    path: str
    zipped: bool = False


METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
"""All that an API of resources needs. CONNECT or TRACE speak to what stands between, and have no place in a plan."""


class Request(Struct, frozen=True, kw_only=True):
    """One call. The credential and the idempotency key are added when it is sent.

    `method` is one of METHODS. `path` is relative to the vendor's base URL, and begins with one `/`.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: Json = None
    headers: tuple[tuple[str, str], ...] = ()


class UploadAddress(Struct, frozen=True, kw_only=True):
    """Where a vendor's reply says that a build goes: an absolute URL, sent as it stands.

    Only what is read from a reply is one: a plan has no place for it.
    """

    url: str


class Form(Struct, frozen=True, kw_only=True):
    """A multipart form around the bytes: text `fields` first, as stores want them, then the file under `name`."""

    filename: str
    name: str = "file"
    fields: tuple[tuple[str, str], ...] = ()


class Upload(Struct, frozen=True, kw_only=True):
    """A build's bytes to an address that a reply gave. It gets no credential and no secret.

    With a `form`, they are a part of it, and the method is POST.
    """

    address: UploadAddress
    file: FileRef
    method: str = "PUT"
    headers: tuple[tuple[str, str], ...] = ()
    form: Form | None = None

    @property
    def path(self) -> str:
        """The address, under the name that a request has for it."""
        return self.address.url


AnyRequest: TypeAlias = "Request | Upload"


_OK, _SERVER_ERROR = 200, 500
_OF_GATEWAYS = 520
"""From here on, no standard knows a status: gateways use them for trouble with the server behind them."""
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_UNCLEAR = frozenset({408, 409, 425})
_NEVER_DONE = frozenset({501, 505, 506, 510, 511})
"""The server says of these that it does not do such a thing at all (RFC 9110, 15.6; RFC 6585)."""


class Reply(Struct, frozen=True, kw_only=True):
    """An answer over HTTP, whatever its status. Header names are in lower case; secrets are already placeholders."""

    status: int
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300  # noqa: PLR2004  any 2xx: no vendor promises one code

    @property
    def is_transient(self) -> bool:
        """True if the same request may well succeed when it is repeated."""
        return self.status in _TRANSIENT or self.status >= _OF_GATEWAYS

    @property
    def is_unclear(self) -> bool:
        """True if a request that changes something may have been carried out, although this is no 2xx.

        Gateways answer with a conflict, 425 or a redirect, too, after they have passed a request on. Status 0 stands
        for no answer at all. 429 says that nothing was done.
        """
        if self.status >= _SERVER_ERROR:
            return self.status not in _NEVER_DONE
        return self.status < _OK or self.status in range(300, 400) or self.status in _UNCLEAR

    def json(self) -> JsonReader:
        """The body; UnexpectedData if it is not JSON."""
        return JsonReader.parse(self.text, "reply $")


class Fault(Struct, frozen=True, kw_only=True):
    """A request without a reply. `sent`: a byte of it was handed to the connection, so that it may have arrived.

    `final`: sending it again cannot help, and this is the cause. Only a request that was not sent has one.
    """

    message: str
    sent: bool
    final: Cause | None = None


# ---------------------------------------------------------------------------------------------------------------------

# Everything about a vendor that is data: what it can do, how fast it may be asked, how it is reached.


class Capabilities(Struct, frozen=True, kw_only=True):
    """The table that the check, `qarunner vendors` and the docs share.

    `targets` maps a platform to the targets that it takes there (None: entries without a platform).
    `instead` maps a manifest word that the vendor cannot take (`test_ids`, `web_url`, `artifacts`, `ios` …) to the
    reason and, where there is one, the way to do it instead.
    """

    targets: Mapping[Platform | None, frozenset[TargetKind]]
    target_required: bool
    selections: frozenset[SelectionKind]
    several_ids: bool = True
    """False if an entry has exactly one category."""
    several_tests: bool = True
    """False if an entry has exactly one single test."""
    integer_ids: bool = False
    """True if ids are integers: they may stand in a manifest without quotes."""
    environment_ids: str | None = None
    """The form of an environment's id, as a regular expression: any other text is its name. None: ids are names."""
    artifacts: bool = False
    cancel: bool = False
    per_test_results: bool = True
    builds: Mapping[Platform, BuildRules] = field(default_factory=dict)
    instead: Mapping[str, str] = field(default_factory=dict)

    def takes_one(self, selection: SelectionKind) -> bool:
        """True if an entry has exactly one of what it selects by."""
        is_single = {SelectionKind.CATEGORY_IDS: not self.several_ids, SelectionKind.TEST_IDS: not self.several_tests}
        return selection in self.selections and is_single.get(selection, False)


class Pacing(Struct, frozen=True, kw_only=True):
    """How often a vendor may be asked. Rates are requests a minute (None: not documented), intervals are seconds."""

    every_s: float
    max_s: float
    reads: int | None = None
    creates: int | None = None
    all: int | None = None
    max_in_flight: int = 16
    hint_s: tuple[float, float] | None = None
    """The bounds within which the vendor's own hint is followed."""


class Starter(Struct, frozen=True, kw_only=True):
    """Lines of YAML for a first manifest: an entry under `matrix`, indented by two, and settings under `vendors`.

    `snippet` is the entry that editors offer, without `vendor`; `${1:…}` marks what is filled in. `tests` says in words
    what it runs.
    """

    entry: str
    settings: str = ""
    tests: str = "Tests"
    snippet: Mapping[str, Json] = field(default_factory=dict)


class InventoryKind(StrEnum):
    """What a vendor may list. A category is its own named collection of tests: a suite, a group, a process."""

    PROJECT = "project"
    TEST = "test"
    CATEGORY = "category"
    TAG = "tag"
    ENVIRONMENT = "environment"
    APP = "app"


INVENTORIES: Mapping[str, InventoryKind] = {
    NameKind.TESTS: InventoryKind.TEST,
    NameKind.CATEGORIES: InventoryKind.CATEGORY,
    NameKind.ENVIRONMENTS: InventoryKind.ENVIRONMENT,
}
"""The inventory that knows each kind of name."""


class Auth(Struct, frozen=True, kw_only=True):
    """Where a request carries the credential: in headers, in the query, or as Basic (user, password).

    In the texts, `{key}` stands for the credential, and `{NAME}` for the variable NAME of `credential_environ`.
    """

    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    basic: tuple[str, str] | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        """All that is filled in."""
        return (*self.headers.values(), *self.query.values(), *(self.basic or ()))

    @property
    def header_names(self) -> frozenset[str]:
        """The headers that it fills, in lower case."""
        return frozenset({name.lower() for name in self.headers} | ({"authorization"} if self.basic else set()))

    def reserves(self, header: str) -> bool:
        """True for a header that no request sets by itself: it says who asks, or which server answers."""
        name = header.lower()
        return name in self.header_names | _OF_THE_WAY or name.startswith(("proxy-", "x-forwarded-"))


_OF_THE_WAY = frozenset(
    {
        *("host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "expect"),
        *("cookie", "forwarded", "authorization"),
    }
)


class VendorInfo(Struct, frozen=True, kw_only=True):
    """Everything about a vendor that is data."""

    name: str
    title: str
    docs: str
    base_url: str
    url_env: tuple[str, ...]
    key_env: str
    auth: Auth
    capabilities: Capabilities
    pacing: Pacing
    url_suffix: str = ""
    """The beginning of all paths, where the vendor's own tools take it as the end of the base URL as well: `/api`."""
    idempotency_header: str | None = None
    inventories: frozenset[InventoryKind] = frozenset()
    """What `Vendor.inventory` lists; empty: the vendor has no inventory, and its ids come from its dashboard."""
    lists_need_more: str = ""
    """Why a key that starts runs may be refused lists; empty: it is not."""
    key_begins: str = ""
    """How the vendor's page shows that its keys begin; empty: it shows nothing."""
    options: Mapping[str, Json] = field(default_factory=dict)
    """JSON Schema of an entry's `options`, as `properties`."""
    settings: Mapping[str, Json] = field(default_factory=dict)
    """JSON Schema of what this vendor adds under `vendors.<name>`, as `properties`."""
    credential_environ: tuple[str, ...] = ()
    """Names of other credentials of this vendor; templates can never read them, and those that `auth` names must be
    set."""
    settings_env: Mapping[str, str] = field(default_factory=dict)
    """The vendor's own variables that give a setting where the manifest lacks it: setting → variable."""
    starter: Starter | None = None
    """What `init` writes; None: nothing."""
    # What the schema of the manifest says of a built-in vendor besides: a plugin's entries are checked by its `check`.
    summary: str = ""
    """A sentence in Markdown: the platforms, and how tests are chosen."""
    collection: str = "category"
    """What the vendor calls the thing that `category_ids` names."""
    rules: Mapping[str, Json] = field(default_factory=dict)
    """JSON Schema of an entry's keys, beyond what `capabilities` say. It holds however variants change the entry."""
    row_rules: tuple[Json, ...] = ()
    """The same of what depends on values that a variant can change."""
    chosen_by_options: Json = None
    """JSON Schema of the `options` with which an entry needs no test_ids, category_ids or tags; None: no options do."""


CAPABILITY = "E212"
"""The code of what a vendor cannot do, where the manifest's schema says it."""


def only_one(info: VendorInfo, selection: SelectionKind) -> tuple[str, str]:
    """What to say of an entry that has several where the vendor takes one, and what to do."""
    what, instead = info.collection, ""
    if selection is SelectionKind.TEST_IDS:
        what, instead = "test", f", or name a {info.collection}"
    message = f"{info.name} runs one {what} at a time: an entry has exactly one"
    return message, f"write an entry or a variant for each{instead}"


def refuse(message: str, hint: str | None = None) -> dict[str, Json]:
    """A schema of a key that cannot stand here, with the reason."""
    more: dict[str, Json] = {"x-hint": hint} if hint else {}
    return {"not": {}, "errorMessage": message, **more, "x-code": CAPABILITY}


def options_go_with(where: str, *names: str, hint: str | None = None) -> dict[str, Json]:
    """Schemas of options that cannot stand here, because they go with something else."""
    return {name: refuse(f"options.{name} goes with {where} alone", hint) for name in names}


class Conflict(Struct, frozen=True, kw_only=True):
    """Entries that cannot stand in one plan: `path` leads to the place in the first, where the problem is shown."""

    entries: tuple[str, ...]
    path: tuple[str | int, ...]
    message: str
    hint: str | None = None


class Complaint(Struct, frozen=True, kw_only=True):
    """Something in an entry that this vendor cannot do. `path` leads from the entry to the place."""

    path: tuple[str | int, ...]
    message: str
    hint: str | None = None


# ---------------------------------------------------------------------------------------------------------------------

# What a vendor's answers mean: runs, verdicts and the tests behind them.


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

    @property
    def words(self) -> str:
        """`timed out`: as it is said to people."""
        return self.replace("_", " ")


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
    INFRASTRUCTURE = "infra"
    """The vendor's page calls this failure its own infrastructure's: worth a new attempt."""
    CONNECTION = "connection"
    """The way to the vendor needs a person: its certificate is not trusted, or the proxy wants another password."""
    BUG = "bug"
    DEPENDENCY = "need"
    """qarunner skipped the entry: one that it needs did not pass."""


class RemoteRun(Struct, frozen=True, kw_only=True):
    """A run at a vendor. `memo` is given back to the adapter when it reads the run's status.

    `test` is the id of the one test that it runs, where the create's reply says so: reports name it without a result.
    """

    id: str
    url: str | None = None
    test: str | None = None
    memo: Mapping[str, Json] = field(default_factory=dict)


class Step(Struct, frozen=True, kw_only=True):
    """A step of a test. `kind` is the vendor's own word for what it is: `act`, `assert`. Durations are seconds."""

    title: str
    verdict: Verdict
    message: str | None = None
    screenshot_url: str | None = None
    kind: str | None = None
    duration_s: float | None = None


class Case(Struct, frozen=True, kw_only=True):
    """One test's result. `raw_status` is the vendor's own word; durations are seconds.

    `video_url` is a recording, `ids` are other ids of this result at the vendor by their names: `execution`.
    """

    id: str
    verdict: Verdict
    name: str | None = None
    raw_status: str | None = None
    duration_s: float | None = None
    url: str | None = None
    message: str | None = None
    steps: tuple[Step, ...] = ()
    video_url: str | None = None
    ids: Mapping[str, str] = field(default_factory=dict)


class Outcome(Struct, frozen=True, kw_only=True):
    """What became of one entry. `counts` stands in for cases where the vendor tells numbers alone."""

    verdict: Verdict
    cases: tuple[Case, ...] = ()
    counts: Mapping[Verdict, int] = field(default_factory=dict)
    message: str | None = None
    url: str | None = None
    raw_status: str | None = None
    duration_s: float | None = None
    cause: Cause | None = None

    @property
    def reason(self) -> str | None:
        """Its message, or that of the first test with its verdict that has one."""
        cases = (case.message for case in self.cases if case.verdict is self.verdict and case.message)
        return self.message or next(cases, None)


class Running(Struct, frozen=True, kw_only=True):
    """Not over yet. `wait_s` is the vendor's hint in seconds, `note` its own word, `done` of `total` tests are over.

    `entries`: the same of single entries that share the run, as far as its results tell whose they are.
    `outcomes`: entries that are over although the run goes on. They are final, and closed at once.
    `so_far`: what is certain of other entries, for the case that no more comes: tests with their verdicts, and
    `unknown` for each test, or number of tests, that has no result yet.
    """

    note: str
    wait_s: float | None = None
    done: int | None = None
    total: int | None = None
    entries: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    so_far: Mapping[str, Outcome] = field(default_factory=dict)


class More(Struct, frozen=True, kw_only=True):
    """Send this as well, and ask again with one reply more.

    `best_effort`: the verdict does not depend on it. Whatever goes wrong with it is handed over as a reply (without
    an answer: status 0), and nothing is repeated.
    """

    request: Request
    best_effort: bool = False


class Finished(Struct, frozen=True, kw_only=True):
    """The run is over. An entry of the call that has no outcome here becomes `unknown`."""

    outcomes: Mapping[str, Outcome]


Status: TypeAlias = "Running | More | Finished"


class Item(Struct, frozen=True, kw_only=True):
    """Something that a manifest can name: `id` is what stands there, `name` what people call it at the vendor.

    `unusable` says why a run cannot name it now: it is paused, or of another kind. `holds_all` is True of a category
    of all tests: beside other categories it would run each of their tests once more. `slug` is a second name, where
    the vendor has such.
    """

    id: str
    name: str
    unusable: str | None = None
    holds_all: bool = False
    slug: str | None = None


class Refusal(Struct, frozen=True, kw_only=True):
    """A vendor's error answer in words. `cause` says what it means for the exit code."""

    message: str
    cause: Cause = Cause.REFUSED


Accepted: TypeAlias = "tuple[RemoteRun, ...] | Finished | Refusal"
"""What a 2xx answer to a create comes to: runs to ask for, the end of it at once, or no run at all."""


class ResourceKind(StrEnum):
    """A build is uploaded once per vendor and content; an environment is made for one job and deleted afterwards."""

    BUILD = "build"
    ENVIRONMENT = "environment"


class Build(Struct, frozen=True, kw_only=True):
    """A local build: its path in the repository (with `/`), its size in bytes, the SHA-256 of its content in hex.

    A folder of split APKs is one build; its size and hash are those of the files in it, in order of their names.
    """

    path: str
    filename: str
    size: int
    sha256: str
    folder: bool = False


class Dependency(Struct, frozen=True, kw_only=True):
    """Something that a call's create refers to. `key` is the adapter's name for it within the call.

    `path` is the build's as the manifest has it; `data` is what the adapter wants to get again in `prepare`.
    """

    key: str
    kind: ResourceKind
    path: str | None = None
    data: Mapping[str, Json] = field(default_factory=dict)


class Resource(Struct, frozen=True, kw_only=True):
    """A need of the plan. Equal needs of several jobs are one resource; `id` is unique in the plan."""

    id: str
    vendor: str
    kind: ResourceKind
    build: Build | None = None
    data: Mapping[str, Json] = field(default_factory=dict)


class Prepared(Struct, frozen=True, kw_only=True):
    """A resource that exists at the vendor; `values` are what creates refer to, such as `target_id`."""

    values: Mapping[str, str | int]


PrepareStep: TypeAlias = "Request | Upload | More | Prepared | Refusal"
"""What comes next on the way to a resource."""


class Leftover(Struct, frozen=True, kw_only=True):
    """How a person finds a resource at the vendor, and what to do there. `details` are its names: a key, an id."""

    what: str
    todo: str
    details: Mapping[str, str] = field(default_factory=dict)


def resource_ref(key: str, field_: str) -> str:
    """The text in a create's body that stands for a value of a prepared resource: put in when the create is sent."""
    return f"⟦use:{field_}:{key}⟧"


_USE = regex(r"⟦use:([a-z_]+):([^⟧]*)⟧")


def resolve_refs(body: Json, values: Mapping[str, Mapping[str, str | int]]) -> Json:
    """A body with the values of prepared resources in place of `resource_ref(key, field)`. KeyError if one is missing.

    A text that is such a place alone becomes the value as it is: an integer stays one.
    """

    def resolved(text: str) -> str | int:
        if whole := _USE.fullmatch(text):
            return values[whole[2]][whole[1]]
        return _USE.sub(lambda match: str(values[match[2]][match[1]]), text) if "⟦use:" in text else text

    return _with_texts(body, resolved)


def refs_as_text(body: Json, names: Mapping[str, str]) -> Json:
    """For people: a body with words in place of `resource_ref(key, field)`; `names` is what each key is called."""
    return _with_texts(
        body, lambda text: _USE.sub(lambda match: f"<{match[1]} of {names.get(match[2], match[2])}>", text)
    )


def _with_texts(body: Json, change: Callable[[str], Json]) -> Json:
    match body:
        case str():
            return change(body)
        case dict():
            return {name: _with_texts(value, change) for name, value in body.items()}
        case list() | tuple():
            return [_with_texts(value, change) for value in body]
        case _:
            return body


class BuildRules(Struct, frozen=True, kw_only=True):
    """What a vendor takes as `target.binary`: endings of file names, and how many bytes at most (None: not known)."""

    endings: tuple[str, ...]
    max_bytes: int | None = None
    folders: bool = False
    """Whether a folder of split APKs is taken as well."""
    zips_of_apks: bool = False
    """Whether a .zip holds one .apk, or base.apk with split_config.*.apk, and nothing else."""


# ---------------------------------------------------------------------------------------------------------------------

# What an adapter is asked, and by which methods.


class Metadata(Struct, frozen=True, kw_only=True):
    """Where a build comes from; everything is optional."""

    repository: str | None = None
    ref: str | None = None
    """The full name of the branch or tag: `refs/heads/main`, `refs/tags/v1`."""
    ref_name: str | None = None
    """The branch or tag alone: `main`, `v1`."""
    commit: str | None = None
    event: str | None = None
    build_url: str | None = None
    pr_number: int | None = None
    branch: str | None = None
    base_branch: str | None = None
    pr_title: str | None = None
    pr_description: str | None = None
    ci: str | None = None
    """`github`, `gitlab`, `jenkins`, `circleci`, `azure`, `bitbucket` or `buildkite`."""
    host: str | None = None
    """Who keeps the repository: `github`, or the name of another host."""
    run_id: str | None = None
    """The id of a GitHub Actions run; nothing else has one here."""
    actor: str | None = None
    """Who started the build, as the CI calls them."""


class Call(Struct, frozen=True, kw_only=True):
    """One create call: its entries, the vendor's settings from the manifest, and the build's metadata."""

    entries: tuple[Entry, ...]
    settings: Mapping[str, Json] = field(default_factory=dict)
    metadata: Metadata = field(default_factory=Metadata)


class Vendor(Protocol):
    """An adapter. Exceptions other than UnexpectedData out of its methods are its bugs, and end one job alone.

    Inherit from it: methods with a body here are what a vendor without uploads and environments needs.
    """

    info: VendorInfo

    def check(self, row: Mapping[str, object], settings: Mapping[str, Json]) -> Iterable[Complaint]:
        """What the capability table cannot say of a row of the manifest; strings may still be templates.

        The row is the merged mapping with the manifest's own keys; it passed the schema and the table.
        """
        return ()

    def group(self, entries: Sequence[Entry]) -> Iterable[tuple[Entry, ...]]:
        """Which entries share one create call, in order."""
        return [(entry,) for entry in entries]

    def resources(self, call: Call) -> Iterable[Dependency]:
        """What has to exist before the call's create."""
        return ()

    def prepare(self, resource: Resource, token: str, replies: Sequence[Reply]) -> PrepareStep:
        """The next request that makes a resource, given the 2xx replies to the ones before; at last, the resource.

        `token` is a short text that no other resource of any run has. It is the same whenever an environment is begun
        again, so that the vendor can tell that it has it; a build gets another one. Refusal: the replies say that there
        can be none. UnexpectedData: a reply cannot be used; all is begun again, and so it is where a Request fails.
        What must not be sent twice is a More with `best_effort`: whatever comes of it is handed over as one reply more.
        A Prepared environment without a create is the one that an earlier create with this token has made.
        """
        del resource, token, replies  # without a statement besides, type checkers want it from every vendor
        raise NotImplementedError

    def taken(self, resource: Resource, token: str, reply: Reply) -> bool:
        """Whether an error answer of `prepare` says that an environment with this token exists already.

        Asked where an earlier request may have made it, and of each 409: `prepare` then begins once more with the same
        token. If that is taken, too, it is named as left, and another token is taken.
        """
        return reply.status == 409  # noqa: PLR2004  conflict

    def leftover(self, resource: Resource, token: str, prepared: Prepared | None) -> Leftover:
        """How a person finds an environment that was not removed; `prepared` is None where its making had no answer.

        `what` is the same with and without it.
        """
        return Leftover(what=f"{resource.kind} {token}", todo=f"look for it at {self.info.title}, and delete it")

    def kept(self, resource: Resource, prepared: Prepared) -> Leftover | None:
        """How a person finds an uploaded build that stays at the vendor for good. None: it ends by itself."""
        return None

    def may_stay(self, resource: Resource, request: Request) -> Leftover | None:
        """How a person finds what a request of `prepare` may make, and what then stays for good, if its answer is lost.

        None: it makes nothing that stays. Environments have `leftover` instead.
        """
        return None

    def release(self, resource: Resource, prepared: Prepared) -> Request | None:
        """The request that removes a resource when its last job has ended; None: it stays."""
        return None

    def check_call(self, call: Call) -> Iterable[Complaint]:
        """What cannot be said of a row alone: whether this build can make the call. Paths lead from its first entry."""
        return ()

    def check_all(self, calls: Sequence[Call], builds: Mapping[str, Build]) -> Iterable[Conflict]:
        """What cannot stand together in one plan, given a call for each entry and the local builds by their paths."""
        return ()

    def notices(self, call: Call) -> Iterable[str]:
        """What a call changes beyond its own run, in a sentence each: the plan says it before anything is sent."""
        return ()

    def submit(self, call: Call) -> Request:
        """The create. Values of resources stand in it as `resource_ref(key, field)`."""
        ...

    def accepted(self, call: Call, reply: Reply) -> Accepted:
        """The runs that a 2xx answer to a create tells of.

        Finished: the vendor says that there is no run to ask for, and this is what the entries have of it; it is never
        a pass. Refusal: it says that it did nothing. UnexpectedData: whether there is a run is not certain.
        """
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

    def poll_many(
        self, settings: Mapping[str, Json], runs: Sequence[RemoteRun], replies: Sequence[Reply]
    ) -> Request | Mapping[str, Reply] | None:
        """One list that tells of many runs: the next request for it, given the replies so far; None: there is no list.

        At last, by its id, for each run that the list decides: the reply that `poll` would have got for it. The others
        are asked for by `poll`.
        """
        return None

    def inventory(
        self, kind: InventoryKind, settings: Mapping[str, Json], replies: Sequence[Reply]
    ) -> Request | Refusal | tuple[Item, ...]:
        """What the vendor lists of a kind in `info.inventories`: the next request, given the replies so far.

        At last, all items. Refusal: the settings, or the replies, say that there can be no list. UnexpectedData: a
        reply cannot be used.
        """
        del settings, replies
        raise NotImplementedError(kind)

    def cancel(self, call: Call, run: RemoteRun) -> Request | None:
        """The request that stops a run; None where the vendor has none."""
        return None

    def cancel_all(self, call: Call, runs: Sequence[RemoteRun]) -> Request | None:
        """One request that stops all runs of a create; `runs` are not over. None: each is stopped by itself.

        If it fails, each run is stopped by itself after all.
        """
        return None

    def refused(self, reply: Reply) -> Refusal:
        """An error answer in words, from whichever call."""
        ...
