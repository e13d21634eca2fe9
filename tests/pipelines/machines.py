"""CI systems as a job sees them: variables, a clean checkout, what a cache or an artifact brings back, and a shell.

Each runs the lines as they stand in a documented pipeline. What systems do with them is in their public references.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from install import isolate
from tests.amount import PATIENCE_S
from tests.fork_server import StandIn
from tests.pipelines.composite import accepted, kill_when_more
from tests.pipelines.conftest import copied, git

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ROOT = Path(__file__).resolve().parents[2]
PIPELINES = ROOT / "examples" / "pipelines"
SOURCE = "https://git.example.com/acme/qarunner"
PROGRAMS = {
    "qarunner": "qarunner.__main__",
    "qarunner-gitlab-note": "qarunner.cli.pipelines.gitlab",
    "qarunner-gitlab-plan": "qarunner.cli.pipelines.gitlab:print_plan",
}
INSTALL = """\
import pathlib, shutil, sys
folder = pathlib.Path(sys.argv[-1])
shutil.copytree(pathlib.Path(__file__).parent / "programs", folder / "bin", dirs_exist_ok=True)
print(folder / "bin" / "python")
"""
"""In the place of install.py: nothing is downloaded."""


@dataclass
class Machines:
    """Machines of a CI system: each job finds a new one, and only what the system keeps is on the next one."""

    folder: Path
    repository: Path
    environ: dict[str, str]
    kills: bool = False
    """The next shell that applies loses its processes as soon as a vendor has a run."""
    log: list[str] = field(default_factory=list)
    _open: tuple[int, ...] = ()
    _attempts: int = 0

    def __post_init__(self) -> None:
        stand_in = StandIn(self.folder / "python")
        self._open = (stand_in.fd,)
        self.source = self.folder / "source"
        (programs := self.source / "programs").mkdir(parents=True)
        for name, module in PROGRAMS.items():
            (programs / name).write_text(f'#!/bin/sh\nexec "{stand_in.path}" -I -m {module} "$@"\n', encoding="utf-8")
            (programs / name).chmod(0o755)
        (self.source / "install.py").write_text(INSTALL, encoding="utf-8")
        self.environ["PATH"] = f"{programs}:{self.environ['PATH']}"  # an image that has it
        self.commit()

    def commit(self) -> None:
        """Makes a commit of what is to be installed, which the pipelines name."""
        git(self.source, "init", "-q", "-b", "main")
        git(self.source, "config", "user.name", "a")
        git(self.source, "config", "user.email", "a@b.c")
        git(self.source, "config", "uploadpack.allowAnySHA1InWant", "true")
        git(self.source, "add", "-A")
        git(self.source, "commit", "-qm", "one")
        elsewhere = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.{self.source.as_uri()}.insteadOf"}
        commit = git(self.source, "rev-parse", "HEAD")
        self.environ |= {**elsewhere, "GIT_CONFIG_VALUE_0": SOURCE, "QARUNNER_COMMIT": commit}

    def install_ours(self) -> None:
        """From now on the programs of this test's own environment are installed, in interpreters of their own."""
        for name in PROGRAMS:
            shutil.copy(Path(sys.executable).with_name(name), self.source / "programs" / name)
        isolate(self.source / "programs")
        self.commit()

    @property
    def said(self) -> str:
        """All that the jobs printed."""
        return "\n".join(self.log)

    def workspace(self, *below: str) -> Path:
        """The checkout on a machine that nobody has used."""
        self._attempts += 1
        folder = self.folder.joinpath(f"machine {self._attempts}".replace(" ", "-"), *below)
        folder.parent.mkdir(parents=True)
        git(self.folder, "clone", "-q", self.repository.as_uri(), str(folder))
        return folder

    def shell(self, work: Path, script: str, environ: Mapping[str, str], *words: str) -> int:
        """What a shell ends with; bash that stops at the first error, unless other words are given."""
        applies, before = self.kills and re.search(r"qarunner\"? (apply|resume)", script), accepted(work.parent)
        process = subprocess.Popen(
            [*(words or ("bash", "-eo", "pipefail")), "-c", script],
            cwd=work,
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=(log := (self.folder / "log").open("w+", encoding="utf-8")),
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            start_new_session=True,
            pass_fds=self._open,
        )
        with log:
            if applies:
                self.kills = False
                kill_when_more(process, work.parent, before)
            code = process.wait(PATIENCE_S)
            log.seek(0)
            self.log.append(log.read())
        return code

    def keep(self, key: str, work: Path, paths: Iterable[str], *, anew: bool = True) -> None:
        """Puts files of a checkout under a name, in the place of what was there; patterns as `**/*` are for folders."""
        kept = self.folder / "kept" / key.replace("/", "_")
        if anew:
            shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True, exist_ok=True)
        for pattern in paths:
            for path in sorted(work.glob(pattern.removesuffix("/**/*").removesuffix("/**"))):
                copied(path, kept / path.relative_to(work))

    def bring(self, key: str, work: Path) -> bool:
        kept = self.folder / "kept" / key.replace("/", "_")
        if kept.exists():
            copied(kept, work)
        return kept.exists()


