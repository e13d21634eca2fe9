"""The program: from a command line to an exit code, whatever happens on the way."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qarunner import __version__
from qarunner.cli.command_line import COMMANDS, Command, after_its_name, misuse, overview, program
from qarunner.cli.console import Console, open_console, silence, unwritten
from qarunner.errors import ExitCode, Unwritten, UserError, code_of_signal
from qarunner.paths import working_folder, write_whole
from qarunner.secret import Scrubber, mask
from qarunner.signals import Interruption
from qarunner.text import Clean, inert, inert_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qarunner.app.options import Shown


# ---------------------------------------------------------------------------------------------------------------------

# A bug: said plainly, with a file to send that holds no secret.


FOLDER = Path(".qarunner")


def report_crash(error: BaseException, environ: Mapping[str, str], clean: Clean = mask) -> int:
    """Writes the crash file and says where it is; exit 9. `clean` takes out the secrets that were known by then."""
    import traceback

    scrub = Scrubber({name: _text(value) for name, value in environ.items() if _may_be_secret(name, value)})
    trace = "".join(traceback.format_exception(error))
    whole = _text(f"qarunner {__version__}, Python {sys.version}\n{sys.platform}\n\n{trace}")
    text = inert_lines(clean(mask(scrub(whole))))
    path = _write(text)
    message = inert(clean(mask(scrub(_text(f"{type(error).__name__}: {error}")))))
    lines = (
        f"qarunner: a bug in qarunner: {message}",
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
    from qarunner.manifest.templates.env import named_like_secret, shaped_like_secret

    return named_like_secret(name) or shaped_like_secret(value)


def _write(text: str) -> Path | None:
    import tempfile

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
        code = int(body())
    except UserError as error:
        return failed(console, error, concludes=concludes)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001  a bug of ours; what the console hides, the crash file hides
        return report_crash(error, os.environ, console.clean)
    if console.lost and not code:
        return int(ExitCode.UNWRITTEN if concludes else ExitCode.USAGE)
    return code


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

# The program: every way out has an exit code.


_FULL = frozenset({errno.ENOSPC, errno.EIO, errno.EFBIG})


_BROKEN_PIPE = 141  # as a shell reports a process that wrote to a closed pipe; above all, not 0


def main() -> None:
    """The program. Every way out has an exit code; a bug is the only one with a crash file."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs one command line and returns its exit code, which no stream that is closed or full changes later."""
    return _written(_run(after_its_name(arguments)))


def _run(arguments: list[str]) -> int:  # noqa: PLR0911  one case a way out
    """Every way out of a command."""
    try:
        return _called(arguments)
    except UserError as error:
        return failed(_console_of(arguments), error, concludes=_concludes(arguments))
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
        _console_of(arguments).conclude(f"qarunner: exit {int(code)}: {why}")
    return int(code)


def _console_of(arguments: list[str]) -> Console:
    """A line that was not understood may have asked for data on stdout, where no sentence belongs."""
    as_data = _concludes(arguments) and ("json" in arguments or "--output=json" in arguments)
    return open_console(os.environ, output="json" if as_data else None)


def _called(arguments: list[str]) -> int:
    if not arguments or arguments[0] in {"-h", "--help", "--version"}:
        return _answered(arguments[0] if arguments else "")
    if arguments[0] == "__complete":
        return _completed(arguments[1:])
    import typer

    try:
        result = program(arguments[0], _carried_out)(args=arguments, prog_name="qarunner", standalone_mode=False)
    except typer.Abort as error:
        return _interrupted(arguments, error.__cause__)
    except misuse() as error:
        with contextlib.suppress(OSError):  # the last line and the exit code still tell
            _show_misuse(error)
        return _stopped(arguments, ExitCode.USAGE, error.format_message())
    return int(result) if isinstance(result, int) else int(ExitCode.OK)


def _answered(word: str) -> int:
    """Help and version, without any command. A line of no words is a mistake, and gets the help on stderr."""
    console = open_console(os.environ)
    columns = console.columns if word else console.columns_of_log
    for line in [f"qarunner {__version__}"] if word == "--version" else overview(columns):
        console.result(line) if word else console.warn(line)
    return int(ExitCode.OK if word else ExitCode.USAGE)


def _completed(words: list[str]) -> int:
    """A shell asks what can stand next: it gets candidates or nothing, and never an error."""
    from qarunner.cli.completion import answer

    with contextlib.suppress(Exception):
        if completions := answer(words[0], words[1:], os.environ):
            open_console(os.environ).document(completions)
    return int(ExitCode.OK)


def _carried_out(command: Command, options: Shown) -> int:
    console = open_console(
        os.environ,
        output=getattr(options, "output", None),
        quiet=options.quiet,
        verbose=options.verbose,
        color="never" if options.no_color else options.color,
    )
    try:
        return error_boundary(console, lambda: command.call(console, os.environ, options), concludes=command.concludes)
    except KeyboardInterrupt as error:  # typer makes 130 of it, whichever signal it was
        code = code_of_signal(error.number if isinstance(error, Interruption) else signal.SIGINT)
        if command.concludes:
            console.conclude(f"qarunner: exit {int(code)}: interrupted")
        return int(code)


def _show_misuse(error: Any) -> None:  # noqa: ANN401  one of two classes of that name
    """What is wrong with the command line, which may hold the names of files."""
    console = open_console(os.environ)
    usage = error.ctx.get_usage().splitlines() if error.ctx is not None else []
    lines = [*usage, *([f"Try '{error.ctx.command_path} --help' for help.", ""] if error.ctx is not None else [])]
    for line in [*lines, *(f"Error: {line}" for line in error.format_message().splitlines())]:
        console.warn(line)
