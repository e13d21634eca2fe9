"""The suite that plugins' authors run, on the vendors that qarunner brings along; bodies as their pages show them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from qarunner.decode import UnexpectedData
from qarunner.testing import Conformance, Example
from qarunner.testing.adapter import METADATA
from qarunner.vendors import registry
from qarunner.vendors.api import InventoryKind, Item, RemoteRun, Reply, Request
from tests.amount import FULL, some

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from qarunner.decode import Json

SITE = "https://staging.example.com"


def pages(*bodies: Json) -> tuple[Json, ...]:
    """The replies of a list, page by page."""
    return bodies


# --- Doksi ------------------------------------------------------------------------------------------------------------


def doksi(status: str, *words: str) -> Json:
    results: list[Json] = [
        {
            "result_id": f"r{n}",
            "test_id": f"t{n}",
            "test_name": f"Test {n}",
            "status": word,
            "duration_seconds": 20,
            "url": f"https://app.doksi.ai/results/r{n}",
            "destination": {"platform": "web", "web_url": SITE},
        }
        for n, word in enumerate(words, 1)
    ]
    counted = {name: words.count(name) for name in ("passed", "failed", "running")}
    return {
        "run_id": "k3n2",
        "status": status,
        "tests_total": len(words),
        **{f"tests_{name}": number for name, number in counted.items()},
        "results": results,
    }


DOKSI = [
    Example(
        rows=[
            {"id": "one", "platform": "web", "target": {"web_url": SITE}, "test_ids": ["t1"]},
            {
                "id": "two",
                "platform": "web",
                "target": {"web_url": SITE},
                "test_ids": ["t2"],
                "artifacts": [{"type": "authentication", "strategy": "specific", "account_id": "acc_1"}],
            },
        ],
        settings={"extra": {"reason": "nightly"}},
        created={"run_id": "k3n2", "results": [{"result_id": f"r{n}", "test_id": f"t{n}"} for n in (1, 2)]},
        passed=doksi("passed", "passed", "passed"),
        failed=doksi("failed", "passed", "failed"),
        running=doksi("running", "passed", "running"),
    ),
    Example(
        rows=[{"id": "app", "platform": "android", "target": {"binary": "build/app.apk"}, "category_ids": ["cat_1"]}],
        created={"run_id": "k3n2"},
        made=(
            {"upload_id": "up_1", "upload_url": "https://uploads.example.com/up_1?sig=1"},
            Reply(status=200, text=""),
            {"target_id": "bin_1"},
        ),
        passed={
            "run_id": "k3n2",
            "status": "passed",
            "results": [{"result_id": "r1", "test_id": "t9", "status": "passed"}],
        },
        failed={
            "run_id": "k3n2",
            "status": "failed",
            "results": [{"result_id": "r1", "test_id": "t9", "status": "failed"}],
        },
        running={"status": "queued"},
    ),
]


# --- Certyn -----------------------------------------------------------------------------------------------------------


def certyn(state: str, **counters: int) -> Json:
    counted = dict.fromkeys(("passed", "failed", "blocked", "aborted", "skipped", "pending"), 0) | counters
    return {"runId": "9f1c", "state": state, "total": sum(counted.values()), **counted}


def certyn_listed(run: str) -> Json:
    """A run that passed, as the list shows it: without `aborted` and `skipped`."""
    counters = {"total": 2, "passed": 2, "failed": 0, "blocked": 0, "pending": 0}
    return {"runId": run, "state": "completed", **counters}


PROJECTS: Json = {"defaultProjectId": "p-2", "projects": [{"id": "p-2", "slug": "my-app", "name": "My app"}]}


def items(*words: str) -> Json:
    told = [
        {
            "id": f"i{n}",
            "testCaseId": f"tc-{n}",
            "testCaseName": f"Test {n}",
            "status": "completed",
            "testOutcome": word,
        }
        for n, word in enumerate(words, 1)
    ]
    return {"totalItems": len(words), "items": told}


CERTYN = [
    Example(
        rows=[{"id": "smoke", "category_ids": ["smoke-suite"]}],
        settings={"project": "my-app", "details": False},
        listed={
            InventoryKind.PROJECT: PROJECTS,
            InventoryKind.CATEGORY: pages(PROJECTS, [{"slug": "smoke-suite", "name": "Smoke", "isActive": True}]),
            InventoryKind.ENVIRONMENT: pages(
                PROJECTS,
                {"items": [{"key": "staging", "label": "Staging"}], "hasNextPage": True},
                {"items": [{"key": "live", "label": "Live"}], "hasNextPage": False},
            ),
            InventoryKind.TAG: pages(
                PROJECTS,
                {"items": [{"id": "t1", "tags": ["smoke", "Pay"]}], "hasNextPage": True},
                {"items": [{"id": "t2", "tags": ["pay", "slow"]}], "hasNextPage": False},
            ),
        },
        items={
            InventoryKind.PROJECT: {"my-app": "My app"},
            InventoryKind.ENVIRONMENT: {"staging": "Staging", "live": "Live"},
            InventoryKind.TAG: {"smoke": "smoke", "pay": "pay", "slow": "slow"},
        },
        many=(PROJECTS, {"items": [certyn_listed("9f1c"), certyn_listed("other")], "totalCount": 2}),
        created={"runId": "9f1c", "testCaseCount": 2, "appUrl": "https://app.certyn.io/runs/9f1c"},
        passed=certyn("completed", passed=2),
        failed=certyn("completed", passed=1, failed=1),
        running=certyn("in_progress", passed=1, pending=1),
    ),
    Example(
        rows=[
            {"id": "preview", "tags": ["smoke"], "target": {"web_url": SITE}, "options": {"instruction": "Be quick"}}
        ],
        settings={"project": "my-app"},
        created={"runId": "9f1c", "testCaseCount": 2},
        made=(PROJECTS, {"items": []}, {"id": "e-7"}),
        passed=(certyn("completed", passed=2), PROJECTS, items("passed", "passed")),
        failed=(certyn("completed", passed=1, failed=1), PROJECTS, items("passed", "failed")),
        running=certyn("pending", pending=2),
    ),
]


# --- DocketQA ---------------------------------------------------------------------------------------------------------


def docketqa_run(run: int, status: str, *, login: bool = False) -> dict[str, Json]:
    return {
        "id": run,
        "status": status,
        "test_blueprint_id": run - 8900,
        "test_group_run_id": 88,
        "results": None,
        "is_login_test_run": login,
    }


def docketqa(status: str, last: str | None = None) -> Callable[[Request], Json]:
    """The answers about test runs 9001 and 9002; the last of them has a status of its own."""

    def answer(request: Request) -> Json:
        run = int(request.path.rpartition("/")[2])
        word = last if last and run == 9002 else status
        results: list[Json] = [{"step_number": 1, "task": "Pay", "is_successful": word == "passed", "result": "Done"}]
        return {"test_run": {**docketqa_run(run, word), "results": None if word == "running" else results}}

    return answer


def docketqa_created(*runs: int) -> Json:
    told: list[Json] = [docketqa_run(run, "running") for run in runs]
    return {"message": "Test run started", "test_group_run": {"id": 88, "status": "running", "test_runs": told}}


DOCKETQA = [
    Example(
        rows=[{"id": "checkout", "test_ids": [101, 102]}],
        listed={
            InventoryKind.TEST: pages(
                {"test_blueprints": [{"id": 101, "title": "Pay"}], "pagination": {"total_pages": 2}},
                {"test_blueprints": [{"id": 102, "title": "Refund"}], "pagination": {"total_pages": 2}},
            ),
            InventoryKind.CATEGORY: {
                "test_blueprints": [
                    {"id": test, "test_blueprint_category_id": 7, "test_blueprint_category_name": "Shop"}
                    for test in (101, 102)
                ],
                "pagination": {"total_pages": 1},
            },
            InventoryKind.APP: {"apps": [{"id": 7, "name": "Shop"}]},
        },
        items={InventoryKind.TEST: {"101": "Pay", "102": "Refund"}, InventoryKind.CATEGORY: {"7": "Shop"}},
        created=docketqa_created(9001, 9002),
        nothing={"message": "Test run started", "test_group_run": {"id": 88, "status": "running", "test_runs": []}},
        passed=docketqa("passed"),
        failed=docketqa("passed", "failed"),
        running=docketqa("passed", "running"),
    ),
    Example(
        rows=[{"id": "shop", "category_ids": [7], "target": {"web_url": SITE}}],
        created=docketqa_created(9001),
        passed=docketqa("passed"),
        failed=docketqa("failed"),
        running=docketqa("running"),
    ),
    Example(
        rows=[
            {
                "id": "app",
                "platform": "android",
                "target": {"binary": "build/app-release.apk"},
                "category_ids": ["12"],
                "options": {"app_id": 7, "set_current": True},
            }
        ],
        created=docketqa_created(9001),
        made=(
            {
                "s3_presigned_url": "https://s3.example.com/k1?sig=1",
                "s3_key": "apps/7/k1",
                "content_type": "application/zip",
            },
            Reply(status=200, text=""),
            {"message": "Build created", "build": {"id": 32}, "app": {"id": 7, "current_build": {"id": 32}}},
        ),
        passed=docketqa("passed"),
        failed=docketqa("failed"),
        running=docketqa("running"),
    ),
]


# --- TesterArmy -------------------------------------------------------------------------------------------------------

GROUP = "22222222-2222-4222-8222-222222222222"
TEST = "11111111-1111-4111-8111-111111111111"
RUN = "aaaaaaaa-0000-4000-8000-00000000000"


def army(status: str, *results: str | None) -> Callable[[Request], Json]:
    """The answers about runs that end in 1, 2, …"""

    def answer(request: Request) -> Json:
        run = request.path.rpartition("/")[2]
        return army_run(run, status, results[int(run[-1]) - 1])

    return answer


def army_run(run: str, status: str, result: str | None) -> Json:
    output = {"featureName": "Checkout", "result": result, "issues": [], "steps": []} if result else None
    return {"id": run, "type": "ci", "status": status, "testId": None, "output": output, "error": None}


TESTERARMY = [
    Example(
        rows=[{"id": "smoke", "category_ids": [GROUP]}],
        sent=Request(method="POST", path=f"/groups/{GROUP}/runs", body={"commitSha": METADATA.commit}),
        listed={
            InventoryKind.TEST: pages(
                {"tests": [{"id": TEST, "title": "Log in", "enabled": True}], "nextCursor": "2"},
                {"tests": [{"id": GROUP, "title": "Log out", "enabled": True}], "nextCursor": None},
            ),
            InventoryKind.PROJECT: {"projects": [{"id": TEST, "name": "Shop"}]},
            InventoryKind.CATEGORY: {"groups": [{"id": GROUP, "name": "Smoke"}]},
            InventoryKind.ENVIRONMENT: {"environments": [{"id": GROUP, "name": "Staging", "slug": "staging"}]},
            InventoryKind.APP: {"apps": [{"id": GROUP, "filename": "shop"}]},
        },
        items={InventoryKind.TEST: {TEST: "Log in", GROUP: "Log out"}, InventoryKind.APP: {GROUP: "shop"}},
        many={"runs": [army_run(f"{RUN}{run}", "completed", "PASS") for run in "129"], "nextCursor": None},
        settings={"project": "44444444-4444-4444-8444-444444444401"},
        created={
            "status": "queued",
            "groupId": GROUP,
            "runIds": [f"{RUN}1", f"{RUN}2"],
            "queuedRunIds": [f"{RUN}1", f"{RUN}2"],
            "cancelledRunIds": [],
            "count": 2,
        },
        nothing={"status": "cancelled", "groupId": GROUP, "runIds": [], "count": 0},
        passed=army("completed", "PASS", "PASS"),
        failed=army("completed", "PASS", "FAILED"),
        running=army("running", None, None),
    ),
    Example(
        rows=[
            {
                "id": "app",
                "platform": "ios",
                "category_ids": [GROUP],
                "target": {"binary_url": "https://builds.example.com/latest"},
                "options": {"artifact_filename": "shop.app.zip"},
            }
        ],
        created={"status": "queued", "runIds": [f"{RUN}1"], "count": 1},
        passed=army("completed", "PASS"),
        failed=army("completed", "FAILED"),
        running=army("queued", None),
    ),
    Example(
        rows=[
            {"id": "pull", "platform": "android", "target": {"binary": "app.apk"}, "options": {"pull_request": True}}
        ],
        settings={"project": "44444444-4444-4444-8444-444444444401"},
        metadata=replace(METADATA, pr_number=7),
        made=(
            {"uploadUrl": "https://uploads.example.com/1", "storageKey": "k"},
            Reply(status=200, text=""),
            {"app": {"id": GROUP, "expiresAt": "2030-01-01T00:00:00Z"}},
        ),
        created={"status": "queued", "runId": f"{RUN}1"},
        passed=army("completed", "PASS"),
        failed=army("completed", "FAILED"),
        running=army("queued", None),
    ),
    Example(
        rows=[{"id": "login", "test_ids": [TEST]}],
        created={"status": "queued", "runId": f"{RUN}1", "testId": TEST},
        passed=army("completed", "PASS"),
        failed=army("completed", "FAILED"),
        running=army("queued", None),
    ),
]

EXAMPLES = {"certyn": CERTYN, "docketqa": DOCKETQA, "doksi": DOKSI, "testerarmy": TESTERARMY}


CHECKS = sorted(name for name in vars(Conformance) if name.startswith("test_"))


def suite(vendor: str) -> Conformance:
    found = type("Suite", (Conformance,), {"vendor": registry.get(vendor), "examples": EXAMPLES[vendor]})()
    assert isinstance(found, Conformance)
    return found


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("vendor", registry.names_builtin())
def test_a_built_in_vendor_conforms(vendor: str, check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not FULL:
        monkeypatch.setattr("qarunner.testing.suite._SAMPLES", 10)
    getattr(suite(vendor), check)()


def test_a_list_of_which_the_first_page_is_read_for_ever_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = registry.get("docketqa")
    first_page = adapter.inventory(InventoryKind.TEST, {}, ())
    monkeypatch.setattr(type(adapter), "inventory", lambda *_: first_page)
    suite = type("TestIt", (Conformance,), {"vendor": adapter, "examples": DOCKETQA[:1]})()
    with pytest.raises(AssertionError, match="asks for the same again"):
        suite.test_inventories_are_read_to_their_end()


def test_a_page_that_is_not_read_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = registry.get("docketqa")
    whole = adapter.inventory

    def first_alone(_: object, kind: InventoryKind, settings: Mapping[str, Json], replies: Sequence[Reply]) -> object:
        last = [Reply(status=200, text=reply.text.replace('"total_pages": 2', '"total_pages": 1')) for reply in replies]
        return whole(kind, settings, last)

    monkeypatch.setattr(type(adapter), "inventory", first_alone)
    suite = type("TestIt", (Conformance,), {"vendor": adapter, "examples": DOCKETQA[:1]})()
    with pytest.raises(AssertionError, match="the example has 2 pages, 1 were read"):
        suite.test_inventories_are_read_to_their_end()


def named(result: object, change: Callable[[Item], Item | None]) -> object:
    """A list's items, changed; what is no list stays."""
    if not isinstance(result, tuple):
        return result
    return tuple(item for item in map(change, result) if item is not None)


