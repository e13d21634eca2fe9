"""The way to the network, over real sockets: what was sent, what can have arrived, and who learns a secret."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import socket
import subprocess
import threading
import time
from email.parser import BytesParser
from email.policy import HTTP
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from msgspec.structs import replace
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from qarunner.engine.io import connection as network
from qarunner.engine.io import transport
from qarunner.engine.io.connection import Endpoint, Network, checked_url
from qarunner.engine.io.transport import Timeouts
from qarunner.errors import UserError
from qarunner.vendors.api import Auth, Cause, Fault, Form, Reply, Request, resolve_refs, resource_ref
from tests.amount import PATIENCE_S
from tests.engine.sockets import (
    CREATE,
    GET,
    KEY,
    build_in,
    fault,
    free_port,
    hangs,
    http,
    reply,
    resets,
    says,
    says_and_closes,
    send,
    sender,
    serving,
    told,
    tunnel,
    upload,
)

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from qarunner.engine.decide.interpret import Answer
    from tests.engine.sockets import (
        Server,
    )

SECRET = 's3cr&t/"é<>'
# --- what can have reached the vendor -------------------------------------------------------------------------------


def test_a_refused_port_was_not_reached() -> None:
    port = free_port()
    found = fault(send(f"http://127.0.0.1:{port}"))
    assert not found.sent
    assert found.message == f"cannot connect to 127.0.0.1:{port}: Connection refused"


def test_a_host_without_an_address_was_not_reached() -> None:
    found = fault(send("https://nowhere.invalid"))
    assert not found.sent
    assert found.message.startswith("cannot connect to nowhere.invalid: ")


@pytest.mark.skipif(os.name != "posix", reason="a full backlog is left unanswered by Linux")
def test_a_connection_that_takes_too_long_was_not_made() -> None:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)  # noqa: FBT003  socket's own signature
            waiting.connect_ex(listener.getsockname())
        where = f"127.0.0.1:{listener.getsockname()[1]}"
        found = fault(send(f"http://{where}", timeouts=Timeouts(connect_s=0.2)))
    assert not found.sent
    assert found.message == f"no connection to {where} within 0.2 s"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfive\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\nnot gzip!",
        b"220 mail.example.com ESMTP\r\n",
        b"\x00\xff\x16garbage\r\n\r\n",
    ],
    ids=[
        "nothing",
        "half a body",
        "half a chunk",
        "no chunk",
        "no gzip",
        "another protocol",
        "garbage",
    ],
)
def test_a_request_without_a_whole_answer_may_have_been_carried_out(data: bytes) -> None:
    with serving(says_and_closes(data)) as server:
        found = fault(send(server.url))
        assert found.sent
        assert found.message.startswith(f"the connection to 127.0.0.1:{server.port} was lost: ")
        assert len(server.requests) == 1


EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
PROCESSING = b"HTTP/1.1 102 Processing\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize("before", [EARLY, CONTINUE, EARLY + EARLY, CONTINUE + EARLY + PROCESSING * 20])
def test_answers_below_200_are_read_over(before: bytes) -> None:
    with serving(says(before + http('{"id": 1}', status="201 Created"))) as server, sender(server.url) as made:
        for _ in range(2):
            found = reply(made.send("v", GET, key=None, fresh=False))
            assert (found.status, found.text) == (201, '{"id": 1}')
            assert "link" not in found.headers
        assert server.connections == 1


def test_an_answer_below_200_alone_is_none() -> None:
    for data in (EARLY, EARLY + b"HTTP/1.1 2", CONTINUE):
        with serving(says_and_closes(data)) as server:
            assert fault(send(server.url)).sent


def test_an_upgrade_that_nobody_asked_for_is_an_answer_and_the_end_of_its_connection() -> None:
    upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"
    with serving(says(upgrade)) as server, sender(server.url) as made:
        for _ in range(2):
            assert reply(made.send("v", GET, key=None, fresh=False)).status == 101
        assert server.connections == 2


def test_a_flood_of_answers_below_200_has_an_end() -> None:
    with serving(says(EARLY * 1000)) as server:
        found = fault(send(server.url))
    assert found.sent
    assert found.message.endswith("more than 100 answers below 200, and no other")
    seconds = iter(range(0, 100_000, 20))

    def drips(connection: socket.socket) -> None:
        for _ in range(90):
            connection.sendall(PROCESSING)
            time.sleep(0.01)
        hangs(connection)

    with serving(drips) as server:
        found = fault(send(server.url, clock=lambda: float(next(seconds))))
    assert found.message.endswith("in all the time that it may take")


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nX-A: b\r\n", b"HTTP/1.1 200 OK\r\nX-A: "])
def test_a_header_that_drips_is_given_up_when_the_time_is_over(head: bytes) -> None:
    def drips(connection: socket.socket) -> None:
        connection.sendall(head)
        for _ in range(200):
            connection.sendall(b"x")
            time.sleep(0.01)

    seconds = iter(range(0, 100_000, 20))
    with serving(drips) as server:
        found = fault(send(server.url, clock=lambda: float(next(seconds))))
    assert found.sent
    assert found.message.endswith("in all the time that it may take")


@pytest.mark.parametrize("end", [b"", b"Content-Le", b"Content-Length: 0", b"Content-Length: 0\r\n"])
def test_an_answer_that_ends_in_its_header_is_lost(end: bytes) -> None:
    with serving(says_and_closes(b'HTTP/1.1 200 OK\r\nX-Id: {"id": 1}\r\n' + end)) as server:
        found = fault(send(server.url))
    assert found.sent
    assert found.message.endswith("the header of the answer is not whole")


def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    with serving(says_and_closes(b'HTTP/1.1 200 OK\r\n\r\n{"id": 1}')) as server:
        assert reply(send(server.url)).text == '{"id": 1}'


def test_a_request_that_nobody_answers_in_time_may_have_been_carried_out() -> None:
    with serving(hangs) as server:
        found = fault(send(server.url, timeouts=Timeouts(create_s=0.1)))
    assert found.sent
    assert found.message.startswith("no answer from 127.0.0.1:")


def test_tls_to_a_server_without_tls_was_not_sent() -> None:
    with serving(says(http("{}"))) as server:
        listener = socket.create_server(("127.0.0.1", 0))
        thread = threading.Thread(target=_speak_plainly, args=(listener,))
        thread.start()
        found = fault(send(f"https://127.0.0.1:{listener.getsockname()[1]}"))
        thread.join()
        assert not server.requests
    assert (found.sent, found.final) == (False, Cause.CONNECTION)
    assert found.message.startswith("TLS with 127.0.0.1:")


def _speak_plainly(listener: socket.socket) -> None:
    with listener, listener.accept()[0] as connection:
        connection.recv(65536)
        connection.sendall(http("what?", status="400 Bad Request"))


def test_a_certificate_that_nobody_vouches_for_gets_no_request(tls: ssl.SSLContext) -> None:
    with serving(says(http("{}")), tls) as server:
        found = fault(send(f"https://127.0.0.1:{server.port}"))
        assert not server.requests
    assert (found.sent, found.final) == (False, Cause.CONNECTION)
    assert "self-signed certificate" in found.message
    assert "REQUESTS_CA_BUNDLE or SSL_CERT_FILE" in found.message


def test_a_certificate_for_another_host_gets_no_request(tls: ssl.SSLContext, certificate: tuple[Path, Path]) -> None:
    with serving(says(http("{}")), tls) as server:
        found = fault(send(f"https://localhost:{server.port}", environ={"SSL_CERT_FILE": str(certificate[0])}))
        assert not server.requests
    assert not found.sent


def test_a_body_is_the_same_bytes_whatever_the_order_of_its_fields() -> None:
    """A plan that was written down gives its mappings back sorted, and a resume repeats the create with its key."""
    with serving(says(http("{}"))) as server:
        texts = ('{"b": 1, "a": {"d": [{"f": 3, "e": 4}], "c": 2}}', '{"a": {"c": 2, "d": [{"e": 4, "f": 3}]}, "b": 1}')
        for text in texts:
            send(server.url, Request(method="POST", path="/runs", body=json.loads(text)), key="k")
        first, second = (request.partition(b"\r\n\r\n")[2] for request in server.requests)
    assert first == second == b'{"a": {"c": 2, "d": [{"e": 4, "f": 3}]}, "b": 1}'


def test_a_body_that_is_no_json_is_not_sent() -> None:
    with serving(says(http("{}"))) as server:
        found = fault(send(server.url, Request(method="POST", path="/runs", body={"n": float("nan")})))
        assert server.connections == 0
    assert (found.sent, found.final) == (False, Cause.REFUSED)
    assert "cannot be sent to" in found.message


# --- bounds ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", ["Content-Length: 100000", "Transfer-Encoding: chunked"])
def test_a_server_that_drips_is_given_up_when_the_time_is_over(head: str) -> None:
    def drip(connection: socket.socket) -> None:
        chunk = "\r\n186a0" if "chunked" in head else ""
        connection.sendall(f"HTTP/1.1 200 OK\r\n{head}\r\n{chunk}\r\n".encode())
        while True:
            connection.sendall(b" ")
            time.sleep(0.02)

    seconds = iter(range(0, 100_000, 20))
    with serving(drip) as server:
        found = fault(send(server.url, GET, clock=lambda: float(next(seconds))))
    assert found.sent
    assert found.message == f"no answer from 127.0.0.1:{server.port} in all the time that it may take"


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_an_answer_beyond_all_bounds_is_not_read(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "LARGEST_REPLY", 100_000)
    for size, good in ((100_000, True), (100_001, False)):
        body = b"x" * size
        data = gzip.compress(body) if encoding == "gzip" else body
        with serving(says(http(data, f"Content-Encoding: {encoding}"))) as server:
            answer = send(server.url, GET)
        assert isinstance(answer, Reply) is good
        assert len(answer.text) == size if isinstance(answer, Reply) else answer.sent


# --- what is sent ---------------------------------------------------------------------------------------------------


def test_a_request_is_sent_as_the_adapter_wrote_it() -> None:
    request = Request(
        method="POST", path="/runs/a b/ü", query=(("q", "x y&z"), ("q", "2")), body={"n": 1, "e": "é", "none": None}
    )
    with serving(says(http("{}"))) as server:
        reply(send(f"{server.url}/base", request, key="key-1"))
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /base/runs/a%20b/%C3%BC?q=x+y%26z&q=2 HTTP/1.1"
    assert f"Authorization: Bearer {KEY}" in lines
    assert "Idempotency-Key: key-1" in lines
    assert "Content-Type: application/json" in lines
    assert json.loads(body) == {"n": 1, "e": "é", "none": None}


def test_a_read_carries_neither_a_body_nor_an_idempotency_key() -> None:
    with serving(says(http("{}"))) as server:
        reply(send(server.url, GET, auth=Auth(headers={"X-API-Key": "{key}"})))
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert f"X-API-Key: {KEY}" in head.decode().split("\r\n")
    assert b"idempotency" not in head.lower()
    assert not body


def test_a_vendor_without_idempotency_keys_gets_none() -> None:
    with serving(says(http("{}"))) as server:
        reply(send(server.url, CREATE, key="key-1", header=None))
    assert b"key-1" not in server.requests[0]


def test_an_answer_is_handed_over_whatever_its_status() -> None:
    with serving(says(http("busy", "Retry-After: 7", "X-Odd: Ä", status="503 Busy"))) as server:
        found = reply(send(server.url, GET))
    assert (found.status, found.text, found.headers["retry-after"]) == (503, "busy", "7")
    assert all(name == name.lower() for name in found.headers)


def test_an_answer_may_begin_with_a_byte_order_mark() -> None:
    assert told('\ufeff{"id": 1}').json().get("id").integer() == 1


def test_connections_are_kept_unless_a_fresh_one_is_asked_for() -> None:
    with serving(says(http("{}"))) as server, sender(server.url) as made:
        for _ in range(3):
            reply(made.send("v", GET, key=None, fresh=False))
        assert server.connections == 1
        reply(made.send("v", CREATE, key=None, fresh=True))
        assert server.connections == 2


def test_redirects_are_not_followed_and_the_credential_stays() -> None:
    for status in ("301 Moved", "302 Found", "303 See Other", "307 Again", "308 Gone"):
        with serving(says(http("{}"))) as other:
            moved = http("", f"Location: http://localhost:{other.port}/", status=status)
            with serving(says(moved)) as server:
                found = reply(send(server.url, CREATE))
            assert found.status == int(status[:3])
            assert other.connections == 0


def test_a_presigned_upload_goes_to_its_own_host_without_any_credential(tmp_path: Path) -> None:
    build = build_in(tmp_path)
    with serving(says(http(""))) as store, serving(says(http("{}"))) as vendor:
        address = f"{store.url}/bucket/key?X-Sig=a%2Fb%3D&n=1&t=⟦secret:TOKEN⟧"
        request = upload(address, build, ("X-Type", "apk ⟦secret:TOKEN⟧".encode().decode("latin-1")))
        reply(send(vendor.url, request, key="key-1", secrets={"TOKEN": "s3cr3t-text"}, builds=[build]))
        assert vendor.connections == 0
    head = store.requests[0].decode("latin-1")
    assert head.startswith("PUT /bucket/key?X-Sig=a%2Fb%3D&n=1&t=%E2%9F%A6secret:TOKEN%E2%9F%A7 HTTP/1.1\r\n")
    assert "X-Type: apk" in head
    assert head.endswith("\r\n\r\nbytes of a build")
    assert not any(word in head for word in (KEY, "Authorization", "Bearer", "key-1", "s3cr3t"))


def test_a_form_around_an_upload_is_one_that_other_programs_read(tmp_path: Path) -> None:
    """The standard library's reader of mails is the judge: a form is a mail with parts (RFC 7578)."""
    build = build_in(tmp_path)
    odd = 'a"b\r\nX: y.apk'
    form = Form(filename=odd, fields=(("key", "uploads/${filename}"), ("policy", "é ⟦secret:TOKEN⟧")))
    with serving(says(http("", status="204 No Content"))) as store:
        request = replace(upload(f"{store.url}/bucket", build, ("X-Type", "apk")), form=form)
        found = reply(send(store.url, request, key="key-1", secrets={"TOKEN": "s3cr3t-text"}, builds=[build]))
    assert found.status == 204
    head, _, body = store.requests[0].partition(b"\r\n\r\n")
    line, _, lines = head.partition(b"\r\n")
    assert line == b"POST /bucket HTTP/1.1"
    read = BytesParser(policy=HTTP).parsebytes(lines + b"\r\n\r\n" + body)
    assert (int(read["Content-Length"]), read["X-Type"]) == (len(body), "apk")
    parts = [part.get_payload(decode=True) for part in read.iter_parts()]
    assert parts == [b"uploads/${filename}", "é ⟦secret:TOKEN⟧".encode(), b"bytes of a build"]
    assert b'name="file"; filename="a%22b%0D%0AX: y.apk"' in body
    assert not any(word in store.requests[0] for word in (KEY.encode(), b"Authorization", b"key-1", b"s3cr3t"))