def read(path: str) -> Any:  # noqa: ANN401  YAML
    return yaml.safe_load((PIPELINES / path).read_text(encoding="utf-8"))


# --- GitLab -----------------------------------------------------------------------------------------------------------


def gitlab(
    machines: Machines, jobs: Mapping[str, Any], name: str, *, pipeline: str = "4711", source: str = "push"
) -> int:
    """One attempt of a job. Its caches come back first, and then the artifacts of the jobs before it."""
    job = {**jobs.get("default", {}), **jobs.get(jobs[name].get("extends", ""), {}), **jobs[name]}
    work = machines.workspace("builds", "shop")
    slug = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")
    sha = git(work, "rev-parse", "HEAD")
    variables = {
        "CI": "true",
        "GITLAB_CI": "true",
        "CI_SERVER_HOST": "gitlab.example.com",
        "CI_PROJECT_PATH": "acme/shop",
        "CI_COMMIT_SHA": sha,
        "CI_COMMIT_BRANCH": "main",
        "CI_COMMIT_REF_SLUG": "main",
        "CI_DEFAULT_BRANCH": "main",
        "CI_PIPELINE_ID": pipeline,
        "CI_PIPELINE_SOURCE": source,
        "CI_PROJECT_DIR": str(work),
        "CI_PROJECT_ID": "42",
        "CI_JOB_ID": work.parts[-3],
        "CI_JOB_NAME": name,
        "CI_JOB_NAME_SLUG": slug,
        "GITLAB_USER_LOGIN": "ann",
    }
    for every in (jobs, jobs.get(jobs[name].get("extends", ""), {}), jobs[name]):
        for variable, value in every.get("variables", {}).items():
            whole = value["value"] if isinstance(value, dict) else str(value)
            is_plain = isinstance(value, dict) and not value.get("expand", True)
            variables[variable] = whole if is_plain else expanded(whole, variables)
    caches = job.get("cache", [])
    caches = caches if isinstance(caches, list) else [caches]
    for cache in caches:
        keys = (cache["key"], *cache.get("fallback_keys", ()))
        any(machines.bring(f"cache {expanded(key, variables)}", work) for key in keys)
    stages = jobs.get("stages", ["build", "test", "deploy"])
    before = [other for other in jobs if stage(jobs, other) in stages[: stages.index(stage(jobs, name))]]
    for other in job.get("needs", before):
        machines.bring(f"artifact {pipeline} {other}", work)
    script = "\n".join([*job.get("before_script", ()), *job["script"]])
    code = machines.shell(work, script, variables)
    for cache in caches:
        if code == 0 or cache.get("when") == "always":
            machines.keep(f"cache {expanded(cache['key'], variables)}", work, cache["paths"])
    artifacts = job.get("artifacts", {})
    if code == 0 or artifacts.get("when") == "always":
        machines.keep(f"artifact {pipeline} {name}", work, artifacts.get("paths", ()))
    return code


def stage(jobs: Mapping[str, Any], name: str) -> str | None:
    return jobs[name].get("stage", "test") if isinstance(jobs[name], dict) and "script" in jobs[name] else None


def expanded(text: str, variables: Mapping[str, str]) -> str:
    return re.sub(r"\$\{?(\w+)\}?", lambda match: variables.get(match[1], ""), text)


# --- the others: one attempt of the one job that each example has ---------------------------------------------------


def gitlab_example(machines: Machines, _attempt: int) -> int:
    return gitlab(machines, read("gitlab/.gitlab-ci.yml"), "qa")


