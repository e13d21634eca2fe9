"""Builds at DocketQA: uploaded once, and made the current build of their app, for everybody.

Sources: docs.docketqa.com/api-reference (upload-build, create-build, set-current-build) and /essentials/mobile-apps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from qarunner.decode import Json, JsonReader, UnexpectedData
from qarunner.entry import Entry, Target, TargetKind
from qarunner.vendors import replies as answers
from qarunner.vendors.api import (
    Build,
    Call,
    Cause,
    Conflict,
    Dependency,
    Leftover,
    More,
    Prepared,
    PrepareStep,
    Refusal,
    Reply,
    Request,
    Resource,
    ResourceKind,
    Upload,
    Vendor,
)
from qarunner.vendors.docketqa.requests import same_number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


_KEY = "build"


_MARK = 8
"""So many digits of its hash tell builds of one name apart."""


def _target(entry: Entry) -> Target | None:
    pins = entry.target is not None and entry.target.kind in {TargetKind.BINARY, TargetKind.TARGET_ID}
    return entry.target if pins else None


def _content(target: Target, builds: Mapping[str, Build]) -> str:
    if target.kind is TargetKind.TARGET_ID:
        return f"build {same_number(target.value)}"
    build = builds.get(target.value)
    return target.value if build is None else build.sha256


def _left(resource: Resource, name: str) -> Leftover:
    app = _id(resource, "app_id")
    todo = "no page of DocketQA says how a build is removed"
    return Leftover(what=f"build {name!r} of app {app}", todo=todo, details={"app_id": app, "name": name})


_MADE = 3
"""So many replies there are once the build's create was answered."""


def _made(app: str, name: str, created: Reply, after: Sequence[Reply], *, ours: bool) -> PrepareStep:
    """After the create, which is not sent twice: tests run once an answer says that its build is the current one.

    Without a good answer the build is looked for by its name, unless that is the manifest's own: an older one may have
    it. Documented: the app is shown with all its builds. assumed: each has `id` and `name`, as the current one has; it
    is looked for wherever it stands, since no other object has this name.
    """
    build = answers.id_or_none(_body(created).get("build").get("id")) if created.ok else None
    if created.ok and (settled := _settled(app, build, created, name)):
        return settled
    if build is None and ours:
        if not after:
            return More(request=_look(app), best_effort=True)
        build, after = _named(after[0], name) if after[0].ok else None, after[1:]
    step = None if build is None else _pinned(app, build, after, name)
    if step is not None:
        return More(request=step, best_effort=True) if isinstance(step, Request) else step
    return Refusal(message=_uncertain(app, name, created), cause=Cause.UNCERTAIN)


def _uncertain(app: str, name: str, created: Reply) -> str:
    words = _with_status(created, answers.error_text(created, *ERROR_KEYS))
    if created.ok:
        what = f"was answered without saying that it is current ({words})"
    else:
        what = f"failed ({words})" if created.status else f"had no answer ({words})"
    return (
        f"the create of build {name!r} of DocketQA's app {app} {what}: the build may exist, and may be the app's "
        "current one for everybody; look at the app before you apply again"
    )


def _look(app: str) -> Request:
    return Request(method="GET", path=f"/apps/{app}")


def _pinned(app: str, build: str, replies: Sequence[Reply], value: str) -> Request | Prepared | Refusal | None:
    """Makes a build current, and looks at the app where the answer does not say so. None: not certain."""
    if not replies:
        return Request(method="PUT", path=f"/apps/{app}/builds/{answers.segment(build)}/set-current")
    if not replies[0].ok:
        return None
    settled = _settled(app, build, replies[-1], value) if replies[-1].ok else None
    return _look(app) if settled is None and len(replies) == 1 else settled


CONFLICT = 409


ERROR_KEYS = ("message", "error", "detail")
"""Bodies of errors are not documented. All three keys are usual."""


def _with_status(reply: Reply, text: str) -> str:
    """The vendor's words after the status of its answer; status 0 is no answer."""
    return text if not reply.status or str(reply.status) in text else f"HTTP {reply.status}: {text}"


def _body(reply: Reply) -> JsonReader:
    """What is no JSON is empty here: UnexpectedData would begin the upload again, and make a second build."""
    try:
        return reply.json()
    except UnexpectedData:
        return JsonReader(None)


def _settled(app: str, build: str | None, reply: Reply, value: str) -> Prepared | Refusal | None:
    """What an answer says of the current build. Tests run it, so another one is no test of ours; None: it says nothing.

    Documented: the calls answer with the app; `GET /apps/{id}` is the app itself.
    """
    body = _body(reply)
    shown = body.get("app") if body.has("app") else body
    current = answers.id_or_none(shown.get("current_build").get("id"))
    about = shown.get("id").value if shown is not body or current is not None else None
    for answer, expected, what in ((about, app, "app"), (current, build, "current build")):
        if None not in (answer, expected) and same_number(str(answer)) != same_number(str(expected)):
            message = f"DocketQA was to make build {build} of app {app} current, and answers with {what} {answer}"
            return Refusal(message=f"{message}: another pipeline may have moved it")
    return None if None in (current, build) else Prepared(values={_KEY: value})


