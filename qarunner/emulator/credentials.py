"""Recognises a vendor's credential by its shape; its value is never kept."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from qarunner.emulator.messages import Refused

if TYPE_CHECKING:
    from qarunner.emulator.messages import Call


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
