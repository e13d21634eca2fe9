"""The commands, wired: typer gets each signature from its options, and each body is imported when it is called."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import signal
import sys
import tempfile
import traceback
from dataclasses import dataclass
from importlib import import_module
from inspect import Parameter, Signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional, cast

import typer

from qarunner import __version__
from qarunner.app import options as opt
from qarunner.cli.console import open_console, silence, unwritten
from qarunner.errors import ExitCode, Unwritten, UserError, code_of_signal
from qarunner.paths import runs_folder, working_folder, write_whole
from qarunner.secret import Scrubber, mask
from qarunner.signals import Interruption
from qarunner.text import inert, inert_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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


def error_boundary(console: Console, body: Callable[[], int], *, concludes: bool = False) -> int:
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

# The commands: what each is called, what it takes, and where its body is, which is imported when it is called.


@dataclass(frozen=True, slots=True)
class Command:
    """`body` is `module:function` in `cli/commands/`. `concludes`: the last line says the exit code and why."""

    options: type[opt.Shown]
    body: str
    help: str
    concludes: bool = False


COMMANDS: Mapping[str, Command] = {
    "init": Command(
        opt.InitOptions,
        "authoring:init",
        "Write a first qa-matrix.yml for the chosen vendors, with its schema for editors.",
    ),
    "validate": Command(
        opt.ValidateOptions,
        "validate:validate",
        "Check manifests: schema, templates, what vendors can do. Offline; no variable needs to be set.",
    ),
    "plan": Command(
        opt.ShowOptions,
        "plan:show_plan",
        "Show every request that apply would send, secrets masked. Nothing is sent.",
    ),
    "diff": Command(
        opt.DiffOptions,
        "review:diff",
        "Show what changed in the expanded matrix since another revision, and why. Offline.",
    ),
    "explain": Command(
        opt.ExplainOptions,
        "authoring:explain",
        "Explain an entry (where its values come from, whether it runs, what it sends), or an error's code. Offline.",
    ),
    "apply": Command(
        opt.ApplyOptions,
        "apply:apply",
        "Plan, run, wait, report, gate. The exit code is the gate.",
        concludes=True,
    ),
    "resume": Command(
        opt.ResumeOptions,
        "apply:resume",
        "Go on with an interrupted or detached apply, from its folder. No entry is started twice.",
        concludes=True,
    ),
    "cancel": Command(
        opt.CancelOptions,
        "apply:cancel",
        "Cancel at the vendors what a run still has there, from its folder. Nothing of it begins any more.",
        concludes=True,
    ),
    "status": Command(
        opt.StatusOptions,
        "runs:status",
        "Show where a run stands, from its journal: also while another process drives it. Offline.",
    ),
    "runs": Command(
        opt.RunsOptions, "runs:runs", "List the newest runs that are kept here, or remove old finished ones. Offline."
    ),
    "history": Command(
        opt.HistoryOptions,
        "history:history",
        "Show how entries and tests did over the stored runs: flaky, failing, how long. Offline.",
    ),
    "report": Command(
        opt.ReportOptions,
        "runs:report",
        "Render a report again from a run's journal, or one of several runs. Offline.",
    ),
    "vendors": Command(
        opt.VendorsOptions, "validate:vendors", "Show what each vendor can do: the table that the check uses."
    ),
    "emulator": Command(
        opt.EmulatorOptions,
        "authoring:emulator",
        "Serve the emulated vendor APIs on loopback, with a fault script. Prints the environment that leads to them.",
    ),
    "schema": Command(
        opt.SchemaOptions, "authoring:schema", "Print the JSON Schema of the manifest, for editors and other tools."
    ),
}


def _console_of(options: opt.Shown) -> Console:
    return open_console(
        os.environ,
        output=getattr(options, "output", None),
        quiet=options.quiet,
        verbose=options.verbose,
        color="never" if options.no_color else options.color,
    )


def _typed(command: Command) -> Callable[..., int]:
    """A command as a function whose signature has its options, for typer to read."""

    def call(**values: object) -> int:
        given: dict[str, Any] = {each.key: _value(each, values[each.key]) for each in opt.options_of(command.options)}
        if "runs_dir" in given and not values["runs_dir"]:
            given["runs_dir"] = runs_folder(None, given.get("file"), os.environ)
        options = command.options(**given)
        module, _, name = command.body.partition(":")
        body = getattr(import_module(f"qarunner.cli.commands.{module}"), name)
        console = _console_of(options)
        return error_boundary(console, lambda: body(console, os.environ, options), concludes=command.concludes)

    call.__signature__ = Signature([_parameter(each) for each in opt.options_of(command.options)])  # type: ignore[attr-defined]
    return call


def _parameter(field: opt.Field) -> Parameter:
    """An option that takes one value is read as a list, so that a second one is noticed."""
    option, kind, default = field.option, field.kind, field.default
    if option.name:
        names = (option.short, option.name) if option.short else (option.name,)
        metavar = None if kind is bool else option.metavar
        mark: object = typer.Option(*names, metavar=metavar, help=option.help, min=option.minimum)
    else:
        mark = typer.Argument(metavar=option.metavar, help=option.help, show_default=False)
    if field.required:
        return Parameter(field.key, Parameter.KEYWORD_ONLY, annotation=Annotated[kind, mark])
    if kind is not bool and (option.name or field.many):
        kind = list[kind]  # type: ignore[valid-type]
        default = [default] if default and not field.many else None
    return Parameter(field.key, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[Optional[kind], mark])  # noqa: UP045  typer reads it


def _value(field: opt.Field, given: object) -> object:
    """What a field gets. UserError for an option that is given twice and takes one value."""
    if not isinstance(given, (list, tuple)):
        return field.default if given is None else given
    if field.many:
        return tuple(given)
    if len(given) > 1:
        words = " and ".join(repr(str(each)) for each in given)
        raise UserError(f"{field.option.name}: takes one value, got {words}", hint="give it once")
    return given[0] if given else field.default


def _after_its_name(words: list[str]) -> list[str]:
    """What every command knows may stand before its name as well: `qarunner --no-color status`."""
    general = {name: each for each in opt.options_of(opt.Shown) for name in (each.option.name, each.option.short)}
    end = 0
    while end < len(words) and (found := general.get(words[end].partition("=")[0])) is not None:
        end += 1 if found.kind is bool or "=" in words[end] else 2
    return [*words[end : end + 1], *words[:end], *words[end + 1 :]]


# Since 0.26 typer brings a copy of click: the exceptions of click are not always the ones that typer raises.
_CommandLineError = cast(
    "type[typer.BadParameter]", next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
)


_FULL = frozenset({errno.ENOSPC, errno.EIO, errno.EFBIG})


_BROKEN_PIPE = 141  # as a shell reports a process that wrote to a closed pipe; above all, not 0


def _version(wanted: bool) -> None:  # noqa: FBT001  typer calls it so
    if wanted:
        typer.echo(f"qarunner {__version__}")
        raise typer.Exit


def _root(**_: object) -> None:
    """What stands before a command's name: `--version` has answered, and the rest is read with the command."""


