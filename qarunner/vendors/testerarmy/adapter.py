"""TesterArmy: a create starts a group's runs, a single test's run, or a pull request's; each run is polled.

Sources: docs.tester.army, tester.army/docs and the vendor's OpenAPI file, called "documented" below.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from qarunner.decode import Json, JsonReader, as_mapping
from qarunner.entry import Platform, SelectionKind, TargetKind
from qarunner.known import is_open
from qarunner.regex import regex
from qarunner.vendors import replies as answers
from qarunner.vendors.api import Call, Cause, Complaint, Finished, Refusal, RemoteRun, Reply, Request, Running, Status
from qarunner.vendors.testerarmy.info import INFO, NEED_APP, ONLY_WITH
from qarunner.vendors.testerarmy.inventory import Lists
from qarunner.vendors.testerarmy.requests import (
    Builds,
    Creates,
    filename_of,
    has_known_ending,
    is_uuid,
    on_github,
    refused_ending,
)
from qarunner.vendors.testerarmy.results import ENDED, IN_PROGRESS, never_seen, outcome, status_word, waiting

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


# ---------------------------------------------------------------------------------------------------------------------

# What TesterArmy cannot do of an entry beyond the capability table: refused with the way to do it instead.
#
# Sources: docs.tester.army and the vendor's OpenAPI file.


_MOBILE = frozenset({Platform.ANDROID, Platform.IOS})


_APP_TARGETS = frozenset({TargetKind.BINARY, TargetKind.BINARY_URL, TargetKind.TARGET_ID, TargetKind.BUNDLE_ID})


def _file(options: Mapping[str, object], name: str, value: str) -> Iterator[Complaint]:
    """A file by its name. Whether a local build exists, its size and its ending are the table's to check."""
    written = options.get("artifact_filename") if name == TargetKind.BINARY_URL else None
    if is_open(written):
        return
    filename = value if name == TargetKind.BINARY else str(written or filename_of(value))
    if refused := refused_ending(filename):
        ending, instead = refused
        yield Complaint(path=("target", name), message=f"testerarmy takes no {ending}", hint=instead)
    elif name == TargetKind.BINARY_URL and not has_known_ending(filename):
        # assumed: the endings of uploads are those of artifacts too
        yield Complaint(
            path=("target", name),
            message="testerarmy must be told the app's file name, and this URL does not end in one",
            hint="add options.artifact_filename, such as app.apk or app.app.zip",
        )


def _project(project: Json, *, uploads: bool, is_preview: bool) -> Iterator[Complaint]:
    """Documented: a project's short id does for everything but the paths of uploads."""
    if not project and (uploads or is_preview):
        what = "an upload" if uploads else "a pull request's run"
        message = f"testerarmy needs to know the project for {what}"
        yield Complaint(path=(), message=message, hint="set vendors.testerarmy.project to its id")
    elif uploads and not is_open(project) and not is_uuid(project):
        yield Complaint(
            path=("target", TargetKind.BINARY),
            message=f"an upload needs the project's id, a UUID: vendors.testerarmy.project is {project!r}",
            hint="a short id does for everything but uploads",
        )


_FORBIDDEN = 403


_NOT_FOUND = 404


_TOO_MANY = 429


_USAGE = regex(r"\busage[\s_-]*limit", re.IGNORECASE)


