"""What an answer leaves at a vendor: pure decisions about environments, of which none may be forgotten."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qarunner.engine.events import Remains
from qarunner.engine.machine import (
    BUGS,
    CONFLICT,
    TOO_MANY,
    Fault,
    FaultKind,
    refusal_of,
    resource_token,
    transient,
    typed,
)
from qarunner.vendors.api import Leftover, ResourceKind, fill

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qarunner.engine.machine import Answer
    from qarunner.engine.resource_state import ResourceState
    from qarunner.engine.state import JobState
    from qarunner.vendors.api import Prepared, Reply, Request, Resource, Vendor

OTHER_BODY = (
    "the create may have happened, and cannot be repeated: what it refers to was removed, and could be made again "
    "under another name alone"
)
_READS = frozenset({"GET", "HEAD"})
_GONE = frozenset({404, 410})
_REDIRECTS = range(300, 400)


def filled(state: JobState, values: Mapping[str, Mapping[str, str]]) -> Request:
    """A job's create with the values of its resources, by the adapter's keys."""
    request = state.job.request
    return replace(request, body=fill(request.body, values)) if state.job.uses else request


def makes(resource: Resource, request: Request) -> bool:
    """Whether a request can make an environment. Builds may be uploaded twice: nobody has to remove them."""
    return resource.kind is ResourceKind.ENVIRONMENT and request.method not in _READS


def token_of(run: str, state: ResourceState) -> str:
    """An environment keeps its token until the vendor says that it is taken; each upload has one of its own."""
    environment = state.resource.kind is ResourceKind.ENVIRONMENT
    return resource_token(run, state.resource.id, state.taken + 1 if environment else state.attempt)


def remains_of(vendor: Vendor, state: ResourceState, token: str, answer: Answer) -> Remains:
    """What the request that makes an environment has left, where its answer was no good one. In doubt, something."""
    if isinstance(answer, Fault):
        return Remains.MAYBE if answer.kind is FaultKind.LOST else Remains.NOTHING
    if answer.ok or answer.status in _REDIRECTS:
        return Remains.MAYBE
    if state.doubted and _taken(vendor, state.resource, token, answer):
        return Remains.TAKEN
    # Too many requests, and a plain refusal, have made nothing.
    return Remains.MAYBE if unclear(answer) else Remains.NOTHING


def unclear(answer: Answer) -> bool:
    """Whether a request that changes something may have done so all the same."""
    if isinstance(answer, Fault):
        return answer.kind is FaultKind.LOST
    return transient(answer) and answer.status != TOO_MANY


def _taken(vendor: Vendor, resource: Resource, token: str, reply: Reply) -> bool:
    try:
        return typed(vendor.taken(resource, token, reply), bool)
    except BUGS:  # what an adapter cannot tell is no reason to ask for another one
        return False


def leftover_of(vendor: Vendor, resource: Resource, token: str, prepared: Prepared | None) -> Leftover:
    """How people find an environment; an adapter's bug must not hide that there may be one."""
    try:
        return typed(vendor.leftover(resource, token, prepared), Leftover)
    except BUGS:
        return Leftover(what=f"{resource.kind} {token}", todo=f"look for it at {vendor.info.title}, and delete it")


def not_removed(vendor: Vendor, answer: Answer) -> str | None:
    """Why a resource was not removed; None if it is gone, by whichever request."""
    if isinstance(answer, Fault):
        return answer.message
    return None if answer.ok or answer.status in _GONE else refusal_of(vendor, answer).message


def ask_again(answer: Answer) -> bool:
    """Whether a removal or a cancel that failed may succeed in a moment; a plain refusal will not."""
    if isinstance(answer, Fault):
        return answer.kind is not FaultKind.FORBIDDEN
    return transient(answer) or answer.status == CONFLICT