def readable(whole: Any, *arguments: Any) -> object:  # noqa: ANN401  an adapter's method
    try:
        return whole(*arguments)
    except UnexpectedData:
        return ()


TURNS = itertools.count()
FAULTS: dict[str, Callable[[Any, Any, Any, Any], object]] = {
    "named by its id": lambda whole, kind, settings, replies: named(
        whole(kind, settings, replies), lambda item: Item(id=item.id, name=item.id)
    ),
    "id and name swapped": lambda whole, kind, settings, replies: named(
        whole(kind, settings, replies), lambda item: Item(id=item.name, name=item.id)
    ),
    "twice": lambda whole, kind, settings, replies: (
        (*result, *result) if isinstance(result := whole(kind, settings, replies), tuple) else result
    ),
    "the last page alone": lambda whole, kind, settings, replies: named(
        whole(kind, settings, replies), lambda item: item if item.id in replies[-1].text else None
    ),
    "the list of another kind": lambda whole, _, settings, replies: whole(InventoryKind.TEST, settings, replies),
    "no project": lambda whole, kind, _, replies: whole(kind, {"project": GROUP}, replies),
    "a header of the credential": lambda whole, kind, settings, replies: (
        replace(result, headers=(("Authorization", "Bearer x"),))
        if isinstance(result := whole(kind, settings, replies), Request)
        else result
    ),
    "another request each time": lambda whole, kind, settings, replies: (
        replace(result, query=(*result.query, ("n", str(next(TURNS)))))
        if isinstance(result := whole(kind, settings, replies), Request)
        else result
    ),
    "what cannot be read is empty": readable,
}


