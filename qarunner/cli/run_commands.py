"""The commands about runs that are there already: each signature stands here, each body is imported when called."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from qarunner.cli import options as opt
from qarunner.cli.guard import guarded

if TYPE_CHECKING:
    import typer


def register(app: typer.Typer) -> None:
    """Adds the commands to the program's."""
    app.command()(cancel)
    app.command()(status)
    app.command()(runs)


def cancel(
    run: opt.RunId = None,
    env_file: opt.EnvFile = None,
    allow_secret: opt.AllowSecret = None,
    runs_dir: opt.RunsDir = opt.DEFAULT_RUNS,
    output: opt.Output = "text",
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
    no_color: opt.NoColor = False,
) -> int:
    """Cancel at the vendors what a run still has there, from its folder. Nothing of it begins any more."""
    from qarunner.cli import cancelling, inputs
    from qarunner.cli.console import open_console

    console = open_console(os.environ, output=output, quiet=quiet, verbose=verbose, no_color=no_color)

    def body() -> int:
        from qarunner.cli.session import Settings

        files, allow = tuple(env_file or ()), tuple(allow_secret or ())
        environ = inputs.with_env_files(os.environ, files)
        settings = Settings(environ=environ, runs_dir=runs_dir, env_files=files, allow=allow)
        return cancelling.cancel(console, settings, run)

    return guarded(console, body, concludes=True)


def status(
    run: opt.RunId = None,
    runs_dir: opt.RunsDir = opt.DEFAULT_RUNS,
    output: opt.Output = "text",
    no_color: opt.NoColor = False,
) -> int:
    """Show where a run stands, from its journal: also while another process drives it. Offline."""
    from qarunner.cli import standing
    from qarunner.cli.console import open_console

    console = open_console(os.environ, output=output, no_color=no_color)
    return guarded(console, lambda: standing.status(console, runs_dir, run))


def runs(
    runs_dir: opt.RunsDir = opt.DEFAULT_RUNS,
    output: opt.Output = "text",
    no_color: opt.NoColor = False,
) -> int:
    """List the runs that are kept here, the newest first. Offline."""
    from qarunner.cli import standing
    from qarunner.cli.console import open_console

    console = open_console(os.environ, output=output, no_color=no_color)
    return guarded(console, lambda: standing.runs(console, runs_dir))
