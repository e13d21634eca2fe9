"""The emulated Doksi keeps to doksi.md, and refuses whatever is not on it."""

from __future__ import annotations

import io
import re
import zipfile
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.emulator.conftest import Stand, Start

WEB = {"platform": "web", "web_url": "https://shop.example", "test_ids": ["a1", "b2", "c3"]}
ANDROID = {"platform": "android", "target_id": "bin_abc123", "test_ids": ["a1"]}


def matrix(**changes: object) -> dict[str, object]:
    entry = {**WEB, **changes}
    return {"matrix": [{key: value for key, value in entry.items() if value is not None}]}


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"apk")
    return buffer.getvalue()


def test_a_run_is_queued_then_running_then_passed(stand: Stand) -> None:
    run = stand.json("doksi", "POST /runs", matrix())
    route = f"GET /runs/{run['run_id']}"
    assert stand.json("doksi", route)["status"] == "queued"
    stand.clock.advance(1)
    running = stand.json("doksi", route)
    assert (running["status"], running["tests_running"], running["tests_passed"]) == ("running", 3, 0)
    stand.clock.advance(2)
    done = stand.json("doksi", route)
    assert (done["status"], done["tests_total"], done["tests_passed"], done["tests_failed"]) == ("passed", 3, 3, 0)
    assert done["duration_seconds"] == 3.0


def test_a_status_reply_has_exactly_the_documented_fields(stand: Stand) -> None:
    run = stand.json("doksi", "POST /runs", {"matrix": [WEB, ANDROID]})
    assert set(run) == {"run_id", "results"}
    assert all(set(result) == {"result_id", "test_id", "url"} for result in run["results"])
    status = stand.json("doksi", f"GET /runs/{run['run_id']}")
    assert set(status) == {
        *("run_id", "status", "tests_total", "tests_passed", "tests_failed", "tests_running"),
        *("duration_seconds", "created_at", "updated_at", "results"),
    }
    fields = {"result_id", "test_id", "test_name", "status", "duration_seconds", "url", "destination"}
    assert all(set(result) == fields for result in status["results"])
    destinations = [result["destination"] for result in status["results"]]
    assert destinations.count({"platform": "android"}) == 1
    assert destinations.count({"platform": "web", "web_url": "https://shop.example"}) == 3
    assert {result["result_id"] for result in run["results"]} == {r["result_id"] for r in status["results"]}


def test_neither_reply_follows_the_order_of_the_request(stand: Stand) -> None:
    for size in range(2, 9):
        ids = [f"t{number}" for number in range(size)]
        run = stand.json("doksi", "POST /runs", matrix(test_ids=ids))
        status = stand.json("doksi", f"GET /runs/{run['run_id']}")
        for reply in (run, status):
            order = [result["test_id"] for result in reply["results"]]
            assert order != ids
            assert sorted(order) == ids


def test_one_failed_test_fails_the_run_only_when_all_are_over(start: Start) -> None:
    stand = start({"doksi": {"tests": {"a1": {"outcome": "failed", "duration": "1s", "name": "Pay"}}}})
    run = stand.json("doksi", "POST /runs", matrix())
    stand.clock.advance(2)
    half = stand.json("doksi", f"GET /runs/{run['run_id']}")
    assert (half["status"], half["tests_failed"], half["tests_running"]) == ("running", 1, 2)
    assert [result["test_name"] for result in half["results"] if result["status"] == "failed"] == ["Pay"]
    stand.clock.advance(1)
    assert stand.json("doksi", f"GET /runs/{run['run_id']}")["status"] == "failed"


def test_a_hanging_test_keeps_its_run_open_for_ever(start: Start) -> None:
    stand = start({"doksi": {"tests": {"a1": "hang"}}})
    run = stand.json("doksi", "POST /runs", matrix())
    stand.clock.advance(86_400)
    status = stand.json("doksi", f"GET /runs/{run['run_id']}")
    assert (status["status"], status["tests_passed"], status["tests_running"]) == ("running", 2, 1)
    assert status["duration_seconds"] == 86_400


def test_a_flaky_test_takes_its_courses_in_turn(start: Start) -> None:
    stand = start({"doksi": {"tests": {"a1": ["failed", "passed"]}}})
    words = []
    for _ in range(3):
        run = stand.json("doksi", "POST /runs", matrix(test_ids=["a1"]))
        stand.clock.advance(3)
        words.append(stand.json("doksi", f"GET /runs/{run['run_id']}")["status"])
    assert words == ["failed", "passed", "passed"]


def test_a_final_word_of_the_scenario_replaces_that_of_the_outcome(start: Start) -> None:
    stand = start({"doksi": {"tests": {"a1": {"word": "quarantined"}}}})
    run = stand.json("doksi", "POST /runs", matrix(test_ids=["a1"]))
    stand.clock.advance(3)
    status = stand.json("doksi", f"GET /runs/{run['run_id']}")
    assert (status["results"][0]["status"], status["tests_passed"]) == ("quarantined", 0)