def test_a_presigned_upload_without_tls_is_not_sent(tmp_path: Path) -> None:
    build = build_in(tmp_path)
    found = fault(send("https://vendor.test", upload("http://store.test/key?X-Sig=s1gnature", build), builds=[build]))
    assert (found.sent, found.final) == (False, Cause.REFUSED)
    assert "s1gnature" not in found.message


def test_a_vendor_elsewhere_sends_no_build_to_this_machine(tmp_path: Path) -> None:
    build = build_in(tmp_path)
    with serving(says(http(""))) as store:
        found = fault(send("https://vendor.test", upload(f"{store.url}/key", build), builds=[build]))
        assert store.connections == 0
    assert (found.sent, found.final) == (False, Cause.REFUSED)
    assert "without TLS" in found.message


def test_a_build_that_was_changed_is_not_sent(tmp_path: Path) -> None:
    build = build_in(tmp_path)
    with serving(says(http(""))) as store:
        for change in (lambda: build_in(tmp_path, b"other bytes"), (tmp_path / "app.apk").unlink):
            change()
            found = fault(send(store.url, upload(f"{store.url}/key", build), builds=[build]))
            assert (found.sent, found.final) == (False, Cause.REFUSED)
            assert found.message.startswith(build.path)
        assert store.connections == 0


