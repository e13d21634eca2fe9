"""What an adapter's author needs: the types that go in and out, and the protocol between them.

An adapter is pure and stateless. It never sends, sleeps, retries, logs or reads the environment; the engine does
that, once, for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct, field

from qarunner.decode import Json, JsonReader, UnexpectedData
from qarunner.entry import Entry, Platform, SelectionKind, TargetKind
from qarunner.vendors.types import (
    FINISHED,
    GOOD,
    Accepted,
    Auth,
    Build,
    BuildRules,
    Capabilities,
    Case,
    Cause,
    Complaint,
    Conflict,
    Dependency,
    FileRef,
    Finished,
    Form,
    InventoryKind,
    Item,
    Leftover,
    More,
    Outcome,
    Pacing,
    Prepared,
    PrepareStep,
    Refusal,
    RemoteRun,
    Reply,
    Request,
    Resource,
    ResourceKind,
    Running,
    Starter,
    Status,
    Step,
    Upload,
    UploadAddress,
    VendorInfo,
    Verdict,
    resolve_refs,
    resource_ref,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "FINISHED",
    "GOOD",
    "Accepted",
    "Auth",
    "Build",
    "BuildRules",
    "Call",
    "Capabilities",
    "Case",
    "Cause",
    "Complaint",
    "Conflict",
    "Dependency",
    "Entry",
    "FileRef",
    "Finished",
    "Form",
    "InventoryKind",
    "Item",
    "Json",
    "JsonReader",
    "Leftover",
    "Metadata",
    "More",
    "Outcome",
    "Pacing",
    "Platform",
    "PrepareStep",
    "Prepared",
    "Refusal",
    "RemoteRun",
    "Reply",
    "Request",
    "Resource",
    "ResourceKind",
    "Running",
    "SelectionKind",
    "Starter",
    "Status",
    "Step",
    "TargetKind",
    "UnexpectedData",
    "Upload",
    "UploadAddress",
    "Vendor",
    "VendorInfo",
    "Verdict",
    "resolve_refs",
    "resource_ref",
]


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
        del row, settings
        return ()

    def group(self, entries: Sequence[Entry]) -> Iterable[tuple[Entry, ...]]:
        """Which entries share one create call, in order."""
        return [(entry,) for entry in entries]

    def resources(self, call: Call) -> Iterable[Dependency]:
        """What has to exist before the call's create."""
        del call
        return ()

    def prepare(self, resource: Resource, token: str, replies: Sequence[Reply]) -> PrepareStep:
        """The next request that makes a resource, given the 2xx replies to the ones before; at last, the resource.

        `token` is a short text that no other resource of any run has. It is the same whenever an environment is begun
        again, so that the vendor can tell that it has it; a build gets another one. Refusal: the replies say that there
        can be none. UnexpectedData: a reply cannot be used; all is begun again, and so it is where a Request fails.
        What must not be sent twice is a More with `best_effort`: whatever comes of it is handed over as one reply more.
        A Prepared environment without a create is the one that an earlier create with this token has made.
        """
        del resource, token, replies
        raise NotImplementedError

    def taken(self, resource: Resource, token: str, reply: Reply) -> bool:
        """Whether an error answer of `prepare` says that an environment with this token exists already.

        Asked only where an earlier request may have made it: it is then named as left, and another token is taken.
        """
        del resource, token
        return reply.status == 409  # noqa: PLR2004  conflict

    def leftover(self, resource: Resource, token: str, prepared: Prepared | None) -> Leftover:
        """How a person finds an environment that was not removed; `prepared` is None where its making had no answer.

        `what` is the same with and without it.
        """
        del prepared
        return Leftover(what=f"{resource.kind} {token}", todo=f"look for it at {self.info.title}, and delete it")

    def kept(self, resource: Resource, prepared: Prepared) -> Leftover | None:
        """How a person finds an uploaded build that stays at the vendor for good. None: it ends by itself."""
        del resource, prepared
        return None

    def may_stay(self, resource: Resource, request: Request) -> Leftover | None:
        """How a person finds what a request of `prepare` may make, and what then stays for good, if its answer is lost.

        None: it makes nothing that stays. Environments have `leftover` instead.
        """
        del resource, request
        return None

    def release(self, resource: Resource, prepared: Prepared) -> Request | None:
        """The request that removes a resource when its last job has ended; None: it stays."""
        del resource, prepared
        return None

    def check_call(self, call: Call) -> Iterable[Complaint]:
        """What cannot be said of a row alone: whether this build can make the call. Paths lead from its first entry."""
        del call
        return ()

    def check_all(self, calls: Sequence[Call], builds: Mapping[str, Build]) -> Iterable[Conflict]:
        """What cannot stand together in one plan, given a call for each entry and the local builds by their paths."""
        del calls, builds
        return ()

    def notices(self, call: Call) -> Iterable[str]:
        """What a call changes beyond its own run, in a sentence each: the plan says it before anything is sent."""
        del call
        return ()

    def submit(self, call: Call) -> Request:
        """The create. Values of resources stand in it as `resource_ref(key, field)`."""
        ...

    def accepted(self, call: Call, reply: Reply) -> Accepted:
        """The runs that a 2xx answer to a create tells of.

        Finished: the vendor says that there is no run to ask for, and this is what the entries have of it; it is never
        a pass. Refusal: it says that it did nothing. UnexpectedData: it cannot be told whether there is a run.
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
        del settings, runs, replies
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
        del call, run
        return None

    def cancel_all(self, call: Call, runs: Sequence[RemoteRun]) -> Request | None:
        """One request that stops all runs of a create, of which `runs` are not over; None: each is stopped by itself.

        If it fails, each run is stopped by itself after all.
        """
        del call, runs
        return None

    def refused(self, reply: Reply) -> Refusal:
        """An error answer in words, from whichever call."""
        ...
