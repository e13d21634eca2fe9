"""The emulated TesterArmy keeps to testerarmy.md, and refuses whatever is not on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from qarunner.emulator import scenario
from qarunner.emulator.testerarmy import api
from qarunner.emulator.world import Ids, Timeline, new_world
from tests.described import operations

if TYPE_CHECKING:
    from tests.emulator.conftest import Stand, Start

GROUP = "11111111-1111-4111-8111-111111111111"
TESTS = [f"22222222-2222-4222-8222-22222222222{number}" for number in range(4)]
PROJECT = "33333333-3333-4333-8333-333333333333"
OTHER = "44444444-4444-4444-8444-444444444444"
RUN_GROUP = f"POST /groups/{GROUP}/runs"
RUN_TEST = f"POST /tests/{TESTS[0]}/runs"
RUN_PULL_REQUEST = f"POST /projects/{PROJECT}/pull-request-runs"
PULL_REQUEST = {"provider": "github", "number": 7, "title": "Fix", "commitSha": "abc"}
UPLOAD = {"filename": "shop.apk", "fileSize": 3}


def poll(stand: Stand, run: str) -> Any:  # noqa: ANN401
    return stand.json("testerarmy", f"GET /runs/{run}")


def group(start: Start, *courses: object, **section: object) -> Stand:
    tests = dict(zip(TESTS, courses, strict=False))
    groups = {GROUP: list(tests)}
    return start({"testerarmy": {"tests": tests, "groups": groups, **section}})


def uploaded(stand: Stand, **changes: object) -> dict[str, Any]:
    target = stand.json("testerarmy", f"POST /projects/{PROJECT}/mobile/upload", UPLOAD)
    assert stand.put(target["uploadUrl"], b"apk", "application/octet-stream").status_code == 200
    body = {**UPLOAD, "storageKey": target["storageKey"], **changes}
    reply = stand.call("testerarmy", f"POST /projects/{PROJECT}/mobile/upload/confirm", body)
    assert reply.status_code == 201
    app: dict[str, Any] = reply.json()["app"]
    return app


def test_a_group_run_answers_202_with_its_runs(stand: Stand) -> None:
    reply = stand.call("testerarmy", RUN_GROUP, {"targetUrl": "https://pr.example", "commitSha": "abc", "prNumber": 7})
    body = reply.json()
    assert reply.status_code == 202
    assert set(body) == {
        *("status", "groupId", "batchId", "runIds", "queuedRunIds", "cancelledRunIds", "count", "metadata")
    }
    assert (body["status"], body["groupId"], body["count"], body["cancelledRunIds"]) == ("queued", GROUP, 3, [])
    assert all(UUID(run) for run in body["runIds"])


def test_a_run_is_queued_running_completed_and_only_its_output_says_pass(start: Start) -> None:
    stand = group(start, "passed", "failed")
    runs = stand.json("testerarmy", RUN_GROUP)["runIds"]
    assert {poll(stand, run)["status"] for run in runs} == {"queued"}
    stand.clock.advance(1)
    assert {poll(stand, run)["status"] for run in runs} == {"running"}
    stand.clock.advance(2)
    told = {poll(stand, run)["testId"]: poll(stand, run) for run in runs}
    assert {run["status"] for run in told.values()} == {"completed"}
    assert [told[test]["output"]["result"] for test in TESTS[:2]] == ["PASS", "FAILED"]
    assert told[TESTS[0]]["durationMs"] == 3000
    assert told[TESTS[1]]["output"]["issues"][0]["severity"] in range(1, 6)
    assert "failed" in {step["status"] for step in told[TESTS[1]]["output"]["steps"]}


@pytest.mark.parametrize(
    ("course", "status", "has_error"),
    [("infra", "failed", True), ("cancelled", "cancelled", False), ("hang", "running", False)],
)
def test_other_ends(start: Start, course: str, status: str, *, has_error: bool) -> None:
    stand = group(start, course)
    (run,) = stand.json("testerarmy", RUN_GROUP)["runIds"]
    stand.clock.advance(100)
    told = poll(stand, run)
    assert (told["status"], told["output"], bool(told["error"])) == (status, None, has_error)


def test_a_202_may_carry_runs_that_never_execute(start: Start) -> None:
    stand = group(start, "never", "passed")
    some = stand.json("testerarmy", RUN_GROUP)
    assert (some["status"], some["count"], len(some["queuedRunIds"]), len(some["cancelledRunIds"])) == (
        "queued",
        2,
        1,
        1,
    )
    assert poll(stand, some["cancelledRunIds"][0])["status"] == "cancelled"
    assert group(start, "never").json("testerarmy", RUN_GROUP)["status"] == "cancelled"
    none = start({"testerarmy": {"groups": {GROUP: []}}}).json("testerarmy", RUN_GROUP)
    assert (none["runIds"], none["count"]) == ([], 0)


def test_the_order_of_run_ids_is_not_that_of_the_tests(start: Start) -> None:
    stand = group(start, "passed", "passed", "passed")
    runs = stand.json("testerarmy", RUN_GROUP)["runIds"]
    order = [poll(stand, run)["testId"] for run in runs]
    assert order != TESTS[:3]
    assert sorted(order) == TESTS[:3]


def test_a_sequential_group_keeps_waiting_runs_queued(start: Start) -> None:
    stand = group(start, "passed", "passed", "passed", sequential=True)
    runs = {poll(stand, run)["testId"]: run for run in stand.json("testerarmy", RUN_GROUP)["runIds"]}

    def states() -> list[str]:
        return [poll(stand, runs[test])["status"] for test in TESTS[:3]]

    stand.clock.advance(1)
    assert states() == ["running", "queued", "queued"]
    stand.clock.advance(3)
    assert states() == ["completed", "running", "queued"]
    assert stand.call("testerarmy", f"POST /runs/{runs[TESTS[1]]}/cancel").ok
    stand.clock.advance(1)
    assert states() == ["completed", "cancelled", "running"]


@pytest.mark.parametrize(
    ("route", "body", "said"),
    [
        (RUN_GROUP, {"url": "https://x.example"}, "unknown field 'url'"),
        (RUN_GROUP, {"platform": "desktop"}, "platform: unknown value 'desktop'"),
        (RUN_GROUP, {"deviceModel": "pixel"}, "deviceModel: unknown value 'pixel'"),
        (RUN_GROUP, {"platform": "android", "deviceModel": "ipad"}, "deviceModel: goes with platform ios"),
        (RUN_GROUP, {"platform": "ios", "targetUrl": "https://x.example"}, "targetUrl: goes with platform web"),
        (RUN_GROUP, {"platform": "web", "mobile": {}}, "mobile: goes with platforms ios and android only"),
        (RUN_GROUP, {"projectEnvironmentId": "staging"}, "expected a UUID, got 'staging'"),
        (RUN_GROUP, {"targetUrl": "x.example"}, "expected an absolute http(s) URL"),
        (RUN_GROUP, {"environment": "test"}, "environment: unknown value 'test'"),
        (RUN_GROUP, {"prNumber": 0}, "prNumber: must be at least 1"),
        (RUN_GROUP, {"prNumber": "7"}, "prNumber: expected an integer"),
        (RUN_GROUP, {"mobile": {"appId": PROJECT, "bundleId": "b"}}, "only one of appId and bundleId"),
        (RUN_GROUP, {"mobile": {"artifactUrl": "https://x.example/a.apk"}}, "artifactFilename: is required"),
        (RUN_GROUP, {"mobile": {"artifactFilename": "a.apk"}}, "artifactFilename: goes with artifactUrl only"),
        (RUN_TEST, {"targetUrl": "https://x.example"}, "unknown field 'targetUrl'"),
        (RUN_TEST, {"commitSha": "abc"}, "unknown field 'commitSha'"),
        (RUN_TEST, {"mode": "slow"}, "mode: unknown value 'slow'"),
        (RUN_TEST, {"platform": "web", "appId": PROJECT}, "appId: goes with platforms ios and android only"),
        (RUN_PULL_REQUEST, {"targetUrl": "https://x.example"}, "pullRequest: is required"),
        (RUN_PULL_REQUEST, {"pullRequest": PULL_REQUEST}, "exactly one of targetUrl, platform"),
        (RUN_PULL_REQUEST, {"platform": "web", "pullRequest": PULL_REQUEST}, "platform: unknown value 'web'"),
        (
            RUN_PULL_REQUEST,
            {"targetUrl": "https://x.example", "pullRequest": PULL_REQUEST, "simulatorRegion": "eu-north1"},
            "simulatorRegion: goes with a mobile platform",
        ),
        (
            RUN_PULL_REQUEST,
            {"targetUrl": "https://x.example", "pullRequest": PULL_REQUEST | {"title": "x" * 501}},
            "pullRequest.title: must have 1 to 500 characters",
        ),
        (
            RUN_PULL_REQUEST,
            {"targetUrl": "https://x.example", "pullRequest": PULL_REQUEST | {"labels": []}},
            "pullRequest: unknown field 'labels'",
        ),
    ],
)
def test_a_create_outside_the_page_is_refused(stand: Stand, route: str, body: object, said: str) -> None:
    reply = stand.call("testerarmy", route, body)
    assert reply.status_code == 400
    assert (reply.json()["error"], set(reply.json())) == ("ValidationError", {"error", "message"})
    assert said in reply.json()["message"]
    assert stand.records("runs") == []


@pytest.mark.parametrize(
    "body",
    [
        {"platform": "ios", "deviceModel": "ipad", "mobile": {"bundleId": "com.x", "buildId": "7"}},
        {"mobile": {"artifactUrl": "https://x.example/a", "artifactFilename": "a.app.zip"}, "environment": "custom"},
        {"projectEnvironmentId": PROJECT, "environment": "production"},
    ],
)
def test_what_is_on_the_page_is_taken(stand: Stand, body: object) -> None:
    assert stand.call("testerarmy", RUN_GROUP, body).status_code == 202


def test_one_test_makes_one_run(stand: Stand) -> None:
    reply = stand.call("testerarmy", RUN_TEST, {"mode": "deep", "platform": "web"})
    assert (reply.status_code, set(reply.json())) == (202, {"status", "runId", "testId"})
    told = poll(stand, reply.json()["runId"])
    assert (told["type"], told["testId"], told["executionMode"]) == ("test", TESTS[0], "deep")


def test_a_planner_may_decline_a_pull_request(start: Start) -> None:
    stand = start({"testerarmy": {"pull_request": {"outcome": "skipped", "message": "docs only"}}})
    body = {"targetUrl": "https://x.example", "pullRequest": PULL_REQUEST}
    made = stand.json("testerarmy", RUN_PULL_REQUEST, body)
    assert (made["projectId"], made["platform"]) == (PROJECT, "web")
    stand.clock.advance(3)
    told = poll(stand, made["runId"])
    assert (told["status"], told["output"]) == ("completed", {"kind": "planner_skipped", "reason": "docs only"})


def test_a_short_id_names_a_project_but_not_on_mobile_paths(start: Start) -> None:
    stand = start({"testerarmy": {"projects": {PROJECT: "shop"}}})
    body = {"platform": "ios", "pullRequest": PULL_REQUEST, "simulatorRegion": "us-west1"}
    assert stand.json("testerarmy", "POST /projects/shop/pull-request-runs", body)["projectId"] == PROJECT
    assert stand.call("testerarmy", "POST /projects/shop/mobile/upload", UPLOAD).status_code == 400


def test_a_cancelled_run_stays_so_and_one_that_is_over_conflicts(stand: Stand) -> None:
    run, other, _ = stand.json("testerarmy", RUN_GROUP)["runIds"]
    assert stand.json("testerarmy", f"POST /runs/{run}/cancel") == {"id": run, "status": "cancelled"}
    stand.clock.advance(10)
    assert poll(stand, run)["status"] == "cancelled"
    for over in (run, other):
        reply = stand.call("testerarmy", f"POST /runs/{over}/cancel")
        assert (reply.status_code, set(reply.json())) == (409, {"error", "message"})


def test_a_batch_cancel_may_be_repeated(start: Start) -> None:
    stand = group(start, {"duration": "1s"}, "passed", "passed")
    batch = stand.json("testerarmy", RUN_GROUP)["batchId"]
    stand.clock.advance(2)
    answers = [stand.json("testerarmy", f"POST /batches/{batch}/cancel") for _ in range(2)]
    assert [(answer["cancelled"], answer["alreadyFinished"]) for answer in answers] == [(2, 1), (0, 3)]
    assert [len(answer["cancelledRunIds"]) for answer in answers] == [2, 0]
    assert set(answers[0]["cancelledRunIds"]) < set(answers[1]["alreadyFinishedRunIds"])
    assert stand.call("testerarmy", f"POST /batches/{PROJECT}/cancel").status_code == 404


def test_runs_are_listed_page_by_page(stand: Stand) -> None:
    made = set(stand.json("testerarmy", RUN_GROUP)["runIds"])
    first = stand.json("testerarmy", "GET /runs", params={"limit": 2})
    second = stand.json("testerarmy", "GET /runs", params={"limit": 2, "cursor": first["nextCursor"]})
    assert {run["id"] for run in first["runs"] + second["runs"]} == made
    assert second["nextCursor"] is None
    assert stand.json("testerarmy", "GET /runs", params={"status": "completed"})["runs"] == []
    assert stand.call("testerarmy", "GET /runs", params={"limit": 101}).status_code == 400
    assert stand.call("testerarmy", "GET /runs", params={"batchId": GROUP}).status_code == 400


def test_a_build_is_uploaded_confirmed_and_used(stand: Stand) -> None:
    app = uploaded(stand, removeAfter=60)
    assert (app["platform"], app["filename"], app["fileSize"]) == ("android", "shop", 3)
    body = {"platform": "android", "mobile": {"appId": app["id"]}}
    assert stand.call("testerarmy", RUN_GROUP, body).status_code == 202
    assert stand.json("testerarmy", f"GET /projects/{PROJECT}/mobile")["apps"] == [app]
    stand.clock.advance(60)
    assert stand.call("testerarmy", RUN_GROUP, body).status_code == 400


def test_a_deleted_build_cannot_be_used(stand: Stand) -> None:
    app = uploaded(stand)
    assert app["expiresAt"] is None
    route = f"DELETE /projects/{PROJECT}/mobile/{app['id']}"
    assert [stand.call("testerarmy", route).status_code for _ in range(2)] == [200, 404]
    assert stand.call("testerarmy", RUN_TEST, {"appId": app["id"]}).status_code == 400
    assert stand.json("testerarmy", f"GET /projects/{PROJECT}/mobile") == {"apps": []}


@pytest.mark.parametrize(
    "changes",
    [
        {"filename": "shop.ipa"},
        {"filename": "shop.aab"},
        {"filename": "shop.xapk"},
        {"fileSize": 0},
        {"removeAfter": 59},
        {"removeAfter": 604_801},
        {"platform": "android"},
    ],
)
def test_an_upload_outside_the_page_is_refused(stand: Stand, changes: dict[str, object]) -> None:
    reply = stand.call("testerarmy", f"POST /projects/{PROJECT}/mobile/upload", {**UPLOAD, **changes})
    assert reply.status_code == 400


def test_temporary_uploads_have_a_quota(stand: Stand) -> None:
    body = {"filename": "a.zip", "fileSize": 20 * 1024**3 + 1, "removeAfter": 60}
    assert stand.call("testerarmy", f"POST /projects/{PROJECT}/mobile/upload", body).status_code == 413


def test_a_confirm_must_match_what_arrived(stand: Stand) -> None:
    route = f"POST /projects/{PROJECT}/mobile/upload/confirm"
    key = stand.json("testerarmy", f"POST /projects/{PROJECT}/mobile/upload", UPLOAD)
    body = {**UPLOAD, "storageKey": key["storageKey"]}
    assert stand.call("testerarmy", route, body).status_code == 400
    assert stand.put(key["uploadUrl"], b"longer", "application/octet-stream").ok
    assert stand.call("testerarmy", route, body).status_code == 400
    assert stand.put(key["uploadUrl"], b"apk", "application/octet-stream").ok
    assert stand.call("testerarmy", route, body | {"filename": "b.apk"}).status_code == 400
    assert [stand.call("testerarmy", route, body).status_code for _ in range(2)] == [201, 409]


def test_inventories_are_the_scenarios(start: Start) -> None:
    section = {
        "tests": {TESTS[0]: {"name": "Log in"}, TESTS[1]: {"name": "Pay"}, TESTS[2]: {"name": "Ship"}},
        "groups": {GROUP: {"name": "Smoke", "tests": TESTS[:2]}},
        "disabled": [TESTS[1]],
        "projects": {
            PROJECT: {"name": "Shop", "short": "shop", "environments": {TESTS[3]: "My staging"}},
            OTHER: {"name": "Depot", "tests": [TESTS[2]], "kind": "mobile"},
        },
    }
    stand = start({"testerarmy": section})
    projects = stand.json("testerarmy", "GET /projects")["projects"]
    assert [(project["name"], project["projectType"]) for project in projects] == [("Shop", "web"), ("Depot", "mobile")]
    environments = stand.json("testerarmy", "GET /projects/shop/environments")["environments"]
    assert [environment["kind"] for environment in environments] == ["production", "pr_preview", "static"]
    assert (environments[2]["id"], environments[2]["slug"]) == (TESTS[3], "my-staging")

    def titles(**query: object) -> list[str]:
        return [test["title"] for test in stand.json("testerarmy", "GET /tests", params=query)["tests"]]

    assert [titles(projectId=project) for project in (PROJECT, OTHER)] == [["Log in", "Pay"], ["Ship"]]
    assert titles(projectId="shop", groupId=GROUP) == ["Log in", "Pay"]
    first = stand.json("testerarmy", "GET /tests", params={"projectId": PROJECT, "limit": 1})
    assert titles(projectId=PROJECT, limit=1, cursor=first["nextCursor"]) == ["Pay"]
    groups = stand.json("testerarmy", f"GET /groups?projectId={PROJECT}")["groups"]
    assert [(group["name"], group["isDefault"], group["testCount"]) for group in groups] == [
        ("All tests", True, 2),
        ("Smoke", False, 2),
    ]
    assert len(stand.json("testerarmy", RUN_GROUP)["runIds"]) == 1  # the other one is disabled
    assert stand.call("testerarmy", "GET /tests").status_code == 400


def test_every_route_answers_as_the_vendors_own_file_says(start: Start) -> None:
    """`Stand.call` holds each reply against the file; here is one good reply of each route that is served."""
    stand = group(start, "passed", "failed")
    made = stand.json("testerarmy", RUN_GROUP, {"commitSha": "abc", "prNumber": 7})
    app = uploaded(stand)
    run, other = made["runIds"]
    stand.json("testerarmy", f"POST /runs/{run}/cancel")
    stand.clock.advance(3)
    calls: dict[str, tuple[str, object]] = {
        f"GET /projects/{PROJECT}": ("GET /projects/{projectId}", None),
        f"GET /projects/{PROJECT}/environments": ("GET /projects/{projectId}/environments", None),
        f"GET /projects/{PROJECT}/mobile": ("GET /projects/{projectId}/mobile", None),
        f"DELETE /projects/{PROJECT}/mobile/{app['id']}": ("DELETE /projects/{projectId}/mobile/{appId}", None),
        f"POST /projects/{PROJECT}/environments": (
            "POST /projects/{projectId}/environments",
            {"name": "PR 7", "url": "https://pr-7.example"},
        ),
        f"GET /projects/{PROJECT}/credentials": ("GET /projects/{projectId}/credentials", None),
        f"GET /projects/{PROJECT}/files": ("GET /projects/{projectId}/files", None),
        f"GET /projects/{PROJECT}/memories": ("GET /projects/{projectId}/memories", None),
        f"GET /tests/{TESTS[0]}": ("GET /tests/{testId}", None),
        f"GET /groups/{GROUP}": ("GET /groups/{groupId}", None),
        f"GET /runs/{other}": ("GET /runs/{id}", None),
        f"POST /batches/{made['batchId']}/cancel": ("POST /batches/{batchId}/cancel", None),
        f"POST /batches/{made['batchId']}/rerun": ("POST /batches/{batchId}/rerun", None),
        f"POST /groups/webhook/{GROUP}/s3cret": ("POST /groups/webhook/{webhookId}/{secret}", {"commitSha": "abc"}),
        f"POST /webhook/{GROUP}/s3cret": ("POST /webhook/{webhookId}/{secret}", {"deployment": {"state": "ready"}}),
        RUN_TEST: ("POST /tests/{testId}/runs", {"mode": "fast"}),
        RUN_PULL_REQUEST: (
            "POST /projects/{projectId}/pull-request-runs",
            {"targetUrl": "https://x.example", "platform": "web", "pullRequest": PULL_REQUEST},
        ),
        "GET /projects": ("GET /projects", None),
        f"GET /tests?projectId={PROJECT}": ("GET /tests", None),
        f"GET /groups?projectId={PROJECT}": ("GET /groups", None),
        "GET /runs": ("GET /runs", None),
    }
    for route, (_, body) in calls.items():
        assert stand.json("testerarmy", route, body)
    upload = "POST /projects/{projectId}/mobile/upload"
    called = {name for name, _ in calls.values()} | {"POST /groups/{groupId}/runs", "POST /runs/{id}/cancel"}
    vendor = api.Testerarmy(new_world("", Timeline(stand.clock, 1), Ids()), scenario.TesterarmySection())
    served = {endpoint.name for endpoint in vendor.endpoints()}
    deleted = "DELETE /projects/{projectId}/environments/{environmentId}"
    assert served == called | {upload, f"{upload}/confirm", deleted}
    described = {f"{method} {path}" for method, path in operations("testerarmy")}
    assert served <= described
    # What changes an account is not served, but for environments: no run needs it, and no pipeline calls it.
    assert not {name for name in described - served if name.startswith("GET ")}


def test_an_environment_is_made_and_deleted(start: Start) -> None:
    stand = start({"testerarmy": {"projects": {PROJECT: {"short": "shop", "environments": {TESTS[3]: "My staging"}}}}})
    folder = f"/projects/{PROJECT}/environments"
    body = {"name": "PR 7", "url": "https://pr-7.example"}
    made = stand.json("testerarmy", f"POST {folder}", body)["environment"]
    assert (made["slug"], made["kind"], made["url"]) == ("pr-7", "static", body["url"])
    assert stand.json("testerarmy", "GET /projects/shop/environments")["environments"][-1] == made
    codes = [
        stand.call("testerarmy", f"POST {folder}", {**body, **change}).status_code
        for change in ({}, {"name": "my staging"}, {"name": "b", "url": "http://b.example"}, {"name": "x" * 101})
    ]
    assert codes == [409, 409, 400, 400]
    gone = f"DELETE /projects/shop/environments/{made['id']}"
    assert stand.json("testerarmy", gone) == {"deleted": True, "id": made["id"]}
    assert stand.call("testerarmy", gone).status_code == 404
    (production, *_) = stand.json("testerarmy", f"GET {folder}")["environments"]
    assert stand.call("testerarmy", f"DELETE {folder}/{production['id']}").status_code == 404


def test_a_batch_runs_again_without_its_disabled_tests(start: Start) -> None:
    stand = group(start, "failed", "passed")
    batch = stand.json("testerarmy", RUN_GROUP)["batchId"]
    assert stand.call("testerarmy", f"POST /batches/{batch}/rerun").status_code == 409
    stand.clock.advance(3)
    again = stand.json("testerarmy", f"POST /batches/{batch}/rerun")
    assert (again["sourceBatchId"], again["count"], again["batchId"] == batch) == (batch, 2, False)


def test_a_webhook_starts_its_groups_without_a_key(start: Start) -> None:
    stand = start({"testerarmy": {"webhooks": {PROJECT: [GROUP, OTHER]}}})
    no_key = {"Authorization": ""}
    told = stand.json("testerarmy", f"POST /webhook/{PROJECT}/s3cret", {"any": 1}, headers=no_key)
    assert (len(told["batchIds"]), told["batchIds"][0]) == (2, told["batchId"])
    body = {"prNumber": 7}
    assert stand.call("testerarmy", f"POST /groups/webhook/{PROJECT}/s", body, headers=no_key).status_code == 400


def test_unknown_ids(start: Start) -> None:
    stand = start({"testerarmy": {"only_known": True, "tests": {TESTS[0]: {}}}})
    assert stand.call("testerarmy", RUN_TEST).status_code == 202
    for route in (RUN_GROUP, f"POST /tests/{TESTS[1]}/runs", f"GET /groups/{GROUP}", f"GET /runs/{GROUP}"):
        assert stand.call("testerarmy", route).status_code == 404
    assert stand.call("testerarmy", "GET /runs/abc").status_code == 400


@pytest.mark.parametrize("key", ["", "Bearer sk_", "Bearer dk_live_x", "sk_emulated"])
def test_a_key_of_another_shape_is_refused(stand: Stand, key: str) -> None:
    reply = stand.call("testerarmy", "GET /runs", headers={"Authorization": key})
    assert (reply.status_code, reply.json()["error"]) == (401, "Unauthorized")


def test_a_project_that_no_scenario_names_is_one_in_all_its_lists(stand: Stand) -> None:
    project = "44444444-4444-4444-8444-444444444444"
    (group,) = stand.json("testerarmy", f"GET /groups?projectId={project}")["groups"]
    assert (group["name"], group["isDefault"]) == ("All tests", True)
    tests = stand.json("testerarmy", f"GET /tests?projectId={project}")
    assert {(test["projectId"], test["projectName"]) for test in tests["tests"]} == {(project, tests["projectName"])}
