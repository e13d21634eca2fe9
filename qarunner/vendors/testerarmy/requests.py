"""What TesterArmy is sent: the creates of a group, a test or a pull request, and the steps of an upload.

Sources: docs.tester.army and the vendor's OpenAPI file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from qarunner.decode import Json, JsonReader, UnexpectedData, is_unicode
from qarunner.entry import Entry, Platform, SelectionKind, TargetKind
from qarunner.regex import regex
from qarunner.text import duration
from qarunner.vendors import replies as answers
from qarunner.vendors.api import (
    Accepted,
    Build,
    Call,
    Dependency,
    Finished,
    Leftover,
    Metadata,
    Outcome,
    Prepared,
    PrepareStep,
    Refusal,
    RemoteRun,
    Reply,
    Request,
    Resource,
    ResourceKind,
    Upload,
    Vendor,
    Verdict,
    resource_ref,
)
from qarunner.vendors.testerarmy.info import ENDINGS, REMOVE_AFTER_S, UUID_PATTERN, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


_UUID = regex(UUID_PATTERN)


def on_github(metadata: Metadata) -> bool:
    """Whether the build's pull request is one of GitHub's: the only provider that is documented.

    By the repository's host where that is known, else by the CI: most of them build the repositories of any host.
    """
    return metadata.host == "github" if metadata.host else metadata.ci in {None, "github"}


def is_uuid(value: object) -> bool:
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


# ---------------------------------------------------------------------------------------------------------------------

# Apps for TesterArmy: which files it takes, and how one is uploaded.
#
# Sources: docs.tester.army (mobile apps) and the vendor's OpenAPI file.


_NEED = "app"
"""The key of a call's one need."""


_APP_ID = "app_id"
"""What a prepared app is referred to by."""


_SIMULATOR = "testerarmy runs ios apps in a simulator: build for it, and zip the .app as NAME.app.zip"


_SINGLE = "testerarmy takes one .apk: build a universal one"


_REFUSED = {
    ".ipa": _SIMULATOR,
    ".app": _SIMULATOR,
    ".aab": "a bundle is for the store: " + _SINGLE,
    ".apks": _SINGLE,
    ".xapk": _SINGLE,
}


def refused_ending(filename: str) -> tuple[str, str] | None:
    """The ending of a file that TesterArmy never takes, and what to give instead."""
    name = filename.rstrip("/").lower()
    return next(((ending, instead) for ending, instead in _REFUSED.items() if name.endswith(ending)), None)


def has_known_ending(filename: str) -> bool:
    return filename.lower().endswith(tuple(ending for endings in ENDINGS.values() for ending in endings))


def _platforms(filename: str) -> list[str]:
    """What a file can be for, by its ending."""
    return [str(platform) for platform, endings in ENDINGS.items() if filename.lower().endswith(endings)]


def filename_of(url: str) -> str:
    """The last segment of a URL's path; empty without one."""
    try:
        path = urlsplit(url).path
    except ValueError:  # such as an IPv6 address that never ends
        return ""
    return unquote(path.rpartition("/")[2])


def _seconds(remove_after: Json) -> Json:
    """Documented: without removeAfter an upload stays for ever."""
    return REMOVE_AFTER_S if remove_after is None else remove_after


def _confirmed(resource: Resource, build: Build, app: JsonReader) -> Prepared | Refusal:
    """Documented: an app that has no time of removal stays, whatever was asked for.

    An app of a platform that its file cannot be for is not the one that was sent.
    """
    number, platform = answers.path_id(app.get("id")), answers.word(app.get("platform"))
    asked = resource.data.get("platform")
    known = _platforms(build.filename) if asked is None else [str(asked)]
    if platform and known and platform not in known:
        return Refusal(message=f"TesterArmy takes {build.filename} for {platform}, not for {' or '.join(known)}")
    stays = {"expiresAt", "removeAfter"} <= app.object().keys() and not (app.has("expiresAt") or app.has("removeAfter"))
    return Prepared(values={_APP_ID: number, **({_STAYS: number} if stays else {})})


_STAYS = "stays"


def _post_build(resource: Resource, last: str, body: Json) -> Request:
    project = answers.segment(JsonReader(resource.data, "resource").get("project").text())
    return Request(method="POST", path=f"/projects/{project}/mobile/{last}", body=body)