def sending(store: Server, folder: Path, size: int = 1, limit_s: float | None = None, **timeouts: float) -> Answer:
    """The answer to an upload of so many MiB, with short time-outs for everything else."""
    build = build_in(folder, b"x" * (size << 20))
    times = Timeouts(**{"connect_s": 0.3, "read_s": 0.3, "create_s": 0.3, "upload_s": 5.0, **timeouts})
    with sender(store.url, timeouts=times, builds=[build]) as made:
        return made.send("v", upload(f"{store.url}/key", build), key=None, fresh=False, limit_s=limit_s)


def test_a_store_may_stand_still_for_a_while_in_both_directions(tmp_path: Path) -> None:
    def slow(connection: socket.socket) -> None:
        time.sleep(0.6)
        connection.sendall(http(""))

    with serving(slow, pause_s=0.6) as store:
        assert reply(sending(store, tmp_path, size=30)).ok
        assert len(store.requests) == 1


def test_a_store_that_takes_nothing_more_is_given_up(tmp_path: Path) -> None:
    with serving(says(http("")), pause_s=PATIENCE_S) as store:
        found = fault(sending(store, tmp_path, size=30, upload_s=0.3))
    assert found.sent
    assert found.message == f"127.0.0.1:{store.port} took nothing more of the request within 0.3 s"


