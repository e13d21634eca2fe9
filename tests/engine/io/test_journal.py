"""A run's folder under every accident: torn lines, full disks, foreign files, two processes."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

from qarunner.engine.io import journal as journals
from qarunner.engine.io.journal import (
    JOURNAL,
    PLAN,
    REPORT,
    REQUESTS,
    Journal,
    folders,
    is_driven,
    newest,
    read,
    started_in,
)
from qarunner.engine.io.seal import Chain, Key, Trust
from qarunner.engine.state import events as ev
from qarunner.errors import ExitCode, JournalLost, RunFolderError
from qarunner.paths import history_file
from qarunner.plan.model import to_json
from qarunner.text import plural
from tests.fictional import VENDORS, Backend, entry, plan_of
from tests.worlds import Story

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

STORY = Story(plan_of(entry("a", "plain"), entry("b", "keyed")), VENDORS, Backend()).drive()
STARTED = cast("ev.RunStarted", STORY.events[0])
PLAN_JSON = to_json(STORY.run.plan)
OURS, OTHERS = Key.of("ours"), Key.of("others")
RUN_KEY = bytes(range(32))
NOT_UTF8 = b'{"event":"Polled","at":1.0,"run":"\xff\xfe","job":"plain-1","note":""}'


def write(folder: Path, events: Sequence[ev.Event] = STORY.events, *keys: Key) -> Path:
    first, *others = events
    assert isinstance(first, ev.RunStarted)
    with Journal.create(folder, PLAN_JSON, first, keys, RUN_KEY) as journal:
        for event in others:
            journal.append(event)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run that came to its end, without a seal."""
    return write(tmp_path / "runs" / "r1")


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """The same run, sealed."""
    return write(tmp_path / "runs" / "r1", STORY.events, OURS, OTHERS)


def old(folder: Path, *more: bytes) -> Path:
    """The same run as version 1 wrote it, and further lines."""
    lines = [ev.to_line(msgspec.structs.replace(STARTED, version=1)), *map(ev.to_line, STORY.events[1:]), *more]
    folder.mkdir(parents=True)
    (folder / PLAN).write_bytes(PLAN_JSON)
    (folder / JOURNAL).write_bytes(b"".join(lines))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


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
    found = read(folder)
    assert (found.events, found.size) == (STORY.events, (folder / JOURNAL).stat().st_size)
    assert found.started == STARTED
    assert started_in(folder) == STARTED
    assert (folder / PLAN).read_bytes() == PLAN_JSON
    assert [path.name for path in folder.parent.iterdir() if path.name != ".gitignore"] == ["r1"]


def test_each_line_is_an_event_for_other_programs_too(sealed: Path) -> None:
    lines = [json.loads(line) for line in (sealed / JOURNAL).read_bytes().splitlines()]
    assert [line["event"] for line in lines] == [event.__struct_config__.tag for event in STORY.events]


def test_a_last_line_that_is_torn_at_any_byte_is_cut_off(folder: Path) -> None:
    last = ev.EntryClosed(at=1.0, entry="b", outcome=STORY.run.closed["b"])
    event = msgspec.structs.replace(last, entry="ü😀")
    whole = (folder / JOURNAL).read_bytes()
    with Journal.reopen(folder)[0] as journal:
        journal.append(event)
    line = (folder / JOURNAL).read_bytes().removeprefix(whole)
    for cut in range(len(line)):
        (folder / JOURNAL).write_bytes(whole + line[:cut])
        assert read(folder).events == STORY.events, cut
        journal, found = Journal.reopen(folder)
        with journal:
            assert found.events == STORY.events
            assert (folder / JOURNAL).read_bytes() == whole
            journal.append(last)
        assert read(folder).events == [*STORY.events, last]


def test_a_journal_that_lost_a_request_is_cut_wherever_its_lines_end(folder: Path) -> None:
    lines = (folder / JOURNAL).read_bytes().splitlines(keepends=True)
    before = [
        sum(isinstance(event, ev.BEFORE_A_REQUEST) for event in STORY.events[:end]) for end in range(len(lines) + 1)
    ]
    assert before[-1] > 1
    for end in range(1, len(lines)):
        (folder / JOURNAL).write_bytes(b"".join(lines[:end]))
        if before[end] == before[-1]:
            assert len(read(folder).events) == end
        else:
            expected = f"its end is missing: it knows of {plural(before[end], 'request')}, and {before[-1]} were made"
            assert expected in refusal(folder).message
    (folder / REQUESTS).write_bytes(b"")  # not copied as a whole: then nothing is known of it
    assert len(read(folder).events) == len(lines) - 1


