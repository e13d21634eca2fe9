"""Every vendor's HTTP side is strict, and the scenario's faults happen where they are said to."""

from __future__ import annotations

import json
import time
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import requests

from qarunner.emulator import ScenarioError, serve
from tests.amount import PATIENCE_S

if TYPE_CHECKING:
    import logging

    from tests.emulator.conftest import Stand, Start

MATRIX = {"matrix": [{"platform": "web", "web_url": "https://shop.example", "test_ids": ["a1"]}]}
SMOKE = {"projectSlug": "p", "processSlug": "s"}
GROUP = "/groups/11111111-1111-4111-8111-111111111111/runs"
CREATES = {
    "doksi": ("POST /runs", MATRIX),
    "docketqa": ("POST /test_group_run/trigger_run", {"test_blueprint_ids": [1]}),
    "testerarmy": (f"POST {GROUP}", {}),
    "certyn": ("POST /api/ci/runs", SMOKE),
}
ERROR_FIELDS = {
    "doksi": {"error"},
    "docketqa": {"error"},
    "testerarmy": {"error", "message"},
    "certyn": {"error"},
}


def doksi_faults(*faults: dict[str, object]) -> dict[str, object]:
    return {"doksi": {"faults": list(faults)}}


@pytest.mark.parametrize("vendor", CREATES)
def test_an_unknown_route_is_404_in_the_vendors_words(stand: Stand, vendor: str) -> None:
    reply = stand.call(vendor, "GET /nope/deeper")
    assert (reply.status_code, set(reply.json())) == (404, ERROR_FIELDS[vendor])


