"""A local Android build at Doksi: uploaded once as a zip, then a target that any number of runs can use.

Source: docs.doksi.ai/api-reference/upload-android-binary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.cursor import UnexpectedData
from qarunner.entry import TargetKind
from qarunner.vendors import answers
from qarunner.vendors.api import FileRef, Need, Prepared, Request, ResourceKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qarunner.cursor import Cursor, Json
    from qarunner.vendors.api import Build, Call, Reply, Resource

TARGET_ID = "target_id"
"""The name of what a prepared build is called in a create."""


def needs(call: Call) -> Iterator[Need]:
    """A build for each path that the call's entries name."""
    # The commit is the same for a whole plan, so that equal builds of several calls stay one.
    version = answers.short_commit(call.metadata)
    targets = [entry.target for entry in call.entries if entry.target]
    paths = [target.value for target in targets if target.kind is TargetKind.BINARY]
    for path in dict.fromkeys(paths):
        # assumed: `version` is free text for people; without a known commit it is left out, since it is optional
        yield Need(key=path, kind=ResourceKind.BUILD, path=path, data={"version": version} if version else {})


def prepare(resource: Resource, replies: Sequence[Reply]) -> Request | Prepared:
    """An upload's address, the upload, and the target made of it; documented in this order."""
    build = resource.build
    if build is None:
        raise ValueError(f"{resource.id}: a build without a file")
    if not replies:
        return Request(method="POST", path="/uploads", body={"name": build.filename})
    upload = replies[0].json()
    upload_id = answers.body_id(upload.get("upload_id"))  # before the bytes go out for nothing
    if len(replies) == 1:
        return _put(build, upload.get("upload_url"))
    if len(replies) == 2:  # noqa: PLR2004  the upload's own answer says nothing but that it was taken
        body: dict[str, Json] = {"upload_id": upload_id, "name": build.filename}
        if version := resource.data.get("version"):
            body["version"] = version
        return Request(method="POST", path="/targets", body=body)
    return Prepared(values={TARGET_ID: answers.body_id(replies[2].json().get("target_id"))})


def _put(build: Build, address: Cursor) -> Request:
    """The zip's bytes to a presigned address, which is no place for the credential."""
    url = address.text_or("") or ""
    # One that is not absolute would go to Doksi itself. What it is instead is not shown: it may hold a signature.
    if not (url.startswith(("https://", "http://")) and answers.is_text(url)):
        raise UnexpectedData(f"{address.name}: expected the absolute URL of an upload")
    zipped = not build.folder and build.filename.lower().endswith(".zip")
    return Request(
        method="PUT",
        path=url,
        headers=(("Content-Type", "application/zip"),),
        file=FileRef(path=build.path, zipped=not zipped),
    )
