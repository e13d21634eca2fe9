"""Where a build comes from, in the words of each CI system and of a real repository."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from qarunner.app.ci import Build, checked_name, in_ci, read_build, repository_from_url, who
from qarunner.errors import UserError
from qarunner.known import Refused, Unknown

if TYPE_CHECKING:
    from pathlib import Path

HEAD, MERGE = "a" * 40, "b" * 40
GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "acme/shop",
    "GITHUB_RUN_ID": "77",
}
GITLAB = {
    "GITLAB_CI": "true",
    "CI_PROJECT_PATH": "acme/web/shop",
    "CI_JOB_URL": "https://gitlab.test/j/1",
    "CI_COMMIT_SHA": HEAD,
}


def github_event(folder: Path, event: object) -> str:
    path = folder / "event.json"
    path.write_text(event if isinstance(event, str) else json.dumps(event), encoding="utf-8")
    return str(path)


# --- GitHub ---------------------------------------------------------------------------------------------------------


def test_a_push_on_github(tmp_path: Path) -> None:
    environ = {
        **GITHUB,
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_SHA": HEAD,
        "GITHUB_REF": "refs/heads/feature/x",
        "GITHUB_REF_NAME": "feature/x",
        "GITHUB_REF_TYPE": "branch",
        "GITHUB_HEAD_REF": "",
        "GITHUB_EVENT_PATH": github_event(tmp_path, {"ref": "refs/heads/feature/x"}),
    }
    build = read_build(environ, tmp_path)
    assert build == Build(
        name="github",
        url="https://github.com/acme/shop/actions/runs/77",
        event="push",
        sha=HEAD,
        branch="feature/x",
        repository="acme/shop",
        host="github",
        run_id="77",
    )
    assert build.git["short_sha"] == HEAD[:7]
    assert (build.metadata.ref, build.metadata.ref_name) == ("refs/heads/feature/x", "feature/x")


@pytest.mark.parametrize("fork", [False, True])
def test_a_pull_request_on_github_is_about_its_head_not_about_the_merge(tmp_path: Path, fork: bool) -> None:  # noqa: FBT001  a case
    head = {"sha": HEAD, "ref": "fix", "repo": {"full_name": "someone/shop" if fork else "acme/shop", "fork": fork}}
    environ = {
        **GITHUB,
        "GITHUB_EVENT_NAME": "pull_request",
        "GITHUB_SHA": MERGE,
        "GITHUB_REF": "refs/pull/12/merge",
        "GITHUB_REF_NAME": "12/merge",
        "GITHUB_REF_TYPE": "branch",
        "GITHUB_HEAD_REF": "fix",
        "GITHUB_BASE_REF": "main",
        "GITHUB_EVENT_PATH": github_event(tmp_path, {"pull_request": {"number": 12, "head": head}}),
    }
    build = read_build(environ, tmp_path)
    assert (build.sha, build.branch, build.pr_number, build.repository) == (HEAD, "fix", 12, "acme/shop")
    assert build.ci["pr_number"] == "12"


@pytest.mark.parametrize("event", ["", "{", "[]", '{"pull_request": 7}', '{"pull_request": {"head": null}}', None])
def test_an_event_that_cannot_be_read_leaves_what_the_variables_say(tmp_path: Path, event: str | None) -> None:
    path = str(tmp_path / "none.json") if event is None else github_event(tmp_path, event)
    environ = {
        **GITHUB,
        "GITHUB_SHA": MERGE,
        "GITHUB_REF": "refs/pull/12/merge",
        "GITHUB_REF_NAME": "12/merge",
        "GITHUB_HEAD_REF": "fix",
        "GITHUB_EVENT_PATH": path,
    }
    build = read_build(environ, tmp_path)
    assert (build.sha, build.branch, build.pr_number) == (MERGE, "fix", 12)


def test_a_tag_on_github(tmp_path: Path) -> None:
    environ = {
        **GITHUB,
        "GITHUB_SHA": HEAD,
        "GITHUB_REF": "refs/tags/v1",
        "GITHUB_REF_NAME": "v1",
        "GITHUB_REF_TYPE": "tag",
    }
    build = read_build(environ, tmp_path)
    assert (build.tag, build.branch, build.metadata.ref) == ("v1", None, "refs/tags/v1")


# --- the others -----------------------------------------------------------------------------------------------------


def test_a_branch_on_gitlab(tmp_path: Path) -> None:
    environ = {**GITLAB, "CI_COMMIT_BRANCH": "main", "CI_PIPELINE_SOURCE": "push", "CI_COMMIT_TAG": ""}
    expected = Build(
        name="gitlab",
        url="https://gitlab.test/j/1",
        event="push",
        sha=HEAD,
        branch="main",
        repository="acme/web/shop",
        host="gitlab",
    )
    assert read_build(environ, tmp_path) == expected


@pytest.mark.parametrize("merged", [False, True])
def test_a_merge_request_on_gitlab_is_about_its_head_not_about_the_merge(tmp_path: Path, merged: bool) -> None:  # noqa: FBT001  a case
    environ = {
        **GITLAB,
        "CI_COMMIT_SHA": MERGE if merged else HEAD,
        "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": HEAD if merged else "",
        "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "fix",
        "CI_MERGE_REQUEST_IID": "5",
        "CI_PIPELINE_SOURCE": "merge_request_event",
    }
    build = read_build(environ, tmp_path)
    assert (build.sha, build.branch, build.pr_number, build.tag) == (HEAD, "fix", 5, None)


def test_a_tag_on_gitlab(tmp_path: Path) -> None:
    build = read_build({**GITLAB, "CI_COMMIT_TAG": "v1", "CI_COMMIT_BRANCH": ""}, tmp_path)
    assert (build.tag, build.branch) == ("v1", None)


SYSTEMS = {
    "jenkins branch": (
        {
            "BUILD_URL": "https://j.test/1",
            "GIT_COMMIT": HEAD,
            "GIT_BRANCH": "origin/main",
            "GIT_URL": "git@h:acme/shop.git",
        },
        Build(name="jenkins", url="https://j.test/1", sha=HEAD, branch="main", repository="acme/shop", host="h"),
    ),
    "jenkins pull request": (
        {
            "GIT_COMMIT": HEAD,
            "CHANGE_ID": "9",
            "CHANGE_BRANCH": "fix",
            "GIT_BRANCH": "PR-9",
            "GIT_URL": "https://h/acme/shop",
        },
        Build(
            name="jenkins", event="pull_request", pr_number=9, sha=HEAD, branch="fix", repository="acme/shop", host="h"
        ),
    ),
    "jenkins tag": (
        {"GIT_COMMIT": HEAD, "TAG_NAME": "v1", "GIT_BRANCH": "v1", "GIT_URL": "https://h/acme/shop"},
        Build(name="jenkins", sha=HEAD, tag="v1", repository="acme/shop", host="h"),
    ),
    "jenkins multibranch": (
        {"GIT_COMMIT": HEAD, "BRANCH_NAME": "main", "GIT_URL": "https://h/acme/shop"},
        Build(name="jenkins", sha=HEAD, branch="main", repository="acme/shop", host="h"),
    ),
    "circleci": (
        {
            "CIRCLE_SHA1": HEAD,
            "CIRCLE_BRANCH": "fix",
            "CIRCLE_BUILD_URL": "https://c.test/1",
            "CIRCLE_PULL_REQUEST": "https://github.com/acme/shop/pull/9",
            "CIRCLE_PROJECT_USERNAME": "acme",
            "CIRCLE_PROJECT_REPONAME": "shop",
        },
        Build(
            name="circleci",
            url="https://c.test/1",
            event="pull_request",
            pr_number=9,
            sha=HEAD,
            branch="fix",
            repository="acme/shop",
            host="github",
        ),
    ),
    "azure pull request": (
        {
            "BUILD_REASON": "PullRequest",
            "BUILD_SOURCEVERSION": MERGE,
            "SYSTEM_PULLREQUEST_SOURCECOMMITID": HEAD,
            "BUILD_SOURCEBRANCH": "refs/pull/9/merge",
            "SYSTEM_PULLREQUEST_SOURCEBRANCH": "refs/heads/fix",
            "SYSTEM_PULLREQUEST_PULLREQUESTNUMBER": "9",
            "BUILD_REPOSITORY_NAME": "acme/shop",
            "SYSTEM_COLLECTIONURI": "https://dev.azure.com/acme/",
            "SYSTEM_TEAMPROJECT": "Web Shop",
            "BUILD_BUILDID": "4",
        },
        Build(
            name="azure",
            url="https://dev.azure.com/acme/Web%20Shop/_build/results?buildId=4",
            event="PullRequest",
            pr_number=9,
            sha=HEAD,
            branch="fix",
            repository="acme/shop",
        ),
    ),
    "azure tag": (
        {"BUILD_SOURCEVERSION": HEAD, "BUILD_SOURCEBRANCH": "refs/tags/v1", "BUILD_REPOSITORY_NAME": "acme/shop"},
        Build(name="azure", sha=HEAD, tag="v1", repository="acme/shop"),
    ),
    "bitbucket": (
        {
            "BITBUCKET_COMMIT": HEAD,
            "BITBUCKET_BRANCH": "fix",
            "BITBUCKET_PR_ID": "9",
            "BITBUCKET_REPO_FULL_NAME": "acme/shop",
            "BITBUCKET_GIT_HTTP_ORIGIN": "https://bitbucket.org/acme/shop",
        },
        Build(
            name="bitbucket",
            url="https://bitbucket.org/acme/shop/addon/pipelines/home#!/results/1",
            event="pull_request",
            pr_number=9,
            sha=HEAD,
            branch="fix",
            repository="acme/shop",
            host="bitbucket.org",
        ),
    ),
    "buildkite": (
        {
            "BUILDKITE_COMMIT": HEAD,
            "BUILDKITE_BRANCH": "main",
            "BUILDKITE_PULL_REQUEST": "false",
            "BUILDKITE_TAG": "",
            "BUILDKITE_REPO": "git@github.com:acme/shop.git",
            "BUILDKITE_SOURCE": "webhook",
        },
        Build(name="buildkite", event="webhook", sha=HEAD, branch="main", repository="acme/shop", host="github"),
    ),
}
MARKERS = {
    "jenkins": ("JENKINS_URL", "https://j.test"),
    "circleci": ("CIRCLECI", "true"),
    "azure": ("TF_BUILD", "True"),
    "bitbucket": ("BITBUCKET_BUILD_NUMBER", "1"),
    "buildkite": ("BUILDKITE", "true"),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_build_on_another_system(name: str, tmp_path: Path) -> None:
    environ, expected = SYSTEMS[name]
    marker, value = MARKERS[name.partition(" ")[0]]
    assert read_build({marker: value, **environ}, tmp_path) == expected


def test_numbers_that_are_none_are_left_out(tmp_path: Path) -> None:
    for invalid in ("²", "x", "-1", "false"):
        assert read_build({"CIRCLECI": "1", "CIRCLE_PULL_REQUEST": invalid}, tmp_path).pr_number is None


# --- git itself -----------------------------------------------------------------------------------------------------


class Repository:
    """A real repository with one commit on `main`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self("init", "-q", "-b", "main")
        self("commit", "-q", "--allow-empty", "-m", "first")
        self.sha = self("rev-parse", "HEAD")

    def __call__(self, *words: str | bytes) -> str:
        who = ["-c", "user.name=T", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
        done = subprocess.run(["git", *who, *words], cwd=self.folder, check=True, capture_output=True)
        return done.stdout.decode().strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    if shutil.which("git") is None:
        pytest.skip("no git")
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    return Repository(tmp_path)


def test_without_a_ci_system_git_is_asked(repository: Repository) -> None:
    repository("remote", "add", "origin", "https://github.com/acme/shop.git")
    assert read_build({}, repository.folder) == Build(
        sha=repository.sha, branch="main", repository="acme/shop", host="github"
    )
    deeper = repository.folder / "deeper"
    deeper.mkdir()
    assert read_build({}, deeper).sha == repository.sha


def test_a_commit_that_buildkite_does_not_know_yet_is_that_of_git(repository: Repository) -> None:
    """`HEAD` stands there for the newest commit of a branch; no vendor could find anything by it."""
    variables = {"BUILDKITE": "true", "BUILDKITE_COMMIT": "HEAD", "BUILDKITE_BRANCH": "fix"}
    build = read_build(variables, repository.folder)
    assert (build.sha, build.branch) == (repository.sha, "fix")


def test_a_detached_head_has_no_branch(repository: Repository) -> None:
    repository("checkout", "-q", "--detach")
    build = read_build({}, repository.folder)
    assert (build.sha, build.branch, build.tag, build.repository) == (repository.sha, None, None, None)
    assert doubts(build) == {
        name: ("HEAD is detached, so that git does not know the branch", f"name it: --{name} NAME")
        for name in ("branch", "tag")
    }
    assert (build.remark or "").startswith("no vendor gets the branch of this build: HEAD is detached")


def doubts(build: Build) -> dict[str, tuple[str, str]]:
    """Why facts could not be found out, and the beginning of what helps."""
    return {name: (doubt.why, (doubt.hint or "").partition(",")[0]) for name, doubt in build.doubts.items()}


def test_a_build_is_of_a_branch_or_of_a_tag(repository: Repository) -> None:
    repository("tag", "main")  # git itself would call the branch heads/main now
    build = read_build({}, repository.folder)
    assert (build.branch, build.tag, build.doubts) == ("main", None, {})
    tag = read_build({"GITLAB_CI": "1", "CI_COMMIT_TAG": "v1"}, repository.folder)
    assert (tag.branch, tag.tag, tag.doubts) == (None, "v1", {})


def test_the_user_names_the_branch_or_the_tag_of_a_build(repository: Repository) -> None:
    repository("checkout", "-q", "--detach")
    cases: list[tuple[dict[str, str], str | None]] = [
        ({}, "fix"),
        ({"QARUNNER_BRANCH": "fix"}, None),
        ({"QARUNNER_BRANCH": "other"}, "fix"),
        ({**GITHUB, "GITHUB_REF_NAME": "main"}, "fix"),
        ({"GITLAB_CI": "1", "CI_COMMIT_TAG": "v1"}, "fix"),
    ]
    for environ, branch in cases:
        build = read_build(environ, repository.folder, branch=branch)
        assert (build.branch, build.tag, build.doubts, build.metadata.ref) == ("fix", None, {}, "refs/heads/fix")
    build = read_build({**GITHUB, "GITHUB_REF_NAME": "main", "QARUNNER_TAG": "v1"}, repository.folder)
    assert (build.branch, build.tag, build.doubts, build.metadata.ref) == (None, "v1", {}, "refs/tags/v1")
    build = read_build({"QARUNNER_BRANCH": ""}, repository.folder)
    assert set(build.doubts) == {"branch", "tag"}


def test_a_name_may_be_a_whole_ref_and_never_nothing() -> None:
    assert checked_name("--branch", None) is None
    assert checked_name("--branch", "refs/heads/a/b") == "a/b"
    assert checked_name("--tag", "refs/tags/v1") == "v1"
    assert checked_name("--tag", "v1") == "v1"
    for text in ("", " ", "refs/heads/"):
        with pytest.raises(UserError, match="--branch: is empty"):
            checked_name("--branch", text)


def test_what_git_refuses_is_told_in_its_own_words(repository: Repository) -> None:
    environ = {"PATH": os.environ["PATH"], "GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}
    build = read_build(environ, repository.folder)
    assert (build.sha, build.branch) == (None, None)
    assert set(build.doubts) == {"sha", "branch", "tag", "repository"}
    for doubt in build.doubts.values():
        assert isinstance(doubt, Refused)
        assert doubt.why.startswith("git: detected dubious ownership in repository at")
        assert "safe.directory" in (doubt.hint or "")
    assert "no vendor gets the commit and branch and repository" in (build.remark or "")
    known = read_build({**environ, **GITLAB, "CI_COMMIT_BRANCH": "main"}, repository.folder)
    assert (known.doubts, known.remark) == ({}, None), "nothing of it had to be asked for"


def test_without_a_git_nobody_can_tell(repository: Repository, tmp_path: Path) -> None:
    build = read_build({"PATH": str(tmp_path / "none")}, repository.folder)
    assert {doubt.why for doubt in build.doubts.values()} == {"git is not installed"}
    assert set(build.in_templates) == {"sha", "short_sha", "branch", "tag", "repository"}
    assert all(isinstance(value, Unknown) for value in build.in_templates.values())


def test_a_repository_without_a_commit_has_a_branch_alone(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=tmp_path, check=True)
    build = read_build({}, tmp_path)
    assert (build, build.doubts) == (Build(branch="main"), {})


def test_a_branch_need_not_be_utf_8(repository: Repository) -> None:
    repository("checkout", "-q", "-b", b"caf\xe9")
    assert read_build({}, repository.folder).branch == "caf\ufffd"


def test_git_completes_what_a_ci_system_leaves_out(repository: Repository) -> None:
    repository("remote", "add", "origin", "ssh://git@github.com:22/acme/shop")
    build = read_build({"CIRCLECI": "1"}, repository.folder)
    assert build == Build(name="circleci", sha=repository.sha, branch="main", repository="acme/shop", host="github")
    other = read_build({"CIRCLECI": "1", "CIRCLE_SHA1": HEAD}, repository.folder)
    assert (other.sha, other.branch) == (HEAD, None), "the branch that is checked out is not that commit's"


@pytest.mark.parametrize(
    ("environ", "host"),
    [
        ({**GITHUB, "GITHUB_SERVER_URL": "https://github.acme.test"}, "github"),
        ({**GITHUB, "GITEA_ACTIONS": "true", "GITHUB_SERVER_URL": "https://codeberg.org"}, "codeberg.org"),
        ({**GITLAB, "CI_SERVER_HOST": "gitlab.acme.test"}, "gitlab.acme.test"),
        (
            {"JENKINS_URL": "u", "GIT_URL": "git@github.com:a/b", "CHANGE_URL": "https://bitbucket.org/a/b/9"},
            "bitbucket.org",
        ),
        ({"CIRCLECI": "1", "CIRCLE_PULL_REQUEST": "https://bitbucket.org/a/b/pull-requests/9"}, "bitbucket.org"),
        ({"CIRCLECI": "1", "CIRCLE_REPOSITORY_URL": "git@github.com:a/b.git"}, "github"),
        (
            {"TF_BUILD": "1", "BUILD_REPOSITORY_PROVIDER": "TfsGit", "BUILD_REPOSITORY_URI": "https://dev.azure.com/a"},
            "dev.azure.com",
        ),
        ({"TF_BUILD": "1", "BUILD_REPOSITORY_PROVIDER": "TfsGit"}, "tfsgit"),
        ({"TF_BUILD": "1", "BUILD_REPOSITORY_PROVIDER": "GitHub"}, "github"),
        (
            {"BUILDKITE": "1", "BUILDKITE_PIPELINE_PROVIDER": "github_enterprise", "BUILDKITE_REPO": "git@g:a/b"},
            "github",
        ),
        ({"BUILDKITE": "1", "BUILDKITE_PIPELINE_PROVIDER": "bitbucket"}, "bitbucket"),
        ({"BUILDKITE": "1", "BUILDKITE_REPO": "https://u:hunt@er2/hunter2@github.com/a/b"}, None),
        ({"JENKINS_URL": "u"}, None),
    ],
)
def test_who_keeps_the_repository(
    environ: dict[str, str], host: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert read_build(environ, tmp_path).metadata.host == host


@pytest.mark.parametrize("shallow", [False, True])
def test_without_the_event_the_head_is_the_merge_commits_second_parent(repository: Repository, shallow: bool) -> None:  # noqa: FBT001  a case
    repository("checkout", "-q", "-b", "fix")
    repository("commit", "-q", "--allow-empty", "-m", "head")
    head = repository("rev-parse", "HEAD")
    repository("checkout", "-q", "main")
    repository("commit", "-q", "--allow-empty", "-m", "base\n\nparent " + "c" * 40)
    repository("merge", "-q", "--no-ff", "-m", "merge", "fix")
    folder, merge = repository.folder, repository("rev-parse", "HEAD")
    if shallow:
        folder = repository.folder / "clone"
        repository("clone", "-q", "--depth", "1", repository.folder.as_uri(), str(folder))
    environ = {
        **GITHUB,
        "GITHUB_EVENT_NAME": "pull_request",
        "GITHUB_SHA": merge,
        "GITHUB_REF": "refs/pull/12/merge",
        "GITHUB_HEAD_REF": "fix",
        "GITHUB_EVENT_PATH": "/none",
    }
    build = read_build(environ, folder)
    assert (build.sha, build.remark) == (head, None)


@pytest.mark.parametrize(("event", "ref"), [("pull_request", "refs/pull/1/merge"), ("pull_request_target", "main")])
def test_a_head_that_nobody_tells_is_said(event: str, ref: str, tmp_path: Path) -> None:
    environ = {**GITHUB, "GITHUB_EVENT_NAME": event, "GITHUB_SHA": MERGE, "GITHUB_REF": ref}
    build = read_build(environ, tmp_path)
    assert build.sha == MERGE
    assert "tells no head commit" in (build.remark or "")
    assert read_build({**environ, "GITHUB_EVENT_NAME": "push"}, tmp_path).remark is None


def test_azure_without_its_address_has_no_page(tmp_path: Path) -> None:
    environ = {"TF_BUILD": "True", "BUILD_BUILDID": "4", "SYSTEM_TEAMPROJECT": "shop"}
    assert read_build(environ, tmp_path).url is None


def test_a_folder_without_git_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert replace(read_build({}, tmp_path), doubts={}) == Build()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert replace(read_build({}, tmp_path), doubts={}) == Build()
    assert replace(read_build({}, tmp_path / "none"), doubts={}) == Build()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://github.com/acme/shop.git", "acme/shop"),
        ("https://github.com/acme/shop/", "acme/shop"),
        ("https://user:hunter2@github.com/acme/shop.git", "acme/shop"),
        ("https://hunter2@github.com/acme/shop", "acme/shop"),
        ("https://user:hunter2@git.test:8443/shop.git?hunter2#hunter2", "https://git.test/shop.git"),
        ("git@github.com:acme/shop.git", "acme/shop"),
        ("user:hunter2@git.test:acme/web/shop.git", "acme/web/shop"),
        ("ssh://git@git.test:2222/acme/web/shop.git", "acme/web/shop"),
        ("git://git.test/acme/shop", "acme/shop"),
        ("https://user:hunt@er2/hunter2@git.test/acme/shop", None),
        ("https://[git.test/hunter2", None),
        ("/srv/git/shop.git", None),
        ("../shop", None),
        ("C:\\git\\shop", None),
        ("", None),
        (None, None),
    ],
)
def test_a_repository_has_a_name_and_never_a_password(url: str | None, expected: str | None) -> None:
    assert repository_from_url(url) == expected


def test_a_remote_with_a_password_does_not_tell_it(repository: Repository) -> None:
    repository("remote", "add", "origin", "https://user:hunter2@git.test/shop.git")
    build = read_build({}, repository.folder)
    assert build.repository == "https://git.test/shop.git"
    assert "hunter2" not in f"{build!r} {build.git} {build.metadata!r}"


# --- who let it run -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        (
            {
                "GITHUB_ACTIONS": "true",
                "GITHUB_SERVER_URL": "https://github.com",
                "GITHUB_REPOSITORY": "acme/shop",
                "GITHUB_RUN_ID": "7",
                "GITHUB_JOB": "qa",
                "GITHUB_RUN_ATTEMPT": "2",
                "GITHUB_ACTOR": "ann",
                "GITHUB_TRIGGERING_ACTOR": "bob",
            },
            ("bob", "github: https://github.com/acme/shop/7", "qa", 2),
        ),
        (
            {"GITLAB_CI": "true", "CI_PROJECT_PATH": "acme/shop", "CI_PIPELINE_ID": "7", "CI_JOB_NAME": "qa"},
            (None, "gitlab: acme/shop/7", "qa", None),
        ),
        (
            {"JENKINS_URL": "https://ci/", "JOB_NAME": "shop/main", "BUILD_NUMBER": "7", "BUILD_USER_ID": "ann"},
            ("ann", "jenkins: https://ci/shop/main/7", None, None),
        ),
        (
            {"CIRCLECI": "true", "CIRCLE_PIPELINE_ID": "p-1", "CIRCLE_JOB": "qa", "CIRCLE_USERNAME": "ann"},
            ("ann", "circleci: p-1", "qa", None),
        ),
        (
            {
                "TF_BUILD": "True",
                "SYSTEM_TEAMPROJECT": "shop",
                "BUILD_BUILDID": "7",
                "SYSTEM_JOBATTEMPT": "3",
                "AGENT_JOBNAME": "qa",
                "BUILD_REQUESTEDFOR": "Ann",
            },
            ("Ann", "azure: shop/7", "qa", 3),
        ),
        (
            {"BITBUCKET_BUILD_NUMBER": "7", "BITBUCKET_PIPELINE_UUID": "{p}", "BITBUCKET_STEP_RUN_NUMBER": "2"},
            (None, "bitbucket: {p}", None, 2),
        ),
        (
            {"BUILDKITE": "true", "BUILDKITE_BUILD_ID": "b", "BUILDKITE_RETRY_COUNT": "1", "BUILDKITE_LABEL": "qa"},
            (None, "buildkite: b", "qa", 2),
        ),
        ({"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "acme/shop"}, (None, None, None, None)),
    ],
)
def test_who_let_it_run(
    variables: dict[str, str], wanted: tuple[str | None, str | None, str | None, int | None]
) -> None:
    identity = who(variables)
    assert identity is not None
    assert (identity.actor, identity.pipeline, identity.job, identity.attempt) == wanted
    assert in_ci(variables)


