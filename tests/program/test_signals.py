"""Ctrl-C and a CI system's SIGTERM: what can be cancelled is, what cannot is named, and a resume goes on."""

from __future__ import annotations

import os
import re
import select
import signal
import sys
import time
from typing import IO, TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.program.conftest import AtOnce, Begin, Stage, Started

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends signals as POSIX does")

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
FOR_EVER = "10h"


def under_way(stage: Stage, runs: int = 2, *arguments: str) -> Started:
    """An apply whose runs were all accepted, and are asked for."""
    process = stage.start_apply(*arguments)
    stage.until(lambda: len(stage.events("Accepted")) >= runs and len(stage.events("Polled")) >= runs)
    return process


def accepted_alone(stage: Stage, runs: int, *arguments: str) -> Started:
    """An apply that does not learn of its runs' ends, however slow this machine is: it asks once in hours."""
    process = stage.start_apply("--poll-interval", FOR_EVER, *arguments)
    stage.until(lambda: len(stage.events("Accepted")) >= runs)
    return process


def what_can_be_cancelled_is_and_what_runs_on_is_named(begin: Begin) -> None:
    for number, code in CODES.items():
        stage = begin(doksi={"default": "hang"}, certyn={"default": "hang"})
        stage.commit(stage.doksi("login"), stage.certyn("smoke"))
        ended = under_way(stage).signal(number)
        assert ended.code == code, ended
        # What certyn counted before the signal counts.
        assert re.match(rf"qarunner: exit {code}: [1-9] cancelled", ended.last), ended
        (cancel,) = stage.sent("certyn", "POST", "/cancel")
        assert stage.run_of("certyn-1") in cancel["path"]
        assert f"still running at doksi: run {stage.run_of('doksi-1')} of login" in ended.out
        assert "still running at certyn" not in ended.out
        assert "qarunner resume r1" in ended.out


def after_a_cancel_a_resume_waits_for_what_ran_on_alone(begin: Begin) -> None:
    stage = begin(certyn={"default": "hang"}, doksi={"default": {"duration": "30s"}})
    stage.commit(stage.doksi("login"), stage.certyn("smoke"))
    assert under_way(stage).signal(signal.SIGINT).code == 130
    ended = stage.resume()
    assert ended.code == 8, ended
    assert stage.verdicts() == {"login": "passed", "smoke": "cancelled"}
    assert len(stage.paid()) == 2


def detached_runs_are_left_alone_and_finished_by_a_resume(begin: Begin) -> None:
    slow = {"duration": "30s"}
    stage = begin(certyn={"default": slow}, doksi={"default": slow})
    stage.commit(stage.doksi("login"), stage.certyn("smoke"))
    ended = accepted_alone(stage, 2, "--on-interrupt", "detach").signal(signal.SIGTERM)
    assert ended.code == 143, ended
    assert "still running at doksi" in ended.out
    assert "still running at certyn" in ended.out
    assert stage.sent("certyn", "POST", "/cancel") == []
    resumed = stage.resume()
    assert resumed.code == 0, resumed
    assert len(stage.paid()) == 2


def what_was_not_started_yet_is_started_by_a_resume(begin: Begin) -> None:
    stage = begin(doksi={"default": {"duration": "30s"}})
    stage.commit(
        *(stage.doksi(f"as-{number}", "t1", account=f"a{number}") for number in range(3)),
        vendors={"doksi": {"max_in_flight": 1}},
    )
    ended = accepted_alone(stage, 1).signal(signal.SIGINT)
    assert ended.code == 130, ended
    assert len(stage.paid()) == 1
    resumed = stage.resume()
    assert resumed.code == 0, resumed
    assert len(stage.paid()) == 3


