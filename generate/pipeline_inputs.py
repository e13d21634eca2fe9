"""The inputs of action.yml and of the GitLab component, which are the program's options: `make schema`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from qarunner.cli.pipelines.arguments import POSITIONAL, options_by_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qarunner.app.options import Option

_BY_HAND = frozenset({"continue", "file", "run-id", "runs-dir"})
"""Options that stand in the files themselves: the manifest, and what names and keeps each job's run."""

_OF_ONE_JOB = frozenset({*_BY_HAND, "shard", "detach"})
"""Options that the component's child pipeline gives, or that its jobs cannot take."""


def action_inputs() -> str:
    """The `inputs` of action.yml that are options."""
    return _inputs(_of_commands(), "One a line")


def action_variables() -> str:
    """The variables through which a step of action.yml hands its inputs over."""
    return "".join(f"        {_variable(name)}: ${{{{ inputs.{name} }}}}\n" for name in _of_commands())


def component_inputs() -> str:
    """The `inputs` of the component that are options of an apply."""
    return _inputs(_of_component(), "Separated by spaces, quoted as in a shell", indent="    ")


def component_variables() -> str:
    """The variables through which the component's job hands its inputs over; a block takes any text."""
    lines = "    {variable}:\n      value: |-\n        $[[ inputs.{name} ]]\n      expand: false\n"
    return "".join(lines.format(variable=_variable(name), name=name) for name in _of_component())


def _of_commands() -> dict[str, Option]:
    options: dict[str, Option] = {}
    for command in POSITIONAL:
        options |= {name: option for name, option in options_by_name(command).items() if name not in options}
    return {name: option for name, option in options.items() if name not in _BY_HAND}


def _of_component() -> dict[str, Option]:
    return {name: option for name, option in options_by_name("apply").items() if name not in _OF_ONE_JOB}


def _variable(name: str) -> str:
    return f"INPUT_{name.upper().replace('-', '_')}"


def _inputs(options: Mapping[str, Option], how: str, indent: str = "  ") -> str:
    lines = []
    for name, option in options.items():
        words = option.help.removesuffix(" Repeatable.").removesuffix(".")
        words = f"true: {words[0].lower()}{words[1:]}" if option.kind is bool else words
        words += f". {how}." if option.many else "."
        default = "false" if option.kind is bool else ""
        lines.append(f'{indent}{name}: {{ description: {json.dumps(words)}, default: "{default}" }}\n')
    return "".join(lines)
