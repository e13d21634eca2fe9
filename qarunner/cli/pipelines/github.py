"""The steps of action.yml: `python -I -m qarunner.cli.pipelines.github name|run|diff|result|reap`.

`run` is the program in this very process, so that a cancelled job's signals arrive at it. The working directory is a
checkout: `-I` keeps Python from importing what stands there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from qarunner.app.git import Git
from qarunner.app.options import ApplyOptions
from qarunner.cli.command_line import options_from
from qarunner.cli.console import Console, open_console
from qarunner.cli.pipelines.arguments import arguments, from_environment
from qarunner.cli.pipelines.notes import GitHubNotes, NoteError, changes_since, put, result_of
from qarunner.errors import UserError, code_of_signal
from qarunner.paths import MANIFEST_NAMES, append, history_file, working_folder
from qarunner.signals import PROCESS

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping


PREFIX = "INPUT_"
NOT_OPTIONS = frozenset({"command", "comment", "token"})
RUNS = ".qarunner/runs"
FILE = MANIFEST_NAMES[0]


def main() -> None:
    steps = {step.__name__: step for step in (name, run, diff, result, reap)}
    step = steps.get(sys.argv[1]) if len(sys.argv) == 2 else None  # noqa: PLR2004  the program and the step
    if step is None:
        sys.exit(f"usage: python -I -m qarunner.cli.pipelines.github {'|'.join(steps)}")
    with PROCESS.standing(kept=os.environ.get(f"{PREFIX}COMMAND") == "resume"):
        try:
            working_folder()
            sys.exit(step(os.environ))
        except UserError as error:
            _console(os.environ).annotate("error", error.message + (f" ({error.hint})" if error.hint else ""))
            sys.exit(int(error.code))
        except KeyboardInterrupt as error:
            sys.exit(int(code_of_signal(getattr(error, "number", signal.SIGINT))))


def name(environ: MutableMapping[str, str]) -> int:
    """Says under which id, and in which folder, this job's run is kept: the same for each attempt of the job."""
    inputs = from_environment(environ)
    run_id = inputs.get("run-id") or (_run_id(environ, inputs) if inputs.get("command", "apply") == "apply" else "")
    _output(environ, "run-id", run_id)
    runs_dir = inputs.get("runs-dir") or _runs_dir(environ)
    _output(environ, "runs-dir", runs_dir)
    _output(environ, "history", history_file(Path(runs_dir)).as_posix())
    _output(environ, "key", "-".join(("qarunner", *_job(environ), _leg(environ, inputs))))
    return 0


def _job(environ: Mapping[str, str]) -> list[str]:
    return [environ.get(name, "") for name in ("GITHUB_WORKFLOW", "GITHUB_JOB", "GITHUB_RUN_ID")]


def _leg(environ: Mapping[str, str], inputs: Mapping[str, str]) -> str:
    """Tells the jobs of one matrix, and several uses of the action in one job, apart."""
    parts = [environ.get("JOB_INDEX", ""), *(f"{name}={text}" for name, text in sorted(inputs.items()))]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]


def _runs_dir(environ: Mapping[str, str]) -> str:
    """On a self-hosted runner beside the checkout: what lies in it is removed by the next job's `git clean`."""
    workspace = environ.get("RUNNER_WORKSPACE")
    if environ.get("RUNNER_ENVIRONMENT") == "self-hosted" and workspace:
        return (Path(workspace) / ".qarunner-runs").as_posix()
    return RUNS


def run(environ: MutableMapping[str, str]) -> int:
    """The command itself; `run-id`, `exit-code` and what the report says become the step's outputs."""
    from qarunner.cli import main as app

    inputs = from_environment(environ)
    command = inputs.get("command", "apply")
    options = {name: text for name, text in inputs.items() if name not in NOT_OPTIONS}
    runs_dir = options.pop("runs-dir", RUNS)
    if command in {"apply", "resume", "cancel"}:
        options["runs-dir"] = runs_dir
    if command == "apply":
        options.setdefault("run-id", _run_id(environ, inputs))
        options["continue"] = "true"  # a job that is run again goes on with its run, and pays nothing twice
    elif command == "diff" and (pull := _pull_request(environ)) is not None:
        options["base"] = pull[1]
        Git(Path.cwd(), environ).fetch(pull[1])
    run_id = options.get("run-id") if command in {"apply", "resume", "cancel"} else None
    if run_id is None:
        options.pop("run-id", None)
    else:
        _output(environ, "run-id", run_id)
    words = arguments(command, options)
    # What the manifest declares is read from the environment: the action's inputs are not for it.
    for variable in [variable for variable in environ if variable.startswith(PREFIX)]:
        del environ[variable]
    code = app.run(words)
    _output(environ, "exit-code", str(code))
    if run_id:
        _report(environ, Path(runs_dir) / run_id / "report.json")
    return code


def _run_id(environ: Mapping[str, str], inputs: Mapping[str, str]) -> str:
    """Names the job of the pipeline, whatever its attempt."""
    words = "-".join(part for part in (*_job(environ)[1:], _leg(environ, inputs)) if part)
    plain = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "._-") else "-" for sign in words)
    return f"gh-{plain[-97:]}"