def test_the_same_test_may_stand_in_several_entries(stand: Stand) -> None:
    other = {**WEB, "web_url": "https://other.example"}
    run = stand.json("doksi", "POST /runs", {"matrix": [WEB, other, ANDROID]})
    assert [result["test_id"] for result in run["results"]].count("a1") == 3


def test_a_category_expands_as_the_scenario_says_or_to_three_tests(start: Start) -> None:
    stand = start({"doksi": {"categories": {"search": ["s1", "s2"], "empty": []}}})

    def tests(category: str) -> list[str]:
        reply = stand.json("doksi", "POST /runs", matrix(test_ids=None, category_ids=[category]))
        return sorted(result["test_id"] for result in reply["results"])

    assert tests("search") == ["s1", "s2"]
    assert tests("other") == ["other-1", "other-2", "other-3"]
    assert tests("empty") == []


def test_a_bad_binary_url_is_accepted_and_fails_late(stand: Stand) -> None:
    entry = {"platform": "android", "binary_url": "nowhere", "test_ids": ["a1"]}
    run = stand.json("doksi", "POST /runs", {"matrix": [entry]})
    stand.clock.advance(3)
    assert stand.json("doksi", f"GET /runs/{run['run_id']}")["status"] == "failed"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "matrix: is required"),
        ({"matrix": []}, "matrix: must not be empty"),
        ({"matrix": {}}, "expected a list, got an object"),
        ({"matrix": [1]}, "matrix[0]: expected an object, got an integer"),
        ({**matrix(), "name": "x"}, "unknown field 'name'"),
        (matrix(name="x"), "matrix[0]: unknown field 'name'"),
        (matrix(platform=None), "matrix[0].platform: is required"),
        (matrix(platform="ios"), "matrix[0].platform: unknown value 'ios'"),
        (matrix(web_url=None), "matrix[0].web_url: is required"),
        (matrix(web_url=5), "matrix[0].web_url: expected a string, got an integer"),
        (matrix(web_url="shop.example"), "expected an absolute http(s) URL"),
        (matrix(web_url="ftp://shop.example"), "expected an absolute http(s) URL"),
        (matrix(target_id="bin_1"), "matrix[0].target_id: goes with platform android only"),
        (matrix(binary_url="https://x.example/a.apk"), "matrix[0].binary_url: goes with platform android only"),
        (matrix(test_ids=None), "exactly one of test_ids, category_ids is required"),
        (matrix(category_ids=["c"]), "only one of test_ids and category_ids"),
        (matrix(test_ids=[]), "matrix[0].test_ids: must not be empty"),
        (matrix(test_ids="a1"), "matrix[0].test_ids: expected a list, got a string"),
        (matrix(test_ids=[1]), "matrix[0].test_ids[0]: expected a string, got an integer"),
        (matrix(test_ids=["a1", "a1"]), "names an id twice"),
        (matrix(artifacts=[{"type": "cookie", "strategy": "none"}]), "artifacts[0].type: unknown value 'cookie'"),
        (matrix(artifacts=[{"strategy": "none"}]), "artifacts[0].type: is required"),
        (matrix(artifacts=[{"type": "authentication", "strategy": "sso"}]), "strategy: unknown value 'sso'"),
        (matrix(artifacts=[{"type": "authentication", "strategy": "specific"}]), "account_id: is required"),
        (
            matrix(artifacts=[{"type": "authentication", "strategy": "generated", "account_id": "a"}]),
            "account_id: goes with strategy specific only",
        ),
        (matrix(artifacts=[{"type": "authentication", "strategy": "none"}] * 2), "more than one authentication"),
        ({"matrix": [{**ANDROID, "web_url": "https://x.example"}]}, "web_url: goes with platform web only"),
        ({"matrix": [{**ANDROID, "binary_url": "https://x.example"}]}, "only one of binary_url and target_id"),
        ({"matrix": [{**ANDROID, "target_id": "made-up"}]}, "unknown target 'made-up'"),
        ({"matrix": [{"platform": "android", "test_ids": ["a"]}]}, "exactly one of binary_url, target_id"),
    ],
)
def test_a_create_outside_the_page_is_refused_with_the_path(stand: Stand, body: object, said: str) -> None:
    reply = stand.call("doksi", "POST /runs", body)
    assert reply.status_code == 400
    assert set(reply.json()) == {"error"}
    assert said in reply.json()["error"]
    assert stand.records("runs") == []


def test_accounts_of_another_company_are_refused(start: Start) -> None:
    stand = start({"doksi": {"accounts": ["acc_1"]}})
    artifact = {"type": "authentication", "strategy": "specific", "account_id": "acc_1"}
    assert stand.call("doksi", "POST /runs", matrix(artifacts=[artifact])).ok
    refused = stand.call("doksi", "POST /runs", matrix(artifacts=[artifact | {"account_id": "acc_2"}]))
    assert refused.status_code == 400
    assert "acc_2" in refused.json()["error"]