def a_run_that_is_accepted_after_the_signal_is_cancelled_too(begin: Begin) -> None:
    stage = begin(certyn={"default": "hang", "faults": [{"on": "POST /api/ci/runs", "delay": "30s"}]})
    stage.commit(stage.certyn("smoke"))
    process = stage.start_apply()
    stage.until(stage.paid)
    ended = process.signal(signal.SIGINT)
    assert ended.code == 130, ended
    assert len(stage.sent("certyn", "POST", "/cancel")) == 1
    assert "still running" not in ended.out


def a_group_is_cancelled_at_once_and_what_was_over_keeps_its_result(begin: Begin) -> None:
    group, quick, slow = (f"{number}2222222-2222-4222-8222-222222222222" for number in "123")
    tests = {quick: {"outcome": "passed", "duration": "0s"}, slow: "hang"}
    stage = begin(testerarmy={"tests": tests, "groups": {group: [quick, slow]}})
    stage.commit({"id": "army", "vendor": "testerarmy", "category_ids": [group]})
    process = stage.start_apply("--poll-interval", "10h")
    stage.until(lambda: stage.events("Accepted"))
    ended = process.signal(signal.SIGTERM)
    assert ended.code == 143, ended
    assert [request["path"].split("/")[1] for request in stage.sent("testerarmy", "POST", "/cancel")] == ["batches"]
    assert "still running" not in ended.out
    assert sorted(test["verdict"] for test in stage.report()["entries"][0]["tests"]) == ["cancelled", "passed"]


def stuck(begin: Begin, gives_up_after_s: float) -> tuple[Stage, Started]:
    """An apply whose vendors have started runs, but do not answer any more."""
    cancel = {"on": "POST /api/ci/runs/{runId}/cancel", "delay": FOR_EVER}
    stage = begin(
        doksi={"faults": [{"on": "POST /runs", "delay": FOR_EVER}]}, certyn={"default": "hang", "faults": [cancel]}
    )
    stage.customise(f"from qarunner.engine.flow import driver\ndriver.INTERRUPT_S = {gives_up_after_s}\n")
    stage.commit(stage.doksi("login"), stage.certyn("smoke"))
    process = stage.start_apply()
    stage.until(lambda: len(stage.paid()) == 2 and stage.events("Polled"))
    return stage, process


def vendors_that_hang_do_not_hold_it_up(begin: Begin) -> None:
    stage, process = stuck(begin, gives_up_after_s=0.5)
    ended = process.signal(signal.SIGTERM)
    assert ended.code == 143, ended
    assert f"still running at certyn: run {stage.run_of('certyn-1')} of smoke" in ended.out
    assert "doksi-1 may or may not have started a run" in ended.out
    assert "qarunner resume r1 --resubmit doksi-1" in ended.out
    assert "qarunner resume r1 --drop doksi-1" in ended.out
    assert len(stage.paid()) == 2


def a_second_signal_is_heeded_at_once(begin: Begin) -> None:
    stage, process = stuck(begin, gives_up_after_s=36_000)
    process.process.send_signal(signal.SIGINT)
    stage.until(lambda: stage.events("Interrupted"))
    time.sleep(1.1)  # two within a second are one
    ended = process.signal(signal.SIGINT)
    assert ended.code == 130, ended
    assert ended.last == "qarunner: exit 130: ended at once by SIGINT"
    assert f"still running at certyn: run {stage.run_of('certyn-1')} of smoke" in ended.out
    assert "uncertain: doksi-1 may or may not have started a run" in ended.out
    assert "to go on: qarunner resume r1" in ended.out
    assert stage.run("report").code == 0


def two_signals_within_a_second_are_one(begin: Begin) -> None:
    for second in (signal.SIGINT, signal.SIGTERM):
        stage = begin(certyn={"default": "hang"})
        stage.commit(stage.certyn("smoke"))
        process = under_way(stage, 1)
        process.process.send_signal(signal.SIGINT)
        ended = process.signal(second)
        assert ended.code == 130, ended
        assert len(stage.sent("certyn", "POST", "/cancel")) == 1


