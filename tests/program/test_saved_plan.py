"""`plan --out` and `apply plan.json`: what was looked at is what runs, or nothing does."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from qarunner.plan.model import from_json, seal, to_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.program.conftest import Ended, Stage

SECRET = "hunter2-hunter2-hunter2"
ALLOW = "TOKEN@shop.example"
GIT = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "n"), ("EMAIL", "n@example.com"))
}


def git(stage: Stage, *words: str) -> None:
    subprocess.run(["git", *words], cwd=stage.folder, env=stage.environ | GIT, check=True, capture_output=True)


def apk(stage: Stage, content: str) -> None:
    with zipfile.ZipFile(stage.folder / "build/app.apk", "w") as archive:
        archive.writestr(zipfile.ZipInfo("AndroidManifest.xml"), content)


def matrix(stage: Stage, *more: dict[str, object], timeout: str = "30m", **top: dict[str, object]) -> None:
    env = {"STAGING_URL": {"format": "uri"}, "LOCALE": {"default": "en"}, "TOKEN": {"secret": True}}
    login = stage.doksi("login", url="{{ env.STAGING_URL }}/{{ env.LOCALE }}", timeout=timeout)
    target = {"binary": "build/app.apk"}
    app = {"id": "app", "vendor": "doksi", "platform": "android", "test_ids": ["app"], "target": target}
    token = stage.doksi("token", url="https://shop.example/?t={{ env.TOKEN }}")
    stage.commit(login, app, token, *more, **{"env": env, "vars": {"a": 1}, **top})  # type: ignore[arg-type]


@pytest.fixture
def saved(stage: Stage) -> Stage:
    """A repository with a plan of everything that a plan can depend on."""
    stage.environ |= {
        "STAGING_URL": "https://staging.example",
        "TOKEN": SECRET,
        "QARUNNER_ENV": "STAGING_URL",
        "QARUNNER_ALLOW_SECRETS": ALLOW,
    }
    (stage.folder / "build").mkdir()
    apk(stage, "one")
    matrix(stage)
    git(stage, "init", "-q", "-b", "main")
    git(stage, "add", "-A")
    git(stage, "commit", "-qm", "one")
    ended = stage.run("plan", "--out", "plan.json")
    assert ended.code == 0, ended
    return stage


def plan(stage: Stage) -> Any:  # noqa: ANN401  JSON
    return json.loads((stage.folder / "plan.json").read_text(encoding="utf-8"))


def stale(ended: Ended) -> str:
    """What a refused apply names."""
    assert ended.code == 5, ended
    assert ended.last.startswith("qarunner: exit 5: plan.json is stale, nothing was sent: "), ended
    assert "qarunner plan --out plan.json" in ended.err
    # The last line is cut to fit a terminal; the whole text stands above it.
    said = (line.partition("nothing was sent: ")[2] for line in ended.text.splitlines())
    return max(said, key=len)


def test_what_was_planned_is_what_runs(saved: Stage) -> None:
    ended = saved.apply("plan.json")
    assert ended.code == 0, ended
    assert saved.verdicts() == {"login": "passed", "app": "passed", "token": "passed"}
    assert (saved.run_folder() / "plan.json").read_bytes() == (saved.folder / "plan.json").read_bytes()


def test_no_secret_and_no_digest_of_one_is_in_a_plan(saved: Stage) -> None:
    text = (saved.folder / "plan.json").read_text(encoding="utf-8")
    assert SECRET not in text
    assert set(plan(saved)["sources"]["variables"]) == {"LOCALE", "STAGING_URL"}
    assert saved.apply("plan.json", TOKEN="another-one-of-the-same-name").code == 0


def test_a_secret_needs_its_permission_again(saved: Stage) -> None:
    ended = saved.apply("plan.json", QARUNNER_ALLOW_SECRETS=None)
    assert ended.code == 2, ended
    assert f"--allow-secret {ALLOW}" in ended.err
    assert saved.apply("plan.json", "--allow-secret", ALLOW, QARUNNER_ALLOW_SECRETS=None).code == 0


def test_a_variable_has_to_be_named_again(saved: Stage) -> None:
    """Who changed the plan could otherwise name others."""
    ended = saved.apply("plan.json", QARUNNER_ENV=None)
    assert ended.code == 2, ended
    assert "STAGING_URL is set in the environment, but the pipeline does not name it" in ended.err
    assert saved.apply("plan.json", "--env", "STAGING_*", QARUNNER_ENV=None).code == 0


def test_values_of_a_file_hold_for_the_apply_as_those_of_an_option_do(saved: Stage) -> None:
    (saved.folder / "values.yml").write_text("LOCALE: de\n", encoding="utf-8")
    (saved.folder / "secrets.json").write_text(f'{{"TOKEN": "{SECRET}"}}', encoding="utf-8")
    assert saved.run("plan", "--out", "plan.json", "--var-file", "values.yml", "--var-file", "secrets.json").code == 0
    (saved.folder / "values.yml").unlink()
    assert SECRET not in (saved.folder / "plan.json").read_text(encoding="utf-8")
    assert plan(saved)["sources"]["choices"] == {"var": ["LOCALE=de"]}
    assert saved.apply("plan.json", "--var-file", "secrets.json", TOKEN=None).code == 0
    assert saved.sent("doksi", "POST", "/runs")[0]["body"]["matrix"][0]["web_url"].endswith("/de")
    (saved.folder / "values.yml").write_text("LOCALE: en\n", encoding="utf-8")
    wrong = saved.apply("plan.json", "--var-file", "values.yml")
    assert (wrong.code, "--var-file cannot change it" in wrong.err) == (2, True), wrong


def edit(name: str, change: Callable[[str], str]) -> Callable[[Stage], None]:
    def apply(stage: Stage) -> None:
        path = stage.folder / name
        path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")

    return apply


def commit(stage: Stage) -> None:
    git(stage, "commit", "-q", "--allow-empty", "-m", "two")


@pytest.mark.parametrize(
    ("change", "variables", "message"),
    [
        (None, {"STAGING_URL": "https://other.example"}, "STAGING_URL differs"),
        (None, {"QARUNNER_VAR_LOCALE": "de"}, "LOCALE differs"),
        (None, {"STAGING_URL": None}, "STAGING_URL is not set"),
        (lambda stage: apk(stage, "two"), {}, "build/app.apk has other content"),
        (lambda stage: (stage.folder / "build/app.apk").unlink(), {}, "build/app.apk: no such file"),
        (lambda stage: matrix(stage, timeout="45m"), {}, "qa-matrix.yml changed: 1 row changed (login)"),
        (
            lambda stage: matrix(stage, stage.doksi("new")),
            {},
            "qa-matrix.yml changed: 1 row came (new)",
        ),
        (lambda stage: matrix(stage, gate={"min_tests": 3}), {}, "gate.min_tests differs"),
        (
            lambda stage: matrix(stage, vendors={"doksi": {"max_in_flight": 1}}),
            {},
            "vendors.doksi differs: max_in_flight",
        ),
        (edit("qa-matrix.yml", lambda text: text + "\n"), {}, "qa-matrix.yml changed, though no row of the plan did"),
        (edit("qa-matrix.yml", lambda text: text.replace('"doksi"', '"doski"')), {}, "unknown vendor 'doski'"),
        (lambda stage: (stage.folder / "qa-matrix.yml").unlink(), {}, "qa-matrix.yml is not there"),
        (None, {"QARUNNER_DOKSI_URL": "http://127.0.0.1:9"}, "doksi is at http://127.0.0.1:9, was at http"),
        (commit, {}, "git.sha is "),
        (None, {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "acme/other"}, "git.repository is acme/other, the plan"),
    ],
)
def test_what_differs_is_named_and_nothing_is_sent(
    saved: Stage, change: Callable[[Stage], None] | None, variables: dict[str, str | None], message: str
) -> None:
    if change is not None:
        change(saved)
    assert message in stale(saved.apply("plan.json", **variables))
    assert saved.sent() == []
    assert not saved.run_folder().exists()


CI = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_REPOSITORY": "acme/shop",
    "GITHUB_SHA": "a" * 40,
    "GITHUB_REF_NAME": "main",
    "GITHUB_RUN_ID": "1",
    "GITHUB_EVENT_NAME": "push",
}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"GITHUB_SHA": "b" * 40}, "git.sha is bbbbbbbbbbbb, the plan is for aaaaaaaaaaaa"),
        ({"GITHUB_REPOSITORY": "acme/other"}, "git.repository is acme/other, the plan is for acme/shop"),
        ({"GITHUB_REF_NAME": "other"}, "git.branch is other, the plan is for main"),
    ],
)
def test_what_a_vendor_is_told_of_the_build_has_to_be_of_this_build(
    stage: Stage, other: dict[str, str], message: str
) -> None:
    stage.commit(stage.certyn("smoke"))
    assert stage.run("plan", "--out", "plan.json", **CI).code == 0
    assert message in stale(stage.apply("plan.json", **{**CI, **other}))
    # Facts and digest say what is true, and the vendor would be told something else: the request is compared.
    path = stage.folder / "plan.json"
    saved = from_json(path.read_bytes(), path=path)
    real = {"sha": "c" * 40, "short_sha": "c" * 7, "branch": "real", "tag": None, "repository": "acme/real"}
    path.write_bytes(to_json(seal(replace(saved, git=real))))
    build = {**CI, "GITHUB_SHA": "c" * 40, "GITHUB_REF_NAME": "real", "GITHUB_REPOSITORY": "acme/real"}
    assert "the plan is for" in stale(stage.apply("plan.json", **build))
    assert stage.sent() == []


def test_another_job_applies_the_plan_of_an_earlier_one(stage: Stage) -> None:
    stage.commit(stage.certyn("smoke"))
    assert stage.run("plan", "--out", "plan.json", **CI).code == 0
    ended = stage.apply("plan.json", **{**CI, "GITHUB_RUN_ID": "2", "GITHUB_EVENT_NAME": "workflow_run"})
    assert ended.code == 0, ended
    assert stage.creates("certyn")[0]["body"]["externalUrl"].endswith("/runs/1")


def test_a_commit_that_nothing_was_made_of_does_not_matter(stage: Stage) -> None:
    stage.commit(stage.doksi("login"))
    assert stage.run("plan", "--out", "plan.json", **CI).code == 0
    ended = stage.apply("plan.json", **{**CI, "GITHUB_SHA": "b" * 40, "GITHUB_REF_NAME": "other"})
    assert ended.code == 0, ended
    assert stage.report()["git"]["sha"] == "b" * 40
    stage.commit(stage.doksi("login", **{"if": "{{ git.branch == 'main' }}"}))
    assert stage.run("plan", "--out", "plan.json", **CI).code == 0
    assert "git.branch is other, the plan is for main" in stale(
        stage.run("apply", "plan.json", **{**CI, "GITHUB_REF_NAME": "other"})
    )


def test_a_plan_names_no_manifest_elsewhere(saved: Stage) -> None:
    path = saved.folder / "plan.json"
    made = from_json(path.read_bytes(), path=path)
    assert made.sources is not None
    for name in ("../qa-matrix.yml", "/qa-matrix.yml"):
        path.write_bytes(to_json(seal(made, sources=replace(made.sources, manifest=name))))
        ended = saved.apply("plan.json")
        assert ended.code == 2, ended
        assert "names a manifest outside of its repository" in ended.err


def test_every_difference_is_named_at_once(saved: Stage) -> None:
    apk(saved, "two")
    message = stale(saved.apply("plan.json", STAGING_URL="https://other.example"))
    assert "STAGING_URL differs" in message
    assert "build/app.apk has other content" in message


def made_by(saved: Stage, tool: str) -> None:
    """The plan as another version would have made it, with other words for people."""
    path = saved.folder / "plan.json"
    code = f"""
