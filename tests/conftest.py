"""What all tests share: golden files, and a certificate for those over TLS."""

from __future__ import annotations

import faulthandler
import gc
import itertools
import os
import shutil
import signal
import ssl
import subprocess
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest
from _pytest.tmpdir import tmppath_result_key
from hypothesis import HealthCheck, settings

from tests import workers
from tests.amount import FULL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


# No example has a time limit: how long it takes is the machine's business.
settings.register_profile(
    "any", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
# The same examples every time: a red build is a change's fault. `explore` looks for new ones.
settings.register_profile("same", settings.get_profile("any"), derandomize=True, max_examples=10)
# What changes of the code are tried with: `make mutants`.
settings.register_profile("mutants", settings.get_profile("any"), derandomize=True, max_examples=25)
settings.register_profile("full", settings.get_profile("any"), derandomize=True, max_examples=200)
settings.register_profile("explore", settings.get_profile("any"), max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "full" if FULL else "same"))


HANGS_S = 1200.0
_WATCH = pytest.StashKey[list[float]]()


def pytest_configure(config: pytest.Config) -> None:
    # A shell ignores it for what runs in the background, and so would each program that a test starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    capture = config.pluginmanager.get_plugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else nullcontext():
        config.stash[_WATCH] = [os.dup(2), -HANGS_S]
    if (number := workers.number_of(config.getoption("--workers"))) > 1:
        config.pluginmanager.register(workers.Workers(number))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test that hangs says where, and ends. The watch is set anew each minute: for each test it costs a thread."""
    stderr, since = item.config.stash[_WATCH]
    if time.monotonic() - since > HANGS_S / 20:
        item.config.stash[_WATCH] = [stderr, time.monotonic()]
        faulthandler.dump_traceback_later(HANGS_S, exit=True, file=int(stderr))


def pytest_unconfigure(config: pytest.Config) -> None:
    faulthandler.cancel_dump_traceback_later()
    os.close(int(config.stash[_WATCH][0]))


def pytest_collection_finish() -> None:
    """Thousands of tests stay to the end: looking through them again and again finds nothing to collect."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--workers", default="1", help="how many processes run the tests; `auto`: what is best here")
    parser.addoption("--update-golden", action="store_true", help="write what the program gives into the golden files")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Compares a text with the file that holds it; with --update-golden, writes it there."""

    def compare(path: Path, text: str) -> None:
        if request.config.getoption("--update-golden"):
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8")

    return compare


_NUMBERS = itertools.count(1)


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A test's own folder, which goes if it passes. Pytest's own looks for a number among all that are there."""
    path = tmp_path_factory.mktemp(f"test-{next(_NUMBERS)}", numbered=False)
    yield path
    if request.node.stash[tmppath_result_key].get("call", True):
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and vendor.test, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    names = "subjectAltName=IP:127.0.0.1,DNS:vendor.test"
    words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    files = ["-subj", "/CN=vendor.test", "-addext", names, "-out", str(cert), "-keyout", str(key)]
    subprocess.run(["openssl", *words, *files], check=True, capture_output=True)
    return cert, key


@pytest.fixture(scope="session")
def tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context
