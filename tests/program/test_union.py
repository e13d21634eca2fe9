"""Many manifests in a repository: one pipeline of all of them, and one gate over their runs."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
import yaml

from tests.program.conftest import git

if TYPE_CHECKING:
    from tests.program.conftest import Begin, Stage

SHOP, API = "apps/shop/qa-matrix.yml", "apps/api/qa-matrix.yml"
BOTH = ("--manifest", SHOP, "--manifest", API)


def repository(stage: Stage, **api_gate: object) -> Stage:
    """Two manifests of one repository, with entries of the same ids."""
    for path in (SHOP, API):
        (stage.folder / path).parent.mkdir(parents=True)
    stage.commit(stage.doksi("web"), stage.doksi("broken"), name=SHOP)
    stage.commit(stage.doksi("web"), name=API, gate=api_gate) if api_gate else stage.commit(
        stage.doksi("web"), name=API
    )
    git(stage.folder, "init", "-q", "-b", "main")
    git(stage.folder, "add", "-A")
    git(stage.folder, "commit", "-q", "-m", "one")
    return stage


@pytest.fixture
def two(begin: Begin) -> Stage:
    return repository(begin(doksi={"tests": {"broken": {"outcome": "failed"}}}))


def applied(stage: Stage, path: str, run: str, *words: str) -> int:
    return stage.run("apply", path, "--run-id", run, "--runs-dir", "runs", "--poll-interval", "20ms", *words).code


def united(stage: Stage, *words: str) -> tuple[int, Any, str]:
    ended = stage.run("report", "--merge", "--union", *words, "runs")
    return ended.code, json.loads(ended.out or "null"), ended.err


def test_each_matrix_keeps_its_gate_and_the_worst_code_is_the_code_of_all(two: Stage) -> None:
    assert (applied(two, SHOP, "s"), applied(two, API, "a")) == (1, 0)
    code, report, err = united(two, *BOTH)
    assert code == report["exit_code"] == 1
    assert "2 matrices, 2 runs joined" in err
    assert report["manifests"] == [
        {"label": "apps/shop", "name": "shop", "verdict": "failed", "exit_code": 1},
        {"label": "apps/api", "name": "shop", "verdict": "passed", "exit_code": 0},
    ]
    assert {entry["id"]: entry["file"] for entry in report["entries"]} == {
        "apps/shop:web": SHOP,
        "apps/shop:broken": SHOP,
        "apps/api:web": API,
    }
    assert report["totals"]["tests"] == 3
    assert report["next"] is None  # no command of one run fits two of them


def test_a_gate_of_one_matrix_is_not_met_by_tests_of_another(begin: Begin) -> None:
    stage = repository(begin(), min_tests=2)
    assert (applied(stage, SHOP, "s"), applied(stage, API, "a")) == (0, 3)
    code, report, _ = united(stage, *BOTH)
    assert code == 3
    assert [failure["name"] for failure in report["gate"]] == ["apps/api:min_tests"]


def test_a_manifest_without_a_run_has_no_verdict(begin: Begin) -> None:
    stage = repository(begin())
    assert applied(stage, SHOP, "s") == 0
    code, report, err = united(stage, *BOTH)
    assert code == 8
    assert f"{API}: no run of it was given" in err
    assert {entry["id"]: entry["verdict"] for entry in report["entries"]}["apps/api:no-run"] == "unknown"
    ended = stage.run("report", "--merge", "--union", *BOTH, "runs", "--format", "junit")
    red = [case.get("name") for case in ET.fromstring(ended.out).iter("testcase") if case.find("error") is not None]  # noqa: S314  our own
    assert red == ["no-run"]
    markdown = stage.run("report", "--merge", "--union", *BOTH, "runs", "--format", "markdown").out
    assert "| ❌ unknown | `apps/api` |" in markdown


def test_a_run_of_another_manifest_is_refused(two: Stage) -> None:
    applied(two, SHOP, "s")
    applied(two, API, "a")
    code, _, err = united(two, "--manifest", SHOP)
    assert code == 2
    assert f"run a is of {API}, which no --manifest names" in err


def test_runs_of_two_commits_are_no_whole(two: Stage) -> None:
    applied(two, SHOP, "s")
    git(two.folder, "commit", "-q", "--allow-empty", "-m", "two")
    applied(two, API, "a")
    code, _, err = united(two, *BOTH)
    assert code == 2
    assert "git.sha differs" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--union", "runs"], "--union goes with --merge"),
        (["--merge", "--manifest", SHOP, "runs"], "--manifest with --union"),
        (["--merge", "--union", "runs"], "--union: no --manifest was named"),
    ],
)
def test_words_that_make_no_sense_alone_are_refused(two: Stage, words: list[str], message: str) -> None:
    applied(two, SHOP, "s")
    ended = two.run("report", *words)
    assert ended.code == 2
    assert message in ended.err


def test_one_pipeline_has_the_jobs_of_all_manifests(two: Stage) -> None:
    ended = two.run("plan", SHOP, API, "--format", "github-matrix")
    assert json.loads(ended.out) == {
        "include": [
            {"file": SHOP, "name": "shop", "index": 1, "total": 2},
            {"file": API, "name": "shop", "index": 2, "total": 2},
        ]
    }
    ended = two.run("plan", SHOP, API, "--shards", "2", "--format", "github-matrix")
    assert [(job["file"], job["shard"], job["index"]) for job in json.loads(ended.out)["include"]] == [
        (SHOP, "1/2", 1),
        (SHOP, "2/2", 2),
        (API, "1/1", 3),
    ]


def test_a_manifest_that_no_change_concerns_has_no_job(two: Stage) -> None:
    two.commit({**two.doksi("web"), "paths": ["apps/api/**"]}, name=API)
    git(two.folder, "commit", "-q", "-a", "-m", "paths")
    two.commit(two.doksi("web", paths=["apps/shop/**"]), name=SHOP)
    git(two.folder, "commit", "-q", "-a", "-m", "shop alone")
    ended = two.run("plan", SHOP, API, "--changed-since", "HEAD~1", "--format", "github-matrix")
    assert [job["file"] for job in json.loads(ended.out)["include"]] == [SHOP], ended
    assert f"note: {API}: " in ended.err
    (two.folder / "README.md").write_text("more", encoding="utf-8")
    git(two.folder, "add", "-A")
    git(two.folder, "commit", "-q", "-m", "words alone")
    assert two.run("plan", SHOP, API, "--changed-since", "HEAD~1", "--format", "github-matrix").code == 3


def test_the_pipeline_of_gitlab_ends_with_one_gate_over_all(begin: Begin) -> None:
    stage = repository(begin())
    ended = stage.run("plan", SHOP, API, "--format", "gitlab-ci", "--select", "web")
    pipeline = yaml.safe_load(ended.out)
    jobs = [name for name in pipeline if name.startswith("qarunner ")]
    assert jobs == [f"qarunner {SHOP}", f"qarunner {API}", "qarunner gate"]
    environ = {"CI_PIPELINE_ID": "7", **pipeline["variables"]}
    assert environ.pop("QARUNNER_PIPELINE") == "$CI_PIPELINE_ID"
    for name in jobs[:2]:
        words = [word.replace("$QARUNNER_PIPELINE", "7") for word in shlex.split(pipeline[name]["script"][0])]
        assert stage.run(*words[1:], "--poll-interval", "20ms", **environ).code == 0
    gate = shlex.split(pipeline["qarunner gate"]["script"][0].partition(";")[2].partition("||")[0])
    assert stage.run(*gate[1:], **environ).code == 0
    assert json.loads((stage.folder / "qarunner.json").read_text())["verdict"] == "passed"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "several manifests go with --format github-matrix or gitlab-ci"),
        (["--format", "github-matrix", "--out", "plan.json"], "--out takes the plan of one manifest"),
    ],
)
def test_several_manifests_make_a_pipeline_and_nothing_else(two: Stage, words: list[str], message: str) -> None:
    ended = two.run("plan", SHOP, API, *words)
    assert ended.code == 2
    assert message in ended.err
