"""GitHub's and GitLab's notes, as their public reference describes them, on loopback."""

from __future__ import annotations

import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

OWN = {"login": "github-actions[bot]", "type": "Bot", "id": 41898282}


@dataclass
class Host:
    """A repository's pull request with its comments; `readonly` as for the token of a fork's pull request.

    `gone`: the method before whose call somebody removes the newest comment. `listed`: what a list answers instead.
    """

    url: str = ""
    token: str = "ghs_token"
    readonly: bool = False
    comments: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    redirect: str | None = None
    broken: int = 0
    gone: str = ""
    listed: Any = None

    def add(self, body: str, user: dict[str, Any]) -> dict[str, Any]:
        comment = {
            "id": 1000 * (len(self.requests) + 1) + len(self.comments),
            "body": body,
            "user": user,
            "author": user,
        }
        self.comments.append(comment)
        return comment

    def answer(self, method: str, target: str, headers: dict[str, str], body: Any) -> tuple[int, Any]:  # noqa: ANN401, PLR0911  an answer each
        parts = urlsplit(target)
        query = {key: int(values[0]) for key, values in parse_qs(parts.query).items()}
        self.requests.append((method, parts.path))
        given = headers.get("authorization", "").removeprefix("Bearer ") or headers.get("private-token", "")
        if given != self.token:
            return 401, {"message": "Bad credentials"}
        if self.broken:
            self.broken -= 1
            return 502, {"message": "bad gateway"}
        if parts.path == "/user":
            return (200, OWN) if "private-token" in headers else (403, {"message": "Resource not accessible"})
        if method == self.gone:
            self.gone, _ = "", self.comments.pop()
        if method == "GET":
            first = (query["page"] - 1) * query["per_page"]
            page = self.comments[first : first + query["per_page"]]
            return 200, page if self.listed is None else self.listed
        if self.readonly:
            return 403, {"message": "Resource not accessible by integration"}
        if method == "POST":
            return 201, self.add(body["body"], OWN)
        match = re.search(r"/(?:comments|notes)/(\d+)$", parts.path)
        comment = next((each for each in self.comments if match and each["id"] == int(match[1])), None)
        if comment is None:
            return 404, {"message": "Not Found"}
        if method == "DELETE":
            self.comments.remove(comment)
            return 204, None
        comment["body"] = body["body"]
        return 200, comment


@contextmanager
def serving() -> Iterator[Host]:
    """A host that answers until the block ends."""
    host = Host()

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size)) if size else None
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, reply = host.answer(self.command, self.path, headers, body)
            if host.redirect:
                status, reply = 302, None
            data = json.dumps(reply).encode()
            self.send_response(status)
            if host.redirect:
                self.send_header("Location", host.redirect)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _handle  # noqa: N815  the library's names

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    host.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
