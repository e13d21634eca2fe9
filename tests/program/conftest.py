"""Runs the real program, in processes of its own, against emulated vendors in this one."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, TypeVar

import pytest
import requests
import starlette.routing

from qarunner.emulator import serve
from tests.amount import PATIENCE_S
from tests.fork_server import CAN_FORK, CONSTANTS, Forked

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Iterable, Iterator, Mapping


T = TypeVar("T")

# Each stage has an emulator, with the same 76 paths: to make patterns of them anew was half of its start.
starlette.routing.compile_path = functools.cache(starlette.routing.compile_path)

THREADS = 6
PROGRAM = Path(sys.executable).with_name("qarunner")
SPEED = 50
"""How fast the emulated runs go: one of 3 s takes 60 ms. A fault's `delay` is divided by it as well."""

FAST = {"reads": 100_000, "creates": 100_000, "all": 100_000}
HASTY = f"""{CONSTANTS}
from qarunner.engine.schedule import timing as patience
patience.BACKOFF_S, patience.FIRST_CONTACT_S = 0.02, 0.1
"""
"""Makes failed requests follow each other quickly: waiting for them is what virtual time is for, in tests/engine."""
LEAPING = """
import time, types
from qarunner.engine.io import workers
skipped = 0.0
workers.time = types.SimpleNamespace(monotonic=lambda: time.monotonic() + skipped, time=lambda: time.time() + skipped)
workers._SLEEPLESS = None
wait = workers.Workers.wait
def leap(self, timeout):
    global skipped
    if timeout is not None and not self._busy:
        skipped, timeout = skipped + timeout, 0
    return wait(self, timeout)
workers.Workers.wait = leap
from qarunner.emulator import server
*others, clock = server.serve.__defaults__
server.serve.__defaults__ = (*others, workers.time.monotonic)
"""
"""Where no request is under way, the time until the next one passes at once: an hour without an answer takes none.

It passes for the vendors of a rehearsal as well, which are in the same process; not for those of the stage.
"""


@dataclass(frozen=True)
class Ended:
    """A process that ended."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def last(self) -> str:
        return self.out.splitlines()[-1] if self.out else ""

    @property
    def text(self) -> str:
        return self.out + self.err

    def __str__(self) -> str:
        return f"exit {self.code} after {self.seconds:.1f} s\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


class Started:
    """A process that runs; `end` waits for it. A `fresh` one has an interpreter of its own."""

    def __init__(
        self,
        arguments: tuple[str, ...],
        folder: Path,
        environ: Mapping[str, str],
        *,
        fresh: bool = False,
        stdout: IO[str] | None = None,
        stderr: IO[str] | None = None,
        lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._lost = lost
        self._began = time.monotonic()
        self.process: Forked | subprocess.Popen[str]
        if CAN_FORK and not fresh:
            self.process = Forked(arguments, folder, environ, stdout=stdout, stderr=stderr)
            return
        self.process = subprocess.Popen(
            [str(PROGRAM), *arguments],
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=stdout or subprocess.PIPE,
            stderr=stderr or subprocess.PIPE,
            encoding="utf-8",
        )

    def end(self) -> Ended:
        try:
            out, err = self.process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, err = self.process.communicate()
            pytest.fail(f"did not end within {PATIENCE_S} s\n{out}\n{err}")
        if self.process.wait() < 0:
            self._lost()
        return Ended(self.process.wait(), out, err, time.monotonic() - self._began)

    def signal(self, number: signal.Signals) -> Ended:
        """Sends a signal; `seconds` of the result is the time from then to the end."""
        self._began = time.monotonic()
        self.process.send_signal(number)
        return self.end()

    def kill(self) -> None:
        """Takes the process away without a word, as a lost machine does. What it sent has arrived by then."""
        self.discard()
        self._lost()

    def discard(self) -> None:
        """Ends the process if it is still there, and closes what it was read through."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


QUICK = {"--poll-interval": "20ms"}


def with_defaults(defaults: Mapping[str, str], words: tuple[str, ...]) -> tuple[str, ...]:
    """Words of a command line with the options that it does not give itself: one may be given once."""
    return (*(part for name, value in defaults.items() if name not in words for part in (name, value)), *words)


