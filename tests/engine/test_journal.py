"""A run's folder under every accident: torn lines, full disks, foreign files, two processes."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec
import pytest

from qarunner.engine.io import journal as locks
from qarunner.engine.io.journal import JOURNAL, LOCK, PLAN, Journal, newest, read, write_whole
from qarunner.engine.state import events as ev
from qarunner.errors import ExitCode, JournalLost, RunFolderError
from qarunner.plan.model import to_json
from tests.fictional import VENDORS, Backend, entry, plan_of
from tests.worlds import Story

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

STORY = Story(plan_of(entry("a", "plain"), entry("b", "keyed")), VENDORS, Backend()).drive()
PLAN_JSON = to_json(STORY.run.plan)
NOT_UTF8 = b'{"event":"Polled","at":1.0,"run":"\xff\xfe","job":"plain-1","note":""}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run that came to its end."""
    folder = tmp_path / "runs" / "r1"
    with Journal.create(folder, PLAN_JSON) as journal:
        for event in STORY.events:
            journal.append(event)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != LOCK}


def refusal(folder: Path) -> RunFolderError:
    """Why a run is not gone on with; nothing may have changed, and the lock must be free again."""
    before = contents(folder)
    with pytest.raises(RunFolderError) as caught:
        Journal.reopen(folder)
    assert contents(folder) == before
    with pytest.raises(RunFolderError) as again:
        Journal.reopen(folder)
    assert again.value.message == caught.value.message
    return caught.value


def test_what_was_appended_is_read_back(folder: Path) -> None:
    assert read(folder) == (STORY.events, (folder / JOURNAL).stat().st_size)
    assert (folder / PLAN).read_bytes() == PLAN_JSON


def test_a_last_line_that_is_torn_at_any_byte_is_cut_off(folder: Path) -> None:
    last = ev.EntryClosed(at=1.0, entry="b", outcome=STORY.run.closed["b"])
    line = ev.to_line(msgspec.structs.replace(last, entry="ü😀"))
    whole = (folder / JOURNAL).read_bytes()
    for cut in range(len(line)):
        (folder / JOURNAL).write_bytes(whole + line[:cut])
        assert read(folder) == (STORY.events, len(whole)), cut
        journal, events = Journal.reopen(folder)
        with journal:
            assert events == STORY.events
            assert (folder / JOURNAL).read_bytes() == whole
            journal.append(last)
        assert read(folder)[0] == [*STORY.events, last]


def test_a_block_of_zeros_that_a_crash_left_is_cut_off(folder: Path) -> None:
    whole = (folder / JOURNAL).read_bytes()
    for rest in (b"\0" * 512, b"\0" * 511 + b"\n", b'{"event":"Polled","at":\n', NOT_UTF8 + b"\n"):
        (folder / JOURNAL).write_bytes(whole + rest)
        with Journal.reopen(folder)[0]:
            assert (folder / JOURNAL).read_bytes() == whole


@pytest.mark.parametrize("bad", [b"{", b"", b"null", b'{"event":"Sang","at":1}', b'{"event":"Resumed"}', NOT_UTF8])
def test_a_bad_line_in_the_middle_is_an_error_with_its_number(folder: Path, bad: bytes) -> None:
    lines = (folder / JOURNAL).read_bytes().splitlines(keepends=True)
    (folder / JOURNAL).write_bytes(b"".join([*lines[:2], bad + b"\n", *lines[2:]]))
    error = refusal(folder)
    assert error.message.startswith(f"{folder / JOURNAL}:3: not an event of this qarunner: ")


def test_a_whole_last_line_that_somebody_else_wrote_is_not_cut_off(folder: Path) -> None:
    with (folder / JOURNAL).open("ab") as file:
        file.write(b'{"event":"Teleported","at":1.0}\n')
    lines = len(STORY.events) + 1
    assert f":{lines}: not an event of this qarunner" in refusal(folder).message


def test_a_journal_of_another_version_names_the_tool_that_can_read_it(folder: Path) -> None:
    started = STORY.events[0]
    assert isinstance(started, ev.RunStarted)
    newer = ev.to_line(msgspec.structs.replace(started, version=2, tool="9.9.9"))
    (folder / JOURNAL).write_bytes(newer + b'{"event":"Teleported","at":1.0}\n' + ev.to_line(STORY.events[1]))
    error = refusal(folder)
    assert error.message == f"{folder / JOURNAL}: a journal of version 2; this qarunner reads version 1"
    assert "9.9.9" in (error.hint or "")