def test_an_upload_ends_when_its_time_is_up(tmp_path: Path) -> None:
    with serving(says(http("")), pause_s=PATIENCE_S) as store:
        found = fault(sending(store, tmp_path, size=30, limit_s=0.4))
    assert found.message.endswith("took nothing more of the request in all the time that it may take")
    with serving(hangs) as store:
        found = fault(sending(store, tmp_path, limit_s=0.4))
    assert found.message.endswith("in all the time that it may take")
    with serving(hangs) as store:
        assert not fault(sending(store, tmp_path, limit_s=0.0)).sent
        assert not store.requests


def test_the_progress_of_an_upload_never_goes_back(tmp_path: Path) -> None:
    build = build_in(tmp_path, b"x" * (3 << 20))
    seen: list[tuple[str, int, int]] = []
    answers = iter([http("", status="503 Busy"), http("")])
    with (
        serving(lambda connection: connection.sendall(next(answers))) as store,
        sender(store.url, builds=[build]) as made,
    ):
        made.watch = lambda *news: seen.append(news)
        statuses = []
        for _ in range(2):
            request = upload(f"{store.url}/key", build)
            statuses.append(reply(made.send("v", request, key=None, fresh=False)).status)
    assert statuses == [503, 200]
    assert {(name, size) for name, _, size in seen} == {(f"{build.path} to v", 3 << 20)}
    amounts = [sent for _, sent, _ in seen]
    assert amounts == sorted(amounts)
    assert amounts[-1] == 3 << 20
    assert len(amounts) > len(set(amounts)), "the second one is told of, too"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "runs",
        "//evil.test/runs",
        "/\\evil.test/runs",
        "http://evil.test/runs",
        "https://evil.test/runs",
        "@evil.test/runs",
        ".evil.test/runs",
        ":8443/runs",
        "/../runs",
        "/a/%2e%2E/../runs",
        "/a/..\\..\\runs",
        "/a/./runs",
    ],
)
def test_a_path_that_leads_elsewhere_is_not_sent_whatever_plan_asks_for_it(path: str) -> None:
    with serving(says(http("{}"))) as server:
        found = fault(send(f"{server.url}/api", Request(method="POST", path=path)))
        assert server.connections == 0
    assert (found.sent, found.final) == (False, Cause.REFUSED)


@pytest.mark.parametrize(
    "header",
    ["Host", "host", "authorization", "X-KEY", "idempotency-Key", "Transfer-Encoding", "X-Forwarded-Host", "Cookie"],
)
def test_a_header_that_leads_elsewhere_or_shows_somebody_else_is_not_sent_whatever_plan_asks_for_it(
    header: str,
) -> None:
    """A front of many servers goes by the host; another key makes the run at another account, green or not."""
    request = Request(method="POST", path="/runs", headers=((header, "evil.test"),))
    with serving(says(http("{}"))) as server:
        found = fault(send(server.url, request, auth=Auth(headers={"X-Key": "{key}"})))
        assert server.connections == 0
        reply(send(server.url, Request(method="POST", path="/runs", headers=(("Content-Type", "text/x"),))))
    assert (found.sent, found.final) == (False, Cause.REFUSED)


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "OPTIONS", "PURGE", "post", "POST /other HTTP/1.1\r\nX: y", ""])
def test_a_method_that_no_api_has_is_not_sent_whatever_plan_asks_for_it(method: str) -> None:
    """A proxy takes CONNECT for itself, and some servers send back all that TRACE brought, with the key."""
    with serving(says(http("{}"))) as server:
        found = fault(send(server.url, Request(method=method, path="/runs")))
        assert server.connections == 0
    assert (found.sent, found.final) == (False, Cause.REFUSED)


def test_a_secret_does_not_lead_elsewhere_either() -> None:
    request = Request(method="GET", path="/runs/⟦secret:TOKEN⟧")
    with serving(says(http("{}"))) as server:
        found = fault(send(server.url, request, secrets={"TOKEN": "../../admin"}))
        assert server.connections == 0
    assert (found.sent, found.final) == (False, Cause.REFUSED)
    assert "admin" not in found.message