def test_who_let_it_run_can_be_written_down_whatever_bytes_its_name_has() -> None:
    names = ("GITHUB_ACTOR", "GITHUB_JOB", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")
    identity = who({"GITHUB_ACTIONS": "true", **dict.fromkeys(names, "caf\udce9")})
    assert identity is not None
    assert (identity.actor, identity.job) == ("caf\ufffd", "caf\ufffd")
    assert identity.pipeline == "github: caf\ufffd/caf\ufffd"


def test_nobody_tells_who_let_it_run_outside_of_a_ci() -> None:
    assert who({"USER": "ann"}) is None
    assert who({"CI": "true"}) is None
    assert [in_ci({"CI": value}) for value in ("true", "1", "false", "0", "")] == [True, True, False, False, False]


@pytest.mark.parametrize(
    "environ",
    [
        {"GITLAB_CI": "true", "CI_JOB_URL": "https://u:pass@ci.test/1"},
        {"JENKINS_URL": "http://j", "BUILD_URL": "https://u:p@pass@ci.test/1"},
        {
            "TF_BUILD": "True",
            "SYSTEM_COLLECTIONURI": "https://pass@ci.test",
            "SYSTEM_TEAMPROJECT": "p",
            "BUILD_BUILDID": "1",
        },
        {"BITBUCKET_BUILD_NUMBER": "1", "BITBUCKET_GIT_HTTP_ORIGIN": "https://x:pass@ci.test/a/b"},
        {"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://pass@ci.test", "GITHUB_RUN_ID": "1"},
    ],
)
def test_the_link_of_a_build_has_no_password(environ: dict[str, str], tmp_path: Path) -> None:
    url = read_build(environ, tmp_path).url
    assert url is not None
    assert url.startswith("https://ci.test/")
