"""Servers that answer as they like, over real sockets, and a transport that sends to them."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING

from qarunner.engine.io.connection import Endpoint, Network
from qarunner.engine.io.transport import Permissions, Transport
from qarunner.engine.io.uploads import measure
from qarunner.vendors.api import Auth, Fault, FileRef, Reply, Request, Upload, UploadAddress
from tests.amount import PATIENCE_S

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from qarunner.engine.decide.interpret import Answer
    from qarunner.engine.io.transport import Timeouts
    from qarunner.vendors.api import AnyRequest, Build

KEY = "the-key-of-the-vendor"
GET = Request(method="GET", path="/runs/1")
CREATE = Request(method="POST", path="/runs", body={"tests": ["a"]})


class Server:
    """Accepts connections, reads a request from each, and lets `answer` do what it likes with the socket."""

    def __init__(
        self, answer: Callable[[socket.socket], None], tls: ssl.SSLContext | None = None, *, pause_s: float = 0.0
    ) -> None:
        self._pause_s = pause_s
        self._over = threading.Event()
        self.requests: list[bytes] = []
        self.connections = 0
        self._answer = answer
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._threads.append(threading.Thread(target=self._serve, args=(raw,), daemon=True))
            self._threads[-1].start()

    def _serve(self, raw: socket.socket) -> None:
        raw.settimeout(PATIENCE_S)
        with contextlib.suppress(OSError), raw:
            connection = self._tls.wrap_socket(raw, server_side=True) if self._tls else raw
            with connection:
                while request := read_request(connection, lambda: self._over.wait(self._pause_s)):
                    self.requests.append(request)
                    self._answer(connection)

    def close(self) -> None:
        self._over.set()
        # Only a shutdown wakes a thread that waits in accept.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(PATIENCE_S)


def read_request(connection: socket.socket, pause: Callable[[], object] = lambda: None) -> bytes:
    """A request, with a pause after its head."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (piece := connection.recv(65536)):
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    pause()
    left = int(lengths[0].partition(b":")[2]) - len(body) if lengths else 0
    while left > 0 and (piece := connection.recv(left)):
        data, left = data + piece, left - len(piece)
    return data


def http(body: bytes | str, *headers: str, status: str = "200 OK") -> bytes:
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(data)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def says(data: bytes) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(data)


def says_and_closes(data: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_RDWR)

    return answer


def hangs(connection: socket.socket) -> None:
    """Says nothing until the other side has gone."""
    while connection.recv(65536):
        pass


@contextlib.contextmanager
def serving(
    answer: Callable[[socket.socket], None], tls: ssl.SSLContext | None = None, *, pause_s: float = 0.0
) -> Iterator[Server]:
    server = Server(answer, tls, pause_s=pause_s)
    try:
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def sender(  # noqa: PLR0913  all that a transport can be given, by name
    url: str,
    *,
    secrets: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    clock: Callable[[], float] = time.monotonic,
    auth: Auth = Auth(headers={"Authorization": "Bearer {key}"}),  # noqa: B008  it is frozen
    header: str | None = "Idempotency-Key",
    timeouts: Timeouts | None = None,
    allowed: Collection[str] | None = None,
    builds: Collection[Build] = (),
    variable: str = "V_API_KEY",
) -> Iterator[Transport]:
    """A transport whose secrets may go to the vendor, unless `allowed` says otherwise."""
    secrets = secrets or {}
    allowed = [f"{name}@v" for name in secrets] if allowed is None else allowed
    endpoint = Endpoint(base_url=url, auth=auth, key=KEY, key_variable=variable, idempotency_header=header)
    network = Network.of(environ or {})
    permissions = Permissions(allowed=frozenset(allowed), keys={"v": "V_API_KEY", "w": "W_API_KEY"})
    made = Transport({"v": endpoint}, secrets, network, clock, builds, permissions=permissions, timeouts=timeouts)
    try:
        yield made
    finally:
        made._connections().close()


def send(
    url: str, request: AnyRequest = CREATE, *, key: str | None = None, fresh: bool = True, **options: object
) -> Answer:
    with sender(url, **options) as made:  # type: ignore[arg-type]
        return made.send("v", request, key=key, fresh=fresh)


def fault(answer: Answer) -> Fault:
    assert isinstance(answer, Fault), answer
    return answer


def reply(answer: Answer) -> Reply:
    assert isinstance(answer, Reply), answer
    return answer


def told(text: str, **options: object) -> Reply:
    """The reply that a server's body becomes."""
    with serving(says(http(text))) as server:
        return reply(send(server.url, **options))  # type: ignore[arg-type]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def resets(connection: socket.socket) -> None:
    """Ends a connection as a crashed machine does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def build_in(folder: Path, content: bytes = b"bytes of a build") -> Build:
    path = folder / "app.apk"
    path.write_bytes(content)
    return measure(path, path.as_posix())


def upload(url: str, build: Build, *headers: tuple[str, str]) -> Upload:
    return Upload(address=UploadAddress(url=url), file=FileRef(path=build.path), headers=headers)


def tunnel(port: int) -> Callable[[socket.socket], None]:
    """Answers CONNECT for whatever host with a tunnel to a port of this machine."""

    def answer(connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as target:
            connection.sendall(b"HTTP/1.1 200 Established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(target, connection), daemon=True)
            back.start()
            _pump(connection, target)
            back.join(PATIENCE_S)

    return answer


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
