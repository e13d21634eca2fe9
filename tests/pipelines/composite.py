"""Runs a composite action's steps as GitHub's runner does: expressions, environment files, outputs, one process a step.

What `uses` names is given by the test. Documented at docs.github.com, "Metadata syntax" and "Workflow commands".
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

from tests.amount import PATIENCE_S

Uses = Callable[[Mapping[str, str]], Mapping[str, str]]
_TOKEN = re.compile(r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<op>==|!=|&&|\|\||[!()])|(?P<name>[A-Za-z_][\w.-]*))")


@dataclass
class Job:
    """One job on a runner: its folders, its environment, and what its steps left."""

    folder: Path
    work: Path
    environ: dict[str, str]
    github: dict[str, Any]
    uses: Mapping[str, Uses]
    open: tuple[int, ...] = ()
    """Descriptors that its steps inherit."""
    cancelled: bool = False
    failed: bool = False
    kills: bool = False
    """The step that applies loses its processes as soon as a vendor has a run."""
    log: list[tuple[str, int, str]] = field(default_factory=list)
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    summary: str = ""

    def run(self, action: Path, inputs: Mapping[str, str], *, instead: Mapping[str, Mapping[str, str]] = {}) -> int:
        """Runs an action's steps; the first exit code that is not 0. `instead` are outputs of steps to leave out."""
        data = yaml.safe_load((action / "action.yml").read_text(encoding="utf-8"))
        context = self._context(action, data, inputs)
        code = 0
        for number, step in enumerate(data["runs"]["steps"]):
            name = step.get("id", f"step-{number}")
            if name in instead:
                self.outputs[name] = dict(instead[name])
                continue
            condition = str(step.get("if", "success()"))
            if not any(word in condition for word in ("success()", "always()", "cancelled()", "failure()")):
                condition = f"success() && ({condition.removeprefix('${{').removesuffix('}}')})"
            if not Expression(condition, context, self).truth():
                continue
            done = self._step(name, step, context)
            self.log.append((step.get("name", name), done, ""))
            if done and not code:
                code, self.failed = done, True
        return code

    def _context(self, action: Path, data: Mapping[str, Any], inputs: Mapping[str, str]) -> dict[str, Any]:
        declared = data.get("inputs", {})
        unknown = set(inputs) - set(declared)
        assert not unknown, f"no such input: {unknown}"
        context: dict[str, Any] = {
            "github": {**self.github, "action_path": str(action)},
            "runner": {"os": "Linux", "temp": str(self.folder)},
            "steps": self.outputs,
        }
        defaults = {name: self.text(str(item.get("default", "")), context) for name, item in declared.items()}
        return {**context, "inputs": {**defaults, **inputs}}

    def text(self, text: str, context: Mapping[str, Any]) -> str:
        """A text with its expressions filled in."""
        return re.sub(r"\$\{\{(.*?)\}\}", lambda found: Expression(found[1], context, self).text(), text)

    def _step(self, name: str, step: Mapping[str, Any], context: Mapping[str, Any]) -> int:
        if "uses" in step:
            given = {key: self.text(str(value), context) for key, value in step.get("with", {}).items()}
            self.outputs[name] = dict(self.uses[step["uses"].partition("@")[0]](given))
            return 0
        before = accepted(self.work)
        started = self.start(name, step, context)
        if self.kills and name == "run":
            kill_when_more(started, self.work, before)
        out, _ = started.communicate(timeout=10 * PATIENCE_S)
        return self.finish(name, started.returncode, out)

    def start(self, name: str, step: Mapping[str, Any], context: Mapping[str, Any]) -> subprocess.Popen[str]:
        """Begins a `run` step: bash, as the runner calls it."""
        assert step["shell"] == "bash", "the only shell that every runner has"
        script = self.folder / f"{name}.sh"
        script.write_text(self.text(step["run"], context), encoding="utf-8")
        for file in ("output", "summary"):
            (self.folder / f"{name}.{file}").write_text("", encoding="utf-8")
        environ = {
            **self.environ,
            **{key: self.text(str(value), context) for key, value in step.get("env", {}).items()},
            "GITHUB_OUTPUT": str(self.folder / f"{name}.output"),
            "GITHUB_STEP_SUMMARY": str(self.folder / f"{name}.summary"),
            "RUNNER_TEMP": str(self.folder),
        }
        return subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)],
            cwd=self.work,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            start_new_session=os.name == "posix",
            pass_fds=self.open,
        )

    def finish(self, name: str, code: int, out: str) -> int:
        self.log.append((name, code, out))
        lines = (self.folder / f"{name}.output").read_text(encoding="utf-8").splitlines()
        self.outputs[name] = dict(line.split("=", 1) for line in lines)
        self.summary += (self.folder / f"{name}.summary").read_text(encoding="utf-8")
        return code

    def said(self) -> str:
        """All that the steps printed."""
        return "\n".join(text for _, _, text in self.log)


def accepted(folder: Path) -> int:
    """How many creates a vendor has taken, as the journal below a folder says that knows most."""
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in folder.rglob("journal.jsonl")]
    return max((text.count('"Accepted"') for text in texts), default=0)


def kill_when_more(process: subprocess.Popen[str], folder: Path, than: int) -> None:
    """Takes a process away with all that it began, once a vendor has taken more creates."""
    deadline = time.monotonic() + PATIENCE_S
    while process.poll() is None and accepted(folder) <= than:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


class Expression:
    """The part of GitHub's expression language that the action uses."""

    def __init__(self, text: str, context: Mapping[str, Any], job: Job) -> None:
        bare = text.strip().removeprefix("${{").removesuffix("}}").strip()
        self._tokens: list[str] = []
        at = 0
        while at < len(bare):
            match = _TOKEN.match(bare, at)
            assert match, f"not read by this runner: {bare[at:]!r}"
            self._tokens.append(match[0].strip())
            at = match.end()
        self._context = context
        self._job = job

    def truth(self) -> bool:
        return bool(self._either())

    def text(self) -> str:
        value = self._either()
        return json.dumps(value) if isinstance(value, bool | dict) else "" if value is None else str(value)

    def _peek(self) -> str:
        return self._tokens[0] if self._tokens else ""

    def _either(self) -> object:
        value = self._both()
        while self._peek() == "||":
            self._tokens.pop(0)
            other = self._both()
            value = value or other
        return value

    def _both(self) -> object:
        value = self._equal()
        while self._peek() == "&&":
            self._tokens.pop(0)
            other = self._equal()
            value = value and other
        return value

    def _equal(self) -> object:
        value = self._one()
        if self._peek() in {"==", "!="}:
            same = self._tokens.pop(0) == "=="
            return (value == self._one()) is same
        return value

    def _one(self) -> object:
        token = self._tokens.pop(0)
        if token == "!":
            return not self._one()
        if token == "(":
            value = self._either()
            assert self._tokens.pop(0) == ")"
            return value
        if token.startswith("'"):
            return token[1:-1].replace("''", "'")
        if self._peek() == "(":
            del self._tokens[:2]
            states = {
                "always": True,
                "cancelled": self._job.cancelled,
                "failure": self._job.failed,
                "success": not (self._job.failed or self._job.cancelled),
            }
            return states[token]
        return self._read(token.split("."))

    def _read(self, path: list[str]) -> object:
        value: object = self._context
        for index, part in enumerate(path):
            if index and path[0] == "steps" and part == "outputs":
                continue
            value = cast("dict[str, object]", value).get(part) if isinstance(value, dict) else None
        return value
