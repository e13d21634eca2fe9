"""Processes that are lost between attempts, and before what waits for them: no attempt is paid twice."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.amount import some
from tests.program.test_killed import EACH, kill_after

if TYPE_CHECKING:
    from tests.program.conftest import AtOnce, Begin, Ended, Stage

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills processes as POSIX does")

PAID = [["smoke"], ["t1", "t2"], ["t2"]]
"""The whole entry, its failed test alone, and the entry that needs it."""


def set_up(begin: Begin) -> Stage:
    stage = begin(speed=20, doksi={"tests": {"t2": ["failed", "passed"]}})
    stage.hasty()
    stage.commit(stage.certyn("smoke", needs=["login"]), stage.doksi("login", "t1", "t2", retries={"failed": 1}))
    return stage


def decided(stage: Stage, ended: Ended) -> Ended:
    """Answers what a person is asked, by what the vendor has."""
    while stage.report()["uncertain"]:
        (job,) = stage.report()["uncertain"]
        there = (["t2"] if "~" in job else ["t1", "t2"]) in stage.paid()
        ended = stage.resume("r1", "--drop" if there else "--resubmit", job)
        if there:
            break
    return ended


def test_an_attempt_is_paid_once_wherever_the_process_is_lost(begin: Begin, at_once: AtOnce) -> None:
    def check(lines: int) -> None:
        stage = set_up(begin)
        kill_after(stage, lines)
        ended = decided(stage, stage.resume())
        paid = sorted(stage.paid())
        assert all(paid.count(tests) == 1 for tests in paid), paid
        assert all(tests in PAID for tests in paid), paid
        if "unknown" in str(stage.verdicts()) or "dropped" in ended.out or ended.code == 1:
            return  # a create that was in doubt was there, and was left to itself
        assert ended.code == 0, ended
        assert stage.verdicts() == {"smoke": "passed", "login": "flaky"}
        assert paid == PAID

    at_once(some(range(1, 20), EACH), check)