def _described(resource: Resource, build: Build) -> dict[str, Json]:
    return {
        "filename": build.filename,
        "fileSize": build.size,
        "removeAfter": _seconds(resource.data.get("remove_after")),
    }


def _put(build: Build, granted: Reply) -> Upload:
    """The presigned upload: an absolute address, so that no credential goes there."""
    body = granted.json()
    _sendable(body.get("storageKey"))  # without it, nothing could be confirmed afterwards
    return answers.put(build, body.get("uploadUrl"), "application/octet-stream")


def _sendable(reader: JsonReader) -> str:
    if not is_unicode(reader.text()):
        raise reader.fail("a text of valid characters")
    return reader.text()


_HEADS = "refs/heads/"


_LONGEST_BRANCH = 255


_LONGEST_TITLE = 500


_LONGEST_DESCRIPTION = 5000


# --- requests ---------------------------------------------------------------------------------------------------------


def _post(path: str, body: Json) -> Request:
    return Request(method="POST", path=path, body=body)


def entry_kind(entry: Entry) -> Kind:
    """What an entry asks for."""
    if entry.options.get("pull_request") is True:
        return Kind.PULL_REQUEST
    if entry.selection is None:
        raise ValueError(f"{entry.id}: the check let an entry through that asks for nothing")
    return Kind.TEST if entry.selection.kind is SelectionKind.TEST_IDS else Kind.GROUP


def _only_id(entry: Entry) -> str:
    """The id of the one test or group, quoted; a second one must never be dropped in silence."""
    (only,) = entry.selection.ids if entry.selection else ()
    return answers.segment(only)