def test_a_journal_begins_with_its_start(folder: Path) -> None:
    (folder / JOURNAL).write_bytes(ev.to_line(STORY.events[1]))
    assert f"{JOURNAL}:1: a journal begins with RunStarted, this one with Submitting" in refusal(folder).message


@pytest.mark.parametrize("left", [None, b""])
def test_a_run_that_was_killed_before_its_first_line_can_be_gone_on_with(folder: Path, left: bytes | None) -> None:
    (folder / JOURNAL).unlink()
    if left is not None:
        (folder / JOURNAL).write_bytes(left)
    journal, events = Journal.reopen(folder)
    with journal:
        assert not events
        journal.append(STORY.events[0])
    assert read(folder)[0] == STORY.events[:1]


def test_a_run_id_is_taken_once(folder: Path) -> None:
    before = contents(folder)
    with pytest.raises(RunFolderError, match="there is a run of this id already") as caught:
        Journal.create(folder, b"another plan")
    assert contents(folder) == before
    assert "qarunner resume r1" in (caught.value.hint or "")


def test_a_folder_that_another_process_holds_is_left_alone(folder: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from qarunner.engine.io.journal import Journal\n"
        "journal, _ = Journal.reopen(pathlib.Path(sys.argv[1]))\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    words = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        assert "another qarunner is at work on this run" in refusal(folder).message
        assert read(folder)[0] == STORY.events
        other.kill()
    with Journal.reopen(folder)[0]:
        pass


def test_a_disk_without_locks_is_not_taken_for_another_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unable(_fd: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks, "_lock", unable)
    assert refusal(folder).message == f"{folder}: cannot be written: No locks available"


def test_two_journals_of_one_process_exclude_each_other_too(folder: Path) -> None:
    with Journal.reopen(folder)[0], pytest.raises(RunFolderError, match="another qarunner"):
        Journal.reopen(folder)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    mount = tmp_path / "disk"
    mount.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mount)], check=False)
    if done.returncode != 0:
        pytest.skip("nothing can be mounted here")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


def test_a_disk_that_is_full_holds_whole_lines_only(full_disk: Path) -> None:
    event = ev.Polled(at=1.0, job="plain-1", run="r", note="x" * 1000)
    written = [STORY.events[0]]
    with Journal.create(full_disk / "runs" / "r1", PLAN_JSON) as journal:
        journal.append(STORY.events[0])
        with pytest.raises(RunFolderError, match=r"(?i)no space left on device"):  # noqa: PT012  as often as it takes
            for _ in range(100):
                journal.append(event)
                written.append(event)
    assert 10 < len(written) < 100
    assert read(journal.folder) == (written, (journal.folder / JOURNAL).stat().st_size)


@pytest.mark.parametrize("accepted", [0, 1, 50])
def test_a_short_write_leaves_whole_lines_only(folder: Path, accepted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    with Journal.reopen(folder)[0] as journal:
        monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:accepted]))
        with pytest.raises(JournalLost, match="cannot be written: no space left") as caught:
            journal.append(ev.Accepted(at=1.0, job="plain-1", runs=()))
        assert caught.value.code is ExitCode.NO_VERDICT
        assert caught.value.details == ('it could not record: {"event":"Accepted","at":1.0,"job":"plain-1","runs":[]}',)
        assert read(folder) == (STORY.events, (folder / JOURNAL).stat().st_size)
        monkeypatch.undo()
        with pytest.raises(JournalLost) as again:  # what follows an event that is missing would not be true
            journal.append(STORY.events[1])
        assert again.value is caught.value
    assert read(folder)[0] == STORY.events


def replaced(folder: Path) -> None:
    data = (folder / JOURNAL).read_bytes()
    (folder / JOURNAL).rename(folder / "before")
    (folder / JOURNAL).write_bytes(data)


def lengthened(folder: Path) -> None:
    with (folder / JOURNAL).open("ab") as file:
        file.write(ev.to_line(STORY.events[1]))


