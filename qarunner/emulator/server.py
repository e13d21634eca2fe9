"""Runs the emulator on a free loopback port, in a thread of this process, until it is closed."""

from __future__ import annotations

import asyncio
import ipaddress
import shlex
import signal
import socket
import sys
import threading
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from qarunner.emulator.certyn.api import Certyn
from qarunner.emulator.docketqa.api import Docketqa
from qarunner.emulator.doksi.api import Doksi
from qarunner.emulator.faults import Fault, FaultBook, check_routes
from qarunner.emulator.http import UPLOAD, Desk, Resource, UploadResource, page, start_page
from qarunner.emulator.scenario import Scenario, ScenarioError, load_scenario, read_scenario
from qarunner.emulator.strict import Wrong
from qarunner.emulator.testerarmy.api import Testerarmy
from qarunner.emulator.world import Clock, Ids, Timeline, World, new_world

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from starlette.types import Receive, Scope, Send

    from qarunner.emulator.memory import Memory
    from qarunner.emulator.messages import Endpoint, Vendor


# ---------------------------------------------------------------------------------------------------------------------

# The whole emulator as one ASGI application: the vendors, the storage, the pages and the inspection routes.


RECORDS = tuple(f"/_emulator/{what}" for what in ("requests", "runs", "uploads", "moves", "environments"))


class Emulator:
    """An ASGI application that a reset puts back to its start."""

    def __init__(self, scenario: Scenario, root: str, clock: Clock, memory: Memory | None = None) -> None:
        self._scenario = scenario
        self._memory = memory
        self._root = root
        self._clock = clock
        self._inner = self._fresh()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (why := _foreign(scope)):
            await JSONResponse({"error": f"the emulator serves this machine alone: {why}"}, 403)(scope, receive, send)
            return
        with suppress(ClientDisconnect):  # a client that goes away while it sends is no error
            await self._inner(scope, receive, send)

    def _fresh(self) -> Starlette:
        memory, speed = self._memory, self._scenario.speed
        timeline = Timeline(memory.now, speed, memory.began) if memory else Timeline(self._clock, speed)
        world = new_world(self._root, timeline, memory.ids if memory else Ids())
        sections = {name: getattr(self._scenario, name) for name in VENDORS}
        mounts = [
            mount
            for name, section in sections.items()
            for mount in _mounts(VENDORS[name].emulation(world, section), section.faults, world, memory)
        ]
        return Starlette(routes=[*mounts, *self._inspection(world)])

    def _inspection(self, world: World) -> list[Route]:
        async def records(request: Request) -> Response:
            return JSONResponse(world.ledger.records(request.url.path.rpartition("/")[2]))

        async def reset(request: Request) -> Response:  # noqa: ARG001 (Starlette passes it)
            self._inner = self._fresh()
            return Response(status_code=204)

        async def start(request: Request) -> Response:  # noqa: ARG001 (Starlette passes it)
            return start_page(
                [f"{world.root}/{vendor}" for vendor in VENDORS] + [world.root + path for path in RECORDS]
            )

        return [
            Route("/", start),
            *(Route(path, records) for path in RECORDS),
            Route("/_emulator/reset", reset, methods=["POST"]),
            Route("/pages/{vendor}/{kind}/{name:path}", page),
        ]


def _foreign(scope: Scope) -> str | None:
    """Why a request is a web page's: a browser names the page's origin, or a host that DNS leads to loopback."""
    headers = Headers(scope=scope)
    host = headers.get("host", "")
    name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
    if not _is_loopback(name.strip("[]")):
        return f"the host is {host!r}"
    for origin in headers.getlist("origin"):
        if not _is_loopback(_host_of(origin)):
            return f"the origin is {origin!r}"
    return None


def _host_of(origin: str) -> str:
    """Empty for an origin that is no address, such as `null`."""
    try:
        return (urlsplit(origin).hostname or "") if "//" in origin else ""
    except ValueError:  # half a bracket
        return ""


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address("127.0.0.1" if name.lower() == "localhost" else name).is_loopback
    except ValueError:
        return False


def _mounts(vendor: Vendor, faults: Sequence[Fault], world: World, memory: Memory | None) -> list[Mount]:
    endpoints = vendor.endpoints()
    _check(vendor, faults, endpoints)
    by_path: defaultdict[str, dict[str, Endpoint]] = defaultdict(dict)
    for endpoint in endpoints:
        by_path[endpoint.path][endpoint.method] = endpoint
    desk = Desk(vendor, FaultBook(faults), world, memory)
    paths = [Route(path, Resource(desk, methods)) for path, methods in by_path.items()]
    unknown = Route("/{path:path}", Resource(desk, {}))
    uploads = [Route("/{token}", UploadResource(desk)), unknown]
    return [Mount(f"/{vendor.name}", routes=[*paths, unknown]), Mount(f"/storage/{vendor.name}", routes=uploads)]


def _check(vendor: Vendor, faults: Sequence[Fault], endpoints: Sequence[Endpoint]) -> None:
    try:
        check_routes(faults, [*(endpoint.name for endpoint in endpoints), UPLOAD], f"{vendor.name}.faults")
    except Wrong as wrong:
        raise ScenarioError(str(wrong)) from None


class _Access(NamedTuple):
    """A vendor, the variable and the text of its credential, and the header that it stands in."""

    emulation: Callable[[World, Any], Vendor]
    variable: str
    key: str
    header: str

    @property
    def headers(self) -> dict[str, str]:
        name, _, form = self.header.partition(": ")
        return {name: form.format(self.key)}