def test_a_journal_that_is_written_just_now_is_not_taken_for_a_cut_one(tmp_path: Path) -> None:
    folder = write(tmp_path / "runs" / "r1", STORY.events[:1])
    request = next(event for event in STORY.events if isinstance(event, ev.BEFORE_A_REQUEST))

    def go_on(journal: Journal) -> None:
        for _ in range(300):
            journal.append(request)

    journal, _ = Journal.reopen(folder)
    with journal, ThreadPoolExecutor() as pool:
        writer = pool.submit(go_on, journal)
        while not writer.done():
            read(folder)
        writer.result()
    assert read(folder).requests == 300


@pytest.mark.parametrize("rest", [b"\0" * 512, b'{"event":"Polled","at":', NOT_UTF8])
def test_what_has_its_newline_is_not_torn(folder: Path, rest: bytes) -> None:
    whole = (folder / JOURNAL).read_bytes()
    (folder / JOURNAL).write_bytes(whole + rest)
    with Journal.reopen(folder)[0]:
        assert (folder / JOURNAL).read_bytes() == whole
    (folder / JOURNAL).write_bytes(whole + rest + b"\n")
    assert f"{JOURNAL}:{len(STORY.events) + 1}: the line is damaged: " in refusal(folder).message


@pytest.mark.parametrize("kind", ["plain", "sealed"])
def test_each_flipped_bit_is_seen(tmp_path: Path, kind: str) -> None:
    """Killed after its create had left: whatever the file says instead, no resume may take it for something else."""
    keys = (OURS,) if kind == "sealed" else ()
    folder = write(tmp_path / "r1", STORY.events[:3], *keys)
    whole = (folder / JOURNAL).read_bytes()
    for place in range(len(whole)):
        for bit in range(8):
            data = bytearray(whole)
            data[place] ^= 1 << bit
            assert is_seen(folder / JOURNAL, bytes(data), keys), (place, bit)


def test_a_newline_that_was_flipped_before_a_torn_line_is_seen(folder: Path) -> None:
    whole = (folder / JOURNAL).read_bytes()
    (folder / JOURNAL).write_bytes(whole[:-1] + b'\x0b{"event":"Pol')
    assert "its end is not a newline" in refusal(folder).message


def is_seen(path: Path, data: bytes, keys: Sequence[Key]) -> bool:
    """True if the journal is refused with its line, or its seal is broken."""
    try:
        return journals._recorded(path, data, keys, journals._counted(path.parent)).trust is Trust.BROKEN
    except RunFolderError as error:
        return error.message.startswith(f"{path}:")


@pytest.mark.parametrize("bad", [b"{", b"", b"null", b'{"event":"Sang","at":1}', b'{"event":"Resumed"}', NOT_UTF8])
def test_a_bad_line_in_the_middle_is_an_error_with_its_number(folder: Path, bad: bytes) -> None:
    lines = (folder / JOURNAL).read_bytes().splitlines(keepends=True)
    (folder / JOURNAL).write_bytes(b"".join([*lines[:2], bad + b"\n", *lines[2:]]))
    assert refusal(folder).message == f"{folder / JOURNAL}:3: the line is damaged: it has no checksum"


@pytest.mark.parametrize("change", ["swap", "repeat", "drop"])
def test_lines_stand_where_they_were_written(folder: Path, change: str) -> None:
    lines = (folder / JOURNAL).read_bytes().splitlines(keepends=True)
    changed = {
        "swap": [*lines[:2], lines[3], lines[2], *lines[4:]],
        "repeat": [*lines[:3], lines[2], *lines[3:]],
        "drop": [*lines[:2], *lines[3:]],
    }
    (folder / JOURNAL).write_bytes(b"".join(changed[change]))
    number = 4 if change == "repeat" else 3
    assert refusal(folder).message == f"{folder / JOURNAL}:{number}: the line is damaged: its checksum is wrong"


