"""Example plugins, built and installed as anybody would, and small servers for them on loopback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any, Self, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

from tests.program.conftest import Started

if TYPE_CHECKING:
    import pytest

    from tests.program.conftest import Ended

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def install(temporary: pytest.TempPathFactory, *names: str) -> Path:
    """The folder that pip installed the wheels of these examples into, without a network."""
    source, target = temporary.mktemp("source"), temporary.mktemp("site")
    for name in names:
        shutil.copytree(EXAMPLES / name, source / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    folders = [str(source / name) for name in names]
    done = subprocess.run([*pip, "--target", str(target), *folders], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


@dataclass(frozen=True, kw_only=True)
class Call:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any


Answer: TypeAlias = "tuple[int, object, Mapping[str, str]]"
"""Status, body and headers."""


class Service(ThreadingHTTPServer):
    """An API of JSON. `creates` are the bodies of all POSTs, in the order in which they came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.creates: list[Any] = []
        self.calls: list[str] = []

    def answer(self, call: Call) -> Answer:
        raise NotImplementedError(call)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Service

    def _handle(self) -> None:
        text = self.rfile.read(int(self.headers["Content-Length"] or 0))
        url = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        body = json.loads(text) if text else None
        self.server.calls.append(f"{self.command} {self.path}")
        if self.command == "POST":
            self.server.creates.append(body)
        call = Call(method=self.command, path=unquote(url.path), query=query, headers=dict(self.headers), body=body)
        status, data, headers = self.server.answer(call)
        told = json.dumps(data).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(told))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(told)

    do_GET = do_POST = do_DELETE = _handle  # noqa: N815  the names that the standard library calls

    def log_message(self, *_: object) -> None:
        pass


class User:
    """Somebody with a folder, a manifest and plugins. `example` is the folder of the one whose manifest is used."""

    def __init__(self, folder: Path, plugins: Path, example: str = "vendor-plugin") -> None:
        self.folder = folder
        self.source = EXAMPLES / example
        self.site = folder / "site"
        self.site.mkdir()
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": os.pathsep.join([str(plugins), str(self.site)]),
        }

    def run(self, *arguments: str) -> Ended:
        return Started(arguments, self.folder, self.environ).end()

    def write(self, text: str) -> None:
        (self.folder / "qa-matrix.yml").write_text(dedent(text), encoding="utf-8")

    def example(self, old: str = "", new: str = "") -> None:
        """The example's own manifest, with a piece of it changed."""
        text = (self.source / "qa-matrix.yml").read_text(encoding="utf-8")
        assert old in text
        self.write(text.replace(old, new, 1) if old else text)

    def add_plugin(self, name: str, module: str, *points: str) -> None:
        """A distribution as an installer leaves it behind."""
        info = self.site / f"{name}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n", encoding="utf-8")
        lines = "\n".join(f"{point} = {name}:VENDOR" for point in points or (name,))
        (info / "entry_points.txt").write_text(f"[qarunner.vendors.v1]\n{lines}\n", encoding="utf-8")
        (self.site / f"{name}.py").write_text(dedent(module), encoding="utf-8")

    def apply(self, **environ: str) -> Ended:
        self.environ |= environ
        return self.run("apply", "--poll-interval", "20ms", "--run-id", "r1")

    @property
    def verdicts(self) -> dict[str, str]:
        report = json.loads((self.folder / ".qarunner" / "runs" / "r1" / "report.json").read_text(encoding="utf-8"))
        return {entry["id"]: entry["verdict"] for entry in report["entries"]}
