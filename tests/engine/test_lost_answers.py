"""Each way of losing an answer, over real sockets, for each vendor's create and each step to a build or environment.

Requests and replies are those of the golden cases of adapters. What is repeated and what is left to a person follows
from whether a byte of the request was handed to the connection.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import pytest
from msgspec.structs import replace

from qarunner.engine.decide.interpret import (
    Ambiguous,
    Created,
    Rejected,
    Retry,
    after_create,
    after_prepare,
    may_make,
    remains_after,
)
from qarunner.engine.io.transport import Timeouts
from qarunner.engine.state.events import Remains
from qarunner.engine.state.run import ResourceState
from qarunner.vendors import registry
from qarunner.vendors.api import Call, Metadata, More, Reply, Request, Upload, UploadAddress
from tests.amount import PATIENCE_S, some
from tests.engine.sockets import (
    GET,
    build_in,
    free_port,
    hangs,
    http,
    resets,
    says,
    says_and_closes,
    sender,
    serving,
    tunnel,
    upload,
)
from tests.vendors.test_golden import ROOT, entry, replies, resource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qarunner.engine.decide.interpret import Answer
    from qarunner.vendors.api import AnyRequest

PATIENT = Timeouts(connect_s=PATIENCE_S, read_s=PATIENCE_S, create_s=PATIENCE_S, upload_s=PATIENCE_S)
HASTY = Timeouts(connect_s=0.2, read_s=0.1, create_s=0.1, upload_s=0.1)
"""For servers that never answer: however slow this machine is, no answer comes."""

EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
HALF = b'HTTP/1.1 201 Created\r\nContent-Length: 900\r\n\r\n{"id": "run-1"'
Answering: TypeAlias = "Callable[[socket.socket], None]"


# --- the ways ---------------------------------------------------------------------------------------------------------


class Way(msgspec.Struct, frozen=True):
    """Where a request goes, with the variables that lead it there. `is_used`: over a connection that served before."""

    url: str
    environ: dict[str, str]
    timeouts: Timeouts = PATIENT
    is_used: bool = False


@dataclass(frozen=True, slots=True)
class Certificate:
    path: Path
    context: ssl.SSLContext

    @property
    def trusted(self) -> dict[str, str]:
        """Trusts this one alone: to read the machine's many takes longer than all that a test does with them."""
        return {"SSL_CERT_FILE": str(self.path)}


def each(*acts: Answering) -> Answering:
    """One after the other."""

    def answer(connection: socket.socket) -> None:
        for act in acts:
            act(connection)

    return answer


