"""DocketQA's apps and builds: upload, register, and move the pointer to the current build (docketqa.md: A build)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from qarunner.emulator.docketqa.runs import stamp
from qarunner.emulator.ledger import Moved
from qarunner.emulator.messages import Answer, Body, Endpoint, Refused
from qarunner.emulator.storage import Slot
from qarunner.emulator.strict import Fields, Wrong, digits, flag, one_of, text, text_up_to, whole

if TYPE_CHECKING:
    from qarunner.emulator.messages import Call
    from qarunner.emulator.sections import DocketqaSection
    from qarunner.emulator.world import World

LARGEST = 1_073_741_824
UPLOAD_VALID = 900.0  # docketqa.md, A build: "15 minutes"
EXTENSIONS = {"android": (".apk", ".xapk", ".apks", ".apkm"), "ios": (".zip",)}
PLATFORM = one_of("android", "ios")
SIZE = whole(least=1, most=LARGEST)
NAME = text_up_to(255)


class Build(Struct, frozen=True, kw_only=True):
    """One build of an app."""

    id: int
    name: str
    size: int
    ending: str


class App(Struct, kw_only=True):
    """One app, its builds by their ids; times are seconds of the emulation."""

    id: int
    name: str
    platform: str
    builds: dict[int, Build]
    current: int | None
    created: float = 0.0
    updated: float = 0.0


class Expected(Struct, frozen=True, kw_only=True):
    """An upload as it was announced."""

    platform: str
    size: int
    filename: str
    slot: Slot


class Apps:
    """All apps of the company."""

    def __init__(self, world: World, section: DocketqaSection) -> None:
        self._world = world
        self._numbers = world.ids.numbers()
        self._uploads: dict[str, Expected] = {}
        self._takes_any = not (section.apps or section.tests.only)
        """True if the scenario names no app: one of any id exists then, with any build."""
        self._apps: dict[int, App] = {}
        for number, app in section.apps.items():
            ending = EXTENSIONS[app.platform][0]
            builds = {id_: Build(id=id_, name=f"Build {id_}", size=4096, ending=ending) for id_ in app.builds}
            current = app.builds[-1] if app.builds else None
            self._apps[number] = App(id=number, name=app.name, platform=app.platform, builds=builds, current=current)

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The routes, in the order of the page."""
        return (
            Endpoint("POST /apps/upload-url", self._upload, body=Body.JSON),
            Endpoint("POST /apps/create", self._create, body=Body.JSON),
            Endpoint("POST /apps/{id}/builds", self._add, body=Body.JSON),
            Endpoint("PUT /apps/{id}/builds/{build_id}/set-current", self._set_current),
            Endpoint("GET /apps/list", self._list, query={"platform": PLATFORM}),
            Endpoint("GET /apps/{id}", self._show),
        )

    def _upload(self, call: Call) -> Answer:
        with Fields(call.body) as fields:
            filename = fields.need("filename", text)
            platform = fields.need("platform", PLATFORM)
            size = fields.need("file_size", SIZE)
            content_type = fields.take("content_type", text, "application/octet-stream")
        if not filename.lower().endswith(EXTENSIONS[platform]):
            raise Wrong("filename", f"for {platform} it must end in {', '.join(EXTENSIONS[platform])}")
        slot = self._world.storage.open("docketqa", content_type=content_type, valid=UPLOAD_VALID, filename=filename)
        key = f"files/2/{self._world.ids.short()}_{filename}"
        self._uploads[key] = Expected(platform=platform, size=size, filename=filename, slot=slot)
        body = {"s3_presigned_url": slot.url, "s3_key": key, "content_type": content_type, "filename": filename}
        return Answer(body=body)

    def _create(self, call: Call) -> Answer:
        with Fields(call.body) as fields:
            name = fields.need("name", NAME)
            platform = fields.need("platform", PLATFORM)
            build_name = fields.need("build_name", NAME)
            expected = self._uploaded(fields, platform)
        if any((app.name, app.platform) == (name, platform) for app in self._apps.values()):
            raise Refused(409, f"an app named {name!r} exists for {platform}")
        now = self._world.timeline.now()
        app = App(id=next(self._numbers), name=name, platform=platform, builds={}, current=None, created=now)
        self._apps[app.id] = app
        app.current = self._build(app, build_name, expected).id
        return Answer(status=201, body={"message": "App created successfully", "app": self._app_body(app)})

    def _add(self, call: Call) -> Answer:
        key = call.body.get("s3_key") if isinstance(call.body, dict) else None
        app = self._find(call, self._uploads.get(str(key)))
        with Fields(call.body) as fields:
            name = fields.need("name", NAME)
            expected = self._uploaded(fields, app.platform)
            set_as_current = fields.take("set_as_current", flag, default=True)
        if any(build.name == name for build in app.builds.values()):
            raise Refused(409, f"a build named {name!r} already exists for this app")
        build = self._build(app, name, expected)
        if set_as_current:
            self._move(app, build.id)
        body = {"message": "Build created successfully", "build": _build(app, build), "app": self._app_body(app)}
        return Answer(status=201, body=body)

    def _build(self, app: App, name: str, expected: Expected) -> Build:
        ending = next(ending for ending in EXTENSIONS[app.platform] if expected.filename.lower().endswith(ending))
        build = Build(id=next(self._numbers), name=name, size=expected.size, ending=ending)
        app.builds[build.id] = build
        app.updated = self._world.timeline.now()
        expected.slot.upload.became = build.id
        return build

    def _uploaded(self, fields: Fields, platform: str) -> Expected:
        """The upload behind `s3_key`, which must be what was announced and what arrived."""
        key = fields.need("s3_key", text)
        size = fields.need("file_size", SIZE)
        fields.maybe("original_filename", text)
        expected = self._uploads.get(key)
        if expected is None or expected.slot.stored is None:
            raise Wrong(fields.at("s3_key"), "nothing was uploaded under this key")
        if expected.platform != platform:
            raise Wrong(fields.at("s3_key"), f"was uploaded for {expected.platform}, not {platform}")
        if not size == expected.size == expected.slot.stored.size:
            raise Wrong(fields.at("file_size"), f"{expected.slot.stored.size} bytes were uploaded")
        return expected

    def _set_current(self, call: Call) -> Answer:
        app = self._find(call)
        build = digits()(call.params["build_id"], "build_id")
        if self._takes_any:
            older = Build(id=build, name=f"Build {build}", size=4096, ending=EXTENSIONS[app.platform][0])
            app.builds.setdefault(build, older)
        if build not in app.builds:
            raise Refused(404, "build not found")
        self._move(app, build)
        return Answer(body={"message": "Active build updated", "app": self._app_body(app)})

    def _move(self, app: App, build: int) -> None:
        """Makes a build the one that everybody's tests run (docketqa.md: A build)."""
        ledger = self._world.ledger
        app.current, app.updated = build, self._world.timeline.now()
        ledger.moves.append(Moved(time=ledger.time(), vendor="docketqa", app=app.id, build=build))

    def _list(self, call: Call) -> Answer:
        apps = [app for app in self._apps.values() if call.query.get("platform", app.platform) == app.platform]
        newest_first = sorted(apps, key=lambda app: app.created, reverse=True)
        return Answer(body={"apps": [self._app_body(app) for app in newest_first]})

    def _show(self, call: Call) -> Answer:
        app = self._find(call)
        return Answer(body=self._app_body(app) | {"builds": [_build(app, build) for build in app.builds.values()]})

    def _find(self, call: Call, upload: Expected | None = None) -> App:
        number = digits()(call.params["id"], "id")
        if self._takes_any and number not in self._apps:
            platform = upload.platform if upload else "android"
            self._apps[number] = App(id=number, name=f"App {number}", platform=platform, builds={}, current=None)
        app = self._apps.get(number)
        if app is None:
            raise Refused(404, "app not found")
        return app

    def _app_body(self, app: App) -> dict[str, object]:
        return {
            "id": app.id,
            "name": app.name,
            "platform": app.platform,
            "build_count": len(app.builds),
            "current_build": None if app.current is None else _build(app, app.builds[app.current]),
            "created_at": stamp(self._world, app.created),
            "updated_at": stamp(self._world, app.updated),
        }


def _build(app: App, build: Build) -> dict[str, object]:
    """A build; its file has the vendor's own name, not that of the upload."""
    name = f"{app.name.replace(' ', '_')}_{app.platform}_{build.id}{build.ending}"
    arch = "arm64" if app.platform == "android" else None
    file = {"id": build.id + 1, "file_name": name, "file_size": build.size}
    return {"id": build.id, "name": build.name, "arch": arch, "file": file}
