"""The plugins for real vendors: installed, the real program, and an emulation of what the vendor's pages document.

Each emulation is a reading of its own of the vendor's OpenAPI file, and refuses what is not in there.
"""

from __future__ import annotations

import ast
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.testing.installed import EXAMPLES, Service, User, install
from tests.testing.test_planted import examples_of, load, problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.program.conftest import Ended
    from tests.testing.installed import Answer, Call

KEY = "real-vendors-key-0123456789"
MODULES = {"rainforest-plugin": "rainforest_qa", "qatech-plugin": "qatech"}
PUBLIC = {"qarunner.vendors", "qarunner.vendors.api", "qarunner.vendors.replies", "collections.abc"}
LONGEST = 200


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory, *MODULES)


@pytest.mark.parametrize("folder", MODULES)
def test_it_conforms(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qarunner.testing.suite._SAMPLES", 10)
    module = MODULES[folder]
    assert problem(load(folder, module).VENDOR, examples_of(folder, module, monkeypatch)) is None


@pytest.mark.parametrize("folder", MODULES)
def test_it_is_short_and_uses_the_public_api_alone(folder: str) -> None:
    source = (EXAMPLES / folder / f"{MODULES[folder]}.py").read_text(encoding="utf-8")
    imports = {node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)}
    assert imports <= PUBLIC
    assert not any(isinstance(node, ast.Import) for node in ast.walk(ast.parse(source)))
    assert len(source.splitlines()) < LONGEST


# --- Rainforest QA ----------------------------------------------------------------------------------------------------

POST_RUNS = {"tests", "tags", "browsers", "execution_method", "environment_id", "release"}
POST_ENVIRONMENTS = {"name", "url", "is_temporary", "webhook", "webhook_enabled", "default"}
GROUP = [str(2000 + number) for number in range(101)]  # more than a page holds


