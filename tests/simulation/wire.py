"""The real transport in virtual time: sockets that are none, behind which the emulated vendors answer in HTTP/1.1.

Only what opens a socket and what wraps it in TLS is replaced. Everything that decides whether a request was sent, and
what a broken answer means, is the program's own, with requests, urllib3 and http.client below it.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import random
import socket
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple
from unittest import mock

import urllib3.connection
import urllib3.util.connection

from qarunner.engine.io import connection
from qarunner.vendors import registry
from qarunner.vendors.api import Reply
from tests.simulation.network import DRIPS_S, HANGS_S, Network, Sent, kind_of
from tests.simulation.plans import VENDORS
from tests.simulation.vendors import Asked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from _typeshed import WriteableBuffer

    from qarunner.engine.decide.interpret import Answer
    from qarunner.engine.io.workers import Sender
    from qarunner.vendors.api import AnyRequest

CONNECT_S = 10.0
PROXY = "http://proxy.test:3128"
HOSTS: Mapping[str, str] = {name: registry.get(name).info.base_url for name in VENDORS}


_TLS_CONTEXT = functools.cache(connection.Network.tls_context)
"""The program's own, made once: to read all certificates takes longer than a world, and no handshake looks at them."""


class TlsError(ssl.SSLError):
    """A handshake that fails, as OpenSSL says it."""

    reason = "TLSV1_ALERT_INTERNAL_ERROR"


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """Where a connection breaks. `at` is a place below; `how` is raised there, or None: the other side closes."""

    at: str
    how: type[BaseException] | None = None
    takes: float = 0.1


REFUSED, RESET, TIMEOUT = ConnectionRefusedError, ConnectionResetError, TimeoutError
BEFORE = (
    Breach(at="name", how=socket.gaierror),
    Breach(at="connect", how=REFUSED),
    Breach(at="connect", how=TIMEOUT, takes=CONNECT_S),
    Breach(at="tls", how=TlsError),
    Breach(at="tls", how=RESET),
    Breach(at="tls", how=TIMEOUT, takes=CONNECT_S),
)
"""Nothing of the request was handed to anybody."""
TUNNEL = (
    Breach(at="tunnel", how=None),
    Breach(at="tunnel", how=RESET),
    Breach(at="tunnel", how=TIMEOUT, takes=CONNECT_S),
    Breach(at="refused tunnel"),
)
"""Nor here: it was the proxy alone that was spoken to."""
AFTER = (
    Breach(at="request", how=RESET),
    Breach(at="request", how=BrokenPipeError),
    Breach(at="request", how=TIMEOUT, takes=HANGS_S),
    Breach(at="answer", how=None),
    Breach(at="answer", how=RESET),
    Breach(at="answer", how=TIMEOUT, takes=HANGS_S),
    Breach(at="head", how=None),
    Breach(at="head", how=RESET),
    Breach(at="body", how=None),
    Breach(at="body", how=RESET),
    Breach(at="body", how=TIMEOUT, takes=DRIPS_S),
)
"""The request, or a part of it, was handed over."""


class Wrapped(NamedTuple):
    """What urllib3 makes of a socket with TLS around it."""

    socket: Socket
    is_verified: bool


@dataclass
class Wire:
    """The cable to all vendors. One request at a time is on it; `breach` and `early` are what it meets."""

    network: Network
    proxied: bool = False
    vendor: str = ""
    breach: Breach | None = None
    early: bytes = b""
    """Informational answers that come before the answer."""
    idle: bool = False
    """Whether a kept connection is closed just when it is used again."""
    reached: bool = False
    answer: Callable[[Asked], Reply] | None = None

    @contextlib.contextmanager
    def plugged_in(self) -> Iterator[None]:
        """Every connection of this process goes over this wire."""
        with (
            mock.patch.object(urllib3.util.connection, "create_connection", self.connect),
            mock.patch.object(urllib3.connection, "_ssl_wrap_socket_and_match_hostname", self.wrap),
            mock.patch.object(urllib3.connection, "wait_for_read", lambda sock, **_: sock.over),
            mock.patch.object(connection.Network, "tls_context", _TLS_CONTEXT),
        ):
            yield

    def broken(self, at: str) -> bool:
        return self.breach is not None and self.breach.at == at

    def break_at(self, at: str) -> bool:
        """Breaks the connection, if this is the place; true where the other side closes it in silence."""
        if not self.broken(at):
            return False
        assert self.breach is not None
        if self.breach.how is not None:
            raise self.breach.how(f"broken at {at}")
        return True

    def connect(self, address: tuple[str, int], *_: object, **__: object) -> Socket:
        del address
        self.break_at("name")
        self.break_at("connect")
        return Socket(self)

    def wrap(self, sock: Socket, **_: object) -> Wrapped:
        self.break_at("tls")
        return Wrapped(sock, is_verified=True)


