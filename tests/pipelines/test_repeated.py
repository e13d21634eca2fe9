"""Each documented pipeline, with each of its jobs run again after it was whole, or killed: nothing is paid twice."""

from __future__ import annotations

import json
import os
import re
import shutil
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from qarunner.emulator import serve
from tests.amount import some
from tests.fork_server import CAN_FORK
from tests.pipelines.conftest import Checkout, copied, git, installed, job
from tests.pipelines.hosts import Host
from tests.pipelines.machines import JOBS, ROOT, SOURCE, Machines, bitbucket, gitlab, read
from tests.pipelines.test_action import set_traps
from tests.pipelines.test_examples import component

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from qarunner.emulator import Running
    from tests.pipelines.composite import Job

pytestmark = pytest.mark.skipif(not CAN_FORK, reason="the machines run the shell of POSIX systems")

MANIFEST = """\
version: 1
name: shop
vendors: { doksi: { poll: { every: 100ms } } }
defaults: { vendor: doksi, platform: web, target: { web_url: "https://shop.example.com" } }
matrix:
  - { id: build, test_ids: [one] }
  - { id: shop, test_ids: [two], needs: [build] }
"""


@pytest.fixture
def vendors() -> Iterator[Running]:
    with serve({"doksi": {"tests": {"one": {"duration": "1s"}, "two": {"duration": "100ms"}}}}) as running:
        yield running


@pytest.fixture
def machines(tmp_path: Path, vendors: Running) -> Machines:
    """Of a repository that is full of traps: whatever reads code or settings from the checkout says so."""
    repository = tmp_path / "repository"
    repository.mkdir()
    for words in (("init", "-q", "-b", "main"), ("config", "user.name", "a"), ("config", "user.email", "a@b.c")):
        git(repository, *words)
    (repository / "qa-matrix.yml").write_text(MANIFEST, encoding="utf-8")
    set_traps(repository)
    git(repository, "add", "-A", "-f")
    git(repository, "commit", "-qm", "one")
    (home := tmp_path / "home").mkdir()
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "QARUNNER_SEAL_KEY": "k" * 32, **vendors.environ}
    return Machines(tmp_path, repository, environ)


def paid(vendors: Running) -> list[str]:
    runs = json.loads(urllib.request.urlopen(f"{vendors.url}/_emulator/runs").read())  # noqa: S310  loopback
    return sorted(test for run in runs for test in run["tests"])


@pytest.mark.parametrize("attempt_of", JOBS)
def test_a_job_that_was_killed_and_is_run_again_pays_once(
    machines: Machines, vendors: Running, attempt_of: Callable[[Machines, int], int]
) -> None:
    machines.kills = True
    codes = [attempt_of(machines, attempt) for attempt in (1, 2, 3)]
    assert not list(machines.folder.rglob("trapped*")), machines.said
    if attempt_of is bitbucket:  # which brings nothing back: a repeated step says so, and pays nothing
        assert codes == [-9, 8, 8], machines.said
        assert paid(vendors) == ["one"]
    else:
        assert codes == [-9, 0, 0], machines.said
        assert paid(vendors) == ["one", "two"]


# --- GitLab's jobs that belong together -------------------------------------------------------------------------------


def page(name: str, heading: str) -> Any:  # noqa: ANN401  YAML
    text = (ROOT / "docs" / name).read_text(encoding="utf-8").partition(f"## {heading}\n")[2]
    return yaml.safe_load(re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[0])


@pytest.mark.parametrize("order", some(["start gate! gate start gate", "start! start gate start gate"], 1))
def test_detached_jobs_of_gitlab_that_are_run_again_pay_once(machines: Machines, vendors: Running, order: str) -> None:
    jobs = page("detached.md", "GitLab")
    for word in order.split():
        machines.kills = word.endswith("!")
        code = gitlab(machines, jobs, {"start": "qa-start", "gate": "qa"}[word.rstrip("!")])
        assert code in ({0, -9} if word == "start!" else {-9} if word == "gate!" else {0}), machines.said
    assert paid(vendors) == ["one", "two"]


def of_component(machines: Machines, **inputs: str) -> dict[str, Any]:
    source = {"source": SOURCE, "ref": machines.environ["QARUNNER_COMMIT"]}
    jobs: dict[str, Any] = yaml.safe_load(component({**source, **inputs}))
    return jobs


def child_of(machines: Machines, jobs: dict[str, Any]) -> dict[str, Any]:
    """The child pipeline that the plan's job writes, in the two files that the trigger includes."""
    assert gitlab(machines, jobs, "qarunner-plan") == 0, machines.said
    made = machines.folder / "kept" / "artifact 4711 qarunner-plan"
    parts = [yaml.safe_load((made / item["artifact"]).read_text("utf-8")) for item in included(jobs)]
    variables = {name: value for part in parts for name, value in part.get("variables", {}).items()}
    return {**parts[0], **parts[1], "variables": variables}


def included(jobs: dict[str, Any]) -> list[dict[str, str]]:
    files: list[dict[str, str]] = jobs["qarunner-apply"]["trigger"]["include"]
    return files


def test_each_job_of_the_component_that_is_run_again_pays_once(machines: Machines, vendors: Running) -> None:
    jobs = of_component(machines, shards="2")
    codes: list[int] = []
    parts: dict[str, Any] = {}
    for child, kills in (("4712", True), ("4712", False), ("4713", False)):  # a trigger makes another child pipeline
        machines.kills = kills
        if child != "4712" or kills:
            parts = child_of(machines, jobs)
        names = ("qarunner 1/2", "qarunner 2/2", "qarunner gate")
        codes += [gitlab(machines, parts, name, pipeline=child, source="parent_pipeline") for name in names]
    assert codes == [-9, 0, 8, 0, 0, 0, 0, 0, 0], machines.said
    assert paid(vendors) == ["one", "two"]


