"""TesterArmy's mobile builds: upload, confirm, expire (testerarmy.md: A build)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from qarunner.emulator.messages import Body, Endpoint, Refused
from qarunner.emulator.strict import Fields, Wrong, text, uuid_text, whole
from qarunner.emulator.testerarmy.runs import check_filename
from qarunner.emulator.world import Slot

if TYPE_CHECKING:
    from qarunner.emulator.messages import Call
    from qarunner.emulator.scenario import TesterarmySection
    from qarunner.emulator.world import World


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
