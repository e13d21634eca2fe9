"""Where a build comes from: git and the CI system, read from their variables, else from the repository.

On pull-request builds the commit is the head that people see, not the merge that the CI made of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

from msgspec import Struct, field
from msgspec.structs import replace

from qarunner.app.git import Git
from qarunner.errors import UserError
from qarunner.known import Known, Refused, Unknown
from qarunner.regex import regex
from qarunner.vendors.api import Metadata

if TYPE_CHECKING:
    from qarunner.engine.state.events import Who
    from qarunner.known import Answer


GITHUB = "github"


Doubts: TypeAlias = "Mapping[str, Unknown | Refused]"
"""Why a fact could not be found out, by its name."""


class Build(Struct, frozen=True, kw_only=True):
    """What templates call `git` and `ci`; a field that is not known is None."""

    name: str | None = None
    url: str | None = None
    event: str | None = None
    pr_number: int | None = None
    sha: str | None = None
    branch: str | None = None
    tag: str | None = None
    repository: str | None = None
    host: str | None = None
    """Who keeps the repository: `github`, or the name of another host."""
    run_id: str | None = None
    actor: str | None = None
    base_branch: str | None = None
    pr_title: str | None = None
    pr_description: str | None = None
    remark: str | None = None
    """What is not certain, for the user."""
    doubts: Doubts = field(default_factory=dict)
    """Why `sha`, `branch`, `tag` or `repository` could not be found out."""

    @property
    def in_templates(self) -> Mapping[str, str | Unknown | Refused | None]:
        """`git` as templates read it."""
        short = {"short_sha": self.doubts["sha"]} if "sha" in self.doubts else {}
        return {**self.git, **self.doubts, **short}

    @property
    def git(self) -> dict[str, str | None]:
        short = self.sha[:7] if self.sha else None
        return {
            "sha": self.sha,
            "short_sha": short,
            "branch": self.branch,
            "tag": self.tag,
            "repository": self.repository,
        }

    @property
    def ci(self) -> dict[str, str | None]:
        number = str(self.pr_number) if self.pr_number is not None else None
        return {"name": self.name, "url": self.url, "event": self.event, "pr_number": number}

    @property
    def metadata(self) -> Metadata:
        return Metadata(
            repository=self.repository,
            ref=f"refs/heads/{self.branch}" if self.branch else f"refs/tags/{self.tag}" if self.tag else None,
            ref_name=self.branch or self.tag,
            commit=self.sha,
            event=self.event,
            build_url=self.url,
            pr_number=self.pr_number,
            branch=self.branch,
            base_branch=self.base_branch,
            pr_title=self.pr_title,
            pr_description=self.pr_description,
            ci=self.name,
            host=self.host,
            run_id=self.run_id,
            actor=self.actor,
        )


def read_build(environ: Mapping[str, str], folder: Path, *, branch: str | None = None, tag: str | None = None) -> Build:
    """The build that this process belongs to. `branch` and `tag` are --branch and --tag: UserError for no names."""
    variables = _variables(environ)
    system, git = _system(variables), Git(folder, environ)
    build = replace(system.build(variables), actor=_first_of(variables, system.actor)) if system else Build()
    branch, tag = checked_name("--branch", branch), checked_name("--tag", tag)
    branch, tag = branch or variables.get(BRANCH), tag or variables.get(TAG)
    # A build is of a branch or of a tag: where the user names one of them, there is no other unless it is named.
    build = replace(build, branch=branch, tag=tag) if branch or tag else build
    return _completed(_about_head(build, variables, git) if system else build, git)


def base_branch(environ: Mapping[str, str]) -> str | None:
    """The branch that a pull request of this build goes to, by the CI's own word."""
    variables = _variables(environ)
    system = _system(variables)
    return system.build(variables).base_branch if system else None


BRANCH, TAG = "QARUNNER_BRANCH", "QARUNNER_TAG"


