"""Starts emulators on an injected clock, and talks to them over real HTTP."""

from __future__ import annotations

import logging
from logging.handlers import BufferingHandler
from typing import TYPE_CHECKING, Any, Protocol, Self

import pytest
import requests

from qarunner.emulator import serve
from tests.amount import PATIENCE_S
from tests.described import TOP, violations

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from qarunner.emulator import Running

CREDENTIALS = {
    "doksi": ("Authorization", "Bearer {DOKSI_API_KEY}"),
    "docketqa": ("X-API-KEY", "{DOCKET_API_KEY}"),
    "testerarmy": ("Authorization", "Bearer {TESTERARMY_API_KEY}"),
    "certyn": ("X-API-Key", "{CERTYN_API_KEY}"),
}


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


class Stand:
    """A running emulator with its clock, and a client that holds the right credentials."""

    def __init__(self, running: Running, clock: Clock, *, faulty: bool = False) -> None:
        self.running = running
        self.clock = clock
        self.faulty = faulty  # the scenario's own words are in the replies
        self.session = requests.Session()
        self.session.trust_env = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.session.close()
        self.running.close()

    def call(self, vendor: str, route: str, body: object = None, **options: Any) -> requests.Response:  # noqa: ANN401
        """One request such as `POST /runs`, with the vendor's credential unless `headers` holds other ones."""
        method, _, path = route.partition(" ")
        name, shape = CREDENTIALS[vendor]
        headers = {name: shape.format(**self.running.environ)} | options.pop("headers", {})
        url = path if path.startswith("http") else self.running.urls[vendor] + path
        reply = self.session.request(method, url, json=body, headers=headers, timeout=PATIENCE_S, **options)
        if vendor in TOP and not self.faulty:
            bare, _, _ = path.partition("?")
            told = violations(vendor, method, bare, query=options.get("params"), reply=(reply.status_code, reply.text))
            assert not told, f"{route}: {reply.status_code} {reply.text}: {told}"
        return reply

    def json(self, vendor: str, route: str, body: object = None, **options: Any) -> Any:  # noqa: ANN401
        """The body of a reply that must be good."""
        reply = self.call(vendor, route, body, **options)
        assert reply.ok, f"{reply.status_code} {reply.text}"
        return reply.json()

    def records(self, what: str) -> Any:  # noqa: ANN401
        """One of the inspection lists."""
        return self.session.get(f"{self.running.url}/_emulator/{what}", timeout=PATIENCE_S).json()

    def put(self, url: str, data: bytes, content_type: str, **headers: str) -> requests.Response:
        """An upload to a presigned URL, without a credential."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.session.put(url, data=data, headers={"Content-Type": content_type, **headers}, timeout=PATIENCE_S)


@pytest.fixture
def logged() -> Iterator[list[logging.LogRecord]]:
    """What anything logs meanwhile: a server's own library tells its errors there alone."""
    handler = BufferingHandler(1000)
    logging.getLogger().addHandler(handler)
    yield handler.buffer
    logging.getLogger().removeHandler(handler)


class Start(Protocol):
    """Starts an emulator that is closed after the test."""

    def __call__(self, scenario: dict[str, object] | None = None, *, speed: float | None = None) -> Stand: ...


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts emulators, each on a clock of its own."""
    stands: list[Stand] = []

    def begin(scenario: dict[str, object] | None = None, *, speed: float | None = None) -> Stand:
        clock = Clock()
        faulty = any("'faults'" in str(section) or "'word'" in str(section) for section in (scenario or {}).values())
        stands.append(Stand(serve(scenario, clock=clock, speed=speed), clock, faulty=faulty))
        return stands[-1]

    yield begin
    for stand in stands:
        with stand:
            pass


@pytest.fixture
def stand(start: Start) -> Stand:
    """An emulator in which everything passes."""
    return start()
