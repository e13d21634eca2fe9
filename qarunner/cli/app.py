"""The commands, wired: each signature stands here, each body is imported when it is called."""

from __future__ import annotations

import errno
import gc
import os
import sys
from typing import Annotated, cast

import typer

from qarunner import __version__
from qarunner.cli import options as opt
from qarunner.cli import run_commands, writing_commands
from qarunner.cli.guard import failed, guarded
from qarunner.errors import ExitCode, UserError

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
    files: opt.Manifests = None, output: opt.Output = "text", quiet: opt.Quiet = False, no_color: opt.NoColor = False
) -> int:
    """Check manifests: schema, templates, what vendors can do. Offline; no variable needs to be set."""
    from datetime import UTC, datetime

    from qarunner.cli import checking
    from qarunner.cli.console import open_console

    console = open_console(os.environ, output=output, quiet=quiet, no_color=no_color)
    return checking.validate(console, files or (), datetime.now(UTC).date())


@app.command()
def plan(
    file: opt.Manifest = None,
    profile: opt.Profile = None,
    select: opt.Select = None,
    changed_since: opt.ChangedSince = None,
    shard: opt.ShardOf = None,
    rerun_failed: opt.RerunFailed = None,
    var: opt.Var = None,
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
    from qarunner.cli import planning
    from qarunner.cli.console import open_console

    console = open_console(os.environ, verbose=verbose, no_color=no_color)
    given = planning.given(
        file,
        profile=profile,
        select=select,
        var=var,
        env_file=env_file,
        allow_secret=allow_secret,
        max_tests=max_tests,
        changed_since=changed_since,
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
    from qarunner.cli import diffing
    from qarunner.cli.console import open_console

    console = open_console(os.environ, verbose=verbose, no_color=no_color)
    order = diffing.Order(
        base=base, file=file, profile=profile, select=tuple(select or ()), form=form, exit_code=exit_code, out=out
    )
    return guarded(console, lambda: diffing.diff(console, os.environ, order))


@app.command()
def apply(
    file: opt.Manifest = None,
    profile: opt.Profile = None,
    select: opt.Select = None,
    changed_since: opt.ChangedSince = None,
    shard: opt.ShardOf = None,
    rerun_failed: opt.RerunFailed = None,
    var: opt.Var = None,
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
    runs_dir: opt.RunsDir = opt.DEFAULT_RUNS,
    rehearse: opt.Rehearse = False,
    scenario: opt.Scenario = None,
    output: opt.Output = "text",
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
    no_color: opt.NoColor = False,
) -> int:
    """Plan, run, wait, report, gate. The exit code is the gate."""
    from qarunner.cli import applying, planning
    from qarunner.cli.console import open_console

    console = open_console(os.environ, output=output, quiet=quiet, verbose=verbose, no_color=no_color)
    given = planning.given(
        file,
        profile=profile,
        select=select,
        var=var,
        env_file=env_file,
        allow_secret=allow_secret,
        max_tests=max_tests,
        changed_since=changed_since,
        shard=shard,
        rerun_failed=rerun_failed,
        runs_dir=runs_dir,
        rehearse=rehearse,
    )
    order = applying.Order(
        reports=tuple(report or ()),
        timeout=timeout,
        poll_interval=poll_interval,
        on_interrupt=on_interrupt,
        run_id=run_id,
        runs_dir=runs_dir,
        fail_fast=fail_fast,
        detach=detach,
        rehearse=rehearse,
        scenario=scenario,
    )
    return guarded(console, lambda: applying.apply(console, os.environ, given, order), concludes=True)


@app.command()
def resume(
    run: opt.RunId = None,
    resubmit: opt.Resubmit = None,
    drop: opt.Drop = None,
    env_file: opt.EnvFile = None,
    allow_secret: opt.AllowSecret = None,
    report: opt.Report = None,
    timeout: opt.Timeout = None,
    poll_interval: opt.PollInterval = None,
    on_interrupt: opt.OnInterrupt = "cancel",
    runs_dir: opt.RunsDir = opt.DEFAULT_RUNS,
    output: opt.Output = "text",
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
    no_color: opt.NoColor = False,
) -> int:
    """Go on with an interrupted or detached apply, from its folder. No entry is started twice."""
    from qarunner.cli import applying
    from qarunner.cli.console import open_console

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
        ),
        concludes=True,
    )