LOSSES: dict[str, Answering] = {
    "closed": says_and_closes(b""),
    "reset": resets,
    "half a header": says_and_closes(b"HTTP/1.1 201 Created\r\nContent-Le"),
    "half a body": says_and_closes(HALF),
    "half a body, reset": each(says(HALF), resets),
    "half a chunk": says_and_closes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n90\r\n{"),
    "early hints alone": says_and_closes(EARLY),
    "another protocol": says_and_closes(b"220 mail.example.com ESMTP\r\n"),
    "silence": hangs,
    "half a body, silence": each(says(HALF), hangs),
}
CHANNELS = ("plain", "TLS", "tunnel")


@contextlib.contextmanager
def channel(name: str, answer: Answering, certificate: Certificate) -> Iterator[Way]:
    """A vendor that answers so, reached directly, over TLS, or through a proxy's tunnel."""
    with contextlib.ExitStack() as stack:
        vendor = stack.enter_context(serving(answer, None if name == "plain" else certificate.context))
        if name == "plain":
            yield Way(vendor.url, {})
        elif name == "TLS":
            yield Way(f"https://127.0.0.1:{vendor.port}", certificate.trusted)
        else:
            proxy = stack.enter_context(serving(tunnel(vendor.port)))
            environ = {**certificate.trusted, "HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}"}
            yield Way("https://vendor.test", environ)


def after_one(answer: Answering) -> Answering:
    """Serves one request well, and answers so to the next one."""
    answers = iter([says(http("{}")), answer])

    def serve(connection: socket.socket) -> None:
        next(answers)(connection)

    return serve


@contextlib.contextmanager
def without_tls() -> Iterator[int]:
    """The port of a server that is asked in TLS, and understands nothing of it."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                with listener.accept()[0] as connection:
                    connection.recv(65536)
                    connection.sendall(http("what?", status="400 Bad Request"))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@contextlib.contextmanager
def unsent(name: str, certificate: Certificate) -> Iterator[Way]:
    """A way on which no byte of a request reaches anybody."""
    port, opened = free_port(), b"HTTP/1.1 200 Established\r\n\r\n"
    proxies: dict[str, Answering] = {
        "proxy closes": says_and_closes(b""),
        "proxy resets": resets,
        "proxy hangs": hangs,
        "proxy says half": says_and_closes(b"HTTP/1.1 2"),
        "proxy is a gateway in trouble": says_and_closes(http("", status="502 Bad Gateway")),
        "proxy wants a password": says_and_closes(http("", status="407 Proxy Authentication Required")),
        "proxy forbids": says_and_closes(http("", status="403 Forbidden")),
        "tunnel closes": says_and_closes(opened),
        "tunnel hangs": each(says(opened), hangs),
        "tunnel speaks plainly": says_and_closes(opened + http("what?", status="400 Bad Request")),
    }
    if name in proxies:
        with serving(proxies[name]) as proxy:
            timeouts = HASTY if name.endswith("hangs") else PATIENT
            environ = {**certificate.trusted, "HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}"}
            yield Way("https://vendor.test", environ, timeouts)
    elif name == "port refused":
        yield Way(f"http://127.0.0.1:{port}", {})
    elif name == "proxy refused":
        yield Way("https://vendor.test", {**certificate.trusted, "HTTPS_PROXY": f"http://127.0.0.1:{port}"})
    elif name == "certificate of nobody":
        with serving(says(http("{}")), certificate.context) as vendor:
            yield Way(f"https://127.0.0.1:{vendor.port}", {})
    elif name == "certificate of nobody in a tunnel":
        with serving(says(http("{}")), certificate.context) as vendor, serving(tunnel(vendor.port)) as proxy:
            yield Way("https://vendor.test", {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}"})
    else:
        assert name == "no TLS"
        with without_tls() as plain:
            yield Way(f"https://127.0.0.1:{plain}", certificate.trusted)


UNSENT = (
    *("port refused", "proxy refused", "proxy closes", "proxy resets", "proxy hangs", "proxy says half"),
    *("proxy is a gateway in trouble", "proxy wants a password", "proxy forbids", "tunnel closes", "tunnel hangs"),
    *("tunnel speaks plainly", "certificate of nobody", "certificate of nobody in a tunnel", "no TLS"),
)
FOR_GOOD = frozenset({"proxy wants a password", "proxy forbids", "no TLS"}) | {
    name for name in UNSENT if name.startswith("certificate")
}
"""What is no better the next time."""


def send(way: Way, request: AnyRequest, folder: Path, *, key: str | None, fresh: bool) -> Answer:
    build = build_in(folder)
    if isinstance(request, Upload):
        address = UploadAddress(url=f"{way.url}/bucket/key?signature=1")
        request = replace(upload(address.url, build), method=request.method, headers=request.headers)
    with sender(way.url, environ=way.environ, timeouts=way.timeouts, builds=[build]) as made:
        if way.is_used:
            first = made.send("v", GET, key=None, fresh=False)
            assert isinstance(first, Reply), first
        return made.send("v", request, key=key, fresh=fresh)


# --- the requests -----------------------------------------------------------------------------------------------------


def _case(name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((ROOT / name / "call.json").read_text(encoding="utf-8"))
    return found


CREATES = {
    "certyn": "certyn/submit-process",
    "docketqa": "docketqa/submit-tests",
    "doksi": "doksi/submit-runs-of-their-own",
    "testerarmy": "testerarmy/submit-group-bare",
}
ACCEPTED = {
    "certyn": "certyn/accepted",
    "docketqa": "docketqa/accepted-suite",
    "doksi": "doksi/accepted",
    "testerarmy": "testerarmy/accepted-group",
}
STEPS = (
    *("certyn/prepare-overview", "certyn/prepare-environment"),
    *("docketqa/prepare-1-upload-url", "docketqa/prepare-2-put", "docketqa/prepare-3-build"),
    *("docketqa/prepare-4-no-answer", "docketqa/prepare-pin-1-set-current"),
    *("doksi/prepare-upload", "doksi/prepare-put-apk", "doksi/prepare-target"),
    *("testerarmy/prepare-1-upload", "testerarmy/prepare-2-put", "testerarmy/prepare-3-confirm"),
)
SOME_STEPS = some(STEPS, 4)
LOOKED_FOR = frozenset({"docketqa/prepare-3-build", "docketqa/prepare-4-no-answer"})
"""A second one would be a second build: after a lost answer it is looked for, and never sent again."""


def is_keyed(vendor: str) -> bool:
    return registry.get(vendor).info.idempotency_header is not None


def create(vendor: str, way: Way, folder: Path) -> object:
    """What the engine makes of a create that goes this way."""
    case, adapter = _case(CREATES[vendor]), registry.get(vendor)
    rows, settings, metadata = case["entries"], case.get("settings", {}), case.get("metadata", {})
    assert isinstance(rows, list)
    assert isinstance(settings, dict)
    assert isinstance(metadata, dict)
    group = next(iter(adapter.group([entry(vendor, row) for row in rows])))
    call = Call(entries=tuple(group), settings=settings, metadata=Metadata(**metadata))
    key = "key-1" if is_keyed(vendor) else None
    answer = send(way, adapter.submit(call), folder, key=key, fresh=key is None)
    return after_create(adapter, call, answer, now=0)


def prepare(name: str, way: Way, folder: Path) -> tuple[object, Remains | None]:
    """What a request on the way to a build or an environment comes to, and what an environment may have left."""
    case, vendor = _case(name), registry.get(name.partition("/")[0])
    told = case["resource"]
    assert isinstance(told, dict)
    made, token, before = resource(vendor, told), str(case.get("token", "token-1")), replies(ROOT / name)
    found = vendor.prepare(made, token, before)
    assert isinstance(found, (Request, Upload, More))
    request = found.request if isinstance(found, More) else found
    best_effort = isinstance(found, More) and found.best_effort
    creates = may_make(vendor, made, token, request) is not None
    fresh = creates or (best_effort and request.method != "GET")
    answer = send(way, request, folder, key=None, fresh=fresh)
    presigned = isinstance(request, Upload)
    meaning = after_prepare(vendor, made, token, [*before, answer], presigned=presigned, now=0, best_effort=best_effort)
    return meaning, remains_after(vendor, ResourceState(resource=made), token, answer) if creates else None


def is_sent_again(name: str, meaning: object) -> bool:
    """True if all of a resource is begun again; false if what may be there is looked for, or left to a person."""
    if isinstance(meaning, Retry):
        return True
    assert isinstance(meaning, (More, Rejected)), (name, meaning)
    assert not isinstance(meaning, More) or meaning.request.method == "GET", (name, meaning)
    return False


# --- what follows -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def signed(certificate: tuple[Path, Path], tls: ssl.SSLContext) -> Certificate:
    return Certificate(certificate[0], tls)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", CHANNELS)
def test_a_lost_answer_is_repeated_with_a_key_or_left_to_a_person(
    name: str, loss: str, signed: Certificate, tmp_path: Path
) -> None:
    timeouts = HASTY if loss.endswith("silence") else PATIENT
    with channel(name, LOSSES[loss], signed) as straight:
        way = replace(straight, timeouts=timeouts)
        for vendor in CREATES:
            meaning = create(vendor, way, tmp_path)
            assert isinstance(meaning, Retry if is_keyed(vendor) else Ambiguous), (vendor, meaning)
            assert not isinstance(meaning, Retry) or meaning.maybe
        for step in STEPS if name == "plain" else SOME_STEPS:
            meaning, remains = prepare(step, way, tmp_path)
            assert is_sent_again(step, meaning) is (step not in LOOKED_FOR), (step, meaning)
            assert remains in {None, Remains.MAYBE}, step


@pytest.mark.parametrize("loss", [name for name in LOSSES if not name.endswith("silence")])
@pytest.mark.parametrize("name", CHANNELS)
def test_a_used_connection_that_breaks_loses_an_answer_like_any_other(
    name: str, loss: str, signed: Certificate, tmp_path: Path
) -> None:
    for vendor in CREATES:
        with channel(name, after_one(LOSSES[loss]), signed) as way:
            meaning = create(vendor, replace(way, is_used=True), tmp_path)
        assert isinstance(meaning, Retry if is_keyed(vendor) else Ambiguous), (vendor, meaning)
    for step in ("certyn/prepare-environment", "docketqa/prepare-3-build", "doksi/prepare-target"):
        with channel(name, after_one(LOSSES[loss]), signed) as way:
            meaning, remains = prepare(step, replace(way, is_used=True), tmp_path)
        assert is_sent_again(step, meaning) is (step not in LOOKED_FOR), (step, meaning)
        assert remains in {None, Remains.MAYBE}, step


@pytest.mark.parametrize("name", UNSENT)
def test_what_was_not_sent_is_sent_again_or_ends_and_left_nothing(
    name: str, signed: Certificate, tmp_path: Path
) -> None:
    with unsent(name, signed) as way:
        for vendor in CREATES:
            meaning = create(vendor, way, tmp_path)
            assert isinstance(meaning, Rejected if name in FOR_GOOD else Retry), (vendor, meaning)
            assert not isinstance(meaning, Retry) or not meaning.maybe, vendor
        for step in SOME_STEPS:
            meaning, remains = prepare(step, way, tmp_path)
            if step != "docketqa/prepare-4-no-answer":  # whatever comes of looking for a build, it may be there
                assert isinstance(meaning, Rejected if name in FOR_GOOD else Retry), (step, meaning)
            assert remains in {None, Remains.NOTHING}, step


@pytest.mark.parametrize("status", ["500 No", "502 Bad Gateway", "503 Busy", "504 Late", "524 Late", "408 Late"])
def test_a_gateways_error_is_a_lost_answer(status: str, signed: Certificate, tmp_path: Path) -> None:
    with channel("plain", says(http("<html>trouble</html>", status=status)), signed) as way:
        for vendor in CREATES:
            meaning = create(vendor, way, tmp_path)
            assert isinstance(meaning, Retry if is_keyed(vendor) else Ambiguous), (vendor, meaning)
            assert not isinstance(meaning, Retry) or meaning.maybe
        for step in STEPS:
            meaning, remains = prepare(step, way, tmp_path)
            assert is_sent_again(step, meaning) is (step not in LOOKED_FOR), (step, meaning)
            assert remains in {None, Remains.MAYBE}, step


@pytest.mark.parametrize(
    "status", ["409 Conflict", "425 Too Early", "301 Moved", "303 Other", "101 Switching Protocols"]
)
def test_an_answer_that_does_not_prove_that_nothing_was_made_is_a_lost_one(
    status: str, signed: Certificate, tmp_path: Path
) -> None:
    with channel("plain", says(http("", status=status)), signed) as way:
        for vendor in CREATES:
            meaning = create(vendor, way, tmp_path)
            assert isinstance(meaning, Retry if is_keyed(vendor) else Ambiguous), (vendor, meaning)
            assert not isinstance(meaning, Retry) or meaning.maybe


@pytest.mark.parametrize("name", CHANNELS)
def test_early_hints_before_an_answer_change_nothing(name: str, signed: Certificate, tmp_path: Path) -> None:
    for vendor, case in ACCEPTED.items():
        body = replies(ROOT / case)[0].text
        with channel(name, says(EARLY * 3 + http(body, status="201 Created")), signed) as way:
            assert isinstance(create(vendor, way, tmp_path), Created), vendor
