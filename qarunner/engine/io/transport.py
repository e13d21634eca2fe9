"""The one way to the network: a Request becomes an answer or a fault; secrets become text here and nowhere else."""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlencode, urlsplit

import requests
import urllib3
from msgspec import Struct, field
from msgspec.structs import replace
from requests.structures import CaseInsensitiveDict

from qarunner.engine.io.connection import (
    Clock,
    Endpoint,
    Exchange,
    Network,
    Pools,
    Route,
    fault_of,
    is_loopback,
    watched,
)
from qarunner.engine.io.uploads import EMPTY, BuildChanged, ProgressReader, form_around, open_body
from qarunner.errors import UserError
from qarunner.secret import (
    Scrubber,
    key_may_go_to,
    needed_permission,
    owners_of_key,
    reveal,
    secret_may_go_to,
    secret_names,
)
from qarunner.vendors.api import METHODS, AnyRequest, Build, Cause, Fault, Reply, Request, Upload

if TYPE_CHECKING:
    import ssl

    from qarunner.decode import Json
    from qarunner.engine.decide.interpret import Answer


class Timeouts(Struct, frozen=True, kw_only=True):
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


_HEADERS = {
    "User-Agent": "qarunner",
    "Accept-Encoding": "gzip, deflate",
    "Accept": "application/json",
    "Connection": "keep-alive",
}


class Permissions(Struct, frozen=True, kw_only=True):
    """What the pipeline lets out, whatever plan asks for more.

    `allowed` are the words of --allow-secret. `keys` gives the default key variable of each vendor.
    """

    allowed: frozenset[str] = frozenset()
    keys: Mapping[str, str] = field(default_factory=dict)

    def refuse_keys(self, endpoints: Mapping[str, Endpoint]) -> None:
        """UserError if the variable of a vendor's key may not be sent to that vendor."""
        refused = {
            name: variable
            for name, endpoint in endpoints.items()
            for variable in (endpoint.key_variable, *endpoint.more_keys)
            if not key_may_go_to(variable, name, keys=self.keys, allowed=self.allowed)
        }
        if refused:
            vendor, variable = next(iter(refused.items()))
            message = "; ".join(f"{key} must not be sent to {name} as its key" for name, key in refused.items())
            owned = owners_of_key(variable, self.keys)
            hint = f"it is the key of {', '.join(sorted(owned))}" if owned else f"add --allow-secret {variable}"
            raise UserError(message, hint=hint if owned else f"{hint}, if {vendor} has to get it")


