"""Requests and replies as adapters see them: before credentials are added, after secrets are taken out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qarunner.cursor import Cursor, Json


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRef:
    """The bytes of a build as a request's body; `zipped`: inside a zip that is the same for the same content."""

    path: str
    zipped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call. The credential and the idempotency key are added when it is sent.

    `path` is relative to the vendor's base URL; an absolute one (a presigned upload) is sent without any credential.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: Json = None
    headers: tuple[tuple[str, str], ...] = ()
    file: FileRef | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer over HTTP, whatever its status. Header names are in lower case; secrets are already placeholders."""

    status: int
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300  # noqa: PLR2004  any 2xx: no vendor promises one code

    def json(self) -> Cursor:
        """The body; UnexpectedData if it is not JSON."""
        return Cursor.parse(self.text, "reply $")
