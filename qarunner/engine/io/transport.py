"""The one way to the network: a Request becomes an answer or a fault; secrets become text here and nowhere else."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import ssl
import threading
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote, urlencode, urlsplit

import requests
import urllib3
from requests import exceptions as why
from requests.adapters import HTTPAdapter

from qarunner.engine.decide.interpret import Fault, FaultKind
from qarunner.engine.io.connection import Endpoint, is_loopback
from qarunner.engine.io.uploads import ChangedBuild, Counted, open_body
from qarunner.secret import Scrubber, reveal
from qarunner.vendors.api import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from qarunner.decode import Json
    from qarunner.engine.decide.interpret import Answer
    from qarunner.engine.io.connection import Network
    from qarunner.vendors.api import Build, Request


Clock: TypeAlias = "Callable[[], float]"


CONNECT_S = 10.0


READ_S = 60.0


TOTAL_S = 120.0


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
    ) -> None:
        self._endpoints = endpoints
        self.base_urls = {name: endpoint.base_url for name, endpoint in endpoints.items()}
        self._secrets = secrets
        self._network = network
        self._clock = clock
        self._builds = {build.path: build for build in builds}
        self.uploaded: dict[str, tuple[int, int]] = {}
        """Bytes sent and bytes in all of each upload, for whoever shows progress."""
        self.watch: Callable[[str, int, int], None] = _unwatched
        """Is told the same by the thread that uploads, at each piece that leaves."""
        hidden = {f"{name}_key": end.key for name, end in endpoints.items()} | network.passwords() | dict(secrets)
        self.scrub = Scrubber(hidden)
        self._scrub_name = Scrubber({name: value for name, value in hidden.items() if len(value) >= _STRONG})
        # Asked once, by one thread: requests sets a variable of the process while it thinks about NO_PROXY.
        self._proxies = {url: network.proxies_for(url) for url in self.base_urls.values()}
        self._asking = threading.Lock()
        self._local = threading.local()

    def pseudonym(self, vendor: str, salt: bytes) -> str:
        """A short name of a vendor's credential: the same for the same salt, and of no use to whoever reads it."""
        endpoint = self._endpoints[vendor]
        return hmac.new(salt, f"{endpoint.base_url}\n{endpoint.key}".encode(), hashlib.sha256).hexdigest()[:16]

    def send(self, vendor: str, request: Request, *, key: str | None, fresh: bool) -> Answer:
        """Sends one request. `fresh`: over a new connection, since a kept one may break just when it is used again."""
        endpoint = self._endpoints[vendor]
        if request.path.startswith(("https://", "http://")):
            return self._presigned(vendor, request)
        if not fresh:
            return self._answer(self._session(), endpoint, request, key)
        with self._new_session() as session:
            return self._answer(session, endpoint, request, key)

    def _presigned(self, vendor: str, request: Request) -> Answer:
        """An upload to a store of files: over a connection of its own, and without any credential."""
        parts = urlsplit(request.path)
        # A store on this machine belongs to a vendor on this machine, which is an emulated one.
        near = is_loopback(parts.hostname or "") and is_loopback(urlsplit(self.base_urls[vendor]).hostname or "")
        if parts.scheme != "https" and not near:
            return Fault(
                kind=FaultKind.FORBIDDEN, message=f"{vendor} gave an upload URL without TLS, at {parts.netloc}"
            )
        endpoint = Endpoint(base_url=f"{parts.scheme}://{parts.netloc}", auth=("", ""), key="")
        with self._new_session() as session:
            return self._answer(session, endpoint, request, None)

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = self._new_session()
        return session

    def _new_session(self) -> requests.Session:
        session = requests.Session()
        # Resolved once in Network; left on, every request would read the environment and .netrc again.
        session.trust_env = False
        session.verify = self._network.verify
        session.mount("https://", HTTPAdapter(max_retries=0))
        session.mount("http://", HTTPAdapter(max_retries=0))
        return session

    def _answer(self, session: requests.Session, endpoint: Endpoint, request: Request, key: str | None) -> Answer:
        url = self._url(endpoint, request)
        try:
            with (
                self._body(request) as body,
                session.request(
                    request.method,
                    url,
                    json=None if request.body is None else self._revealed(request.body),
                    data=body,
                    headers={**self._headers(endpoint, key), **dict(request.headers)},
                    timeout=(CONNECT_S, READ_S),
                    allow_redirects=False,
                    stream=True,
                    proxies=self._proxies_for(endpoint.base_url),
                ) as response,
            ):
                text = self._text(response)
        except ChangedBuild as error:
            return Fault(kind=FaultKind.FORBIDDEN, message=str(error))
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            return Fault(kind=_kind(error), message=self.scrub(_words(error, endpoint)))
        headers = {name.lower(): self.scrub(value) for name, value in response.headers.items()}
        return Reply(status=response.status_code, text=text, headers=headers)

    def _proxies_for(self, base_url: str) -> dict[str, str]:
        """The proxies of a vendor's host, or of the store that it sends an upload to."""
        if base_url not in self._proxies:
            with self._asking:
                self._proxies[base_url] = self._network.proxies_for(base_url)
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
        """The body within bounds of size and time: a server that drips must not hold a worker for ever."""
        deadline = self._clock() + TOTAL_S
        chunks: list[bytes] = []
        size = 0
        # What has come, and no more: a plain read waits for a whole piece, however slowly a server drips it.
        while chunk := response.raw.read1(64 * 1024, decode_content=True):
            chunks.append(chunk)
            size += len(chunk)
            if size > LARGEST_REPLY or self._clock() > deadline:
                raise requests.ConnectionError("the answer is too long")
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


