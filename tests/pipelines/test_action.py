"""action.yml, step by step, as GitHub's runner runs it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from qarunner.emulator import serve
from tests.amount import PATIENCE_S
from tests.pipelines.conftest import job, payload

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping

    from qarunner.emulator import Running
    from tests.pipelines.composite import Job
    from tests.pipelines.conftest import Checkout
    from tests.pipelines.hosts import Host

ROOT = Path(__file__).resolve().parents[2]
INSTALLED = {"install": {"python": sys.executable}}
"""The program under test instead of a copy of it."""

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="composite actions run in bash")


@pytest.fixture
def vendors() -> Iterator[Running]:
    with serve(speed=50) as running:
        yield running


def run(started: Job, inputs: Mapping[str, str]) -> int:
    return started.run(ROOT, inputs, instead=INSTALLED)


def test_a_push_applies_and_gates(tmp_path: Path, checkout: Checkout, host: Host, vendors: Running) -> None:
    started = job(tmp_path, checkout, host, "push", {}, vendors.environ)
    code = run(started, {"poll-interval": "200ms", "report": "junit=out/qa.xml"})
    assert code == 0, started.said()
    outputs = started.outputs["run"]
    assert (outputs["exit-code"], outputs["verdict"], outputs["tests"], outputs["failed"]) == ("0", "passed", "2", "0")
    assert (checkout.folder / outputs["report"]).is_file()
    assert (checkout.folder / "out/qa.xml").is_file()
    assert host.requests == []


def test_a_failure_is_the_steps_failure(tmp_path: Path, checkout: Checkout, host: Host) -> None:
    scenario = {"doksi": {"tests": {"abc": {"outcome": "failed"}}}}
    path = tmp_path / "scenario.yml"
    path.write_text(yaml.safe_dump(scenario), encoding="utf-8")
    started = job(tmp_path, checkout, host, "push", {})
    code = run(started, {"args": f"--rehearse\n--scenario={path}\n--poll-interval=200ms"})
    assert code == 1, started.said()
    assert started.outputs["run"]["verdict"] == "failed"
    assert [name for name, _, _ in started.log if name == "Keep the runs"], "the runs are kept after a failure, too"


def test_a_pull_request_gets_one_comment_with_the_diff(tmp_path: Path, checkout: Checkout, host: Host) -> None:
    started = job(tmp_path, checkout, host, "pull_request", payload(checkout))
    for _ in range(2):
        assert run(started, {"command": "validate"}) == 0, started.said()
    assert len(host.comments) == 1
    assert "search" in host.comments[0]["body"]
    assert "checkout" not in host.comments[0]["body"].split("search")[0]
    assert started.summary == ""


def test_a_fork_gets_the_diff_in_the_summary(tmp_path: Path, checkout: Checkout, host: Host) -> None:
    host.readonly = True
    started = job(tmp_path, checkout, host, "pull_request", payload(checkout, fork=True))
    assert run(started, {"command": "validate"}) == 0, started.said()
    assert host.comments == []
    assert "search" in started.summary
    assert "::notice::" in started.said()


def test_a_host_that_is_down_does_not_fail_the_build(tmp_path: Path, checkout: Checkout, host: Host) -> None:
    host.broken = 100
    started = job(tmp_path, checkout, host, "pull_request", payload(checkout))
    assert run(started, {"command": "validate"}) == 0, started.said()
    assert "search" in started.summary


def test_a_dispatched_workflow_has_no_pull_request(tmp_path: Path, checkout: Checkout, host: Host) -> None:
    started = job(tmp_path, checkout, host, "workflow_dispatch", {"inputs": {"reason": "by hand"}})
    assert run(started, {"command": "plan"}) == 0, started.said()
    assert host.requests == []
    assert "nothing was sent" in started.said()


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({"command": "aply"}, "did you mean 'apply'?"),
        ({"command": "plan", "timeout": "5m", "detach": "true"}, "plan takes no input 'detach', 'timeout'"),
        ({"fail-fast": "yes"}, "fail-fast: expected true or false, got 'yes'"),
    ],
)
def test_wrong_inputs_are_said(
    tmp_path: Path, checkout: Checkout, host: Host, inputs: dict[str, str], told: str
) -> None:
    started = job(tmp_path, checkout, host, "push", {})
    assert run(started, inputs) == 2
    assert told in started.said()


def test_inputs_are_words_and_never_code(tmp_path: Path, checkout: Checkout, host: Host) -> None:
    started = job(tmp_path, checkout, host, "push", {})
    assert run(started, {"command": "plan", "select": "$(touch pwned)`touch pwned`; touch pwned"}) != 0
    assert not (checkout.folder / "pwned").exists()


def test_a_manifest_cannot_read_the_actions_inputs(tmp_path: Path, checkout: Checkout, host: Host) -> None:
    manifest = checkout.folder / "qa-matrix.yml"
    text = manifest.read_text(encoding="utf-8").replace("https://shop", "https://{{ env.INPUT_ARGS }}.shop")
    manifest.write_text(text.replace("matrix:", "env: { INPUT_ARGS: {} }\nmatrix:"), encoding="utf-8")
    started = job(tmp_path, checkout, host, "push", {})
    assert run(started, {"command": "plan", "args": "--no-color"}) == 2
    assert "INPUT_ARGS" in started.said()


# --- cancelled jobs ---------------------------------------------------------------------------------------------------


def steps() -> dict[str, dict[str, object]]:
    found = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))["runs"]["steps"]
    return {step.get("id", step["name"]): step for step in found}


def begun(started: Job, inputs: Mapping[str, str]) -> tuple[subprocess.Popen[str], dict[str, object]]:
    """The step that applies, under way, with a run at the vendor."""
    data = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    context = started._context(ROOT, data, inputs)
    started.outputs.update({name: dict(each) for name, each in INSTALLED.items()})
    process = started.start("run", steps()["run"], context)
    deadline = time.monotonic() + PATIENCE_S
    while not list(started.work.glob(".qarunner/runs/*/journal.jsonl")) or not any(
        "Accepted" in path.read_text(encoding="utf-8") for path in started.work.glob(".qarunner/runs/*/journal.jsonl")
    ):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    return process, context


LONG = {"doksi": {"tests": {"abc": {"duration": "10m"}}}}


@pytest.mark.skipif(os.name != "posix", reason="the runner's signals are POSIX's")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_runners_signal_arrives_at_the_program(
    tmp_path: Path, checkout: Checkout, host: Host, number: signal.Signals
) -> None:
    path = tmp_path / "scenario.yml"
    path.write_text(yaml.safe_dump(LONG), encoding="utf-8")
    started = job(tmp_path, checkout, host, "push", {})
    process, _ = begun(started, {"args": f"--rehearse\n--scenario={path}\n--poll-interval=200ms"})
    process.send_signal(number)  # to the step's first process alone, as the runner does
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert started.finish("run", process.returncode, out) == 128 + number, out
    assert started.outputs["run"]["exit-code"] == str(128 + number)


@pytest.mark.skipif(os.name != "posix", reason="kills a process as the runner does")
def test_what_a_killed_step_left_is_cancelled_by_the_reaper(tmp_path: Path, checkout: Checkout, host: Host) -> None:
    test = "22222222-2222-4222-8222-222222222201"
    manifest = f"version: 1\nname: shop\nmatrix: [{{ id: a, vendor: testerarmy, test_ids: ['{test}'] }}]\n"
    (checkout.folder / "qa-matrix.yml").write_text(manifest, encoding="utf-8")
    with serve({"testerarmy": {"tests": {test: {"duration": "10m"}}}}) as vendors:
        started = job(tmp_path, checkout, host, "push", {}, vendors.environ)
        process, _ = begun(started, {"poll-interval": "200ms"})
        os.killpg(process.pid, signal.SIGKILL)
        out, _ = process.communicate(timeout=PATIENCE_S)
        started.finish("run", process.returncode, out)
        run_id = started.outputs["run"]["run-id"]
        started.cancelled = True
        left = {**INSTALLED, "run": {"run-id": run_id}}
        assert started.run(ROOT, {}, instead=left) == 0, started.said()
        assert "cancelled" in started.said()
        requests = urllib.request.urlopen(f"{vendors.url}/_emulator/requests").read().decode()  # noqa: S310  loopback
    assert "/cancel" in requests
