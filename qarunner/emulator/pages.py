"""The pages and pictures behind the URLs in emulated replies: they say what they are, and fetch nothing."""

from __future__ import annotations

import struct
import zlib
from html import escape
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse, Response

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>
<body><h1>{title}</h1>{content}</body></html>
"""
ITEM = "<p>An emulated page. The real vendor shows the details of this item here.</p>"
WIDTH, HEIGHT = 320, 200


async def page(request: Request) -> Response:
    """A page for people; a name that ends in `.png` is a picture."""
    vendor, kind, name = (request.path_params[part] for part in ("vendor", "kind", "name"))
    if name.endswith(".png"):
        return Response(picture(), media_type="image/png")
    return HTMLResponse(PAGE.format(title=escape(f"{vendor}: {kind} {name}"), content=ITEM))


def start_page(links: Iterable[str]) -> Response:
    """The page at the emulator's root: where everything is."""
    items = "".join(f"<li><code>{escape(link)}</code></li>" for link in links)
    return HTMLResponse(PAGE.format(title="Emulated QA vendors", content=f"<ul>{items}</ul>"))


def picture() -> bytes:
    """A small grey gradient as PNG."""
    rows = b"".join(b"\0" + bytes(255 - row for _ in range(WIDTH)) for row in range(HEIGHT))
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 0, 0, 0, 0)
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
