"""The steps of action.yml: `python -m qarunner.cli.pipelines.github run|diff|reap`.

`run` is the program in this very process, so that a cancelled job's signals arrive at it.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from qarunner.cli.pipelines.arguments import arguments
from qarunner.cli.pipelines.notes import GitHubNotes, NoteError, put
from qarunner.cli.pipelines.review import changes_since
from qarunner.errors import UserError
from qarunner.paths import append

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping

PREFIX = "INPUT_"
NOT_OPTIONS = frozenset({"command", "comment", "token"})
RUNS = ".qarunner/runs"


def main() -> None:
    steps: dict[str, Callable[[MutableMapping[str, str]], int]] = {"run": run, "diff": diff, "reap": reap}
    step = steps.get(sys.argv[1]) if len(sys.argv) == 2 else None  # noqa: PLR2004  the program and the step
    if step is None:
        sys.exit(f"usage: python -m qarunner.cli.pipelines.github {'|'.join(steps)}")
    try:
        sys.exit(step(os.environ))
    except UserError as error:
        _say("error", error.message + (f" ({error.hint})" if error.hint else ""))
        sys.exit(int(error.code))


def run(environ: MutableMapping[str, str]) -> int:
    """The command itself; `run-id`, `exit-code` and what the report says become the step's outputs."""
    from qarunner.cli import main as app

    inputs = _inputs(environ)
    command = inputs.get("command", "apply")
    options = {name: text for name, text in inputs.items() if name not in NOT_OPTIONS}
    if options.get("runs-dir") == RUNS:
        del options["runs-dir"]  # the action's default, which commands without runs would not take
    run_id = None
    if command == "apply":
        run_id = options.setdefault("run-id", _run_id(environ))
        _output(environ, "run-id", run_id)
    elif command in {"resume", "cancel"}:
        run_id = options.get("run-id")
    elif command == "diff" and (pull := _pull_request(environ)) is not None:
        options["base"] = pull[1]
        _fetch(pull[1])
    words = arguments(command, options)
    # What the manifest declares is read from the environment: the action's own inputs are none of its business.
    for name in [name for name in environ if name.startswith(PREFIX)]:
        del environ[name]
    code = app.run(words)
    _output(environ, "exit-code", str(code))
    if run_id:
        _report(environ, Path(options.get("runs-dir", RUNS)) / run_id / "report.json")
    return code


def _inputs(environ: Mapping[str, str]) -> dict[str, str]:
    """The action's inputs, each from the variable that action.yml puts it into."""
    found = {
        name.removeprefix(PREFIX).lower().replace("_", "-"): text
        for name, text in environ.items()
        if name.startswith(PREFIX)
    }
    return {name: text for name, text in found.items() if text.strip()}


def _run_id(environ: Mapping[str, str]) -> str:
    """Names the build; jobs of one matrix share all of its parts but the last."""
    parts = [environ.get(name, "") for name in ("GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT", "GITHUB_JOB")]
    words = "-".join(part for part in ("gh", *parts, secrets.token_hex(3)) if part)
    return "".join(sign if sign.isascii() and (sign.isalnum() or sign in "._-") else "-" for sign in words)[-100:]


def _report(environ: Mapping[str, str], path: Path) -> None:
    """The few facts of a report that later steps decide by; all of it would not fit into an output."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        facts = {"verdict": found["verdict"], "tests": found["totals"]["tests"], "failed": found["totals"]["failed"]}
    except (OSError, ValueError, KeyError, TypeError):
        return
    _output(environ, "report", path.as_posix())
    for name, value in facts.items():
        _output(environ, name, str(value))


# --- a pull request's note --------------------------------------------------------------------------------------------


def diff(environ: Mapping[str, str]) -> int:
    """What the pull request changes in the matrix, as its one comment; without permission, in the job's summary."""
    inputs = _inputs(environ)
    pull = _pull_request(environ)
    if pull is None:
        return 0
    number, base = pull
    _fetch(base)
    changes = changes_since(base, inputs.get("file"))
    if changes.problem:
        _say("warning", f"no diff of the matrix: {changes.problem}")
        return 0
    repository = environ.get("GITHUB_REPOSITORY", "")
    api = environ.get("GITHUB_API_URL", "https://api.github.com")
    try:
        notes = GitHubNotes.of(api, environ.get("QARUNNER_ACTION_TOKEN", ""), repository, number)
        done = put(notes, inputs.get("file", "qa-matrix.yml"), changes.text, anew=changes.any)
    except NoteError as error:
        # A pull request from a fork has a token that can only read.
        _say("notice", f"the matrix diff is in the job's summary, not in a comment: {error.message}")
        _summary(environ, changes.text)
        return 0
    sys.stdout.write(f"qarunner: the pull request's comment with the matrix diff: {done}\n")
    return 0


def _pull_request(environ: Mapping[str, str]) -> tuple[int, str] | None:
    """The number and the base commit of the pull request that this job is about."""
    try:
        payload = json.loads(Path(environ.get("GITHUB_EVENT_PATH", "")).read_text(encoding="utf-8"))
        pull = payload["pull_request"]
        return int(pull["number"]), str(pull["base"]["sha"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _fetch(commit: str) -> None:
    """A checkout of one commit does not have the base; one that is there already costs nothing."""
    has = subprocess.run(  # noqa: S603  fixed words and a commit's hash
        ["git", "cat-file", "-e", f"{commit}^{{commit}}"],  # noqa: S607
        capture_output=True,
        check=False,
    )
    if has.returncode:
        subprocess.run(  # noqa: S603
            ["git", "fetch", "--quiet", "--no-tags", "--depth=1", "origin", commit],  # noqa: S607
            capture_output=True,
            check=False,
        )


# --- what a cancelled job leaves --------------------------------------------------------------------------------------


def reap(environ: MutableMapping[str, str]) -> int:
    """Cancels at the vendors what a job that was cancelled had no time to cancel itself."""
    from qarunner.cli import main as app

    inputs = _inputs(environ)
    if inputs.get("detach") == "true" or inputs.get("on-interrupt") == "detach":
        return 0
    runs_dir, run_id = inputs.get("runs-dir", RUNS), inputs.get("run-id", "")
    if not run_id or not (Path(runs_dir) / run_id).is_dir():
        return 0
    return app.run(["cancel", f"--runs-dir={runs_dir}", "--", run_id])


# --- the runner's files -----------------------------------------------------------------------------------------------


def _output(environ: Mapping[str, str], name: str, value: str) -> None:
    _append(environ.get("GITHUB_OUTPUT"), f"{name}={' '.join(value.split())}\n")


def _summary(environ: Mapping[str, str], text: str) -> None:
    _append(environ.get("GITHUB_STEP_SUMMARY"), text.rstrip() + "\n")


def _append(path: str | None, text: str) -> None:
    if path:
        append(Path(path), text.encode())


def _say(level: str, message: str) -> None:
    from qarunner.cli.console import escaped

    sys.stdout.write(f"::{level}::{escaped(message)}\n")


if __name__ == "__main__":
    main()
