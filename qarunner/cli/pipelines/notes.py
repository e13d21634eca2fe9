"""One note on a pull or merge request that is found again and rewritten, by its hidden marker and its author."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from msgspec import Struct

from qarunner.errors import ExitCode, UserError
from qarunner.regex import regex

if TYPE_CHECKING:
    from pathlib import Path


TIMEOUT_S = 20.0
READ_TRIES = 3
MOST_PAGES = 50
PAGE = 100
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class NoteError(UserError):
    """The note could not be written. `status` is the answer's, 0 without one."""

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Note(Struct, frozen=True, kw_only=True):
    """A note of ours."""

    id: str
    body: str


MARKER = "<!-- qarunner -->"
"""Invisible in a rendered note. There is one for the whole repository."""

_SECTION = regex(r"<!-- qarunner:section (\S+) -->")
_TRIES = 4


def put(notes: Notes, file: str, part: str, body: str, *, anew: bool = True) -> str:
    """Writes a part (`diff`, `result`) of a manifest's section into the one note. Says what was done.

    Without `anew`, a part that is not there yet is left out. Other jobs may write their parts meanwhile: what is not
    found there afterwards is written again.
    """
    key = _safe(f"{file}:{part}")
    done = "not needed"
    for _ in range(_TRIES):
        ours = notes.mine(MARKER)
        first, doubles = (ours[0] if ours else None), ours[1:]
        sections: dict[str, str] = {}
        for note in reversed(ours):
            sections |= _sections(note.body)
        if sections.get(key) == _inert(body) and first is not None and not doubles:
            return done if done != "not needed" else "as it was"
        if key not in sections and not anew:
            return done
        text = _text({**sections, key: _inert(body)}, key, notes.limit)
        if first is None and done == "created":  # a host may take a while to list what is new
            return done
        if first is None:
            notes.create(text)
            done = "created"
        elif _there(notes.update, first.id, text):
            done = done if done == "created" else "updated"
        else:
            continue
        for note in doubles:  # of jobs that began the note at the same time
            _there(notes.remove, note.id)
    if done == "not needed":
        raise NoteError("the note was removed each time that it was to be written")
    return done


def _there(change: Callable[..., None], *arguments: str) -> bool:
    """Changes a note. False where it is gone: another job, or a person, removed it meanwhile."""
    try:
        change(*arguments)
    except NoteError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        return False
    return True


def _safe(key: str) -> str:
    """A key cannot end the comment that it stands in, and no two manifests have the same."""
    return quote(key, safe="/:").replace("--", "-%2D")


def _inert(body: str) -> str:
    """No line of a section can begin another one. A mark is not taken out: what stood around it could make another."""
    return _SECTION.sub(lambda mark: f"&lt;{mark[0][1:]}", body).strip()


def _sections(body: str) -> dict[str, str]:
    """The parts of a note by their keys."""
    sections: dict[str, list[str]] = {}
    lines: list[str] | None = None
    for line in body.splitlines():
        if match := _SECTION.fullmatch(line.strip()):
            lines = sections.setdefault(match[1], [])
        elif lines is not None:
            lines.append(line)
    return {key: "\n".join(lines).strip() for key, lines in sections.items()}


def _text(sections: Mapping[str, str], of_job: str, limit: int) -> str:
    """The note: the manifests in their order, each diff before its result. What has no room keeps its first line."""
    kept = dict(sorted(sections.items()))
    for key in sorted(kept, key=lambda key: (key == of_job, -len(kept[key]))):
        if len(_joined(kept)) <= limit:
            break
        kept[key] = f"{kept[key].partition(chr(10))[0]}\n\n_There is no room for the rest: the job's summary has it._"
    return _joined(kept)[:limit]


def _joined(sections: Mapping[str, str]) -> str:
    return "\n\n".join([MARKER, *(f"<!-- qarunner:section {key} -->\n{text}" for key, text in sections.items())])


# --- over HTTP --------------------------------------------------------------------------------------------------------


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would take the token along to wherever it leads."""

    def redirect_request(self, *_: object) -> None:
        return None


class Api(Struct, frozen=True, kw_only=True):
    """A host's API: https, or http on loopback."""

    base: str
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Api({self.base})"

    def get(self, path: str) -> object:
        for left in reversed(range(READ_TRIES)):
            try:
                return self._send("GET", path, None)
            except NoteError as error:
                if left == 0 or 0 < error.status < 500:  # noqa: PLR2004  the host's own trouble may pass
                    raise
        raise AssertionError

    def send(self, method: str, path: str, body: Mapping[str, str] | None = None) -> None:
        self._send(method, path, None if body is None else json.dumps(body).encode())

    def pages(self, path: str) -> Iterator[Mapping[str, object]]:
        """Every item of a list."""
        for number in range(1, MOST_PAGES + 1):
            page = self.get(f"{path}?per_page={PAGE}&page={number}")
            if not isinstance(page, list):  # taken for an empty one, it would let each job begin a note of its own
                raise NoteError(f"GET {path}: the answer is no list")
            yield from (item for item in page if isinstance(item, dict) and str(item.get("id")).isdecimal())
            if len(page) < PAGE:
                return

    def _send(self, method: str, path: str, data: bytes | None) -> object:
        url = self.base.rstrip("/") + path
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
            raise NoteError(f"{self.base}: only https is used for an API that gets a token")
        request = urllib.request.Request(url, data=data, method=method)  # noqa: S310  https, as checked above
        for name, value in {**self.headers, "Content-Type": "application/json", "User-Agent": "qarunner"}.items():
            request.add_header(name, value)
        try:
            with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT_S) as answer:
                text = answer.read()
            return json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            with error:
                raise NoteError(
                    f"{method} {path}: HTTP {error.code}: {_error_text(error)}", status=error.code
                ) from None
        except (OSError, ValueError, HTTPException) as error:
            raise NoteError(f"{method} {path}: {error}") from error


