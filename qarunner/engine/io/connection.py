"""The ways of this machine to the network: base URLs, proxies and certificates, and what becomes of each request there.

A connection notes when the first byte of a request is handed to it. That note alone says whether a request was sent.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import http.client
import io
import ipaddress
import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast
from urllib.parse import SplitResult, quote, unquote, urlsplit

import certifi
from msgspec import Struct, field
from urllib3 import HTTPResponse, PoolManager, ProxyManager
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.ssl_ import create_urllib3_context

from qarunner.errors import UserError
from qarunner.regex import regex
from qarunner.vendors.api import Auth, Cause, Fault

if TYPE_CHECKING:
    import socket


Clock: TypeAlias = Callable[[], float]


# --- one request on its way -------------------------------------------------------------------------------------------


class Stage(StrEnum):
    """How far a request has come. Only in the last two can the other side have read a byte of it."""

    CONNECTING = "connecting"
    TUNNEL = "tunnel"
    """The proxy was asked for a tunnel."""
    SENDING = "sending"
    ANSWER = "answer"
    """The request is out, and an answer is waited for."""


class Exchange(Struct, kw_only=True):
    """One request and its answer. `idle_s` is the longest silence of the other side, once a byte was sent.

    `ends_at` is when all of it has to be over, by `clock`. `tunnel_status` is the proxy's answer to CONNECT.
    `fresh`: over a new connection, since a kept one may break just when it is used again.
    """

    clock: Clock
    connect_s: float
    idle_s: float
    ends_at: float
    fresh: bool = False
    stage: Stage = Stage.CONNECTING
    tunnel_status: int | None = None

    @property
    def sent(self) -> bool:
        """True if a byte of the request was handed to the connection."""
        return self.stage in {Stage.SENDING, Stage.ANSWER}

    @property
    def is_over(self) -> bool:
        return self.clock() >= self.ends_at

    def next_wait_s(self) -> float:
        """How long the next step on the socket may take. TimeoutError if the time for all of them is up."""
        left = self.ends_at - self.clock()
        if left <= 0:
            raise TimeoutError("the time is up")
        return min(left, self.idle_s if self.sent else self.connect_s)

    def begin_sending(self) -> None:
        """Called just before a byte is handed to the connection. TimeoutError, and nothing sent, if the time is up."""
        self.next_wait_s()
        self.stage = Stage.SENDING


MOST_INTERIM = 100
"""So many answers below 200 are read over before the one that counts."""

_INTERIM = range(100, 200)
_SWITCHING = http.client.SWITCHING_PROTOCOLS
_WITHOUT_BODY = frozenset({http.client.NO_CONTENT, http.client.NOT_MODIFIED, _SWITCHING})

_LONGEST_LINE = 65_536
_MOST_HEADERS = 1000


class _BoundedReader(io.RawIOBase):
    """Reads from a socket within the time of its exchange, however slowly the other side drips."""

    def __init__(self, sock: socket.socket, exchange: Exchange) -> None:
        self._sock = sock
        self._exchange = exchange
        self.is_at_end = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  io's own signature
        self._sock.settimeout(self._exchange.next_wait_s())
        count = self._sock.recv_into(buffer)
        self.is_at_end = self.is_at_end or count == 0
        return count

    def makefile(self, _mode: str) -> io.BufferedReader:
        """As http.client asks a socket for what it reads from. The socket itself stays its connection's."""
        return io.BufferedReader(self)