@pytest.mark.parametrize(
    ("variable", "allowed", "goes"),
    [
        ("V_API_KEY", [], True),
        ("STAGING_V_TOKEN", [], True),
        ("AWS_SECRET_ACCESS_KEY", [], False),
        ("AWS_SECRET_ACCESS_KEY", ["AWS_SECRET_ACCESS_KEY"], True),
        ("AWS_SECRET_ACCESS_KEY", ["AWS_SECRET_ACCESS_KEY@v"], False),
        ("W_API_KEY", ["W_API_KEY"], False),
    ],
)
def test_a_variable_is_a_vendors_key_if_it_is_named_so_or_allowed_whatever_plan_names_it(
    variable: str,
    allowed: list[str],
    goes: bool,  # noqa: FBT001  a table's column
) -> None:
    with serving(says(http("{}"))) as server:
        if goes:
            reply(send(server.url, variable=variable, allowed=allowed))
        else:
            with pytest.raises(UserError, match=f"{variable} must not be sent to v as its key"):
                send(server.url, variable=variable, allowed=allowed)
        assert bool(server.connections) is goes


SHOP = "https://shop.test/?token=⟦secret:TOKEN⟧"


@pytest.mark.parametrize(
    ("request_", "allowed", "goes"),
    [
        (Request(method="POST", path="/runs", body={"url": SHOP}), ["TOKEN@shop.test"], True),
        (Request(method="POST", path="/runs", body={"url": SHOP}), ["TOKEN@other.test"], False),
        (Request(method="POST", path="/runs", body={"url": SHOP}), ["TOKEN@v"], False),
        (Request(method="POST", path="/runs", body={"url": SHOP}), ["TOKEN"], False),
        (Request(method="POST", path="/runs", body={"url": SHOP}), [], False),
        (Request(method="POST", path="/runs", body={"url": "evil.test/⟦secret:TOKEN⟧"}), ["TOKEN@v"], False),
        (Request(method="POST", path="/runs", body={"deep": [{"token": "⟦secret:TOKEN⟧"}]}), ["TOKEN@v"], True),
        (Request(method="POST", path="/runs", body={"deep": [{"token": "⟦secret:TOKEN⟧"}]}), ["TOKEN@w"], False),
        (Request(method="POST", path="/runs", body={"deep": [{"url": SHOP}]}), ["TOKEN@w", "TOKEN@shop.test"], True),
        (Request(method="GET", path="/runs/⟦secret:TOKEN⟧"), ["TOKEN@v"], True),
        (Request(method="GET", path="/runs/⟦secret:TOKEN⟧"), ["TOKEN@shop.test"], False),
        (Request(method="GET", path="/runs", query=(("q", "⟦secret:TOKEN⟧"),)), ["TOKEN@v"], True),
        (Request(method="GET", path="/runs", query=(("q", SHOP),)), ["TOKEN@v"], False),
        (Request(method="GET", path="/runs", query=(("q", "⟦secret:OTHER⟧"),)), ["OTHER@v"], False),
    ],
)
def test_a_secret_goes_where_the_pipeline_said_whatever_plan_asks_for_it(
    request_: Request,
    allowed: list[str],
    goes: bool,  # noqa: FBT001  a table's column
) -> None:
    with serving(says(http("{}"))) as server:
        answer = send(server.url, request_, secrets={"TOKEN": "tok-12345"}, allowed=allowed)
        assert bool(server.requests) is goes
        assert isinstance(answer, Reply) is goes
    if not goes:
        assert (fault(answer).sent, fault(answer).final) == (False, Cause.REFUSED)
        assert "tok-12345" not in fault(answer).message


def test_the_programs_own_environment_says_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    with serving(says(http("{}"))) as server:
        reply(send(server.url, GET))
    assert f"Authorization: Bearer {KEY}".encode() in server.requests[0]


# --- secrets --------------------------------------------------------------------------------------------------------


def test_placeholders_become_text_on_the_way_out_alone() -> None:
    name = "⟦secret:TOKEN⟧"
    request = Request(
        method="POST",
        path=f"/x/{name}",
        query=(("t", name),),
        body={
            "list": [name, {"deep": f"a {name}"}],
            "quoted": "⟦secret:TOKEN:urlencode⟧",
            "b": "⟦secret:TOKEN:b64encode⟧",
        },
    )
    with serving(says(http("{}"))) as server:
        reply(send(server.url, request, secrets={"TOKEN": "p?#w rd"}))
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /x/p%3F%23w%20rd?t=p%3F%23w+rd HTTP/1.1\r\n")
    encoded = base64.b64encode(b"p?#w rd").decode()
    expected = {"list": ["p?#w rd", {"deep": "a p?#w rd"}], "quoted": "p%3F%23w%20rd", "b": encoded}
    assert json.loads(body) == expected
    assert name in request.path


APPEARANCES = {
    "raw": SECRET,
    "quoted": quote(SECRET, safe=""),
    "quoted but for slashes": quote(SECRET),
    "base64": base64.b64encode(SECRET.encode()).decode(),
    "base64 for URLs": base64.urlsafe_b64encode(SECRET.encode()).decode(),
    "escaped": json.dumps(SECRET)[1:-1],
}


@pytest.mark.parametrize("form", APPEARANCES)
def test_a_secret_that_comes_back_is_a_placeholder_again(form: str) -> None:
    text = APPEARANCES[form]
    for body in (json.dumps({"message": f"no {text}!"}), f"<p>no {text}!</p>"):
        found = told(body, secrets={"TOKEN": SECRET})
        assert text not in found.text
        assert "⟦secret:TOKEN⟧" in found.text
    assert told(json.dumps({"m": text}), secrets={"TOKEN": SECRET}).json().get("m").text().startswith("⟦secret:TOKEN⟧")


