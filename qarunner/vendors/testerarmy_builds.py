"""Apps for TesterArmy: which files it takes, and how one is uploaded.

Sources: docs.tester.army (mobile apps) and the vendor's OpenAPI file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from qarunner.cursor import Cursor
from qarunner.entry import Platform
from qarunner.vendors import answers
from qarunner.vendors.api import BuildRules, FileRef, Need, Prepared, Request, ResourceKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qarunner.cursor import Json
    from qarunner.vendors.api import Build, Call, Reply, Resource

NEED = "app"
"""The key of a call's one need."""
APP_ID = "app_id"
"""What a prepared app is referred to by."""

# Documented as one list. assumed: an .app is for iOS and an .apk for Android, an archive may hold either.
_ARCHIVES = (".zip", ".tgz")
ENDINGS = {Platform.ANDROID: (".apk", *_ARCHIVES), Platform.IOS: (".app.zip", ".app.tar.gz", *_ARCHIVES)}
_MAX_BYTES = 20 * 1024**3
"""Documented of all temporary uploads of a project together: a larger file can never fit."""

RULES = {platform: BuildRules(endings=endings, max_bytes=_MAX_BYTES) for platform, endings in ENDINGS.items()}

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


def filename_of(url: str) -> str:
    """The last segment of a URL's path; empty where it has none."""
    try:
        path = urlsplit(url).path
    except ValueError:  # such as an IPv6 address that never ends
        return ""
    return unquote(path.rpartition("/")[2])


def need(call: Call, path: str, remove_after: Json) -> Need:
    """An app to be uploaded; equal for all entries of one project that name the same file and keep it as long."""
    data = {"project": call.settings["project"], "remove_after": remove_after}
    told = {name: value for name, value in data.items() if value is not None}
    return Need(key=NEED, kind=ResourceKind.BUILD, path=path, data=told)


def prepare(resource: Resource, replies: Sequence[Reply]) -> Request | Prepared:
    """Asks for an upload, sends the bytes, confirms it; then the app has an id."""
    if resource.build is None:
        raise ValueError(f"{resource.id}: a build without a file")
    match replies:
        case []:
            return _post(resource, "upload", _described(resource, resource.build))
        case [granted]:
            return _put(resource.build, granted)
        case [granted, _]:
            key = _sendable(granted.json().get("storageKey"))
            return _post(resource, "upload/confirm", {"storageKey": key, **_described(resource, resource.build)})
        case [_, _, confirmed, *_]:
            return Prepared(values={APP_ID: answers.path_id(confirmed.json().get("app").get("id"))})
        case _:
            raise ValueError(f"{resource.id}: replies are no sequence")


def _post(resource: Resource, last: str, body: Json) -> Request:
    project = answers.segment(Cursor(resource.data, "resource").get("project").text())
    return Request(method="POST", path=f"/projects/{project}/mobile/{last}", body=body)


def _described(resource: Resource, build: Build) -> dict[str, Json]:
    keep = resource.data.get("remove_after")
    return {
        "filename": build.filename,
        "fileSize": build.size,
        **({} if keep is None else {"removeAfter": keep}),
    }


def _put(build: Build, granted: Reply) -> Request:
    """The presigned upload: an absolute address, so that no credential goes there."""
    body = granted.json()
    _sendable(body.get("storageKey"))  # without it, nothing could be confirmed afterwards
    url = _sendable(body.get("uploadUrl"))
    if not url.startswith(("https://", "http://")):
        raise body.get("uploadUrl").fail("an absolute URL")
    return Request(
        method="PUT",
        path=url,
        headers=(("Content-Type", "application/octet-stream"),),
        file=FileRef(path=build.path),
    )


def _sendable(found: Cursor) -> str:
    if not answers.is_text(found.text()):
        raise found.fail("a text of valid characters")
    return found.text()
