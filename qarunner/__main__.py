"""The program's first line, also as `python -m qarunner`: signals are handled before what takes time is imported."""

from __future__ import annotations

import gc
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

try:
    _HERE = os.getcwd()  # noqa: PTH109  before anything else is imported
except OSError:  # a folder that is gone is said later, in words
    _HERE = ""
if not sys.flags.safe_path and sys.path[:1] in ([""], [_HERE]):
    del sys.path[0]  # `-m` puts the working directory first: a checkout, whose files must not be imported


def main() -> None:
    """Runs the command line and ends with its exit code."""
    if sys.argv[1:] == ["--version"] and _prints_version():
        return
    # What a start makes lives to the end: to look through it meanwhile, and at the exit again, took a quarter.
    gc.set_threshold(50_000)
    # An early signal ends what has nothing under way; a resume has runs, and cancels them.
    words = zip(sys.argv, sys.argv[1:], strict=False)
    command = next((word for before, word in words if word[:1] != "-" and before != "--color"), "")
    try:
        from qarunner.signals import PROCESS  # noqa: PLC0415  four times as long as Python itself takes
    except KeyboardInterrupt as error:  # Python's own handler, which stands until ours do
        _end(error)
    with PROCESS.standing(kept=command == "resume"):
        try:
            from qarunner.cli.main import main as program  # noqa: PLC0415  it takes a quarter of a second

            program()
        except KeyboardInterrupt as error:
            _end(error)
        finally:
            gc.freeze()


def _end(interruption: KeyboardInterrupt) -> NoReturn:
    sys.stderr.write("qarunner: interrupted\n")
    sys.exit(128 + getattr(interruption, "number", 2))


def _prints_version() -> bool:
    """What scripts ask for takes no longer than Python itself. False if stdout takes nothing: the program says so."""
    from qarunner import __version__  # noqa: PLC0415  everything else needs the signals first

    try:
        sys.stdout.write(f"qarunner {__version__}\n")
        sys.stdout.flush()
    except (OSError, AttributeError):
        return False
    return True


if __name__ == "__main__":
    main()