class TesterArmy(Creates, Builds, Lists):
    """The adapter. TesterArmy has no idempotency key: a create that may have happened is never repeated."""

    info = INFO

    def check(self, row: Mapping[str, object], settings: Mapping[str, Json]) -> Iterator[Complaint]:
        """What a row lacks, and files that TesterArmy never takes. What does not go together is the schema's to say."""
        options, platform = as_mapping(row.get("options")), row.get("platform")
        written = as_mapping(row.get("target")).items()
        name, value = next(((name, value) for name, value in written if value is not None), ("", None))
        is_for_web = not is_open(platform) and platform not in _MOBILE
        asked = options.get("pull_request")
        is_preview = asked is True or (is_open(asked) and not any(kind in row for kind in SelectionKind))
        if is_for_web and is_preview and not name:
            message = "a pull request's run on the web needs an address"
            yield Complaint(path=(), message=message, hint="add target: { web_url: … }")
        if is_for_web and name in _APP_TARGETS:
            yield Complaint(
                path=("target", name), message="an app needs a platform", hint="add platform: android or ios"
            )
        if name in {TargetKind.BINARY, TargetKind.BINARY_URL} and not is_open(value):
            yield from _file(options, name, str(value))
        for option in options:
            if option in ONLY_WITH and not name:
                message = f"options.{option} goes with target.{ONLY_WITH[option]} alone"
                yield Complaint(path=("options", option), message=message)
            if option in NEED_APP and is_for_web:
                message = f"options.{option} goes with platform android or ios alone"
                yield Complaint(path=("options", option), message=message)
        yield from _project(settings.get("project"), uploads=name == TargetKind.BINARY, is_preview=is_preview)

    def check_call(self, call: Call) -> Iterator[Complaint]:
        """What a call lacks because of the build that it is compiled in; no row can tell."""
        (entry,) = call.entries
        if entry.options.get("pull_request") is not True:
            return
        metadata = call.metadata
        if not on_github(metadata):
            where = f"at {metadata.host}" if metadata.host else f"not known in this build of {metadata.ci}"
            yield Complaint(
                path=("options", "pull_request"),
                message=f"the repository is {where}, and TesterArmy knows pull requests of GitHub alone",
                hint="name a group in category_ids instead",
            )
            return
        missing = [
            name
            for name, known in (("number", (metadata.pr_number or 0) > 0), ("commit", metadata.commit))
            if not known
        ]
        if missing:
            yield Complaint(
                path=("options", "pull_request"),
                message=f"this build is not known to be a pull request's: it has no {' and no '.join(missing)}",
                hint="run this entry in pull-request builds alone, or name a group in category_ids",
            )

    def poll(self, call: Call, run: RemoteRun) -> Request:
        return Request(method="GET", path=f"/runs/{answers.segment(run.id)}")

    def read(self, call: Call, run: RemoteRun, replies: Sequence[Reply], *, polls: int) -> Status:
        (entry,) = call.entries
        memo, reply = JsonReader(run.memo), replies[0]
        if memo.get("cancelled").value is True and reply.status == _NOT_FOUND:
            return Finished(outcomes={entry.id: never_seen(run)})
        body = answers.status_body(reply, self.refused)
        answers.check_about(body.get("id"), run.id)
        word = status_word(body)
        # assumed: a word that no page knows goes on, until the entry's time is up, unless the run tells of its end.
        over = word in ENDED or (word not in IN_PROGRESS and body.has("completedAt"))
        if not over:  # of a cancelled run too: what still runs is followed, and can be stopped
            return Running(note=body.get("status").text(), so_far={entry.id: waiting(run, body)})
        return Finished(outcomes={entry.id: outcome(run, body)})

    def cancel(self, call: Call, run: RemoteRun) -> Request | None:
        return Request(method="POST", path=f"/runs/{answers.segment(run.id)}/cancel")

    def cancel_all(self, call: Call, runs: Sequence[RemoteRun]) -> Request | None:
        """Documented as idempotent; it also stops runs of the batch that the create's answer did not name."""
        batches = {JsonReader(run.memo).get("batch").text_or() for run in runs}
        batch = batches.pop() if len(batches) == 1 else None
        return None if batch is None else Request(method="POST", path=f"/batches/{answers.segment(batch)}/cancel")

    def refused(self, reply: Reply) -> Refusal:
        """Documented: 429 stands for the usage limit, which no waiting helps, and for too many requests.

        A 403 with `limit` and `currentCount` is a limit of the plan: the key is as good as before.
        """
        refusal = answers.refusal(reply, "error", "message")
        is_plan = reply.status == _FORBIDDEN and all(f'"{key}"' in reply.text for key in ("limit", "currentCount"))
        if is_plan or (reply.status == _TOO_MANY and _USAGE.search(refusal.message)):
            return Refusal(message=refusal.message, cause=Cause.ALLOWANCE)
        return refusal


VENDOR = TesterArmy()
