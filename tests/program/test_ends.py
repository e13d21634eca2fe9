"""One end has one code: the process, its last line, the journal, the reports and `runs` say the same."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.program.conftest import Begin, Ended, Stage

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is full")


def codes(stage: Stage, ended: Ended) -> set[int]:
    """Every code that is told of the end of run r1."""
    last = next(line for line in reversed(ended.text.splitlines()) if line.startswith("qarunner: exit "))
    numbers = {ended.code, int(last.split()[2].removesuffix(":"))}
    numbers |= {stage.events("RunFinished")[-1]["exit_code"], stage.report()["exit_code"]}
    (listed,) = json.loads(stage.run("runs", "--output", "json").out)["runs"]
    return numbers | {listed["exit_code"]}


@pytest.fixture
def full() -> Iterator[IO[str]]:
    with Path("/dev/full").open("w", encoding="utf-8") as device:
        yield device


def test_a_green_apply_whose_report_cannot_be_written_ends_with_74(stage: Stage) -> None:
    stage.commit(stage.doksi("login"))
    ended = stage.apply("--report", "junit=/dev/full", "--report", "junit=qa.xml", "--report", "json=qa.json")
    assert codes(stage, ended) == {74}
    assert ended.last == "qarunner: exit 74: 1 passed; 1 report not written"
    assert "--report junit=/dev/full: cannot be written: No space left on device" in ended.err
    assert json.loads((stage.folder / "qa.json").read_text())["exit_code"] == 74
    assert "not written: --report junit=/dev/full" in (stage.folder / "qa.xml").read_text()  # it is red there, too
    watched = stage.run("watch", "r1")
    assert (watched.code, watched.last) == (74, "qarunner: exit 74: 1 passed"), "as it was told by those who drove it"
    again = stage.resume("r1")
    assert codes(stage, again) == {0}


def test_a_joined_report_that_cannot_be_written_hides_no_gate(begin: Begin) -> None:
    stage = begin(doksi={"tests": {"login": ["passed", "failed"]}})
    stage.commit(stage.doksi("login"))
    for run, gate, code in (("r1", 0, 74), ("r2", 1, 1)):
        assert stage.run("apply", "--run-id", run, "--poll-interval", "20ms").code == gate
        assert stage.run("report", "--merge", run, "--out", "/dev/full").code == code


def test_a_red_apply_stays_red(begin: Begin) -> None:
    stage = begin(doksi={"tests": {"login": "failed"}})
    stage.commit(stage.doksi("login"))
    ended = stage.apply("--report", "junit=/dev/full")
    assert codes(stage, ended) == {1}


@pytest.mark.parametrize("words", [[], ["-q"], ["--output", "json"]])
def test_a_stdout_that_is_full_is_told_everywhere(stage: Stage, full: IO[str], words: list[str]) -> None:
    stage.commit(stage.doksi("login"))
    ended = stage.into(full, None, "apply", "--run-id", "r1", "--poll-interval", "20ms", *words)
    assert codes(stage, ended) == {74}


def test_what_is_no_report_is_a_warning(stage: Stage) -> None:
    stage.commit(stage.doksi("login"))
    ended = stage.apply(GITHUB_STEP_SUMMARY="/dev/full")
    assert codes(stage, ended) == {0}
    assert "qarunner: warning: GITHUB_STEP_SUMMARY=/dev/full: cannot be written" in ended.err


def test_a_reader_that_goes_away_changes_nothing(stage: Stage) -> None:
    stage.commit(stage.doksi("login"))
    process = stage.start_apply()
    assert process.process.stdout is not None
    process.process.stdout.close()
    assert process.process.wait(60) == 0
    assert stage.events("RunFinished")[-1]["exit_code"] == 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB, for the runs alone."""
    mount = tmp_path / "disk"
    mount.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)], check=False)
    if done.returncode != 0:
        pytest.skip("nothing can be mounted here")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


