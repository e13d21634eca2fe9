"""DocketQA's apps and builds: upload, register, and move the pointer to the current build (docketqa.md: A build)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from qarunner.emulator.identifiers import short_id
from qarunner.emulator.ledger import Moved
from qarunner.emulator.messages import Answer, Body, Endpoint, Refused
from qarunner.emulator.storage import Slot
from qarunner.emulator.strict import Fields, Wrong, digits, flag, one_of, text, whole

if TYPE_CHECKING:
    from qarunner.emulator.messages import Call
    from qarunner.emulator.sections import DocketqaSection
    from qarunner.emulator.world import World

LARGEST = 1_073_741_824
UPLOAD_VALID = 900.0  # docketqa.md, A build: "15 minutes"
EXTENSIONS = {"android": (".apk", ".xapk", ".apks", ".apkm"), "ios": (".zip",)}
PLATFORM = one_of("android", "ios")
SIZE = whole(least=1, most=LARGEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """One app; which of its builds is the current one is told by the ledger's moves."""

    id: int
    name: str
    platform: str
    builds: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """An upload as it was announced."""

    platform: str
    size: int
    slot: Slot


class Apps:
    """All apps of the company. No page shows the replies of these routes but the first's, so they are empty objects."""

    def __init__(self, world: World, section: DocketqaSection) -> None:
        self._world = world
        self._numbers = count(10_000 + secrets.randbelow(900_000))
        self._uploads: dict[str, Expected] = {}
        self._apps = {
            number: App(id=number, name=app.name, platform=app.platform, builds=list(app.builds))
            for number, app in section.apps.items()
        }

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The routes, in the order of the page."""
        return (
            Endpoint(method="POST", path="/apps/upload-url", handle=self._upload, body=Body.JSON),
            Endpoint(method="POST", path="/apps/create", handle=self._create, body=Body.JSON),
            Endpoint(method="POST", path="/apps/{id}/builds", handle=self._add, body=Body.JSON),
            Endpoint(method="PUT", path="/apps/{id}/builds/{build_id}/set-current", handle=self._set_current),
            Endpoint(method="GET", path="/apps/list", handle=self._list, query={"platform": PLATFORM}),
            Endpoint(method="GET", path="/apps/{id}", handle=self._show),
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
        key = f"uploads/{short_id()}/{filename}"
        self._uploads[key] = Expected(platform=platform, size=size, slot=slot)
        return Answer(
            body={"s3_presigned_url": slot.url, "s3_key": key, "content_type": content_type, "filename": filename}
        )

    def _create(self, call: Call) -> Answer:
        with Fields(call.body) as fields:
            name = fields.need("name", text)
            platform = fields.need("platform", PLATFORM)
            fields.need("build_name", text)
            slot = self._uploaded(fields, platform)
        if any(app.name == name for app in self._apps.values()):
            raise Refused(409, f"an app named {name!r} exists")
        build = next(self._numbers)
        app = App(id=next(self._numbers), name=name, platform=platform, builds=[build])
        self._apps[app.id] = app
        slot.upload.became = build
        return Answer(status=201, body={})

    def _add(self, call: Call) -> Answer:
        app = self._find(call)
        with Fields(call.body) as fields:
            fields.need("name", text)
            slot = self._uploaded(fields, app.platform)
            set_as_current = fields.take("set_as_current", flag, default=True)
        build = slot.upload.became = next(self._numbers)
        app.builds.append(build)
        if set_as_current:
            self._move(app, build)
        return Answer(status=201, body={})

    def _uploaded(self, fields: Fields, platform: str) -> Slot:
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
        return expected.slot

    def _set_current(self, call: Call) -> Answer:
        app = self._find(call)
        build = digits()(call.params["build_id"], "build_id")
        if build not in app.builds:
            raise Refused(404, "build not found")
        self._move(app, build)
        return Answer(body={})

    def _move(self, app: App, build: int) -> None:
        """Makes a build the one that everybody's tests run (docketqa.md: A build)."""
        ledger = self._world.ledger
        ledger.moves.append(Moved(time=ledger.time(), vendor="docketqa", app=app.id, build=build))

    def _list(self, call: Call) -> Answer:  # noqa: ARG002 (the reply is empty)
        return Answer(body={})

    def _show(self, call: Call) -> Answer:
        self._find(call)
        return Answer(body={})

    def _find(self, call: Call) -> App:
        app = self._apps.get(digits()(call.params["id"], "id"))
        if app is None:
            raise Refused(404, "app not found")
        return app
