"""What nobody could find out about a build decides nothing: it is an error where it is read."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

from tests.program.conftest import git

if TYPE_CHECKING:
    from tests.program.conftest import AtOnce, Begin, Stage

RELEASE = "{{ git.branch == 'main' }}"


def repository(stage: Stage, *, detached: bool = False) -> None:
    stage.commit(stage.doksi("smoke"), {**stage.doksi("release"), "if": RELEASE})
    git(stage.folder, "init", "-q")
    git(stage.folder, "add", "qa-matrix.yml")
    git(stage.folder, "commit", "-qm", "first")
    if detached:
        git(stage.folder, "checkout", "-q", "--detach")


def planned(stage: Stage, *words: str, **variables: str | None) -> list[str]:
    ended = stage.run("plan", "--format", "json", *words, **variables)
    assert ended.code == 0, ended
    plan: Any = json.loads(ended.out)
    return [entry["id"] for entry in plan["entries"]]


def test_no_row_vanishes_where_git_does_not_answer(begin: Begin, at_once: AtOnce) -> None:
    cases: list[tuple[bool, dict[str, str], tuple[str, ...]]] = [
        (False, {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}, ("detected dubious ownership", "safe.directory")),
        (False, {"PATH": ""}, ("git is not installed",)),
        (True, {}, ("HEAD is detached",)),
        (True, {"BITRISE_IO": "true", "CI": "true"}, ("HEAD is detached",)),
    ]

    def check(case: tuple[bool, dict[str, str], tuple[str, ...]]) -> None:
        detached, variables, words = case
        stage = begin()
        repository(stage, detached=detached)
        for command in ("apply", "plan"):
            ended = stage.run(command, **variables)
            assert ended.code == 2, ended
            for word in ("git.branch could not be found out", "--branch NAME", "QARUNNER_BRANCH", "[E344]", *words):
                assert word in ended.err, ended
        explained = stage.run("explain", "release", **variables)
        assert explained.code == 0, explained
        assert "runs or not: a condition decides, and git.branch could not be found out" in explained.out
        assert stage.sent() == []
        assert planned(stage, "--branch", "main", **variables) == ["smoke", "release"]
        assert planned(stage, **variables, QARUNNER_BRANCH="main") == ["smoke", "release"]
        assert planned(stage, "--branch", "fix", **variables, QARUNNER_BRANCH="main") == ["smoke"]
        assert planned(stage, "--tag", "v1", **variables) == ["smoke"]
        assert planned(stage, **variables, QARUNNER_TAG="v1") == ["smoke"]

    at_once(cases, check)


def test_a_build_of_a_tag_has_no_branch_which_is_no_error(stage: Stage) -> None:
    repository(stage, detached=True)
    assert planned(stage, GITLAB_CI="true", CI_COMMIT_TAG="v1") == ["smoke"]
    assert planned(stage, GITLAB_CI="true", CI_COMMIT_BRANCH="main") == ["smoke", "release"]


def test_any_template_that_reads_it_is_an_error(stage: Stage) -> None:
    repository(stage, detached=True)
    for text in ("{{ git.branch | default('x') }}", "{{ git.tag }}", "on {{ git.branch or 'x' }}"):
        stage.commit({**stage.doksi("smoke"), "name": text})
        ended = stage.run("plan")
        assert ended.code == 2, ended
        assert "could not be found out: HEAD is detached" in ended.err
    assert stage.run("validate").code == 0
    stage.commit({**stage.doksi("smoke"), "name": "{{ git.sha }}"})
    assert planned(stage) == ["smoke"]


def test_the_options_hold_for_the_plan_that_is_saved_and_for_child_pipelines(stage: Stage) -> None:
    repository(stage, detached=True)
    assert stage.run("plan", "--branch", "main", "--out", "plan.json").code == 0
    ended = stage.apply("plan.json")
    assert ended.code == 0, ended
    assert stage.verdicts() == {"smoke": "passed", "release": "passed"}
    child = stage.run("plan", "--shards", "2", "--format", "gitlab-ci", "--branch", "main")
    assert child.out.count("--branch main --shard") == 2
    assert stage.run("plan", "--branch", "").code == 2


def test_what_vendors_do_not_get_is_said(stage: Stage) -> None:
    stage.commit(stage.doksi("smoke"))
    git(stage.folder, "init", "-q")
    ended = stage.apply(GIT_TEST_ASSUME_DIFFERENT_OWNER="1")
    assert ended.code == 0, ended
    assert "warning: no vendor gets the commit and branch and repository of this build: git: detected" in ended.err


def test_a_folder_that_looks_like_a_repository_runs_nothing(stage: Stage) -> None:
    """A pull request's apps/shop/ with HEAD, config, objects/ and refs/ beside its manifest."""
    repository(stage)
    shop = stage.folder / "apps" / "shop"
    shop.mkdir(parents=True)
    subprocess.run(["git", "init", "-q", "--bare", "."], cwd=shop, check=True)
    trap, sprung = stage.folder.parent / "trap.sh", stage.folder.parent / "sprung"
    trap.write_text(f"#!/bin/sh\ntouch '{sprung}'\ncat\n", encoding="utf-8")
    trap.chmod(0o755)
    config = shop / "config"
    for name, value in (
        *(("core.bare", "false"), ("core.worktree", str(shop)), ("core.fsmonitor", str(trap))),
        *(("filter.x.clean", str(trap)), ("diff.external", str(trap)), ("diff.x.textconv", str(trap))),
    ):
        subprocess.run(["git", "config", "--file", str(config), name, value], check=True)
    (shop / ".gitattributes").write_text("* filter=x diff=x\n", encoding="utf-8")
    stage.commit(stage.doksi("a", paths=["src/**"]), name="apps/shop/qa-matrix.yml")
    stage.folder = shop
    for words in (
        *(("validate",), ("plan",), ("plan", "--changed-since", "main"), ("diff", "main"), ("explain", "a")),
        ("apply", "--poll-interval", "20ms"),
    ):
        stage.run(*words)
        assert not sprung.exists(), words