class _FinalResponse(http.client.HTTPResponse):
    """An answer that counts. http.client reads over 100 alone, and would take 103 Early Hints for the answer.

    It also reads headers as those of a mail, which takes longer than all the rest of it. `fields` are by lower case.
    """

    def __init__(self, sock: socket.socket, *, exchange: Exchange, **options: Any) -> None:  # noqa: ANN401  its own
        self._reader = _BoundedReader(sock, exchange)
        super().__init__(self._reader, **options)  # type: ignore[arg-type]
        self._exchange = exchange
        exchange.stage = Stage.ANSWER if exchange.sent else Stage.TUNNEL
        self.fields: dict[str, str] = {}

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(MOST_INTERIM):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status not in _INTERIM or status == _SWITCHING:
                if not self._exchange.sent:
                    self._exchange.tunnel_status = status
                return version, status, reason
            self._read_fields()
        raise http.client.HTTPException(f"more than {MOST_INTERIM} answers below 200, and no other")

    def begin(self) -> None:
        version, self.status, self.reason = self._read_status()
        if not version.startswith("HTTP/1."):
            raise http.client.UnknownProtocol(version)
        self.fields = fields = self._read_fields()
        self.chunked = fields.get("transfer-encoding", "").lower() == "chunked"
        self.chunk_left = None
        length = fields.get("content-length", "")
        if self.status in _WITHOUT_BODY:
            self.length = 0
        else:
            self.length = int(length) if length.isascii() and length.isdigit() and not self.chunked else None
        connection = fields.get("connection", "").lower()
        stays = "close" not in connection and (version == "HTTP/1.1" or "keep-alive" in connection)
        # What follows an upgrade is no HTTP; and without a length, the end of the connection is the answer's.
        ends = self.status != _SWITCHING and (self.chunked or self.length is not None)
        self.will_close = not (stays and ends)

    def _read_fields(self) -> dict[str, str]:
        """The header, by names in lower case. A line that is no field says nothing."""
        fields: dict[str, str] = {}
        name = ""
        for _ in range(_MOST_HEADERS):
            line = self.fp.readline(_LONGEST_LINE + 1)
            if len(line) > _LONGEST_LINE:
                raise http.client.LineTooLong("header line")
            if self._reader.is_at_end:
                raise http.client.HTTPException("the header of the answer is not whole")
            text = line.decode("latin-1").rstrip("\r\n")
            if not text:
                return fields
            if text[0] in " \t" and name:  # the field before goes on
                fields[name] += f" {text.strip()}"
                continue
            name, colon, value = text.partition(":")
            name = name.strip().lower() if colon else ""
            if name:
                fields[name] = value.strip()
        raise http.client.HTTPException(f"got more than {_MOST_HEADERS} headers")

    def body(self, most: int) -> bytes:
        """The whole body, decoded. HTTPException if it is not whole, or longer than so many bytes."""
        data = _gathered(partial(self.read1, _PIECE), most)
        if self.length:
            raise http.client.HTTPException(f"the last {self.length} bytes of the answer are missing")
        encoding = self.fields.get("content-encoding", "identity")
        if encoding.lower() == "identity" or not data:
            return data
        decoder = HTTPResponse(io.BytesIO(data), {"Content-Encoding": encoding}, preload_content=False)
        return _gathered(partial(decoder.read1, _PIECE, decode_content=True), most)


_PIECE = 64 * 1024


def _gathered(read: Callable[[], bytes], most: int) -> bytes:
    pieces, size = [], 0
    # What has come, and no more: a plain read waits for a whole piece, however slowly a server drips it.
    while piece := read():
        pieces.append(piece)
        size += len(piece)
        if size > most:
            raise http.client.HTTPException(f"the answer is longer than {most} bytes")
    return b"".join(pieces)


_STILL_READABLE = frozenset({errno.EPIPE, errno.ECONNRESET, errno.EPROTOTYPE})
"""What a server that closes early does to a request: its answer may be there all the same."""


class Readable(Protocol):
    """A body that is read piece by piece."""

    def read(self, size: int, /) -> bytes: ...


class _Kept:
    """One connection to a host, which is kept. As a part of urllib3's pools, which know how it is opened."""

    connection: Any = None

    def ask(
        self, method: str, head: bytes, file: Readable | None, exchange: Exchange, most: int
    ) -> tuple[int, dict[str, str], bytes]:
        """Sends a head with its body, or with a file after it. Returns the answer's status, header and body."""
        connection = self.connection = self.connection or self._new_conn()  # type: ignore[attr-defined]
        try:
            if exchange.fresh or not connection.is_connected:
                connection.close()
                connection.timeout = exchange.connect_s
                connection.response_class = partial(_FinalResponse, exchange=exchange)
                self._prepare_proxy(connection)  # type: ignore[attr-defined]
                if connection.is_closed:
                    connection.connect()
            _send(connection.sock, head, file, exchange)
            response = _FinalResponse(connection.sock, exchange=exchange, method=method)
            response.begin()
            body = response.body(most)
        except BaseException:
            connection.close()
            raise
        if response.will_close:
            connection.close()
        return response.status, response.fields, body

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()


