"""Errors of a command that has a console of its own are shown through it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.errors import Unwritten, UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from qarunner.cli.console import Console


def guarded(console: Console, body: Callable[[], int], *, concludes: bool = False) -> int:
    """Runs a command. Its errors go through its console, with a last line where it `concludes`."""
    try:
        return int(body())
    except UserError as error:
        return failed(console, error, concludes=concludes)


def failed(console: Console, error: UserError, *, concludes: bool) -> int:
    """Tells an error; returns its exit code."""
    try:
        console.failure(error)
    except Unwritten as also:  # of stdout; what stands on stderr is all there is
        console.warn(f"qarunner: error: {also.message}")
    if concludes:
        console.stopped(error)
    return int(error.code)