@dataclass(eq=False)
class Socket:
    """What http.client needs of a socket."""

    wire: Wire
    over: bool = False
    _heard: bytes = b""
    _says: deque[bytes] = field(default_factory=deque)
    _used: bool = False

    def settimeout(self, seconds: float | None) -> None:
        """Time is virtual here."""

    def setsockopt(self, *_: object) -> None:
        """There is nothing to set."""

    def close(self) -> None:
        self.over = True

    def shutdown(self, how: int) -> None:
        del how
        self.over = True

    def fileno(self) -> int:
        return -1

    def makefile(self, mode: str, *_: object, **__: object) -> io.BufferedReader:
        del mode
        return io.BufferedReader(_Raw(self))

    def sendall(self, data: bytes) -> None:
        self._heard += data
        if self._heard.startswith(b"CONNECT "):
            if self._heard.endswith(b"\r\n\r\n"):
                self._heard = b""
                self._tunnel()
            return
        if self._used and self.wire.idle:
            return  # the other side has closed: it will never be read
        self.wire.break_at("request")
        asked = _parsed(self._heard, self.wire.vendor)
        if asked is not None:
            self._heard, self._used = b"", True
            self._serve(asked)

    def _tunnel(self) -> None:
        if self.wire.broken("refused tunnel"):
            self._says.append(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
        elif not self.wire.broken("tunnel"):
            self._says.append(b"HTTP/1.1 200 Connection established\r\n\r\n")

    def _serve(self, asked: Asked) -> None:
        assert self.wire.answer is not None
        self.wire.reached = True
        reply = self.wire.answer(asked)
        body = reply.text.encode()
        phrase = HTTPStatus(reply.status).phrase
        lines = [f"HTTP/1.1 {reply.status} {phrase}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in reply.headers.items()]
        head = "\r\n".join([*lines, "", ""]).encode()
        if self.wire.broken("answer"):
            return
        if self.wire.broken("head"):
            self._says.append(self.wire.early + head[: len(head) // 2])
        elif self.wire.broken("body") and len(body) > 1:
            self._says.append(self.wire.early + head + body[: len(body) // 2])
        else:
            self._says.append(self.wire.early + head + body)

    def read(self, size: int) -> bytes:
        """What the other side has said; nothing where it has closed."""
        if self._says:
            piece = self._says.popleft()
            if len(piece) > size:
                self._says.appendleft(piece[size:])
            return piece[:size]
        for place in ("tunnel", "answer", "head", "body"):
            self.wire.break_at(place)
        self.over = True
        return b""


class _Raw(io.RawIOBase):
    def __init__(self, sock: Socket) -> None:
        super().__init__()
        self._sock = sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        room = memoryview(buffer)
        data = self._sock.read(len(room))
        room[: len(data)] = data
        return len(data)


def _parsed(data: bytes, vendor: str) -> Asked | None:
    """A whole request; None while some of it is missing."""
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return None
    first, *lines = head.decode().split("\r\n")
    method, target, _ = first.split(" ")
    headers = dict(line.split(": ", 1) for line in lines)
    if len(body) < int(headers.get("Content-Length", "0")):
        return None
    base = HOSTS[vendor].partition("://")[2]
    prefix = base[base.index("/") :] if "/" in base else ""
    path, _, query = target.removeprefix(prefix).partition("?")
    pairs = tuple(tuple(each.split("=", 1)) for each in query.split("&") if each)
    return Asked(
        method=method,
        path=path,
        query=pairs,  # type: ignore[arg-type]
        headers=headers,
        body=json.loads(body) if body else None,
    )


# --- one request over it ----------------------------------------------------------------------------------------------

EARLY = (b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n")


@dataclass
class Telegraph:
    """Sends requests through the program's transport; what they meet is the network's weather, and the wire's own."""

    wire: Wire
    dice: random.Random
    chance: float
    """That of each request to meet a breach."""

    def send(
        self, sender: Sender, vendor: str, request: AnyRequest, key: str | None, now: float, *, fresh: bool
    ) -> Answer:
        network, wire = self.wire.network, self.wire
        wire.vendor, wire.reached, wire.breach = vendor, False, None
        wire.early = self.dice.choice(EARLY) if not network.calm and self.dice.random() < self.chance else b""
        wire.idle = not network.calm and self.dice.random() < self.chance / 2
        if not network.calm and self.dice.random() < self.chance:
            wire.breach = self.dice.choice((*BEFORE, *AFTER, *(TUNNEL if wire.proxied else ())))
        network.took = self.dice.uniform(0.02, 0.3) if wire.breach is None else wire.breach.takes
        last: list[Asked] = []
        said: list[Reply] = []

        def answer(asked: Asked) -> Reply:
            last.append(asked)
            said.append(network.market.answer(vendor, asked))
            return said[-1]

        wire.answer = answer
        with wire.plugged_in():
            found = sender.send(vendor, request, key=key, fresh=fresh)
        answered = [found.status] if isinstance(found, Reply) else []
        if wire.breach is None and not wire.idle and [each.status for each in said] != answered:
            network.misread.append(f"nothing broke, and {vendor} is taken to have said: {found}")
        asked = last[-1] if last else Asked(method=request.method, path=request.path)
        what = f"{wire.breach.at} {wire.breach.how.__name__ if wire.breach.how else 'closed'}" if wire.breach else ""
        fate = " ".join(filter(None, [what, "early" if wire.early else "", "idle" if wire.idle else ""]))
        network.sent.append(
            Sent(at=now, vendor=vendor, kind=kind_of(asked), asked=asked, fate=fate, answer=found, takes=network.took)
        )
        return found
