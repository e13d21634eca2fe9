"""The emulated DocketQA keeps to docketqa.md, and refuses whatever is not on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.amount import PATIENCE_S

if TYPE_CHECKING:
    from tests.emulator.conftest import Stand, Start

RUN = "POST /test_group_run/trigger_run"
CI_RUN = "POST /test_group_run/trigger_ci_run"
UPLOAD = {"filename": "shop.apk", "platform": "android", "file_size": 3}


def runs_of(stand: Stand, body: object) -> list[dict[str, Any]]:
    group = stand.json("docketqa", RUN, body)["test_group_run"]
    assert all(run["test_group_run_id"] == group["id"] for run in group["test_runs"])
    return list(group["test_runs"])


def poll(stand: Stand, run: dict[str, Any]) -> Any:  # noqa: ANN401
    return stand.json("docketqa", f"GET /test_run/{run['id']}")["test_run"]


def uploaded(stand: Stand, **changes: object) -> dict[str, object]:
    target = stand.json("docketqa", "POST /apps/upload-url", {**UPLOAD, **changes})
    assert stand.put(target["s3_presigned_url"], b"apk", target["content_type"]).status_code == 200
    return {"s3_key": target["s3_key"], "file_size": 3}


def test_a_group_run_lists_a_test_run_for_every_test(stand: Stand) -> None:
    reply = stand.json("docketqa", RUN, {"test_blueprint_ids": [12, 13]})
    group = reply["test_group_run"]
    assert set(reply) == {"message", "test_group_run"}
    assert set(group) == {"id", "company_id", "name", "status", "test_runs", "created_at", "updated_at"}
    assert [run["test_blueprint_id"] for run in group["test_runs"]] == [12, 13]
    assert all(isinstance(run["id"], int) and run["results"] is None for run in group["test_runs"])
    assert {run["status"] for run in group["test_runs"]} == {"running"}


def test_a_test_run_is_running_then_passed_with_its_steps(start: Start) -> None:
    stand = start({"docketqa": {"tests": {12: {"name": "Log in and pay", "duration": "6s"}}}})
    (run,) = runs_of(stand, {"test_blueprint_ids": [12]})
    stand.clock.advance(5)
    assert poll(stand, run)["status"] == "running"
    stand.clock.advance(1)
    done = poll(stand, run)
    assert (done["status"], done["blueprint_metadata"]["title"]) == ("passed", "Log in and pay")
    assert [step["is_successful"] for step in done["results"]] == [True, True, True]
    picture = stand.session.get(done["results"][0]["actions"][0]["screenshot_url"], timeout=PATIENCE_S)
    assert picture.content.startswith(b"\x89PNG")


def test_a_failed_run_says_why_and_leaves_steps_undone(start: Start) -> None:
    stand = start({"docketqa": {"tests": {12: {"outcome": "failed", "message": "No button"}}}})
    (run,) = runs_of(stand, {"test_blueprint_ids": [12]})
    stand.clock.advance(3)
    done = poll(stand, run)
    steps = [(step["is_successful"], step["result"]) for step in done["results"]]
    assert (done["status"], steps) == (
        "failed",
        [(True, "Done"), (False, "No button"), (False, "Step not completed")],
    )
    assert (done["results"][2]["duration"], done["results"][2]["actions"]) == (0, [])


@pytest.mark.parametrize(("course", "word"), [("stopped", "stopped"), ("error", "error"), ("hang", "running")])
def test_other_ends(start: Start, course: str, word: str) -> None:
    stand = start({"docketqa": {"default": course}})
    (run,) = runs_of(stand, {"test_blueprint_ids": [12]})
    stand.clock.advance(100)
    assert poll(stand, run)["status"] == word


def test_a_suite_is_named_by_a_string(start: Start) -> None:
    stand = start({"docketqa": {"suites": {"7": [12, 15]}}})
    assert [run["test_blueprint_id"] for run in runs_of(stand, {"test_blueprint_category_id": "7"})] == [12, 15]
    assert [run["test_blueprint_id"] for run in runs_of(stand, {"test_blueprint_category_id": "8"})] == [801, 802, 803]


def test_a_login_run_may_come_on_top(start: Start) -> None:
    stand = start({"docketqa": {"login_run": True}})
    runs = runs_of(stand, {"test_blueprint_ids": [12]})
    assert [(run["test_blueprint_id"] == 12, run["is_login_test_run"]) for run in runs] == [
        (False, True),
        (True, False),
    ]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "exactly one of test_blueprint_ids, test_blueprint_category_id"),
        ({"test_blueprint_ids": [1], "test_blueprint_category_id": "7"}, "only one of"),
        ({"test_blueprint_ids": []}, "must not be empty"),
        ({"test_blueprint_ids": ["12"]}, "test_blueprint_ids[0]: expected an integer, got a string"),
        ({"test_blueprint_ids": [True]}, "expected an integer, got a boolean"),
        ({"test_blueprint_ids": [12.0]}, "expected an integer, got a number"),
        ({"test_blueprint_ids": [12, 12]}, "names a test twice"),
        ({"test_blueprint_category_id": 7}, "expected an integer, got 7"),
        ({"test_blueprint_ids": [12], "starting_url": "https://x.example"}, "unknown field 'starting_url'"),
    ],
)
def test_a_create_outside_the_page_is_refused(stand: Stand, body: object, said: str) -> None:
    reply = stand.call("docketqa", RUN, body)
    assert reply.status_code == 400
    assert said in reply.json()["detail"]
    assert stand.records("runs") == []


def test_the_route_with_overrides_promises_only_the_id(stand: Stand) -> None:
    body = {"test_blueprint_category_id": ["7", "8"], "github_context": {"repository": "a/b", "ref": "main"}}
    reply = stand.json("docketqa", CI_RUN, body)
    assert set(reply["test_group_run"]) == {"id"}
    assert len(stand.records("runs")) == 6


def test_a_test_override_wins_over_its_suite(start: Start) -> None:
    stand = start({"docketqa": {"ci_run_lists_tests": True, "suites": {"7": [12, 13]}}})
    body = {
        "test_blueprint_category_id": "7",
        "test_suite_url_overrides": {"7": "https://suite.example"},
        "test_suite_account_login_url_overrides": {"7": "https://login.example"},
        "test_url_overrides": {"13": "https://test.example"},
    }
    runs = stand.json("docketqa", CI_RUN, body)["test_group_run"]["test_runs"]
    urls = {run["test_blueprint_id"]: run["blueprint_metadata"]["starting_url"] for run in runs}
    assert urls == {12: "https://suite.example", 13: "https://test.example"}


@pytest.mark.parametrize(
    "changes",
    [
        {"test_blueprint_category_id": []},
        {"test_suite_url_overrides": {"9": "https://x.example"}},
        {"test_suite_url_overrides": {"7": "no url"}},
        {"test_url_overrides": {"checkout": "https://x.example"}},
        {"github_context": {"actor": "me"}},
        {"test_blueprint_ids": [1]},
    ],
)
def test_overrides_outside_the_page_are_refused(stand: Stand, changes: dict[str, object]) -> None:
    reply = stand.call("docketqa", CI_RUN, {"test_blueprint_category_id": "7", **changes})
    assert reply.status_code == 400
    assert stand.records("runs") == []


def test_the_list_shows_the_root_folder_unless_told_otherwise(start: Start) -> None:
    tests = {12: {"name": "Pay"}, 13: {"name": "Search"}, 14: {"name": "Pay later"}}
    stand = start({"docketqa": {"tests": tests, "suites": {"7": [13]}, "folders": {"/deep": [14]}}})

    def listed(**query: object) -> list[int]:
        found = stand.json("docketqa", "GET /test_blueprint/list", params=query)["test_blueprints"]
        return [test["id"] for test in found]

    assert listed() == [12, 13]
    assert listed(include_all_folders="true") == [12, 13, 14]
    assert listed(folder_path="/deep") == [14]
    assert listed(include_all_folders="true", search="pay") == [12, 14]
    assert listed(test_blueprint_category_id=7) == [13]
    assert listed(include_all_folders="true", page=2, per_page=2) == [14]
    assert listed(include_all_folders="true", offset=1, limit=1) == [13]


@pytest.mark.parametrize(
    "query", [{"page": 1, "limit": 1}, {"page": 0}, {"folder": "/"}, {"include_all_folders": "yes"}]
)
def test_a_list_query_outside_the_page_is_refused(stand: Stand, query: dict[str, str]) -> None:
    assert stand.call("docketqa", "GET /test_blueprint/list", params=query).status_code == 400


def test_unknown_ids(start: Start) -> None:
    stand = start({"docketqa": {"only_known": True, "tests": {12: {}}, "suites": {"7": [12]}}})
    assert stand.call("docketqa", RUN, {"test_blueprint_ids": [99]}).status_code == 404
    assert stand.call("docketqa", RUN, {"test_blueprint_category_id": "8"}).status_code == 404
    assert stand.call("docketqa", RUN, {"test_blueprint_category_id": "7"}).ok
    assert stand.call("docketqa", "GET /test_run/1").status_code == 404
    assert stand.call("docketqa", "GET /test_run/abc").status_code == 400


def test_a_build_of_an_app_becomes_the_current_one(start: Start) -> None:
    stand = start({"docketqa": {"apps": {5: {"name": "Shop", "platform": "android", "builds": [31]}}}})
    assert stand.call("docketqa", "POST /apps/5/builds", {"name": "b1", **uploaded(stand)}).status_code == 201
    build = stand.records("uploads")[0]["became"]
    for known in (31, build):
        assert stand.call("docketqa", f"PUT /apps/5/builds/{known}/set-current").ok
    assert [(move["app"], move["build"]) for move in stand.records("moves")] == [(5, build), (5, 31), (5, build)]
    assert stand.call("docketqa", "PUT /apps/5/builds/32/set-current").status_code == 404
    assert stand.call("docketqa", "PUT /apps/6/builds/31/set-current").status_code == 404


def test_an_app_of_any_id_exists_where_a_scenario_names_none(start: Start) -> None:
    stand = start({})
    assert stand.call("docketqa", "POST /apps/17/builds", {"name": "b1", **uploaded(stand)}).status_code == 201
    assert [build["name"] for build in stand.json("docketqa", "GET /apps/17")["builds"]] == ["b1"]
    assert stand.call("docketqa", "PUT /apps/18/builds/31/set-current").ok
    stand = start({"docketqa": {"only_known": True}})
    assert stand.call("docketqa", "GET /apps/17").status_code == 404


def test_an_app_is_shown_with_its_builds_and_the_current_one(start: Start) -> None:
    stand = start({"docketqa": {"apps": {17: {"name": "Acme Mobile", "platform": "android", "builds": [42]}}}})
    made = stand.json("docketqa", "POST /apps/17/builds", {"name": "v1.2.0", **uploaded(stand)})
    assert set(made) == {"message", "build", "app"}
    app = stand.json("docketqa", "GET /apps/17")
    assert (app["build_count"], app["current_build"]) == (2, made["build"])
    assert [build["name"] for build in app["builds"]] == ["Build 42", "v1.2.0"]
    (listed,) = stand.json("docketqa", "GET /apps/list")["apps"]
    assert listed == {name: value for name, value in app.items() if name != "builds"}
    again = {"name": "v1.2.0", **uploaded(stand)}
    assert stand.call("docketqa", "POST /apps/17/builds", again).status_code == 409
    moved = stand.json("docketqa", "PUT /apps/17/builds/42/set-current")
    assert moved["app"]["current_build"]["id"] == 42


def test_replies_have_the_words_of_the_pages(start: Start) -> None:
    stand = start({"docketqa": {"tests": {12: {"name": "Pay"}}, "suites": {"7": {"name": "Shop", "tests": [12, 13]}}}})
    (run, _) = stand.json("docketqa", RUN, {"test_blueprint_category_id": "7"})["test_group_run"]["test_runs"]
    assert run["test_video_s3_key"] is None
    stand.clock.advance(3)
    done = poll(stand, run)
    assert done["created_at"].endswith("000+00:00")
    assert (done["additional_attempts"], done["results"][0]["duration"]) == ([], 1)
    assert done["test_video_download_url"].endswith(".webm")
    assert done["blueprint_metadata"]["steps"][0].keys() == {"action", "step_number", "type", "use_vision"}
    told = stand.json("docketqa", "GET /test_blueprint/list?type=integration&page=1&per_page=1")
    assert told["pagination"] == {"page": 1, "per_page": 1, "total": 2, "total_pages": 2}
    (test,) = told["test_blueprints"]
    assert (test["device_type"], test["test_blueprint_category_name"], test["last_status"]) == (
        "browser",
        "Shop",
        "passed",
    )
    assert stand.call("docketqa", f"{CI_RUN}/", {"test_blueprint_category_id": "7"}).ok


def test_a_build_may_be_added_without_moving_the_pointer(start: Start) -> None:
    stand = start({"docketqa": {"apps": {5: {"name": "Shop", "platform": "android"}}}})
    body = {"name": "b1", "set_as_current": False, **uploaded(stand)}
    assert stand.call("docketqa", "POST /apps/5/builds", body).ok
    assert stand.records("moves") == []


def test_an_app_is_created_once_under_its_name(stand: Stand) -> None:
    body = {"name": "Shop", "platform": "android", "build_name": "b1", **uploaded(stand)}
    assert stand.call("docketqa", "POST /apps/create", body).status_code == 201
    assert stand.call("docketqa", "POST /apps/create", body).status_code == 409
    assert stand.call("docketqa", "GET /apps/list?platform=android").ok
    assert stand.call("docketqa", "GET /apps/list?platform=web").status_code == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"filename": "shop.aab"},
        {"filename": "shop.apk", "platform": "ios"},
        {"platform": "web"},
        {"file_size": 0},
        {"file_size": 1_073_741_825},
        {"file_size": "3"},
        {"bucket": "b"},
    ],
)
def test_an_upload_outside_the_page_is_refused(stand: Stand, changes: dict[str, object]) -> None:
    assert stand.call("docketqa", "POST /apps/upload-url", {**UPLOAD, **changes}).status_code == 400


def test_a_build_must_be_what_was_announced(start: Start) -> None:
    apps = {5: {"name": "Shop", "platform": "android"}, 6: {"name": "Shop", "platform": "ios"}}
    stand = start({"docketqa": {"apps": apps}})
    key = uploaded(stand)
    for app, changes in ((5, {"s3_key": "made-up"}), (5, {"file_size": 4}), (6, {})):
        assert stand.call("docketqa", f"POST /apps/{app}/builds", {"name": "b", **key, **changes}).status_code == 400
    unsent = stand.json("docketqa", "POST /apps/upload-url", UPLOAD)["s3_key"]
    body = {"name": "b", "s3_key": unsent, "file_size": 3}
    assert stand.call("docketqa", "POST /apps/5/builds", body).status_code == 400


def test_the_put_wants_the_announced_content_type(stand: Stand) -> None:
    target = stand.json("docketqa", "POST /apps/upload-url", {**UPLOAD, "content_type": "application/x-apk"})
    assert target["content_type"] == "application/x-apk"
    assert stand.put(target["s3_presigned_url"], b"apk", "application/octet-stream").status_code == 403
    assert stand.put(target["s3_presigned_url"], b"apk", "application/x-apk").status_code == 200


def test_any_key_but_none_is_taken(stand: Stand) -> None:
    assert stand.call("docketqa", "GET /apps/list", headers={"X-API-KEY": ""}).status_code == 401
    assert stand.call("docketqa", "GET /apps/list", headers={"X-API-KEY": "whatever"}).ok


def test_what_a_scenario_lacks_is_said(start: Start) -> None:
    reply = start({}).json("docketqa", "POST /test_group_run/trigger_ci_run", {"test_blueprint_category_id": "7"})
    assert "test_runs" not in reply["test_group_run"]
    assert "ci_run_lists_tests in the scenario" in reply["message"]


def test_reusable_steps_are_none(stand: Stand) -> None:
    listed = stand.json("docketqa", "GET /modules/list?page=1&per_page=10&with_steps=true&include_all_folders=true")
    assert listed == {"modules": [], "pagination": {"page": 1, "per_page": 10, "total": 0, "total_pages": 0}}