def a_closed_terminal_is_a_termination(begin: Begin) -> None:
    stage = begin(certyn={"default": "hang"})
    stage.commit(stage.certyn("smoke"))
    ended = under_way(stage, 1).signal(signal.SIGHUP)
    assert ended.code == 129, ended
    assert len(stage.sent("certyn", "POST", "/cancel")) == 1
    assert stage.report()["exit_code"] == 129


def a_closed_terminal_is_ignored_where_it_was_before(begin: Begin) -> None:
    """As `nohup` has it."""
    stage = begin(certyn={"default": {"duration": "30s"}})
    stage.customise("import signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n")
    stage.commit(stage.certyn("smoke"))
    ended = under_way(stage, 1).signal(signal.SIGHUP)
    assert ended.code == 0, ended


def a_quit_ends_at_once_and_names_what_runs(begin: Begin) -> None:
    stage = begin(certyn={"default": "hang"})
    stage.commit(stage.certyn("smoke"))
    ended = under_way(stage, 1).signal(signal.SIGQUIT)
    assert ended.code == 131, ended
    assert f"still running at certyn: run {stage.run_of('certyn-1')} of smoke" in ended.out
    assert "to go on: qarunner resume r1" in ended.out
    assert stage.sent("certyn", "POST", "/cancel") == []


EARLY = """
import os, signal, sys
class Trap:
    def find_spec(self, name, *_):
        if name == os.environ.get("EARLY_AT", "qarunner.cli.main"):
            sys.meta_path.remove(self)
            os.kill(os.getpid(), getattr(signal, os.environ["EARLY"]))
sys.meta_path.insert(0, Trap())
"""
"""A signal that comes while the program imports what it needs."""


def an_early_signal_leaves_no_traceback(begin: Begin) -> None:
    program, handlers = "qarunner.cli.main", "qarunner.signals"
    cases = (("SIGINT", 130, program), ("SIGTERM", 143, program), ("SIGHUP", 129, program), ("SIGINT", 130, handlers))
    for name, code, at in cases:
        stage = begin()
        stage.customise(EARLY)
        stage.commit(stage.certyn("smoke"))
        ended = stage.fresh("apply", EARLY=name, EARLY_AT=at).end()
        assert ended.code == code, ended
        assert "Traceback" not in ended.text
        assert ended.err == "qarunner: interrupted\n"
        assert stage.sent() == []


def an_early_signal_to_a_resume_cancels_what_runs(begin: Begin) -> None:
    stage = begin(certyn={"default": "hang"})
    stage.commit(stage.certyn("smoke"))
    assert under_way(stage, 1, "--on-interrupt", "detach").signal(signal.SIGTERM).code == 143
    stage.customise(EARLY)
    ended = stage.fresh("resume", EARLY="SIGTERM").end()
    assert ended.code == 143, ended
    assert len(stage.sent("certyn", "POST", "/cancel")) == 1


def a_signal_while_reports_are_written_costs_none(begin: Begin) -> None:
    stage = begin()
    stage.customise(
        "import os, signal, qarunner.app.reports as reports\n"
        "write = reports.write\n"
        "def interrupted(*words, **more):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    return write(*words, **more)\n"
        "reports.write = interrupted\n"
    )
    stage.commit(stage.certyn("smoke"))
    ended = stage.apply("--report", "junit=qa.xml")
    assert ended.code == 0, ended
    assert (stage.folder / "qa.xml").exists()


def streams_that_are_not_read_do_not_hold_it_up(begin: Begin) -> None:
    for lost in ("stderr", "stdout", "both"):
        stage, process, unread = unread_apply(begin, lost)
        with unread:
            ended = process.signal(signal.SIGTERM)
        assert ended.code == 143, ended
        assert len(stage.sent("certyn", "POST", "/cancel")) == 1
        if lost != "both":
            assert "qarunner: exit 143: " in ended.text.splitlines()[-1], ended
            assert f"run {stage.run_of('doksi-1')} of login" in ended.text, ended


