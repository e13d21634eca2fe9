"""A repository with a pull request, and a job on a runner that has it checked out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fork_server import CAN_FORK, StandIn
from tests.pipelines.composite import Job
from tests.pipelines.hosts import serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.pipelines.hosts import Host

MANIFEST = """\
version: 1
name: shop
matrix:
  - id: checkout
    vendor: doksi
    platform: web
    test_ids: [abc]
    target: { web_url: "https://shop.example.com" }
"""
MORE = MANIFEST + MANIFEST[MANIFEST.index("  - id") :].replace("checkout", "search")


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, encoding="utf-8")
    return done.stdout.strip()


@dataclass
class Checkout:
    """What actions/checkout leaves of a pull request: one merge commit, without history."""

    folder: Path
    base: str
    head: str
    merge: str


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Made once; what a test changes is a copy of the checkout."""
    folder = tmp_path_factory.mktemp("repository")
    origin, work = folder / "origin", folder / "work"
    origin.mkdir()
    for words in (("init", "-q", "-b", "main"), ("config", "user.name", "a"), ("config", "user.email", "a@b.c")):
        git(origin, *words)
    git(origin, "config", "uploadpack.allowAnySHA1InWant", "true")
    (origin / "qa-matrix.yml").write_text(MANIFEST, encoding="utf-8")
    git(origin, "add", "-A")
    git(origin, "commit", "-qm", "one")
    base = git(origin, "rev-parse", "HEAD")
    git(origin, "checkout", "-qb", "feature")
    (origin / "qa-matrix.yml").write_text(MORE, encoding="utf-8")
    git(origin, "commit", "-qam", "two")
    head = git(origin, "rev-parse", "HEAD")
    git(origin, "checkout", "-q", "main")
    git(origin, "merge", "-q", "--no-ff", "-m", "merge", "feature")
    merge = git(origin, "rev-parse", "HEAD")
    git(origin, "update-ref", "refs/pull/7/merge", merge)
    git(origin, "reset", "-q", "--hard", base)
    git(folder, "clone", "-q", "--depth=1", origin.as_uri(), str(work))
    git(work, "fetch", "-q", "--depth=1", "origin", "refs/pull/7/merge")
    git(work, "checkout", "-q", "FETCH_HEAD")
    return Checkout(work, base, head, merge)


@pytest.fixture
def checkout(tmp_path: Path, repository: Checkout) -> Checkout:
    shutil.copytree(repository.folder, tmp_path / "work", symlinks=True)
    return replace(repository, folder=tmp_path / "work")


@pytest.fixture
def host() -> Iterator[Host]:
    with serving() as served:
        yield served


def payload(checkout: Checkout, *, fork: bool = False) -> dict[str, Any]:
    """The part of a pull_request event that matters here."""
    return {
        "pull_request": {
            "number": 7,
            "title": "More tests",
            "body": None,
            "head": {"sha": checkout.head, "ref": "feature", "repo": {"fork": fork}},
            "base": {"sha": checkout.base, "ref": "main"},
        }
    }


def job(
    tmp_path: Path,
    checkout: Checkout,
    host: Host,
    event: str,
    data: Mapping[str, Any],
    environ: Mapping[str, str] = {},
) -> Job:
    """A job that an event began, with the variables of GitHub's runner. Its cache lasts as long as the test."""
    folder = tmp_path / "runner"
    folder.mkdir(exist_ok=True)
    event_path = folder / "event.json"
    event_path.write_text(json.dumps(data), encoding="utf-8")
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITHUB_API_URL": host.url,
        "GITHUB_EVENT_NAME": event,
        "GITHUB_EVENT_PATH": str(event_path),
        "GITHUB_JOB": "qa",
        "GITHUB_REF": "refs/pull/7/merge" if event == "pull_request" else "refs/heads/main",
        "GITHUB_REF_NAME": "7/merge" if event == "pull_request" else "main",
        "GITHUB_REF_TYPE": "branch",
        "GITHUB_REPOSITORY": "acme/shop",
        "GITHUB_RUN_ATTEMPT": "1",
        "GITHUB_RUN_ID": "4711",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_SHA": checkout.merge,
        "GITHUB_WORKFLOW": "QA",
        **environ,
    }
    github = {
        "token": host.token,
        "workflow": "QA",
        "job": "qa",
        "run_id": "4711",
        "run_attempt": environ.get("GITHUB_RUN_ATTEMPT", "1"),
        "event_name": event,
        "event": data,
    }
    store = tmp_path / "cache"

    def save(given: Mapping[str, str]) -> dict[str, str]:
        kept = store / _folder_of(given["key"])
        if kept.exists():  # a key is written once
            return {}
        for name in given["path"].split():
            copied(checkout.folder / name, kept / name.lstrip("/"))
        return {}

    def restore(given: Mapping[str, str]) -> dict[str, str]:
        kept = sorted(store.iterdir(), key=lambda each: each.stat().st_mtime_ns, reverse=True) if store.exists() else []
        for prefix in (given["key"], *given["restore-keys"].split()):
            if match := next((each for each in kept if each.name.startswith(_folder_of(prefix))), None):
                for name in given["path"].split():
                    copied(match / name.lstrip("/"), checkout.folder / name)
                break
        return {}

    uses = {
        "actions/setup-python": lambda _: {"python-path": sys.executable},
        "actions/cache": lambda _: {},
        "actions/cache/restore": restore,
        "actions/cache/save": save,
    }
    fds = () if not CAN_FORK else (StandIn(python_of(folder)).fd,)
    return Job(folder=folder, work=checkout.folder, environ=variables, github=github, uses=uses, open=fds)


def installed(started: Job) -> dict[str, dict[str, str]]:
    """The program under test instead of a copy of it, as what its step would put out."""
    return {"install": {"python": str(python_of(started.folder) if CAN_FORK else sys.executable)}}


def python_of(folder: Path) -> Path:
    return folder / "python"


def copied(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    elif source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def _folder_of(key: str) -> str:
    return key.replace("/", "_")