def _send(sock: socket.socket, head: bytes, file: Readable | None, exchange: Exchange) -> None:
    piece = head
    try:
        while piece:
            exchange.begin_sending()
            sock.settimeout(exchange.next_wait_s())
            sock.sendall(piece)
            piece = b"" if file is None else file.read(_PIECE)
    except OSError as error:
        if error.errno not in _STILL_READABLE:
            raise


class _Pool(_Kept, HTTPConnectionPool):
    """A host of this machine."""


class _TLSPool(_Kept, HTTPSConnectionPool):
    """A host over TLS, through a tunnel where there is a proxy."""

    def _prepare_proxy(self, conn: Any) -> None:  # noqa: ANN401  urllib3's own signature
        if self.proxy is not None:
            super()._prepare_proxy(conn)


class Pools:
    """The connections of one thread: one to each host. Certificates are those of `context`, always."""

    def __init__(self, context: Callable[[], ssl.SSLContext]) -> None:
        self._context = context
        self._pools: dict[str, _Kept] = {}

    def to(self, origin: str, proxy: str | None) -> _Kept:
        """The connection to a host."""
        pool = self._pools.get(origin)
        if pool is None:
            pool = self._pools[origin] = cast("_Kept", self._manager(origin, proxy).connection_from_url(origin))
        return pool

    def _manager(self, origin: str, proxy: str | None) -> PoolManager:
        context = self._context() if origin.startswith("https:") else None
        if proxy is None:
            manager = PoolManager(ssl_context=context)
        else:
            basic = basic_of(urlsplit(proxy))
            headers = {"Proxy-Authorization": basic} if basic else {}
            manager = ProxyManager(proxy, proxy_headers=headers, proxy_ssl_context=context, ssl_context=context)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
        return manager

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()


# --- why there is no answer -------------------------------------------------------------------------------------------