@pytest.mark.parametrize(
    "escaped",
    ["\\u0073\\u0033k&t", "s3k\\u0026t", "".join(f"\\u{ord(char):04X}" for char in "s3k&t")],
    ids=["letters", "as Go does", "all of it"],
)
def test_json_that_escapes_in_its_own_way_hides_no_secret(escaped: str) -> None:
    found = told(f'{{"message": "no {escaped}!"}}', secrets={"TOKEN": "s3k&t"})
    assert found.json().get("message").text() == "no ⟦secret:TOKEN⟧!"


def test_a_secret_in_a_fields_name_is_taken_out_unless_it_is_a_common_word() -> None:
    found = told('{"tok-12345": {"testId": 1}, "m": "tok-12345 test"}', secrets={"TOKEN": "tok-12345", "WORD": "test"})
    assert json.loads(found.text) == {
        "⟦secret:TOKEN⟧": {"testId": 1},
        "m": "⟦secret:TOKEN⟧ ⟦secret:WORD⟧",
    }


def test_a_secret_of_digits_breaks_no_number() -> None:
    found = told('{"total": 123456, "pin": "123456", "list": [123456.5]}', secrets={"PIN": "123456"})
    assert json.loads(found.text) == {"total": 123456, "pin": "⟦secret:PIN⟧", "list": [123456.5]}


def test_an_answer_without_a_secret_is_left_byte_for_byte() -> None:
    text = '{"a" :1.0,  "b": "x\\u00e9\\n", "c": 1e400, "a": 2}'
    assert told(text, secrets={"TOKEN": SECRET}).text == text


def test_half_a_surrogate_pair_becomes_text_that_can_be_written_down() -> None:
    found = told('{"message": "bad \\ud83d!", "good": "\\ud83d\\ude00"}')
    assert found.json().get("message").text() == "bad ?!"
    assert found.json().get("good").text() == "😀"


def test_the_credential_is_taken_out_of_bodies_and_headers() -> None:
    with serving(says(http(f'{{"error": "{KEY} is unknown"}}', f"X-Echo: {KEY}", status="401 No"))) as server:
        found = reply(send(server.url, GET))
    assert KEY not in repr(found)
    assert found.json().get("error").text() == "⟦secret:v_key⟧ is unknown"


def test_no_fault_tells_a_credential_or_a_secret() -> None:
    request = Request(method="GET", path="/⟦secret:TOKEN⟧", query=(("t", "⟦secret:TOKEN⟧"),))
    with serving(says_and_closes(f"HTTP/1.1 {KEY} tok-12345\r\n\r\n".encode())) as server:
        urls = (f"http://127.0.0.1:{free_port()}", server.url, "https://nowhere.invalid")
        for url in urls:
            found = fault(send(url, request, secrets={"TOKEN": "tok-12345"}))
            assert KEY not in repr(found)
            assert "tok-12345" not in repr(found)


def test_an_endpoint_does_not_print_its_key() -> None:
    endpoint = Endpoint(
        base_url="https://vendor.test", auth=Auth(headers={"X": "{key}"}), key=KEY, key_variable="V_API_KEY"
    )
    assert KEY not in f"{endpoint} {endpoint!r}"


# --- proxies and certificates ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_proxy_carries_the_request_and_sees_nothing_of_it(
    variable: str, tls: ssl.SSLContext, certificate: tuple[Path, Path]
) -> None:
    with serving(says(http('{"id": 1}')), tls) as vendor, serving(tunnel(vendor.port)) as proxy:
        environ = {variable: f"http://user:pass@127.0.0.1:{proxy.port}", "SSL_CERT_FILE": str(certificate[0])}
        found = reply(send("https://vendor.test", CREATE, environ=environ))
    assert found.json().get("id").integer() == 1
    assert proxy.requests[0].startswith(b"CONNECT vendor.test:443 ")
    assert b"Proxy-Authorization: Basic " + base64.b64encode(b"user:pass") in proxy.requests[0]
    assert KEY.encode() not in b"".join(proxy.requests)
    assert KEY.encode() in vendor.requests[0]
    assert b"Proxy-Authorization" not in vendor.requests[0]


def test_a_proxy_that_refuses_has_passed_nothing_on() -> None:
    with serving(says_and_closes(http("", status="407 Proxy Authentication Required"))) as proxy:
        environ = {"HTTPS_PROXY": f"http://user:hunter-2@127.0.0.1:{proxy.port}"}
        found = fault(send("https://vendor.test", environ=environ))
    assert (found.sent, found.final) == (False, Cause.CONNECTION)
    where = f"the proxy 127.0.0.1:{proxy.port} (HTTPS_PROXY) wants another user or password: "
    assert found.message.startswith(where)
    assert "407" in found.message
    assert "hunter-2" not in found.message
    assert len(proxy.requests) == 1


def test_a_proxy_that_is_not_there_has_passed_nothing_on() -> None:
    found = fault(send("https://vendor.test", environ={"HTTPS_PROXY": f"http://127.0.0.1:{free_port()}"}))
    assert not found.sent


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("http://proxy:3128", "http://proxy:3128"),
        ("https://proxy", "https://proxy"),
        ("proxy:3128", "http://proxy:3128"),
        ("user:pw@proxy:3128", "http://user:pw@proxy:3128"),
        ("http://user:p%2Fw@proxy:3128/", "http://user:p%2Fw@proxy:3128/"),
        (" http://proxy:3128\r\n", "http://proxy:3128"),
        ("[::1]:3128", "http://[::1]:3128"),
    ],
)
def test_proxies_that_are_taken(value: str, url: str) -> None:
    for variable in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        assert Network.of({variable: value}).proxy_for("https://vendor.test") == url


