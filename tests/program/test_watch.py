"""`qarunner watch`: a run that another process drives is looked on at to its end, and nothing is sent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.program.conftest import Begin

SIGNAL = """
import os, signal, time, types
from qarunner.cli.commands import watch
end = lambda _: os.kill(os.getpid(), signal.SIGTERM)
watch.time = types.SimpleNamespace(time=time.time, monotonic=time.monotonic, sleep=end)
"""
"""SIGTERM comes while it waits."""


def test_it_ends_with_the_run_and_its_exit_code(begin: Begin) -> None:
    stage = begin(doksi={"default": {"duration": "20s"}, "tests": {"pay": "failed"}})
    stage.commit(stage.doksi("login"), stage.doksi("pay"), stage.doksi("later", needs=["login"]))
    apply = stage.start_apply()
    stage.until(lambda: stage.events("Accepted"))
    watch = stage.start("watch", "r1")
    ended, applied = watch.end(), apply.end()
    assert (ended.code, applied.code) == (1, 1), (ended, applied)
    assert "✗ pay: failed" in ended.err
    assert ended.last == applied.last
    sent = len(stage.sent())
    again = stage.run("watch")
    assert (again.code, again.last) == (1, applied.last), again
    assert json.loads(stage.run("watch", "--output", "json").out)["verdict"] == "failed"
    assert len(stage.sent()) == sent


def test_whoever_looks_on_can_leave(begin: Begin) -> None:
    stage = begin(doksi={"default": {"duration": "1000s"}})
    stage.commit(stage.doksi("login"))
    apply = stage.start_apply()
    stage.until(lambda: stage.events("Polled"))
    stage.customise(SIGNAL)
    ended = stage.run("watch", "r1")
    assert ended.code == 143, ended
    assert ended.last == "qarunner: exit 143: interrupted"
    assert apply.process.poll() is None
    apply.kill()
    lost = stage.run("watch", "r1")  # it never waits
    assert lost.code == 8, lost
    assert lost.last.endswith("no process is at work on it; to go on: qarunner resume r1")


def test_a_run_that_nobody_can_verify_is_no_pass(begin: Begin) -> None:
    stage = begin()
    stage.commit(stage.doksi("login"))
    assert stage.apply().code == 0
    assert stage.run("watch", "r1").code == 0
    unsealed = stage.run("watch", "r1", DOKSI_API_KEY=None)
    assert unsealed.code == 8, unsealed
    assert "no key is set that the run could have been sealed with" in unsealed.last
    folder = stage.run_folder()
    journal = folder / "journal.jsonl"
    text = journal.read_text(encoding="utf-8").replace('"exit_code":0', '"exit_code":1')
    journal.write_text(text, encoding="utf-8")
    assert stage.run("watch", "r1").code == 2
    detached = stage.apply("--detach", "--run-id", "r2")
    assert detached.code == 0, detached
    assert stage.run("watch", "r2").code == 8