def _variables(environ: Mapping[str, str]) -> dict[str, str]:
    """What is set, as text that can be written down. A variable that is set to nothing says nothing.

    The user and the password of an address stay here: links go into reports, and to vendors.
    """
    return {name: _USER.sub("", _as_utf8(value)) for name, value in environ.items() if value}


_USER = regex(r"(?<=://)[^\s/?#]*@")


def _as_utf8(value: str) -> str:
    """A variable may hold any byte; what is no character here is no character at a vendor either."""
    return value if value.isascii() else value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def checked_name(option: str, text: str | None) -> str | None:
    """A branch or tag as an option names it, with or without `refs/…/`. UserError for an empty one."""
    if text is None:
        return None
    name = text.strip().removeprefix("refs/heads/" if option == "--branch" else "refs/tags/")
    if name != _as_utf8(name):
        raise UserError(f"{option}: is not valid UTF-8", hint="git's own names of branches and tags are")
    if not name:
        raise UserError(f"{option}: is empty", hint=f"name it, or leave {option} out where the build has none")
    return name


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


class _System(Struct, frozen=True, kw_only=True):
    """A CI system by its variables. `facts`: fields of a build with their variables; the first one that is set counts.

    `actor` and `job` say who started what by the first variable that is set, `pipeline` by all of them. `attempt`
    counts from 1; `retries` is the same, counted from 0. `complete` adds what is no variable's plain text.
    """

    name: str
    facts: Mapping[str, tuple[str, ...]]
    actor: tuple[str, ...]
    pipeline: tuple[str, ...]
    job: tuple[str, ...]
    attempt: str | None = None
    retries: str | None = None
    complete: Callable[[Build, Mapping[str, str]], Build] = lambda build, _: build

    def build(self, env: Mapping[str, str]) -> Build:
        facts: dict[str, Any] = {field: _first_of(env, names) for field, names in self.facts.items()}
        facts["pr_number"] = _number(facts.get("pr_number"))
        return self.complete(Build(name=self.name, **facts), env)


def _first_of(env: Mapping[str, str], names: Sequence[str]) -> str | None:
    return next((env[name] for name in names if name in env), None)


def _github(build: Build, env: Mapping[str, str]) -> Build:
    payload = _event(env.get("GITHUB_EVENT_PATH"))
    pull = payload.get("pull_request")
    pull = pull if isinstance(pull, dict) else {}
    head = pull.get("head")
    head = head if isinstance(head, dict) else {}
    ref = env.get("GITHUB_REF", "")
    from_ref = re.fullmatch(r"refs/pull/([0-9]+)/.*", ref)
    number = pull.get("number") if isinstance(pull.get("number"), int) else _number(from_ref[1] if from_ref else None)
    kind = env.get("GITHUB_REF_TYPE") or ("tag" if ref.startswith("refs/tags/") else None)
    name = env.get("GITHUB_REF_NAME") or re.sub(r"^refs/(heads|tags)/", "", ref) or None
    server = env.get("GITHUB_SERVER_URL", "https://github.com")
    return replace(
        build,
        url=f"{server}/{build.repository}/actions/runs/{build.run_id}" if build.run_id else None,
        host=_server(env),
        pr_number=number if isinstance(number, int) else None,
        sha=str(head["sha"]) if head.get("sha") else build.sha,
        branch=build.branch or (name if kind != "tag" and not from_ref else None),
        tag=name if kind == "tag" else None,
        pr_title=_words(pull.get("title")),
        pr_description=_words(pull.get("body")),
    )


def _server(env: Mapping[str, str]) -> str | None:
    """Whose Actions these are: others run the same workflows, under the same variables and one of their own."""
    elsewhere = "GITEA_ACTIONS" in env or "FORGEJO_ACTIONS" in env
    return host_of(env.get("GITHUB_SERVER_URL")) if elsewhere else GITHUB


