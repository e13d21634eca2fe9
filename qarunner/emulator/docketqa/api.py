"""DocketQA's API as docketqa.md describes it: a create makes a group of test runs, and each of them is polled."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from qarunner.emulator.docketqa.runs import TestRun, blueprint, run_body, stamp, steps
from qarunner.emulator.http import require_header
from qarunner.emulator.messages import Body, Call, Endpoint, Refused, known
from qarunner.emulator.scenario import Courses, DocketqaSection
from qarunner.emulator.strict import (
    Fields,
    Wrong,
    digits,
    flag,
    list_of,
    mapping_of,
    one_of,
    text,
    text_up_to,
    web_address,
    whole,
)
from qarunner.emulator.world import Moved, Slot, World

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
            Endpoint("POST /apps/create", self._create, status=201, body=Body.JSON),
            Endpoint("POST /apps/{id}/builds", self._add, status=201, body=Body.JSON),
            Endpoint("PUT /apps/{id}/builds/{build_id}/set-current", self._set_current),
            Endpoint("GET /apps/list", self._list, query={"platform": PLATFORM}),
            Endpoint("GET /apps/{id}", self._show),
        )

    def _upload(self, call: Call) -> object:
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
        return {"s3_presigned_url": slot.url, "s3_key": key, "content_type": content_type, "filename": filename}

    def _create(self, call: Call) -> object:
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
        return {"message": "App created successfully", "app": self._app_body(app)}

    def _add(self, call: Call) -> object:
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
        return {"message": "Build created successfully", "build": _build(app, build), "app": self._app_body(app)}

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

    def _set_current(self, call: Call) -> object:
        app = self._find(call)
        build = digits()(call.params["build_id"], "build_id")
        if self._takes_any:
            older = Build(id=build, name=f"Build {build}", size=4096, ending=EXTENSIONS[app.platform][0])
            app.builds.setdefault(build, older)
        if build not in app.builds:
            raise Refused(404, "build not found")
        self._move(app, build)
        return {"message": "Active build updated", "app": self._app_body(app)}

    def _move(self, app: App, build: int) -> None:
        """Makes a build the one that everybody's tests run (docketqa.md: A build)."""
        ledger = self._world.ledger
        app.current, app.updated = build, self._world.timeline.now()
        ledger.moves.append(Moved(time=ledger.time(), vendor="docketqa", app=app.id, build=build))

    def _list(self, call: Call) -> object:
        apps = [app for app in self._apps.values() if call.query.get("platform", app.platform) == app.platform]
        newest_first = sorted(apps, key=lambda app: app.created, reverse=True)
        return {"apps": [self._app_body(app) for app in newest_first]}

    def _show(self, call: Call) -> object:
        app = self._find(call)
        return self._app_body(app) | {"builds": [_build(app, build) for build in app.builds.values()]}

    def _find(self, call: Call, upload: Expected | None = None) -> App:
        number = digits()(call.params["id"], "id")
        if self._takes_any and number not in self._apps:
            platform = upload.platform if upload else "android"
            self._apps[number] = App(id=number, name=f"App {number}", platform=platform, builds={}, current=None)
        return known(self._apps, number, "app")

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


COMPANY = 2
CREATED = {"test_video_s3_key": None}  # in the reply to a create alone (docketqa.md: Create)
LOGIN_TEST = 1  # the id of the saved test that logs in, which every group shares


LIST_QUERY = {
    "type": one_of("integration", "module", "step_module"),
    "test_blueprint_category_id": text,
    "folder_path": text,
    "include_all_folders": one_of("true", "false"),
    "search": text,
    "include_usage_count": one_of("true", "false"),
    "page": digits(least=1),
    "per_page": digits(least=1),
    "offset": digits(),
    "limit": digits(least=1),
}


MODULE_QUERY = {**LIST_QUERY, "ids": text, "with_steps": one_of("true", "false")}


PER_PAGE = 50  # our choice: the page names no default


class Chosen(Struct, frozen=True, kw_only=True):
    """What a create runs: tests with the suite that named them, and the URLs that it overrides."""

    tests: tuple[tuple[int, str | None], ...]
    urls: Mapping[str, str] = field(default_factory=dict)


