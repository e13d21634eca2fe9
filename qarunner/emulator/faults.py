"""Decides which call of which route goes wrong, and how.

A fault names a route (`on: POST /runs`) and the calls of it that it strikes: `call: 2` the second since the start,
`from: 2` and `to: 9` a range (either end may be left out), none of them every call. Every request that reaches the
route counts, also one that is refused. The first fault of the list that strikes a call is the one that does.

- `status`, `body`: answer this, and do nothing; a body is JSON or, as a text, sent as it stands. Without `body` the
  vendor's own error body goes out. `effect: true` lets the call do its work first; so does a fault without `status`.
- `headers`, `retry_after` (whole seconds), `retry_after_date` (the same as an HTTP date): added to the reply.
- `delay`: the reply waits that long (divided by the speed), after the effect.
- `drop: before | after`: the connection closes without a reply, before or after the effect.
- `state`: this word in place of the status word of an otherwise normal reply.
- `merge`: a mapping that is merged into a normal reply's body; `without`: top-level fields that are left out of it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from email.utils import formatdate
from itertools import product
from typing import Annotated

from msgspec import Struct, field
from msgspec.structs import replace

from qarunner.emulator.messages import Answer, Vendor
from qarunner.emulator.strict import (
    Fields,
    Wrong,
    anything,
    flag,
    list_of,
    mapping_of,
    one_of,
    seconds_of,
    suggestion,
    text,
    whole,
)

# A reply that is replaced or never sent cannot also be changed.
EXCLUSIVE = (
    *product(["drop"], ["status", "body", "effect"]),
    *product(["drop", "status", "body"], ["state", "merge", "without"]),
)


class Fault(Struct, frozen=True, kw_only=True):
    """One line of a scenario's `faults`."""

    on: Annotated[str, text]
    first: int = 1
    last: int | None = None
    status: Annotated[int | None, whole(least=200, most=599)] = None
    body: Annotated[object, anything] = None
    has_body: bool = False
    headers: Annotated[Mapping[str, str], mapping_of(text, text)] = field(default_factory=dict)
    retry_after: Annotated[int | None, whole(least=0)] = None
    retry_after_date: Annotated[int | None, whole(least=0)] = None
    delay: Annotated[float, seconds_of] = 0.0
    drop: Annotated[str | None, one_of("before", "after")] = None
    effect: Annotated[bool, flag] = False
    state: Annotated[str | None, text] = None
    merge: Annotated[Mapping[str, object], mapping_of(text, anything)] = field(default_factory=dict)
    without: Annotated[tuple[str, ...], list_of(text, least=1)] = ()

    def strikes(self, call: int) -> bool:
        """Whether the n-th call of the route is struck."""
        return self.first <= call and (self.last is None or call <= self.last)

    @property
    def skips_effect(self) -> bool:
        """Whether the vendor never gets to see the call."""
        return self.drop == "before" or (self.status is not None and not self.effect)


def read_fault(value: object, path: str) -> Fault:
    """Reads one fault."""
    with Fields(value, path) as fields:
        first, last = _range(fields)
        for pair in EXCLUSIVE:
            fields.at_most_one(*pair)
        return fields.fill(Fault, first=first, last=last, has_body=fields.has("body"))


def _range(fields: Fields) -> tuple[int, int | None]:
    call = fields.maybe("call", whole(least=1))
    first = fields.maybe("from", whole(least=1))
    last = fields.maybe("to", whole(least=1))
    if call is None:
        return first or 1, last
    if first or last:
        raise Wrong(fields.at("call"), "stands alone; a range is written with from and to")
    return call, call


class FaultBook:
    """Counts the calls of one vendor's routes, and hands out the faults that strike them."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self._faults = faults
        self._calls: dict[str, int] = {}

    def next(self, route: str) -> Fault | None:
        """Counts a call of a route; the fault that strikes it, if one does."""
        call = self._calls[route] = self._calls.get(route, 0) + 1
        return next((fault for fault in self._faults if fault.on == route and fault.strikes(call)), None)


def check_routes(faults: Sequence[Fault], routes: Collection[str], path: str) -> None:
    """Refuses a fault on a route that its vendor does not have."""
    for index, fault in enumerate(faults):
        if fault.on not in routes:
            raise Wrong(f"{path}[{index}].on", f"unknown route {fault.on!r}; {suggestion(fault.on, routes)}")


def instead(fault: Fault, vendor: Vendor) -> Answer:
    """The reply of a fault that keeps the call from having its effect."""
    status = fault.status or 500
    body = fault.body if fault.has_body else vendor.error(status, "emulated fault", {})
    return _with_body(Answer(status=status, headers=_headers(fault)), body)


def amended(answer: Answer, fault: Fault, vendor: Vendor) -> Answer:
    """A normal reply, changed as the fault says."""
    answer = replace(answer, headers={**answer.headers, **_headers(fault)})
    if fault.status is not None:
        return replace(instead(fault, vendor), headers=answer.headers)
    if fault.has_body:
        return _with_body(answer, fault.body)
    if isinstance(answer.body, dict):
        body = _merged(answer.body, fault.merge)
        if fault.state is not None:
            body = _restated(body, vendor.state_at, fault.state)
        return replace(answer, body={key: value for key, value in body.items() if key not in fault.without})
    return answer


def _with_body(answer: Answer, body: object) -> Answer:
    if isinstance(body, str):
        return replace(answer, body=None, text=body)
    return replace(answer, body=body, text=None)


def _headers(fault: Fault) -> dict[str, str]:
    headers = dict(fault.headers)
    if fault.retry_after is not None:
        headers["Retry-After"] = str(fault.retry_after)
    if fault.retry_after_date is not None:
        headers["Retry-After"] = formatdate(time.time() + fault.retry_after_date, usegmt=True)
    return headers


def _restated(body: Mapping[str, object], path: Sequence[str], word: str) -> dict[str, object]:
    """The body with another status word, where it has one."""
    head, *rest = path
    inner = body.get(head)
    if rest:
        return {**body, head: _restated(inner, rest, word)} if isinstance(inner, dict) else dict(body)
    return {**body, head: word} if inner is not None else dict(body)


def _merged(into: Mapping[str, object], more: Mapping[str, object]) -> dict[str, object]:
    result = dict(into)
    for key, value in more.items():
        old = result.get(key)
        result[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result
