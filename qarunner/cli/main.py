"""The commands, wired: each signature stands here, each body is imported when it is called."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import signal
import sys
import tempfile
import traceback
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from qarunner import __version__
from qarunner.cli import options as opt
from qarunner.cli.console import open_console, silence, unwritten
from qarunner.errors import ExitCode, Unwritten, UserError, code_of_signal
from qarunner.paths import working_folder, write_whole
from qarunner.secret import Scrubber, mask
from qarunner.signals import Interruption
from qarunner.text import inert, inert_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from qarunner.cli.console import Console
    from qarunner.text import Clean


# ---------------------------------------------------------------------------------------------------------------------

# A bug: said plainly, with a file to send that holds no secret.


FOLDER = Path(".qarunner")


def report_crash(error: BaseException, environ: Mapping[str, str], clean: Clean = mask) -> int:
    """Writes the crash file and says where it is; exit 9. `clean` takes out the secrets that were known by then."""
    scrub = Scrubber({name: _text(value) for name, value in environ.items() if _may_be_secret(name, value)})
    trace = "".join(traceback.format_exception(error))
    whole = _text(f"qarunner {__version__}, Python {sys.version}\n{sys.platform}\n\n{trace}")
    text = inert_lines(clean(mask(scrub(whole))))
    path = _write(text)
    told = inert(clean(mask(scrub(_text(f"{type(error).__name__}: {error}")))))
    lines = (
        f"qarunner: a bug in qarunner: {told}",
        f"  details, without secrets: {path}" if path else text,
        "  if an apply was under way: qarunner resume goes on where it stopped",
        f"qarunner: exit {int(ExitCode.BUG)}: a bug in qarunner",
    )
    # Without a stderr, the exit code and the file still tell.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write("\n".join(lines) + "\n")
    return int(ExitCode.BUG)


def _text(text: str) -> str:
    """A variable need not be UTF-8; neither need be what a bug's message repeats of it."""
    return text.encode("utf-8", "backslashreplace").decode()


def _may_be_secret(name: str, value: str) -> bool:
    from qarunner.manifest.templates.env import (
        named_like_secret,
        shaped_like_secret,
    )

    return named_like_secret(name) or shaped_like_secret(value)


def _write(text: str) -> Path | None:
    data = text.encode()
    with contextlib.suppress(OSError):
        path = FOLDER / "crash.txt"
        write_whole(path, data, private=True)
        return path
    with contextlib.suppress(OSError), tempfile.NamedTemporaryFile(prefix="qarunner-crash-", delete=False) as file:
        file.write(data)
        return Path(file.name)
    return None


# ---------------------------------------------------------------------------------------------------------------------

# Errors of a command that has a console of its own are shown through it.


def guarded(console: Console, body: Callable[[], int], *, concludes: bool = False) -> int:
    """Runs a command. Its errors go through its console, with a last line where it `concludes`."""
    try:
        working_folder()
        return int(body())
    except UserError as error:
        return failed(console, error, concludes=concludes)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001  a bug of ours; what the console hides, the crash file hides
        return report_crash(error, os.environ, console.clean)


def failed(console: Console, error: UserError, *, concludes: bool) -> int:
    """Tells an error; returns its exit code."""
    try:
        console.failure(error)
    except Unwritten as also:  # of stdout; what stands on stderr is all there is
        console.warn(f"qarunner: error: {also.message}")
    if concludes:
        console.stopped(error)
    return int(error.code)


# ---------------------------------------------------------------------------------------------------------------------

# The commands about runs that are there already: each signature stands here, each body is imported when called.


def register_run_commands(app: typer.Typer) -> None:
    """Adds the commands to the program's."""
    app.command()(cancel)
    app.command()(status)
    app.command()(runs)