def circleci(machines: Machines, attempt: int) -> int:
    """A workflow that is run again is another one of the same pipeline."""
    work, code = machines.workspace("project"), 0
    numbers = {"pipeline.id": "5034460f-c7c4-4c43-9457-de07e2029e7b", "epoch": str(attempt)}
    variables = {
        "CI": "true",
        "CIRCLECI": "true",
        "CIRCLE_PIPELINE_ID": numbers["pipeline.id"],
        "CIRCLE_JOB": "qa",
        "CIRCLE_WORKFLOW_ID": f"workflow-{attempt}",
        "CIRCLE_BUILD_NUM": str(attempt),
        "CIRCLE_BRANCH": "main",
        "CIRCLE_SHA1": git(work, "rev-parse", "HEAD"),
        "CIRCLE_PROJECT_USERNAME": "acme",
    }

    def filled(text: str) -> str:
        return re.sub(r"(?:<<|\{\{) ([\w.]+) (?:>>|\}\})", lambda match: numbers[match[1]], text)

    for step in read("circleci/config.yml")["jobs"]["qa"]["steps"]:
        kind, given = next(iter(step.items())) if isinstance(step, dict) else (step, {})
        given = {"command": given} if isinstance(given, str) else given
        if kind == "restore_cache":
            kept = [path.name for path in (machines.folder / "kept").glob("*")]
            for key in map(filled, given["keys"]):  # the newest of those that begin so
                any(machines.bring(name, work) for name in sorted(kept, reverse=True) if name.startswith(key))
        elif kind == "run" and not code:
            code = machines.shell(work, filled(given["command"]), variables)
        elif kind == "save_cache" and (not code or given.get("when") == "always"):
            machines.keep(filled(given["key"]), work, given["paths"], anew=False)
    return code


def jenkins(machines: Machines, attempt: int) -> int:
    """A stage that is run again has the same folders; `git clean` has emptied the checkout."""
    text = (PIPELINES / "jenkins" / "Jenkinsfile").read_text(encoding="utf-8")
    work = machines.folder / "jenkins" / "workspace" / "shop"
    if attempt == 1:
        work.parent.mkdir(parents=True)
        git(machines.folder, "clone", "-q", machines.repository.as_uri(), str(work))
    git(work, "clean", "-qffdx")
    variables = {
        "JENKINS_URL": "https://ci.example.com/",
        "JOB_NAME": "shop",
        "BUILD_NUMBER": "17",
        "STAGE_NAME": "QA",
        "BUILD_URL": "https://ci.example.com/job/shop/17/",
        "GIT_BRANCH": "origin/main",
        "GIT_COMMIT": git(work, "rev-parse", "HEAD"),
        "WORKSPACE": str(work),
        "WORKSPACE_TMP": f"{work}@tmp",
    }
    for name, value in re.findall(r'(\w+) = "([^"\n]+)"', text):
        variables[name] = expanded(value, variables)
    steps, _, post = text.partition("post {")
    code = 0
    for script in scripts(steps):
        code = code or machines.shell(work, script, variables, "sh", "-xe")
    always, _, aborted = post.partition("aborted {")
    for script in scripts(always + (aborted if code < 0 else "")):
        machines.shell(work, script, variables, "sh", "-xe")
    return code


def scripts(text: str) -> list[str]:
    """The shell of each `sh` step of a Jenkinsfile."""
    return [one or other for one, other in re.findall(r"\bsh (?:'''(.*?)'''|'([^'\n]*)')", text, re.DOTALL)]


def bitbucket(machines: Machines, attempt: int) -> int:
    (step,) = (each["step"] for each in read("bitbucket/bitbucket-pipelines.yml")["pipelines"]["default"])
    work = machines.workspace("build")
    variables = {
        "CI": "true",
        "BITBUCKET_BUILD_NUMBER": "17",
        "BITBUCKET_STEP_RUN_NUMBER": str(attempt),
        "BITBUCKET_PIPELINE_UUID": "{p}",
        "BITBUCKET_STEP_UUID": "{s}",
        "BITBUCKET_BRANCH": "main",
        "BITBUCKET_COMMIT": git(work, "rev-parse", "HEAD"),
        "BITBUCKET_REPO_FULL_NAME": "acme/shop",
    }
    return machines.shell(work, "\n".join(step["script"]), variables)