@pytest.mark.parametrize("fault", some(list(FAULTS), 4))
def test_a_fault_in_a_list_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = registry.get("testerarmy")
    whole = adapter.inventory
    monkeypatch.setattr(type(adapter), "inventory", lambda _, *arguments: FAULTS[fault](whole, *arguments))
    with pytest.raises(AssertionError, match="testerarmy: "):
        suite("testerarmy").test_inventories_are_read_to_their_end()


MANY: dict[str, Callable[[Any, Any, Any, Any], object]] = {
    "runs that were not asked for": lambda whole, settings, runs, replies: whole(
        settings, [*runs, RemoteRun(id=f"{RUN}9")], replies
    ),
    "the answer of another run": lambda whole, settings, runs, replies: (
        dict(zip(result, [*result.values()][::-1], strict=True))
        if isinstance(result := whole(settings, runs, replies), dict)
        else result
    ),
}


@pytest.mark.parametrize("fault", some(list(MANY), 3))
def test_a_fault_in_a_list_of_runs_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = registry.get("testerarmy")
    whole = adapter.poll_many
    monkeypatch.setattr(type(adapter), "poll_many", lambda _, *arguments: MANY[fault](whole, *arguments))
    with pytest.raises(AssertionError, match="testerarmy: "):
        suite("testerarmy").test_requests_can_be_sent()