def cancel(
    run: opt.RunId = None,
    env_file: opt.EnvFile = None,
    allow_secret: opt.AllowSecret = None,
    runs_dir: opt.RunsDir = opt.DEFAULT_RUNS,
    output: opt.Output = None,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
    no_color: opt.NoColor = False,
) -> int:
    """Cancel at the vendors what a run still has there, from its folder. Nothing of it begins any more."""
    from qarunner.cli.commands import apply as cancelling

    console = open_console(os.environ, output=output, quiet=quiet, verbose=verbose, no_color=no_color)

    def body() -> int:
        from qarunner.app.session import Settings

        files, allow = tuple(env_file or ()), tuple(allow_secret or ())
        settings = Settings(environ=os.environ, runs_dir=runs_dir, env_files=files, allow=allow)
        return cancelling.cancel(console, settings, run)

    return guarded(console, body, concludes=True)


def status(
    run: opt.RunId = None,
    runs_dir: opt.RunsDir = opt.DEFAULT_RUNS,
    output: opt.Output = None,
    no_color: opt.NoColor = False,
) -> int:
    """Show where a run stands, from its journal: also while another process drives it. Offline."""
    from qarunner.cli.commands import runs as standing

    console = open_console(os.environ, output=output, no_color=no_color)
    return guarded(console, lambda: standing.status(console, os.environ, runs_dir, run))


def runs(
    every: opt.AllRuns = False,
    limit: opt.Limit = None,
    prune: opt.Prune = False,
    keep: opt.Keep = None,
    runs_dir: opt.RunsDir = opt.DEFAULT_RUNS,
    output: opt.Output = None,
    no_color: opt.NoColor = False,
) -> int:
    """List the newest runs that are kept here, or remove old finished ones. Offline."""
    from qarunner.cli.commands import runs as standing

    console = open_console(os.environ, output=output, no_color=no_color)

    def body() -> int:
        if every and limit is not None:
            raise UserError("--all does not go with --limit", hint="--all shows every run")
        if prune is (keep is None):
            raise UserError("--prune and --keep go together", hint="qarunner runs --prune --keep 100")
        if keep is not None:
            return standing.prune(console, os.environ, runs_dir, keep)
        return standing.runs(console, runs_dir, None if every else limit or standing.SHOWN_RUNS)

    return guarded(console, body)


# ---------------------------------------------------------------------------------------------------------------------

# The commands for whoever writes a manifest: each signature stands here, each body is imported when called.


def register_writing_commands(app: typer.Typer) -> None:
    """Adds the commands to the program's."""
    app.command()(init)
    app.command()(explain)
    app.command()(schema)
    app.command()(vendors)


def init(vendor: opt.Starters = None, quiet: opt.Quiet = False, no_color: opt.NoColor = False) -> int:
    """Write a first qa-matrix.yml for the chosen vendors, with its schema for editors."""
    from pathlib import Path

    from qarunner.cli.commands import authoring as starting

    console = open_console(os.environ, quiet=quiet, no_color=no_color)
    return guarded(console, lambda: starting.init(console, Path(), vendor or ()))


def explain(
    word: opt.Explained,
    file: opt.Manifest = None,
    profile: opt.Profile = None,
    select: opt.Select = None,
    changed_since: opt.ChangedSince = None,
    branch: opt.Branch = None,
    tag: opt.Tag = None,
    rerun_failed: opt.RerunFailed = None,
    runs_dir: opt.RunsDir = opt.DEFAULT_RUNS,
    var: opt.Var = None,
    var_file: opt.VarFile = None,
    env: opt.Env = None,
    env_file: opt.EnvFile = None,
    allow_secret: opt.AllowSecret = None,
    output: opt.Output = None,
    no_color: opt.NoColor = False,
) -> int:
    """Explain an entry (where its values come from, whether it runs, what it sends), or an error's code. Offline."""
    from qarunner.cli.commands import authoring as explaining
    from qarunner.cli.commands import plan as planning

    console = open_console(os.environ, output=output, no_color=no_color)
    given = planning.given(
        file,
        (var, var_file, env, env_file, allow_secret),
        profile=profile,
        select=select,
        changed_since=changed_since,
        branch=branch,
        tag=tag,
        rerun_failed=rerun_failed,
        runs_dir=runs_dir,
    )
    return guarded(console, lambda: explaining.explain(console, os.environ, word, given))