def test_a_full_disk_costs_no_report_on_another_one_and_is_said_once(begin: Begin, disk: Path) -> None:
    stage = begin(doksi={"default": {"duration": "10h"}})
    tests = [f"test-{number}" for number in range(60)]  # more of them than fit into what is left of a page
    stage.commit(stage.doksi("login", *tests))
    process = stage.start_apply("--runs-dir", str(disk), "--report", "json=qa.json", "--report", "junit=qa.xml")
    journal = disk / "r1" / "journal.jsonl"
    stage.until(lambda: journal.exists() and b"Polled" in journal.read_bytes())
    with (disk / "filler").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        file.writelines(itertools.repeat(b"x" * 512))
    stage.let_pass(36_000)
    ended = process.end()
    assert ended.code == 8, ended
    assert ended.text.count("journal.jsonl: cannot be written: No space left on device") == 1
    assert "hint: make room, then go on: qarunner resume r1" in ended.err
    assert "the journal could not be written" in ended.last
    assert json.loads((stage.folder / "qa.json").read_text())["exit_code"] == 8
    assert "the journal could not be written" in (stage.folder / "qa.xml").read_text()
    (disk / "filler").unlink()
    resumed = stage.resume("r1", "--runs-dir", str(disk))
    assert resumed.code == 0, resumed
    assert len(stage.paid()) == 1


@pytest.mark.parametrize("room", [0, 400])
def test_a_full_disk_keeps_nobody_from_cancelling(begin: Begin, room: int) -> None:
    """`cancel` ended at the first line that it could not write, and the paid runs went on."""
    stage = begin(certyn={"default": "hang"}, doksi={"default": "hang"})
    stage.commit(stage.certyn("smoke"), stage.doksi("login"))
    assert stage.apply("--detach").code == 0
    size = (stage.run_folder() / "journal.jsonl").stat().st_size + room
    limit = f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))\n"
    stage.customise(limit)
    ended = stage.run("cancel", "r1")
    assert ended.code == 8, ended
    assert ended.text.count("journal.jsonl: cannot be written") == 1
    assert "hint: make room, then do it again: qarunner cancel r1" in ended.err
    assert "still running at doksi" in ended.out
    assert "1 run cancelled; 1 run goes on at doksi, which cannot cancel; the journal could not" in ended.last
    assert stage.sent("certyn", "POST", "/cancel")
    resumed = stage.resume()
    assert resumed.code == 8, resumed
    assert "make room, then go on: qarunner resume r1" in resumed.text
    del stage.environ["PYTHONPATH"]
    assert stage.run("cancel", "r1").code == 0


def test_a_disk_that_can_only_be_read_keeps_nobody_from_cancelling(begin: Begin, disk: Path) -> None:
    stage = begin(certyn={"default": "hang"})
    stage.commit(stage.certyn("smoke"))
    assert stage.apply("--detach", "--runs-dir", str(disk)).code == 0
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    ended = stage.run("cancel", "r1", "--runs-dir", str(disk))
    assert ended.code == 8, ended
    assert "1 run cancelled" in ended.last
    assert ended.err.count("journal.jsonl: cannot be written: Read-only file system") == 1
    assert "hint: make the folder writable for this user, or copy the runs folder elsewhere" in ended.err
    assert "then do it again: qarunner cancel r1" in ended.err
    assert "make room" not in ended.text
    assert stage.sent("certyn", "POST", "/cancel")
    for words in (("resume", "r1"), ("apply", "--run-id", "r1", "--continue"), ("apply", "--run-id", "r2")):
        ended = stage.run(*words, "--runs-dir", str(disk))
        assert ended.code == 2, ended
        assert "Read-only file system" in ended.err
        assert "--runs-dir" in ended.err
        assert "make room" not in ended.text


SLOW_REPORTS = r"""
import os
from qarunner.app import reports
rendered = reports._rendered
def slow(*words):
    os.write(1, b"a report is made\n")
    return rendered(*words)
reports._rendered = slow
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no signals there")
def test_what_goes_on_is_told_before_reports_are_made(begin: Begin) -> None:
    stage = begin(doksi={"default": "hang"})
    stage.commit(stage.doksi("login"))
    stage.customise(SLOW_REPORTS)
    process = stage.start_apply("--report", "html=qa.html")
    stage.until(lambda: stage.events("Polled"))
    ended = process.signal(signal.SIGINT)
    assert ended.code == 130, ended
    assert ended.out.index("to go on: qarunner resume r1") < ended.out.index("a report is made")
    assert "still running at doksi" in ended.out


def test_a_run_whose_folder_is_taken_away_asks_for_it_back(begin: Begin) -> None:
    stage = begin(doksi={"default": {"duration": "10h"}})
    stage.commit(stage.doksi("login"))
    process = stage.start_apply()
    stage.until(lambda: any(b"Accepted" in line for line in stage.lines()))
    stage.run_folder().rename(stage.folder / "elsewhere")
    stage.let_pass(36_000)
    ended = process.end()
    assert ended.code == 8, ended
    assert "hint: put the run's folder back as it was, then go on: qarunner resume r1" in ended.err
    assert "make room" not in ended.text
