"""Options are written once: what every command does with them follows from their fields."""

from __future__ import annotations

import re

import pytest

from qarunner.app.options import PlanOptions, Shown, options_of
from qarunner.cli.command_line import COMMANDS
from qarunner.cli.main import run

SINGLE = [
    (command, each.name)
    for command, known in COMMANDS.items()
    for each in options_of(known.options)
    if each.name and not each.many and each.kind is not bool
]


def test_an_option_that_takes_one_value_is_not_given_twice(capsys: pytest.CaptureFixture[str]) -> None:
    for command, option in SINGLE:
        words = {"explain": ["x"], "completion": ["bash"]}.get(command, [])
        code = run([command, option, "7.5" if option == "--speed" else "7", *words, f"{option}=8"])
        assert code == 2, (command, option)
        assert f"{option}: takes one value, got '7" in capsys.readouterr().err, (command, option)


@pytest.mark.parametrize("words", [["--no-color"], ["--color", "never"], ["--color=always", "-v"], ["-q"]])
def test_what_every_command_knows_stands_before_its_name_or_after(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for command in COMMANDS:
        for line in ([command, *words, "--help"], [*words, command, "--help"]):
            assert run(line) == 0, line
            shown = capsys.readouterr().out
            assert f"Usage: qarunner {command} " in shown
            assert all(option.name in shown for option in options_of(Shown)), line


WORDS = [
    (command, each, each.words)
    for command, known in COMMANDS.items()
    for each in options_of(known.options)
    if each.words and each.key != "color"
]


def test_an_option_that_takes_one_of_some_words_takes_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--color", "sometimes", "runs"]) == 2
    assert "--color: unknown word 'sometimes'" in capsys.readouterr().err
    for command, option, words in WORDS:
        code = run([command, *([option.name] if option.name else []), f"{words[-1]}s", *["x"][: command == "explain"]])
        assert code == 2, (command, option)
        said = capsys.readouterr().err
        assert f"{option.name or option.key}: unknown word '{words[-1]}s'" in said, (command, option)
        assert all(word in said for word in words), (command, option)


def test_whatever_chooses_a_plan_is_kept_or_said_again() -> None:
    shown = {option.key for option in (*options_of(Shown), *options_of(PlanOptions)) if not option.name}
    shown |= {option.key for option in options_of(Shown)} | {"runs_dir"}
    for option in options_of(PlanOptions):
        assert option.key in shown or option.recorded != option.permits, option.key


def test_help_names_every_command_with_its_whole_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["-h"]) == 0
    shown = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(command.help.split()[0])}", shown, re.MULTILINE), name
        assert command.help in " ".join(shown.split())
    assert run([]) == run(["-q"]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", shown * 2)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_example_of_a_command_is_one(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    example = COMMANDS[command].example
    known = {name for option in options_of(COMMANDS[command].options) for name in (option.name, option.short)}
    assert {word for word in example.split() if word.startswith("-")} <= known
    assert run([command, "--help"]) == 0
    assert f"Example: qarunner {command} {example}" in " ".join(capsys.readouterr().out.split())
