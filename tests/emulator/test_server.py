"""The emulator starts, tells what it saw, is reset, and goes away."""

from __future__ import annotations

import ast
import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
from uvicorn.protocols.http.h11_impl import H11Protocol

import qarunner.emulator
from qarunner.emulator import ScenarioError, serve
from tests.amount import PATIENCE_S, some

if TYPE_CHECKING:
    import logging

    from tests.emulator.conftest import Stand, Start

MATRIX = {"matrix": [{"platform": "web", "web_url": "https://shop.example", "test_ids": ["a1"]}]}
REPOSITORY = Path(qarunner.emulator.__file__).parents[2]


def test_the_environment_leads_to_every_vendor(stand: Stand) -> None:
    environ = stand.running.environ
    assert {name for name in environ if name.endswith("_URL")} == {
        f"QARUNNER_{vendor}_URL" for vendor in ("DOKSI", "DOCKETQA", "TESTERARMY", "CERTYN")
    }
    assert environ["QARUNNER_CERTYN_URL"] == stand.running.urls["certyn"] == f"{stand.running.url}/certyn"
    assert environ["CERTYN_API_KEY"] == "cyn_live_emulated"


def test_the_ledger_names_headers_but_keeps_no_credential(stand: Stand) -> None:
    stand.clock.advance(2.5)
    stand.call("certyn", "POST /api/ci/runs", {"projectSlug": "p"}, headers={"Idempotency-Key": "k"})
    (entry,) = stand.records("requests")
    assert (entry["vendor"], entry["method"], entry["path"]) == ("certyn", "POST", "/api/ci/runs")
    assert (entry["status"], entry["time"], entry["idempotency_key"]) == (400, 2.5, "k")
    assert entry["body"] == {"projectSlug": "p"}
    assert "x-api-key" in entry["header_names"]
    stand.call("doksi", "GET /runs/x?a=b")
    stand.put(stand.json("doksi", "POST /uploads", {})["upload_url"], b"x", "application/zip")
    told = json.dumps(stand.records("requests"))
    assert not [key for name, key in stand.running.environ.items() if name.endswith("KEY") and key in told]
    assert "signature" not in told


def test_runs_are_told_with_their_create(stand: Stand) -> None:
    stand.json("docketqa", "POST /test_group_run/trigger_run", {"test_blueprint_ids": [1, 2]})
    runs = stand.records("runs")
    assert [run["tests"] for run in runs] == [[1], [2]]
    assert len({run["create"] for run in runs}) == 1


def test_a_reset_forgets_everything(start: Start) -> None:
    stand = start({"doksi": {"allowance": 1, "faults": [{"on": "POST /runs", "call": 2, "status": 500}]}})
    run = stand.json("doksi", "POST /runs", MATRIX)["run_id"]
    assert stand.session.get(f"{stand.running.url}/_emulator/reset", timeout=PATIENCE_S).status_code == 405
    assert stand.session.post(f"{stand.running.url}/_emulator/reset", timeout=PATIENCE_S).status_code == 204
    assert [stand.records(what) for what in ("requests", "runs", "uploads", "moves")] == [[], [], [], []]
    assert stand.call("doksi", f"GET /runs/{run}").status_code == 404
    assert stand.call("doksi", "POST /runs", MATRIX).status_code == 201


def test_pages_say_that_they_are_emulated_and_escape_what_they_show(stand: Stand) -> None:
    run = stand.json("doksi", "POST /runs", MATRIX)
    assert "emulated" in stand.session.get(run["results"][0]["url"], timeout=PATIENCE_S).text
    assert (
        "<script>" not in stand.session.get(f"{stand.running.url}/pages/doksi/runs/<script>", timeout=PATIENCE_S).text
    )
    start_page = stand.session.get(stand.running.url, timeout=PATIENCE_S)
    assert all(base in start_page.text for base in stand.running.urls.values())


def test_speed_makes_runs_faster() -> None:
    with serve(speed=100) as running:
        headers = {"Authorization": f"Bearer {running.environ['DOKSI_API_KEY']}"}
        run = requests.post(f"{running.urls['doksi']}/runs", json=MATRIX, headers=headers, timeout=PATIENCE_S).json()
        time.sleep(0.05)
        told = requests.get(f"{running.urls['doksi']}/runs/{run['run_id']}", headers=headers, timeout=PATIENCE_S).json()
    assert (told["status"], told["duration_seconds"]) == ("passed", 3.0)