def a_quit_ends_at_once_where_nothing_is_read(begin: Begin) -> None:
    _, process, unread = unread_apply(begin, "both")
    with unread:
        assert process.signal(signal.SIGQUIT).code == 131


def a_report_that_nobody_reads_does_not_outlast_a_signal(begin: Begin) -> None:
    stage = begin()
    stage.commit(stage.doksi("login"))
    os.mkfifo(stage.folder / "pipe")
    process = stage.start_apply("--report", "junit=pipe")
    stage.until(lambda: bool(stage.events("EntryClosed")))
    ended = process.signal(signal.SIGTERM)
    assert ended.code in {74, 143}, ended  # 143 where it came before the report was begun
    assert "pipe that nobody reads" in ended.err, ended
    process = stage.start_apply("--run-id", "r2", GITHUB_STEP_SUMMARY=str(stage.folder / "pipe"), GITHUB_ACTIONS="true")
    stage.until(lambda: bool(stage.events("RunFinished", "r2")))
    ended = process.signal(signal.SIGTERM)
    assert ended.code == 0, ended
    assert "pipe that nobody reads" in ended.err, ended


def unread_apply(begin: Begin, lost: str) -> tuple[Stage, Started, IO[bytes]]:
    """An apply under way that writes into a full pipe, and what keeps that pipe open."""
    stage = begin(doksi={"default": "hang"}, certyn={"default": "hang"})
    stage.commit(stage.doksi("login"), stage.certyn("smoke"))
    unread, end = os.pipe()
    with os.fdopen(end, "w") as pipe:
        out, err = (None if stream == lost else pipe for stream in ("stderr", "stdout"))
        process = stage.start_into(out, err, "apply", "--run-id", "r1", "--poll-interval", "20ms")
        stage.until(lambda: len(stage.events("Accepted")) == 2 and len(stage.events("Polled")) >= 2)
        while select.select((), (end,), (), 0)[1]:
            os.write(end, b"-" * 512)
    return stage, process, os.fdopen(unread, "rb")


def a_signal_before_anything_was_sent(begin: Begin) -> None:
    stage = begin()
    stage.customise(
        "import os, signal, qarunner.app.planning as planning\n"
        "planning.read_build = lambda *_, **__: os.kill(os.getpid(), signal.SIGINT)\n"
    )
    stage.commit(stage.doksi("login"))
    ended = stage.apply()
    assert ended.code == 130, ended
    assert "Traceback" not in ended.text
    assert stage.sent() == []


def test_an_apply_is_interrupted(begin: Begin, at_once: AtOnce) -> None:
    """All of it at once: most of the time is spent in waiting for vendors that hang."""
    situations = [
        vendors_that_hang_do_not_hold_it_up,
        what_can_be_cancelled_is_and_what_runs_on_is_named,
        after_a_cancel_a_resume_waits_for_what_ran_on_alone,
        detached_runs_are_left_alone_and_finished_by_a_resume,
        what_was_not_started_yet_is_started_by_a_resume,
        a_run_that_is_accepted_after_the_signal_is_cancelled_too,
        a_second_signal_is_heeded_at_once,
        two_signals_within_a_second_are_one,
        a_closed_terminal_is_a_termination,
        a_closed_terminal_is_ignored_where_it_was_before,
        a_quit_ends_at_once_and_names_what_runs,
        an_early_signal_leaves_no_traceback,
        an_early_signal_to_a_resume_cancels_what_runs,
        a_signal_while_reports_are_written_costs_none,
        a_group_is_cancelled_at_once_and_what_was_over_keeps_its_result,
        streams_that_are_not_read_do_not_hold_it_up,
        a_quit_ends_at_once_where_nothing_is_read,
        a_report_that_nobody_reads_does_not_outlast_a_signal,
        a_signal_before_anything_was_sent,
    ]
    at_once(situations, lambda situation: situation(begin))
