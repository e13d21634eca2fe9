"""action.yml, step by step, as GitHub's runner runs it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
import urllib.request
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from qarunner.app.runs import checked_id
from qarunner.cli.pipelines import github
from qarunner.emulator import serve
from tests.amount import FULL, PATIENCE_S
from tests.pipelines.conftest import installed, job, payload

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping, MutableMapping

    from qarunner.emulator import Running
    from tests.pipelines.composite import Job
    from tests.pipelines.conftest import Checkout
    from tests.pipelines.hosts import Host

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="composite actions run in bash")


@pytest.fixture
def vendors() -> Iterator[Running]:
    with serve(speed=50) as running:
        yield running


def run(started: Job, inputs: Mapping[str, str]) -> int:
    return started.run(ROOT, inputs, instead=installed(started))


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


def test_the_comment_tells_what_came_of_the_run_beside_the_target_branch(
    tmp_path: Path, checkout: Checkout, host: Host
) -> None:
    inputs = "--rehearse\n--poll-interval=100ms"
    branch = {"GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main", "GITHUB_REF_TYPE": "branch"}
    assert run(job(tmp_path, checkout, host, "push", {}, branch), {"args": inputs}) == 0
    shutil.rmtree(checkout.folder / ".qarunner" / "runs")  # a pruned run stays in the history, which the cache brings
    path = tmp_path / "scenario.yml"
    path.write_text(yaml.safe_dump({"doksi": {"tests": {"abc": {"outcome": "failed"}}}}), encoding="utf-8")
    pull = {"GITHUB_BASE_REF": "main", "GITHUB_HEAD_REF": "topic", "GITHUB_RUN_ID": "4712"}
    started = job(tmp_path, checkout, host, "pull_request", payload(checkout), pull)
    assert run(started, {"args": f"{inputs}\n--scenario={path}"}) == 1, started.said()
    (comment,) = host.comments
    diff, _, result = comment["body"].partition(":result -->")
    assert "search" in diff
    assert "exit 1: " in result
    assert "new failure" in result.partition("since `main`")[0], result
    started = job(tmp_path, checkout, host, "pull_request", payload(checkout), pull)
    assert run(started, {"select": "nosuch"}) == 3
    assert "exit 3: nothing was run" in host.comments[0]["body"]
    assert "new failure" not in host.comments[0]["body"]


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
    ("inputs", "message"),
    [
        ({"command": "aply"}, "did you mean 'apply'?"),
        ({"command": "plan", "timeout": "5m", "detach": "true"}, "plan takes no input 'detach', 'timeout'"),
        ({"fail-fast": "yes"}, "fail-fast: expected true or false, got 'yes'"),
    ],
)
def test_wrong_inputs_are_said(
    tmp_path: Path, checkout: Checkout, host: Host, inputs: dict[str, str], message: str
) -> None:
    started = job(tmp_path, checkout, host, "push", {})
    assert run(started, inputs) == 2
    assert message in started.said()


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


# --- jobs that are run again ------------------------------------------------------------------------------------------


def again(tmp_path: Path, checkout: Checkout, host: Host, vendors: Running, inputs: Mapping[str, str]) -> list[int]:
    """The exit codes of three attempts of one job, each with a clean checkout, as a hosted runner has it."""
    codes = []
    for attempt in ("1", "2", "3"):
        shutil.rmtree(checkout.folder / ".qarunner", ignore_errors=True)
        environ = {**vendors.environ, "GITHUB_RUN_ATTEMPT": attempt}
        started = job(tmp_path, checkout, host, "push", {}, environ)
        codes.append(run(started, inputs))
    return codes


def paid(vendors: Running) -> list[list[str]]:
    runs = json.loads(urllib.request.urlopen(f"{vendors.url}/_emulator/runs").read())  # noqa: S310  loopback
    return [item["tests"] for item in runs]


def test_a_green_job_that_is_run_again_is_green_and_pays_nothing(
    tmp_path: Path, checkout: Checkout, host: Host, vendors: Running
) -> None:
    assert again(tmp_path, checkout, host, vendors, {"poll-interval": "100ms"}) == [0, 0, 0]
    assert paid(vendors) == [["abc"], ["abc"]], "each of the two entries once"


def test_a_red_job_that_is_run_again_pays_for_what_did_not_pass_alone(
    tmp_path: Path, checkout: Checkout, host: Host
) -> None:
    manifest = checkout.folder / "qa-matrix.yml"
    text = manifest.read_text(encoding="utf-8").replace("abc]", "red]", 1).replace("shop.example", "other.example", 1)
    manifest.write_text(text, encoding="utf-8")
    with serve({"doksi": {"tests": {"red": {"outcome": "failed"}}}, "speed": 50}) as vendors:
        assert again(tmp_path, checkout, host, vendors, {"poll-interval": "100ms"}) == [1, 1, 1]
        tests = [test for run in paid(vendors) for test in run]
    assert tests.count("abc") == 1, tests
    assert tests.count("red") == 3, tests


def test_the_jobs_of_a_matrix_have_runs_and_caches_of_their_own(
    tmp_path: Path, checkout: Checkout, host: Host, vendors: Running
) -> None:
    names = set()
    for inputs in ({"select": "checkout"}, {"select": "search"}, {"shard": "1/2"}):
        started = job(tmp_path, checkout, host, "push", {}, {**vendors.environ, "QARUNNER_SEAL_KEY": "k" * 32})
        assert run(started, {"poll-interval": "100ms", **inputs}) == 0, started.said()
        names.add((started.outputs["name"]["run-id"], started.outputs["name"]["key"]))
    assert len(names) == 3
    assert len({key for _, key in names}) == 3


def test_a_job_with_a_long_name_has_a_runs_id() -> None:
    for more in range(3):
        environ = {"GITHUB_JOB": "qa-" * 33 + "x" * more, "GITHUB_RUN_ID": "4711"}
        assert checked_id(github._run_id(environ, {}))


def test_a_runner_of_ones_own_keeps_runs_beside_the_checkout(
    tmp_path: Path, checkout: Checkout, host: Host, vendors: Running
) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    environ = {**vendors.environ, "RUNNER_ENVIRONMENT": "self-hosted", "RUNNER_WORKSPACE": str(workspace)}
    started = job(tmp_path, checkout, host, "push", {}, environ)
    assert run(started, {"poll-interval": "100ms", "cache": "false"}) == 0, started.said()
    assert list((workspace / ".qarunner-runs").glob("*/journal.jsonl"))
    assert not (checkout.folder / ".qarunner" / "runs").exists()


# --- a checkout full of traps -----------------------------------------------------------------------------------------

TRAP = "import os, pathlib; pathlib.Path(os.environ['HOME'], 'trapped').write_text(__file__)\n"


def set_traps(folder: Path) -> None:
    """What a pull request may add: modules that Python imports first where the working directory is on its path."""
    for name in ("json", "venv", "os", "site", "sitecustomize", "typing", "requests", "yaml", "typer", "hatchling"):
        (folder / f"{name}.py").write_text(TRAP, encoding="utf-8")
    for name in ("pip", "qarunner", "ensurepip"):
        (folder / name).mkdir()
        for module in ("__init__", "__main__"):
            (folder / name / f"{module}.py").write_text(TRAP, encoding="utf-8")
    plugin = folder / "evil-1.0.dist-info"
    plugin.mkdir()
    (plugin / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n", encoding="utf-8")
    (plugin / "entry_points.txt").write_text("[qarunner.vendors.v1]\nevil = json:x\n", encoding="utf-8")
    (folder / "setup.cfg").write_text("[install]\nprefix=/nowhere\n", encoding="utf-8")
    (folder / "pip.conf").write_text("[global]\nindex-url = http://127.0.0.1:9/\n", encoding="utf-8")
    # Where a pipeline's HOME is the checkout, these would be its user's settings.
    (folder / ".gitconfig").write_text('[core]\n\tfsmonitor = "touch trapped-by-git; false"\n', encoding="utf-8")
    (folder / ".config" / "pip").mkdir(parents=True)
    shutil.copy(folder / "pip.conf", folder / ".config" / "pip" / "pip.conf")


@pytest.mark.parametrize("steps", ["installed", *(["from scratch"] if FULL else [])])
def test_nothing_of_the_checkout_is_imported(
    tmp_path: Path, checkout: Checkout, host: Host, vendors: Running, steps: str
) -> None:
    set_traps(checkout.folder)
    pip = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))}
    started = job(tmp_path, checkout, host, "pull_request", payload(checkout), {**pip, **vendors.environ})
    instead = {"install": {"python": sys.executable}} if steps == "installed" else {}
    code = started.run(ROOT, {"poll-interval": "100ms"}, instead=instead)
    assert not (tmp_path / "trapped").exists(), (tmp_path / "trapped").read_text()
    assert code == 0, started.said()
    assert "search" in host.comments[0]["body"]


def test_the_steps_that_install_and_comment_see_no_vendors_key() -> None:
    sys.path.insert(0, str(ROOT))
    try:
        install = import_module("install")
    finally:
        sys.path.remove(str(ROOT))
    environ: MutableMapping[str, str] = {"DOKSI_API_KEY": "dk", "AWS_SECRET_ACCESS_KEY": "x", "PATH": "/bin"}
    github._forget(environ)
    assert environ == {"PATH": "/bin"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOKSI_API_KEY", "dk")
        patch.setenv("PIP_INDEX_URL", "https://pypi.example")
        assert "DOKSI_API_KEY" not in install.environment()
        assert "PIP_INDEX_URL" in install.environment()


# --- cancelled jobs ---------------------------------------------------------------------------------------------------


def steps() -> dict[str, dict[str, object]]:
    rows = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))["runs"]["steps"]
    return {step.get("id", step["name"]): step for step in rows}


def test_an_install_of_nothing_takes_the_python_that_has_qarunner(
    tmp_path: Path, checkout: Checkout, host: Host
) -> None:
    data = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    without = tmp_path / "python"
    without.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    without.chmod(0o755)
    started = job(tmp_path, checkout, host, "push", {})

    def installed(**inputs: str) -> int:
        return started._step("install", steps()["install"], started._context(ROOT, data, inputs))

    assert installed(install="none", python=sys.executable) == 0, started.said()
    assert started.outputs["install"] == {"python": sys.executable}
    assert installed(install="none", python=str(without)) == 2
    assert f"::error::install is none, and {without} has no qarunner" in started.said()
    assert installed(install="no such folder", python=sys.executable) == 2
    assert "--from names a folder that `make dist` made" in started.said()


def begun(started: Job, inputs: Mapping[str, str]) -> tuple[subprocess.Popen[str], dict[str, object]]:
    """The step that applies, under way, with a run at the vendor."""
    data = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    context = started._context(ROOT, data, inputs)
    started.outputs.update({name: dict(outputs) for name, outputs in installed(started).items()})
    assert started._step("name", steps()["name"], context) == 0, started.said()
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
@pytest.mark.parametrize("way", ["inputs", "args"])
def test_what_a_killed_step_left_is_cancelled_by_the_reaper(
    tmp_path: Path, checkout: Checkout, host: Host, way: str
) -> None:
    test = "22222222-2222-4222-8222-222222222201"
    key = "vendors: { testerarmy: { api_key_env: QA_ACCOUNT } }"
    manifest = f"version: 1\nname: shop\n{key}\nmatrix: [{{ id: a, vendor: testerarmy, test_ids: ['{test}'] }}]\n"
    (checkout.folder / "qa-matrix.yml").write_text(manifest, encoding="utf-8")
    with serve({"testerarmy": {"tests": {test: {"duration": "10m"}}}}) as vendors:
        environ = dict(vendors.environ)
        (tmp_path / "keys.env").write_text(f"QA_ACCOUNT={environ.pop('TESTERARMY_API_KEY')}\n", encoding="utf-8")
        inputs = {"env-file": str(tmp_path / "keys.env"), "allow-secret": "QA_ACCOUNT\nOTHER@shop.example"}
        if way == "args":
            words = ["--env-file", inputs["env-file"], "--allow-secret=QA_ACCOUNT", "--allow-secret=OTHER@shop.example"]
            inputs = {"args": "\n".join(words)}
        started = job(tmp_path, checkout, host, "push", {}, environ)
        process, _ = begun(started, {"poll-interval": "200ms", **inputs})
        os.killpg(process.pid, signal.SIGKILL)
        out, _ = process.communicate(timeout=PATIENCE_S)
        started.finish("run", process.returncode, out)
        run_id = started.outputs["run"]["run-id"]
        started.cancelled = True
        left = {**installed(started), "run": {"run-id": run_id}, "name": started.outputs["name"]}
        assert started.run(ROOT, inputs, instead=left) == 0, started.said()
        assert "cancelled" in started.said()
        requests = urllib.request.urlopen(f"{vendors.url}/_emulator/requests").read().decode()  # noqa: S310  loopback
    assert "/cancel" in requests


@pytest.mark.parametrize(
    ("inputs", "cancels"),
    [
        ({"detach": "true"}, 0),
        ({"args": "--detach"}, 0),
        ({"args": "--on-interrupt\ndetach"}, 0),
        ({"args": "--on-interrupt=cancel\n--no-such-option"}, 1),
        ({"on-interrupt": "detach", "args": "--no-such-option"}, 0),
        ({}, 1),
    ],
)
def test_what_is_meant_to_run_on_is_not_reaped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inputs: dict[str, str], cancels: int
) -> None:
    called: list[str] = []

    def run(words: list[str]) -> int:
        called.append(words[0])
        return 0

    monkeypatch.setattr("qarunner.cli.main.run", run)
    environ = {f"INPUT_{name.upper().replace('-', '_')}": text for name, text in inputs.items()}
    assert github.reap({**environ, "INPUT_RUNS_DIR": str(tmp_path.parent), "INPUT_RUN_ID": tmp_path.name}) == 0
    assert called == ["cancel"] * cancels
