"""Runs without a process: detached, looked at, cancelled, gone on with, also from a copy of their folder."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from qarunner.engine.io.journal import Journal, read
from qarunner.engine.state.events import RunStarted

if TYPE_CHECKING:
    from pathlib import Path

    from tests.program.conftest import AtOnce, Begin, Ended, Stage

SLOW = {"default": {"duration": "30s"}}
HANG = {"default": "hang"}


def both(begin: Begin, **scenario: object) -> Stage:
    """A run at a vendor that can cancel, and one at a vendor that cannot."""
    stage = begin(**{"doksi": SLOW, "certyn": SLOW, **scenario})
    stage.commit(stage.doksi("login"), stage.certyn("smoke"))
    return stage


def status(stage: Stage, *words: str) -> dict[str, object]:
    ended = stage.run("status", "--output", "json", *words, DOKSI_API_KEY=None, CERTYN_API_KEY=None)
    assert ended.code == 0, ended
    document: dict[str, object] = json.loads(ended.out)
    return document


def listed(stage: Stage) -> dict[str, str]:
    ended = stage.run("runs", "--output", "json")
    assert ended.code == 0, ended
    return {run["id"]: run["state"] for run in json.loads(ended.out)["runs"]}


def copied(stage: Stage, to: Path) -> None:
    """The runs as they arrive on another machine: without what the first one keeps open."""
    shutil.copytree(stage.folder / ".qarunner", to / ".qarunner")


def a_detached_apply_is_no_verdict_and_a_resume_waits(begin: Begin) -> None:
    stage = both(begin)
    ended = stage.apply("--detach", "--report", "junit=qa.xml")
    assert ended.code == 0, ended
    assert ended.last == ("qarunner: exit 0: detached, which is no verdict: 2 runs go on; to wait: qarunner resume r1")
    assert "there is nothing to report yet" in ended.err
    assert not (stage.folder / "qa.xml").exists()
    assert len(stage.events("Accepted")) == 2
    assert status(stage)["state"] == "detached"
    assert stage.run("report").code == 0
    resumed = stage.resume("--report", "junit=qa.xml")
    assert resumed.code == 0, resumed
    assert (stage.folder / "qa.xml").exists()
    assert listed(stage) == {"r1": "finished"}
    assert len(stage.paid()) == 2


def a_detached_apply_tells_what_was_not_started(begin: Begin) -> None:
    stage = both(begin, certyn={"faults": [{"on": "POST /api/ci/runs", "status": 401}], **SLOW})
    ended = stage.apply("--detach")
    assert ended.code == 4, ended
    assert "1 run goes on; 1 entry could not be started" in ended.last
    assert stage.resume().code == 4


def what_needs_another_entry_waits_for_the_resume(begin: Begin) -> None:
    stage = begin(doksi=SLOW)
    stage.commit(stage.certyn("smoke", needs=["login"]), stage.doksi("login"))
    ended = stage.apply("--detach")
    assert ended.code == 0, ended
    assert "1 run goes on; 1 entry waits for what it needs, and the resume begins it" in ended.last
    assert "smoke  certyn  waits for login" in stage.run("status").out
    assert len(stage.paid()) == 1
    resumed = stage.resume()
    assert resumed.code == 0, resumed
    assert len(stage.paid()) == 2


def what_is_detached_is_cancelled_from_a_copy_of_its_folder(begin: Begin) -> None:
    stage = both(begin, doksi=HANG, certyn=HANG)
    assert stage.apply("--detach").code == 0
    other = stage.folder / "elsewhere"
    copied(stage, other)
    ended = stage.run("cancel", "--runs-dir", "elsewhere/.qarunner/runs")
    assert ended.code == 0, ended
    assert ended.last == "qarunner: exit 0: 1 run cancelled; 1 run goes on at doksi, which cannot cancel"
    assert len(stage.sent("certyn", "POST", "/cancel")) == 1
    assert f"still running at doksi: run {stage.run_of('doksi-1')} of login" in ended.out
    again = stage.run("cancel", "--runs-dir=elsewhere/.qarunner/runs", DOKSI_API_KEY=None, CERTYN_API_KEY=None)
    assert again.code == 0, again
    assert again.last == "qarunner: exit 0: nothing to cancel; 1 run goes on at doksi, which cannot cancel"
    assert len(stage.sent("certyn", "POST", "/cancel")) == 1
    resumed = stage.run("resume", "--runs-dir=elsewhere/.qarunner/runs", DOKSI_API_KEY=None, CERTYN_API_KEY=None)
    assert resumed.code == 8, resumed
    assert resumed.last.startswith("qarunner: exit 8: 2 cancelled; nothing was verified: no key is set")
    assert len(stage.paid()) == 2
    refused = stage.run("resume", "--runs-dir=elsewhere/.qarunner/runs", "--resubmit", "login")
    assert refused.code == 2, refused
    assert "the run was cancelled" in refused.err


def a_cancel_that_fails_says_how(begin: Begin) -> None:
    for fault, code in (({"status": 403}, 4), ({"status": 422}, 8), ({"status": 503}, 75), ({"drop": "before"}, 75)):
        stage = both(
            begin, doksi=SLOW, certyn={**HANG, "faults": [{"on": "POST /api/ci/runs/{runId}/cancel", **fault}]}
        )
        assert stage.apply("--detach").code == 0
        ended = stage.run("cancel")
        assert ended.code == code, ended
        assert "1 run not: the vendor would not, or did not answer" in ended.last


def a_cancel_starts_nothing_that_waited(begin: Begin) -> None:
    stage = begin(doksi=HANG)
    stage.commit(
        *(stage.doksi(f"as-{number}", "t1", account=f"a{number}") for number in range(3)),
        vendors={"doksi": {"max_in_flight": 1}},
    )
    process = stage.start_apply()
    stage.until(lambda: stage.events("Polled"))
    process.kill()
    assert listed(stage) == {"r1": "interrupted"}
    ended = stage.run("cancel")
    assert ended.code == 0, ended
    assert len(stage.paid()) == 1
    assert set(stage.verdicts().values()) == {"cancelled"}
    assert stage.resume().code == 8
    assert len(stage.paid()) == 1


def a_certyn_create_in_doubt_is_found_and_cancelled(begin: Begin) -> None:
    stage = begin(certyn={**HANG, "faults": [{"on": "POST /api/ci/runs", "call": 1, "delay": "1000s"}]})
    stage.commit(stage.certyn("smoke"))
    process = stage.start_apply()
    stage.until(stage.paid)
    process.kill()
    ended = stage.run("cancel")
    assert ended.code == 0, ended
    assert ended.last == "qarunner: exit 0: 1 run cancelled"
    assert len(stage.paid()) == 1
    assert len(stage.sent("certyn", "POST", "/cancel")) == 1


def a_run_that_another_process_drives_is_shown_and_left_alone(begin: Begin) -> None:
    stage = both(begin, doksi=HANG, certyn=HANG)
    process = stage.start_apply()
    stage.until(lambda: len(stage.events("Polled")) >= 2)
    answer = status(stage, "r1")
    assert answer["state"] == "running"
    assert answer["verdict"] is None
    assert listed(stage) == {"r1": "running"}
    assert "another process is at work on it" in stage.run("status").out
    for command in ("cancel", "resume"):
        ended = stage.run(command)
        assert ended.code == 2, ended
        assert "another qarunner is at work on this run" in ended.err
    if sys.platform != "win32":
        assert process.signal(signal.SIGINT).code == 130
        assert listed(stage) == {"r1": "interrupted"}


def a_fail_fast_ends_the_rest(begin: Begin) -> None:
    stage = begin(doksi={"tests": {"login": "failed"}}, certyn=HANG)
    stage.commit(stage.doksi("login"), stage.certyn("smoke"))
    ended = stage.apply("--fail-fast")
    assert ended.code == 1, ended
    assert stage.verdicts() == {"login": "failed", "smoke": "cancelled"}
    assert stage.reason("smoke") == "cancelled by --fail-fast, since login failed"
    assert len(stage.sent("certyn", "POST", "/cancel")) == 1


def failed_tests_run_again_alone(begin: Begin) -> None:
    stage = begin(doksi={"tests": {"t2": ["failed", "passed"]}})
    stage.commit(stage.doksi("login", "t1", "t2", retries={"failed": 1}))
    ended = stage.apply("--report", "junit=qa.xml")
    assert ended.code == 0, ended
    assert ended.last == "qarunner: exit 0: 1 flaky, 1 passed"
    assert stage.paid() == [["t1", "t2"], ["t2"]]
    (entry,) = stage.report()["entries"]
    assert [run["attempt"] for run in entry["runs"]] == [1, 2]
    assert 'tests="2" failures="0"' in (stage.folder / "qa.xml").read_text()


def hints_lead_back_to_the_run(begin: Begin) -> None:
    stage = begin(doksi=SLOW)
    stage.commit(stage.doksi("login", url="https://shop.example/{{ env.TOKEN }}"), env={"TOKEN": {"secret": True}})
    (stage.folder / "a b.env").write_text("TOKEN=tttttttt\n", encoding="utf-8")
    words = ("--runs-dir=all runs", "--env-file=a b.env", "--allow-secret=TOKEN@shop.example")
    ended = stage.apply("--detach", *words)
    assert ended.code == 0, ended
    told = "qarunner resume r1 '--runs-dir=all runs' '--env-file=a b.env' --allow-secret=TOKEN@shop.example"
    assert ended.last.endswith(f"to wait: {told}")
    assert "tttttttt" not in ended.text
    resumed = stage.resume("r1", *words)
    assert resumed.code == 0, resumed


def test_runs_without_a_process(begin: Begin, at_once: AtOnce) -> None:
    situations = [
        a_detached_apply_is_no_verdict_and_a_resume_waits,
        a_detached_apply_tells_what_was_not_started,
        what_needs_another_entry_waits_for_the_resume,
        what_is_detached_is_cancelled_from_a_copy_of_its_folder,
        a_cancel_that_fails_says_how,
        a_cancel_starts_nothing_that_waited,
        a_certyn_create_in_doubt_is_found_and_cancelled,
        a_run_that_another_process_drives_is_shown_and_left_alone,
        a_fail_fast_ends_the_rest,
        failed_tests_run_again_alone,
        hints_lead_back_to_the_run,
    ]
    at_once(situations, lambda situation: situation(begin))


@pytest.fixture
def kept(stage: Stage) -> Stage:
    """A stage with a run that has passed."""
    stage.commit(stage.doksi("login"))
    assert stage.apply().code == 0
    return stage


def runs(stage: Stage, *words: str) -> Ended:
    ended = stage.run("runs", *words)
    assert ended.code == 0, ended
    return ended


def test_a_folder_that_is_no_run_of_ours_hides_no_other(kept: Stage) -> None:
    home = kept.folder / ".qarunner" / "runs"
    plan = (home / "r1" / "plan.json").read_bytes()
    for name, text, journal in (
        ("torn", plan[:50], b""),
        ("foreign", b'{"version": 9}', b""),
        ("altered", plan.replace(b"login", b"logon"), b""),
        (
            "strange",
            plan,
            b'{"event":"RunStarted","at":1,"version":7,"run_id":"x","digest":"","tool":"9","endpoints":{}}\n',
        ),
        ("liar", plan, (home / "r1" / "journal.jsonl").read_bytes().replace(b"doksi-1", b"doksi-7")),
    ):
        (home / name).mkdir()
        (home / name / "plan.json").write_bytes(text)
        (home / name / "journal.jsonl").write_bytes(journal)
    (home / "empty").mkdir()
    (home / "file").write_text("x", encoding="utf-8")
    ended = runs(kept)
    assert [line.split()[0] for line in ended.out.splitlines()] == ["RUN", "r1"]
    assert ended.err.count("qarunner: warning:") == 5
    rows = json.loads(runs(kept, "--output", "json").out)["runs"]
    assert [run["state"] for run in rows] == ["finished", *["unreadable"] * 5]
    for name in ("torn", "foreign", "altered", "strange", "liar"):
        ended = kept.run("status", name)
        assert ended.code == 2, ended
        assert "Traceback" not in ended.err


def test_the_newest_runs_are_shown_and_old_finished_ones_are_removed(kept: Stage) -> None:
    home = kept.folder / ".qarunner" / "runs"
    plan, (first, *others) = (home / "r1" / "plan.json").read_bytes(), read(home / "r1").events
    assert isinstance(first, RunStarted)
    for number in range(23):
        begun = structs.replace(first, at=first.at + number - 1, run_id=f"n{number}")
        with Journal.create(home / begun.run_id, plan, begun) as journal:
            for event in others if number else ():
                journal.append(event)
    assert len(runs(kept).out.splitlines()) == 21
    assert "4 older runs not shown: qarunner runs --all" in runs(kept).err
    assert [row.split()[0] for row in runs(kept, "--limit", "2").out.splitlines()] == ["RUN", "n22", "n21"]
    assert json.loads(runs(kept, "--limit", "3", "--output", "json").out)["older"] == 21
    assert len(runs(kept, "--all").out.splitlines()) == 25
    assert "there are: n22, n21, n20, n19, n18, and 19 more" in kept.run("status", "nosuch").err
    gone = [f"removed {name}" for name in (*(f"n{number}" for number in reversed(range(2, 21))), "r1", "n1")]
    assert sorted(runs(kept, "--prune", "--keep", "2").out.splitlines()) == sorted(gone)
    assert sorted(each.name for each in home.iterdir() if not each.name.startswith(".")) == ["n0", "n21", "n22"]
    for words in (["--prune"], ["--keep", "3"], ["--all", "--limit", "3"]):
        assert kept.run("runs", *words).code == 2


def test_runs_and_status_of_nothing(stage: Stage) -> None:
    assert runs(stage).out == ""
    ended = stage.run("status")
    assert ended.code == 2, ended
    ended = stage.run("status", "nobody")
    assert ended.code == 2, ended
    ended = stage.run("cancel", "nobody")
    assert ended.code == 2, ended
    assert "no run nobody" in ended.err
