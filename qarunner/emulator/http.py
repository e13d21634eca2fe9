"""The HTTP side that all emulated vendors share: requests, credentials, rates, replies, and the pages behind links."""

from __future__ import annotations

import asyncio
import json
import math
import re
from base64 import b64decode
from collections import deque
from contextlib import suppress
from html import escape
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from qarunner.emulator.faults import FaultBook, amended, instead
from qarunner.emulator.messages import Answer, Body, Call, Endpoint, Refused, Vendor
from qarunner.emulator.strict import Wrong, suggestion
from qarunner.emulator.world import Received, Stored, World

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from starlette.types import Receive, Scope, Send

    from qarunner.emulator.memory import Memory


# ---------------------------------------------------------------------------------------------------------------------

# Counts requests in a sliding minute of the injected clock, which the emulation's speed does not change.


WINDOW = 60.0


class Rates:
    """Several limits per minute; a request counts towards the classes it belongs to, a refused one does not."""

    def __init__(self, limits: Mapping[str, int], clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._seen: dict[str, deque[float]] = {name: deque() for name in limits}

    def admit(self, classes: Iterable[str]) -> int | None:
        """Counts a request; the whole seconds to wait if it comes too early, else None."""
        now = self._clock()
        seen = [(self._seen[name], self._limits[name]) for name in classes]
        for times, _ in seen:
            while times and times[0] <= now - WINDOW:
                times.popleft()
        waits = [times[-limit] + WINDOW - now for times, limit in seen if len(times) >= limit]
        if waits:
            return max(1, math.ceil(max(waits)))
        for times, _ in seen:
            times.append(now)
        return None


# ---------------------------------------------------------------------------------------------------------------------

# Recognises a vendor's credential by its shape; its value is never kept.


def require_bearer(call: Call, shape: str) -> None:
    """Asks for `Authorization: Bearer <key>` with a key of a shape."""
    scheme, _, key = call.headers.get("authorization", "").partition(" ")
    _require(key if scheme.lower() == "bearer" else "", shape, "Authorization: Bearer")


def require_header(call: Call, name: str, shape: str) -> None:
    """Asks for a header that holds a key of a shape."""
    _require(call.headers.get(name, ""), shape, name)


def _require(key: str, shape: str, where: str) -> None:
    if not key:
        raise Refused(401, f"no API key: {where} is missing")
    if not re.fullmatch(shape, key):
        raise Refused(401, "invalid API key")


# ---------------------------------------------------------------------------------------------------------------------

# Turns HTTP requests into Calls and Answers into HTTP replies, and lets the scenario's faults happen in between.


UPLOAD = "PUT /storage/{token}"
"""The name of a vendor's presigned uploads in a scenario's faults."""


class Desk:
    """Where one vendor's requests arrive: notes them, applies faults, and sends the reply."""

    def __init__(self, vendor: Vendor, faults: FaultBook, world: World, memory: Memory | None) -> None:
        self.vendor = vendor
        self.world = world
        self._faults = faults
        self._memory = memory

    def note(self, request: Request, path: str) -> Received:
        """Puts a request into the ledger: the names of its headers, never their values."""
        entry = Received(
            time=self.world.ledger.time(),
            vendor=self.vendor.name,
            method=request.method,
            path=path,
            query=dict(request.query_params),
            header_names=tuple(sorted(request.headers.keys())),
            idempotency_key=request.headers.get("idempotency-key"),
        )
        self.world.ledger.requests.append(entry)
        return entry

    def remember(self, request: Request, entry: Received, stored: Stored | None = None) -> None:
        """Writes a request down, right before its effect; an upload right after."""
        if self._memory is not None:
            self._memory.note(request, entry.body, stored)

    async def serve(
        self, request: Request, entry: Received, route: str | None, act: Callable[[], Awaitable[Answer]], send: Send
    ) -> None:
        """Answers one request, as the scenario's faults allow; a `route` of None is one that does not exist."""
        fault = self._faults.next(route) if route else None
        entry.faulty = fault is not None
        if route != UPLOAD or (fault and (fault.drop == "before" or fault.skips_effect)):
            self.remember(request, entry)
        if fault and fault.drop == "before":
            await _drop(request, entry)
            return
        if fault and fault.skips_effect:
            answer = instead(fault, self.vendor)
        else:
            answer = await self._answer(act)
            answer = amended(answer, fault, self.vendor) if fault else answer
        if fault and fault.delay:
            await _wait(request, fault.delay / self.world.timeline.speed)
        if fault and fault.drop == "after":
            await _drop(request, entry)
            return
        entry.status = answer.status
        await _response(answer)(request.scope, request.receive, send)

    async def _answer(self, act: Callable[[], Awaitable[Answer]]) -> Answer:
        try:
            return await act()
        except Wrong as wrong:
            return self._refusal(Refused(400, str(wrong)))
        except Refused as refused:
            return self._refusal(refused)

    def _refusal(self, refused: Refused) -> Answer:
        body = self.vendor.error(refused.status, refused.message, refused.extra)
        return Answer(status=refused.status, body=body, headers=refused.headers)


class Resource:
    """One path of a vendor's API: an ASGI application that finds the method and runs its endpoint."""

    def __init__(self, desk: Desk, endpoints: Mapping[str, Endpoint]) -> None:
        self._desk = desk
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        entry = self._desk.note(request, scope["path"].removeprefix(f"/{self._desk.vendor.name}"))
        raw = await request.body()
        entry.body_size, entry.body = len(raw), _readable(raw)
        endpoint = self._endpoints.get(request.method)

        async def act() -> Answer:
            if endpoint is None:
                raise self._not_here(request)
            call = Call(path=entry.path, params=request.path_params, headers=request.headers)
            if too_early := self._desk.vendor.admit(call, endpoint):
                return too_early
            return endpoint.answer(call.with_input(_query(request, endpoint), _body(raw, request, endpoint)))

        await self._desk.serve(request, entry, endpoint.name if endpoint else None, act, send)

    def _not_here(self, request: Request) -> Refused:
        if not self._endpoints:
            return Refused(404, f"no route {request.url.path}")
        allowed = ", ".join(self._endpoints)
        return Refused(405, f"{request.method} is not allowed here; allowed: {allowed}", headers={"Allow": allowed})


class UploadResource:
    """The presigned uploads of one vendor: an ASGI application that asks for no credential and refuses any."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        entry = self._desk.note(request, scope["path"])
        entry.query = {}  # the signature is what makes the URL secret

        async def act() -> Answer:
            if request.method != "PUT":
                raise Refused(405, "only PUT is allowed here", headers={"Allow": "PUT"})
            storage = self._desk.world.storage
            token = request.path_params["token"]
            slot = storage.admit(self._desk.vendor.name, token, request.query_params, request.headers)
            known = request.scope["state"].get("stored")  # where a memory repeats an upload
            stored = storage.keep(slot, known) if known else await storage.receive(slot, request.stream())
            self._desk.remember(request, entry, stored)
            entry.body_size = stored.size
            return Answer(status=200)

        await self._desk.serve(request, entry, UPLOAD if request.method == "PUT" else None, act, send)


def _query(request: Request, endpoint: Endpoint) -> dict[str, object]:
    values: dict[str, object] = {}
    for name, value in request.query_params.multi_items():
        if name not in endpoint.query:
            raise Refused(400, f"unknown query parameter {name!r}; {suggestion(name, endpoint.query)}")
        if name in values:
            raise Refused(400, f"query parameter {name!r} stands twice")
        values[name] = endpoint.query[name](value, name)
    return values


def _body(raw: bytes, request: Request, endpoint: Endpoint) -> object:
    if not raw and endpoint.body is not Body.JSON:
        return None
    if endpoint.body is Body.NONE:
        raise Refused(400, "this route takes no body")
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise Refused(400, f"Content-Type must be application/json, got {content_type!r}")
    try:
        return json.loads(raw, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the body is not valid JSON: {error}") from None


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a key stands twice")
    return fields


def _no_constant(word: str) -> object:
    raise ValueError(f"{word} is no JSON value")


def _readable(raw: bytes) -> object:
    try:
        return json.loads(raw) if raw else None
    except (ValueError, RecursionError):
        return raw.decode("utf-8", "replace")


def _response(answer: Answer) -> Response:
    headers = dict(answer.headers)
    if answer.text is not None:
        kind = "text/html" if answer.text.lstrip().startswith("<") else "application/json"
        return Response(answer.text, answer.status, headers, _content_type(headers) or kind)
    if answer.body is None:
        return Response(None, answer.status, headers)
    return JSONResponse(answer.body, answer.status, headers)


def _content_type(headers: dict[str, str]) -> str | None:
    name = next((name for name in headers if name.lower() == "content-type"), None)
    return headers.pop(name) if name else None


async def _drop(request: Request, entry: Received) -> None:
    """Closes the connection without a reply, and waits until the server has noticed."""
    entry.dropped = True
    request.scope["state"]["abort"]()
    await _disconnected(request)


async def _wait(request: Request, seconds: float) -> None:
    """Waits, but not for a client that has gone."""
    with suppress(TimeoutError):
        await asyncio.wait_for(_disconnected(request), seconds)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>
<body><h1>{title}</h1>{content}</body></html>
"""


ITEM = "<p>An emulated page. The real vendor shows the details of this item here.</p>"


PICTURE = b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==")
"""A grey pixel as PNG."""


async def page(request: Request) -> Response:
    """A page for people; a name that ends in `.png` is a picture."""
    vendor, kind, name = (request.path_params[part] for part in ("vendor", "kind", "name"))
    if name.endswith(".png"):
        return Response(PICTURE, media_type="image/png")
    return HTMLResponse(PAGE.format(title=escape(f"{vendor}: {kind} {name}"), content=ITEM))


def start_page(links: Iterable[str]) -> Response:
    """The page at the emulator's root: where everything is."""
    items = "".join(f"<li><code>{escape(link)}</code></li>" for link in links)
    return HTMLResponse(PAGE.format(title="Emulated QA vendors", content=f"<ul>{items}</ul>"))