def _error_text(error: urllib.error.HTTPError) -> str:
    try:
        body = json.loads(error.read(10_000))
    except (OSError, ValueError, HTTPException):
        return str(error.reason)
    return str(body.get("message", error.reason)) if isinstance(body, dict) else str(error.reason)


# --- hosts ------------------------------------------------------------------------------------------------------------


class Notes(Struct, frozen=True, kw_only=True):
    """The notes of one pull or merge request. `all` is their path, `one` what stands before a note's id.

    `method` changes a note; `limit` is how many characters one can hold.
    """

    api: Api
    all: str
    one: str
    method: str
    limit: int

    def mine(self, marker: str) -> list[Note]:
        """The notes that this account wrote and that begin with this marker, the oldest first: ids grow."""
        marked = [note for note in self.api.pages(self.all) if str(note.get("body", "")).startswith(marker)]
        notes = [Note(id=str(note["id"]), body=str(note["body"])) for note in self._ours(marked)]
        return sorted(notes, key=lambda note: int(note.id))

    def _ours(self, notes: Sequence[Mapping[str, object]]) -> Iterable[Mapping[str, object]]:
        """Anybody may write the marker into a note, and change that note later: only our own is ours."""
        raise NotImplementedError

    def _user(self) -> Mapping[str, object]:
        user = self.api.get("/user")
        return user if isinstance(user, dict) else {}

    def create(self, body: str) -> None:
        self.api.send("POST", self.all, {"body": body})

    def update(self, note: str, body: str) -> None:
        self.api.send(self.method, f"{self.one}/{note}", {"body": body})

    def remove(self, note: str) -> None:
        self.api.send("DELETE", f"{self.one}/{note}")


class GitHubNotes(Notes, frozen=True):
    """Comments of a pull request (docs.github.com: REST API, issue comments)."""

    @classmethod
    def of(cls, base: str, token: str, repository: str, number: int) -> GitHubNotes:
        headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        issues = f"/repos/{repository}/issues"
        of_pull = {"all": f"{issues}/{number}/comments", "one": f"{issues}/comments", "method": "PATCH"}
        return cls(api=Api(base=base, headers=headers), limit=65_536, **of_pull)

    def _ours(self, notes: Sequence[Mapping[str, object]]) -> Iterable[Mapping[str, object]]:
        authors = [(note, _author(note, "user")) for note in notes]
        login = None
        if any(author.get("type") != "Bot" for _, author in authors):
            with contextlib.suppress(NoteError):  # the token of an app has no user
                login = self._user().get("login")
        return [note for note, by in authors if by.get("type") == "Bot" or (login and by.get("login") == login)]


def _author(note: Mapping[str, object], key: str) -> Mapping[str, object]:
    author = note.get(key)
    return author if isinstance(author, dict) else {}


class GitLabNotes(Notes, frozen=True):
    """Notes of a merge request (docs.gitlab.com: Notes API). A project's own token has a user of its own."""

    @classmethod
    def of(cls, base: str, token: str, project: str, number: int) -> GitLabNotes:
        path = f"/projects/{project}/merge_requests/{number}/notes"
        api = Api(base=base, headers={"PRIVATE-TOKEN": token})
        return cls(api=api, all=path, one=path, method="PUT", limit=1_000_000)

    def _ours(self, notes: Sequence[Mapping[str, object]]) -> Iterable[Mapping[str, object]]:
        user = self._user().get("id")
        return [note for note in notes if user is not None and _author(note, "author").get("id") == user]


PATIENCE_S = 120.0


class Changes(Struct, frozen=True, kw_only=True):
    """`text` is Markdown; `problem` says why there is no text, and `log` all of it. `any`: whether anything changes."""

    text: str = ""
    any: bool = False
    problem: str | None = None
    log: str = ""


def changes_since(base: str, file: str | None) -> Changes:
    """What `qarunner diff` says, in another process: it needs no variable and no credential."""
    words = ["diff", "--format=markdown", "--exit-code", *([f"--file={file}"] if file else []), base]
    try:
        done = subprocess.run(  # noqa: S603  the program itself
            [sys.executable, "-I", "-m", "qarunner", *words],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=PATIENCE_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Changes(problem=str(error))
    if done.returncode not in {ExitCode.OK, ExitCode.CHANGES}:
        lines = done.stderr.strip().splitlines()
        return Changes(problem=lines[0] if lines else f"exit {done.returncode}", log=done.stderr)
    return Changes(text=done.stdout, any=done.returncode == ExitCode.CHANGES)


RESULT = 30_000
"""Bytes of a result: a comment has room for the diff besides."""


def result_of(folder: Path, file: str, code: str, environ: Mapping[str, str]) -> str:
    """A run's result as Markdown. Without a run, what is known: `code` is the exit code, if there is one."""
    from qarunner.app.history import History
    from qarunner.app.reports import for_report
    from qarunner.app.runs import load
    from qarunner.report import markdown
    from qarunner.report.summary import summarise
    from qarunner.review.markdown import code as spanned

    try:
        summary = summarise(load(folder).run) if folder.name else None
    except UserError:
        summary = None
    if summary is None:
        reason = f"exit {int(code)}: nothing was run" if code.isdecimal() else "there is no result"
        return f"### ❌ {spanned(file)}: {reason}; the job's log says why"
    return markdown.render(for_report(History(folder.parent, environ).about(summary), "markdown"), RESULT)
