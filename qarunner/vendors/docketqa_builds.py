"""Builds at DocketQA: uploaded once, and made the current build of their app, for everybody.

Sources: docs.docketqa.com/api-reference (upload-build, create-build, set-current-build) and /essentials/mobile-apps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.cursor import Cursor, UnexpectedData
from qarunner.entry import Platform, TargetKind
from qarunner.errors import UserError
from qarunner.vendors import answers
from qarunner.vendors.api import BuildRules, FileRef, Need, Prepared, Request, ResourceKind
from qarunner.vendors.docketqa_checks import same_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from qarunner.cursor import Json
    from qarunner.entry import Entry, Target
    from qarunner.vendors.api import Build, Call, Reply, Resource

_KEY = "build"
_MAX_BYTES = 1_073_741_824
RULES = {
    Platform.ANDROID: BuildRules(endings=(".apk", ".xapk", ".apks", ".apkm"), max_bytes=_MAX_BYTES),
    Platform.IOS: BuildRules(endings=(".zip",), max_bytes=_MAX_BYTES),  # a simulator's .app
}
_MARK = 8
"""So many digits of its hash tell builds of one name apart."""


def _target(entry: Entry) -> Target | None:
    pins = entry.target is not None and entry.target.kind in {TargetKind.BINARY, TargetKind.TARGET_ID}
    return entry.target if pins else None


def refuse_races(entries: Sequence[Entry]) -> None:
    """UserError where two entries want different builds of one app: each could be tested with the other's."""
    first: dict[object, Entry] = {}
    for entry in entries:
        target = _target(entry)
        if target is None:
            continue
        other = first.setdefault(entry.options.get("app_id"), entry)
        if other.target != target:
            raise UserError(
                f"{entry.origin}: {entry.id} and {other.id} pin different builds of DocketQA's app "
                f"{entry.options.get('app_id')}, which has one current build at a time",
                hint="select one of them for each apply, one after the other",
            )


def needs(call: Call) -> Iterator[Need]:
    """The one build of a call, if it names one. A pinned build is a need without a file."""
    (entry,) = call.entries
    target = _target(entry)
    if target is None:
        return
    data: dict[str, Json] = {"app_id": entry.options.get("app_id")}
    if target.kind is TargetKind.TARGET_ID:
        yield Need(key=_KEY, kind=ResourceKind.BUILD, data={**data, "build_id": same_number(target.value)})
        return
    data["platform"] = None if entry.platform is None else entry.platform.value
    if name := entry.options.get("build_name"):
        data["build_name"] = name
    yield Need(key=_KEY, kind=ResourceKind.BUILD, path=target.value, data=data)


def notices(call: Call) -> Iterable[str]:
    """What the plan has to say before anything is sent: what moves, and for whom."""
    for entry in call.entries:
        if target := _target(entry):
            what = f"build {target.value}" if target.kind is TargetKind.TARGET_ID else target.value
            yield (
                f"docketqa: {what} becomes the current build of app {entry.options.get('app_id')} for everybody, and "
                "stays so; other pipelines that move it at the same time race with this one"
            )


def prepare(resource: Resource, token: str, replies: Sequence[Reply]) -> Request | Prepared:
    """Documented steps: the upload's address, the bytes, the build made of them and made current at once.

    No create refers to what this makes, since tests run whatever is current: its value is for people.
    """
    app = answers.segment(_id(resource, "app_id"))
    build = resource.build
    if build is None:
        return _pin(app, _id(resource, "build_id"), replies)
    name = str(resource.data.get("build_name") or _name(build, token))
    if not replies:
        body: Json = {
            "filename": build.filename,
            "platform": resource.data.get("platform"),
            "file_size": build.size,
        }
        return Request(method="POST", path="/apps/upload-url", body=body)
    granted = replies[0].json()
    key = granted.get("s3_key").text()
    if len(replies) == 1:
        return _put(build, granted)
    if len(replies) == 2:  # noqa: PLR2004  the upload's own answer says nothing but that it was taken
        return Request(method="POST", path=f"/apps/{app}/builds", body=_made_of(build, key, name))
    return Prepared(values={_KEY: name})


def _id(resource: Resource, name: str) -> str:
    return Cursor(resource.data, "resource").get(name).identifier()


def _pin(app: str, build: str, replies: Sequence[Reply]) -> Request | Prepared:
    if replies:
        return Prepared(values={_KEY: build})
    return Request(method="PUT", path=f"/apps/{app}/builds/{answers.segment(build)}/set-current")


def _name(build: Build, token: str) -> str:
    """Documented: a taken name is refused. The token makes that of each upload new, also of the same content."""
    return f"{build.filename} {build.sha256[:_MARK]} {token}"


def _made_of(build: Build, key: str, name: Json) -> dict[str, Json]:
    return {
        "name": name,
        "s3_key": key,
        "file_size": build.size,
        "original_filename": build.filename,
        "set_as_current": True,
    }


def _put(build: Build, granted: Cursor) -> Request:
    """The presigned upload. Documented: with the content type that was granted, and without the API key."""
    address = granted.get("s3_presigned_url")
    url = address.text_or("") or ""
    # One that is not absolute would go to DocketQA itself. What it is instead is not shown: it may hold a signature.
    if not (url.startswith(("https://", "http://")) and answers.is_text(url)):
        raise UnexpectedData(f"{address.name}: expected the absolute URL of an upload")
    content_type = granted.get("content_type")
    if not (content_type.text().isascii() and content_type.text().isprintable()):
        raise content_type.fail("a content type")
    return Request(
        method="PUT",
        path=url,
        headers=(("Content-Type", content_type.text()),),
        file=FileRef(path=build.path),
    )
