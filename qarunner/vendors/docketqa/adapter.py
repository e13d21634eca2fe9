"""DocketQA: one create starts a group run of single tests or of a suite; each of its test runs is polled.

Sources: docs.docketqa.com/api-reference and /essentials, called "documented" below; what was read from the vendor's
published GitHub action is called "client".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from qarunner.vendors import replies as answers
from qarunner.vendors.api import Refusal, Request, Vendor
from qarunner.vendors.docketqa import builds as docketqa_builds
from qarunner.vendors.docketqa import inventory
from qarunner.vendors.docketqa import requests as docketqa_creates
from qarunner.vendors.docketqa import results as docketqa_results
from qarunner.vendors.docketqa.info import INFO

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from qarunner.decode import Json
    from qarunner.entry import Entry
    from qarunner.vendors.api import (
        Accepted,
        Build,
        Call,
        Complaint,
        Conflict,
        Dependency,
        InventoryKind,
        Item,
        Leftover,
        Prepared,
        PrepareStep,
        RemoteRun,
        Reply,
        Resource,
        Status,
    )


_CONFLICT = 409


class DocketQA(Vendor):
    """The adapter. DocketQA has neither an idempotency key nor a cancel call."""

    info = INFO

    def check(self, row: Mapping[str, object], settings: Mapping[str, Json]) -> Iterator[Complaint]:
        del settings
        return docketqa_creates.complaints(row)

    def group(self, entries: Sequence[Entry]) -> Iterable[tuple[Entry, ...]]:
        """A create for each entry: sharing one saves nothing, and each group run has its own page."""
        return [(entry,) for entry in entries]

    def resources(self, call: Call) -> Iterable[Dependency]:
        return docketqa_builds.needs(call)

    def check_all(self, calls: Sequence[Call], builds: Mapping[str, Build]) -> Iterator[Conflict]:
        return docketqa_builds.races(calls, builds)

    def prepare(self, resource: Resource, token: str, replies: Sequence[Reply]) -> PrepareStep:
        if len(replies) == docketqa_builds.MADE and not replies[-1].ok:
            # Documented of 409: the name is taken, which a name of the manifest may well be. A generated one is not.
            is_taken = replies[-1].status == _CONFLICT and resource.data.get("build_name") is not None
            if is_taken or not replies[-1].is_unclear:
                refusal = self.refused(replies[-1])
                return replace(refusal, message=docketqa_builds.with_status(replies[-1], refusal.message))
        return docketqa_builds.prepare(resource, token, replies)

    def kept(self, resource: Resource, prepared: Prepared) -> Leftover | None:
        return docketqa_builds.kept(resource, prepared)

    def may_stay(self, resource: Resource, request: Request) -> Leftover | None:
        return docketqa_builds.may_stay(resource, request)

    def notices(self, call: Call) -> Iterator[str]:
        yield from docketqa_builds.notices(call)
        yield from docketqa_creates.notices(call)

    def submit(self, call: Call) -> Request:
        return docketqa_creates.request(call)

    def accepted(self, call: Call, reply: Reply) -> Accepted:
        return docketqa_creates.runs(call, reply.json())

    def poll(self, call: Call, run: RemoteRun) -> Request:
        del call
        return Request(method="GET", path=f"/test_run/{answers.segment(run.id)}")

    def read(self, call: Call, run: RemoteRun, replies: Sequence[Reply], *, polls: int) -> Status:
        del polls
        (entry,) = call.entries
        body = answers.status_body(replies[0], self.refused(replies[0]))
        return docketqa_results.status(entry, run, body.get("test_run"))

    def inventory(
        self, kind: InventoryKind, settings: Mapping[str, Json], replies: Sequence[Reply]
    ) -> Request | Refusal | tuple[Item, ...]:
        del settings
        return inventory.inventory(kind, replies)

    def refused(self, reply: Reply) -> Refusal:
        """Error bodies are not documented, but for 409: the name of a build or of an app is taken."""
        refusal = answers.refusal(reply, *docketqa_builds.ERROR_KEYS)
        if reply.status == _CONFLICT:
            return Refusal(message=f"{refusal.message} (409: is the name taken? see options.build_name)")
        return refusal


VENDOR: Vendor = DocketQA()