def test_a_reply_does_not_wait_for_the_clients_delayed_acknowledgement(stand: Stand) -> None:
    stand.call("doksi", "POST /runs", MATRIX)
    (connection,) = stand.running._server.server_state.connections
    assert isinstance(connection, H11Protocol)
    assert connection.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_many_clients_at_once_get_runs_of_their_own(stand: Stand) -> None:
    def create(_: int) -> str:
        headers = {"Authorization": f"Bearer {stand.running.environ['DOKSI_API_KEY']}"}
        reply = requests.post(f"{stand.running.urls['doksi']}/runs", json=MATRIX, headers=headers, timeout=PATIENCE_S)
        return str(reply.json()["run_id"])

    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(create, range(100)))) == 100


def test_a_closed_emulator_listens_no_more_and_closes_again() -> None:
    running = serve()
    requests.get(running.url, timeout=PATIENCE_S)
    running.close()
    running.close()
    with pytest.raises(requests.ConnectionError):
        requests.get(running.url, timeout=PATIENCE_S)


def test_close_does_not_wait_for_slow_replies(logged: list[logging.LogRecord]) -> None:
    running = serve({"doksi": {"faults": [{"on": "POST /runs", "delay": "10h"}]}})
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(requests.post, f"{running.urls['doksi']}/runs", timeout=PATIENCE_S)
        while not requests.get(f"{running.url}/_emulator/requests", timeout=PATIENCE_S).json():
            time.sleep(0.01)
        running.close()
        assert not running._thread.is_alive()
        assert isinstance(waiting.exception(), requests.ConnectionError)
    assert not logged


def test_only_loopback_addresses_and_free_ports() -> None:
    with pytest.raises(ValueError, match=r"0\.0\.0\.0 is not a loopback address"):
        serve(host="0.0.0.0")  # noqa: S104 (refused)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        serve(port=taken.getsockname()[1])
    with pytest.raises(ValueError, match="99999 is no port"):
        serve(port=99999)


def test_a_scenario_is_checked_before_anything_listens() -> None:
    with pytest.raises(ScenarioError, match="speed: must be more than 0"):
        serve(speed=0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_program_prints_its_environment_and_ends_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    scenario = tmp_path / "scenario.yml"
    scenario.write_text("doksi: { tests: { a1: { name: Checkout flow, outcome: failed } } }\n")
    command = [sys.executable, "-m", "qarunner", "emulator", "--scenario", str(scenario), "--speed", "1000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().strip() for _ in range(8)]
        environ = dict(line.removeprefix("export ").split("=", 1) for line in lines)
        headers = {"Authorization": f"Bearer {environ['DOKSI_API_KEY']}"}
        runs = f"{environ['QARUNNER_DOKSI_URL']}/runs"
        run = requests.post(runs, json=MATRIX, headers=headers, timeout=PATIENCE_S).json()
        time.sleep(0.01)
        told = requests.get(f"{runs}/{run['run_id']}", headers=headers, timeout=PATIENCE_S).json()
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == 0
    assert (told["status"], told["results"][0]["test_name"]) == ("failed", "Checkout flow")


@pytest.mark.parametrize(
    "arguments", some([["--scenario", "missing.yml"], ["--host", "10.0.0.1"], ["--host", "example.com"]], 1)
)
def test_the_program_says_what_is_wrong_with_its_arguments(tmp_path: Path, arguments: list[str]) -> None:
    command = [sys.executable, "-m", "qarunner", "emulator", *arguments]
    environ = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, check=False, timeout=PATIENCE_S, env=environ
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("qarunner: error: the emulator cannot start: ")
    assert len(done.stderr.splitlines()) == 1


def test_the_emulator_knows_nothing_else_of_the_program() -> None:
    for file in Path(qarunner.emulator.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            foreign = [
                name for name in names if name.startswith("qarunner") and not name.startswith("qarunner.emulator")
            ]
            assert not foreign, f"{file.name} imports {foreign}"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "[::1]:1"}, 200),
        ({"Origin": "http://localhost:3000"}, 200),
        ({"Host": "rebound.example"}, 403),
        ({"Host": "127.0.0.1.example:80"}, 403),
        ({"Origin": "https://page.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://[::1"}, 403),
    ],
)
def test_a_web_page_cannot_ask_it(headers: dict[str, str], status: int) -> None:
    """A name that DNS leads to loopback, or a page that posts across origins, would reach it from a browser."""
    with serve() as running:
        value = requests.get(f"{running.url}/_emulator/runs", headers=headers, timeout=60)
        assert value.status_code == status, value.text