@app.command()
def report(
    runs: opt.RunIds = None,
    merge: opt.Merge = False,
    form: opt.ReportForm = "json",
    out: opt.ReportOut = None,
    runs_dir: opt.RunsDir = opt.DEFAULT_RUNS,
) -> int:
    """Render a report again from a run's journal, or one of several runs. Offline."""
    from qarunner.cli import merging
    from qarunner.cli.console import open_console

    return merging.report(open_console(os.environ), runs_dir, runs or (), merge=merge, form=form, out=out)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def emulator(context: typer.Context) -> int:
    """Serve the emulated vendor APIs on loopback, with a fault script. See `emulator --help`."""
    from qarunner.cli.rehearsal import run_emulator

    return run_emulator(context.args)


writing_commands.register(app)
run_commands.register(app)


def main() -> None:
    """The program. Every way out has an exit code; a bug is the only one with a crash file."""
    # Start-up makes objects that live to the end: collecting every 700 of them finds nothing and costs 5 %.
    gc.set_threshold(50_000)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:  # noqa: PLR0911  one case a way out
    """Runs one command line and returns its exit code."""
    try:
        return _written(_run(arguments))
    except UserError as error:
        from qarunner.cli.console import open_console

        return failed(open_console(os.environ), error, concludes=_concludes(arguments))
    except SystemExit as error:  # argparse's own end
        return _written(error.code if isinstance(error.code, int) else int(ExitCode.OK))
    except KeyboardInterrupt:
        return _stopped(arguments, ExitCode.INTERRUPTED, "interrupted")
    except BrokenPipeError:
        # The reader of our output has gone; a second failure at the interpreter's exit would only add noise.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except Exception as error:  # noqa: BLE001  the last boundary: everything else is a bug of ours
        if isinstance(error, OSError) and error.errno in _FULL and error.filename is None:
            return _unwritten(error)
        from qarunner.cli.crash import report_crash

        return report_crash(error, os.environ)


def _written(code: int) -> int:
    """The code, unless stdout is lost and it would be 0. Said now: at its exit, the interpreter would make it 120."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        return code or _unwritten(error)
    return code


def _unwritten(error: OSError) -> int:
    from qarunner.cli.console import open_console, silence, unwritten

    silence(sys.stdout)
    if isinstance(error, BrokenPipeError):  # whoever closed the pipe wants no word of it either
        return _BROKEN_PIPE
    open_console(os.environ).failure(unwritten(error))
    return int(ExitCode.USAGE)


def _concludes(arguments: list[str]) -> bool:
    return arguments[:1] in (["apply"], ["resume"], ["cancel"])


def _stopped(arguments: list[str], code: ExitCode, why: str) -> int:
    """The last line of an apply that never came to its own."""
    if _concludes(arguments):
        from qarunner.cli.console import open_console

        # The line that was not understood may have asked for data on stdout, where no sentence belongs.
        as_data = "json" in arguments or "--output=json" in arguments
        open_console(os.environ, output="json" if as_data else "text").conclude(f"qarunner: exit {int(code)}: {why}")
    return int(code)


def _run(arguments: list[str]) -> int:
    try:
        result = app(args=arguments, prog_name="qarunner", standalone_mode=False)
    except typer.Abort:
        return _stopped(arguments, ExitCode.INTERRUPTED, "interrupted")
    except _CommandLineError as error:
        error.show()
        return _stopped(arguments, ExitCode.USAGE, error.format_message())
    return int(result) if isinstance(result, int) else int(ExitCode.OK)