def test_an_event_of_a_later_version_is_not_damage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = (folder / JOURNAL).read_bytes()
    with monkeypatch.context() as patched, Journal.reopen(folder)[0] as journal:
        patched.setattr(ev, "to_line", lambda _: b'{"event":"Teleported","at":1.0}\n')
        journal.append(STORY.events[1])
    assert (folder / JOURNAL).read_bytes() != whole
    lines = len(STORY.events) + 1
    assert f":{lines}: not an event of this qarunner" in refusal(folder).message


def test_a_journal_of_another_version_names_the_tool_that_can_read_it(tmp_path: Path) -> None:
    folder = write(tmp_path / "r1", [msgspec.structs.replace(STARTED, version=3, tool="9.9.9")])
    error = refusal(folder)
    assert error.message == f"{folder / JOURNAL}: a journal of version 3; this qarunner reads version 2"
    assert "9.9.9" in (error.hint or "")
    line = (folder / JOURNAL).read_bytes()
    other_checksum = re.sub(b'"check":".', b'"check":"x', line)
    for other in (other_checksum, b'{"event":"Began","version":3,"tool":"9.9.9","at":[]}\n'):
        (folder / JOURNAL).write_bytes(other)
        with pytest.raises(RunFolderError) as caught:
            journals.Tail(folder).more()
        for refused in (caught.value, refusal(folder)):
            assert (refused.message, refused.hint) == (error.message, error.hint)


def test_a_journal_begins_with_its_start(tmp_path: Path) -> None:
    folder = tmp_path / "r1"
    folder.mkdir()
    (folder / JOURNAL).write_bytes(ev.to_line(STORY.events[1]))
    assert f"{JOURNAL}:1: a journal begins with RunStarted, this one with Submitting" in refusal(folder).message


def test_a_first_line_without_a_checksum_is_damaged(tmp_path: Path) -> None:
    folder = tmp_path / "r1"
    folder.mkdir()
    (folder / JOURNAL).write_bytes(ev.to_line(STARTED))
    assert f"{JOURNAL}:1: the line is damaged: it has no checksum" in refusal(folder).message


@pytest.mark.parametrize("left", [None, b"", b'{"event":"RunSta'])
def test_a_folder_with_a_plan_and_no_events_is_refused(folder: Path, left: bytes | None) -> None:
    (folder / JOURNAL).unlink()
    if left is not None:
        (folder / JOURNAL).write_bytes(left)
    error = refusal(folder)
    assert "nothing is known of this run" in error.message


