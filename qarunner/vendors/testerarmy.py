"""TesterArmy: a create starts a group's runs, a single test's run, or a pull request's; each run is polled.

Sources: docs.tester.army, tester.army/docs and the vendor's OpenAPI file, called "documented" below.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from qarunner.cursor import Cursor
from qarunner.entry import Platform, SelectionKind, TargetKind
from qarunner.vendors import answers, testerarmy_builds, testerarmy_checks, testerarmy_creates
from qarunner.vendors.api import (
    Capabilities,
    Cause,
    Finished,
    Pacing,
    Refusal,
    Request,
    Running,
    Vendor,
    VendorInfo,
)
from qarunner.vendors.testerarmy_kinds import OPTIONS, SETTINGS
from qarunner.vendors.testerarmy_results import ENDED, IN_PROGRESS, never_seen, outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from qarunner.cursor import Json
    from qarunner.vendors.api import Accepted, Call, Complaint, Need, Prepared, RemoteRun, Reply, Resource, Status

_NOT_FOUND = 404
_TOO_MANY = 429
_USAGE = re.compile(r"\busage[\s_-]*limit", re.IGNORECASE)

_APPS = frozenset(
    {TargetKind.TARGET_ID, TargetKind.BUNDLE_ID, TargetKind.BINARY_URL, TargetKind.BINARY, TargetKind.ENVIRONMENT}
)

CAPABILITIES = Capabilities(
    targets={
        None: _APPS
        | {TargetKind.WEB_URL},  # the platform is the group's or the test's own; an app's is asked for in `check`
        Platform.WEB: frozenset({TargetKind.WEB_URL, TargetKind.ENVIRONMENT}),
        Platform.ANDROID: _APPS,
        Platform.IOS: _APPS,
    },
    target_required=False,
    selections=frozenset({SelectionKind.TEST_IDS, SelectionKind.CATEGORY_IDS}),
    several_ids=False,
    cancel=True,
    builds=testerarmy_builds.RULES,
    instead={
        "tags": "testerarmy has groups: name one in category_ids, or a single test in test_ids",
        "artifacts": "testerarmy signs in as its tests and environments say: set the account up there",
    },
)

INFO = VendorInfo(
    name="testerarmy",
    title="TesterArmy",
    docs="https://docs.tester.army",
    base_url="https://tester.army/api/v1",
    url_env=("QARUNNER_TESTERARMY_URL",),
    key_env="TESTERARMY_API_KEY",
    auth=("Authorization", "Bearer {key}"),
    capabilities=CAPABILITIES,
    pacing=Pacing(every_s=10, max_s=30),  # the vendor's own tools poll every 10 s; no rates are documented
    options=OPTIONS,
    settings=SETTINGS,
)


class TesterArmy(Vendor):
    """The adapter. TesterArmy has no idempotency key: a create that may have happened is never repeated."""

    info = INFO

    def check(self, row: Mapping[str, object], settings: Mapping[str, Json]) -> Iterator[Complaint]:
        return testerarmy_checks.complaints(row, settings)

    def resources(self, call: Call) -> Iterable[Need]:
        (entry,) = call.entries
        if entry.target is None or entry.target.kind is not TargetKind.BINARY:
            return ()
        return (testerarmy_builds.need(call, entry.target.value, entry.options.get("remove_after")),)

    def prepare(self, resource: Resource, token: str, replies: Sequence[Reply]) -> Request | Prepared:
        del token
        return testerarmy_builds.prepare(resource, replies)

    def check_call(self, call: Call) -> Iterator[Complaint]:
        return testerarmy_checks.of_build(call)

    def submit(self, call: Call) -> Request:
        return testerarmy_creates.request(call)

    def accepted(self, call: Call, reply: Reply) -> Accepted:
        return testerarmy_creates.runs(call, reply.json())

    def poll(self, call: Call, run: RemoteRun) -> Request:
        del call
        return Request(method="GET", path=f"/runs/{answers.segment(run.id)}")

    def read(self, call: Call, run: RemoteRun, replies: Sequence[Reply], *, polls: int) -> Status:
        del polls
        (entry,) = call.entries
        memo, reply = Cursor(run.memo), replies[0]
        if memo.get("cancelled").value is True and reply.status == _NOT_FOUND:
            return Finished(outcomes={entry.id: never_seen(run)})
        body = answers.status_body(reply, self.refused(reply))
        told = body.get("id")
        if told.value is not None and not testerarmy_creates.same_id(told.identifier(), run.id):
            raise told.fail(f"run {run.id}")
        word = body.get("status").text()
        # assumed: a word that no page knows goes on, until the entry's time is up, unless the run tells of its end.
        over = word in ENDED or (word not in IN_PROGRESS and body.has("completedAt"))
        if not over:  # of a cancelled run too: what still runs is followed, and can be stopped
            return Running(note=word)
        return Finished(outcomes={entry.id: outcome(run, body)})

    def cancel(self, call: Call, run: RemoteRun) -> Request | None:
        del call
        return Request(method="POST", path=f"/runs/{answers.segment(run.id)}/cancel")

    def cancel_all(self, call: Call, runs: Sequence[RemoteRun]) -> Request | None:
        """Documented as idempotent; it also stops runs of the batch that the create's answer did not name."""
        del call
        batches = {Cursor(run.memo).get("batch").text_or() for run in runs}
        batch = batches.pop() if len(batches) == 1 else None
        return None if batch is None else Request(method="POST", path=f"/batches/{answers.segment(batch)}/cancel")

    def refused(self, reply: Reply) -> Refusal:
        """Documented: 429 stands for the usage limit, which no waiting helps, and for too many requests."""
        found = answers.refusal(reply, "error", "message")
        if reply.status == _TOO_MANY and _USAGE.search(found.message):
            return Refusal(message=found.message, cause=Cause.ALLOWANCE)
        return found


VENDOR: Vendor = TesterArmy()
