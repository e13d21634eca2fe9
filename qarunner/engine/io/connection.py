"""The ways of this machine to the network: base URLs, proxies and certificates, and what becomes of each request there.

A connection notes when the first byte of a request is handed to it. That note alone says whether a request was sent.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import ipaddress
import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit

from msgspec import Struct, field
from requests import PreparedRequest, RequestException
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH, should_bypass_proxies
from urllib3 import HTTPResponse, PoolManager
from urllib3 import exceptions as why
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util import Timeout
from urllib3.util.ssl_ import create_urllib3_context

from qarunner.errors import UserError
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


_CURRENT: ContextVar[Exchange] = ContextVar("exchange")
"""The exchange of this thread. urllib3 makes connections by itself, so that they cannot be handed one."""


@contextlib.contextmanager
def watched(exchange: Exchange) -> Iterator[Exchange]:
    """While it lasts, connections of `Pools` note in `exchange` how far the request has come."""
    token = _CURRENT.set(exchange)
    try:
        yield exchange
    finally:
        _CURRENT.reset(token)


MOST_INTERIM = 100
"""So many answers below 200 are read over before the one that counts."""

_INTERIM = range(100, 200)
_SWITCHING = http.client.SWITCHING_PROTOCOLS


class _BoundedReader(io.RawIOBase):
    """Reads from a socket within the time of its exchange, however slowly the other side drips."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, exchange: Exchange) -> None:
        self._raw = raw
        self._sock = sock
        self._exchange = exchange
        self.is_at_end = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401  io's own signature
        self._sock.settimeout(self._exchange.next_wait_s())
        count: int | None = self._raw.readinto(buffer)
        self.is_at_end = self.is_at_end or count == 0
        return count

    def close(self) -> None:
        try:
            self._raw.close()
        finally:
            super().close()


class _FinalResponse(http.client.HTTPResponse):
    """An answer that counts. http.client reads over 100 alone, and would take 103 Early Hints for the answer."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:  # noqa: ANN401  http.client's own
        super().__init__(sock, *args, **options)
        self._exchange = _CURRENT.get()
        self._exchange.stage = Stage.ANSWER if self._exchange.sent else Stage.TUNNEL
        self._reader = _BoundedReader(self.fp.detach(), sock, self._exchange)
        self.fp = io.BufferedReader(self._reader)

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(MOST_INTERIM):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status not in _INTERIM or status == _SWITCHING:
                if not self._exchange.sent:
                    self._exchange.tunnel_status = status
                return version, status, reason
            http.client.parse_headers(self.fp)
        raise http.client.HTTPException(f"more than {MOST_INTERIM} answers below 200, and no other")

    def begin(self) -> None:
        super().begin()
        if self._reader.is_at_end:  # http.client takes the end of a connection for the end of a header
            raise http.client.HTTPException("the header of the answer is not whole")
        if self.status == _SWITCHING:  # whatever follows is no HTTP
            self.will_close = True


class _Connection(HTTPConnection):
    """Notes when the first byte of a request is handed over; asking a proxy and TLS are no part of a request."""

    response_class = _FinalResponse
    _is_connecting = False

    def connect(self) -> None:
        self._is_connecting = True
        try:
            super().connect()
        finally:
            self._is_connecting = False

    def send(self, data: Any) -> None:  # noqa: ANN401  http.client's own signature
        if not self._is_connecting:
            if self.sock is None:
                self.connect()
            exchange = _CURRENT.get()
            exchange.begin_sending()
            # urllib3 would send with the time-out of a connect, and break off an upload that stands still.
            self.sock.settimeout(exchange.next_wait_s())
        super().send(data)


class _TLSConnection(_Connection, HTTPSConnection):
    """The same over TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection

    def _get_conn(self, timeout: float | None = None) -> Any:  # noqa: ANN401  urllib3's own signature
        connection = super()._get_conn(timeout)
        if _CURRENT.get().fresh:
            connection.close()  # it opens again by itself
        return connection


