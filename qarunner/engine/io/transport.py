"""The one way to the network: a Request becomes an answer or a fault; secrets become text here and nowhere else."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import math
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit

import requests
import urllib3

from qarunner.engine.io.connection import (
    Endpoint,
    Exchange,
    Route,
    WatchedAdapter,
    fault_of,
    is_loopback,
    watched,
)
from qarunner.engine.io.uploads import ChangedBuild, Counted, open_body
from qarunner.errors import UserError
from qarunner.secret import Scrubber, reveal
from qarunner.vendors.api import Cause, Reply
from qarunner.vendors.types import Fault

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from qarunner.decode import Json
    from qarunner.engine.decide.interpret import Answer
    from qarunner.engine.io.connection import Clock, Network
    from qarunner.vendors.api import Build, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long the other side may keep silent, in seconds.

    A read is soon asked again. A create is not: one that took 70 s to answer has begun a run all the same. A store may
    stop reading for a while, and may check what it has got before it answers.
    """

    connect_s: float = 10.0
    read_s: float = 60.0
    create_s: float = 300.0
    upload_s: float = 300.0
    rest_s: float = 120.0
    """What an answer that drips may take besides: no server holds a worker for ever."""


LARGEST_REPLY = 32 * 1024 * 1024


_STRONG = 8
"""Shorter secrets are not looked for in the names of an answer's fields: `test` must not eat `testId`."""