def without(*path: str) -> Callable[[Any, Any], object]:
    """A create that has lost a field of its body."""

    def submit(whole: Any, call: Any) -> object:  # noqa: ANN401  an adapter's method
        request = whole(call)
        return replace(request, body=lacking(request.body, path))

    return submit


def lacking(body: Any, path: tuple[str, ...]) -> Any:  # noqa: ANN401  plain data
    step, *rest = path
    if step not in body:
        return body
    kept = {key: value for key, value in body.items() if key != step}
    return {**kept, step: lacking(body[step], tuple(rest))} if rest else kept


def first_tag(whole: Any, call: Any) -> object:  # noqa: ANN401  an adapter's method
    request = whole(call)
    tags = request.body.get("tags")
    return replace(request, body={**request.body, "tags": tags[:1]}) if tags else request


def matrix_alone(whole: Any, call: Any) -> object:  # noqa: ANN401  an adapter's method
    request = whole(call)
    return replace(request, body={"matrix": request.body["matrix"]})


def kept_for_ever(whole: Any, call: Any) -> object:  # noqa: ANN401  an adapter's method
    return [replace(need, data={**need.data, "remove_after": 60}) for need in whole(call)]


def of_another_app(whole: Any, call: Any) -> object:  # noqa: ANN401  an adapter's method
    return [replace(need, data={**need.data, "app_id": 1}) for need in whole(call)]


