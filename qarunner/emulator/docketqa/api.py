"""DocketQA's API as docketqa.md describes it: a create makes a group of test runs, and each of them is polled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct, field

from qarunner.emulator.docketqa.apps import Apps
from qarunner.emulator.docketqa.runs import TestRun, blueprint, run_body, stamp, steps
from qarunner.emulator.http import require_header
from qarunner.emulator.messages import Answer, Body, Endpoint, Refused
from qarunner.emulator.sections import Courses
from qarunner.emulator.strict import Fields, Wrong, digits, list_of, mapping_of, one_of, text, web_address, whole

if TYPE_CHECKING:
    from qarunner.emulator.messages import Call
    from qarunner.emulator.sections import DocketqaSection
    from qarunner.emulator.world import World


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

    def _start(self, chosen: Chosen, *, lists_tests: bool) -> Answer:
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
        return Answer(body={"message": message, "test_group_run": body})

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
        return Answer(body={"test_run": run_body(run, self._world, detailed=True)})

    def _list(self, call: Call) -> Answer:
        tests, body = self._page(call, [test for test in sorted(self._suite_of) if self._listed(test, call.query)])
        return Answer(body={"test_blueprints": [self._blueprint(test) for test in tests], **body})

    def _list_modules(self, call: Call) -> Answer:
        """No scenario names reusable steps: there are none. The name of the list is our choice (docketqa.md)."""
        _, body = self._page(call, [])
        return Answer(body={"modules": [], **body})

    def _page(self, call: Call, tests: list[int]) -> tuple[list[int], dict[str, object]]:
        """The page that a query asks for, and what stands beside its elements."""
        query, body = call.query, dict[str, object]()
        numbered, counted = {"page", "per_page"} & set(query), {"offset", "limit"} & set(query)
        if numbered and counted:
            raise Wrong("page", "goes with per_page, not with offset and limit")
        if numbered or counted:
            size = _number(call, "per_page" if numbered else "limit", PER_PAGE)
            start = (_number(call, "page", 1) - 1) * size if numbered else _number(call, "offset", 0)
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


def _number(call: Call, name: str, default: int) -> int:
    value = call.query.get(name, default)
    return value if isinstance(value, int) else default
