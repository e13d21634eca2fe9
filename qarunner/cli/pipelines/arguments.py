"""An action's inputs become the program's arguments; an input that would do nothing is an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.app.options import options_of
from qarunner.cli.main import COMMANDS
from qarunner.diagnostics import choose
from qarunner.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qarunner.app.options import Field

POSITIONAL = {
    "apply": "file",
    "plan": "file",
    "validate": "file",
    "diff": "base",
    "resume": "run-id",
    "cancel": "run-id",
}
"""The commands that an action can give, each with the input that stands without a dash."""


def arguments(command: str, inputs: Mapping[str, str]) -> list[str]:
    """The command line for a command. `inputs` are the options' texts by their names without dashes.

    An input of several lines is an option given several times; `args` is one further argument a line. UserError names
    every input that the command does not take.
    """
    if command not in POSITIONAL:
        raise UserError(f"command: unknown command {command!r}", hint=choose(command, tuple(POSITIONAL)))
    given = {name: text.strip() for name, text in inputs.items() if text.strip()}
    positional, further = given.pop(POSITIONAL[command], None), given.pop("args", "")
    known = _options(command)
    stray = sorted(name for name in given if name not in known and not _is_off(given[name]))
    if stray:
        raise UserError(
            f"{command} takes no input {', '.join(map(repr, stray))}",
            hint="leave it out, or see `qarunner " + command + " --help`",
        )
    found = [command]
    for name, text in given.items():
        if name in known:
            found += _option(known[name], name, text)
    found += _lines(further)
    return [*found, *(["--", positional] if positional else [])]


def _options(command: str) -> dict[str, Field]:
    """The options of a command by their names without dashes."""
    found = options_of(COMMANDS[command].options)
    return {each.option.name.removeprefix("--"): each for each in found if each.option.name}


def _option(field: Field, name: str, text: str) -> Iterator[str]:
    if field.kind is bool:
        if _is_on(name, text):
            yield f"--{name}"
    elif field.many:
        for line in _lines(text):
            yield f"--{name}={line}"
    else:
        yield f"--{name}={text}"


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _is_off(text: str) -> bool:
    return text.lower() == "false"


def _is_on(name: str, text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise UserError(f"{name}: expected true or false, got {text!r}")
    return not _is_off(text)
