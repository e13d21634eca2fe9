"""The commands for whoever writes a manifest: each signature stands here, each body is imported when called."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from qarunner.cli import options as opt
from qarunner.cli.guard import guarded
from qarunner.errors import ExitCode

if TYPE_CHECKING:
    import typer


def register(app: typer.Typer) -> None:
    """Adds the commands to the program's."""
    app.command()(init)
    app.command()(explain)
    app.command()(schema)
    app.command()(vendors)


def init(vendor: opt.Starters = None, quiet: opt.Quiet = False, no_color: opt.NoColor = False) -> int:
    """Write a first qa-matrix.yml for the chosen vendors, with its schema for editors."""
    from pathlib import Path

    from qarunner.cli import starting
    from qarunner.cli.console import open_console

    console = open_console(os.environ, quiet=quiet, no_color=no_color)
    return guarded(console, lambda: starting.init(console, Path(), vendor or ()))


def explain(
    word: opt.Explained,
    file: opt.Manifest = None,
    profile: opt.Profile = None,
    select: opt.Select = None,
    changed_since: opt.ChangedSince = None,
    rerun_failed: opt.RerunFailed = None,
    runs_dir: opt.RunsDir = opt.DEFAULT_RUNS,
    var: opt.Var = None,
    env_file: opt.EnvFile = None,
    output: opt.Output = "text",
    no_color: opt.NoColor = False,
) -> int:
    """Explain an entry (where its values come from, whether it runs, what it sends), or an error's code. Offline."""
    from qarunner.cli import explaining, planning
    from qarunner.cli.console import open_console

    console = open_console(os.environ, output=output, no_color=no_color)
    given = planning.given(
        file,
        profile=profile,
        select=select,
        var=var,
        env_file=env_file,
        allow_secret=None,
        changed_since=changed_since,
        rerun_failed=rerun_failed,
        runs_dir=runs_dir,
    )
    return guarded(console, lambda: explaining.explain(console, os.environ, word, given))


def schema(plain: opt.PlainSchema = False) -> int:
    """Print the JSON Schema of the manifest, for editors and other tools."""
    from qarunner.cli.console import open_console
    from qarunner.manifest import published

    text = published.plain() if plain else published.for_editors()
    open_console(os.environ).result(text.removesuffix("\n"))
    return ExitCode.OK


def vendors(
    name: opt.VendorName = None,
    output: opt.Output = "text",
) -> int:
    """Show what each vendor can do: the table that the check uses."""
    from qarunner.cli import checking
    from qarunner.cli.console import open_console

    return checking.vendors(open_console(os.environ, output=output), name)