def schema(plain: opt.PlainSchema = False) -> int:
    """Print the JSON Schema of the manifest, for editors and other tools."""
    from qarunner.manifest.schema import validate as published

    text = published.plain() if plain else published.for_editors()
    open_console(os.environ).json(text)
    return ExitCode.OK


def vendors(
    name: opt.VendorName = None,
    output: opt.Output = None,
) -> int:
    """Show what each vendor can do: the table that the check uses."""
    from qarunner.cli.commands import validate as checking

    return checking.vendors(open_console(os.environ, output=output), name)


app = typer.Typer(
    name="qarunner",
    help="One committed test matrix for every QA vendor: validate, plan, apply, gate.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


# Typer brings a copy of click of its own since 0.26, so that click's exceptions are not always the ones it raises.
_CommandLineError = cast(
    "type[typer.BadParameter]", next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
)


_FULL = frozenset({errno.ENOSPC, errno.EIO, errno.EFBIG})


_BROKEN_PIPE = 141  # as a shell reports a process that wrote to a closed pipe; above all, not 0


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"qarunner {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def validate(
    files: opt.Manifests = None, output: opt.Output = None, quiet: opt.Quiet = False, no_color: opt.NoColor = False
) -> int:
    """Check manifests: schema, templates, what vendors can do. Offline; no variable needs to be set."""
    from datetime import UTC, datetime

    from qarunner.cli.commands import validate as checking

    console = open_console(os.environ, output=output, quiet=quiet, no_color=no_color)
    today = datetime.now(UTC).date()
    return guarded(console, lambda: checking.validate(console, files or (), today, os.environ))


@app.command()
def plan(
    file: opt.Manifest = None,
    profile: opt.Profile = None,
    select: opt.Select = None,
    changed_since: opt.ChangedSince = None,
    branch: opt.Branch = None,
    tag: opt.Tag = None,
    shard: opt.ShardOf = None,
    rerun_failed: opt.RerunFailed = None,
    var: opt.Var = None,
    var_file: opt.VarFile = None,
    env: opt.Env = None,
    env_file: opt.EnvFile = None,
    allow_secret: opt.AllowSecret = None,
    max_tests: opt.MaxTests = None,
    runs_dir: opt.RunsDir = opt.DEFAULT_RUNS,
    out: opt.PlanOut = None,
    form: opt.PlanForm = "text",
    shards: opt.Shards = None,
    exit_code: opt.PlanExitCode = False,
    verbose: opt.Verbose = False,
    no_color: opt.NoColor = False,
) -> int:
    """Show every request that apply would send, secrets masked. Nothing is sent."""
    from qarunner.cli.commands import plan as planning

    console = open_console(os.environ, verbose=verbose, no_color=no_color)
    given = planning.given(
        file,
        (var, var_file, env, env_file, allow_secret),
        profile=profile,
        select=select,
        max_tests=max_tests,
        changed_since=changed_since,
        branch=branch,
        tag=tag,
        shard=shard,
        rerun_failed=rerun_failed,
        runs_dir=runs_dir,
    )
    showing = planning.Showing(form=form, out=out, shards=shards, exit_code=exit_code)
    return guarded(console, lambda: planning.show_plan(console, os.environ, given, showing))


@app.command()
def diff(
    base: opt.DiffBase = None,
    file: opt.DiffFile = None,
    profile: opt.Profile = None,
    select: opt.Select = None,
    form: opt.DiffForm = "text",
    out: opt.ReportOut = None,
    exit_code: opt.WithExitCode = False,
    verbose: opt.Verbose = False,
    no_color: opt.NoColor = False,
) -> int:
    """Show what changed in the expanded matrix since another revision, and why. Offline."""
    from qarunner.cli.commands import review as diffing

    console = open_console(os.environ, verbose=verbose, no_color=no_color)
    order = diffing.Order(
        base=base, file=file, profile=profile, select=tuple(select or ()), form=form, exit_code=exit_code, out=out
    )
    return guarded(console, lambda: diffing.diff(console, os.environ, order))


def _given(options: Mapping[str, Any], kind: type[Any], *, without: Collection[str] = ()) -> dict[str, Any]:
    """The options that a dataclass has a field for, by its name."""
    names = {field.name for field in fields(kind)} - set(without)
    return {name: value for name, value in options.items() if name in names}