class Transport:
    """Sends requests; safe to use from several threads, each with a connection of its own."""

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        secrets: Mapping[str, str],
        network: Network,
        clock: Clock,
        builds: Iterable[Build] = (),
        timeouts: Timeouts | None = None,
    ) -> None:
        self._endpoints = endpoints
        self.base_urls = {name: endpoint.base_url for name, endpoint in endpoints.items()}
        self._secrets = secrets
        self._network = network
        self._clock = clock
        self._timeouts = timeouts or Timeouts()
        self._builds = {build.path: build for build in builds}
        self.uploaded: dict[str, tuple[int, int]] = {}
        """Bytes sent and bytes in all of each upload, for whoever shows progress."""
        self.watch: Callable[[str, int, int], None] = _unwatched
        """Is told the same by the thread that uploads, at each piece that leaves."""
        hidden = {f"{name}_key": end.key for name, end in endpoints.items()} | network.passwords() | dict(secrets)
        self.scrub = Scrubber(hidden)
        self._scrub_name = Scrubber({name: value for name, value in hidden.items() if len(value) >= _STRONG})
        # Asked once, by one thread: requests sets a variable of the process while it thinks about NO_PROXY.
        self._proxies = {url: network.proxy_for(url) for url in self.base_urls.values()}
        self._asking = threading.Lock()
        self._local = threading.local()
        self._context: ssl.SSLContext | None = None

    def pseudonym(self, vendor: str, salt: bytes) -> str:
        """A short name of a vendor's credential: the same for the same salt, and of no use to whoever reads it."""
        endpoint = self._endpoints[vendor]
        return hmac.new(salt, f"{endpoint.base_url}\n{endpoint.key}".encode(), hashlib.sha256).hexdigest()[:16]

    def send(self, vendor: str, request: Request, *, key: str | None, fresh: bool) -> Answer:
        """Sends one request. `fresh`: over a new connection, since a kept one may break just when it is used again."""
        endpoint = self._endpoints[vendor]
        if request.path.startswith(("https://", "http://")):
            return self._presigned(vendor, request)
        patience_s = self._timeouts.create_s if fresh or key is not None else self._timeouts.read_s
        if not fresh:
            return self._answer(self._session(), endpoint, request, key, patience_s)
        with self._new_session() as session:
            return self._answer(session, endpoint, request, key, patience_s)

    def _presigned(self, vendor: str, request: Request) -> Answer:
        """An upload to a store of files: over a connection of its own, and without any credential."""
        parts = urlsplit(request.path)
        # A store on this machine belongs to a vendor on this machine, which is an emulated one.
        near = is_loopback(parts.hostname or "") and is_loopback(urlsplit(self.base_urls[vendor]).hostname or "")
        if parts.scheme != "https" and not near:
            message = f"{vendor} gave an upload URL without TLS, at {parts.netloc}"
            return Fault(sent=False, final=Cause.REFUSED, message=message)
        endpoint = Endpoint(base_url=f"{parts.scheme}://{parts.netloc}", auth=("", ""), key="")
        with self._new_session() as session:
            return self._answer(session, endpoint, request, None, self._timeouts.upload_s)

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = self._new_session()
        return session

    def _new_session(self) -> requests.Session:
        session = requests.Session()
        # Resolved once in Network; left on, every request would read the environment and .netrc again.
        session.trust_env = False
        session.mount("https://", WatchedAdapter(self._tls_context))
        session.mount("http://", WatchedAdapter(self._tls_context))
        return session

    def _tls_context(self) -> ssl.SSLContext:
        with self._asking:
            if self._context is None:
                self._context = self._network.tls_context()
            return self._context

    def _answer(
        self, session: requests.Session, endpoint: Endpoint, request: Request, key: str | None, patience_s: float
    ) -> Answer:
        exchange = self._exchange(request, patience_s)
        proxy = None
        try:
            proxy = self._proxy_for(endpoint.base_url)
            with (
                self._body(request) as body,
                watched(exchange),
                session.request(
                    request.method,
                    self._url(endpoint, request),
                    json=None if request.body is None else self._revealed(request.body),
                    data=body,
                    headers={**self._headers(endpoint, key), **dict(request.headers)},
                    timeout=(exchange.connect_s, patience_s),
                    allow_redirects=False,
                    stream=True,
                    proxies={} if proxy is None else {"https": proxy},
                ) as response,
            ):
                text = self._text(response)
        except ChangedBuild as error:
            return Fault(sent=exchange.sent, final=Cause.REFUSED, message=str(error))
        except UserError as error:
            return Fault(sent=False, final=Cause.CONNECTION, message=error.message)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            host, variable = urlsplit(endpoint.base_url).netloc, self._network.proxy_variable
            fault = fault_of(error, exchange, Route(host=host, proxy=proxy, variable=variable))
            return replace(fault, message=self.scrub(fault.message))
        headers = {name.lower(): self.scrub(value) for name, value in response.headers.items()}
        return Reply(status=response.status_code, text=text, headers=headers)

    def _exchange(self, request: Request, patience_s: float) -> Exchange:
        connect_s, rest_s = self._timeouts.connect_s, self._timeouts.rest_s
        # An upload takes as long as it takes; each of its steps may take `patience_s`.
        total_s = connect_s + patience_s + rest_s if request.file is None else math.inf
        return Exchange(clock=self._clock, connect_s=connect_s, idle_s=patience_s, ends_at=self._clock() + total_s)

    def _proxy_for(self, base_url: str) -> str | None:
        """The proxy to a vendor's host, or to the store that it sends an upload to."""
        with self._asking:
            if base_url not in self._proxies:
                self._proxies[base_url] = self._network.proxy_for(base_url)
            return self._proxies[base_url]

    @contextlib.contextmanager
    def _body(self, request: Request) -> Iterator[Counted | None]:
        if request.file is None:
            yield None
            return
        path = request.file.path
        try:
            opened = open_body(self._builds[path], zipped=request.file.zipped)
        except OSError as error:
            raise ChangedBuild(f"{path}: {error.strerror or error}") from error
        with opened as body:
            yield Counted(body, lambda sent, size: self._sent(path, sent, size))

    def _sent(self, path: str, sent: int, size: int) -> None:
        self.uploaded[path] = (sent, size)
        self.watch(path, sent, size)

    def _headers(self, endpoint: Endpoint, key: str | None) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": "qarunner"}
        name, text = endpoint.auth
        if name:
            headers[name] = text.format(key=endpoint.key)
        if key is not None and endpoint.idempotency_header:
            headers[endpoint.idempotency_header] = key
        return headers

    def _url(self, endpoint: Endpoint, request: Request) -> str:
        if request.path.startswith(endpoint.base_url + "/") and not endpoint.key:
            return request.path  # presigned: its signature covers every character
        query = urlencode([(name, reveal(value, self._secrets)) for name, value in request.query])
        path = quote(reveal(request.path, self._secrets), safe="/%:@!$&'()*+,;=-._~")
        return f"{endpoint.base_url}{path}" + (f"?{query}" if query else "")

    def _revealed(self, body: Json) -> Json:
        match body:
            case str():
                return reveal(body, self._secrets)
            case dict():
                # Sorted, as a plan that was written down: a resume repeats a create byte for byte.
                return {name: self._revealed(value) for name, value in sorted(body.items())}
            case list() | tuple():
                return [self._revealed(value) for value in body]
            case _:
                return body

    def _text(self, response: requests.Response) -> str:
        """The body, if it is not too long."""
        chunks: list[bytes] = []
        size = 0
        # What has come, and no more: a plain read waits for a whole piece, however slowly a server drips it.
        while chunk := response.raw.read1(64 * 1024, decode_content=True):
            chunks.append(chunk)
            size += len(chunk)
            if size > LARGEST_REPLY:
                raise requests.ConnectionError(f"the answer is longer than {LARGEST_REPLY} bytes")
        return self._scrubbed(b"".join(chunks).decode("utf-8-sig", "replace"))

    def _scrubbed(self, text: str) -> str:
        """The body without secrets. Only strings inside JSON are touched: a secret of digits must not eat a number."""
        plain = self.scrub(text)
        # JSON can escape every character, and each server does it in its own way: only what is meant can be looked at.
        if plain == text and "\\" not in text:
            return text
        try:
            told = json.loads(text)
            clean = self._without_secrets(told)
            return text if clean == told else json.dumps(clean, ensure_ascii=False)
        except (ValueError, RecursionError):
            return plain

    def _without_secrets(self, value: object) -> object:
        match value:
            case str():
                # Half a surrogate pair is JSON, but no text: nothing could be written that holds it.
                return self.scrub(value).encode("utf-8", "replace").decode()
            case dict():
                return {self._scrub_name(name): self._without_secrets(inner) for name, inner in value.items()}
            case list():
                return [self._without_secrets(inner) for inner in value]
            case _:
                return value


def _unwatched(path: str, sent: int, size: int) -> None:
    """Nobody shows progress."""