class _TLSPool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class Pools(HTTPAdapter):
    """The connections of one thread, which note how far a request has come.

    Only their pools are those of requests: its adapter and its sessions would find out anew for each request what is
    the same for all to one host. Certificates are those of `context`, always.
    """

    def __init__(self, context: Callable[[], ssl.SSLContext]) -> None:
        self._context = context
        self._pools: dict[str, Any] = {}
        super().__init__(pool_maxsize=1)

    def send_over(self, request: PreparedRequest, origin: str, proxy: str | None, exchange: Exchange) -> HTTPResponse:
        """Sends a request, and returns when the head of its answer is there. Redirects are not followed."""
        if origin not in self._pools:
            proxies = {} if proxy is None else {"https": proxy}
            self._pools[origin] = self.get_connection_with_tls_context(request, verify=True, proxies=proxies)
        path = request.path_url
        response: HTTPResponse = self._pools[origin].urlopen(
            request.method,
            f"/{path.lstrip('/')}" if path.startswith("//") else path,
            body=request.body,
            headers=dict(request.headers),
            chunked=request.body is not None and "Content-Length" not in request.headers,
            timeout=Timeout(connect=exchange.connect_s, read=exchange.idle_s),
            retries=False,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
            decode_content=False,
        )
        return response

    def close(self) -> None:
        self._pools.clear()
        super().close()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:  # noqa: ANN401  requests' own signature
        super().init_poolmanager(*args, **options)
        _watch(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:  # noqa: ANN401  requests' own signature
        return _watch(super().proxy_manager_for(proxy, proxy_ssl_context=self._context(), **options))

    def build_connection_pool_key_attributes(
        self,
        request: PreparedRequest,
        verify: Any,  # noqa: ANN401  requests' own signature
        cert: Any = None,  # noqa: ANN401  requests' own signature
    ) -> Any:  # noqa: ANN401  requests' own types are private
        host, options = super().build_connection_pool_key_attributes(request, verify, cert)
        if host["scheme"] == "https":
            options["ssl_context"] = self._context()
        return host, options


def _watch(manager: PoolManager) -> PoolManager:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
    return manager


# --- why there is no answer -------------------------------------------------------------------------------------------

CERTIFICATE_HINT = "a private CA's certificate is named by REQUESTS_CA_BUNDLE or SSL_CERT_FILE"
_NO_REQUEST = (RequestException, why.LocationValueError, why.InvalidHeader)
"""Nothing can be sent at all, however often it is tried."""

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
    if isinstance(error, _NO_REQUEST):
        message = f"cannot be sent to {route.host}: {_innermost(error)}"
        return Fault(sent=False, final=Cause.REFUSED, message=message)
    if _is_timeout(error):
        return Fault(sent=False, message=_timeout_words(exchange, route))
    if (broken := _tls_error(error)) is not None:
        hint = f"; {CERTIFICATE_HINT}" if isinstance(broken, ssl.SSLCertVerificationError) else ""
        message = f"TLS with {route.host} failed: {_innermost(broken)}{hint}"
        return Fault(sent=False, final=Cause.CONNECTION, message=message)
    if exchange.stage is Stage.TUNNEL and exchange.tunnel_status != _OK:
        return _no_tunnel(error, exchange.tunnel_status, route)
    where = route.proxy_words if isinstance(error, why.ProxyError) else route.host
    what = "TLS with {} failed" if isinstance(error, why.SSLError) else "cannot connect to {}"
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
    return any(isinstance(cause, (TimeoutError, why.ReadTimeoutError)) for cause in _within(error))


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
            both = ":".join(map(self._filled, self.auth.basic))
            headers["Authorization"] = f"Basic {base64.b64encode(both.encode()).decode()}"
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
        if should_bypass_proxies(url, no_proxy=self.no_proxy):
            return None
        return _proxy_url(self.proxy, self.proxy_variable)

    def passwords(self) -> dict[str, str]:
        """What the proxy is asked with, as written and as meant: a library's error may repeat its URL."""
        written = (self.proxy or "").rpartition("@")[0].rpartition("//")[2].partition(":")[2]
        return {"proxy_password": written, "proxy_password_plain": unquote(written)} if written else {}

    def tls_context(self) -> ssl.SSLContext:
        """What certificates are checked with; they always are."""
        context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
        path = self.bundle or DEFAULT_CA_BUNDLE_PATH
        context.load_verify_locations(**{"capath" if Path(path).is_dir() else "cafile": path})
        for folder in self.folders:
            context.load_verify_locations(capath=folder)
        return context


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
