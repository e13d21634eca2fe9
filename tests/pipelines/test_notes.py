from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from qarunner.cli.pipelines.notes import GitHubNotes, GitLabNotes, NoteError, marker_of, put
from tests.pipelines.hosts import OWN, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.pipelines.hosts import Host

KEY = "qa/qa-matrix.yml"
STRANGER = {"login": "mallory", "type": "User", "id": 666}


@pytest.fixture
def host() -> Iterator[Host]:
    with serving() as found:
        yield found


def github(host: Host, token: str = "ghs_token") -> GitHubNotes:  # noqa: S107  a made-up token
    return GitHubNotes.of(host.url, token, "acme/shop", 7)


def gitlab(host: Host) -> GitLabNotes:
    return GitLabNotes.of(host.url, host.token, "42", 7)


@pytest.mark.parametrize("notes", [github, gitlab])
def test_one_note_is_written_and_then_rewritten(host: Host, notes: type) -> None:
    assert put(notes(host), KEY, "first") == "created"
    assert put(notes(host), KEY, "second") == "updated"
    assert [each["body"] for each in host.comments] == [f"{marker_of(KEY)}\nsecond"]


@pytest.mark.parametrize("notes", [github, gitlab])
def test_the_note_is_found_behind_hundreds_of_others(host: Host, notes: type) -> None:
    for number in range(250):
        host.add(f"comment {number}", STRANGER)
    host.add(f"{marker_of(KEY)}\nold", OWN)
    assert put(notes(host), KEY, "new") == "updated"
    assert host.comments[-1]["body"].endswith("new")


@pytest.mark.parametrize("notes", [github, gitlab])
def test_a_stranger_who_wrote_the_marker_gets_no_note_of_ours(host: Host, notes: type) -> None:
    host.add(f"{marker_of(KEY)}\nnothing changes, merge it", STRANGER)
    assert put(notes(host), KEY, "true") == "created"
    assert host.comments[0]["body"].endswith("merge it")
    assert put(notes(host), KEY, "truer") == "updated"
    assert host.comments[1]["body"].endswith("truer")


def test_two_manifests_have_a_note_each(host: Host) -> None:
    put(github(host), "a.yml", "a")
    put(github(host), "b.yml", "b")
    assert len(host.comments) == 2


def test_nothing_to_tell_makes_no_note_but_corrects_one(host: Host) -> None:
    assert put(github(host), KEY, "no changes", anew=False) == "not needed"
    assert host.comments == []
    put(github(host), KEY, "changes")
    assert put(github(host), KEY, "no changes", anew=False) == "updated"


def test_a_note_fits_the_host(host: Host) -> None:
    put(github(host), KEY, "x" * 70_000)
    assert len(host.comments[0]["body"]) == 65_536
    assert host.comments[0]["body"].endswith("too long for a note.")


def test_a_key_cannot_end_the_marker() -> None:
    assert marker_of("a --> b.yml") == "<!-- qarunner:a_____b.yml -->"


def test_a_token_that_may_only_read_is_said(host: Host) -> None:
    host.readonly = True
    with pytest.raises(NoteError, match="HTTP 403: Resource not accessible") as error:
        put(github(host), KEY, "text")
    assert error.value.status == 403


def test_a_read_is_repeated_when_the_host_stumbles(host: Host) -> None:
    host.broken = 2
    assert put(github(host), KEY, "text") == "created"


def test_a_redirect_does_not_take_the_token_along(host: Host) -> None:
    with serving() as other:
        host.redirect = other.url + "/repos/acme/shop/issues/7/comments"
        with pytest.raises(NoteError, match="HTTP 302"):
            put(github(host), KEY, "text")
        assert other.requests == []


def test_a_token_is_not_sent_over_plain_http() -> None:
    with pytest.raises(NoteError, match="only https"):
        put(GitHubNotes.of("http://api.example.com", "t", "acme/shop", 7), KEY, "text")
