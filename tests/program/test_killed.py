"""Processes that are lost at any moment: nothing is paid twice, and no result goes missing."""

from __future__ import annotations

import random
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.amount import FULL, some

if TYPE_CHECKING:
    from tests.program.conftest import AtOnce, Begin, Ended, Stage

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills processes as POSIX does")

ENTRIES = {"login": ["t1"], "search": ["cat_search-1", "cat_search-2", "cat_search-3"], "smoke": ["smoke"]}
"""What each entry is paid for; they are three runs of their own."""
LINES = 18
"""A whole journal of these entries has at least so many lines."""
EACH = 5
"""After how many of them a process is killed, where not all of them are wanted."""


def set_up(begin: Begin, **scenario: object) -> Stage:
    stage = begin(speed=20, **scenario)
    stage.hasty()
    stage.commit(stage.doksi("login", "t1"), stage.doksi("search", category_ids=["cat_search"]), stage.certyn("smoke"))
    return stage


def kill_after(stage: Stage, lines: int, *words: str) -> None:
    """Starts the program, and kills it when the journal has so many more lines, or when it has ended."""
    before = len(stage.lines())
    process = stage.start_apply() if not words else stage.start(*words, "--poll-interval", "20ms")
    stage.until(lambda: len(stage.lines()) >= before + lines or process.process.poll() is not None)
    process.kill()


def paid_at_most_once(stage: Stage) -> None:
    paid = stage.paid()
    for entry, tests in ENTRIES.items():
        assert paid.count(tests) <= 1, f"{entry} was paid {paid.count(tests)} times"
    assert len(paid) <= len(ENTRIES)


def sorted_out(stage: Stage, ended: Ended) -> None:
    """All is well, or it is said which create is in doubt; then a person decides, and all is well."""
    paid_at_most_once(stage)
    if ended.code == 8:
        doubted = {event["job"]: event for event in stage.events("Uncertain")}
        assert doubted
        assert "certyn-1" not in doubted
        for job in doubted:
            assert f"qarunner resume r1 --resubmit {job}" in ended.out
            assert f"qarunner resume r1 --drop {job}" in ended.out
        entry_of = {"doksi-1": "login", "doksi-2": "search"}
        missing = [job for job in doubted if ENTRIES[entry_of[job]] not in stage.paid()]
        dropped = [job for job in doubted if job not in missing]
        words = [*(f"--resubmit={job}" for job in missing), *(f"--drop={job}" for job in dropped)]
        ended = stage.resume("r1", *words)
        expected = dict.fromkeys(ENTRIES, "passed") | {entry_of[job]: "unknown" for job in dropped}
        assert stage.verdicts() == expected, ended
        assert ended.code == (8 if dropped else 0), ended
    else:
        assert ended.code == 0, ended
        assert stage.verdicts() == dict.fromkeys(ENTRIES, "passed")
    assert sorted(stage.paid()) == sorted(ENTRIES.values())


def test_an_apply_that_is_killed_after_any_line_is_resumed(begin: Begin, at_once: AtOnce) -> None:
    def check(lines: int) -> None:
        stage = set_up(begin)
        kill_after(stage, lines)
        sorted_out(stage, stage.resume())

    at_once(some(range(1, LINES + 1), EACH), check)


def test_a_resume_that_is_killed_is_resumed_again(begin: Begin, at_once: AtOnce) -> None:
    def check(lines: int) -> None:
        stage = set_up(begin)
        kill_after(stage, lines)
        for more in (1, 3):
            kill_after(stage, more, "resume", "r1")
        sorted_out(stage, stage.resume())

    at_once((4, 8, 12), check)


def test_an_apply_that_is_killed_at_any_time_is_resumed(begin: Begin, at_once: AtOnce) -> None:
    """Not after a line, but whenever it happens: between a request and its line, or in the middle of one."""
    moments = random.Random(7)  # noqa: S311  a test's dice

    def check(seconds: float) -> None:
        stage = set_up(begin)
        process = stage.start_apply()
        stage.until((stage.run_folder() / "plan.json").exists)
        time.sleep(seconds)
        process.kill()
        sorted_out(stage, stage.resume())

    at_once([moments.uniform(0.0, 0.25) for _ in range(6 if FULL else 3)], check)


def test_a_doksi_create_in_flight_is_uncertain_and_a_certyn_create_is_not(begin: Begin) -> None:
    slow = {"call": 1, "delay": "1000s"}
    stage = set_up(
        begin,
        doksi={"faults": [{"on": "POST /runs", **slow}]},
        certyn={"faults": [{"on": "POST /api/ci/runs", **slow}]},
    )
    process = stage.start_apply()
    stage.until(lambda: len(stage.paid()) == 3 and stage.events("Accepted"))
    process.kill()
    ended = stage.resume()
    assert ended.code == 8, ended
    assert sorted(stage.verdicts().values()) == ["passed", "passed", "unknown"]
    assert stage.verdicts()["smoke"] == "passed"
    sorted_out(stage, ended)


def test_a_person_decides_by_job_or_entry_also_before_a_resume_has_found_out(begin: Begin, at_once: AtOnce) -> None:
    def check(case: tuple[str, bool]) -> None:
        word, found_out = case
        stage = begin(doksi={"faults": [{"on": "POST /runs", "call": 1, "delay": "1000s"}]})
        stage.commit(stage.doksi("login", "t1"))
        process = stage.start_apply()
        stage.until(stage.paid)
        process.kill()
        if found_out:
            assert stage.resume().code == 8
        ended = stage.resume("--drop", word)
        assert ended.code == 8, ended
        assert ended.last == "qarunner: exit 8: 1 unknown; rerun: qarunner apply --rerun-failed r1"
        assert "--resubmit" not in ended.out
        assert "before the vendor's answer was written down" in stage.reason("login")
        assert stage.paid() == [["t1"]]

    at_once([("doksi-1", False), ("login", False), ("login", True)], check)


def test_a_torn_last_line_is_cut_off(begin: Begin) -> None:
    stage = begin()
    stage.commit(stage.doksi("login"))
    assert stage.apply().code == 0
    path = stage.run_folder() / "journal.jsonl"
    whole = path.read_bytes()
    for cut in (5, len(whole.splitlines()[-1]) + 20):
        path.write_bytes(whole[:-cut])
        ended = stage.resume()
        assert ended.code == 0, ended
    assert stage.paid() == [["login"]]
