"""The whole emulator as one ASGI application: the vendors, the storage, the pages and the inspection routes."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from qarunner.emulator.certyn import Certyn
from qarunner.emulator.docketqa import Docketqa
from qarunner.emulator.doksi import Doksi
from qarunner.emulator.faults import FaultBook, check_routes
from qarunner.emulator.pages import page, start_page
from qarunner.emulator.scenario import ScenarioError
from qarunner.emulator.strict import Wrong
from qarunner.emulator.testerarmy import Testerarmy
from qarunner.emulator.wire import UPLOAD, Desk, Resource, UploadResource
from qarunner.emulator.world import new_world

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from qarunner.emulator.faults import Fault
    from qarunner.emulator.messages import Endpoint, Vendor
    from qarunner.emulator.scenario import Scenario
    from qarunner.emulator.timeline import Clock
    from qarunner.emulator.world import World

TOLD = tuple(f"/_emulator/{what}" for what in ("requests", "runs", "uploads", "moves", "environments"))


class Emulator:
    """An ASGI application that a reset puts back to its start."""

    def __init__(self, scenario: Scenario, root: str, clock: Clock) -> None:
        self._scenario = scenario
        self._root = root
        self._clock = clock
        self._inner = self._fresh()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(ClientDisconnect):  # a client that goes away while it sends is no error
            await self._inner(scope, receive, send)

    def _fresh(self) -> Starlette:
        world = new_world(self._root, self._clock, self._scenario.speed)
        vendors = _vendors(world, self._scenario)
        mounts = [mount for vendor, faults in vendors for mount in _mounts(vendor, faults, world)]
        names = [vendor.name for vendor, _ in vendors]
        return Starlette(routes=[*mounts, *self._inspection(world, names)])

    def _inspection(self, world: World, vendors: Sequence[str]) -> list[Route]:
        async def told(request: Request) -> Response:
            return JSONResponse(world.ledger.told(request.url.path.rpartition("/")[2]))

        async def reset(request: Request) -> Response:  # noqa: ARG001 (Starlette passes it)
            self._inner = self._fresh()
            return Response(status_code=204)

        async def start(request: Request) -> Response:  # noqa: ARG001 (Starlette passes it)
            return start_page([f"{world.root}/{vendor}" for vendor in vendors] + [world.root + path for path in TOLD])

        return [
            Route("/", start),
            *(Route(path, told) for path in TOLD),
            Route("/_emulator/reset", reset, methods=["POST"]),
            Route("/pages/{vendor}/{kind}/{name:path}", page),
        ]


def _vendors(world: World, scenario: Scenario) -> list[tuple[Vendor, Sequence[Fault]]]:
    return [
        (Doksi(world, scenario.doksi), scenario.doksi.faults),
        (Docketqa(world, scenario.docketqa), scenario.docketqa.faults),
        (Testerarmy(world, scenario.testerarmy), scenario.testerarmy.faults),
        (Certyn(world, scenario.certyn), scenario.certyn.faults),
    ]


def _mounts(vendor: Vendor, faults: Sequence[Fault], world: World) -> list[Mount]:
    endpoints = vendor.endpoints()
    _check(vendor, faults, endpoints)
    by_path: defaultdict[str, dict[str, Endpoint]] = defaultdict(dict)
    for endpoint in endpoints:
        by_path[endpoint.path][endpoint.method] = endpoint
    desk = Desk(vendor, FaultBook(faults), world)
    paths = [Route(path, Resource(desk, methods)) for path, methods in by_path.items()]
    unknown = Route("/{path:path}", Resource(desk, {}))
    uploads = [Route("/{token}", UploadResource(desk)), unknown]
    return [Mount(f"/{vendor.name}", routes=[*paths, unknown]), Mount(f"/storage/{vendor.name}", routes=uploads)]


def _check(vendor: Vendor, faults: Sequence[Fault], endpoints: Sequence[Endpoint]) -> None:
    try:
        check_routes(faults, [*(endpoint.name for endpoint in endpoints), UPLOAD], f"{vendor.name}.faults")
    except Wrong as wrong:
        raise ScenarioError(str(wrong)) from None