@pytest.mark.parametrize("killed_at", range(1, 9))
def test_a_new_run_is_there_as_a_whole_or_not_at_all(
    tmp_path: Path, killed_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost at each step of its making: what is left is no run, and the id can be taken."""
    folder = tmp_path / "runs" / "r1"
    steps = itertools.count(1)

    class LostError(BaseException):
        pass

    with monkeypatch.context() as patched:
        for name in ("open", "write", "fsync", "close"):
            real = getattr(os, name)

            def step(*words: Any, _real: Callable[..., object] = real) -> object:  # noqa: ANN401
                if next(steps) == killed_at:
                    raise LostError
                return _real(*words)

            patched.setattr(os, name, step)
        with pytest.raises(LostError):
            write(folder, STORY.events[:1])
    assert folders(folder.parent) == []
    assert read(write(folder)).events == STORY.events


def test_a_run_id_is_taken_once(folder: Path) -> None:
    before = contents(folder)
    with pytest.raises(RunFolderError, match="there is a run of this id already") as caught:
        Journal.create(folder, b"another plan", STARTED)
    assert contents(folder) == before
    assert "qarunner resume r1" in (caught.value.hint or "")
    assert [path.name for path in folder.parent.iterdir() if path.is_dir()] == ["r1"]


def test_of_two_processes_with_one_id_one_makes_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "r1"
    real = Path.rename

    def late(self: Path, target: Path) -> Path:
        monkeypatch.undo()
        write(folder)
        return real(self, target)

    monkeypatch.setattr(Path, "rename", late)
    with pytest.raises(RunFolderError, match="there is a run of this id already"):
        Journal.create(folder, b"another plan", STARTED)
    assert read(folder).events == STORY.events
    assert [path.name for path in tmp_path.iterdir()] == ["r1"]


def test_a_run_that_another_process_took_between_its_name_and_its_lock_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "r1"
    real = Path.rename

    def named(self: Path, target: Path) -> Path:
        found = real(self, target)
        with Journal.reopen(folder)[0] as other:
            other.append(STORY.events[1])
        return found

    monkeypatch.setattr(Path, "rename", named)
    with pytest.raises(RunFolderError, match="another qarunner is at work on this run"):
        Journal.create(folder, PLAN_JSON, STARTED)
    assert read(folder).events == STORY.events[:2]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other rights")
def test_plan_and_journal_are_private(sealed: Path) -> None:
    assert {stat.S_IMODE((sealed / name).stat().st_mode) for name in (PLAN, JOURNAL)} == {0o600}


@pytest.mark.parametrize("name", [".", PLAN, JOURNAL, REPORT])
def test_links_in_a_run_s_folder_are_refused(folder: Path, tmp_path: Path, name: str) -> None:
    link = folder if name == "." else folder / name
    if name == REPORT:
        link.write_text("{}")
    link.rename(tmp_path / "elsewhere")
    link.symlink_to(tmp_path / "elsewhere")
    assert "is a link" in refusal(folder).message
    with pytest.raises(RunFolderError, match="is a link"):
        read(folder)


# --- seals ------------------------------------------------------------------------------------------------------------


def test_any_one_of_the_keys_verifies(sealed: Path) -> None:
    for keys in ((OURS,), (OTHERS,), (Key.of("new"), OTHERS)):
        assert read(sealed, keys).trust is Trust.HOLDS
    assert read(sealed, (Key.of("third"),)).trust is Trust.FOREIGN
    assert read(sealed).trust is Trust.UNCHECKED


def test_a_missing_seal_is_seen(folder: Path, tmp_path: Path) -> None:
    assert read(folder, (OURS,)).trust is Trust.MISSING
    assert read(folder).trust is Trust.UNCHECKED
    assert read(old(tmp_path / "old"), (OURS,)).trust is Trust.MISSING
    assert read(tmp_path / "old").events[1:] == STORY.events[1:]


def forged(folder: Path, *edits: tuple[bytes, bytes], keys: Sequence[Key] = ()) -> Path:
    """A journal that somebody wrote anew without our key, with correct checksums; seals that they saw stay."""
    lines = (folder / JOURNAL).read_bytes().splitlines()
    chain, data = Chain(), b""
    for number, line in enumerate(lines):
        match = re.search(rb',(?:"seals":(\{.*\}),)?"check":"[0-9a-f]+"\}$', line)
        assert match is not None
        body = line[: match.start()] + b"}"
        for before, after in edits:
            body = body.replace(before, after)
        if number == 0 and keys:
            made, chain = chain.sealed_line(body, keys, RUN_KEY)
        elif match[1]:
            made, chain = forged_seals(chain, body, match[1])
        else:
            made, chain = chain.line(body)
        data += made
    (folder / JOURNAL).write_bytes(data)
    return folder


def forged_seals(chain: Chain, body: bytes, seals: bytes) -> tuple[bytes, Chain]:
    digest = hashlib.sha256(hashlib.sha256(chain.digest + body).digest() + seals).digest()
    made = body[:-1] + b',"seals":' + seals + b',"check":"' + digest[:8].hex().encode() + b"0" * 32 + b'"}\n'
    return made, Chain(digest, b"0" * 32)


@pytest.mark.parametrize("keys", [(), (Key.of("third"),)])
def test_a_forged_journal_holds_for_nobody(sealed: Path, keys: Sequence[Key]) -> None:
    forged(sealed, (b"failed", b"passed"), keys=keys)
    found = read(sealed, (OURS,))
    assert found.trust is (Trust.FOREIGN if keys else Trust.BROKEN)
    assert found.broken_at == (None if keys else 1)


def test_lines_that_were_added_without_the_key_are_seen(sealed: Path) -> None:
    whole = read(sealed)
    with (sealed / JOURNAL).open("ab") as file:
        file.write(whole.chain.line(ev.to_line(STORY.events[1])[:-1])[0])
    found = read(sealed, (OURS,))
    assert (found.trust, found.broken_at) == (Trust.BROKEN, len(STORY.events) + 1)


def test_the_seal_of_another_run_is_none_of_this_one(sealed: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "r2", [msgspec.structs.replace(STARTED, run_id="r2"), *STORY.events[1:]], OURS)
    first = (sealed / JOURNAL).read_bytes().splitlines(keepends=True)[0]
    rest = (other / JOURNAL).read_bytes().splitlines(keepends=True)[1:]
    (other / JOURNAL).write_bytes(first + b"".join(rest))
    assert "its checksum is wrong" in refusal(other).message


def test_a_person_s_word_seals_anew_what_was_there(folder: Path, tmp_path: Path) -> None:
    for each in (folder, old(tmp_path / "old")):
        with Journal.reopen(each, (OURS,))[0] as journal:
            journal.append_sealed(ev.Resumed(at=1.0), (OURS,), RUN_KEY)
            journal.append(STORY.events[1])
        found = read(each, (OURS,))
        assert found.trust is Trust.HOLDS
        assert found.events[-1] == STORY.events[1]
        forged(each, (b"plain-1", b"plain-2")) if each is folder else None
        assert read(each, (OURS,)).trust is (Trust.BROKEN if each is folder else Trust.HOLDS)
    lines = (tmp_path / "old" / JOURNAL).read_bytes()
    (tmp_path / "old" / JOURNAL).write_bytes(lines.replace(b"plain-1", b"plain-2", 1))
    assert "its checksum is wrong" in refusal(tmp_path / "old").message


def test_a_run_goes_on_with_any_of_its_keys(sealed: Path) -> None:
    with Journal.reopen(sealed, (OTHERS,))[0] as journal:
        journal.append(ev.Resumed(at=1.0))
    assert read(sealed, (OURS,)).trust is Trust.HOLDS


# --- several processes ------------------------------------------------------------------------------------------------


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
        assert read(folder).events == STORY.events
        assert is_driven(folder)
        other.kill()
    assert not is_driven(folder)
    with Journal.reopen(folder)[0]:
        pass


def test_a_disk_without_locks_is_not_taken_for_another_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unable(_fd: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(journals, "_lock", unable)
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
    written: list[ev.Event] = [STARTED]
    journal = Journal.create(full_disk / "runs" / "r1", PLAN_JSON, STARTED)
    with journal, pytest.raises(JournalLost, match=r"(?i)no space left on device"):  # noqa: PT012  as often as it takes
        for _ in range(100):
            journal.append(event)
            written.append(event)
    assert 10 < len(written) < 100
    found = read(journal.folder)
    assert (found.events, found.size) == (written, (journal.folder / JOURNAL).stat().st_size)


@pytest.mark.parametrize("accepted", [0, 1, 50])
def test_a_short_write_leaves_whole_lines_only(folder: Path, accepted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    with Journal.reopen(folder)[0] as journal:
        monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:accepted]))
        with pytest.raises(JournalLost, match="cannot be written: No space left") as caught:
            journal.append(ev.Accepted(at=1.0, job="plain-1", runs=()))
        assert caught.value.code is ExitCode.NO_VERDICT
        assert caught.value.details == ('it could not record: {"event":"Accepted","at":1.0,"job":"plain-1","runs":[]}',)
        assert read(folder).size == (folder / JOURNAL).stat().st_size
        monkeypatch.undo()
        with pytest.raises(JournalLost) as again:  # what follows an event that is missing would not be true
            journal.append(STORY.events[1])
        assert again.value is caught.value
    assert read(folder).events == STORY.events


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
    assert read(folder).events == STORY.events


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
    expected = [type(event).__name__ for event in STORY.events if not isinstance(event, ev.EXPENDABLE)]
    assert synced == expected
    assert {"Submitting", "Accepted", "RunFinishedRemotely", "EntryClosed"} <= set(synced)


def test_events_of_one_step_are_written_as_one_and_synced_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    with Journal.reopen(folder)[0] as journal:
        monkeypatch.setattr(os, "fsync", synced.append)
        journal.append(*STORY.events[1:4], wait=False)
        assert read(folder).events == [*STORY.events, *STORY.events[1:4]]
        journal.sync()
        journal.sync()
        assert len(synced) == 1
        journal.append(STORY.events[1], wait=False)
        journal.append(*STORY.events[2:4])
        journal.sync()
        assert len(synced) == 2
        journal.append(ev.Polled(at=1.0, job="plain-1", run="r", note="n"), wait=False)
        journal.sync()
        assert len(synced) == 2


@pytest.mark.parametrize("broken", ["write", "fsync"])
def test_of_events_that_cannot_be_written_as_one_not_one_is_there(
    folder: Path, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitting = [ev.Submitting(at=1.0, job=f"plain-{number}", attempt=2) for number in range(3)]
    earlier = ev.Accepted(at=1.0, job="plain-1", runs=())
    real = os.write

    def fails(_fd: int, data: bytes = b"") -> int:
        if broken == "write":
            return real(_fd, data[:-20])
        raise OSError(errno.EIO, "Input/output error")

    with Journal.reopen(folder)[0] as journal:
        journal.append(earlier, wait=False)
        monkeypatch.setattr(os, broken, fails)
        with pytest.raises(JournalLost) as caught:
            journal.append(*submitting)
        monkeypatch.undo()
    assert [detail.count('"Submitting"') for detail in caught.value.details] == [0, 1, 1, 1]
    assert read(folder).events == [*STORY.events, earlier]


def test_what_was_written_stays_where_the_disk_does_not_confirm_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    accepted = ev.Accepted(at=1.0, job="plain-1", runs=())
    with Journal.reopen(folder)[0] as journal:
        journal.append(accepted, wait=False)
        monkeypatch.setattr(os, "fsync", fails)
        with pytest.raises(JournalLost, match="Input/output error") as caught:
            journal.sync()
        monkeypatch.undo()
        with pytest.raises(JournalLost):
            journal.append(accepted)
    assert [detail.partition(":")[0] for detail in caught.value.details] == ["it could not record"]
    assert read(folder).events == [*STORY.events, accepted]


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for runs in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(RunFolderError, match=r"r1: cannot be made: (File exists|Not a directory)") as caught:
            Journal.create(runs / "r1", PLAN_JSON, STARTED)
        assert caught.value.hint == "name a folder that can be written: --runs-dir DIR, or QARUNNER_RUNS_DIR"


def test_a_read_only_folder_is_read_and_refused(full_disk: Path) -> None:
    folder = full_disk / "runs" / "r1"
    write(folder, STORY.events[:1])
    subprocess.run(["mount", "-o", "remount,ro", str(full_disk)], check=True)
    assert read(folder).events == STORY.events[:1]
    assert refusal(folder).message == f"{folder}: cannot be written: Read-only file system"
    with pytest.raises(RunFolderError, match="r2: cannot be made: Read-only file system"):
        Journal.create(folder.parent / "r2", PLAN_JSON, STARTED)


def test_run_folders_and_the_history_beside_them_stay_out_of_commits(tmp_path: Path) -> None:
    for runs, top in ((tmp_path / ".qarunner" / "runs", ".qarunner"), (tmp_path / "named", "named")):
        with Journal.create(runs / "r1", PLAN_JSON, STARTED):
            assert (tmp_path / top / ".gitignore").read_text() == "*\n"
            assert history_file(runs).is_relative_to(tmp_path / top)


def test_a_folder_that_the_user_made_is_not_ignored(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "r1", PLAN_JSON, STARTED):
        assert not (tmp_path / ".gitignore").exists()


def test_the_newest_run_is_the_one_that_was_started_last(tmp_path: Path) -> None:
    assert newest(tmp_path / "none") is None
    assert newest(tmp_path) is None
    for at, name in enumerate(("b", "a", "c")):
        write(tmp_path / name, [msgspec.structs.replace(STARTED, at=float(at))])
        os.utime(tmp_path / name / JOURNAL, (9 - at, 9 - at))  # as a copy of the newest may be the oldest file
    (tmp_path / "c" / JOURNAL).unlink()
    (tmp_path / "z").write_text("no run")
    assert newest(tmp_path) == tmp_path / "a"


def test_a_folder_that_vanishes_while_it_is_looked_at_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a")
    real = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda self: [*real(self), tmp_path / "gone"])
    assert folders(tmp_path) == [tmp_path / "a"]
    assert newest(tmp_path) == tmp_path / "a"
    assert started_in(tmp_path / "gone") is None
    assert not is_driven(tmp_path / "gone")


@pytest.mark.skipif(os.name != "posix", reason="links need a privilege there")
def test_no_link_of_a_repository_leads_to_a_run(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / ".git").mkdir()
    (tmp_path / ".qarunner").symlink_to(elsewhere)
    elsewhere.mkdir()
    with pytest.raises(RunFolderError, match=r"lies behind the link \.qarunner"):
        write(tmp_path / ".qarunner" / "runs" / "r1")
    assert not list(elsewhere.iterdir())
    write(elsewhere / "runs" / "r1")
    with pytest.raises(RunFolderError, match=r"lies behind the link \.qarunner"):
        Journal.reopen(tmp_path / ".qarunner" / "runs" / "r1")