VENDORS = {
    "doksi": _Access(Doksi, "DOKSI_API_KEY", "dk_live_" + "01234567" * 5, "authorization: Bearer {}"),
    "docketqa": _Access(Docketqa, "DOCKET_API_KEY", "emulated-docket-key", "x-api-key: {}"),
    "testerarmy": _Access(Testerarmy, "TESTERARMY_API_KEY", "sk_emulated", "authorization: Bearer {}"),
    "certyn": _Access(Certyn, "CERTYN_API_KEY", "cyn_live_emulated", "x-api-key: {}"),
}


KEEP_ALIVE = 75  # seconds; longer than a client waits between two polls


PATIENCE = 10.0  # seconds to wait for the thread, which normally takes milliseconds


class Running:
    """An emulator that is listening; as a context manager it closes at the end."""

    def __init__(self, url: str, server: _Server, thread: threading.Thread) -> None:
        self.url = url
        self.urls = {vendor: f"{url}/{vendor}" for vendor in VENDORS}
        self.environ = {f"QARUNNER_{vendor.upper()}_URL": base for vendor, base in self.urls.items()}
        self.environ |= {access.variable: access.key for access in VENDORS.values()}
        self._server = server
        self._thread = thread

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stops listening and closes every connection; a second call does nothing."""
        self._server.stop()
        self._thread.join(PATIENCE)


def serve(
    scenario: Scenario | Mapping[str, object] | Path | None = None,
    port: int = 0,
    clock: Clock = time.monotonic,
    *,
    host: str = "127.0.0.1",
    speed: float | None = None,
    memory: Memory | None = None,
) -> Running:
    """Starts the emulator and returns once it accepts connections.

    Args:
        scenario: What the vendors do: a scenario, its plain data, or its file; None lets everything pass.
        port: The port; 0 picks a free one.
        clock: Growing seconds, by which runs advance and rates are counted.
        host: A loopback address.
        speed: Replaces the scenario's speed.
        memory: What an earlier emulator was asked, and its scenario; what this one is asked is kept there, too.

    Raises:
        ScenarioError: The scenario cannot be used.
        ValueError: The host is not a loopback address.
        OSError: The port is taken.
    """
    listener = _listen(host, port)
    try:
        address = f"[{host}]" if ":" in host else host
        url = f"http://{address}:{listener.getsockname()[1]}"
        read = memory.scenario if memory else _scenario(scenario)
        try:
            emulator = Emulator(read.at_speed(speed), url, clock, memory)
        except ScenarioError as error:  # a route that a vendor does not have
            name = memory.name if memory else scenario if isinstance(scenario, Path) else None
            raise ScenarioError(f"{name}: {error}" if name else str(error)) from None
        if memory is not None:
            asyncio.run(memory.replay(emulator, clock, {name: access.headers for name, access in VENDORS.items()}))
        server = _Server(_config(emulator))
    except BaseException:
        listener.close()
        raise
    thread = threading.Thread(target=server.serve_until_stopped, args=(listener,), name="emulator", daemon=True)
    thread.start()
    server.listening.wait(PATIENCE)
    if not server.started:
        raise RuntimeError("the emulator's server did not start")
    return Running(url, server, thread)


def serve_until_signal(scenario: Path | None, port: int, *, host: str, speed: float | None) -> None:
    """Serves until SIGINT or SIGTERM, after printing the environment that leads there. Raises what `serve` does."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with serve(scenario, port, host=host, speed=speed) as running:
        sys.stdout.writelines(f"export {name}={shlex.quote(value)}\n" for name, value in running.environ.items())
        sys.stdout.flush()
        stop.wait()


def _scenario(source: Scenario | Mapping[str, object] | Path | None) -> Scenario:
    if isinstance(source, Scenario):
        return source
    if isinstance(source, Path):
        return load_scenario(source)
    return read_scenario(dict(source or {}))


_HIGHEST_PORT = 65535


def _listen(host: str, port: int) -> socket.socket:
    if not ipaddress.ip_address("127.0.0.1" if host == "localhost" else host).is_loopback:
        raise ValueError(f"{host} is not a loopback address; the emulator accepts any key and stays on this machine")
    if port > _HIGHEST_PORT:
        raise ValueError(f"{port} is no port: a port is a number up to {_HIGHEST_PORT}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=1024)


def _config(emulator: Emulator) -> uvicorn.Config:
    return uvicorn.Config(
        emulator,
        http=_Protocol,
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
    )


class _Protocol(H11Protocol):
    """HTTP/1.1 whose connection a request handler can abort: `scope["state"]["abort"]()`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # asyncio does this only for sockets that name their protocol; without it every reply waits 40 ms.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.app_state = {**self.app_state, "abort": transport.abort}


class _Server(uvicorn.Server):
    """A uvicorn server that another thread starts and stops within milliseconds."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def serve_until_stopped(self, listener: socket.socket) -> None:
        """Runs an event loop of its own in the calling thread."""
        try:
            asyncio.run(self.serve(sockets=[listener]))
        finally:
            self.listening.set()  # whoever waits for a server that could not start

    def stop(self) -> None:
        """Ends `serve_until_stopped`, from any thread."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is already closed
                self._loop.call_soon_threadsafe(self._stopping.set)

    async def main_loop(self) -> None:
        """Waits for `stop` without uvicorn's tenth of a second, and keeps the Date header going."""
        self._loop = asyncio.get_running_loop()
        self.listening.set()
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._stopping.wait()
                    return

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Closes every connection at once: whoever waits for a reply sees it dropped."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=1)