_VERSION = Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")]
_root.__signature__ = Signature(  # type: ignore[attr-defined]
    [
        Parameter("version", Parameter.KEYWORD_ONLY, default=False, annotation=_VERSION),
        *(_parameter(each) for each in opt.options_of(opt.Shown)),
    ]
)


def _app(wanted: str | None) -> typer.Typer:
    """The program with the one command that is asked for; without one, with the names of all, for help."""
    app = typer.Typer(
        name="qarunner",
        help="One committed test matrix for every QA vendor: validate, plan, apply, gate.",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for name, command in COMMANDS.items():
        if wanted == name or wanted not in COMMANDS:
            app.command(name, help=command.help)(_typed(command) if wanted == name else _nothing)
    return app


def _nothing() -> None:
    """Stands for a command that is only listed."""


def main() -> None:
    """The program. Every way out has an exit code; a bug is the only one with a crash file."""
    # Start-up makes objects that live to the end: collecting every 700 of them finds nothing and costs 5 %.
    gc.set_threshold(50_000)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs one command line and returns its exit code, which no stream that is closed or full changes later."""
    return _written(_run(_after_its_name(arguments)))


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
    if isinstance(error, BrokenPipeError):  # the reader who closed the pipe wants no message either
        return _BROKEN_PIPE
    open_console(os.environ).failure(unwritten(error))
    return int(ExitCode.USAGE)


def _concludes(arguments: list[str]) -> bool:
    command = COMMANDS.get(arguments[0]) if arguments else None
    return command is not None and command.concludes


def _interrupted(arguments: list[str], cause: BaseException | None) -> int:
    """A signal, or the keyboard of a question, ended the program before anything was under way."""
    number = cause.number if isinstance(cause, Interruption) else signal.SIGINT
    return _stopped(arguments, code_of_signal(number), "interrupted")


def _stopped(arguments: list[str], code: ExitCode, why: str) -> int:
    """The last line of an apply that ended before it could print one."""
    if _concludes(arguments):
        # The line that was not understood may have asked for data on stdout, where no sentence belongs.
        as_data = "json" in arguments or "--output=json" in arguments
        open_console(os.environ, output="json" if as_data else None).conclude(f"qarunner: exit {int(code)}: {why}")
    return int(code)


def _called(arguments: list[str]) -> int:
    try:
        program = typer.main.get_command(_app(arguments[0] if arguments else None))
        result = program(args=arguments, prog_name="qarunner", standalone_mode=False)
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
