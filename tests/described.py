"""A vendor's own OpenAPI file as the judge of what goes over the wire: adapters' requests, the emulator's replies.

openapi-core finds the operation and checks path, query, credential, body and reply. Objects are closed before: a field
that the file does not have is a violation, though OpenAPI would let it pass.
"""

from __future__ import annotations

import json
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openapi_core import OpenAPI
from openapi_core.exceptions import OpenAPIError
from openapi_core.templating.paths.exceptions import PathError
from openapi_core.templating.responses.exceptions import ResponseNotFound
from openapi_core.testing import MockRequest, MockResponse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FILES = Path(__file__).parent / "openapi"
HOST = "https://described.example"
TOP = {"testerarmy": "/v1"}
"""What the file's paths begin with, where the base URL of qarunner has it already."""


def violations(
    vendor: str,
    method: str,
    path: str,
    *,
    query: Mapping[str, str] | None = None,
    body: object = None,
    reply: tuple[int, str] | None = None,
) -> list[str]:
    """What the file says against a request (without a `reply`), or against a reply to it: a status and a JSON text."""
    request = MockRequest(
        HOST,
        method.lower(),
        TOP[vendor] + path,
        args=dict(query or {}),
        headers={"Authorization": "Bearer sk_emulated"},
        data=None if body is None else json.dumps(body).encode(),
        content_type="application/json",
    )
    try:
        if reply is None:
            described(vendor).validate_request(request)
        else:
            _check_reply(described(vendor), request, *reply)
    except OpenAPIError as error:
        return list(_words(error))
    return []


def _check_reply(api: OpenAPI, request: MockRequest, status: int, text: str) -> None:
    """A status that the file does not declare has the form of every error: that of a 400."""
    try:
        api.validate_response(request, MockResponse(text.encode(), status, None, "application/json"))
    except PathError:  # the file does not have this route, and so the emulator has to refuse it
        if status not in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}:
            raise
    except ResponseNotFound:
        if status < HTTPStatus.BAD_REQUEST:
            raise
        api.validate_response(request, MockResponse(text.encode(), 400, None, "application/json"))


def _words(error: BaseException) -> Iterator[str]:
    inner: Any = getattr(error.__cause__, "schema_errors", ())
    yield from (f"{found.json_path}: {found.message}" for found in inner)
    if not inner:
        yield f"{error} {error.__cause__ or ''}"


@cache
def described(vendor: str) -> OpenAPI:
    """A vendor's file with closed objects, served at HOST."""
    data = json.loads((FILES / f"{vendor}.json").read_text(encoding="utf-8"))
    return OpenAPI.from_dict(_closed({**data, "servers": [{"url": HOST}]}, data))


@cache
def operations(vendor: str) -> frozenset[tuple[str, str]]:
    """Each method and path of a vendor's file, the path as the emulator has it."""
    data = json.loads((FILES / f"{vendor}.json").read_text(encoding="utf-8"))
    paths = data["paths"].items()
    return frozenset((method.upper(), path.removeprefix(TOP[vendor])) for path, item in paths for method in item)


def _closed(value: Any, whole: Mapping[str, Any]) -> Any:  # noqa: ANN401  a JSON value, changed in depth
    if isinstance(value, list):
        return [_closed(child, whole) for child in value]
    if not isinstance(value, dict):
        return value
    if "allOf" in value:
        value = _merged([_resolved(part, whole) for part in value["allOf"]])
    closed = {name: _closed(child, whole) for name, child in value.items()}
    if closed.get("type") == "object" and "properties" in closed:
        closed.setdefault("additionalProperties", False)
    return closed


def _resolved(schema: Mapping[str, Any], whole: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema without a reference at its top."""
    found: Any = whole
    for step in schema["$ref"].split("/")[1:] if "$ref" in schema else ():
        found = found[step]
    return found if "$ref" in schema else schema


def _merged(parts: list[Mapping[str, Any]]) -> dict[str, Any]:
    """One object in place of an `allOf`, whose parts cannot be closed one by one."""
    properties = {name: schema for part in parts for name, schema in part.get("properties", {}).items()}
    required = [name for part in parts for name in part.get("required", ())]
    return {"type": "object", "properties": properties, "required": required}