def of_the_project(_: Any, resource: Any, prepared: Any) -> object:  # noqa: ANN401  an adapter's method
    del resource
    project = prepared.values["project_id"]
    return Request(method="DELETE", path=f"/api/projects/{project}/environments/{project}")


DROPPED: dict[str, tuple[str, str, Callable[..., object]]] = {
    "an option for people": ("certyn", "submit", without("instruction")),
    "the environment of the settings": ("certyn", "submit", without("environmentKey")),
    "the commit beside a branch": ("certyn", "submit", without("commitSha")),
    "all tags but the first": ("certyn", "submit", first_tag),
    "the environment that was made": ("certyn", "release", of_the_project),
    "fields that go through untouched": ("doksi", "submit", matrix_alone),
    "an option of a single test": ("testerarmy", "submit", without("mode")),
    "an option of a group": ("testerarmy", "submit", without("environment")),
    "the only fact of the build": ("testerarmy", "submit", without("commitSha")),
    "the addresses of single tests": ("docketqa", "submit", without("test_url_overrides")),
    "an option of an upload": ("testerarmy", "resources", kept_for_ever),
    "the app of an option": ("docketqa", "resources", of_another_app),
    "the commit within another object": ("docketqa", "submit", without("github_context", "commit_sha")),
}


@pytest.mark.parametrize("dropped", some(list(DROPPED), 5))
def test_what_is_dropped_is_found(dropped: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vendor, method, fault = DROPPED[dropped]
    adapter = registry.get(vendor)
    whole = getattr(adapter, method)
    monkeypatch.setattr(type(adapter), method, lambda _, *arguments: fault(whole, *arguments))
    checks = suite(vendor)
    with pytest.raises(AssertionError, match=f"{vendor}: "):
        checks.test_resources_are_made() if method == "release" else checks.test_nothing_of_a_manifest_is_dropped()


def test_a_kind_without_an_example_is_found() -> None:
    suite = type("TestIt", (Conformance,), {"vendor": registry.get("testerarmy"), "examples": TESTERARMY[1:]})()
    with pytest.raises(AssertionError, match="but no example has it in `listed`"):
        suite.test_inventories_are_read_to_their_end()