def _words(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _event(path: str | None) -> dict[str, object]:
    try:
        event = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    except (OSError, ValueError):
        return {}
    return event if isinstance(event, dict) else {}


def _jenkins(build: Build, env: Mapping[str, str]) -> Build:
    branch = _first_of(env, ("GIT_BRANCH", "BRANCH_NAME"))
    return replace(
        build,
        event="pull_request" if "CHANGE_ID" in env else None,
        branch=build.branch or (branch.removeprefix("origin/") if branch and not build.tag else None),
        repository=repository_from_url(env.get("GIT_URL")),
        host=host_of(env.get("CHANGE_URL")) or host_of(env.get("GIT_URL")),
    )


def _circleci(build: Build, env: Mapping[str, str]) -> Build:
    pull = env.get("CIRCLE_PULL_REQUEST", "").rpartition("/")[2]
    owner, name = env.get("CIRCLE_PROJECT_USERNAME"), env.get("CIRCLE_PROJECT_REPONAME")
    return replace(
        build,
        event="pull_request" if pull else None,
        pr_number=_number(pull),
        repository=f"{owner}/{name}" if owner and name else None,
        host=host_of(env.get("CIRCLE_PULL_REQUEST")) or host_of(env.get("CIRCLE_REPOSITORY_URL")),
    )


def _azure(build: Build, env: Mapping[str, str]) -> Build:
    ref = build.branch or ""
    home, project, number = (env.get(name) for name in ("SYSTEM_COLLECTIONURI", "SYSTEM_TEAMPROJECT", "BUILD_BUILDID"))
    project = f"{home.rstrip('/')}/{quote(project)}" if home and project else None
    return replace(
        build,
        url=f"{project}/_build/results?buildId={number}" if project and number else None,
        branch=ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else None,
        tag=ref.removeprefix("refs/tags/") if ref.startswith("refs/tags/") else None,
        host=_hosted(env.get("BUILD_REPOSITORY_PROVIDER"), env.get("BUILD_REPOSITORY_URI")),
    )


def _bitbucket(build: Build, env: Mapping[str, str]) -> Build:
    origin, number = env.get("BITBUCKET_GIT_HTTP_ORIGIN"), env.get("BITBUCKET_BUILD_NUMBER")
    return replace(
        build,
        url=f"{origin}/addon/pipelines/home#!/results/{number}" if origin and number else None,
        event="pull_request" if "BITBUCKET_PR_ID" in env else None,
        host=host_of(origin) or "bitbucket.org",
    )


def _buildkite(build: Build, env: Mapping[str, str]) -> Build:
    return replace(
        build,
        sha=build.sha if build.sha != "HEAD" else None,  # the newest of the branch: it was made by hand or by API
        repository=repository_from_url(env.get("BUILDKITE_REPO")),
        host=_hosted(env.get("BUILDKITE_PIPELINE_PROVIDER"), env.get("BUILDKITE_REPO")),
    )


def _hosted(provider: str | None, url: str | None) -> str | None:
    """By the CI's own word (Azure's `GitHubEnterprise`, Buildkite's `github_enterprise`), else by the URL."""
    if provider and provider.lower().startswith(GITHUB):
        return GITHUB
    return host_of(url) or (provider.lower() if provider else None)


_SYSTEMS: Mapping[str, _System] = {
    "GITHUB_ACTIONS": _System(
        name=GITHUB,
        facts={
            "run_id": ("GITHUB_RUN_ID",),
            "event": ("GITHUB_EVENT_NAME",),
            "sha": ("GITHUB_SHA",),
            "branch": ("GITHUB_HEAD_REF",),
            "repository": ("GITHUB_REPOSITORY",),
            "base_branch": ("GITHUB_BASE_REF",),
        },
        actor=("GITHUB_TRIGGERING_ACTOR", "GITHUB_ACTOR"),
        pipeline=("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID"),
        job=("GITHUB_JOB",),
        attempt="GITHUB_RUN_ATTEMPT",
        complete=_github,
    ),
    "GITLAB_CI": _System(
        name="gitlab",
        facts={
            "url": ("CI_JOB_URL", "CI_PIPELINE_URL"),
            "event": ("CI_PIPELINE_SOURCE",),
            "pr_number": ("CI_MERGE_REQUEST_IID",),
            "sha": ("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA", "CI_COMMIT_SHA"),
            "branch": ("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", "CI_COMMIT_BRANCH"),
            "tag": ("CI_COMMIT_TAG",),
            "repository": ("CI_PROJECT_PATH",),
            "host": ("CI_SERVER_HOST",),
            "base_branch": ("CI_MERGE_REQUEST_TARGET_BRANCH_NAME",),
            "pr_title": ("CI_MERGE_REQUEST_TITLE",),
            "pr_description": ("CI_MERGE_REQUEST_DESCRIPTION",),
        },
        actor=("GITLAB_USER_LOGIN",),
        pipeline=("CI_SERVER_HOST", "CI_PROJECT_PATH", "CI_PIPELINE_ID"),
        job=("CI_JOB_NAME",),
        complete=lambda build, _: replace(build, host=build.host or "gitlab"),
    ),
    "JENKINS_URL": _System(
        name="jenkins",
        facts={
            "url": ("BUILD_URL",),
            "pr_number": ("CHANGE_ID",),
            "sha": ("GIT_COMMIT",),
            "branch": ("CHANGE_BRANCH",),
            "tag": ("TAG_NAME",),
        },
        actor=("BUILD_USER_ID", "CHANGE_AUTHOR"),
        pipeline=("JENKINS_URL", "JOB_NAME", "BUILD_NUMBER"),
        job=("STAGE_NAME",),
        complete=_jenkins,
    ),
    "CIRCLECI": _System(
        name="circleci",
        facts={
            "url": ("CIRCLE_BUILD_URL",),
            "sha": ("CIRCLE_SHA1",),
            "branch": ("CIRCLE_BRANCH",),
            "tag": ("CIRCLE_TAG",),
        },
        actor=("CIRCLE_USERNAME",),
        pipeline=("CIRCLE_PIPELINE_ID",),  # a workflow that is run again is another one
        job=("CIRCLE_JOB",),
        complete=_circleci,
    ),
    "TF_BUILD": _System(
        name="azure",
        facts={
            "event": ("BUILD_REASON",),
            "pr_number": ("SYSTEM_PULLREQUEST_PULLREQUESTNUMBER", "SYSTEM_PULLREQUEST_PULLREQUESTID"),
            "sha": ("SYSTEM_PULLREQUEST_SOURCECOMMITID", "BUILD_SOURCEVERSION"),
            "branch": ("SYSTEM_PULLREQUEST_SOURCEBRANCH", "BUILD_SOURCEBRANCH"),
            "repository": ("BUILD_REPOSITORY_NAME",),
        },
        actor=("BUILD_REQUESTEDFOR",),
        pipeline=("SYSTEM_COLLECTIONURI", "SYSTEM_TEAMPROJECT", "BUILD_BUILDID"),
        job=("SYSTEM_JOBNAME", "AGENT_JOBNAME"),
        attempt="SYSTEM_JOBATTEMPT",
        complete=_azure,
    ),
    "BITBUCKET_BUILD_NUMBER": _System(
        name="bitbucket",
        facts={
            "pr_number": ("BITBUCKET_PR_ID",),
            "sha": ("BITBUCKET_COMMIT",),
            "branch": ("BITBUCKET_BRANCH",),
            "tag": ("BITBUCKET_TAG",),
            "repository": ("BITBUCKET_REPO_FULL_NAME",),
        },
        actor=("BITBUCKET_STEP_TRIGGERER_UUID",),
        pipeline=("BITBUCKET_PIPELINE_UUID",),
        job=("BITBUCKET_STEP_UUID",),
        attempt="BITBUCKET_STEP_RUN_NUMBER",
        complete=_bitbucket,
    ),
    "BUILDKITE": _System(
        name="buildkite",
        facts={
            "url": ("BUILDKITE_BUILD_URL",),
            "event": ("BUILDKITE_SOURCE",),
            "pr_number": ("BUILDKITE_PULL_REQUEST",),
            "sha": ("BUILDKITE_COMMIT",),
            "branch": ("BUILDKITE_BRANCH",),
            "tag": ("BUILDKITE_TAG",),
        },
        actor=("BUILDKITE_UNBLOCKER", "BUILDKITE_BUILD_CREATOR"),
        pipeline=("BUILDKITE_BUILD_ID",),
        job=("BUILDKITE_STEP_KEY", "BUILDKITE_LABEL"),
        retries="BUILDKITE_RETRY_COUNT",
        complete=_buildkite,
    ),
}
"""By the variable that marks a system's jobs."""


def _system(env: Mapping[str, str]) -> _System | None:
    return next((system for marker, system in _SYSTEMS.items() if marker in env), None)


# --- who let it run ---------------------------------------------------------------------------------------------------


def in_ci(environ: Mapping[str, str]) -> bool:
    """True in the job of a CI system, whether it is a known one or says `CI` alone."""
    known = any(environ.get(marker) for marker in _SYSTEMS)
    return known or environ.get("CI", "").lower() not in {"", "0", "false"}


def who(environ: Mapping[str, str]) -> Who | None:
    """Who let this process run; None outside of a known CI system."""
    from qarunner.engine.state.events import Who

    variables = _variables(environ)
    identity = _system(variables)
    if identity is None:
        return None
    retries = _number(variables.get(identity.retries or ""))
    whole = identity.pipeline[-1] in variables
    parts = [variables[name].rstrip("/") for name in identity.pipeline if name in variables]
    return Who(
        actor=_first_of(variables, identity.actor),
        pipeline=f"{identity.name}: {'/'.join(parts)}" if whole else None,
        job=_first_of(variables, identity.job),
        attempt=retries + 1 if retries is not None else _number(variables.get(identity.attempt or "")),
    )


# --- the repository itself --------------------------------------------------------------------------------------------


def _about_head(build: Build, env: Mapping[str, str], git: Git) -> Build:
    """On a pull request whose event names no head: the merge commit's second parent, which is the head."""
    if build.name != GITHUB or not (build.event or "").startswith("pull_request"):
        return build
    if build.sha is None or build.sha != env.get("GITHUB_SHA"):
        return build
    merged = (env.get("GITHUB_REF") or "").startswith("refs/pull/")
    # Not HEAD^2: a shallow clone hides the parents from everything but the commit itself.
    commit = _text(git.ask("cat-file", "commit", build.sha)) if merged else ""
    parents = re.findall(r"^parent ([0-9a-f]{40,64})$", commit.partition("\n\n")[0], re.MULTILINE)
    if len(parents) == 2:  # noqa: PLR2004  base and head
        return replace(build, sha=parents[1])
    what = "the merge commit" if merged else "GITHUB_SHA"
    text = f"GITHUB_EVENT_PATH tells no head commit of the pull request; {what} {build.sha} is used instead"
    return replace(build, remark=text)


def _text(answer: Answer[bytes]) -> str:
    return answer.value.decode(errors="replace").strip() if isinstance(answer, Known) else ""


def _completed(build: Build, git: Git) -> Build:
    """What the CI did not say, from git. A build of a branch has no tag, and one of a tag has no branch."""
    if build.sha and build.repository and build.host and (build.branch or build.tag):
        return build
    sha, branch = _head(git)
    # `git config` says nothing of a repository that git refuses.
    remote = git.maybe("config", "--get", "remote.origin.url") if isinstance(sha, Known) else sha
    of_remote = Known(repository_from_url(remote.value)) if isinstance(remote, Known) else remote
    if build.sha and Known(build.sha) != sha and isinstance(branch, Known):
        branch = Unknown("the commit that is checked out is not the one that the CI names")
    answers: dict[str, Answer[str | None]] = {"sha": sha, "repository": of_remote}
    if not build.branch and not build.tag:
        answers["branch"] = branch
        answers["tag"] = branch if not isinstance(branch, Known) else Known(None)
    values = {name: answer.value for name, answer in answers.items() if isinstance(answer, Known)}
    doubts = {
        name: _with_ways(name, answer)
        for name, answer in answers.items()
        if not isinstance(answer, Known) and not getattr(build, name)
    }
    return replace(
        build,
        sha=build.sha or values.get("sha"),
        branch=build.branch or values.get("branch"),
        repository=build.repository or values.get("repository"),
        host=build.host or (host_of(remote.value) if isinstance(remote, Known) else None),
        doubts=doubts,
        remark=build.remark or (_unsent(doubts) if git.root is not None else None),
    )


def _unsent(doubts: Doubts) -> str | None:
    """What vendors do not get, since git cannot tell it."""
    names = [name for name in ("sha", "branch", "repository") if name in doubts]
    if not names:
        return None
    first = doubts[names[0]]
    listed = " and ".join("commit" if name == "sha" else name for name in names)
    return f"no vendor gets the {listed} of this build: {first.why}" + (f" ({first.hint})" if first.hint else "")


def _head(git: Git) -> tuple[Answer[str | None], Answer[str | None]]:
    """The commit that is checked out, and its branch. A repository without a commit has a branch alone."""
    both = git.ask("rev-parse", "HEAD", "--symbolic-full-name", "HEAD")
    if isinstance(both, Known):
        sha, branch = [*_text(both).splitlines(), "", ""][:2]
        return Known(sha), _branch(branch)
    named = git.maybe("symbolic-ref", "--quiet", "HEAD")
    if not isinstance(named, Known):
        return named, named
    return Known(None), _branch(named.value or "")


def _branch(ref: str) -> Answer[str | None]:
    """Not the short name that git itself makes: it is another one where a tag is called the same."""
    if not ref.startswith("refs/heads/"):
        return Unknown("HEAD is detached, so that git does not know the branch")
    return Known(ref.removeprefix("refs/heads/"))


_WAYS = {
    "branch": "name it: --branch NAME, or QARUNNER_BRANCH; a tag's build: --tag NAME, or QARUNNER_TAG",
    "tag": "name it: --tag NAME, or QARUNNER_TAG; a branch's build: --branch NAME, or QARUNNER_BRANCH",
}


def _with_ways(name: str, answer: Unknown | Refused) -> Unknown | Refused:
    """The reason with every way out: git's own, and the options."""
    hints = [hint for hint in (_WAYS.get(name), answer.hint) if hint]
    return replace(answer, hint="; or ".join(hints) or None)


def repository_from_url(url: str | None) -> str | None:
    """`owner/name` of a hosted repository, else its URL; never a user or a password, which remotes may hold."""
    parts = _parts(url)
    if parts is None:
        return None
    path = parts.path.strip("/").removesuffix(".git")
    if parts.hostname and re.fullmatch(r"[\w.-]+(/[\w.-]+)+", path):
        return path
    # A password with a slash that is not quoted ends up in what looks like the path.
    known = parts.hostname and "@" not in parts.path
    return urlunsplit((parts.scheme, parts.hostname or "", parts.path, "", "")) if known else None


def host_of(url: str | None) -> str | None:
    """`github`, or the name of another host, of a repository's or a pull request's URL."""
    parts = _parts(url)
    if parts is None or not parts.hostname or "@" in parts.path:
        return None
    ours = parts.hostname in {"github.com", "ssh.github.com"} or parts.hostname.endswith(".ghe.com")
    return GITHUB if ours else parts.hostname


def _parts(url: str | None) -> SplitResult | None:
    try:
        return urlsplit(re.sub(r"^[^@/]+@([^:/]+):", r"ssh://\1/", url)) if url else None
    except ValueError:
        return None
