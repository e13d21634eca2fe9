"""What TesterArmy's creates take, and the mobile builds that they name: uploaded, confirmed, expired."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from qarunner.emulator.messages import Body, Call, Endpoint, Refused
from qarunner.emulator.strict import Fields, Reader, Wrong, one_of, text, text_up_to, uuid_text, web_address, whole
from qarunner.emulator.world import Slot, World

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qarunner.emulator.scenario import TesterarmySection


UPLOAD_VALID = 1800.0  # testerarmy.md, A build: "valid 30 minutes"


QUOTA = 20 * 1024**3  # "20 GB of temporary uploads a project"


REMOVE_AFTER = whole(least=60, most=604_800)


class Announced(Struct, frozen=True, kw_only=True):
    """An upload as it was announced."""

    project: str
    filename: str
    size: int
    slot: Slot


class App(Struct, frozen=True, kw_only=True):
    """A confirmed build; times are seconds of the emulation."""

    id: str
    project: str
    filename: str
    size: int
    created: float
    remove_after: int | None

    @property
    def expires(self) -> float:
        return float("inf") if self.remove_after is None else self.created + self.remove_after


class Mobile:
    """All builds of all projects."""

    def __init__(self, world: World, section: TesterarmySection) -> None:
        self._world = world
        self._only_known = section.tests.only
        self._uploads: dict[str, Announced] = {}
        self._apps: dict[str, App] = {}
        self._gone: set[str] = set()

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The routes, in the order of the page."""
        mobile = "/projects/{projectId}/mobile"
        return (
            Endpoint(f"POST {mobile}/upload", self._upload, body=Body.JSON),
            Endpoint(f"POST {mobile}/upload/confirm", self._confirm, status=201, body=Body.JSON),
            Endpoint(f"GET {mobile}", self._list),
            Endpoint(f"DELETE {mobile}/{{appId}}", self._delete),
        )

    def check(self, app: str, path: str) -> None:
        """Refuses an app that was deleted or has expired, and an unknown one where only known ids exist."""
        self._expire()
        if app in self._gone or (self._only_known and app not in self._apps):
            raise Wrong(path, f"no app {app}")

    def _expire(self) -> None:
        now = self._world.timeline.now()
        for app in list(self._apps.values()):
            if app.expires <= now:
                self._remove(app)

    def _remove(self, app: App) -> None:
        del self._apps[app.id]
        self._gone.add(app.id)

    def _upload(self, call: Call) -> object:
        project = _project(call)
        with Fields(call.body) as fields:
            filename = fields.need("filename", text)
            check_filename(filename, "filename")
            size = fields.need("fileSize", whole(least=1))
            remove_after = fields.maybe("removeAfter", REMOVE_AFTER)
        self._expire()
        held = sum(app.size for app in self._apps.values() if app.project == project and app.remove_after)
        if remove_after is not None and held + size > QUOTA:
            raise Refused(413, "temporary uploads of a project must not be larger than 20 GB")
        slot = self._world.storage.open(
            "testerarmy", content_type="application/octet-stream", valid=UPLOAD_VALID, filename=filename
        )
        key = f"mobile/{project}/{self._world.ids.short()}/{filename}"
        self._uploads[key] = Announced(project=project, filename=filename, size=size, slot=slot)
        body = {"uploadUrl": slot.url, "storageKey": key, "filename": filename, "fileSize": size}
        return body | {"removeAfter": remove_after}

    def _confirm(self, call: Call) -> object:
        project = _project(call)
        with Fields(call.body) as fields:
            key = fields.need("storageKey", text)
            filename = fields.need("filename", text)
            size = fields.need("fileSize", whole(least=1))
            remove_after = fields.maybe("removeAfter", REMOVE_AFTER)
        slot = self._uploaded(key, project, filename, size)
        app = App(
            id=self._world.ids.uuid(),
            project=project,
            filename=filename,
            size=size,
            created=self._world.timeline.now(),
            remove_after=remove_after,
        )
        self._apps[app.id] = app
        slot.upload.became = app.id
        return {"app": self._app_body(app)}

    def _uploaded(self, key: str, project: str, filename: str, size: int) -> Slot:
        announced = self._uploads.get(key)
        if announced is None or announced.project != project or announced.slot.stored is None:
            raise Wrong("storageKey", "nothing was uploaded under this key")
        if filename != announced.filename:
            raise Wrong("filename", f"was announced as {announced.filename!r}")
        if not size == announced.size == announced.slot.stored.size:
            raise Wrong("fileSize", f"{announced.slot.stored.size} bytes were uploaded")
        if announced.slot.upload.became is not None:
            raise Refused(409, "the upload is already confirmed")
        return announced.slot

    def _app_body(self, app: App) -> dict[str, object]:
        android = app.filename.lower().endswith(".apk")
        return {
            "id": app.id,
            "platform": "android" if android else "ios",
            "filename": app.filename.partition(".")[0],  # testerarmy.md, A build: "lacks the ending there"
            "bundleId": "com.example.app",
            "appVersion": "1.0.0",
            "buildVersion": "1",
            "fileSize": app.size,
            "source": "api_upload",
            "expiresAt": None if app.remove_after is None else self._world.timeline.stamp(app.expires),
            "removeAfter": app.remove_after,
            "createdAt": self._world.timeline.stamp(app.created),
        }

    def _list(self, call: Call) -> object:
        project = _project(call)
        self._expire()
        return {"apps": [self._app_body(app) for app in self._apps.values() if app.project == project]}

    def _delete(self, call: Call) -> object:
        project = _project(call)
        self._expire()
        app = self._apps.get(uuid_text(call.params["appId"], "appId"))
        if app is None or app.project != project:
            raise Refused(404, "app not found")
        self._remove(app)
        return {"deleted": True}