@app.command()
def apply(
    file: opt.Manifest = None,
    profile: opt.Profile = None,
    select: opt.Select = None,
    changed_since: opt.ChangedSince = None,
    branch: opt.Branch = None,
    tag: opt.Tag = None,
    shard: opt.ShardOf = None,
    rerun_failed: opt.RerunFailed = None,
    var: opt.Var = None,
    var_file: opt.VarFile = None,
    env: opt.Env = None,
    env_file: opt.EnvFile = None,
    allow_secret: opt.AllowSecret = None,
    report: opt.Report = None,
    timeout: opt.Timeout = None,
    poll_interval: opt.PollInterval = None,
    max_tests: opt.MaxTests = None,
    fail_fast: opt.FailFast = False,
    detach: opt.Detach = False,
    on_interrupt: opt.OnInterrupt = "cancel",
    run_id: opt.NewRunId = None,
    continues: opt.Continue = False,
    runs_dir: opt.RunsDir = opt.DEFAULT_RUNS,
    unsealed: opt.Unsealed = False,
    rehearse: opt.Rehearse = False,
    scenario: opt.Scenario = None,
    output: opt.Output = None,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
    no_color: opt.NoColor = False,
) -> int:
    """Plan, run, wait, report, gate. The exit code is the gate."""
    options = dict(locals())
    from qarunner.cli.commands import apply as applying
    from qarunner.cli.commands import plan as planning

    console = open_console(os.environ, output=output, quiet=quiet, verbose=verbose, no_color=no_color)
    choosing = _given(options, planning.Given, without={"file", *planning.VALUE_WORDS})
    given = planning.given(file, (var, var_file, env, env_file, allow_secret), **choosing)
    order = applying.Order(reports=tuple(report or ()), **_given(options, applying.Order))
    return guarded(console, lambda: applying.apply(console, os.environ, given, order), concludes=True)


@app.command()
def resume(
    run: opt.RunId = None,
    resubmit: opt.Resubmit = None,
    drop: opt.Drop = None,
    unsealed: opt.Unsealed = False,
    env_file: opt.EnvFile = None,
    allow_secret: opt.AllowSecret = None,
    report: opt.Report = None,
    timeout: opt.Timeout = None,
    poll_interval: opt.PollInterval = None,
    on_interrupt: opt.OnInterrupt = "cancel",
    runs_dir: opt.RunsDir = opt.DEFAULT_RUNS,
    output: opt.Output = None,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
    no_color: opt.NoColor = False,
) -> int:
    """Go on with an interrupted or detached apply, from its folder. No entry is started twice."""
    from qarunner.cli.commands import apply as applying

    console = open_console(os.environ, output=output, quiet=quiet, verbose=verbose, no_color=no_color)
    order = applying.Order(
        reports=tuple(report or ()),
        timeout=timeout,
        poll_interval=poll_interval,
        on_interrupt=on_interrupt,
        run_id=run,
        runs_dir=runs_dir,
    )
    return guarded(
        console,
        lambda: applying.resume(
            console,
            os.environ,
            order,
            env_files=tuple(env_file or ()),
            allow=tuple(allow_secret or ()),
            resubmit=tuple(resubmit or ()),
            drop=tuple(drop or ()),
            unsealed=unsealed,
        ),
        concludes=True,
    )


@app.command()
def report(
    runs: opt.RunIds = None,
    merge: opt.Merge = False,
    form: opt.ReportForm = "json",
    out: opt.ReportOut = None,
    unsealed: opt.Unsealed = False,
    runs_dir: opt.RunsDir = opt.DEFAULT_RUNS,
) -> int:
    """Render a report again from a run's journal, or one of several runs. Offline."""
    from qarunner.cli.commands import runs as merging

    console = open_console(os.environ)
    order = merging.Order(runs=tuple(runs or ()), merge=merge, form=form, out=out, unsealed=unsealed, runs_dir=runs_dir)
    return guarded(console, lambda: merging.report(console, os.environ, order))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def emulator(context: typer.Context) -> int:
    """Serve the emulated vendor APIs on loopback, with a fault script. See `emulator --help`."""
    from qarunner.app.session import run_emulator

    return run_emulator(context.args)


