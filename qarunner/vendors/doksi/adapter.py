"""Doksi: one create takes a whole matrix; its run has one status, and one result for each test and destination.

Sources: docs.doksi.ai/api-reference/triggerRun, /getRun, /upload-android-binary and docs.doksi.ai/integrations/cicd.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from qarunner.decode import Json, JsonReader, UnexpectedData
from qarunner.entry import Authentication, Entry, Target, TargetKind
from qarunner.regex import regex
from qarunner.vendors import replies as answers
from qarunner.vendors.api import (
    Call,
    Cause,
    Dependency,
    Finished,
    Leftover,
    Prepared,
    Refusal,
    RemoteRun,
    Reply,
    Request,
    Resource,
    ResourceKind,
    Status,
    Upload,
    Vendor,
    resource_ref,
)
from qarunner.vendors.doksi import grouping as doksi_groups
from qarunner.vendors.doksi.info import INFO
from qarunner.vendors.doksi.results import ENDED, outcomes, progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


# ---------------------------------------------------------------------------------------------------------------------

# A local Android build at Doksi: uploaded once as a zip, then a target that any number of runs can use.
#
# Source: docs.doksi.ai/api-reference/upload-android-binary.


_TARGETS = "/targets"


_NO_REMOVAL = "Doksi documents no way to remove it"


TARGET_ID = "target_id"
"""The name of what a prepared build is called in a create."""


class Doksi(Vendor):
    """The adapter. Doksi has neither an idempotency key nor a cancel call."""

    info = INFO

    def group(self, entries: Sequence[Entry]) -> Iterable[tuple[Entry, ...]]:
        return doksi_groups.group(entries)

    def resources(self, call: Call) -> Iterator[Dependency]:
        """A build for each path that the call's entries name."""
        # The commit is the same for a whole plan, so that equal builds of several calls stay one.
        version = answers.short_commit(call.metadata)
        targets = [entry.target for entry in call.entries if entry.target]
        paths = [target.value for target in targets if target.kind is TargetKind.BINARY]
        for path in dict.fromkeys(paths):
            # assumed: `version` is free text for people; without a known commit it is left out, since it is optional
            yield Dependency(key=path, kind=ResourceKind.BUILD, path=path, data={"version": version} if version else {})

    def prepare(self, resource: Resource, token: str, replies: Sequence[Reply]) -> Request | Upload | Prepared:
        """An upload's address, the upload, and the target made of it; documented in this order."""
        build = resource.build
        if build is None:
            raise ValueError(f"{resource.id}: a build without a file")
        if not replies:
            return Request(method="POST", path="/uploads", body={"name": build.filename})
        upload = replies[0].json()
        upload_id = answers.body_id(upload.get("upload_id"))  # before the bytes go out for nothing
        if len(replies) == 1:
            is_zip = not build.folder and build.filename.lower().endswith(".zip")
            return answers.put(build, upload.get("upload_url"), "application/zip", zipped=not is_zip)
        if len(replies) == 2:  # noqa: PLR2004  the upload's own answer says nothing but that it was taken
            body: dict[str, Json] = {"upload_id": upload_id, "name": build.filename}
            if version := resource.data.get("version"):
                body["version"] = version
            return Request(method="POST", path=_TARGETS, body=body)
        return Prepared(values={TARGET_ID: answers.body_id(replies[2].json().get("target_id"))})

    def notices(self, call: Call) -> Iterator[str]:
        """No page shows how a target is deleted, or whether it expires."""
        for need in self.resources(call):
            yield f"doksi: the upload of {need.path} stays there: Doksi documents no way to remove it"

    def may_stay(self, resource: Resource, request: Request) -> Leftover | None:
        if request.path != _TARGETS or resource.build is None:
            return None
        upload = JsonReader(request.body).get("upload_id").identifier()
        what = f"a target of {resource.build.filename} (upload {upload})"
        return Leftover(what=what, todo=_NO_REMOVAL, details={"upload_id": upload})

    def kept(self, resource: Resource, prepared: Prepared) -> Leftover:
        name = resource.build.filename if resource.build else "a build"
        target = str(prepared.values[TARGET_ID])
        return Leftover(what=f"target {target} of {name}", todo=_NO_REMOVAL, details={TARGET_ID: target})

    def submit(self, call: Call) -> Request:
        matrix = [_row(entry) for entry in call.entries]
        return Request(method="POST", path="/runs", body={**_extra(call.settings), "matrix": matrix})

    def accepted(self, call: Call, reply: Reply) -> tuple[RemoteRun, ...]:
        body = reply.json()
        results = list(body.get("results").items_or_none())
        return (
            RemoteRun(
                id=answers.path_id(body.get("run_id")),
                url=results[0].get("url").text_or() if len(results) == 1 else None,
                memo={"results": dict(_promised(results))},
            ),
        )

    def poll(self, call: Call, run: RemoteRun) -> Request:
        return Request(method="GET", path=f"/runs/{answers.segment(run.id)}")

    def read(self, call: Call, run: RemoteRun, replies: Sequence[Reply], *, polls: int) -> Status:
        body = answers.status_body(replies[0], self.refused)
        status = body.get("status").text()
        answers.check_about(body.get("run_id"), run.id)
        if answers.word(body.get("status")) not in ENDED:
            return progress(status, call.entries, run, body)
        return Finished(outcomes=outcomes(call.entries, run, body))

    def refused(self, reply: Reply) -> Refusal:
        refusal = _over_allowance(reply) or answers.refusal(reply, "error")
        if refusal.cause is Cause.CREDENTIAL and _PULL_REQUEST.search(refusal.message):
            # Documented: a policy of the company, which no other key changes.
            return Refusal(
                message=f"{refusal.message} (a policy of your company at Doksi; vendors.doksi.extra adds "
                "the field that identifies a pull request)"
            )
        return refusal