class Stage:
    """A user's folder, with vendors that answer. Its environment holds what leads to them, and nothing else."""

    def __init__(self, folder: Path, scenario: Mapping[str, object]) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self._skipped_s = 0.0
        self.vendors = vendors = serve(scenario, clock=lambda: time.monotonic() + self._skipped_s)
        self.environ = {"PATH": os.environ["PATH"], "HOME": str(folder), **vendors.environ}
        self._http = requests.Session()
        self._http.trust_env = False
        self._processes: list[Started] = []

    def close(self) -> None:
        for process in self._processes:
            process.discard()
        self._http.close()
        self.vendors.close()

    def let_pass(self, seconds: float) -> None:
        """Such a time passes at the vendors at once: no test has to be quicker than a run."""
        self._skipped_s += seconds

    # --- the manifest -------------------------------------------------------------------------------------------------

    @staticmethod
    def doksi(entry_id: str, *tests: str, url: str = "https://shop.example", **more: object) -> dict[str, object]:
        """An entry of web tests, of the same name as the entry if none are named; `account` signs in."""
        account = more.pop("account", None)
        if account:
            more["artifacts"] = [{"type": "authentication", "strategy": "specific", "account_id": account}]
        if "category_ids" not in more:
            more["test_ids"] = list(tests) or [entry_id]
        return {"id": entry_id, "vendor": "doksi", "platform": "web", "target": {"web_url": url}, **more}

    @staticmethod
    def certyn(entry_id: str, **more: object) -> dict[str, object]:
        """An entry of one process of the entry's name, or of tags."""
        return {"id": entry_id, "vendor": "certyn"} | (more if "tags" in more else {"category_ids": [entry_id], **more})

    def commit(self, *entries: Mapping[str, object], name: str = "qa-matrix.yml", **top: object) -> Path:
        """Writes the manifest; without `vendors`, none of them is asked slowly."""
        vendors = top.pop("vendors", {})
        assert isinstance(vendors, dict)
        quick = {"certyn": {"project": "shop", "rate": {key: f"{rate}/min" for key, rate in FAST.items()}}, **vendors}
        used = {entry.get("vendor", "doksi") for entry in entries}
        kept = {vendor: settings for vendor, settings in quick.items() if vendor in used or vendor in vendors}
        path = self.folder / name
        manifest = {"version": 1, "name": "shop", "vendors": kept, **top, "matrix": list(entries)}
        path.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        return path

    # --- the program --------------------------------------------------------------------------------------------------

    def start(self, *arguments: str, **variables: str | None) -> Started:
        """Starts `qarunner …`; a variable of None is not set."""
        return self._begin(Started(arguments, self.folder, self._with(variables), lost=self._arrived))

    def into(self, stdout: IO[str] | None, stderr: IO[str] | None, *arguments: str) -> Ended:
        """Runs `qarunner …` with streams that lead somewhere; None is read from a pipe."""
        return self.start_into(stdout, stderr, *arguments).end()

    def start_into(self, stdout: IO[str] | None, stderr: IO[str] | None, *arguments: str) -> Started:
        return self._begin(Started(arguments, self.folder, self._with({}), stdout=stdout, stderr=stderr))

    def fresh(self, *arguments: str, **variables: str | None) -> Started:
        """Starts an interpreter of its own, for what counts before the program begins, or when it imports."""
        return self._begin(Started(arguments, self.folder, self._with(variables), fresh=True))

    def _with(self, variables: Mapping[str, str | None]) -> Mapping[str, str]:
        return {name: value for name, value in {**self.environ, **variables}.items() if value is not None}

    def _begin(self, process: Started) -> Started:
        self._processes.append(process)
        return process

    def run(self, *arguments: str, **variables: str | None) -> Ended:
        return self.start(*arguments, **variables).end()

    def apply(self, *arguments: str, **variables: str | None) -> Ended:
        return self.start_apply(*arguments, **variables).end()

    def start_apply(self, *arguments: str, **variables: str | None) -> Started:
        return self.start("apply", *with_defaults({"--run-id": "r1", **QUICK}, arguments), **variables)

    def resume(self, *arguments: str, **variables: str | None) -> Ended:
        return self.run("resume", *with_defaults(QUICK, arguments), **variables)

    def hasty(self) -> None:
        """From now on the program waits for an instant where it would wait seconds after a failed request."""
        self.customise(HASTY)

    def customise(self, code: str) -> None:
        """Runs code, too, in every process before the program begins; all of its modules may have been imported."""
        path = self.folder / "site" / "sitecustomize.py"
        path.parent.mkdir(exist_ok=True)
        text = (path.read_text(encoding="utf-8") if path.exists() else "") + code
        # What is true of one of them alone is not said of both.
        path.write_text(text if code.startswith(CONSTANTS) else text.replace(CONSTANTS, ""), encoding="utf-8")
        self.environ["PYTHONPATH"] = str(path.parent)

    def leaping(self) -> None:
        """From now on the program waits for an instant where it would wait for time alone to pass."""
        self.customise(LEAPING)

    def _arrived(self) -> None:
        """Waits until the vendors have taken in all that a lost process sent, and have seen it go."""
        connections = self.vendors._server.server_state.connections
        with requests.Session() as another, contextlib.suppress(requests.ConnectionError):  # they may have gone, too
            another.trust_env = False
            # Connections are taken in their order: with this one, all of the lost process have been.
            another.get(f"{self.vendors.url}/_emulator/runs", timeout=PATIENCE_S)
        others = [process for process in self._processes if process.process.poll() is None]
        self.until(lambda: len(connections) <= 1 or others)  # one is ours

    @staticmethod
    def until(condition: Callable[[], object]) -> None:
        """Waits until something is true, looking often."""
        limit = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < limit, "it never came to that"
            time.sleep(0.004)

    # --- what is on disk ----------------------------------------------------------------------------------------------

    def run_folder(self, run: str = "r1") -> Path:
        return self.folder / ".qarunner" / "runs" / run

    def lines(self, run: str = "r1") -> list[bytes]:
        """The journal's whole lines so far."""
        path = self.run_folder(run) / "journal.jsonl"
        *whole, _ = path.read_bytes().split(b"\n") if path.exists() else [b""]
        return whole

    def journal(self, run: str = "r1") -> list[Any]:
        return [json.loads(line) for line in self.lines(run)]

    def events(self, kind: str, run: str = "r1") -> list[Any]:
        return [event for event in self.journal(run) if event["event"] == kind]

    def run_of(self, job: str, run: str = "r1") -> str:
        """The vendor's id of the run that a job's create made."""
        return str(next(event["runs"][0]["id"] for event in self.events("Accepted", run) if event["job"] == job))

    def report(self, run: str = "r1") -> Any:  # noqa: ANN401  JSON
        return json.loads((self.run_folder(run) / "report.json").read_text(encoding="utf-8"))

    def verdicts(self, run: str = "r1") -> dict[str, str]:
        return {entry["id"]: entry["verdict"] for entry in self.report(run)["entries"]}

    def reason(self, entry: str, run: str = "r1") -> str:
        return str(next(row["reason"] for row in self.report(run)["entries"] if row["id"] == entry))

    # --- what the vendors saw -----------------------------------------------------------------------------------------

    def records(self, what: str) -> list[Any]:
        """One of the emulator's lists."""
        items: list[Any] = self._http.get(f"{self.vendors.url}/_emulator/{what}", timeout=PATIENCE_S).json()
        return items

    def sent(self, vendor: str | None = None, method: str | None = None, path: str = "") -> list[Any]:
        """The requests that arrived; `path` is its end."""
        return [
            request
            for request in self.records("requests")
            if vendor in {None, request["vendor"]} and method in {None, request["method"]}
            if request["path"].endswith(path)
        ]

    def creates(self, vendor: str) -> list[Any]:
        return self.sent(vendor, "POST", "/runs")

    def environments(self) -> dict[str, str]:
        """The keys, by their ids, of the environments that are at Certyn still."""
        return {item["id"]: item["key"] for item in self.records("environments") if not item["deleted"]}

    def paid(self, vendor: str | None = None) -> list[list[str]]:
        """The tests of every run that was made, and has to be paid for."""
        return [run["tests"] for run in self.records("runs") if vendor in {None, run["vendor"]}]


