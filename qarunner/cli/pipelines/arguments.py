"""The inputs of the action and of the component, as arguments of the program.

generate/pipeline_inputs.py writes them into both files. An input that would do nothing is an error.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from qarunner.app.options import Option, options_of
from qarunner.cli.command_line import COMMANDS
from qarunner.diagnostics import choose
from qarunner.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


POSITIONAL = {
    "apply": "file",
    "plan": "file",
    "validate": "file",
    "diff": "base",
    "resume": "run-id",
    "cancel": "run-id",
}
"""The commands that an action can give, each with the input that stands without a dash."""


def from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The inputs that are given, each from the variable that a step puts it into."""
    return {
        name.removeprefix("INPUT_").lower().replace("_", "-"): text
        for name, text in environ.items()
        if name.startswith("INPUT_") and text.strip()
    }


def arguments(command: str, inputs: Mapping[str, str], *, quoted: bool = False) -> list[str]:
    """The command line for a command. `inputs` are the options' texts by their names without dashes.

    An input of several lines is an option given several times; `args` is one further argument a line. With `quoted`
    they are words as in a shell. UserError names every input that the command does not take.
    """
    if command not in POSITIONAL:
        raise UserError(f"command: unknown command {command!r}", hint=choose(command, tuple(POSITIONAL)))
    filled = {name: text.strip() for name, text in inputs.items() if text.strip()}
    positional, further = filled.pop(POSITIONAL[command], None), filled.pop("args", "")
    known = options_by_name(command)
    stray = sorted(name for name in filled if name not in known and not _is_off(filled[name]))
    if stray:
        raise UserError(
            f"{command} takes no input {', '.join(map(repr, stray))}",
            hint="leave it out, or see `qarunner " + command + " --help`",
        )
    words = [command]
    for name, text in filled.items():
        if name in known:
            words += _option(known[name], name, text, quoted=quoted)
    words += _words(further, quoted=quoted)
    return [*words, *(["--", positional] if positional else [])]


def options_by_name(command: str) -> dict[str, Option]:
    """The options of a command by their names without dashes."""
    options = options_of(COMMANDS[command].options)
    return {option.name.removeprefix("--"): option for option in options if option.name}


def _option(option: Option, name: str, text: str, *, quoted: bool) -> Iterator[str]:
    if option.kind is bool:
        if _is_on(name, text):
            yield f"--{name}"
    elif option.many:
        for line in _words(text, quoted=quoted):
            yield f"--{name}={line}"
    else:
        yield f"--{name}={text}"


def _words(text: str, *, quoted: bool) -> list[str]:
    if not quoted:
        return [line.strip() for line in text.splitlines() if line.strip()]
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UserError(f"{text!r}: {error}", hint="quote it as in a shell") from error


def _is_off(text: str) -> bool:
    return text.lower() == "false"


def _is_on(name: str, text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise UserError(f"{name}: expected true or false, got {text!r}")
    return not _is_off(text)