@pytest.mark.parametrize(
    ("accident", "told"),
    [
        (shutil.rmtree, "it was removed"),
        (lambda folder: (folder / JOURNAL).unlink(), "it was removed"),
        (replaced, "another file is in its place"),
        (lengthened, "somebody else has changed it"),
        (lambda folder: os.truncate(folder / JOURNAL, 100), "somebody else has changed it"),
    ],
)
def test_nothing_begins_that_a_resume_would_not_find(folder: Path, accident: Callable[[Path], None], told: str) -> None:
    submitting = next(event for event in STORY.events if isinstance(event, ev.Submitting))
    with Journal.reopen(folder)[0] as journal:
        journal.append(submitting)
        accident(folder)
        with pytest.raises(JournalLost, match=f"cannot be written: {told}"):
            journal.append(submitting)


def test_what_the_disk_did_not_confirm_is_not_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with Journal.reopen(folder)[0] as journal:
        monkeypatch.setattr(os, "fsync", fails)
        with pytest.raises(RunFolderError, match="Input/output error"):
            journal.append(ev.Submitting(at=1.0, job="plain-1", attempt=2))
        monkeypatch.undo()
    assert read(folder)[0] == STORY.events


def test_events_that_may_not_be_lost_are_on_disk_before_anything_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    writing = ""
    real = os.fsync

    def fsync(fd: int) -> None:
        synced.append(writing)
        real(fd)

    with Journal.reopen(folder)[0] as journal:
        monkeypatch.setattr(os, "fsync", fsync)
        for event in STORY.events:
            writing = type(event).__name__
            journal.append(event)
    expected = [type(event).__name__ for event in STORY.events if isinstance(event, ev.DURABLE)]
    assert synced == expected
    assert {"Submitting", "Accepted", "RemoteFinished", "EntryClosed"} <= set(synced)


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for runs in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(RunFolderError, match=r"r1: cannot be made: (File exists|Not a directory)") as caught:
            Journal.create(runs / "r1", PLAN_JSON)
        assert caught.value.hint == "see --runs-dir"


def test_a_read_only_folder_is_read_and_refused(full_disk: Path) -> None:
    folder = full_disk / "runs" / "r1"
    with Journal.create(folder, PLAN_JSON) as journal:
        journal.append(STORY.events[0])
    subprocess.run(["mount", "-o", "remount,ro", str(full_disk)], check=True)
    assert read(folder)[0] == STORY.events[:1]
    assert refusal(folder).message == f"{folder}: cannot be written: Read-only file system"
    with pytest.raises(RunFolderError, match="r2: cannot be made: Read-only file system"):
        Journal.create(folder.parent / "r2", PLAN_JSON)


def test_run_folders_stay_out_of_commits(folder: Path) -> None:
    assert (folder.parent / ".gitignore").read_text() == "*\n"


def test_a_folder_that_the_user_made_is_not_ignored(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "r1", PLAN_JSON):
        assert not (tmp_path / ".gitignore").exists()


def test_the_newest_run_is_the_one_that_was_started_last(tmp_path: Path) -> None:
    assert newest(tmp_path / "none") is None
    assert newest(tmp_path) is None
    for number, name in enumerate(("b", "a", "c")):
        Journal.create(tmp_path / name, PLAN_JSON).close()
        os.utime(tmp_path / name / PLAN, (number, number))
    (tmp_path / "c" / PLAN).unlink()
    (tmp_path / "z").write_text("no run")
    assert newest(tmp_path) == tmp_path / "a"


# --- whole files ----------------------------------------------------------------------------------------------------


def test_a_file_is_written_whole_in_a_folder_that_is_made(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "report.json"
    for data in (b"first, and longer", b"second"):
        write_whole(path, data)
        assert path.read_bytes() == data
    assert [each.name for each in path.parent.iterdir()] == ["report.json"]


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(b"before")

    def fails(_fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"after")
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("report.json", b"before")]


def test_a_folder_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Is a directory"):
        write_whole(tmp_path, b"data")
    assert not list(tmp_path.iterdir())


def test_a_link_is_written_through_and_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_whole(tmp_path / "link", b"data")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"data"


def test_a_report_can_go_to_standard_output(tmp_path: Path) -> None:
    code = "import pathlib, qarunner.engine.io.journal as j; j.write_whole(pathlib.Path('/dev/stdout'), b'hi')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=tmp_path)
    assert done.stdout == b"hi"
    with contextlib.suppress(FileNotFoundError):
        assert not (tmp_path / "stdout").exists()
