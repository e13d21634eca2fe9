"""Every way in which qarunner stops: one class and one exit code for each."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from qarunner.diagnostics import Diagnostic


class ExitCode(IntEnum):
    """The exit codes that pipelines rely on."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOTHING = 3
    CREDENTIAL = 4
    STALE = 5
    BUDGET = 6
    TIMEOUT = 7
    NO_VERDICT = 8
    BUG = 9
    CHANGES = 10
    UNWRITTEN = 74
    UNAVAILABLE = 75
    HUNG_UP = 129
    INTERRUPTED = 130
    TERMINATED = 143


PRECEDENCE = (
    ExitCode.HUNG_UP,
    ExitCode.INTERRUPTED,
    ExitCode.TERMINATED,
    ExitCode.BUG,
    ExitCode.FAILED,
    ExitCode.CREDENTIAL,
    ExitCode.BUDGET,
    ExitCode.NO_VERDICT,
    ExitCode.TIMEOUT,
    ExitCode.UNAVAILABLE,
    ExitCode.NOTHING,
    ExitCode.UNWRITTEN,
)
"""Which code wins when several apply: a real failure is never hidden behind a lesser one."""


def decisive_code(codes: Collection[ExitCode], otherwise: ExitCode = ExitCode.OK) -> ExitCode:
    """The code that wins. `otherwise` is that of no code at all, and of codes that PRECEDENCE does not have."""
    return next((code for code in PRECEDENCE if code in codes), otherwise)


def code_of_signal(number: int) -> ExitCode:
    """That of an end by SIGHUP, SIGINT, or any other signal that ends a process."""
    return {1: ExitCode.HUNG_UP, 2: ExitCode.INTERRUPTED}.get(number, ExitCode.TERMINATED)


class UserError(Exception):
    """Something the user can put right: printed as one line plus a hint, never as a traceback.

    `details` are lines more, such as the rows that it is about.
    """

    code = ExitCode.USAGE

    def __init__(self, message: str, *, hint: str | None = None, details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = tuple(details)


class ManifestError(UserError):
    """The manifest has problems; all of them, each with its place."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        super().__init__(f"{len(diagnostics)} problems in the manifest")
        self.diagnostics = tuple(diagnostics)


class NothingSelected(UserError):  # noqa: N818  a state, not a fault: exit 3
    """No entry is left to run."""

    code = ExitCode.NOTHING


class OverBudget(UserError):  # noqa: N818  a state, not a fault: exit 6
    """The plan needs more tests than it may use; nothing was sent."""

    code = ExitCode.BUDGET


class StalePlan(UserError):  # noqa: N818  a state, not a fault: exit 5
    """A saved plan is not what a new one would be; nothing was sent."""

    code = ExitCode.STALE

    def __init__(self, path: str, differences: Sequence[str]) -> None:
        hint = f"look at the difference, then make it again: qarunner plan --out {path}"
        super().__init__(f"{path} is stale, nothing was sent: {'; '.join(differences)}", hint=hint)
        self.differences = tuple(differences)


class Unwritten(UserError):  # noqa: N818  a state, not a fault: never exit 0
    """The result cannot be read: stdout is closed or full."""


class RunFolderError(UserError):
    """A run's folder is missing, locked, unreadable or cannot be written."""


class RunInUse(RunFolderError):  # noqa: N818  a state, not a fault
    """Another process is at work on the run."""


class JournalLost(RunFolderError):  # noqa: N818  what has happened, as the other reasons to stop are named
    """The journal of a run under way cannot be written, or the file under its name is another one: exit 8.

    The event was not written, and each later append of this process raises the same error: a journal with a gap would
    say what is not true. Nothing may begin any more; what is known from here on stands on the screen alone.
    """

    code = ExitCode.NO_VERDICT