class Transport:
    """Sends requests; safe to use from several threads, each with a connection of its own.

    The one place that decides about leaving: it trusts no plan, neither a fresh nor a stored one. `masked` are texts
    that no answer may bring back, besides the keys and secrets that are sent.
    """

    def __init__(  # noqa: PLR0913  all that a transport needs, by name
        self,
        endpoints: Mapping[str, Endpoint],
        secrets: Mapping[str, str],
        network: Network,
        clock: Clock,
        builds: Iterable[Build] = (),
        *,
        permissions: Permissions,
        masked: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        self._endpoints = endpoints
        self.base_urls = {name: endpoint.base_url for name, endpoint in endpoints.items()}
        self._secrets = secrets
        permissions.refuse_keys(endpoints)
        self.key_names = {name: key_name(to.key_variable, to.key) for name, to in endpoints.items()}
        """What messages call the key of each vendor."""
        self._allowed = permissions.allowed
        self._network = network
        self._clock = clock
        self._timeouts = timeouts or Timeouts()
        self._builds = {build.path: build for build in builds}
        self._uploaded: dict[str, int] = {}
        self.watch: Callable[[str, int, int], None] = _unwatched
        """Called by the thread that uploads, at each piece that leaves: with what goes to whom, the most bytes of it
        that have been sent at a time, and those in all. A repetition does not go back."""
        keys = {f"{name}_{of}": text for name, end in endpoints.items() for of, text in end.hidden().items()}
        hidden = {**(masked or {}), **keys, **network.passwords(), **secrets}
        self.scrub = Scrubber(hidden)
        strong = {name: value for name, value in hidden.items() if len(value) >= _STRONG}
        self._scrub_name = self.scrub if strong == hidden else Scrubber(strong)
        # Asked once, by one thread: requests sets a variable of the process while it thinks about NO_PROXY.
        self._proxies = {url: network.proxy_for(url) for url in self.base_urls.values()}
        self._bases: dict[str, requests.PreparedRequest] = {}
        """For each vendor, what is the same in all its requests: they are prepared once."""
        self._asking = threading.Lock()
        self._local = threading.local()
        self._context: ssl.SSLContext | None = None

    def pseudonym(self, vendor: str, salt: bytes) -> str:
        """A short name of a vendor's credential: the same for the same salt, and of no use to whoever reads it."""
        endpoint = self._endpoints[vendor]
        return hmac.new(salt, f"{endpoint.base_url}\n{endpoint.key}".encode(), hashlib.sha256).hexdigest()[:16]

    def send(
        self, vendor: str, request: AnyRequest, *, key: str | None, fresh: bool, limit_s: float | None = None
    ) -> Answer:
        """Sends one request. `fresh`: over a new connection, since a kept one may break just when it is used again.

        `limit_s`: all of it is over after so many seconds.
        """
        limit_s = math.inf if limit_s is None else limit_s
        if isinstance(request, Upload):
            return self._upload(vendor, request, limit_s)
        reason = self.forbidden(vendor, request)
        if reason is None and not _is_relative(reveal(request.path, self._secrets)):
            reason = f"with its secret, the path {request.path!r} of a request leaves its place"
        if reason is not None:
            return Fault(sent=False, final=Cause.REFUSED, message=reason)
        timeouts = self._timeouts
        patience_s = timeouts.create_s if fresh or key is not None else timeouts.read_s
        limit_s = min(limit_s, timeouts.connect_s + patience_s + timeouts.rest_s)
        exchange = self._exchange(patience_s, limit_s, fresh=fresh)
        return self._answer(lambda: self._prepared(vendor, request, key), self.base_urls[vendor], exchange)

    def _prepared(self, vendor: str, request: Request, key: str | None) -> requests.PreparedRequest:
        """As requests sends it; no cookies are kept, and the credential stands in the headers."""
        endpoint = self._endpoints[vendor]
        if vendor not in self._bases:
            self._bases[vendor] = _prepare("GET", endpoint.base_url, {**_HEADERS, **endpoint.auth_headers()})
        base, prepared = self._bases[vendor], requests.PreparedRequest()
        query = [(name, reveal(value, self._secrets)) for name, value in request.query]
        words = urlencode([*query, *endpoint.auth_query()])
        path = quote(reveal(request.path, self._secrets), safe="/%:@!$&'()*+,;=-._~")
        prepared.method = request.method
        prepared.url = f"{(base.url or '').rstrip('/')}{path}" + (f"?{words}" if words else "")
        more = dict(request.headers)
        if key is not None and endpoint.idempotency_header:
            more[endpoint.idempotency_header] = key
        prepared.prepare_headers(more)
        prepared.headers = CaseInsensitiveDict({**base.headers, **prepared.headers})
        prepared.prepare_body(None, None, None if request.body is None else self._revealed(request.body))
        return prepared

    def forbidden(self, vendor: str, request: Request) -> str | None:
        """Why a request must not be sent, whatever plan it comes from; None if it may be."""
        if request.method not in METHODS:
            return f"the method {request.method!r} of a request is none of {', '.join(sorted(METHODS))}"
        if not _is_relative(request.path):
            return f"the path {request.path!r} of a request has to begin with exactly one /, and to stay below it"
        endpoint = self._endpoints[vendor]
        for header, _ in request.headers:
            if endpoint.auth.reserves(header) or header.lower() == (endpoint.idempotency_header or "").lower():
                return f"the header {header!r} of a request is not the plan's to set"
        texts = [request.path, *(value for _, value in request.query), *_texts(request.body)]
        for text in texts:
            for name in sorted(secret_names(text)):
                if name not in self._secrets:
                    return f"the secret {name} is not set"
                if not secret_may_go_to(name, text, vendor=vendor, allowed=self._allowed):
                    needed = needed_permission(name, text, vendor=vendor)
                    where = f"--allow-secret {needed} is missing" if needed else "the host of its URL is not certain"
                    return f"the secret {name} must not be sent there: {where}"
        return None

    def _upload(self, vendor: str, upload: Upload, limit_s: float) -> Answer:
        """To a store of files: over a connection of its own, as it stands, and without any credential or secret."""
        url, path = upload.address.url, upload.file.path
        parts = urlsplit(url)
        # A store on this machine belongs to a vendor on this machine, which is an emulated one.
        near = is_loopback(parts.hostname or "") and is_loopback(urlsplit(self.base_urls[vendor]).hostname or "")
        if parts.scheme != "https" and not near:
            message = f"{vendor} gave an upload URL without TLS, at {parts.netloc}"
            return Fault(sent=False, final=Cause.REFUSED, message=message)
        try:
            opened = open_body(self._builds[path], zipped=upload.file.zipped)
        except OSError as error:
            message = str(error) if isinstance(error, BuildChanged) else f"{path}: {error.strerror or error}"
            return Fault(sent=False, final=Cause.REFUSED, message=message)
        with opened as file:
            name = f"{path} to {vendor}"
            headers, around, method = {**_HEADERS, **dict(upload.headers)}, EMPTY, upload.method
            if upload.form is not None:
                boundary = f"qarunner-{self._builds[path].sha256[:32]}"  # no content has its own hash in it
                headers["Content-Type"] = f"multipart/form-data; boundary={boundary}"
                around, method = form_around(upload.form, boundary), "POST"
            body = ProgressReader(file, lambda sent, size: self._sent(name, sent, size), around)
            exchange = self._exchange(self._timeouts.upload_s, limit_s, fresh=True)
            return self._answer(lambda: _prepare(method, url, headers, body), url, exchange)

    def _connections(self) -> Pools:
        """This thread's."""
        pools: Pools | None = getattr(self._local, "pools", None)
        if pools is None:
            pools = self._local.pools = Pools(self._tls_context)
        return pools

    def _tls_context(self) -> ssl.SSLContext:
        with self._asking:
            if self._context is None:
                self._context = self._network.tls_context()
            return self._context

    def _answer(self, prepare: Callable[[], requests.PreparedRequest], url: str, exchange: Exchange) -> Answer:
        parts = urlsplit(url)
        origin, proxy = f"{parts.scheme}://{parts.netloc}", None
        try:
            proxy = self._proxy_for(origin)
            request = prepare()
            with watched(exchange), self._connections().send_over(request, origin, proxy, exchange) as response:
                text = self._text(response)
        except UserError as error:
            return Fault(sent=False, final=Cause.CONNECTION, message=error.message)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            route = Route(host=parts.netloc, proxy=proxy, variable=self._network.proxy_variable)
            fault = fault_of(error, exchange, route)
            return replace(fault, message=self.scrub(fault.message))
        headers = {name.lower(): value for name, value in response.headers.items()}
        # A secret that stands in one of the values stands in all of them together, too.
        together = "\n".join(headers.values())
        if self.scrub(together) != together:
            headers = {name: self.scrub(value) for name, value in headers.items()}
        return Reply(status=response.status, text=text, headers=headers)

    def _exchange(self, patience_s: float, total_s: float, *, fresh: bool) -> Exchange:
        connect_s, ends_at = self._timeouts.connect_s, self._clock() + total_s
        return Exchange(clock=self._clock, connect_s=connect_s, idle_s=patience_s, ends_at=ends_at, fresh=fresh)

    def _proxy_for(self, base_url: str) -> str | None:
        """The proxy to a vendor's host, or to the store that it sends an upload to."""
        with self._asking:
            if base_url not in self._proxies:
                self._proxies[base_url] = self._network.proxy_for(base_url)
            return self._proxies[base_url]

    def _sent(self, name: str, sent: int, size: int) -> None:
        self._uploaded[name] = most = max(sent, self._uploaded.get(name, 0))
        self.watch(name, most, size)

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

    def _text(self, response: urllib3.HTTPResponse) -> str:
        """The body, if it is not too long."""
        chunks: list[bytes] = []
        size = 0
        # What has come, and no more: a plain read waits for a whole piece, however slowly a server drips it.
        while chunk := response.read1(64 * 1024, decode_content=True):
            chunks.append(chunk)
            size += len(chunk)
            if size > LARGEST_REPLY:
                raise urllib3.exceptions.HTTPError(f"the answer is longer than {LARGEST_REPLY} bytes")
        return self._scrubbed(b"".join(chunks).decode("utf-8-sig", "replace"))

    def _scrubbed(self, text: str) -> str:
        """The body without secrets. Only strings inside JSON are touched: a secret of digits must not eat a number."""
        plain = self.scrub(text)
        # JSON can escape every character, and each server does it in its own way: only what is meant can be looked at.
        if plain == text and "\\" not in text:
            return text
        try:
            data = json.loads(text)
            clean = self._without_secrets(data)
            return text if clean == data else json.dumps(clean, ensure_ascii=False)
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


def _prepare(
    method: str, url: str, headers: Mapping[str, str], file: ProgressReader | None = None
) -> requests.PreparedRequest:
    request = requests.PreparedRequest()
    request.prepare_method(method)
    request.prepare_url(url, None)
    request.prepare_headers(headers)
    request.prepare_body(file, None)
    if file is not None:  # a store's address may hold a user and a password of its own
        request.prepare_auth(None)
    return request


def key_name(variable: str, key: str) -> str:
    """The variable of a key, with what is odd about its text. Some key may really have quotes: it is tried as it is."""
    return variable + (", which was pasted with its quotes" if {key[0], key[-1]} & _QUOTES else "")


_QUOTES = frozenset("\"'`")


def _is_relative(path: str) -> bool:
    """True if a path leads to the vendor's own API: it begins with exactly one `/`, and does not climb out of it."""
    if not path.startswith("/") or path[1:2] in {"/", "\\"}:
        return False
    return {".", ".."}.isdisjoint(unquote(path).replace("\\", "/").split("/"))


def _texts(body: object) -> Iterator[str]:
    """Every text in a body that could hold a secret."""
    match body:
        case str():
            yield body
        case dict():
            for inner in body.values():
                yield from _texts(inner)
        case list() | tuple():
            for inner in body:
                yield from _texts(inner)
        case _:
            pass  # a number, true, false or null


def _unwatched(path: str, sent: int, size: int) -> None:
    """Shows no progress."""