class Docketqa:
    """The vendor DocketQA."""

    name = "docketqa"
    state_at = ("test_run", "status")

    def __init__(self, world: World, section: DocketqaSection) -> None:
        self._world = world
        self._section = section
        self._courses = Courses(section.tests)
        self._apps = Apps(world, section)
        self._numbers = world.ids.numbers()
        self._runs: dict[int, TestRun] = {}
        self._suite_of: dict[int, str | None] = {int(test): None for test in section.tests.named}
        self._suite_of |= {int(test): suite for suite, group in section.suites.items() for test in group.tests}

    def endpoints(self) -> tuple[Endpoint, ...]:
        ci_run = "POST /test_group_run/trigger_ci_run"
        return (
            Endpoint("POST /test_group_run/trigger_run", self._create, body=Body.JSON),
            Endpoint(ci_run, self._create_ci, body=Body.JSON),
            Endpoint(f"{ci_run}/", self._create_ci, body=Body.JSON),  # the vendor's action v1 calls it so
            Endpoint("GET /test_run/{id}", self._status),
            Endpoint("GET /test_blueprint/list", self._list, query=LIST_QUERY),
            Endpoint("GET /modules/list", self._list_modules, query=MODULE_QUERY),
            *self._apps.endpoints(),
        )

    def admit(self, call: Call, endpoint: Endpoint) -> None:  # noqa: ARG002 (every route asks for the same)
        """Asks for `X-API-KEY`, whose format is unknown (docketqa.md: Access)."""
        require_header(call, "X-API-KEY", r".+")

    def error(self, status: int, message: str, extra: Mapping[str, object]) -> object:
        """An error body under one of the names that a client reads; the real one is unknown (docketqa.md: Unknown)."""
        names = {400: "detail", 401: "message", 404: "error"}
        return {names.get(status, "message"): message, **extra}

    def _create(self, call: Call) -> object:
        with Fields(call.body) as fields:
            kind = fields.exactly_one("test_blueprint_ids", "test_blueprint_category_id")
            if kind == "test_blueprint_ids":
                ids = fields.need(kind, list_of(whole(least=1), least=1))
                chosen = Chosen(tests=tuple((test, self._suite_of.get(test)) for test in ids))
            else:
                chosen = Chosen(tests=self._suite(str(fields.need(kind, digits(least=1)))))
        self._check(chosen, kind)
        return self._start(chosen, lists_tests=True)

    def _create_ci(self, call: Call) -> object:
        with Fields(call.body) as fields:
            suites = fields.need("test_blueprint_category_id", _suites)
            by_suite = fields.maybe("test_suite_url_overrides", _overrides) or {}
            logins = fields.maybe("test_suite_account_login_url_overrides", _overrides) or {}
            by_test = fields.maybe("test_url_overrides", _overrides) or {}
            fields.maybe("github_context", _github_context)
        for suite in (*by_suite, *logins):
            if suite not in suites:
                # Our strict choice: no page says what an override for a suite that does not run would do.
                raise Wrong("test_suite_url_overrides", f"suite {suite} is not part of this run")
        tests = tuple(pair for suite in suites for pair in self._suite(suite))
        urls = {str(test): by_suite[suite] for test, suite in tests if suite and suite in by_suite} | dict(by_test)
        chosen = Chosen(tests=tests, urls=urls)
        self._check(chosen, "test_blueprint_category_id")
        return self._start(chosen, lists_tests=self._section.ci_run_lists_tests)

    def _suite(self, suite: str) -> tuple[tuple[int, str | None], ...]:
        if suite in self._section.suites:
            return tuple((int(test), suite) for test in self._section.suites[suite].tests)
        if self._section.tests.only:
            raise Refused(404, f"no suite {suite}")
        return tuple((int(suite) * 100 + number, suite) for number in (1, 2, 3))

    def _check(self, chosen: Chosen, path: str) -> None:
        tests = [test for test, _ in chosen.tests]
        if len(set(tests)) < len(tests):
            # Our strict choice: replies are matched on test_blueprint_id, and two runs of one test look the same.
            raise Wrong(path, "names a test twice")
        for test, suite in chosen.tests:
            if suite is None and not self._courses.exists(test):
                raise Refused(404, f"no test {test}")

    def _start(self, chosen: Chosen, *, lists_tests: bool) -> object:
        group = next(self._numbers)
        runs = [self._run(group, test, chosen.urls.get(str(test))) for test, _ in chosen.tests]
        if self._section.login_run:
            # docketqa.md, Create: "may hold more than was asked for (is_login_test_run)"
            runs.insert(0, self._run(group, LOGIN_TEST, None, login=True))
        self._suite_of |= dict(chosen.tests)
        now = stamp(self._world, self._world.timeline.now())
        body: dict[str, object] = {"id": group}
        message = (
            "Test group run triggered; with ci_run_lists_tests in the scenario's docketqa it has its test runs here"
        )
        if lists_tests:
            message = "Test group run triggered successfully"
            body |= {"company_id": COMPANY, "name": f"API run {group}", "status": "running"}
            body |= {"test_runs": [run_body(run, self._world) | CREATED for run in runs], "created_at": now}
            body |= {"updated_at": now}
        return {"message": message, "test_group_run": body}

    def _run(self, group: int, test: int, url: str | None, *, login: bool = False) -> TestRun:
        run = TestRun(
            id=next(self._numbers),
            group=group,
            test=test,
            created=self._world.timeline.now(),
            course=self._courses.deal(test),
            url=url,
            login=login,
        )
        self._runs[run.id] = run
        self._world.ledger.ran(self.name, run.id, create=group, tests=[test])
        return run

    def _status(self, call: Call) -> object:
        run = known(self._runs, digits()(call.params["id"], "id"), "test run")
        return {"test_run": run_body(run, self._world, detailed=True)}

    def _list(self, call: Call) -> object:
        tests, body = self._page(call, [test for test in sorted(self._suite_of) if self._listed(test, call.query)])
        return {"test_blueprints": [self._blueprint(test) for test in tests], **body}

    def _list_modules(self, call: Call) -> object:
        """No scenario names reusable steps: the list is empty. The name of the list is our choice (docketqa.md)."""
        _, body = self._page(call, [])
        return {"modules": [], **body}

    def _page(self, call: Call, tests: list[int]) -> tuple[list[int], dict[str, object]]:
        """The page that a query asks for, and what stands beside its elements."""
        query, body = call.query, dict[str, object]()
        numbered, counted = {"page", "per_page"} & set(query), {"offset", "limit"} & set(query)
        if numbered and counted:
            raise Wrong("page", "goes with per_page, not with offset and limit")
        if numbered or counted:
            size = call.number("per_page" if numbered else "limit", PER_PAGE)
            start = (call.number("page", 1) - 1) * size if numbered else call.number("offset", 0)
            pages = {"page": start // size + 1, "per_page": size, "total": len(tests)}
            body["pagination"] = pages | {"total_pages": -(-len(tests) // size)}
            tests = tests[start : start + size]
        if "search" not in query and query.get("include_all_folders") != "true":
            body["subfolders"] = sorted(self._section.folders)
        return tests, body

    def _folder(self, test: int) -> str:
        return next((path for path, tests in self._section.folders.items() if test in tests), "/")

    def _listed(self, test: int, query: Mapping[str, object]) -> bool:
        suite = query.get("test_blueprint_category_id")
        return (
            (query.get("include_all_folders") == "true" or self._folder(test) == query.get("folder_path", "/"))
            and (suite is None or (self._suite_of[test] or "none") == suite)
            and str(query.get("search", "")).lower() in self._title(test).lower()
            and query.get("type", "integration") == "integration"
        )

    def _title(self, test: int) -> str:
        return self._courses.first(test).name or f"Test {test}"

    def _suite_name(self, suite: str) -> str:
        named = self._section.suites.get(suite)
        return (named.name if named else None) or f"Suite {suite}"

    def _blueprint(self, test: int) -> dict[str, object]:
        suite = self._suite_of[test]
        last = next((run for run in reversed(self._runs.values()) if run.test == test), None)
        made = stamp(self._world, 0)
        return {
            **blueprint(test, self._title(test), None),
            "status": "paused" if test in self._section.paused else "active",
            "device_name": None,
            "starting_prompt": None,
            "step_count": len(steps()),
            "test_blueprint_category_id": int(suite) if suite else None,
            "test_blueprint_category_name": self._suite_name(suite) if suite else None,
            "last_run": stamp(self._world, last.created) if last else None,
            "last_status": last.status(self._world.timeline.now()) if last else None,
            "company_id": COMPANY,
            "created_by": 5,
            "num_retries": 0,
            "reset_browser_on_retry": True,
            "typing_speed": None,
            "persist_self_healed": True,
            "file_download_mode": "save_only",
            "files": [],
            "variables": [],
            "setup_module": None,
            "teardown_module": None,
            "folder_path": self._folder(test),
            "created_at": made,
            "updated_at": made,
        }


def _suites(value: object, path: str) -> tuple[str, ...]:
    """One suite id or a list of them, as text (docketqa.md: Create with URL overrides)."""
    read = list_of(digits(least=1), least=1)
    return tuple(str(suite) for suite in read(value if isinstance(value, list) else [value], path))


def _overrides(value: object, path: str) -> Mapping[str, str]:
    urls = mapping_of(digits(least=1), web_address)(value, path)
    return {str(identifier): url for identifier, url in urls.items()}


def _github_context(value: object, path: str) -> None:
    with Fields(value, path) as fields:
        for name in ("repository", "commit_sha", "run_id", "ref"):
            fields.maybe(name, text)
