"""DocketQA: one create starts a group run of single tests or of a suite; each of its test runs is polled.

Sources: docs.docketqa.com/api-reference and /essentials, called "documented" below; what was read from the vendor's
published GitHub action is called "client".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.entry import Platform, SelectionKind, TargetKind
from qarunner.vendors import replies as answers
from qarunner.vendors.api import Capabilities, Pacing, Refusal, Request, Vendor, VendorInfo
from qarunner.vendors.docketqa import builds as docketqa_builds
from qarunner.vendors.docketqa import options as docketqa_checks
from qarunner.vendors.docketqa import requests as docketqa_creates
from qarunner.vendors.docketqa import results as docketqa_results
from qarunner.vendors.docketqa.options import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from qarunner.decode import Json
    from qarunner.entry import Entry
    from qarunner.vendors.api import (
        Accepted,
        Build,
        Call,
        Clash,
        Complaint,
        More,
        Need,
        Prepared,
        RemoteRun,
        Reply,
        Resource,
        Status,
    )


_CONFLICT = 409


_UPLOADED = "docketqa runs the current build of an app: upload one with target.binary, or name one in target.target_id"


_BUILDS = frozenset({TargetKind.BINARY, TargetKind.TARGET_ID})


CAPABILITIES = Capabilities(
    # Documented: a test knows its own device type, so that the platform may be left out.
    targets={
        None: _BUILDS | {TargetKind.WEB_URL},  # only an upload has to be told it, and `check` asks for it
        Platform.WEB: frozenset({TargetKind.WEB_URL}),
        Platform.ANDROID: _BUILDS,
        Platform.IOS: _BUILDS,
    },
    target_required=False,
    selections=frozenset({SelectionKind.TEST_IDS, SelectionKind.CATEGORY_IDS}),
    # The documented create takes one suite; the client's route would take several, but promises no verdicts.
    several_ids=False,
    builds=docketqa_builds.RULES,
    instead={
        "binary_url": _UPLOADED,
        "bundle_id": _UPLOADED,
        "environment": "docketqa saves addresses with its tests; target.web_url gives a suite another one",
        "tags": "docketqa has suites: name one in category_ids, or single tests in test_ids",
        "artifacts": "docketqa signs in as its tests say: set the account up there; "
        "options.login_url moves a suite's login",
    },
)


INFO = VendorInfo(
    name="docketqa",
    title="DocketQA",
    docs="https://docs.docketqa.com/api-reference/introduction",
    base_url="https://api.docketqa.com",
    url_env=("QARUNNER_DOCKETQA_URL",),
    key_env="DOCKET_API_KEY",
    auth=("X-API-KEY", "{key}"),  # documented on every reference page; one guide shows a Bearer header instead
    capabilities=CAPABILITIES,
    pacing=Pacing(every_s=10, max_s=30),  # assumed: neither an interval nor a rate is documented
    options=OPTIONS,
)


class DocketQA(Vendor):
    """The adapter. DocketQA has neither an idempotency key nor a cancel call."""

    info = INFO

    def check(self, row: Mapping[str, object], settings: Mapping[str, Json]) -> Iterator[Complaint]:
        del settings
        return docketqa_checks.complaints(row)

    def group(self, entries: Sequence[Entry]) -> Iterable[tuple[Entry, ...]]:
        """A create for each entry: sharing one saves nothing, and each group run has its own page."""
        return [(entry,) for entry in entries]

    def resources(self, call: Call) -> Iterable[Need]:
        return docketqa_builds.needs(call)

    def check_all(self, calls: Sequence[Call], builds: Mapping[str, Build]) -> Iterator[Clash]:
        return docketqa_builds.races(calls, builds)

    def prepare(self, resource: Resource, token: str, replies: Sequence[Reply]) -> Request | More | Prepared | Refusal:
        if len(replies) == docketqa_builds.MADE and not replies[-1].ok:
            # Documented of 409: the name is taken, which a name of the manifest may well be. A generated one is not.
            is_taken = replies[-1].status == _CONFLICT and resource.data.get("build_name") is not None
            if is_taken or not replies[-1].is_unclear:
                return self.refused(replies[-1])
        return docketqa_builds.prepare(resource, token, replies)

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

    def refused(self, reply: Reply) -> Refusal:
        """Error bodies are not documented, but for 409: the name of a build or of an app is taken."""
        found = answers.refusal(reply, "message", "error", "detail")
        if reply.status == _CONFLICT:
            return Refusal(message=f"{found.message} (409: is the name taken? see options.build_name)")
        return found


VENDOR: Vendor = DocketQA()
