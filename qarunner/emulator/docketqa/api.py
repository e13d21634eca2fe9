"""DocketQA's API as docketqa.md describes it: a create makes a group of test runs, and each of them is polled."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from qarunner.emulator.docketqa.runs import TestRun, blueprint, told
from qarunner.emulator.http import require_header
from qarunner.emulator.ledger import Moved, short_id
from qarunner.emulator.messages import Answer, Body, Endpoint, Refused
from qarunner.emulator.sections import Courses
from qarunner.emulator.storage import Slot
from qarunner.emulator.strict import Fields, Wrong, digits, flag, list_of, mapping_of, one_of, text, web_address, whole

if TYPE_CHECKING:
    from qarunner.emulator.messages import Call
    from qarunner.emulator.sections import DocketqaSection
    from qarunner.emulator.world import World


# ---------------------------------------------------------------------------------------------------------------------

# DocketQA's apps and builds: upload, register, and move the pointer to the current build (docketqa.md: A build).


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


LOGIN_TEST = 1  # the id of the saved test that logs in, which every group shares


LIST_QUERY = {
    "type": text,
    "test_blueprint_category_id": digits(least=1),
    "folder_path": text,
    "include_all_folders": one_of("true", "false"),
    "search": text,
    "page": digits(least=1),
    "per_page": digits(least=1),
    "offset": digits(),
    "limit": digits(least=1),
}


PER_PAGE = 50  # our choice: the page names no default


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
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
        self._numbers = count(10_000 + secrets.randbelow(900_000))  # so that no id outlives a restart
        self._runs: dict[int, TestRun] = {}
        self._suite_of: dict[int, str | None] = {int(test): None for test in section.tests.named}
        self._suite_of |= {test: suite for suite, tests in section.suites.items() for test in tests}

    def endpoints(self) -> tuple[Endpoint, ...]:
        group = "/test_group_run"
        return (
            Endpoint(f"POST {group}/trigger_run", self._create, body=Body.JSON),
            Endpoint(f"POST {group}/trigger_ci_run", self._create_ci, body=Body.JSON),
            Endpoint("GET /test_run/{id}", self._status),
            Endpoint("GET /test_blueprint/list", self._list, query=LIST_QUERY),
            *self._apps.endpoints(),
        )

    def admit(self, call: Call, endpoint: Endpoint) -> None:  # noqa: ARG002 (every route asks for the same)
        """Asks for `X-API-KEY`, whose format is unknown (docketqa.md: Access)."""
        require_header(call, "X-API-KEY", r".+")

    def error(self, status: int, message: str, extra: Mapping[str, object]) -> object:
        """An error body under one of the names that a client reads; the real one is unknown (docketqa.md: Unknown)."""
        names = {400: "detail", 401: "message", 404: "error"}
        return {names.get(status, "message"): message, **extra}

    def _create(self, call: Call) -> Answer:
        with Fields(call.body) as fields:
            kind = fields.exactly_one("test_blueprint_ids", "test_blueprint_category_id")
            if kind == "test_blueprint_ids":
                ids = fields.need(kind, list_of(whole(least=1), least=1))
                chosen = Chosen(tests=tuple((test, self._suite_of.get(test)) for test in ids))
            else:
                chosen = Chosen(tests=self._suite(str(fields.need(kind, digits(least=1)))))
        self._check(chosen, kind)
        return self._start(chosen, lists_tests=True)

    def _create_ci(self, call: Call) -> Answer:
        with Fields(call.body) as fields:
            suites = fields.need("test_blueprint_category_id", _suites)
            by_suite = fields.maybe("test_suite_url_overrides", _overrides) or {}
            logins = fields.maybe("test_suite_account_login_url_overrides", _overrides) or {}
            by_test = fields.maybe("test_url_overrides", _overrides) or {}
            fields.maybe("github_context", _github_context)
        for suite in (*by_suite, *logins):
            if suite not in suites:
                # Our strict choice: nobody says what an override for a suite that does not run would do.
                raise Wrong("test_suite_url_overrides", f"suite {suite} is not part of this run")
        tests = tuple(pair for suite in suites for pair in self._suite(suite))
        urls = {str(test): by_suite[suite] for test, suite in tests if suite and suite in by_suite} | dict(by_test)
        chosen = Chosen(tests=tests, urls=urls)
        self._check(chosen, "test_blueprint_category_id")
        return self._start(chosen, lists_tests=self._section.ci_run_lists_tests)

    def _suite(self, suite: str) -> tuple[tuple[int, str | None], ...]:
        if suite in self._section.suites:
            return tuple((test, suite) for test in self._section.suites[suite])
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

    def _start(self, chosen: Chosen, *, lists_tests: bool) -> Answer:
        group = next(self._numbers)
        runs = [self._run(group, test, chosen.urls.get(str(test))) for test, _ in chosen.tests]
        if self._section.login_run:
            # docketqa.md, Create: "may hold more than was asked for (is_login_test_run)"
            runs.insert(0, self._run(group, LOGIN_TEST, None, login=True))
        self._suite_of |= dict(chosen.tests)
        now = self._world.timeline.stamp(self._world.timeline.now())
        body: dict[str, object] = {"id": group}
        if lists_tests:
            body |= {"company_id": 1, "name": f"API run {group}", "status": "running"}
            body |= {"test_runs": [told(run, self._world) for run in runs], "created_at": now, "updated_at": now}
        return Answer(body={"message": "Test group run started", "test_group_run": body})

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

    def _status(self, call: Call) -> Answer:
        run = self._runs.get(digits()(call.params["id"], "id"))
        if run is None:
            raise Refused(404, "test run not found")
        return Answer(body={"test_run": told(run, self._world)})

    def _list(self, call: Call) -> Answer:
        paged = {"page", "per_page"} & set(call.query)
        if paged and {"offset", "limit"} & set(call.query):
            raise Wrong("page", "goes with per_page, not with offset and limit")
        found = [test for test in sorted(self._suite_of) if self._listed(test, call.query)]
        size = _number(call, "per_page" if paged else "limit", PER_PAGE)
        start = (_number(call, "page", 1) - 1) * size if paged else _number(call, "offset", 0)
        tests = [self._blueprint(test) for test in found[start : start + size]]
        return Answer(body={"test_blueprints": tests, "pagination": {}})  # no page names the fields of `pagination`

    def _listed(self, test: int, query: Mapping[str, object]) -> bool:
        folder = next((path for path, tests in self._section.folders.items() if test in tests), "/")
        suite = query.get("test_blueprint_category_id")
        return (
            (query.get("include_all_folders") == "true" or folder == query.get("folder_path", "/"))
            and (suite is None or self._suite_of[test] == str(suite))
            and str(query.get("search", "")).lower() in self._title(test).lower()
            and query.get("type", "web") == "web"
        )

    def _title(self, test: int) -> str:
        return self._courses.first(test).name or f"Test {test}"

    def _blueprint(self, test: int) -> dict[str, object]:
        suite = self._suite_of[test]
        last = next((run for run in reversed(self._runs.values()) if run.test == test), None)
        return {
            "id": test,
            **blueprint(self._title(test), None),
            "status": "active",
            "num_retries": 0,
            "test_blueprint_category_id": int(suite) if suite else None,
            "test_blueprint_category_name": f"Suite {suite}" if suite else None,
            "last_status": last.status(self._world.timeline.now()) if last else None,
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


def _number(call: Call, name: str, default: int) -> int:
    value = call.query.get(name, default)
    return value if isinstance(value, int) else default