def _project(call: Call) -> str:
    """The project of a mobile path, where its short id is not taken (testerarmy.md: Access)."""
    return uuid_text(call.params["projectId"], "projectId")


# ---------------------------------------------------------------------------------------------------------------------

# Reads the bodies of TesterArmy's creates, each with its own fields (testerarmy.md: Create).


ACCEPTED = (".app.zip", ".app.tar.gz", ".zip", ".tgz", ".apk")


PLATFORM = one_of("web", "ios", "android")


def read_group_run(value: object, mobile: Mobile, *, webhook: bool = False) -> Mapping[str, object]:
    """`POST /groups/{groupId}/runs` and its webhook: every field is optional."""
    with Fields(value) as fields:
        platform = fields.maybe("platform", PLATFORM)
        _check_device(fields, platform)
        fields.maybe("projectEnvironmentId", uuid_text)
        fields.maybe("environment", one_of("production", "staging", "preview", "custom"))
        fields.maybe("commitSha", text)
        if not webhook:
            fields.maybe("prNumber", whole(least=1))
        if platform in {"ios", "android"}:
            fields.forbid("targetUrl", f"goes with platform web, not {platform}")
        fields.maybe("targetUrl", web_address)
        if platform == "web":
            fields.forbid("mobile", "goes with platforms ios and android only")
        fields.maybe("mobile", _mobile(mobile))
    return _plain(value)


def read_test_run(value: object, mobile: Mobile) -> Mapping[str, object]:
    """`POST /tests/{testId}/runs`: neither `targetUrl` nor `commitSha` here."""
    with Fields(value) as fields:
        fields.maybe("mode", one_of("fast", "deep"))
        platform = fields.maybe("platform", PLATFORM)
        _check_device(fields, platform)
        fields.maybe("projectEnvironmentId", uuid_text)
        if platform == "web":
            fields.forbid("appId", "goes with platforms ios and android only")
        app = fields.maybe("appId", uuid_text)
        if app:
            mobile.check(app, "appId")
    return _plain(value)


def read_pull_request_run(value: object, mobile: Mobile) -> Mapping[str, object]:
    """`POST /projects/{projectId}/pull-request-runs`: a web run has a `targetUrl`, a mobile one a `platform`."""
    with Fields(value) as fields:
        if fields.has("targetUrl"):
            fields.need("targetUrl", web_address)
            fields.maybe("platform", one_of("web"))
            for name in ("mobile", "simulatorRegion"):
                fields.forbid(name, "goes with a mobile platform, not with targetUrl")
        else:
            fields.exactly_one("targetUrl", "platform")
            fields.need("platform", one_of("ios", "android"))
            fields.maybe("mobile", _mobile(mobile))
            fields.maybe("simulatorRegion", one_of("eu-north1", "us-west1"))
        fields.need("pullRequest", _pull_request)
    return _plain(value)


def _pull_request(value: object, path: str) -> None:
    with Fields(value, path) as fields:
        fields.maybe("provider", one_of("github"))
        fields.need("number", whole(least=1))
        fields.need("title", text_up_to(500))
        fields.maybe("description", text_up_to(5000, least=0))
        fields.maybe("baseBranch", text_up_to(255))
        fields.maybe("headBranch", text_up_to(255))
        fields.need("commitSha", text_up_to(100))


def _check_device(fields: Fields, platform: str | None) -> None:
    if platform in {"web", "android"}:
        fields.forbid("deviceModel", f"goes with platform ios, not {platform}")
    fields.maybe("deviceModel", one_of("iphone", "ipad"))


def _mobile(mobile: Mobile) -> Reader[None]:
    def read(value: object, path: str) -> None:
        with Fields(value, path) as fields:
            source = fields.at_most_one("appId", "bundleId", "artifactUrl")
            if source == "appId":
                mobile.check(fields.need("appId", uuid_text), fields.at("appId"))
            fields.maybe("bundleId", text)
            if source == "artifactUrl":
                fields.need("artifactUrl", web_address)
                check_filename(fields.need("artifactFilename", text), fields.at("artifactFilename"))
            else:
                fields.forbid("artifactFilename", "goes with artifactUrl only")
            fields.maybe("buildId", text)

    return read


def check_filename(name: str, path: str) -> None:
    """Refuses a build that TesterArmy does not take (testerarmy.md: A build)."""
    if not name.lower().endswith(ACCEPTED):
        raise Wrong(path, f"must end in {', '.join(ACCEPTED)}")


def _plain(value: object) -> dict[str, object]:
    return dict(value) if isinstance(value, dict) else {}