def _named(reply: Reply, name: str) -> str | None:
    """The id of the one object of a name, wherever it stands."""
    waiting = [_body(reply).value]
    ids = set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
            if value.get("name") == name and isinstance(value.get("id"), int) and not isinstance(value["id"], bool):
                ids.add(str(value["id"]))
        elif isinstance(value, list):
            waiting += value
    return ids.pop() if len(ids) == 1 else None


def _id(resource: Resource, name: str) -> str:
    return JsonReader(resource.data, "resource").get(name).identifier()


def _pin(app: str, build: str, replies: Sequence[Reply]) -> PrepareStep:
    """A build that is there already: whatever is not certain is asked again, since it changes nothing more."""
    step = _pinned(app, build, replies, build)
    if step is None:
        raise UnexpectedData(f"DocketQA does not say that build {build} is the current one of app {app}")
    return step


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


def _put(build: Build, granted: JsonReader) -> Upload:
    """The presigned upload. Documented: with the content type that was granted, and without the API key."""
    content_type = granted.get("content_type")
    if not (content_type.text().isascii() and content_type.text().isprintable()):
        raise content_type.fail("a content type")
    return answers.put(build, granted.get("s3_presigned_url"), content_type.text())


class Builds(Vendor):
    """What the adapter says of builds."""

    def resources(self, call: Call) -> Iterator[Dependency]:
        """The one build of a call, if it names one. A pinned build is a need without a file."""
        (entry,) = call.entries
        target = _target(entry)
        if target is None:
            return
        data: dict[str, Json] = {"app_id": entry.options.get("app_id")}
        if target.kind is TargetKind.TARGET_ID:
            yield Dependency(key=_KEY, kind=ResourceKind.BUILD, data={**data, "build_id": same_number(target.value)})
            return
        data["platform"] = None if entry.platform is None else entry.platform.value
        if name := entry.options.get("build_name"):
            data["build_name"] = name
        yield Dependency(key=_KEY, kind=ResourceKind.BUILD, path=target.value, data=data)

    def check_all(self, calls: Sequence[Call], builds: Mapping[str, Build]) -> Iterator[Conflict]:
        """Entries that want different builds of one app could be tested with each other's. One content is one build."""
        first: dict[str, tuple[Entry, str]] = {}
        for call in calls:
            for entry in call.entries:
                target = _target(entry)
                if target is None:
                    continue
                app = same_number(str(entry.options.get("app_id")))
                other, content = first.setdefault(app, (entry, _content(target, builds)))
                if content != _content(target, builds):
                    yield Conflict(
                        entries=(entry.id, other.id),
                        path=("target",),
                        message=f"{entry.id} and {other.id} pin different builds of DocketQA's app {app}, "
                        "which has one current build at a time",
                        hint="select one of them for each apply, one after the other",
                    )

    def notices(self, call: Call) -> Iterator[str]:
        """What the plan has to say before anything is sent: what moves, and for whom."""
        for entry in call.entries:
            if target := _target(entry):
                what = f"build {target.value}" if target.kind is TargetKind.TARGET_ID else target.value
                yield (
                    f"docketqa: {what} becomes the current build of app {entry.options.get('app_id')} for everybody, "
                    "and stays so; other pipelines that move it at the same time race with this one"
                )

    def prepare(self, resource: Resource, token: str, replies: Sequence[Reply]) -> PrepareStep:
        """Documented steps: the upload's address, the bytes, the build made of them and made current at once.

        No create refers to what this makes, since tests run whatever is current: its value is for people.
        """
        if len(replies) == _MADE and not replies[-1].ok:
            # Documented of 409: the name is taken, which a name of the manifest may well be. A generated one is not.
            is_taken = replies[-1].status == CONFLICT and resource.data.get("build_name") is not None
            if is_taken or not replies[-1].is_unclear:
                refusal = self.refused(replies[-1])
                return replace(refusal, message=_with_status(replies[-1], refusal.message))
        app = answers.segment(_id(resource, "app_id"))
        build = resource.build
        if build is None:
            return _pin(app, _id(resource, "build_id"), replies)
        build_name = resource.data.get("build_name")
        name = str(build_name or _name(build, token))
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
        if len(replies) < _MADE:
            create = Request(method="POST", path=f"/apps/{app}/builds", body=_made_of(build, key, name))
            return More(
                request=create, best_effort=True
            )  # a second one would be a second build, or a name that is taken
        return _made(app, name, replies[_MADE - 1], replies[_MADE:], ours=not build_name)

    def kept(self, resource: Resource, prepared: Prepared) -> Leftover | None:
        """No page shows how a build is deleted. One that was there before stays as it was."""
        return None if resource.build is None else _left(resource, str(prepared.values[_KEY]))

    def may_stay(self, resource: Resource, request: Request) -> Leftover | None:
        """The create alone makes a build."""
        if request.method != "POST" or not request.path.endswith("/builds"):
            return None
        return _left(resource, JsonReader(request.body).get("name").text())
