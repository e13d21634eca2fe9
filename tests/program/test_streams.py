"""Streams that are closed or full: a result that cannot be written is never green, and no log changes an exit code."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from tests.program.conftest import PROGRAM

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.program.conftest import Begin, Stage

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")

APPLY = "apply --poll-interval 20ms"
CRASH = """
from qarunner.cli.commands import validate
def crash(*_):
    print("a result")
    raise ValueError("oops")
validate.validate = crash
"""


@pytest.fixture
def full() -> Iterator[IO[str]]:
    with Path("/dev/full").open("w", encoding="utf-8") as device:
        yield device


def test_a_stdout_that_is_full_is_an_error_and_never_green(stage: Stage, full: IO[str]) -> None:
    stage.commit(stage.doksi("login"))
    for command in ("--version", "--help", "validate", "plan", "schema", "vendors", APPLY):
        ended = stage.into(full, None, *command.split())
        assert ended.code == (74 if command == APPLY else 2), ended
        assert "stdout: cannot be written: " in ended.err, ended
        assert "bug" not in ended.err, ended
        assert command != APPLY or ended.err.splitlines()[-1] == "qarunner: exit 74: 1 passed; stdout cannot be written"


def test_what_goes_on_is_named_where_stdout_is_full(begin: Begin, full: IO[str]) -> None:
    for form in ("text", "json"):
        stage = begin(doksi={"default": "hang"})
        stage.commit(stage.doksi("login"))
        for command in ("apply --detach --run-id r1", "cancel r1"):
            ended = stage.into(full, None, *command.split(), "--output", form)
            assert ended.code == 74, ended
            assert "qarunner: exit 74: " in ended.err.splitlines()[-1], ended
            assert f"still running at doksi: run {stage.run_of('doksi-1')} of login" in ended.err, ended
            assert "qarunner resume r1" in ended.err, ended


WAYS_OUT = {
    "--bogus": 2,
    "": 2,
    "validate": 0,
    "validate --bogus": 2,
    "validate bad.yml": 2,
    "validate nowhere.yml": 2,
    "plan": 0,
    "plan --verbose": 0,
    "apply --bogus": 2,
    "apply bad.yml": 2,
    APPLY: 1,
    "status": 0,
    "report": 0,
    "resume nothing": 2,
    "emulator --speed fast": 2,
}


def stage_of_ways(begin: Begin) -> Stage:
    stage = begin(doksi={"tests": {"login": "failed"}})
    stage.commit(stage.doksi("login", timeout="soon"), name="bad.yml")
    stage.commit(stage.doksi("login"))
    return stage


def test_a_stderr_that_is_full_changes_no_exit_code(begin: Begin, full: IO[str]) -> None:
    stage = stage_of_ways(begin)
    for words, code in WAYS_OUT.items():
        ended = stage.into(None, full, *words.split())
        assert ended.code == code, (words, ended)
        assert not words.startswith("apply") or ended.last.startswith(f"qarunner: exit {code}: "), (words, ended)


def test_both_full_end_with_the_code_of_the_command_and_never_green(begin: Begin, full: IO[str]) -> None:
    stage = stage_of_ways(begin)
    for words, code in WAYS_OUT.items():
        assert stage.into(full, full, *words.split()).code == (code or 2), words


def test_a_bug_ends_with_9_wherever_the_streams_lead(stage: Stage, full: IO[str]) -> None:
    stage.customise(CRASH)
    for streams in ((None, None), (full, None), (None, full), (full, full)):
        ended = stage.into(*streams, "validate")
        assert ended.code == 9, ended
    assert "ValueError: oops" in (stage.folder / ".qarunner" / "crash.txt").read_text(encoding="utf-8")


@pytest.mark.skipif(sys.platform == "win32", reason="a shell closes the streams")
@pytest.mark.parametrize(("words", "code"), [("--bogus", 2), ("validate", 9)])
def test_streams_that_the_caller_closed_change_no_exit_code(stage: Stage, words: str, code: int) -> None:
    stage.customise(CRASH)
    for closed in ("2>&-", ">&- 2>&-"):
        line = f"{shlex.quote(str(PROGRAM))} {words} {closed}"
        done = subprocess.run(["sh", "-c", line], cwd=stage.folder, env=stage.environ, check=False)
        assert done.returncode == code
