"""`completion`: the script with which a shell completes command lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.cli.completion import SCRIPTS
from qarunner.diagnostics import choose
from qarunner.errors import ExitCode, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qarunner.app.options import CompletionOptions
    from qarunner.cli.console import Console


def completion(console: Console, _: Mapping[str, str], options: CompletionOptions) -> ExitCode:
    if options.shell not in SCRIPTS:
        raise UserError(f"there is no script for {options.shell!r}", hint=choose(options.shell, tuple(SCRIPTS)))
    console.document(SCRIPTS[options.shell])
    return ExitCode.OK