import msgspec, pathlib
from qarunner.plan.model import from_json, seal, to_json
path = pathlib.Path({str(path)!r})
plan = from_json(path.read_bytes(), path=path)
path.write_bytes(to_json(seal(msgspec.structs.replace(plan, tool={tool!r}, notices=("other words",)))))
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_plan_of_an_earlier_version_is_applied_if_the_same_is_sent(saved: Stage) -> None:
    made_by(saved, "0.0.1")
    assert saved.apply("plan.json").code == 0


def test_a_plan_of_an_earlier_version_is_stale_if_anything_else_is_sent(saved: Stage) -> None:
    made_by(saved, "0.0.1")
    apk(saved, "two")
    reasons = stale(saved.apply("plan.json"))
    assert "made by qarunner 0.0.1, this is " in reasons
    assert "build/app.apk has other content" in reasons


def test_a_plan_of_a_later_version_is_refused_with_that_version(saved: Stage) -> None:
    made_by(saved, "99.1.0")
    ended = saved.apply("plan.json")
    assert ended.code == 2
    assert "plan.json: qarunner 99.1.0 made this plan" in ended.err
    assert saved.paid() == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("staging.example", "evil.example"), "was changed after qarunner wrote it"),
        (lambda text: text.replace('"timeout_s": 1800', '"timeout_s": 1801'), "was changed after qarunner wrote it"),
        (lambda text: text[: len(text) // 2], "not a plan of qarunner"),
    ],
)
def test_a_plan_that_somebody_edited_is_refused(saved: Stage, change: Callable[[str], str], message: str) -> None:
    edit("plan.json", change)(saved)
    ended = saved.apply("plan.json")
    assert ended.code == 2, ended
    assert message in ended.err
    assert saved.sent() == []


