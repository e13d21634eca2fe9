"""The emulated TesterArmy keeps to testerarmy.md, and refuses whatever is not on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

if TYPE_CHECKING:
    from tests.emulator.conftest import Stand, Start

GROUP = "11111111-1111-4111-8111-111111111111"
TESTS = [f"22222222-2222-4222-8222-22222222222{number}" for number in range(4)]
PROJECT = "33333333-3333-4333-8333-333333333333"
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
    assert stand.told("runs") == []


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
    assert answers == [{"cancelled": 2, "alreadyFinished": 1}, {"cancelled": 0, "alreadyFinished": 3}]
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
    assert (app["platform"], app["filename"], app["fileSize"]) == ("android", "shop.apk", 3)
    body = {"platform": "android", "mobile": {"appId": app["id"]}}
    assert stand.call("testerarmy", RUN_GROUP, body).status_code == 202
    stand.clock.advance(60)
    assert stand.call("testerarmy", RUN_GROUP, body).status_code == 400


def test_a_deleted_build_cannot_be_used(stand: Stand) -> None:
    app = uploaded(stand)
    assert app["expiresAt"] is None
    route = f"DELETE /projects/{PROJECT}/mobile/{app['id']}"
    assert [stand.call("testerarmy", route).status_code for _ in range(2)] == [204, 404]
    assert stand.call("testerarmy", RUN_TEST, {"appId": app["id"]}).status_code == 400
    assert stand.call("testerarmy", f"GET /projects/{PROJECT}/mobile").ok


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


def test_look_ups_exist_but_tell_nothing(stand: Stand) -> None:
    for route in ("GET /projects", f"GET /tests?projectId={PROJECT}", f"GET /groups?projectId={PROJECT}"):
        assert stand.json("testerarmy", route) == {}
    assert stand.call("testerarmy", "GET /tests").status_code == 400
    assert stand.call("testerarmy", f"GET /groups/{GROUP}").ok


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
