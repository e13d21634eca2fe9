"""`apply --run-id ID --continue`: a pipeline's job that is repeated, whole or killed, pays nothing twice."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.program.conftest import AtOnce, Begin, Ended, Stage

SLOW = {"default": {"duration": "30s"}}
HANG = {"default": "hang"}


def job(stage: Stage, *words: str, **variables: str | None) -> Ended:
    return stage.apply("--continue", *words, **variables)


def test_a_green_run_is_told_again(stage: Stage) -> None:
    stage.commit(stage.doksi("login"), stage.certyn("smoke"))
    first = job(stage, "--report", "json=first.json")
    again = job(stage, "--report", "json=again.json")
    assert (first.code, again.code) == (0, 0), again
    assert len(stage.paid()) == 2
    assert json.loads((stage.folder / "again.json").read_text()) == json.loads(
        (stage.folder / "first.json").read_text()
    )


def test_of_a_red_run_only_what_did_not_pass_runs_again(begin: Begin) -> None:
    stage = begin(doksi={"tests": {"t2": ["failed", "passed"]}})
    other = stage.doksi("other", account="a1")
    stage.commit(stage.doksi("login", "t1", "t2"), other, stage.certyn("smoke", needs=["login"]))
    first = job(stage)
    assert first.code == 1, first
    assert stage.verdicts() == {"login": "failed", "other": "passed", "smoke": "skipped"}
    before = stage.paid()
    again = job(stage, "--report", "junit=qa.xml")
    assert again.code == 0, again
    assert stage.verdicts() == {"login": "flaky", "other": "passed", "smoke": "passed"}
    assert sorted(stage.paid()) == sorted([*before, ["t2"], ["smoke"]])
    assert 'failures="0" errors="0"' in (stage.folder / "qa.xml").read_text()
    assert job(stage).code == 0
    assert len(stage.paid()) == len(before) + 2


def test_what_failed_again_can_be_tried_again(begin: Begin) -> None:
    stage = begin(doksi={"tests": {"login": "failed"}})
    stage.commit(stage.doksi("login"))
    for number in (1, 2, 3):
        assert job(stage).code == 1
        assert len(stage.paid()) == number
    (entry,) = stage.report()["entries"]
    assert [run["attempt"] for run in entry["runs"]] == [1, 2, 3]


def test_a_create_that_was_refused_is_sent_again_as_it_was(begin: Begin) -> None:
    stage = begin(doksi={"faults": [{"on": "POST /runs", "call": 1, "status": 422}]})
    stage.commit(stage.doksi("login"))
    assert job(stage).code == 8
    again = job(stage)
    assert again.code == 0, again
    assert stage.verdicts() == {"login": "passed"}
    assert len(stage.paid()) == 1


@pytest.mark.parametrize("when", ["Submitting", "Accepted", "Polled"])
def test_a_job_that_was_killed_goes_on(begin: Begin, when: str) -> None:
    stage = begin(doksi={"default": {"duration": "20s"}}, certyn={"default": {"duration": "20s"}})
    stage.commit(stage.certyn("smoke"), stage.certyn("search", needs=["smoke"]))
    process = stage.start_apply("--continue")
    stage.until(lambda: stage.events(when))
    process.kill()
    ended = job(stage)
    assert ended.code == 0, ended
    assert sorted(stage.paid()) == [["search"], ["smoke"]]


def test_what_is_uncertain_stays_a_person_s_matter(begin: Begin) -> None:
    stage = begin(doksi={"faults": [{"on": "POST /runs", "call": 1, "drop": "after"}]})
    stage.commit(stage.doksi("login"))
    for _ in range(2):
        ended = job(stage)
        assert ended.code == 8, ended
        assert "qarunner resume r1 --resubmit doksi-1" in ended.out
    assert len(stage.creates("doksi")) == 1
    assert stage.resume("r1", "--drop", "login").code == 8
    assert job(stage).code == 8  # whoever dropped it knows of a run
    assert len(stage.creates("doksi")) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no signals there")
def test_what_an_interrupted_job_cancelled_runs_again(begin: Begin) -> None:
    stage = begin(certyn={"processes": {"smoke": ["hang", "completed"]}})
    stage.commit(stage.certyn("smoke"))
    process = stage.start_apply("--continue")
    stage.until(lambda: stage.events("Polled"))
    assert process.signal(signal.SIGINT).code == 130
    ended = job(stage)
    assert ended.code == 0, ended
    assert stage.verdicts() == {"smoke": "passed"}  # what was cancelled has shown nothing
    assert len(stage.paid()) == 2


def test_what_was_cancelled_by_a_reaper_runs_again(begin: Begin) -> None:
    stage = begin(certyn=HANG, doksi=SLOW)
    stage.commit(stage.certyn("smoke"), stage.certyn("search", needs=["smoke"]))
    process = stage.start_apply("--continue")
    stage.until(lambda: stage.events("Polled"))
    process.kill()
    assert stage.run("cancel", "r1").code == 0
    assert stage.verdicts() == {"smoke": "cancelled", "search": "cancelled"}
    ended = stage.start("apply", "--run-id", "r1", "--continue", "--poll-interval", "20ms", "--timeout", "2s").end()
    assert ended.code == 7, ended
    assert sorted(stage.paid()) == [["smoke"], ["smoke"]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--select", "login"), "1 row went (smoke)"),
        (("--var", "LOCALE=de"), "LOCALE differs"),
        ((), "qa-matrix.yml changed"),
    ],
)
def test_a_run_of_another_plan_is_not_continued(stage: Stage, words: tuple[str, ...], message: str) -> None:
    entries = stage.doksi("login", url="https://shop.example/{{ env.LOCALE }}"), stage.certyn("smoke")
    env = {"LOCALE": {"default": "en"}}
    stage.commit(*entries, env=env)
    assert job(stage).code == 0
    if not words:
        stage.commit(*entries, env=env, gate={"min_tests": 2})
    sent = stage.sent()
    ended = job(stage, *words)
    assert ended.code == 2, ended
    assert "run r1 has another plan, and is not continued: " in ended.err
    assert message in ended.err
    assert stage.sent() == sent


def test_a_run_of_another_commit_is_not_continued(stage: Stage) -> None:
    stage.commit(stage.doksi("login"))
    ci = {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "acme/shop", "GITHUB_REF_NAME": "main"}
    assert job(stage, **ci, GITHUB_SHA="a" * 40).code == 0
    ended = job(stage, **ci, GITHUB_SHA="b" * 40)
    assert ended.code == 2, ended
    assert "git.sha is bbbbbbbbbbbb, the plan is for aaaaaaaaaaaa" in ended.err
    assert len(stage.paid()) == 1


def test_another_job_of_the_same_pipeline_has_another_url(stage: Stage) -> None:
    """GitLab gives a job that is repeated a new id, and Certyn is told the URL: it is the same plan nevertheless."""
    stage.commit(stage.certyn("smoke"))
    ci = {"GITLAB_CI": "true", "CI_COMMIT_SHA": "a" * 40, "CI_COMMIT_BRANCH": "main", "CI_PROJECT_PATH": "acme/shop"}
    assert job(stage, **ci, CI_JOB_URL="https://gitlab.example/1").code == 0
    again = job(stage, **ci, CI_JOB_URL="https://gitlab.example/2")
    assert again.code == 0, again
    assert len(stage.paid()) == 1


def test_without_the_option_an_id_is_taken_once(stage: Stage) -> None:
    stage.commit(stage.doksi("login"))
    assert stage.apply().code == 0
    ended = stage.apply()
    assert ended.code == 2, ended
    assert "there is a run of this id already" in ended.err
    assert "--continue" in ended.err
    ended = stage.run("apply", "--continue")
    assert ended.code == 2, ended
    assert "--continue goes with --run-id" in ended.err


def test_a_rehearsal_is_rehearsed_again_and_no_run_is_taken_for_the_other_kind(stage: Stage) -> None:
    stage.commit(stage.doksi("login"))
    (stage.folder / "fast.yml").write_text("speed: 50")
    for _ in range(2):
        ended = job(stage, "--rehearse", "--scenario", "fast.yml")
        assert ended.code == 0, ended
    assert job(stage).code == 2
    assert stage.sent() == []
    shutil.rmtree(stage.run_folder())
    assert job(stage).code == 0
    ended = job(stage, "--rehearse")
    assert ended.code == 2, ended
    assert "run r1 was no rehearsal, and this is one" in ended.err


def test_a_secret_of_the_command_line_goes_along(begin: Begin) -> None:
    stage = begin(doksi={"tests": {"login": ["failed", "passed"]}})
    url = "https://shop.example/{{ env.TOKEN }}"
    stage.commit(stage.doksi("login", url=url), env={"TOKEN": {"secret": True}})
    words = ("--var", "TOKEN=tttttttt", "--allow-secret", "TOKEN@shop.example")
    assert job(stage, *words).code == 1
    ended = job(stage, *words)
    assert ended.code == 0, ended
    assert len(stage.paid()) == 2
    assert "tttttttt" not in ended.text


# --- jobs that follow a detached apply, and are repeated --------------------------------------------------------------


CI = {"GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "7", "GITHUB_JOB": "qa"}


def detached(begin: Begin, **doksi: object) -> Stage:
    stage = begin(doksi={"default": {"duration": "5s"}, **doksi})
    stage.commit(stage.doksi("a", retries={"failed": 1}), stage.doksi("b", needs=["a"]))
    assert stage.apply("--detach", **CI, GITHUB_RUN_ATTEMPT="1").code == 0
    shutil.copytree(stage.folder / ".qarunner", stage.folder / "artifact")
    return stage


def repeated(stage: Stage, *words: str, attempt: str = "2", **variables: str) -> Ended:
    """The job runs again, with the folder as the first job left it."""
    shutil.rmtree(stage.folder / ".qarunner")
    shutil.copytree(stage.folder / "artifact", stage.folder / ".qarunner")
    return stage.resume("r1", *words, **{**CI, "GITHUB_RUN_ATTEMPT": attempt, **variables})


def a_repeated_job_creates_nothing(begin: Begin) -> None:
    stage = detached(begin)
    assert stage.resume("r1", **CI, GITHUB_RUN_ATTEMPT="1").code == 0
    assert sorted(stage.paid()) == [["a"], ["b"]]
    ended = repeated(stage)
    assert ended.code == 8, ended
    assert "doksi-2 may or may not have started a run" in ended.out
    assert "an earlier attempt of this CI job may have started it" in ended.out
    assert "qarunner resume r1 --resubmit doksi-2" in ended.out
    assert stage.verdicts() == {"a": "passed", "b": "unknown"}
    assert sorted(stage.paid()) == [["a"], ["b"]]
    assert stage.resume("r1", **CI, GITHUB_RUN_ATTEMPT="3").code == 8
    assert sorted(stage.paid()) == [["a"], ["b"]]
    assert stage.resume("r1", "--drop", "b").code == 8


def a_person_says_that_there_is_none(begin: Begin) -> None:
    stage = detached(begin)
    ended = repeated(stage, "--resubmit", "b")
    assert ended.code == 0, ended
    assert sorted(stage.paid()) == [["a"], ["b"]]


def a_repeated_job_gives_no_second_attempt(begin: Begin) -> None:
    stage = detached(begin, tests={"a": "failed"})
    assert repeated(stage).code == 1
    assert stage.paid() == [["a"]]


def a_job_of_a_whole_repetition_is_no_repetition(begin: Begin) -> None:
    stage = begin(doksi={"default": {"duration": "5s"}})
    stage.commit(stage.doksi("a"), stage.doksi("b", needs=["a"]))
    assert stage.apply("--detach", **CI, GITHUB_RUN_ATTEMPT="2").code == 0
    ended = stage.resume("r1", **CI, GITHUB_RUN_ATTEMPT="2")
    assert ended.code == 0, ended


def a_folder_that_came_back_is_gone_on_with(begin: Begin) -> None:
    stage = begin(doksi={"default": {"duration": "30s"}})
    stage.commit(stage.doksi("a"), stage.doksi("b", needs=["a"]))
    assert stage.apply("--detach", **CI, GITHUB_RUN_ATTEMPT="1").code == 0
    process = stage.start("resume", "r1", "--poll-interval", "20ms", **CI, GITHUB_RUN_ATTEMPT="1")
    stage.until(lambda: stage.events("Resumed"))
    process.kill()
    ended = stage.resume("r1", **CI, GITHUB_RUN_ATTEMPT="2")
    assert ended.code == 0, ended
    assert sorted(stage.paid()) == [["a"], ["b"]]


def a_later_pipeline_is_repeated_as_well(begin: Begin) -> None:
    stage = detached(begin)
    assert repeated(stage, attempt="1", GITHUB_RUN_ID="8").code == 0
    assert repeated(stage, attempt="2", GITHUB_RUN_ID="8").code == 8
    assert sorted(stage.paid()) == [["a"], ["b"]]


def an_apply_that_continues_is_as_careful(begin: Begin) -> None:
    stage = detached(begin)
    ended = job(stage, **CI, GITHUB_RUN_ATTEMPT="2")
    assert ended.code == 8, ended
    assert stage.paid() == [["a"]]


def a_run_that_another_job_could_not_begin(begin: Begin) -> None:
    stage = begin(doksi={"faults": [{"on": "POST /runs", "call": 1, "status": 401}]})
    stage.commit(stage.doksi("a"))
    assert stage.apply(**{**CI, "GITHUB_JOB": "start"}, GITHUB_RUN_ATTEMPT="1").code == 4
    shutil.copytree(stage.folder / ".qarunner", stage.folder / "artifact")
    assert stage.resume("r1", **CI, GITHUB_RUN_ATTEMPT="1").code == 0
    ended = repeated(stage)
    assert ended.code == 8, ended
    assert stage.paid() == [["a"]]


def attempts_of_a_job_follow_one_another(begin: Begin) -> None:
    """What attempt 1 left is whole for attempt 2. Attempt 3 does not know what attempt 2 did."""
    for attempt, code in (("2", 0), ("3", 8)):
        stage = begin(doksi={"faults": [{"on": "POST /runs", "call": 1, "status": 401}]})
        stage.commit(stage.doksi("a"))
        assert stage.apply(**CI, GITHUB_RUN_ATTEMPT="1").code == 4
        assert stage.resume("r1", **CI, GITHUB_RUN_ATTEMPT=attempt).code == code


def a_job_whose_folder_is_gone_says_so(begin: Begin) -> None:
    stage = begin()
    stage.commit(stage.doksi("a"))
    for attempt in ("1", "2"):
        ended = job(stage, **CI, GITHUB_RUN_ATTEMPT=attempt)
        assert ended.code == 0, ended
        assert ("attempt 2 of this CI job, and no run r1 is in" in ended.err) is (attempt == "2")
        shutil.rmtree(stage.folder / ".qarunner")


def test_jobs_that_are_repeated(begin: Begin, at_once: AtOnce) -> None:
    situations = [
        a_repeated_job_creates_nothing,
        a_person_says_that_there_is_none,
        a_repeated_job_gives_no_second_attempt,
        a_job_of_a_whole_repetition_is_no_repetition,
        a_folder_that_came_back_is_gone_on_with,
        a_later_pipeline_is_repeated_as_well,
        an_apply_that_continues_is_as_careful,
        a_run_that_another_job_could_not_begin,
        attempts_of_a_job_follow_one_another,
        a_job_whose_folder_is_gone_says_so,
    ]
    at_once(situations, lambda situation: situation(begin))