def test_the_choices_are_the_plans(saved: Stage) -> None:
    assert saved.run("plan", "--out", "plan.json", "--select", "login", "--var", "LOCALE=de").code == 0
    ended = saved.apply("plan.json")
    assert ended.code == 0, ended
    assert set(saved.verdicts()) == {"login"}
    assert "https://staging.example/de" in json.dumps(saved.creates("doksi"))
    wrong = saved.apply("plan.json", "--select", "token", "--var", "LOCALE=en")
    assert wrong.code == 2, wrong
    assert "--select, --var cannot change it" in wrong.err


def test_a_secret_that_was_given_on_the_command_line_is_not_kept(saved: Stage) -> None:
    made = saved.run("plan", "--out", "plan.json", "--var", f"TOKEN={SECRET}", TOKEN=None)
    assert made.code == 0, made
    assert SECRET not in (saved.folder / "plan.json").read_text(encoding="utf-8")
    assert "TOKEN is not set" in stale(saved.apply("plan.json", TOKEN=None))
    assert saved.apply("plan.json", "--var", f"TOKEN={SECRET}", TOKEN=None).code == 0


def test_it_holds_in_another_folder_and_in_a_fresh_clone(saved: Stage, tmp_path: Path) -> None:
    (saved.folder / "below").mkdir()
    folder, saved.folder = saved.folder, saved.folder / "below"
    ended = saved.run("apply", "../plan.json", "--poll-interval", "20ms", "--run-id", "r1")
    assert ended.code == 0, ended
    saved.folder = folder
    clone = tmp_path / "clone"
    git(saved, "clone", "-q", str(folder), str(clone))
    (clone / "plan.json").write_bytes((folder / "plan.json").read_bytes())
    saved.folder = clone
    git(saved, "remote", "remove", "origin")
    again = saved.apply("plan.json", "--run-id", "r2")
    assert again.code == 0, again


