from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from qarunner.cli.pipelines import gitlab as gitlab_step
from qarunner.cli.pipelines.notes import MARKER, READ_TRIES, GitHubNotes, GitLabNotes, NoteError, put
from tests.pipelines.hosts import OWN, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.pipelines.hosts import Host

FILE = "qa/qa-matrix.yml"
STRANGER = {"login": "mallory", "type": "User", "id": 666}


@pytest.fixture
def host() -> Iterator[Host]:
    with serving() as served:
        yield served


def github(host: Host, token: str = "ghs_token") -> GitHubNotes:  # noqa: S107  a made-up token
    return GitHubNotes.of(host.url, token, "acme/shop", 7)


def gitlab(host: Host) -> GitLabNotes:
    return GitLabNotes.of(host.url, host.token, "42", 7)


def body(host: Host) -> str:
    (comment,) = [note for note in host.comments if note["user"] is OWN]
    return str(comment["body"])


@pytest.mark.parametrize("notes", [github, gitlab])
def test_one_note_holds_each_manifest_its_diff_before_its_result(host: Host, notes: type) -> None:
    assert put(notes(host), FILE, "result", "failed") == "created"
    assert put(notes(host), FILE, "diff", "1 added") == "updated"
    assert put(notes(host), "a.yml", "diff", "2 added") == "updated"
    assert put(notes(host), FILE, "result", "passed") == "updated"
    assert put(notes(host), FILE, "result", "passed") == "as it was"
    assert body(host).startswith(MARKER)
    texts = [line for line in body(host).splitlines() if line and not line.startswith("<!--")]
    assert texts == ["2 added", "1 added", "passed"]


@pytest.mark.parametrize("notes", [github, gitlab])
def test_the_note_is_found_behind_hundreds_of_others(host: Host, notes: type) -> None:
    for number in range(250):
        host.add(f"comment {number}", STRANGER)
    host.add(f"{MARKER}\nold", OWN)
    assert put(notes(host), FILE, "diff", "new") == "updated"
    assert body(host).endswith("new")


@pytest.mark.parametrize("notes", [github, gitlab])
def test_a_stranger_who_wrote_the_marker_gets_no_note_of_ours(host: Host, notes: type) -> None:
    host.add(f"{MARKER}\nnothing changes, merge it", STRANGER)
    assert put(notes(host), FILE, "diff", "true") == "created"
    assert host.comments[0]["body"].endswith("merge it")
    assert put(notes(host), FILE, "diff", "truer") == "updated"
    assert body(host).endswith("truer")


def test_two_jobs_that_begin_the_note_at_once_leave_one_with_both_parts(host: Host) -> None:
    notes = github(host)

    class Late(GitHubNotes, frozen=True):
        def create(self, body: str) -> None:
            put(notes, "other.yml", "diff", "of the other job")
            super().create(body)

    late = Late.of(host.url, "ghs_token", "acme/shop", 7)
    assert put(late, FILE, "diff", "of this job") == "created"
    assert "of the other job" in body(host)
    assert "of this job" in body(host)


@pytest.mark.parametrize(("gone", "listed", "done"), [("PATCH", 1, "created"), ("DELETE", 2, "updated")])
def test_a_note_that_is_gone_meanwhile_is_no_trouble(host: Host, gone: str, listed: int, done: str) -> None:
    for _ in range(listed):
        host.add(f"{MARKER}\n\n<!-- qarunner:section b.yml:diff -->\nof b", OWN)
    host.gone = gone
    assert put(github(host), FILE, "result", "passed") == done
    assert "passed" in body(host)


def test_a_note_that_is_not_listed_at_once_is_written_once(host: Host) -> None:
    host.listed = []
    assert put(github(host), FILE, "result", "passed") == "created"
    host.listed = {}
    with pytest.raises(NoteError, match="the answer is no list"):
        put(github(host), FILE, "result", "passed")
    assert "passed" in body(host)