def _extra(settings: Mapping[str, Json]) -> dict[str, Json]:
    extra = settings.get("extra")
    return {**extra} if isinstance(extra, dict) else {}


def _row(entry: Entry) -> dict[str, Json]:
    """An entry of `matrix`: exactly the documented fields, whose names the manifest shares."""
    if entry.platform is None or entry.target is None or entry.selection is None:
        raise ValueError(f"{entry.id}: the capability table let an incomplete entry through")
    row: dict[str, Json] = {
        "platform": entry.platform.value,
        **_target(entry.target),
        entry.selection.kind.value: list(entry.selection.ids),
    }
    if entry.artifacts:
        row["artifacts"] = [_artifact(artifact) for artifact in entry.artifacts]
    return row


def _target(target: Target) -> dict[str, Json]:
    if target.kind is TargetKind.BINARY:
        return {"target_id": resource_ref(target.value, TARGET_ID)}
    return {target.kind.value: target.value}


def _artifact(artifact: Authentication) -> dict[str, Json]:
    account: dict[str, Json] = {} if artifact.account_id is None else {"account_id": artifact.account_id}
    return {"type": "authentication", "strategy": artifact.strategy.value, **account}


def _promised(results: Iterable[JsonReader]) -> Iterator[tuple[str, Json]]:
    """What the create's answer says will come: a result that never does is noticed. Odd ones never lose the run."""
    for result in results:
        if key := answers.id_or_none(result.get("result_id")):
            yield key, {"test_id": answers.id_or_none(result.get("test_id")), "url": result.get("url").text_or()}


def _over_allowance(reply: Reply) -> Refusal | None:
    """An error with both numbers. assumed: it says that the subscription's allowance does not reach, at any status."""
    try:
        body = reply.json()
    except UnexpectedData:
        return None
    requested, remaining = (answers.legible_count(body.get(name)) for name in ("requested", "remaining"))
    if requested is None or remaining is None:
        return None
    return Refusal(
        message=f"this run needs {requested} tests, the subscription has {remaining} left", cause=Cause.ALLOWANCE
    )


_PULL_REQUEST = regex(r"\bpull[\s_-]*request", re.IGNORECASE)


VENDOR: Vendor = Doksi()