class Rainforest(Service):
    """Runs are in progress once, and complete from then on; `words` are results by test, others are `passed`."""

    def __init__(self) -> None:
        super().__init__()
        self.words: dict[str, str] = {}
        self.tests: dict[int, list[str]] = {}
        self.state: dict[int, str] = {}
        self.environments: set[int] = set()

    def answer(self, call: Call) -> Answer:
        authorized = call.headers.get("CLIENT_TOKEN") == KEY
        return self.route(call) if authorized else (401, {"error": "Unauthorized"}, {})

    def route(self, call: Call) -> Answer:  # noqa: PLR0911  one for each route
        match (call.method, *call.path.removeprefix("/api/1/").split("/")):
            case ("POST", "environments"):
                return self.environment(call.body)
            case ("DELETE", "environments", name):
                self.environments.discard(int(name))
                return 200, {"id": int(name)}, {}
            case ("POST", "runs"):
                return self.create(call.body, str(call.body["tests"]).split(","), POST_RUNS)
            case ("POST", "run_groups", "8", "runs"):
                return self.create(call.body, GROUP, POST_RUNS - {"tests", "tags"})
            case (method, "runs", name) if int(name) in self.tests:
                return self.run(method, int(name))
            case ("GET", "runs", name, "tests") if int(name) in self.tests:
                return self.page(int(name), int(call.query.get("page", 1)), int(call.query.get("page_size", 10)))
        return 404, {"error": "Not Found"}, {}

    def environment(self, body: dict[str, Any]) -> Answer:
        if body.keys() - POST_ENVIRONMENTS or "name" not in body:
            return 400, {"error": f"Environment could not be created: {body}"}, {}
        number = 1770 + len(self.environments)
        self.environments.add(number)
        return 201, {"id": number, "name": body["name"], "is_temporary": body["is_temporary"]}, {}

    def create(self, body: dict[str, Any], tests: list[str], keys: set[str]) -> Answer:
        known = {1770, *self.environments}
        if body.keys() - keys or body.get("environment_id", 1770) not in known or not all(map(str.isdecimal, tests)):
            return 400, {"error": f"Run could not be created: {body}"}, {}
        number = 33 + len(self.tests)
        self.tests[number], self.state[number] = tests, "queued"
        return 201, self.status(number), {}

    def run(self, method: str, number: int) -> Answer:
        following = {"queued": "in_progress", "in_progress": "complete"}
        if method == "DELETE":
            if self.state[number] == "complete":
                return 409, {"error": "Run could not be canceled"}, {}
            self.state[number] = "aborted"
        elif self.words.get("hangs") != self.state[number]:
            self.state[number] = following.get(self.state[number], self.state[number])
        return 200, self.status(number), {}

    def status(self, number: int) -> dict[str, Any]:
        over = self.state[number] in {"complete", "aborted"}
        words = [self.words.get(test, "passed") if over else "" for test in self.tests[number]]
        counts = {word: words.count(word) for word in ("passed", "failed", "no_result")}
        result = "failed" if counts["failed"] else "passed" if counts["passed"] == len(words) else "no_result"
        return {
            "id": number,
            "state": self.state[number],
            "state_details": {"name": self.state[number], "is_final_state": over},
            "result": result,
            "current_progress": {"total": len(words), "complete": sum(map(bool, words)), "percent": 0, **counts},
            "frontend_url": f"https://app.rainforestqa.com/runs/{number}",
        }

    def page(self, number: int, page: int, size: int) -> Answer:
        tests, size = self.tests[number], min(size, 100)
        listed = [
            {"id": test, "test_id": test, "run_id": number, "title": test, "result": self.words.get(test, "passed")}
            for test in tests[(page - 1) * size : page * size]
        ]
        told = {"X-Total-Pages": -(-len(tests) // size), "X-Current-Page": page, "X-Total-Results": len(tests)}
        return 200, listed, {name: str(value) for name, value in told.items()}


@pytest.fixture
def rainforest() -> Iterator[Rainforest]:
    with Rainforest() as found:
        yield found


@pytest.fixture
def tester(tmp_path: Path, installed: Path) -> User:
    user = User(tmp_path, installed, "rainforest-plugin")
    user.example()
    return user


def run_rainforest(user: User, server: Rainforest) -> Ended:
    """The address is as the vendor's own client takes it."""
    return user.apply(RAINFOREST_API_URL=f"{server.url}/api/1/", RAINFOREST_API_TOKEN=KEY)


def test_rainforest_passes(tester: User, rainforest: Rainforest) -> None:
    done = run_rainforest(tester, rainforest)
    assert done.code == 0, done
    assert tester.verdicts == {"checkout": "passed", "smoke": "passed"}
    assert {"tests": "1234,1235", "environment_id": 1770} in rainforest.creates
    assert {"environment_id": 1770} in rainforest.creates
    assert rainforest.environments == set()


@pytest.mark.parametrize(
    ("test", "word", "code", "verdicts"),
    [
        ("1235", "failed", 1, {"checkout": "failed", "smoke": "passed"}),
        ("2100", "failed", 1, {"checkout": "passed", "smoke": "failed"}),  # on the second page
        ("2100", "no_result", 8, {"checkout": "passed", "smoke": "unknown"}),
    ],
)
def test_rainforest_does_not_pass(
    tester: User, rainforest: Rainforest, test: str, word: str, code: int, verdicts: dict[str, str]
) -> None:
    rainforest.words[test] = word
    done = run_rainforest(tester, rainforest)
    assert done.code == code, done
    assert tester.verdicts == verdicts


def test_rainforest_runs_are_cancelled(tester: User, rainforest: Rainforest) -> None:
    rainforest.words["hangs"] = "in_progress"
    tester.environ |= {"RAINFOREST_API_URL": rainforest.url + "/api/1/", "RAINFOREST_API_TOKEN": KEY}
    started = tester.run("apply", "--detach", "--run-id", "r1")
    assert started.code == 0, started
    cancelled = tester.run("cancel", "r1")
    assert {"DELETE /api/1/runs/33", "DELETE /api/1/runs/34"} <= set(rainforest.calls), cancelled
    assert tester.verdicts == {"checkout": "cancelled", "smoke": "cancelled"}


def test_what_is_no_number_is_refused_at_its_line(tester: User) -> None:
    tester.example("[1234, 1235]", "[checkout]")
    refused = tester.run("validate")
    assert refused.code == 2, refused
    assert "qa-matrix.yml:14:16: error: 'checkout' is no id of rainforest" in refused.err


# --- QA.tech ----------------------------------------------------------------------------------------------------------

RUN_REQUEST = {
    *("trigger", "actor", "branch", "commitHash", "commitMessage", "repository"),
    *("testPlanShortId", "applications", "notifications"),
}
UUID = "550e8400-e29b-41d4-a716-44665544000{}"


class QaTech(Service):
    """Runs of two tests are RUNNING once, and then as `end` says: status and result of the run, result of each test."""

    def __init__(self) -> None:
        super().__init__()
        self.end: tuple[str, str | None, str | None, str | None] = ("COMPLETED", "PASSED", "PASSED", "PASSED")
        self.asked: set[str] = set()
        self.status = 200

    def answer(self, call: Call) -> Answer:
        if call.headers.get("Authorization") != f"Bearer {KEY}":
            return 401, {"message": "Missing or invalid API key"}, {}
        if (call.method, call.path) == ("POST", "/v1/run"):
            if self.status != 200:
                return self.status, {"message": "Organization has reached usage limit."}, {}
            return self.create(call.body)
        short = call.path.removeprefix("/v1/run/")
        if call.method == "GET" and call.query == {"testCases": "all"}:
            return 200, self.run(short), {}
        return 404, {"message": "Run or project not found"}, {}

    def create(self, body: dict[str, Any]) -> Answer:
        if body.keys() - RUN_REQUEST or body["trigger"] not in {"API", "GITHUB"}:
            return 400, {"message": f"Validation error: {body}"}, {}
        number, plan = len(self.creates), {"name": "Smoke", "shortId": body["testPlanShortId"]}
        run = {"id": UUID.format(number), "shortId": f"abc12{number}", "testCount": 2, "testPlan": plan}
        return 200, {"success": True, "run": {**run, "url": f"https://app.qa.tech/p/shop/results/abc12{number}"}}, {}

    def run(self, short: str) -> dict[str, Any]:
        state, result, *results = self.end if short in self.asked else ("RUNNING", None, "PASSED", None)
        self.asked.add(short)
        cases = [
            {"id": f"case-{number}", "shortId": f"xyz78{number}", "name": f"Test {number}", "resultTitle": None}
            | {"status": "COMPLETED" if word else state, "result": word, "evaluationThought": "…"}
            for number, word in enumerate(results)
        ]
        identity = {"id": UUID.format(short[-1]), "shortId": short}
        return {**identity, "status": state, "result": result, "runTestCases": cases}


@pytest.fixture
def qatech() -> Iterator[QaTech]:
    with QaTech() as found:
        yield found


def run_qatech(tmp_path: Path, installed: Path, server: QaTech) -> tuple[User, Ended]:
    user = User(tmp_path, installed, "qatech-plugin")
    user.example()
    return user, user.apply(QARUNNER_QATECH_URL=f"{server.url}/v1", QATECH_API_TOKEN=KEY)


@pytest.mark.parametrize(
    ("end", "code", "verdict"),
    [
        (("COMPLETED", "PASSED", "PASSED", "PASSED"), 0, "passed"),
        (("COMPLETED", "FAILED", "PASSED", "FAILED"), 1, "failed"),
        (("COMPLETED", "PASSED", "PASSED", None), 8, "unknown"),
        (("CANCELLED", None, "FAILED", None), 1, "failed"),
    ],
)
def test_qatech(
    tmp_path: Path,
    installed: Path,
    qatech: QaTech,
    end: tuple[str, str | None, str | None, str | None],
    code: int,
    verdict: str,
) -> None:
    qatech.end = end
    user, done = run_qatech(tmp_path, installed, qatech)
    assert done.code == code, done
    assert user.verdicts == {"smoke": verdict, "nightly": verdict}
    environment = {"applicationShortId": "app_gXeBl2", "environment": {"url": "https://pr-7.example.com"}}
    assert sorted(qatech.creates, key=json.dumps) == [
        {
            "testPlanShortId": "pln_abc123",
            "applications": [{**environment, "devicePresetShortId": "preset_abc123"}],
            "trigger": "API",
        },
        {"testPlanShortId": "pln_xyz789", "trigger": "API"},
    ]


def test_qatech_has_no_allowance_left(tmp_path: Path, installed: Path, qatech: QaTech) -> None:
    qatech.status = 402
    _, done = run_qatech(tmp_path, installed, qatech)
    assert done.code == 6, done
    assert "Organization has reached usage limit." in done.out + done.err