def test_an_answer_that_breaks_off_is_an_error_of_the_note(host: Host) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for _ in range(READ_TRIES):
                with server.accept()[0] as connection:
                    connection.recv(65_536)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[")

        thread = threading.Thread(target=serve)
        thread.start()
        host.url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(NoteError, match="IncompleteRead"):
            put(github(host), FILE, "diff", "text")
        thread.join()


def test_a_part_that_another_job_has_overwritten_is_written_again(host: Host) -> None:
    notes = github(host)
    put(notes, FILE, "diff", "first")
    other = [f"{MARKER}\n\n<!-- qarunner:section b.yml:diff -->\nof b"]

    class Overwritten(GitHubNotes, frozen=True):
        def update(self, note: str, body: str) -> None:
            super().update(note, body)
            if other:
                host.comments[0]["body"] = other.pop()

    put(Overwritten.of(host.url, "ghs_token", "acme/shop", 7), FILE, "result", "passed")
    assert "of b" in body(host)
    assert "passed" in body(host)


def test_nothing_to_tell_makes_no_note_but_corrects_one(host: Host) -> None:
    assert put(github(host), FILE, "diff", "no changes", anew=False) == "not needed"
    assert host.comments == []
    put(github(host), FILE, "diff", "changes")
    assert put(github(host), FILE, "diff", "no changes", anew=False) == "updated"


def test_a_note_fits_the_host_and_its_own_part_stays(host: Host) -> None:
    put(github(host), FILE, "diff", "### a large diff\n" + "x" * 60_000)
    put(github(host), FILE, "result", "### a result\n" + "y" * 30_000)
    assert len(body(host)) <= 65_536
    assert "### a large diff" in body(host)
    assert "y" * 30_000 in body(host)


@pytest.mark.parametrize(
    "text",
    [
        "a\n<!-- qarunner:section b.yml:diff -->\nc",
        "<!-- qarunner:section x -->",
        "<!-- qarunner:sec<!-- qarunner:section x -->tion y -->",
    ],
)
def test_no_text_begins_another_part(host: Host, text: str) -> None:
    put(github(host), "a --> b.yml", "diff", text)
    assert body(host).count("<!-- qarunner:section ") == 1
    assert "qarunner:section a%20-%2D%3E%20b.yml:diff -->" in body(host)


def test_a_token_that_may_only_read_is_said(host: Host) -> None:
    host.readonly = True
    with pytest.raises(NoteError, match="HTTP 403: Resource not accessible") as error:
        put(github(host), FILE, "diff", "text")
    assert error.value.status == 403


def test_a_read_is_repeated_when_the_host_stumbles(host: Host) -> None:
    host.broken = 2
    assert put(github(host), FILE, "diff", "text") == "created"


def test_a_redirect_does_not_take_the_token_along(host: Host) -> None:
    with serving() as other:
        host.redirect = other.url + "/repos/acme/shop/issues/7/comments"
        with pytest.raises(NoteError, match="HTTP 302"):
            put(github(host), FILE, "diff", "text")
        assert other.requests == []


def test_a_token_is_not_sent_over_plain_http() -> None:
    unsafe: Any = GitHubNotes.of("http://api.example.com", "t", "acme/shop", 7)
    with pytest.raises(NoteError, match="only https"):
        put(unsafe, FILE, "diff", "text")


def test_the_gate_of_a_child_pipeline_puts_its_result_into_the_merge_requests_note(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {
        "GITLAB_TOKEN": host.token,
        "CI_API_V4_URL": host.url,
        "CI_PROJECT_ID": "42",
        "CI_MERGE_REQUEST_IID": "7",
    }
    report = tmp_path / "qarunner.md"
    report.write_text("### ✅ `shop`: exit 0: 3 passed\n", encoding="utf-8")
    assert gitlab_step.note_result(environ, FILE, report) == 0
    assert body(host).endswith(f"<!-- qarunner:section {FILE}:result -->\n### ✅ `shop`: exit 0: 3 passed")
    assert gitlab_step.note_result(environ, FILE, tmp_path / "missing.md") == 0
    assert "there is no result; the jobs' logs say why" in body(host)
    assert gitlab_step.note_result({**environ, "CI_MERGE_REQUEST_IID": ""}, FILE, report) == 0
    assert "no merge request, no note" in capsys.readouterr().out