def test_the_allowance_runs_out_with_two_numbers(start: Start) -> None:
    stand = start({"doksi": {"allowance": 4}})
    assert stand.call("doksi", "POST /runs", matrix()).ok
    reply = stand.call("doksi", "POST /runs", matrix())
    assert not reply.ok
    assert (reply.json()["requested"], reply.json()["remaining"]) == (3, 1)
    assert stand.call("doksi", "POST /runs", matrix(test_ids=["a1"])).ok
    assert len(stand.records("runs")) == 2


def test_extra_fields_are_taken_and_demanded_as_the_scenario_says(start: Start) -> None:
    stand = start({"doksi": {"extra_fields": {"pull_request": "required", "note": "optional"}}})
    assert stand.call("doksi", "POST /runs", matrix()).status_code == 403
    assert stand.call("doksi", "POST /runs", {**matrix(), "pull_request": 7}).ok
    assert stand.call("doksi", "POST /runs", {**matrix(), "pull_request": 7, "note": {"x": [1]}}).ok
    assert stand.call("doksi", "POST /runs", {**matrix(), "pull_request": 7, "other": 1}).status_code == 400


def test_unknown_ids_are_refused_where_only_known_ones_exist(start: Start) -> None:
    stand = start({"doksi": {"only_known": True, "tests": {"a1": "passed"}, "categories": {"c": ["a1"]}}})
    assert stand.call("doksi", "POST /runs", matrix(test_ids=["a1"])).ok
    assert stand.call("doksi", "POST /runs", matrix(test_ids=["zz"])).status_code == 400
    assert stand.call("doksi", "POST /runs", matrix(test_ids=None, category_ids=["c"])).ok
    assert stand.call("doksi", "POST /runs", matrix(test_ids=None, category_ids=["d"])).status_code == 400


@pytest.mark.parametrize("names", [("app.apk",), ("base.apk", "split_config.en.apk", "split_config.xhdpi.apk")])
def test_a_build_is_uploaded_once_and_used_by_its_target_id(stand: Stand, names: tuple[str, ...]) -> None:
    upload = stand.json("doksi", "POST /uploads", {"name": "shop"})
    assert set(upload) == {"upload_id", "upload_url"}
    assert stand.put(upload["upload_url"], zipped(*names), "application/zip").status_code == 200
    target = stand.json("doksi", "POST /targets", {"upload_id": upload["upload_id"], "version": "1.2"})
    assert re.fullmatch(r"bin_[a-z0-9]{6}", target["target_id"])
    assert stand.call("doksi", "POST /runs", {"matrix": [{**ANDROID, **target}]}).ok
    assert [entry["became"] for entry in stand.records("uploads")] == [target["target_id"]]


@pytest.mark.parametrize("data", [b"PK not a zip", zipped(), zipped("readme.txt"), zipped("a.apk", "b.apk")])
def test_a_zip_without_an_app_makes_no_target(stand: Stand, data: bytes) -> None:
    upload = stand.json("doksi", "POST /uploads", {})
    assert stand.put(upload["upload_url"], data, "application/zip").ok
    reply = stand.call("doksi", "POST /targets", {"upload_id": upload["upload_id"]})
    assert reply.status_code == 400
    assert "one .apk" in reply.json()["error"]


def test_a_target_needs_an_upload_that_arrived(stand: Stand) -> None:
    upload = stand.json("doksi", "POST /uploads", {})
    for identifier in (upload["upload_id"], "made-up"):
        assert stand.call("doksi", "POST /targets", {"upload_id": identifier}).status_code == 400
    assert stand.call("doksi", "POST /targets", {}).status_code == 400
    assert stand.call("doksi", "POST /uploads", {"file": "x"}).status_code == 400


def test_targets_of_the_scenario_exist(start: Start) -> None:
    stand = start({"doksi": {"targets": ["nightly"]}})
    assert stand.call("doksi", "POST /runs", {"matrix": [{**ANDROID, "target_id": "nightly"}]}).ok


@pytest.mark.parametrize(
    "key", ["", "Bearer ", "Bearer dk_live_short", "Basic dk_live_" + "a" * 40, "dk_live_" + "a" * 40]
)
def test_a_key_of_another_shape_is_refused(stand: Stand, key: str) -> None:
    reply = stand.call("doksi", "GET /runs/x", headers={"Authorization": key})
    assert (reply.status_code, set(reply.json())) == (401, {"error"})


def test_an_unknown_run_is_not_found(stand: Stand) -> None:
    reply = stand.call("doksi", "GET /runs/nope")
    assert (reply.status_code, reply.json()) == (404, {"error": "run not found"})