def test_the_build_of_the_plan_is_told_and_not_the_applys(saved: Stage) -> None:
    job = {"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "acme/shop"}
    first, second = ({**job, "GITHUB_RUN_ID": number} for number in ("1", "2"))
    assert saved.run("plan", "--out", "plan.json", **first).code == 0
    ended = saved.apply("plan.json", **second)
    assert ended.code == 0, ended
    assert saved.report()["ci"]["url"] == "https://github.com/acme/shop/actions/runs/1"


def test_plan_looks_whether_a_plan_still_holds(saved: Stage) -> None:
    ended = saved.run("plan", "plan.json")
    assert ended.code == 0, ended
    assert "login" in ended.out
    assert saved.run("plan", "plan.json", QARUNNER_VAR_LOCALE="de").code == 5


def test_a_rehearsal_of_a_saved_plan(saved: Stage) -> None:
    (saved.folder / "fast.yml").write_text("speed: 50")
    ended = saved.apply("plan.json", "--rehearse", "--scenario", "fast.yml")
    assert ended.code == 0, ended
    assert saved.sent() == []


def test_a_manifest_in_json_is_a_manifest(stage: Stage) -> None:
    stage.commit(stage.doksi("login"), name="matrix.json")
    assert stage.apply("matrix.json").code == 0


def test_a_fragment_that_changes_makes_it_stale(saved: Stage) -> None:
    (saved.folder / "qa").mkdir()
    fragment = saved.folder / "qa/one.yml"
    fragment.write_text(json.dumps({"matrix": [saved.doksi("more")]}))
    matrix(saved, include=["qa/*.yml"], profiles={"few": {"select": ["more"], "vars": {"a": 2}}})  # type: ignore[arg-type]
    assert saved.run("plan", "--out", "plan.json", "--profile", "few").code == 0
    fragment.write_text(json.dumps({"matrix": [saved.doksi("more", "t2")]}))
    assert stale(saved.apply("plan.json")) == "qa/one.yml changed: 1 row changed (more)"
    fragment.write_text(json.dumps({"matrix": [saved.doksi("more")]}))
    assert saved.apply("plan.json").code == 0
    assert set(saved.verdicts()) == {"more"}