@pytest.mark.parametrize(
    "value",
    [
        "socks5://proxy:1080",
        "socks5h://user:hunter2@proxy:1080",
        "ftp://proxy",
        "http://user:hunter2@proxy:port",
        "user:hunter2@proxy:99999",
        "http://proxy:0",
        "http://",
        "http://user:hunter2@",
        "http://user:hunt#er2@proxy:1",
        "http://user:hunt/er2@proxy:1",
        "http://user:hunt er2@proxy:1",
        "http://proxy:1/path",
        "http://[::1:3128",
        "https_proxy://proxy:1",
    ],
)
def test_a_proxy_that_cannot_work_is_said_before_anything_is_sent(value: str) -> None:
    with (
        pytest.raises(UserError, match=r"^HTTPS_PROXY: ") as caught,
        sender("https://v.test", environ={"HTTPS_PROXY": value}),
    ):
        pass
    assert "kind ://" not in caught.value.message
    assert "hunt" not in f"{caught.value.message} {caught.value.hint}"


def test_a_proxy_that_nothing_would_use_may_be_anything() -> None:
    with serving(says(http("{}"))) as server:
        reply(send(server.url, environ={"ALL_PROXY": "socks5://proxy:1080"}))
    assert Network.of({"HTTPS_PROXY": "socks5://proxy", "NO_PROXY": "v.test"}).proxy_for("https://v.test") is None


@pytest.mark.parametrize("status", ["502 Bad Gateway", "503 Busy", "429 Slow"])
def test_a_proxy_in_trouble_is_asked_again(status: str) -> None:
    with serving(says_and_closes(http("", status=status))) as proxy:
        found = fault(send("https://vendor.test", environ={"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}"}))
    assert (found.sent, found.final) == (False, None)
    where = f"the proxy 127.0.0.1:{proxy.port} (HTTPS_PROXY) opened no tunnel to vendor.test: "
    assert found.message.startswith(where)
    assert status[:3] in found.message


def test_a_proxy_that_closes_or_hangs_while_it_is_asked_has_passed_nothing_on() -> None:
    for answer in (says_and_closes(b""), says_and_closes(b"HTTP/1.1 2"), resets, hangs):
        with serving(answer) as proxy:
            environ = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}"}
            found = fault(send("https://vendor.test", environ=environ, timeouts=Timeouts(connect_s=0.5)))
        assert (found.sent, found.final) == (False, None)
        assert f"127.0.0.1:{proxy.port} (HTTPS_PROXY) opened no tunnel to vendor.test" in found.message


def test_a_tunnel_that_closes_before_tls_has_passed_nothing_on() -> None:
    with serving(says_and_closes(b"HTTP/1.1 200 Established\r\n\r\n")) as proxy:
        found = fault(send("https://vendor.test", environ={"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}"}))
    assert (found.sent, found.final) == (False, None)

    def opens(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 Established\r\n\r\n")
        hangs(connection)

    with serving(opens) as proxy:
        environ = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}"}
        found = fault(send("https://vendor.test", environ=environ, timeouts=Timeouts(connect_s=0.5)))
    assert (found.sent, found.final) == (False, None)
    assert found.message == "no TLS with vendor.test within 0.5 s"


@pytest.mark.parametrize(
    ("no_proxy", "url", "direct"),
    [
        ("vendor.test", "https://vendor.test", True),
        ("vendor.test", "https://api.vendor.test", True),
        (".vendor.test", "https://api.vendor.test", True),
        ("vendor.test", "https://notvendor.test", False),
        ("10.0.0.0/8", "https://10.1.2.3", True),
        ("10.0.0.0/8", "https://11.1.2.3", False),
        ("*", "https://vendor.test", True),
        ("", "https://vendor.test", False),
    ],
)
def test_no_proxy_is_read_as_everywhere(
    no_proxy: str,
    url: str,
    direct: bool,  # noqa: FBT001  a table's column
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_PROXY", "" if direct else "*")
    monkeypatch.setenv("no_proxy", "" if direct else "*")
    for name in ("NO_PROXY", "no_proxy"):
        network = Network.of({"HTTPS_PROXY": "http://proxy:1", name: no_proxy})
        assert network.proxy_for(url) == (None if direct else "http://proxy:1")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "[::1]"])
def test_this_machine_is_never_asked_through_a_proxy(host: str) -> None:
    network = Network.of({"HTTP_PROXY": "http://proxy:1", "ALL_PROXY": "http://proxy:2"})
    assert network.proxy_for(f"http://{host}:8080/x") is None


