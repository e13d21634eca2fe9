"""What the vendors of a rehearsal were asked, in one file: asked all of it again, another emulator stands where it was.

The first line says how the emulator began, each other line is one request in the order of their effects. No credential
and no text that `clean` takes out is written.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import MsgspecError, Struct, convert, to_builtins
from msgspec.structs import replace

from qarunner.emulator.scenario import Scenario, ScenarioError, parse_scenario
from qarunner.emulator.world import Clock, Ids, Stored

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope


VERSION = 1
_OWN_FILE: int = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
_HEADERS = ("content-type", "idempotency-key")
"""What a reply depends on, besides the credential."""


class Forgotten(ValueError):  # noqa: N818 (a message about a file, not a failure of the program)
    """The file does not say how an emulator stood; the text says why."""


class Start(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the emulator began: its scenario's text, the seed of all ids, the time in seconds since 1970."""

    scenario: str
    seed: str
    began: float
    version: int


class Asked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One request; `at` is in seconds since the start. `stored` is what arrived at a presigned URL."""

    at: float
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: object = None
    stored: Stored | None = None


class Memory:
    """How an emulator began, and the requests so far."""

    def __init__(
        self,
        scenario: str = "",
        *,
        name: str = "the rehearsal's scenario",
        start: Start | None = None,
        past: Sequence[Asked] = (),
        whole: int = 0,
        clean: Callable[[str], str] = str,
    ) -> None:
        self._start = start or Start(scenario=scenario, seed=secrets.token_hex(16), began=time.time(), version=VERSION)
        self.name = name
        self._past, self._whole = past, whole
        self._clean = clean
        self._count = 0
        self._file: int | None = None
        self._clock: Clock = time.monotonic
        self._offset = 0.0
        self._replayed: float | None = 0.0
        """The time of the request that is repeated; None once this is over."""
        self.ids = Ids(self._start.seed)

    @property
    def began(self) -> datetime:
        return datetime.fromtimestamp(self._start.began, UTC)

    @property
    def scenario(self) -> Scenario:
        """ScenarioError if it cannot be used."""
        return parse_scenario(self._start.scenario, self.name)

    def now(self) -> float:
        """Seconds since the start, also those in which no emulator was there."""
        return self._clock() - self._offset if self._replayed is None else self._replayed

    async def replay(self, emulator: ASGIApp, clock: Clock, headers: Mapping[str, Mapping[str, str]]) -> None:
        """Asks all of it again; `headers` are each vendor's credential. From then on time goes by `clock`."""
        for asked in self._past:
            self._replayed = asked.at
            await emulator(_scope(asked, headers), _receive(asked), _unheard)
        last = self._past[-1].at if self._past else 0.0
        self._clock = clock
        self._offset = clock() - (max(last, time.time() - self._start.began) if self._past else 0.0)
        self._replayed = None

    def keep_in(self, path: Path) -> None:
        """From now on every request is written there, and never through a link. OSError if it cannot be."""
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _OWN_FILE, 0o644)
        os.ftruncate(self._file, self._whole)
        if not self._whole:
            os.write(self._file, _line(self._start))

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
        self._file = None

    def note(self, request: Request, body: object, stored: Stored | None = None) -> None:
        """Called right before a request has its effect."""
        self._count += 1
        self.ids.begin(self._count)
        if self._file is None or self._replayed is not None:
            return
        asked = Asked(
            at=self.now(),
            method=request.method,
            path=self._clean(request.scope["path"]),
            query=self._clean(request.url.query),
            headers={name: request.headers[name] for name in _HEADERS if name in request.headers},
            body=_each_text(body, self._clean),
            stored=stored,
        )
        try:
            os.write(self._file, _line(asked))
        except OSError:  # a rehearsal goes on without it; what has a gap would tell another story
            os.ftruncate(self._file, 0)
            self.close()


def read_memory(data: bytes, clean: Callable[[str], str], restore: Callable[[str], str]) -> Memory:
    """The memory that an earlier emulator kept, from its file's content. Forgotten if it is damaged."""
    first, *lines = data.splitlines(keepends=True) or [b""]
    if lines and not lines[-1].endswith(b"\n"):  # the process was killed while it wrote it
        lines.pop()
    try:
        start = convert(json.loads(first), Start)
        if start.version != VERSION:
            raise Forgotten("another version of this program kept it")
        past = [_restored(convert(json.loads(line), Asked), restore) for line in lines]
        memory = Memory(start=start, past=past, whole=sum(map(len, (first, *lines))), clean=clean)
        _ = memory.scenario
    except (MsgspecError, ScenarioError, json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Forgotten(f"it is damaged: {error}") from None
    return memory


def _restored(asked: Asked, restore: Callable[[str], str]) -> Asked:
    body = _each_text(asked.body, restore)
    return replace(asked, path=restore(asked.path), query=restore(asked.query), body=body)


def _each_text(value: object, change: Callable[[str], str]) -> object:
    """A JSON value with each of its texts changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(key): _each_text(item, change) for key, item in value.items()}
    return [_each_text(item, change) for item in value] if isinstance(value, list | tuple) else value


def _line(data: Struct) -> bytes:
    known = {key: value for key, value in to_builtins(data).items() if value is not None}
    return json.dumps(known, separators=(",", ":")).encode() + b"\n"


def _scope(asked: Asked, headers: Mapping[str, Mapping[str, str]]) -> Scope:
    vendor = asked.path.split("/")[1]
    sent = {"host": "127.0.0.1", **asked.headers, **headers.get(vendor, {})}
    return {
        "type": "http",
        "http_version": "1.1",
        "method": asked.method,
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "path": asked.path,
        "root_path": "",
        "query_string": asked.query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        "state": {"abort": lambda: None, "stored": asked.stored},
    }


def _receive(asked: Asked) -> Receive:
    body = b"" if asked.body is None else json.dumps(asked.body).encode()
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive


async def _unheard(message: Message) -> None:
    """The reply was given to whoever asked first."""