register_writing_commands(app)


register_run_commands(app)


def main() -> None:
    """The program. Every way out has an exit code; a bug is the only one with a crash file."""
    # Start-up makes objects that live to the end: collecting every 700 of them finds nothing and costs 5 %.
    gc.set_threshold(50_000)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs one command line and returns its exit code, which no stream that is closed or full changes later."""
    return _written(_run(arguments))


def _run(arguments: list[str]) -> int:  # noqa: PLR0911  one case a way out
    """Every way out of a command."""
    try:
        return _called(arguments)
    except UserError as error:
        return failed(open_console(os.environ), error, concludes=_concludes(arguments))
    except SystemExit as error:  # argparse's own end
        return error.code if isinstance(error.code, int) else int(ExitCode.OK)
    except KeyboardInterrupt as error:
        return _interrupted(arguments, error)
    except BrokenPipeError:
        return _BROKEN_PIPE
    except Exception as error:  # noqa: BLE001  the last boundary: everything else is a bug of ours
        if isinstance(error, OSError) and error.errno in _FULL and error.filename is None:
            return _unwritten(error)

        return report_crash(error, os.environ)


def _written(code: int) -> int:
    """The code, unless stdout is lost and it would be 0.

    The interpreter flushes both streams when it exits, and its code is 120 where one of them fails. So they are
    flushed here, and what cannot be written goes nowhere.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError as error:
            if stream is sys.stdout and not code:
                code = _unwritten(error)
            silence(stream)
    return code


def _unwritten(error: OSError) -> int:
    """The code of a command whose result stdout did not take."""
    silence(sys.stdout)
    if isinstance(error, BrokenPipeError):  # whoever closed the pipe wants no word of it either
        return _BROKEN_PIPE
    open_console(os.environ).failure(unwritten(error))
    return int(ExitCode.USAGE)


def _concludes(arguments: list[str]) -> bool:
    return arguments[:1] in (["apply"], ["resume"], ["cancel"])


def _interrupted(arguments: list[str], cause: BaseException | None) -> int:
    """A signal, or the keyboard of a question, ended the program before anything was under way."""
    number = cause.number if isinstance(cause, Interruption) else signal.SIGINT
    return _stopped(arguments, code_of_signal(number), "interrupted")


def _stopped(arguments: list[str], code: ExitCode, why: str) -> int:
    """The last line of an apply that never came to its own."""
    if _concludes(arguments):
        # The line that was not understood may have asked for data on stdout, where no sentence belongs.
        as_data = "json" in arguments or "--output=json" in arguments
        open_console(os.environ, output="json" if as_data else None).conclude(f"qarunner: exit {int(code)}: {why}")
    return int(code)


@cache
def _command() -> Callable[..., object]:
    """All commands as typer builds them from their signatures."""
    return typer.main.get_command(app)


def _called(arguments: list[str]) -> int:
    try:
        result = _command()(args=arguments, prog_name="qarunner", standalone_mode=False)
    except typer.Abort as error:
        return _interrupted(arguments, error.__cause__)
    except _CommandLineError as error:
        with contextlib.suppress(OSError):  # the last line and the exit code still tell
            _show_misuse(error)
        return _stopped(arguments, ExitCode.USAGE, error.format_message())
    return int(result) if isinstance(result, int) else int(ExitCode.OK)


def _show_misuse(error: typer.BadParameter) -> None:
    """What is wrong with the command line, which may hold the names of files."""
    console = open_console(os.environ)
    message = error.format_message().splitlines()
    if type(error).__name__ == "NoArgsIsHelpError":  # its message is the help, and nothing is wrong
        lines = message
    else:
        usage = error.ctx.get_usage().splitlines() if error.ctx is not None else []
        lines = [*usage, *([f"Try '{error.ctx.command_path} --help' for help.", ""] if error.ctx is not None else [])]
        lines += [f"Error: {line}" for line in message]
    for line in lines:
        console.warn(line)