def _report(environ: Mapping[str, str], path: Path) -> None:
    """The few facts of a report that later steps decide by; all of it would not fit into an output."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        facts = {"verdict": report["verdict"], "tests": report["totals"]["tests"], "failed": report["totals"]["failed"]}
    except (OSError, ValueError, KeyError, TypeError):
        return
    if isinstance(report.get("next"), dict):
        facts["next"] = report["next"].get("do") or ""
    _output(environ, "report", path.as_posix())
    for fact, value in facts.items():
        _output(environ, fact, str(value))


# --- a pull request's note --------------------------------------------------------------------------------------------


def diff(environ: MutableMapping[str, str]) -> int:
    """What the pull request changes in the matrix, as its one comment; without permission, in the job's summary."""
    inputs = from_environment(environ)
    pull = _pull_request(environ)
    if pull is None:
        return 0
    _forget(environ)
    console = _console(environ)
    Git(Path.cwd(), environ).fetch(pull[1])
    changes = changes_since(pull[1], inputs.get("file"))
    if changes.problem:
        console.document(changes.log)
        console.annotate("warning", f"no diff of the matrix: {changes.problem}")
    elif not _put(console, pull[0], inputs, "diff", changes.text, "matrix diff", anew=changes.any):
        # A pull request from a fork has a token that can only read.
        _append(environ.get("GITHUB_STEP_SUMMARY"), changes.text.rstrip() + "\n")
    return 0


def _put(
    console: Console, number: int, inputs: Mapping[str, str], part: str, text: str, what: str, *, anew: bool = True
) -> bool:
    """False where no comment could be written: the job's summary has the text instead."""
    repository = console.environ.get("GITHUB_REPOSITORY", "")
    api = console.environ.get("GITHUB_API_URL", "https://api.github.com")
    notes = GitHubNotes.of(api, console.environ.get("QARUNNER_ACTION_TOKEN", ""), repository, number)
    try:
        done = put(notes, inputs.get("file", FILE), part, text, anew=anew)
    except NoteError as error:
        console.annotate("notice", f"the {what} is in the job's summary, not in a comment: {error.message}")
        return False
    console.result(f"qarunner: the pull request's comment with the {what}: {done}")
    return True


def result(environ: MutableMapping[str, str]) -> int:
    """What came of the run, in the pull request's one comment, in the place of what came of the commit before."""
    inputs = from_environment(environ)
    pull = _pull_request(environ)
    if pull is None:
        return 0
    _forget(environ)
    legs = [f"{name} {inputs[name]}" for name in ("profile", "shard") if name in inputs]
    folder = Path(inputs.get("runs-dir", RUNS)) / inputs.get("run-id", "")
    text = result_of(folder, inputs.get("file", FILE), inputs.get("result", ""), environ)
    _put(_console(environ), pull[0], inputs, " ".join(["result", *legs]), text, "result")
    return 0


def _forget(environ: MutableMapping[str, str]) -> None:
    """Takes away what a diff does not need: a workflow's `env` is that of all steps, with the vendors' keys in it."""
    for variable in list(environ):
        if variable.upper() not in _OF_A_PROCESS and not variable.startswith(
            ("GITHUB_", "RUNNER_", "QARUNNER_ACTION_")
        ):
            del environ[variable]


_OF_A_PROCESS = {
    *("PATH", "HOME", "CI", "TMPDIR", "TEMP", "TMP", "LANG", "LC_ALL"),
    *("SYSTEMROOT", "COMSPEC", "PATHEXT", "USERPROFILE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
}


def _pull_request(environ: Mapping[str, str]) -> tuple[int, str] | None:
    """The number and the base commit of the pull request that this job is about."""
    try:
        payload = json.loads(Path(environ.get("GITHUB_EVENT_PATH", "")).read_text(encoding="utf-8"))
        pull = payload["pull_request"]
        return int(pull["number"]), str(pull["base"]["sha"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


# --- what a cancelled job leaves --------------------------------------------------------------------------------------


def reap(environ: MutableMapping[str, str]) -> int:
    """Cancels at the vendors what a job that was cancelled had no time to cancel itself."""
    from qarunner.cli import main as app

    inputs = from_environment(environ)
    applied = _applied(inputs)
    if applied.detach or applied.on_interrupt == "detach":
        return 0
    runs_dir, run_id = inputs.get("runs-dir", RUNS), inputs.get("run-id", "")
    if not run_id or not (Path(runs_dir) / run_id).is_dir():
        return 0
    # The keys may stand in the apply's env files, and one of another name needs its permission here, too.
    options = {"env-file": "\n".join(map(str, applied.env_file)), "allow-secret": "\n".join(applied.allow_secret)}
    return app.run(arguments("cancel", {**options, "runs-dir": runs_dir, "run-id": run_id}))


_FOR_A_CANCEL = ("detach", "on-interrupt", "env-file", "allow-secret")
"""The inputs of an apply that say whether and how what it left is cancelled."""


def _applied(inputs: Mapping[str, str]) -> ApplyOptions:
    """What the apply was called with, whether an input or a line of `args` says so.

    Words that no apply understands began nothing. What an earlier attempt left is cancelled as the inputs say.
    """
    for further in (inputs.get("args", ""), ""):
        with contextlib.suppress(Exception, SystemExit):
            words = arguments("apply", {**{name: inputs.get(name, "") for name in _FOR_A_CANCEL}, "args": further})
            return cast("ApplyOptions", options_from(words))
    return ApplyOptions()


# --- the runner's files -----------------------------------------------------------------------------------------------


def _output(environ: Mapping[str, str], name: str, value: str) -> None:
    _append(environ.get("GITHUB_OUTPUT"), f"{name}={' '.join(value.split())}\n")


def _append(path: str | None, text: str) -> None:
    if path:
        append(Path(path), text.encode())


def _console(environ: Mapping[str, str]) -> Console:
    console = open_console(environ, output="github")
    console.hide([environ.get("QARUNNER_ACTION_TOKEN", "")])
    return console


if __name__ == "__main__":
    main()
