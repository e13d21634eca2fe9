"""Certyn: one create starts one run of a process or of tags; its status tells counters, and single tests on request.

Sources: dev.certyn.io/docs (api-reference, ci, api-keys, auth-and-config, run-results, status-lifecycle), called
"documented" below; what was read from the vendor's published CLI and action is called "client".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.decode import Json, JsonReader
from qarunner.entry import Entry, SelectionKind, TargetKind
from qarunner.secret import OPEN
from qarunner.vendors import replies as answers
from qarunner.vendors.api import (
    Call,
    Complaint,
    Finished,
    Metadata,
    More,
    Refusal,
    RemoteRun,
    Reply,
    Request,
    Running,
    Status,
    resource_ref,
)
from qarunner.vendors.certyn import results as certyn_details
from qarunner.vendors.certyn.environments import KEY, NEED, Environments
from qarunner.vendors.certyn.info import INFO
from qarunner.vendors.certyn.inventory import Lists
from qarunner.vendors.certyn.results import outcome, progress

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


_RUNS = "/api/ci/runs"


_NOT_FOUND = 404


_UNSEEN_POLLS = 3
"""For how many polls a new run may not be found yet (client: the vendor's action bears it as often)."""


class Certyn(Environments, Lists):
    """The adapter. A 404 to a poll is handed to `read`: a new run may not be visible yet."""

    info = INFO

    def check(self, row: Mapping[str, object], settings: Mapping[str, Json]) -> Iterator[Complaint]:
        if not settings.get("project"):
            yield Complaint(
                path=(),
                message="certyn needs to know the project",
                hint="set vendors.certyn.project to its slug, or the variable CERTYN_PROJECT",
            )

    def submit(self, call: Call) -> Request:
        (entry,) = call.entries
        fields: dict[str, Json] = {
            "projectSlug": call.settings["project"],
            "environmentKey": _environment(call, entry),
            **_selection(entry),
            **_metadata(call.metadata),
            "instruction": entry.options.get("instruction"),
        }
        body = {name: value for name, value in fields.items() if value not in (None, "")}
        return Request(method="POST", path=_RUNS, body=body)

    def accepted(self, call: Call, reply: Reply) -> tuple[RemoteRun, ...]:
        body = reply.json()
        tests = answers.legible_count(body.get("testCaseCount"))
        return (
            RemoteRun(
                id=answers.path_id(body.get("runId")),
                url=body.get("appUrl").text_or(),
                memo={} if tests is None else {"tests": tests},
            ),
        )

    def poll(self, call: Call, run: RemoteRun) -> Request:
        return Request(method="GET", path=f"{_RUNS}/{answers.segment(run.id)}")

    def read(self, call: Call, run: RemoteRun, replies: Sequence[Reply], *, polls: int) -> Status:
        reply = replies[0]
        if reply.status == _NOT_FOUND and polls < _UNSEEN_POLLS:
            return Running(note="not visible yet")
        body = answers.status_body(reply, self.refused)
        answers.check_about(body.get("runId"), run.id)
        state = body.get("state").text().strip().lower()  # client: the vendor's action compares in lower case
        (entry,) = call.entries
        promised = answers.count(JsonReader(run.memo.get("tests"), "memo.tests"))
        if state not in {"completed", "cancelled"}:  # documented: anything else is in progress
            return progress(state, entry.id, body, promised)
        counted = outcome(state, body, promised, run.url)
        if request := certyn_details.request(call.settings, run, replies[1:]):
            return More(request=request, best_effort=True)
        return Finished(outcomes={entry.id: certyn_details.detailed(counted, run, replies[2:])})

    def cancel(self, call: Call, run: RemoteRun) -> Request | None:
        path = f"{_RUNS}/{answers.segment(run.id)}/cancel"
        return Request(method="POST", path=path, body={"reason": "cancelled by qarunner"})

    def refused(self, reply: Reply) -> Refusal:
        return answers.refusal(reply, "error", "message", "details")


def _environment(call: Call, entry: Entry) -> Json:
    """A key: the entry's own, that of the environment made for its address, or the settings'."""
    if entry.target is None:
        return call.settings.get("environment")
    if entry.target.kind is TargetKind.WEB_URL:
        return resource_ref(NEED, KEY)
    return entry.target.value


def _selection(entry: Entry) -> dict[str, Json]:
    """Exactly one of the two; neither where an instruction stands alone (client)."""
    if entry.selection is None:
        return {}
    if entry.selection.kind is SelectionKind.TAGS:
        # client: the vendor's action writes tags in lower case, each once
        return {"tags": list(dict.fromkeys(_lower(tag) for tag in entry.selection.ids))}
    (process,) = entry.selection.ids
    return {"processSlug": process}


def _lower(tag: str) -> str:
    """A secret's placeholder keeps its name."""
    return tag if OPEN in tag else tag.lower()


def _metadata(metadata: Metadata) -> dict[str, Json]:
    return {
        "repository": metadata.repository,
        "ref": metadata.ref,
        "commitSha": metadata.commit,
        "event": metadata.event,
        "externalUrl": metadata.build_url,
    }


VENDOR = Certyn()