def git(folder: Path, *words: str) -> str:
    """What git prints, as somebody whom the test makes up."""
    who = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *who, *words], cwd=folder, capture_output=True, encoding="utf-8", check=True)
    return done.stdout


class Begin(Protocol):
    """Sets up a stage whose vendors follow a scenario."""

    def __call__(self, **scenario: object) -> Stage: ...


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Sets up stages, each with a folder and vendors of its own; may be called from several threads."""
    stages: list[Stage] = []
    numbers = itertools.count(1)

    def set_up(**scenario: object) -> Stage:
        certyn = scenario.pop("certyn", {})
        assert isinstance(certyn, dict)
        whole = {"speed": SPEED, "certyn": {"rates": FAST, **certyn}, **scenario}
        stages.append(Stage(tmp_path / f"stage-{next(numbers)}", whole))
        return stages[-1]

    yield set_up
    for stage in stages:
        stage.close()


@pytest.fixture
def stage(begin: Begin) -> Stage:
    """A stage whose vendors let everything pass."""
    return begin()


class AtOnce(Protocol):
    """Checks many cases at the same time, and tells of each that fails."""

    def __call__(self, cases: Iterable[T], check: Callable[[T], None]) -> None: ...


@pytest.fixture
def at_once() -> AtOnce:
    """Checks many cases at the same time: a process mostly starts, or waits for its vendors."""

    def check_all(cases: Iterable[T], check: Callable[[T], None]) -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            running = [(case, pool.submit(check, case)) for case in cases]
        errors = [(case, error) for case, future in running if (error := future.exception())]
        if errors:
            told = "\n\n".join(f"--- {case}\n{error}" for case, error in errors)
            raise AssertionError(f"{len(errors)} of {len(running)} cases\n{told}") from errors[0][1]

    return check_all