def test_the_components_jobs_import_nothing_of_the_checkout(machines: Machines, vendors: Running) -> None:
    machines.install_ours()
    python = {"PYTHONPATH": ".", "PYTHONSTARTUP": "json.py", "PYTHONHOME": ".", "PYTHONUSERBASE": "."}
    machines.environ |= {**python, "VIRTUAL_ENV": ".", "PIP_CONFIG_FILE": "pip.conf", "PIP_TARGET": "."}
    jobs = of_component(machines)
    child = child_of(machines, jobs)
    assert gitlab(machines, child, "qarunner 1/1", pipeline="4712") == 0, machines.said
    merge_request = {"CI_MERGE_REQUEST_IID": "7", "CI_MERGE_REQUEST_DIFF_BASE_SHA": "HEAD"}
    machines.environ |= merge_request
    assert gitlab(machines, jobs, "qarunner-diff", source="merge_request_event") == 0, machines.said
    assert "no note is written: GITLAB_TOKEN is not set" in machines.said
    assert not list(machines.folder.rglob("trapped*")), machines.said
    assert paid(vendors) == ["one", "two"]


# --- GitHub's workflows -----------------------------------------------------------------------------------------------


@dataclass
class Workflow:
    """The jobs of a workflow, each on a new machine; artifacts are the workflow run's."""

    jobs: dict[str, Any]
    machines: Machines
    host: Host
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    attempt: int = 1

    def run(self, name: str, *, kills: bool = False, **matrix: str) -> int:
        """What a job ends with; a step that fails is followed by those that always run."""
        work, folder = self.machines.workspace("shop"), self.machines.folder
        sha = git(work, "rev-parse", "HEAD")
        environ = {"GITHUB_JOB": name, "GITHUB_RUN_ATTEMPT": str(self.attempt), **self.machines.environ}
        started = job(folder, Checkout(work, sha, sha, sha), self.host, "push", {}, environ)
        started.kills = kills
        started.open = (*started.open, *self.machines._open)
        started.github |= {"job": name}
        secrets = {"QARUNNER_SEAL_KEY": "k" * 32}
        context = {"github": started.github, "matrix": matrix, "secrets": secrets, "steps": started.outputs}
        context |= {"needs": {other: {"outputs": outputs} for other, outputs in self.outputs.items()}}
        code = 0
        for number, step in enumerate(self.jobs[name]["steps"]):
            if code and step.get("if") != "always()":
                continue
            given = {key: started.text(str(value), context) for key, value in step.get("with", {}).items()}
            code = self._step(started, {"id": f"step-{number}", "shell": "bash", **step}, given, context) or code
        declared = self.jobs[name].get("outputs", {})
        self.outputs[name] = {key: started.text(text, context) for key, text in declared.items()}
        self.machines.log.append(started.said())
        return code

    def _step(self, started: Job, step: dict[str, Any], given: dict[str, str], context: dict[str, Any]) -> int:
        uses, work = step.get("uses", "").partition("@")[0], started.work
        if uses == "acme/qarunner":
            code = started.run(ROOT, given, instead=installed(started))
            started.outputs[step["id"]] = {**started.outputs["run"]}
            return code
        if uses == "actions/checkout" and "repository" in given:
            copied(self.machines.source, work / given["path"])
        elif uses == "actions/upload-artifact":
            artifact = self.machines.folder / "artifacts" / given["name"]
            assert given.get("overwrite") == "True" or not artifact.exists(), "an artifact is written once"
            shutil.rmtree(artifact, ignore_errors=True)
            copied(work / given["path"], artifact)
        elif uses == "actions/download-artifact":
            artifacts = [*(self.machines.folder / "artifacts").glob(given.get("name", given.get("pattern", "")))]
            for artifact in artifacts:
                copied(artifact, work / given["path"])
            return int(not artifacts and "continue-on-error" not in step)
        elif "run" in step:
            return started._step(step["id"], step, context)
        return 0


@pytest.fixture
def workflow(machines: Machines, host: Host) -> Callable[[str], Workflow]:
    return lambda file: Workflow(read(f"github/{file}")["jobs"], machines, host)


def test_detached_jobs_of_github_that_are_run_again_pay_once(
    workflow: Callable[[str], Workflow], vendors: Running
) -> None:
    running = workflow("detached.yml")
    assert [running.run("start"), running.run("gate", kills=True)] == [0, -9], running.machines.said
    running.attempt += 1
    assert running.run("gate") == 0, running.machines.said
    assert paid(vendors) == ["one", "two"]
    running.attempt += 1  # all jobs: the first one does not know what the second one has begun, and a person decides
    assert [running.run("start"), running.run("gate")] == [8, 8], running.machines.said
    assert paid(vendors) == ["one", "two"]


def test_shards_of_github_that_are_run_again_pay_once(workflow: Callable[[str], Workflow], vendors: Running) -> None:
    running = workflow("shards.yml")
    assert running.run("plan") == 0, running.machines.said
    codes: list[int] = []
    for running.attempt in (1, 2):
        rows = json.loads(running.outputs["plan"]["matrix"])["include"]
        codes += [running.run("qa", kills=running.attempt == row["index"] == 1, **row) for row in rows]
        codes.append(running.run("gate"))
    assert codes == [-9, 0, 8, 0, 0, 0], running.machines.said
    assert paid(vendors) == ["one", "two"]