def is_met(condition: str, attempts: Mapping[str, str], code: int) -> bool:
    if "Attempt" in condition:
        limits = re.findall(r"gt\(variables\['([\w.]+)'\], (\d+)\)", condition)
        return not code and any(int(attempts[name]) > int(limit) for name, limit in limits)
    return {"": code == 0, "always()": True, "canceled()": False}[condition]


def azure(machines: Machines, attempt: int) -> int:
    """Steps have conditions; `$(name)` is filled in before the shell sees it."""
    job = read("azure/azure-pipelines.yml")["jobs"][0]
    work = machines.workspace("1", "s")
    stage_attempt, job_attempt = [("1", "1"), ("1", "2"), ("2", "1")][attempt - 1]
    attempts = {"System.StageAttempt": stage_attempt, "System.JobAttempt": job_attempt}
    macros = {"Pipeline.Workspace": str(work.parent), "Build.SourcesDirectory": str(work), "Build.BuildId": "204"}
    variables = {
        "TF_BUILD": "True",
        "BUILD_BUILDID": "204",
        "SYSTEM_JOBATTEMPT": str(attempt),
        "SYSTEM_JOBNAME": "qa",
        "BUILD_SOURCEVERSION": git(work, "rev-parse", "HEAD"),
        "BUILD_SOURCEBRANCH": "refs/heads/main",
        "SYSTEM_COLLECTIONURI": "https://dev.azure.com/acme/",
        "SYSTEM_TEAMPROJECT": "shop",
    }

    def filled(text: str) -> str:
        return re.sub(r"\$\(([A-Z][\w.]*)\)", lambda match: {**macros, **attempts, **machines.environ}[match[1]], text)

    code = 0
    for step in job["steps"]:
        if not is_met(step.get("condition", ""), attempts, code):
            continue
        given = {name: filled(str(value)) for name, value in step.get("inputs", {}).items()}
        if step.get("checkout") == "qarunner":
            copied(machines.source, work.parent / step["path"])
        elif step.get("task") == "DownloadPipelineArtifact@2":
            for kept in sorted((machines.folder / "kept").glob(given["itemPattern"].partition("/")[0])):
                copied(kept, Path(given["targetPath"], kept.name))
        elif "publish" in step:
            name = filled(step["artifact"])
            assert not (machines.folder / "kept" / name).exists(), "an artifact is published once"
            machines.keep(name, work / step["publish"], ["*"])
        elif "bash" in step:
            environ = {name: filled(value) for name, value in step.get("env", {}).items()}
            code = machines.shell(work, filled(step["bash"]), {**variables, **environ}) or code
    return code


def buildkite(machines: Machines, attempt: int) -> int:
    """The agent cleans its checkout, and downloads no artifact of a job that was retried unless it is asked for."""
    step = read("buildkite/pipeline.yml")["steps"][0]
    work = machines.workspace("builds", "shop")
    store, agent = machines.folder / "kept" / "artifacts", machines.folder / "bin" / "buildkite-agent"
    store.mkdir(parents=True, exist_ok=True)
    agent.parent.mkdir(exist_ok=True)
    download = f'test -n "$(ls {store})" && cp -R {store}/. "$4"'
    agent.write_text(f'#!/bin/sh\ncase "$*" in *--include-retried-jobs*) {download};; *) exit 1;; esac\n', "utf-8")
    agent.chmod(0o755)
    variables = {
        "CI": "true",
        "BUILDKITE": "true",
        "BUILDKITE_BUILD_ID": "0193",
        "BUILDKITE_BUILD_NUMBER": "17",
        "BUILDKITE_RETRY_COUNT": str(attempt - 1),
        "BUILDKITE_JOB_ID": str(attempt),
        "BUILDKITE_STEP_KEY": "qa",
        "BUILDKITE_COMMIT": git(work, "rev-parse", "HEAD"),
        "BUILDKITE_BRANCH": "main",
        "PATH": f"{agent.parent}:{machines.environ['PATH']}",
    }
    script = "\n".join(step["commands"]).replace("$$", "$")
    code = machines.shell(work, script, variables, "bash", "-e")
    machines.keep("artifacts", work, step["artifact_paths"], anew=False)
    return code


JOBS = (gitlab_example, circleci, jenkins, bitbucket, azure, buildkite)
