"""yaml-language-server over stdio, as an editor talks to it."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from qarunner.decode import Json

    Message = dict[str, Json]


class Server:
    """One server with one schema. Documents stand where an example does: two folders below the schema."""

    def __init__(self, process: subprocess.Popen[bytes], schema: Path) -> None:
        self._folder = schema.parent / "examples" / "any"
        self._in = cast("IO[bytes]", process.stdin)
        self._out = cast("IO[bytes]", process.stdout)
        self._number = 0
        self._settings: Json = {
            "yaml": {"schemas": {schema.as_uri(): "*.yml"}, "schemaStore": {"enable": False}, "completion": True}
        }
        self._told: dict[str, list[Message]] = {}
        self._request("initialize", {"processId": None, "rootUri": None, "capabilities": _ABLE})
        self._send({"method": "initialized", "params": {}})
        self._send({"method": "workspace/didChangeConfiguration", "params": {"settings": self._settings}})

    def diagnostics(self, text: str) -> list[tuple[int, str]]:
        """What the editor underlines: lines from 1, and what it says of them."""
        uri = self._open(text)
        while uri not in self._told:
            self._handle(self._receive())
        found = self._told[uri]
        return sorted((_line(each) + 1, str(each["message"])) for each in found)

    def hover(self, text: str) -> str:
        """What is shown at the place marked by ‸, as Markdown."""
        answer = self._at("textDocument/hover", text)
        return str(cast("Message", answer["contents"])["value"]) if isinstance(answer, dict) else ""

    def completion(self, text: str) -> dict[str, str]:
        """What is offered at the place marked by ‸: labels, and the text that each inserts."""
        answer = self._at("textDocument/completion", text)
        items = cast("list[Message]", answer["items"] if isinstance(answer, dict) else answer)
        return {str(item["label"]): str(item.get("insertText", item["label"])) for item in items}

    # --- the protocol -------------------------------------------------------------------------------------------------

    def _at(self, method: str, text: str) -> Json:
        before, _, after = text.partition("‸")
        uri = self._open(before + after)
        position: Json = {"line": before.count("\n"), "character": len(before.rpartition("\n")[2])}
        return self._request(method, {"textDocument": {"uri": uri}, "position": position})

    def _open(self, text: str) -> str:
        self._number += 1
        uri = (self._folder / f"manifest-{self._number}.yml").as_uri()
        document: Json = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self._send({"method": "textDocument/didOpen", "params": {"textDocument": document}})
        return uri

    def _request(self, method: str, params: Json) -> Json:
        self._number += 1
        number = self._number
        self._send({"id": number, "method": method, "params": params})
        while True:
            message = self._receive()
            if message.get("id") == number and "method" not in message:
                assert "error" not in message, message["error"]
                return message.get("result")
            self._handle(message)

    def _handle(self, message: Message) -> None:
        match message.get("method"):
            case "workspace/configuration":
                items = cast("list[Message]", cast("Message", message["params"])["items"])
                settings = cast("Message", self._settings)
                self._send({"id": message["id"], "result": [settings.get(str(item["section"])) for item in items]})
            case "textDocument/publishDiagnostics":
                params = cast("Message", message["params"])
                self._told[str(params["uri"])] = cast("list[Message]", params["diagnostics"])
            case _ if "id" in message and "method" in message:
                self._send({"id": message["id"], "result": None})
            case _:
                pass

    def _send(self, message: Message) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._in.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self._in.flush()

    def _receive(self) -> Message:
        length = 0
        while line := self._out.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        assert length, "the server has ended"
        return cast("Message", json.loads(self._out.read(length)))


_ABLE: Json = {
    "workspace": {"configuration": True},
    "textDocument": {
        "completion": {"completionItem": {"snippetSupport": True, "documentationFormat": ["markdown"]}},
        "hover": {"contentFormat": ["markdown"]},
    },
}


def _line(diagnostic: Message) -> int:
    start = cast("Message", cast("Message", diagnostic["range"])["start"])
    return cast("int", start["line"])


@contextmanager
def started(command: list[str], schema: Path) -> Iterator[Server]:
    process = subprocess.Popen([*command, "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield Server(process, schema)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