CERTIFICATE_HINT = "a private CA's certificate is named by REQUESTS_CA_BUNDLE or SSL_CERT_FILE"
_NO_TLS = frozenset(
    {
        *("WRONG_VERSION_NUMBER", "UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "HTTP_REQUEST"),
        *("RECORD_LAYER_FAILURE", "NO_PROTOCOLS_AVAILABLE", "SSLV3_ALERT_HANDSHAKE_FAILURE"),
        *("TLSV1_UNRECOGNIZED_NAME", "HTTPS_PROXY_REQUEST"),
    }
)
"""What OpenSSL says of a server that speaks no TLS, or another one: that is no better the next time."""

_OK, _CLIENT_ERROR, _SERVER_ERROR = 200, 400, 500
_PROXY_AUTHENTICATION = 407
_PASSING_REFUSALS = frozenset({408, 425, 429})
"""Answers to CONNECT below 500 that may be another one soon."""


class Route(Struct, frozen=True, kw_only=True):
    """Which way a request was to go. `variable` is the one that names the proxy."""

    host: str
    proxy: str | None
    variable: str

    @property
    def proxy_words(self) -> str:
        return f"the proxy {shown_proxy(self.proxy or '')} ({self.variable})"


def fault_of(error: Exception, exchange: Exchange, route: Route) -> Fault:
    """What an error means. Whether the request was sent is for the connection alone to say, and not for the error."""
    if exchange.sent:
        words = _timeout_words(exchange, route) if _is_timeout(error) else _lost_words(error, route)
        return Fault(sent=True, message=words)
    if _is_timeout(error):
        return Fault(sent=False, message=_timeout_words(exchange, route))
    if (broken := _tls_error(error)) is not None:
        hint = f"; {CERTIFICATE_HINT}" if isinstance(broken, ssl.SSLCertVerificationError) else ""
        message = f"TLS with {route.host} failed: {_innermost(broken)}{hint}"
        return Fault(sent=False, final=Cause.CONNECTION, message=message)
    if isinstance(error, ValueError):  # nothing can be sent at all, however often it is tried
        message = f"cannot be sent to {route.host}: {_innermost(error)}"
        return Fault(sent=False, final=Cause.REFUSED, message=message)
    if exchange.stage is Stage.TUNNEL and exchange.tunnel_status != _OK:
        return _no_tunnel(error, exchange.tunnel_status, route)
    where = route.host if route.proxy is None or exchange.stage is Stage.TUNNEL else route.proxy_words
    what = "TLS with {} failed" if isinstance(error, ssl.SSLError) else "cannot connect to {}"
    return Fault(sent=False, message=f"{what.format(where)}: {_innermost(error)}")


def _no_tunnel(error: Exception, status: int | None, route: Route) -> Fault:
    """A proxy that refuses for a reason of its own will do so again; one that has trouble may not."""
    wants = "wants another user or password" if status == _PROXY_AUTHENTICATION else f"opened no tunnel to {route.host}"
    refuses = status is not None and _CLIENT_ERROR <= status < _SERVER_ERROR and status not in _PASSING_REFUSALS
    message = f"{route.proxy_words} {wants}: {_innermost(error)}"
    return Fault(sent=False, final=Cause.CONNECTION if refuses else None, message=message)


def _lost_words(error: Exception, route: Route) -> str:
    return f"the connection to {route.host} was lost: {_innermost(error)}"


def _timeout_words(exchange: Exchange, route: Route) -> str:
    seconds = f"within {exchange.idle_s if exchange.sent else exchange.connect_s:g} s"
    what = f"no answer from {route.host}"
    match exchange.stage:
        case Stage.CONNECTING:
            what = f"no connection to {route.host if route.proxy is None else route.proxy_words}"
        case Stage.TUNNEL if exchange.tunnel_status == _OK:
            what = f"no TLS with {route.host}"
        case Stage.TUNNEL:
            what = f"{route.proxy_words} opened no tunnel to {route.host}"
        case Stage.SENDING:
            what = f"{route.host} took nothing more of the request"
        case Stage.ANSWER:
            pass
    return f"{what} {'in all the time that it may take' if exchange.is_over else seconds}"


def _is_timeout(error: BaseException) -> bool:
    return any(isinstance(cause, TimeoutError) for cause in _within(error))


def _tls_error(error: BaseException) -> ssl.SSLError | None:
    """The error of a certificate or of TLS itself that ended a handshake for good."""
    for cause in _within(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause
        if isinstance(cause, ssl.SSLError) and cause.reason in _NO_TLS:
            return cause
    return None


def _within(error: BaseException) -> Iterator[BaseException]:
    """An error and all that it comes from: urllib3 hides causes in arguments and in `reason`, too."""
    waiting, seen = [error], {id(error)}
    while waiting:
        current = waiting.pop()
        yield current
        inner = (current.__cause__, current.__context__, getattr(current, "reason", None), *current.args)
        inner_errors = [one for one in inner if isinstance(one, BaseException) and id(one) not in seen]
        seen.update(map(id, inner_errors))
        waiting += inner_errors


def _innermost(error: BaseException) -> str:
    """The cause at the bottom, which is what a person can act on."""
    while (deeper := error.__cause__ or error.__context__) is not None:
        error = deeper
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


# --- where it goes ----------------------------------------------------------------------------------------------------


class Endpoint(Struct, frozen=True, kw_only=True):
    """Where a vendor lives and how a request shows who sends it. `key` is text: this never leaves the process.

    `key_variable` is the variable that the key stood in; `more_keys` are those of other variables that `auth` names.
    """

    base_url: str
    auth: Auth
    key: str
    key_variable: str
    more_keys: Mapping[str, str] = field(default_factory=dict)
    idempotency_header: str | None = None

    def auth_headers(self) -> dict[str, str]:
        headers = {name: self._filled(text) for name, text in self.auth.headers.items()}
        if self.auth.basic is not None:
            headers["Authorization"] = _basic(*map(self._filled, self.auth.basic))
        return headers

    def auth_query(self) -> list[tuple[str, str]]:
        return [(name, self._filled(text)) for name, text in self.auth.query.items()]

    def hidden(self) -> dict[str, str]:
        """What no answer may bring back, by names for people."""
        made = [text.split(" ", 1)[1] for text in self.auth_headers().values() if text.startswith("Basic ")]
        return {"key": self.key, **self.more_keys, **{f"basic {index}": text for index, text in enumerate(made)}}

    def _filled(self, text: str) -> str:
        return text.format(key=self.key, **self.more_keys)

    def __repr__(self) -> str:
        return f"Endpoint({self.base_url})"


class Place(Struct, frozen=True, kw_only=True):
    """A URL as a request needs it: the server, the header `Host`, and the target, in characters that a URL can have.

    `basic` are the user and the password in it, as a header.
    """

    origin: str
    host: str
    target: str
    basic: str | None

    @classmethod
    def of(cls, url: str) -> Place:
        """ValueError if the URL names no host that could be found."""
        parts = urlsplit(url)
        name = (parts.hostname or "").encode("idna").decode("ascii")
        host = f"[{name}]" if ":" in name else name
        host += "" if parts.port in {None, _PORTS.get(parts.scheme)} else f":{parts.port}"
        target = encoded(parts.path + (f"?{parts.query}" if parts.query else ""))
        return cls(origin=f"{parts.scheme}://{host}", host=host, target=target, basic=basic_of(parts))


_PORTS = {"http": 80, "https": 443}
_BROKEN_ESCAPE = regex(r"%(?![0-9A-Fa-f]{2})")


def encoded(target: str) -> str:
    """A path and a query without characters that no URL can have. Escapes stay, unless one of them is none."""
    return quote(target, safe="/:@!$&'()*+,;=-._~?" + ("" if _BROKEN_ESCAPE.search(target) else "%"))


def _basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def basic_of(parts: SplitResult) -> str | None:
    """The user and the password of a URL as a header says them; None without a user."""
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return _basic(user, password) if user else None


_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


class Network(Struct, frozen=True, kw_only=True):
    """Proxy and certificates, resolved once. `bundle` is a file or a folder, `folders` are searched besides."""

    proxy: str | None = None
    proxy_variable: str = ""
    no_proxy: str = ""
    bundle: str | None = None
    folders: tuple[str, ...] = ()

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Network:
        """What the usual variables say; lower case wins. UserError for certificates that cannot be read."""

        def read(name: str) -> str:
            return (environ.get(name.lower()) or environ.get(name) or "").strip()

        names = (written for name in ("HTTPS_PROXY", "ALL_PROXY") for written in (name.lower(), name))
        variable = next((name for name in names if environ.get(name, "").strip()), "")
        bundle = next((name for name in _BUNDLES if environ.get(name)), None)
        if bundle:
            _check_bundle(bundle, environ[bundle])
        folders = _certificate_folders(environ) if bundle in {None, "SSL_CERT_FILE"} else ()
        return cls(
            proxy=environ[variable].strip() if variable else None,
            proxy_variable=variable,
            no_proxy=read("NO_PROXY"),
            bundle=environ[bundle] if bundle else None,
            folders=folders,
        )

    def proxy_for(self, url: str) -> str | None:
        """The proxy's URL for a URL; no proxy for this machine itself. UserError if it names one that cannot work."""
        if self.proxy is None or is_loopback(urlsplit(url).hostname or ""):
            return None
        if _goes_direct(urlsplit(url), self.no_proxy):
            return None
        return _proxy_url(self.proxy, self.proxy_variable)

    def passwords(self) -> dict[str, str]:
        """What the proxy is asked with, as written and as meant: a library's error may repeat its URL."""
        written = (self.proxy or "").rpartition("@")[0].rpartition("//")[2].partition(":")[2]
        return {"proxy_password": written, "proxy_password_plain": unquote(written)} if written else {}

    def tls_context(self) -> ssl.SSLContext:
        """What certificates are checked with; they always are."""
        context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
        path = self.bundle or certifi.where()
        context.load_verify_locations(**{"capath" if Path(path).is_dir() else "cafile": path})
        for folder in self.folders:
            context.load_verify_locations(capath=folder)
        return context


def _goes_direct(parts: SplitResult, no_proxy: str) -> bool:
    """True if NO_PROXY names the host, a domain that it is in, or a network of addresses; `*` stands for all."""
    host = (parts.hostname or "").rstrip(".")
    for name in no_proxy.lower().replace(" ", "").split(","):
        domain = f".{name.lstrip('.')}"
        if name == "*" or (name and f".{host}".endswith(domain)) or f".{host}:{parts.port}".endswith(domain):
            return True
        if "/" in name:
            with contextlib.suppress(ValueError):  # a name, and no network; or a host that is no address
                if ipaddress.ip_address(host) in ipaddress.ip_network(name, strict=False):
                    return True
    return False


def _proxy_url(text: str, variable: str) -> str:
    """A proxy's URL with its scheme. UserError without the text, which may hold a password."""
    url = text if "://" in text else f"http://{text}"
    parts = _split(url)
    if parts is None:
        raise UserError(f"{variable}: its port is no number from 1 to 65535", hint=_PROXY_HINT)
    if parts.scheme not in {"", "http", "https"}:  # empty: what stands there is no scheme
        raise UserError(f"{variable}: a proxy of the kind {parts.scheme}:// is not supported", hint=_PROXY_HINT)
    if not parts.hostname or not _is_bare(parts) or not url.isprintable() or " " in url:
        raise UserError(f"{variable}: not the URL of a proxy", hint=_PROXY_HINT)
    return url


def _split(url: str) -> SplitResult | None:
    """The parts of a URL; None if its port, or an address in brackets, is none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    return parts if port is None or port > 0 else None


def _is_bare(parts: SplitResult) -> bool:
    return parts.path in {"", "/"} and not parts.query and not parts.fragment


_PROXY_HINT = "write http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, with / ? # @ in a password as %2F %3F %23 %40"


def shown_proxy(url: str) -> str:
    """A proxy as `host:port`, without user and password."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _check_bundle(variable: str, path: str) -> None:
    """Found out now, and not at a create, where it would be unknown whether the request left."""
    kind = "capath" if Path(path).is_dir() else "cafile"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(**{kind: path})
    except OSError as error:
        hint = "it names a file of certificates in PEM form"
        raise UserError(f"{variable}: {path}: {error.strerror or error}", hint=hint) from error


def _certificate_folders(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The folders of SSL_CERT_DIR, which OpenSSL searches besides its file. UserError if there is no such folder."""
    names = [name for name in environ.get("SSL_CERT_DIR", "").split(os.pathsep) if name]
    folders = tuple(name for name in names if Path(name).is_dir())
    if names and not folders:
        hint = "it names folders of certificates, under the names that `openssl rehash` gives them"
        raise UserError(f"SSL_CERT_DIR: {names[0]}: no such folder", hint=hint)
    return folders


def is_loopback(host: str) -> bool:
    # Not *.localhost: not every resolver keeps these names on this machine.
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def checked_url(url: str, variable: str) -> str:
    """A base URL without its trailing slash. UserError unless it is https, or plain http on loopback."""
    url = url.strip()
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        # Not in its own words: they may repeat a part of a password.
        raise UserError(f"{variable}: not a URL", hint="write https://host or https://host:port/path") from None
    if not url.isprintable() or " " in url or "\\" in url:
        raise UserError(f"{variable}: has a character that no URL can have")
    if "@" in parts.netloc or "?" in url or "#" in url:
        raise UserError(f"{variable}: a base URL has no user, password, query or fragment")
    if parts.scheme == "https" and host:
        return url.rstrip("/")
    if parts.scheme == "http" and is_loopback(host):
        return url.rstrip("/")
    raise UserError(
        f"{variable}: {url!r} is no https URL",
        hint="use https://…; plain http is taken for 127.0.0.1 and localhost alone",
    )