def _without_empty(fields: Mapping[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in fields.items() if value not in (None, "", {})}


def _group(entry: Entry, metadata: Metadata) -> Json:
    return _without_empty(
        {
            "platform": entry.platform.value if entry.platform else None,
            "deviceModel": entry.options.get("device_model"),
            "projectEnvironmentId": _environment(entry),
            "targetUrl": _value(entry, TargetKind.WEB_URL),
            "environment": entry.options.get("environment_label"),
            "mobile": _mobile(entry),
            "commitSha": metadata.commit,
            "prNumber": metadata.pr_number if on_github(metadata) else None,
        }
    )


def _test(entry: Entry) -> Json:
    """A single test takes neither an address nor a commit."""
    return _without_empty(
        {
            "mode": entry.options.get("mode"),
            "platform": entry.platform.value if entry.platform else None,
            "deviceModel": entry.options.get("device_model"),
            "appId": _app(entry),
            "projectEnvironmentId": _environment(entry),
        }
    )


def _pull_request(entry: Entry, metadata: Metadata) -> Json:
    """Extra keys are refused: those of the web and those of an app do not mix."""
    about = _without_empty(
        {
            "provider": "github",  # the only one that is documented
            "number": metadata.pr_number,
            "title": entry.options.get("title") or _title(metadata),
            "description": entry.options.get("description") or _first(metadata.pr_description, _LONGEST_DESCRIPTION),
            "baseBranch": entry.options.get("base_branch") or _branch(metadata.base_branch),
            "headBranch": _branch(metadata.branch or metadata.ref),
            "commitSha": metadata.commit,
        }
    )
    if entry.platform in {Platform.ANDROID, Platform.IOS}:
        region = entry.options.get("simulator_region")
        app = {"platform": entry.platform.value, "mobile": _mobile(entry), "simulatorRegion": region}
        return _without_empty({**app, "pullRequest": about})
    return {"targetUrl": _value(entry, TargetKind.WEB_URL), "pullRequest": about}


def _title(metadata: Metadata) -> str:
    return _first(metadata.pr_title, _LONGEST_TITLE) or f"Pull request #{metadata.pr_number}"


def _first(text: str | None, most: int) -> str | None:
    """What fits of a text that people wrote for another place."""
    return text.strip()[:most] or None if text else None


def _branch(ref: str | None) -> str | None:
    """The branch that a ref names; a pull request's own ref (`refs/pull/7/merge`) names no branch."""
    if ref is None or (ref.startswith("refs/") and not ref.startswith(_HEADS)):
        return None
    name = ref.removeprefix(_HEADS)
    return name if len(name) <= _LONGEST_BRANCH else None


def _value(entry: Entry, kind: TargetKind) -> str | None:
    return entry.target.value if entry.target and entry.target.kind is kind else None


def _environment(entry: Entry) -> Json:
    return _value(entry, TargetKind.ENVIRONMENT) or entry.options.get("project_environment_id")


def _app(entry: Entry) -> str | None:
    """The id of an app that is, or will have been, uploaded."""
    if _value(entry, TargetKind.BINARY) is not None:
        return resource_ref(_NEED, _APP_ID)
    return _value(entry, TargetKind.TARGET_ID)


def _mobile(entry: Entry) -> Json:
    """At most one of the three sources: an entry has one target."""
    url = _value(entry, TargetKind.BINARY_URL)
    filename = None if url is None else entry.options.get("artifact_filename") or filename_of(url)
    return _without_empty(
        {
            "appId": _app(entry),
            "bundleId": _value(entry, TargetKind.BUNDLE_ID),
            "artifactUrl": url,
            "artifactFilename": filename,
            "buildId": entry.options.get("build_id"),
        }
    )


# --- what a create's answer says --------------------------------------------------------------------------------------


_NO_COMMENT = {
    "not_configured": "TesterArmy is not connected to this repository",
    "check_create_failed": "TesterArmy could not create its check",
    "pr_not_found": "TesterArmy did not find the pull request",
}


def _no_comment(call: Call, body: JsonReader) -> str | None:
    """Client (spec): why a pull request gets no comment, if one was named."""
    word = body.get("metadata").get("github").get("status").text_or()
    if word is None or call.metadata.pr_number is None:
        return None
    return f"no comment on the pull request: {_NO_COMMENT.get(word.lower(), word)} ({word})"


def _batch(body: JsonReader) -> dict[str, str]:
    """The batch, by which all its runs can be stopped at once; each can be stopped by itself without it."""
    try:
        return {"batch": answers.path_id(body.get("batchId"))}
    except UnexpectedData:
        return {}


def _named(body: JsonReader) -> tuple[set[str], list[str], int]:
    """The cancelled runs, all runs in order, and how many ids cannot be asked for."""
    cancelled, unreadable = _ids(body.get("cancelledRunIds"))
    others = [_ids(body.get(name)) for name in ("runIds", "queuedRunIds")]
    if body.has("runId"):
        others.append(([answers.path_id(body.get("runId"))], 0))
    listed = [name for names, _ in others for name in names]
    names: dict[str, str] = {}
    for name in (*listed, *cancelled):
        names.setdefault(answers.canonical(name), name)
    stopped = {names[answers.canonical(name)] for name in cancelled}
    return stopped, list(names.values()), unreadable + sum(number for _, number in others)


def _ids(listed: JsonReader) -> tuple[list[str], int]:
    """The ids of a list and the number of invalid ones: one odd id must not lose the other runs."""
    ids, unreadable = [], 0
    for element in listed.items_or_none():
        try:
            ids.append(answers.path_id(element))
        except UnexpectedData:
            unreadable += 1
    return ids, unreadable


def _nothing(body: JsonReader, *, unreadable: int) -> Outcome:
    """An accepted create that started no run (quota, duplicates): it must not look as if all was well.

    assumed: only an answer that says so (cancelled, or an empty list of runs) means it; any other is not understood.
    """
    says_so = answers.word(body.get("status")) == "cancelled" or isinstance(body.get("runIds").value, list)
    if unreadable or not says_so or (answers.count(body.get("count")) or 0) > 0:
        raise body.get("runIds").fail("ids of runs")
    status = body.get("status").text_or("without a status")
    message = f"TesterArmy accepted the create but started no run (status {status!r})"
    return Outcome(verdict=Verdict.CANCELLED, message=message, raw_status=status)


def _doubts(entry: Entry, body: JsonReader, known: int, unreadable: int) -> Iterator[str]:
    if unreadable:
        yield f"{unreadable} of the run ids in the create's answer cannot be read"
    number = answers.legible_count(body.get("count"))
    if number is not None and number > known:
        # assumed: `count` counts runs of the answer, so that more than it names are runs without a follower
        yield f"TesterArmy counted {number} runs, but named {known}"
    if entry_kind(entry) is Kind.PULL_REQUEST or entry.selection is None:
        return
    name = "groupId" if entry_kind(entry) is Kind.GROUP else "testId"
    asked, reported = entry.selection.ids[0], body.get(name).text_or()
    if reported is not None and not answers.same_id(reported, asked):
        yield f"TesterArmy answered for {name} {reported}"


class Builds(Vendor):
    """What the adapter says of builds."""

    def resources(self, call: Call) -> Iterator[Dependency]:
        """An app to be uploaded; equal for all entries of one project that name the same file and keep it as long."""
        (entry,) = call.entries
        path = _value(entry, TargetKind.BINARY)
        if path is None:
            return
        data = {"project": call.settings["project"], "remove_after": _seconds(entry.options.get("remove_after"))}
        if entry.platform and len(_platforms(path)) > 1:  # an archive does not say what it holds
            data["platform"] = entry.platform.value
        yield Dependency(key=_NEED, kind=ResourceKind.BUILD, path=path, data=data)

    def prepare(self, resource: Resource, token: str, replies: Sequence[Reply]) -> PrepareStep:
        """Asks for an upload, sends the bytes, confirms it; then the app has an id."""
        if resource.build is None:
            raise ValueError(f"{resource.id}: a build without a file")
        match replies:
            case []:
                return _post_build(resource, "upload", _described(resource, resource.build))
            case [granted]:
                return _put(resource.build, granted)
            case [granted, _]:
                key = _sendable(granted.json().get("storageKey"))
                return _post_build(
                    resource, "upload/confirm", {"storageKey": key, **_described(resource, resource.build)}
                )
            case [_, _, confirmed, *_]:
                return _confirmed(resource, resource.build, confirmed.json().get("app"))
            case _:
                raise ValueError(f"{resource.id}: replies are no sequence")

    def kept(self, resource: Resource, prepared: Prepared) -> Leftover | None:
        """An app that stays, as TesterArmy itself says."""
        if _STAYS not in prepared.values:
            return None
        app, project = str(prepared.values[_APP_ID]), JsonReader(resource.data, "resource").get("project").text()
        return Leftover(what=f"app {app} of project {project}", todo="delete it in TesterArmy", details={_APP_ID: app})

    def notices(self, call: Call) -> Iterator[str]:
        """What a create leaves at TesterArmy, in a sentence each."""
        for entry in call.entries:
            if (path := _value(entry, TargetKind.BINARY)) is not None:
                seconds = _seconds(entry.options.get("remove_after"))
                after = duration(float(seconds)) if isinstance(seconds, int) else f"{seconds} s"
                removed = f"TesterArmy removes it {after} after the upload"
                yield f"testerarmy: the upload of {path} stays there, and {removed}"


class Creates(Vendor):
    """What the adapter says of creates."""

    def submit(self, call: Call) -> Request:
        """The create of a call's one entry."""
        (entry,) = call.entries
        kind = entry_kind(entry)
        if kind is Kind.GROUP:
            return _post(f"/groups/{_only_id(entry)}/runs", _group(entry, call.metadata))
        if kind is Kind.TEST:
            return _post(f"/tests/{_only_id(entry)}/runs", _test(entry))
        project = answers.segment(str(call.settings["project"]))
        return _post(f"/projects/{project}/pull-request-runs", _pull_request(entry, call.metadata))

    def accepted(self, call: Call, reply: Reply) -> Accepted:
        """Every run that the answer names, also those that will never execute: each of them ends in the report.

        What casts doubt on the whole travels with the first run, so that no other run's pass hides it.
        """
        body = reply.json()
        (entry,) = call.entries
        stopped, ids, unreadable = _named(body)
        if not ids:
            return Finished(outcomes={entry.id: _nothing(body, unreadable=unreadable)})
        doubt = "; ".join(_doubts(entry, body, len(ids), unreadable))
        test = {"test": entry.selection.ids[0]} if entry_kind(entry) is Kind.TEST and entry.selection else {}
        every = answers.word(body.get("status")) == "cancelled"
        shared: dict[str, Json] = {**test, **_batch(body)}
        if comment := _no_comment(call, body):
            shared["comment"] = comment
        marks = [{"cancelled": True} if every or name in stopped else {} for name in ids]
        return tuple(
            RemoteRun(
                id=name,
                test=test.get("test"),
                memo={**shared, **marks[index], **({"doubt": doubt} if doubt and index == 0 else {})},
            )
            for index, name in enumerate(ids)
        )
