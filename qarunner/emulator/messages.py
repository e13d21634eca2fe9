"""What passes between the HTTP side and an emulated vendor: a Call goes in, an Answer or a Refused comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Protocol, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from qarunner.emulator.strict import Reader

K = TypeVar("K")
T = TypeVar("T")


class Body(StrEnum):
    """What kind of request body a route takes."""

    NONE = "none"
    JSON = "json"
    OPTIONAL = "optional"


class Call(Struct, frozen=True, kw_only=True):
    """One request to a vendor's API: header names in any case, the JSON body parsed (None: no body)."""

    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, object] = field(default_factory=dict)
    body: object = None

    def with_input(self, query: Mapping[str, object], body: object) -> Call:
        """The same call with its checked query and its body, which are read after the credential."""
        return replace(self, query=query, body=body)

    def number(self, name: str, default: int) -> int:
        """A query parameter that is read as a number."""
        value = self.query.get(name, default)
        return value if isinstance(value, int) else default


class Answer(Struct, frozen=True, kw_only=True):
    """A reply: a JSON value, or a raw text, or no body at all when both are None."""

    status: int = 200
    body: object = None
    text: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):  # noqa: N818 (an expected answer, not a failure of the program)
    """The vendor says no; `extra` joins the vendor's error body."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        extra: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.extra = extra or {}
        self.headers = headers or {}


def known(things: Mapping[K, T], key: K, what: str) -> T:
    """A thing by its id; one that is not there is refused."""
    if key not in things:
        raise Refused(404, f"{what} not found")
    return things[key]


class Endpoint(Struct, frozen=True):
    """One route of a vendor: `name` is such as `GET /runs/{id}`, the query names each parameter that it takes.

    `handle` gives the reply's body, which has this `status`, or a whole Answer.
    """

    name: str
    handle: Callable[[Call], object]
    status: int = 200
    body: Body = Body.NONE
    query: Mapping[str, Reader[object]] = field(default_factory=dict)

    @property
    def method(self) -> str:
        return self.name.partition(" ")[0]

    @property
    def path(self) -> str:
        return self.name.partition(" ")[2]

    def answer(self, call: Call) -> Answer:
        """What the vendor answers to a call that has its query and its body; without one, an optional body is empty."""
        is_empty = call.body is None and self.body is Body.OPTIONAL
        reply = self.handle(replace(call, body={}) if is_empty else call)
        return reply if isinstance(reply, Answer) else Answer(status=self.status, body=reply)


class Vendor(Protocol):
    """An emulated vendor."""

    @property
    def name(self) -> str:
        """The vendor's name, which is its URL prefix."""

    @property
    def state_at(self) -> tuple[str, ...]:
        """Where the status word stands in a status reply."""

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Every route, in the order of the vendor's page."""

    def admit(self, call: Call, endpoint: Endpoint) -> Answer | None:
        """Checks the credential, the key's scope and the rate limits; an answer says that the call came too early."""

    def error(self, status: int, message: str, extra: Mapping[str, object]) -> object:
        """The vendor's error body."""
