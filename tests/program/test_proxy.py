"""Vendors behind TLS and a proxy: a lost answer costs there what it costs anywhere, and a wrong way costs nothing."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.amount import PATIENCE_S
from tests.engine.sockets import free_port, http, says_and_closes, serving, tunnel
from tests.program.conftest import Stage

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path

    from tests.program.conftest import AtOnce, Begin

GROUP = "11111111-1111-4111-8111-111111111101"
VENDORS = ("certyn", "docketqa", "doksi", "testerarmy")


def entry(stage: Stage, vendor: str) -> dict[str, object]:
    match vendor:
        case "doksi":
            return stage.doksi("a")
        case "docketqa":
            return {"id": "a", "vendor": vendor, "test_ids": [12]}
        case "testerarmy":
            return {"id": "a", "vendor": vendor, "platform": "web", "category_ids": [GROUP]}
        case _:
            return stage.certyn("a")


@dataclass
class Gateway:
    """Hands requests on to the emulated vendors. Answers to those that `loses` names are lost."""

    stage: Stage
    loses: Callable[[bytes], bool]
    requests: list[bytes] = field(default_factory=list)

    def __call__(self, connection: socket.socket) -> None:
        host, _, port = self.stage.vendors.url.removeprefix("http://").partition(":")
        head, _, body = self.requests[-1].partition(b"\r\n\r\n")
        replaced = (b"host:", b"connection:")
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(replaced)]
        lines[1:1] = [f"Host: {host}:{port}".encode(), b"Connection: close"]
        with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as vendor:
            vendor.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + body)
            reply = b"".join(iter(lambda: vendor.recv(65536), b""))
        if not self.loses(lines[0]):
            connection.sendall(reply)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def behind_a_proxy(
    stage: Stage, loses: Callable[[bytes], bool], certificate: tuple[Path, Path], tls: ssl.SSLContext
) -> Iterator[Gateway]:
    """The stage's vendors are reached over TLS in a proxy's tunnel from now on."""
    gateway = Gateway(stage, loses)
    with serving(gateway, tls) as vendor, serving(tunnel(vendor.port)) as proxy:
        gateway.requests = vendor.requests
        for name, url in stage.vendors.environ.items():
            if name.endswith("_URL"):
                stage.environ[name] = url.replace(stage.vendors.url, "https://vendor.test")
        stage.environ |= {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}", "SSL_CERT_FILE": str(certificate[0])}
        yield gateway


def first(method: bytes, end: bytes = b"") -> Callable[[bytes], bool]:
    """True of the first request of a method whose path ends so."""
    lines: list[bytes] = []

    def is_first(line: bytes) -> bool:
        if line.startswith(method + b" ") and line.split()[1].endswith(end):
            lines.append(line)
            return len(lines) == 1
        return False

    return is_first


def test_a_create_whose_answer_a_proxy_lost_is_paid_once(
    begin: Begin, at_once: AtOnce, certificate: tuple[Path, Path], tls: ssl.SSLContext
) -> None:
    def check(vendor: str) -> None:
        stage = begin()
        stage.commit(entry(stage, vendor))
        stage.hasty()
        with behind_a_proxy(stage, first(b"POST"), certificate, tls):
            ended = stage.apply()
        keyed = vendor == "certyn"
        assert ended.code == (0 if keyed else 8), ended
        assert len(stage.sent(vendor, "POST")) == (2 if keyed else 1), ended
        assert len(stage.paid()) == (3 if vendor == "testerarmy" else 1), "a group of three tests is three runs"
        assert keyed or "--resubmit" in ended.text

    at_once(VENDORS, check)


def test_an_environment_whose_answer_a_proxy_lost_is_found_and_removed(
    begin: Begin, certificate: tuple[Path, Path], tls: ssl.SSLContext
) -> None:
    stage = begin()
    entry_ = {**stage.certyn("preview"), "target": {"web_url": "https://pr-7.shop.example"}}
    stage.commit(entry_, vendors={"certyn": {"project": "my-app"}})
    stage.hasty()
    with behind_a_proxy(stage, first(b"POST", b"/environments"), certificate, tls):
        ended = stage.apply()
    assert ended.code == 0, ended
    assert len(stage.sent("certyn", "POST", "/environments")) == 1
    assert not stage.environments()
    assert not stage.report()["left"]


def test_a_way_that_cannot_work_ends_at_once_and_says_what_to_do(begin: Begin, at_once: AtOnce) -> None:
    def check(case: tuple[dict[str, str], int, str]) -> None:
        environ, code, words = case
        stage = begin()
        stage.commit(stage.doksi("a"))
        ended = stage.apply(QARUNNER_DOKSI_URL="https://vendor.test/doksi", **environ)
        assert ended.code == code, ended
        assert words in ended.text, ended
        assert "hunter2" not in ended.text
        assert stage.run_folder().exists() is (code != 2)

    with serving(says_and_closes(http("", status="407 Proxy Authentication Required"))) as proxy:
        wants = {"HTTPS_PROXY": f"http://user:hunter2@127.0.0.1:{proxy.port}"}
        cases = [
            (wants, 8, f"the proxy 127.0.0.1:{proxy.port} (HTTPS_PROXY) wants another user or password"),
            ({"HTTPS_PROXY": "socks5://user:hunter2@127.0.0.1:1080"}, 2, "HTTPS_PROXY: a proxy of the kind socks5://"),
            ({"ALL_PROXY": "http://user:hunter2@127.0.0.1:port"}, 2, "ALL_PROXY: its port is no number"),
            ({"HTTPS_PROXY": "user:hunter2@127.0.0.1:99999"}, 2, "HTTPS_PROXY: its port is no number"),
            ({"SSL_CERT_DIR": "/nowhere/at/all"}, 2, "SSL_CERT_DIR: /nowhere/at/all: no such folder"),
        ]
        at_once(cases, check)
        assert len(proxy.requests) == 1, "a password is not tried again"


def test_a_certificate_that_nothing_vouches_for_ends_at_once(begin: Begin, tls: ssl.SSLContext) -> None:
    stage = begin()
    stage.commit(stage.doksi("a"), stage.doksi("b", url="https://other.example"))
    with serving(says_and_closes(http("{}")), tls) as vendor:
        ended = stage.apply(QARUNNER_DOKSI_URL=f"https://127.0.0.1:{vendor.port}")
        assert not vendor.requests
        assert vendor.connections <= 4
    assert ended.code == 8, ended
    assert "TLS with 127.0.0.1:" in ended.text
    assert "REQUESTS_CA_BUNDLE or SSL_CERT_FILE" in ended.text


def test_a_proxy_that_is_not_there_is_safe_to_run_again(begin: Begin) -> None:
    stage = begin()
    stage.commit(stage.doksi("a"))
    stage.hasty()
    proxy = f"127.0.0.1:{free_port()}"
    ended = stage.apply(QARUNNER_DOKSI_URL="https://vendor.test/doksi", HTTPS_PROXY=f"http://{proxy}")
    assert ended.code == 75, ended
    assert f"cannot connect to the proxy {proxy} (HTTPS_PROXY)" in ended.text