def test_many_threads_decide_about_proxies_without_touching_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """requests sets no_proxy in os.environ while it compares hosts, which two threads cannot do at once."""
    monkeypatch.delenv("no_proxy", raising=False)
    touched: list[str] = []
    with (
        serving(says(http("{}"))) as server,
        sender(server.url, environ={"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "a"}) as made,
    ):
        monkeypatch.setattr(network, "should_bypass_proxies", lambda *_, **__: touched.append("again"))
        reply(made.send("v", GET, key=None, fresh=True))
    assert not touched


def test_the_usual_variables_name_the_certificates(
    tls: ssl.SSLContext, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(certificate[0].read_bytes())
    with serving(says(http("{}")), tls) as server:
        url = f"https://127.0.0.1:{server.port}"
        for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
            assert isinstance(send(url, environ={variable: str(certificate[0])}), Reply)
    both = Network.of({"REQUESTS_CA_BUNDLE": str(other), "SSL_CERT_FILE": str(certificate[0])})
    assert both.bundle == str(other)
    assert Network.of({}).bundle is None


def test_folders_of_certificates_are_searched_as_openssl_does(
    tls: ssl.SSLContext, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    words = ["openssl", "x509", "-hash", "-noout", "-in", str(certificate[0])]
    name = subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
    (tmp_path / f"{name}.0").write_bytes(certificate[0].read_bytes())
    folders = os.pathsep.join([str(tmp_path / "gone"), str(tmp_path)])
    with serving(says(http("{}")), tls) as server:
        url = f"https://127.0.0.1:{server.port}"
        for environ in ({"SSL_CERT_DIR": folders}, {"REQUESTS_CA_BUNDLE": str(tmp_path)}):
            assert isinstance(send(url, environ=environ), Reply)
        alone = {"SSL_CERT_DIR": folders, "REQUESTS_CA_BUNDLE": DEFAULT_CA_BUNDLE_PATH}
        assert isinstance(send(url, environ=alone), Fault), "this one says all that is trusted"
    with pytest.raises(UserError, match=r"SSL_CERT_DIR: .*gone: no such folder"):
        Network.of({"SSL_CERT_DIR": str(tmp_path / "gone")})


def test_certificates_that_cannot_be_read_are_said_before_anything_is_sent(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificate\n")
    for path, reason in ((tmp_path / "none.pem", "No such file"), (empty, "no certificate or crl found")):
        with pytest.raises(UserError, match=f"REQUESTS_CA_BUNDLE: {path}: .*{reason}"):
            Network.of({"REQUESTS_CA_BUNDLE": str(path)})
    assert Network.of({"REQUESTS_CA_BUNDLE": str(tmp_path)}).bundle == str(tmp_path)


# --- base URLs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://api.vendor.test", "https://api.vendor.test"),
        ("https://api.vendor.test/v1/", "https://api.vendor.test/v1"),
        (" https://api.vendor.test\n", "https://api.vendor.test"),
        ("HTTPS://api.vendor.test:8443", "HTTPS://api.vendor.test:8443"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.1.2.3", "http://127.1.2.3"),
        ("http://localhost:8080/doksi", "http://localhost:8080/doksi"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_base_urls_that_are_taken(url: str, clean: str) -> None:
    assert checked_url(url, "V_URL") == clean


@pytest.mark.parametrize(
    "url",
    [
        "http://api.vendor.test",
        "http://127.0.0.1.evil.com",
        "http://localhost.evil",
        "http://evil.localhost.com",
        "http://vendor.localhost",
        "http://2130706433",
        "http://0.0.0.0",
        "http://[::2]",
        "http://10.0.0.1",
        "ftp://127.0.0.1",
        "file:///etc/passwd",
        "//vendor.test",
        "vendor.test",
        "",
        "https://",
        "https:///path",
        "https://user@vendor.test",
        "https://user:hunter2@vendor.test",
        "https://@vendor.test",
        "http://127.0.0.1@vendor.test",
        "https://vendor.test/?a=b",
        "https://vendor.test/?",
        "https://vendor.test/#",
        "https://vendor.test/#x",
        "https://ven\ndor.test",
        "https://ven dor.test",
        "https://vendor.test\\@evil.com",
        "https://vendor.test:port",
        "https://user:hunt/er2@vendor.test",
        "https://[::1",
    ],
)
def test_base_urls_that_are_refused(url: str) -> None:
    with pytest.raises(UserError) as caught:
        checked_url(url, "V_URL")
    assert caught.value.message.startswith("V_URL: ")
    assert "hunt" not in f"{caught.value.message} {caught.value.hint}"


def test_a_credential_goes_where_its_vendor_wants_it() -> None:
    """In several headers, each with a key of its own; in the query; as Basic, made of a key."""
    auth = Auth(headers={"DD-Key": "{key}", "DD.App": "app {APP_KEY}"}, query={"k": "{key}"}, basic=("user", "{key}"))
    endpoint = Endpoint(
        base_url="https://vendor.test", auth=auth, key=KEY, key_variable="V_API_KEY", more_keys={"APP_KEY": "second"}
    )
    basic = base64.b64encode(f"user:{KEY}".encode()).decode()
    assert endpoint.auth_headers() == {"DD-Key": KEY, "DD.App": "app second", "Authorization": f"Basic {basic}"}
    assert endpoint.auth_query() == [("k", KEY)]
    assert set(endpoint.hidden().values()) == {KEY, "second", basic}
    assert KEY not in repr(endpoint)


def test_a_credential_in_the_query_comes_back_in_no_answer() -> None:
    with serving(says(http(json.dumps({"told": f"/?token={KEY}"})))) as server:
        answer = reply(send(server.url, GET, auth=Auth(query={"token": "{key}"})))
    assert f"token={KEY}".encode() in server.requests[0].partition(b"\r\n")[0]
    assert KEY not in answer.text


def test_a_value_of_a_resource_keeps_its_type() -> None:
    body = {"build": resource_ref("app", "id"), "name": f"build {resource_ref('app', 'id')}"}
    assert resolve_refs(body, {"app": {"id": 7}}) == {"build": 7, "name": "build 7"}