@pytest.mark.parametrize("vendor", CREATES)
def test_a_wrong_method_is_405_and_names_the_right_ones(stand: Stand, vendor: str) -> None:
    reply = stand.call(vendor, CREATES[vendor][0].replace("POST", "PATCH"))
    assert (reply.status_code, reply.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize("vendor", CREATES)
def test_a_missing_key_is_401_before_the_body_is_looked_at(stand: Stand, vendor: str) -> None:
    path = CREATES[vendor][0].partition(" ")[2]
    reply = requests.post(stand.running.urls[vendor] + path, data=b"{", timeout=PATIENCE_S)
    assert reply.status_code == 401
    assert reply.json()


@pytest.mark.parametrize("vendor", CREATES)
@pytest.mark.parametrize(
    ("content_type", "data"),
    [
        ("text/plain", b"{}"),
        ("application/x-www-form-urlencoded", b"{}"),
        ("application/json", b"{"),
        ("application/json", b'{"a": 1, "a": 2}'),
        ("application/json", b'{"a": NaN}'),
        ("application/json", b"\xff"),
        ("application/json", b"[]"),
        ("application/json", b"[" * 100_000),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(stand: Stand, vendor: str, content_type: str, data: bytes) -> None:
    reply = stand.call(vendor, CREATES[vendor][0], headers={"Content-Type": content_type}, data=data)
    assert reply.status_code == 400
    assert stand.records("runs") == []


def test_a_charset_may_follow_the_content_type(stand: Stand) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    assert stand.call("certyn", "POST /api/ci/runs", SMOKE, headers=headers).ok


def test_a_read_takes_no_body_and_no_unknown_or_double_parameter(stand: Stand) -> None:
    assert stand.call("doksi", "GET /runs/x", {}).status_code == 400
    assert "unknown query parameter 'expand'" in stand.call("doksi", "GET /runs/x?expand=1").text
    assert "stands twice" in stand.call("testerarmy", "GET /runs?limit=1&limit=2").text
    assert stand.call("doksi", "POST /runs?dry=1", MATRIX).status_code == 400


def test_a_status_without_effect_leaves_nothing_behind(start: Start) -> None:
    stand = start(doksi_faults({"on": "POST /runs", "call": 2, "status": 503, "retry_after": 7}))
    replies = [stand.call("doksi", "POST /runs", MATRIX) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [201, 503, 201]
    assert (replies[1].headers["Retry-After"], replies[1].json()) == ("7", {"error": "emulated fault"})
    assert len(stand.records("runs")) == 2


def test_a_status_with_effect_hides_a_run(start: Start) -> None:
    stand = start(doksi_faults({"on": "POST /runs", "call": 1, "status": 504, "effect": True, "body": "<h1>504</h1>"}))
    reply = stand.call("doksi", "POST /runs", MATRIX)
    assert (reply.status_code, reply.text) == (504, "<h1>504</h1>")
    assert reply.headers["content-type"].startswith("text/html")
    assert len(stand.records("runs")) == 1


def test_a_range_of_calls_and_a_broken_body(start: Start) -> None:
    stand = start(
        doksi_faults(
            {"on": "GET /runs/{run_id}", "from": 2, "to": 3, "body": '{"status": "pas'},
            {"on": "GET /runs/{run_id}", "from": 4, "status": 500, "body": {"error": "boom"}, "headers": {"X-A": "b"}},
        )
    )
    run = stand.json("doksi", "POST /runs", MATRIX)["run_id"]
    replies = [stand.call("doksi", f"GET /runs/{run}") for _ in range(5)]
    assert [reply.status_code for reply in replies] == [200, 200, 200, 500, 500]
    assert replies[1].text == '{"status": "pas'
    assert replies[1].headers["content-type"] == "application/json"
    assert (replies[4].json(), replies[4].headers["X-A"]) == ({"error": "boom"}, "b")


def test_a_body_may_be_null(start: Start) -> None:
    stand = start(doksi_faults({"on": "POST /runs", "status": 502, "body": None}))
    reply = stand.call("doksi", "POST /runs", MATRIX)
    assert (reply.status_code, reply.content) == (502, b"")


@pytest.mark.parametrize(("moment", "runs"), [("before", 0), ("after", 1)])
@pytest.mark.parametrize("vendor", CREATES)
def test_a_dropped_connection(start: Start, vendor: str, moment: str, runs: int) -> None:
    route, body = CREATES[vendor]
    named = route if vendor != "testerarmy" else "POST /groups/{groupId}/runs"
    stand = start({vendor: {"faults": [{"on": named, "call": 1, "drop": moment}]}})
    with pytest.raises(requests.ConnectionError):
        stand.call(vendor, route, body)
    assert len({run["create"] for run in stand.records("runs")}) == runs
    (entry,) = stand.records("requests")
    assert (entry["dropped"], entry["status"], entry["faulty"]) == (True, None, True)
    assert stand.call(vendor, route, body).ok


def test_after_a_drop_certyn_replays_the_create(start: Start) -> None:
    stand = start({"certyn": {"faults": [{"on": "POST /api/ci/runs", "call": 1, "drop": "after"}]}})
    with pytest.raises(requests.ConnectionError):
        stand.call("certyn", "POST /api/ci/runs", SMOKE, headers={"Idempotency-Key": "k"})
    reply = stand.call("certyn", "POST /api/ci/runs", SMOKE, headers={"Idempotency-Key": "k"})
    assert reply.headers["Idempotency-Replayed"] == "true"
    assert [run["id"] for run in stand.records("runs")] == [reply.json()["runId"]]


def test_a_delay_comes_after_the_effect_and_shrinks_with_the_speed(start: Start) -> None:
    stand = start(doksi_faults({"on": "POST /runs", "delay": "10h"}), speed=1_000_000)
    before = time.monotonic()
    assert stand.call("doksi", "POST /runs", MATRIX).status_code == 201  # a call is not patient for ten hours
    assert time.monotonic() - before >= 0.036


def test_a_client_that_gives_up_leaves_a_run_behind(start: Start, logged: list[logging.LogRecord]) -> None:
    stand = start(doksi_faults({"on": "POST /runs", "delay": "10h"}))
    base = urlsplit(stand.running.urls["doksi"])
    client = HTTPConnection(base.netloc, timeout=PATIENCE_S)
    headers = {"Authorization": "Bearer " + stand.running.environ["DOKSI_API_KEY"], "Content-Type": "application/json"}
    client.request("POST", f"{base.path}/runs", json.dumps(MATRIX), headers)
    limit = time.monotonic() + PATIENCE_S
    while not stand.records("runs"):
        assert time.monotonic() < limit
    client.close()
    assert len(stand.records("runs")) == 1
    assert not logged


@pytest.mark.parametrize(
    ("vendor", "status_route", "where"),
    [
        ("doksi", "GET /runs/{run_id}", ("status",)),
        ("docketqa", "GET /test_run/{id}", ("test_run", "status")),
        ("testerarmy", "GET /runs/{id}", ("status",)),
        ("certyn", "GET /api/ci/runs/{runId}", ("state",)),
    ],
)
def test_an_unknown_status_word(start: Start, vendor: str, status_route: str, where: tuple[str, ...]) -> None:
    stand = start({vendor: {"faults": [{"on": status_route, "call": 1, "state": "resting"}]}})
    route, body = CREATES[vendor]
    stand.json(vendor, route, body)
    run = stand.records("runs")[0]["id"]
    path = status_route.partition("{")[0] + str(run)
    words = []
    for _ in range(2):
        value = stand.json(vendor, path)
        for name in where:
            value = value[name]
        words.append(value)
    assert words[0] == "resting"
    assert words[1] in {"queued", "running", "in_progress"}


def test_a_reply_may_gain_and_lose_fields(start: Start) -> None:
    fault = {"on": "GET /test_run/{id}", "merge": {"test_run": {"score": 1}, "extra": []}, "without": ["gone"]}
    lost = {"on": "POST /test_group_run/trigger_run", "without": ["test_group_run"]}
    stand = start({"docketqa": {"faults": [fault, lost]}})
    assert set(stand.json("docketqa", *CREATES["docketqa"])) == {"message"}
    reply = stand.json("docketqa", f"GET /test_run/{stand.records('runs')[0]['id']}")
    assert (reply["test_run"]["score"], reply["extra"], reply["test_run"]["test_blueprint_id"]) == (1, [], 1)


def test_retry_after_may_be_a_date(start: Start) -> None:
    stand = start(doksi_faults({"on": "POST /runs", "status": 429, "retry_after_date": 30}))
    stated = parsedate_to_datetime(stand.call("doksi", "POST /runs", MATRIX).headers["Retry-After"]).timestamp()
    assert 25 <= stated - time.time() <= 31


def test_refused_calls_count_for_faults_and_the_first_fault_wins(start: Start) -> None:
    stand = start(
        doksi_faults({"on": "POST /runs", "call": 2, "status": 500}, {"on": "POST /runs", "from": 2, "status": 502})
    )
    codes = [stand.call("doksi", "POST /runs", body).status_code for body in ({}, MATRIX, MATRIX)]
    assert codes == [400, 500, 502]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"on": "POST /run"}, "doksi.faults[0].on: unknown route 'POST /run'; did you mean 'POST /runs'?"),
        ({"status": 500}, "doksi.faults[0].on: is required"),
        ({"on": "POST /runs", "code": 500}, "doksi.faults[0]: unknown field 'code'"),
        ({"on": "POST /runs", "call": 1, "from": 2}, "doksi.faults[0].call: stands alone"),
        ({"on": "POST /runs", "call": 0}, "doksi.faults[0].call: must be at least 1"),
        ({"on": "POST /runs", "drop": "late"}, "doksi.faults[0].drop: unknown value 'late'"),
        ({"on": "POST /runs", "drop": "after", "status": 500}, "only one of drop and status may be given"),
        ({"on": "POST /runs", "status": 500, "state": "odd"}, "only one of status and state may be given"),
        ({"on": "POST /runs", "status": 99}, "doksi.faults[0].status: 99 is out of range"),
        ({"on": "POST /runs", "delay": "soon"}, "expected a duration such as 200ms"),
    ],
)
def test_a_fault_that_cannot_be_is_an_error(fault: dict[str, object], said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        serve(doksi_faults(fault))
    assert said in str(caught.value)