_HANDSHAKE = frozenset({"WRONG_VERSION_NUMBER", "UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "HTTP_REQUEST"})


def _kind(error: Exception) -> FaultKind:
    """Whether the request can have reached the vendor. In doubt, it can."""
    if isinstance(error, (why.InvalidURL, why.InvalidHeader, why.InvalidSchema, why.InvalidJSONError)):
        return FaultKind.FORBIDDEN
    if isinstance(error, (why.ConnectTimeout, why.ProxyError)) or _in_handshake(error):
        return FaultKind.NOT_SENT
    return FaultKind.NOT_SENT if isinstance(_reason(error), urllib3.exceptions.NewConnectionError) else FaultKind.LOST


def _reason(error: Exception) -> object:
    """What urllib3 says under requests' exception."""
    inner = error.args[0] if error.args else None
    return getattr(inner, "reason", inner)


def _in_handshake(error: BaseException | None) -> bool:
    """TLS errors that come before the first byte of a request; of the others nobody can tell."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        if isinstance(error, ssl.SSLError) and error.reason in _HANDSHAKE:
            return True
        error = error.__cause__ or error.__context__
    return False


def _words(error: Exception, endpoint: Endpoint) -> str:
    host = urlsplit(endpoint.base_url).netloc
    if isinstance(error, why.ConnectTimeout):
        return f"no connection to {host} within {CONNECT_S:.0f} s"
    if isinstance(error, why.ReadTimeout):
        return f"no answer from {host} within {READ_S:.0f} s"
    if isinstance(error, why.SSLError):
        return f"TLS with {host} failed: {_innermost(error)}"
    if isinstance(error, why.ProxyError):
        return f"the proxy to {host} failed: {_innermost(error)}"
    what = {FaultKind.FORBIDDEN: "cannot be sent to {}", FaultKind.NOT_SENT: "cannot connect to {}"}
    return f"{what.get(_kind(error), 'the connection to {} was lost').format(host)}: {_innermost(error)}"


def _innermost(error: BaseException) -> str:
    """The cause at the bottom, which is what a person can act on."""
    while (deeper := error.__cause__ or error.__context__) is not None:
        error = deeper
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
