"""What can stand next on a command line: commands, options, their words, entries, profiles, vendors and runs.

Shells ask at each press of Tab, through the scripts that `qarunner completion` prints. Only what an answer needs is
imported, nothing is sent, and what cannot be read completes to nothing.
"""

from __future__ import annotations

import contextlib
import re
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from qarunner.app.options import Option, Shown, options_of
from qarunner.cli.command_line import COMMANDS
from qarunner.errors import UserError
from qarunner.paths import nearest_manifest, runs_folder
from qarunner.regex import regex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from qarunner.manifest.load import LoadedManifest

FILES = ":files"
"""Instead of candidates: the shell is to complete the name of a file."""


class Candidate(Struct, frozen=True):
    """A whole word that can stand there, and what it is."""

    word: str
    help: str = ""


# --- what a shell asks, and gets --------------------------------------------------------------------------------------


def answer(shell: str, arguments: Sequence[str], environ: Mapping[str, str]) -> str:
    """The lines for a shell. bash and PowerShell give the line and the cursor; zsh and fish give words.

    Of these, the last one is as it was typed, with its quotes.
    """
    if shell in {"bash", "powershell"}:
        line, position, *breaks = arguments
        parsed = _words(line[: int(position)].ljust(int(position)), "".join(breaks))
        words = parsed.words[1:] or [""]
    else:
        *before, begun = [word for word in arguments if word != "--"] or [""]
        parsed = _words(begun)
        words = [*before, parsed.words[-1]]
    completions = candidates(words, environ)
    if completions is None:
        return FILES
    if shell == "bash":
        return "\n".join(_for_bash(candidate.word, parsed) for candidate in completions)
    return "\n".join(f"{candidate.word}\t{candidate.help}" for candidate in completions)


class _Words(NamedTuple):
    """The words of a line, without their quotes.

    `quote`: what the last one still stands in. `kept`: how much of it bash keeps when it completes the rest.
    """

    words: list[str]
    quote: str
    kept: int


def _words(line: str, breaks: str = "") -> _Words:
    """A line up to the cursor; its last word may be empty. bash takes what stands behind `breaks` for a word."""
    words = [""]
    quote, kept = "", 0
    escaped = False
    for char in line:
        if escaped or (quote and char not in {quote, "\\"}):
            words[-1] += char
            escaped = False
        elif char == "\\" and quote != "'":
            escaped = True
        elif char in {"'", '"'}:
            quote = "" if quote else char
        elif char.isspace():
            words += [""] if words[-1] or len(words) == 1 else []
            kept = 0
        else:
            words[-1] += char
            if char in breaks and char in "=:@":
                kept = len(words[-1])
    return _Words(words, quote, kept)


_PLAIN = regex(r"[^\w@%+:,./=-]")
_IN_DOUBLE_QUOTES = regex(r"[\"$`\\]")


def _for_bash(word: str, begun: _Words) -> str:
    """What bash puts in place of the last word, in the quotes that are open."""
    special = {"": _PLAIN, '"': _IN_DOUBLE_QUOTES}.get(begun.quote)
    rest = word[begun.kept :]
    return rest if special is None else special.sub(lambda match: f"\\{match[0]}", rest)


# --- what can stand there ---------------------------------------------------------------------------------------------


def candidates(words: Sequence[str], environ: Mapping[str, str]) -> list[Candidate] | None:
    """What the last word can become; None for the name of a file."""
    *before, begun = words
    command = _command_in(before)
    options, named = _options(command)
    takes_value = bool(before) and before[-1] in named and named[before[-1]].kind is not bool
    if command == "help" or (command is None and not begun.startswith("-") and not takes_value):
        return _beginning(begun, _commands())
    option, equals, value = begun.partition("=")
    if equals and option in named:
        completions = _values(named[option], words, value, environ)
        return None if completions is None else [Candidate(f"{option}={item.word}", item.help) for item in completions]
    if takes_value:
        return _values(named[before[-1]], words, begun, environ)
    if begun.startswith("-"):
        rows = [Candidate(item.name, item.help) for item in options if item.name]
        return _beginning(begun, [*rows, Candidate("--help", "Show the options.")])
    return _argument(options, named, words, environ)


def _options(command: str | None) -> tuple[Sequence[Option], Mapping[str, Option]]:
    """Those of a command, or of all, and the same by their names."""
    options = options_of(COMMANDS[command].options if command is not None and command in COMMANDS else Shown)
    return options, {name: item for item in options for name in (item.name, item.short) if name}


def _command_in(words: Sequence[str]) -> str | None:
    """The first word that is neither an option of every command nor the value of one."""
    values = {option.name for option in options_of(Shown) if option.kind is not bool}
    pairs = zip(("", *words), words, strict=False)
    return next((word for last, word in pairs if not word.startswith("-") and last not in values), None)


def _commands() -> Iterator[Candidate]:
    yield from (Candidate(name, command.help) for name, command in COMMANDS.items())
    yield Candidate("help", "Show the commands, or a command's options.")
    yield Candidate("version", "Print the version.")


def _argument(
    options: Sequence[Option], named: Mapping[str, Option], words: Sequence[str], environ: Mapping[str, str]
) -> list[Candidate] | None:
    """A word that belongs to no option: arguments have their order, and the last one may repeat."""
    arguments = [option for option in options if not option.name]
    at = len(_typed(named, words))
    if at < len(arguments):
        return _values(arguments[at], words, words[-1], environ)
    return _values(arguments[-1], words, words[-1], environ) if arguments and arguments[-1].many else []


def _typed(named: Mapping[str, Option], words: Sequence[str]) -> list[str]:
    """The arguments before the last word, without the command's name, options and their values."""
    values = {at + 1 for at, word in enumerate(words) if word in named and named[word].kind is not bool}
    return [word for at, word in enumerate(words[:-1]) if not word.startswith("-") and at not in values][1:]


def _values(option: Option, words: Sequence[str], begun: str, environ: Mapping[str, str]) -> list[Candidate] | None:
    """What an option or an argument takes, by its own words for it."""
    if option.words:
        return _beginning(begun, map(Candidate, option.words))
    what = re.sub(r"[\[\].]", "", option.metavar)
    if what == "FORMAT=PATH":
        from qarunner.report import FORMATS

        return None if "=" in begun else _beginning(begun, [Candidate(f"{form}=") for form in FORMATS])
    source = _SOURCES.get(option.name or what, _SOURCES.get(what))
    if source is None:
        return None if what in {"FILE", "DIR", "BASE"} else []
    with contextlib.suppress(UserError, OSError):
        return _beginning(begun, source(words, environ))
    return []


def _beginning(begun: str, all_candidates: Iterable[Candidate]) -> list[Candidate]:
    return [candidate for candidate in all_candidates if candidate.word.startswith(begun)]


# --- where the words come from ----------------------------------------------------------------------------------------


def _manifest(words: Sequence[str], environ: Mapping[str, str]) -> LoadedManifest | None:
    """The manifest that the line names, else the nearest one."""
    named = (Path(word.partition("=")[2] or word) for word in words[:-1] if word.endswith((".yml", ".yaml")))
    path = next((path_named for path_named in named if path_named.is_file()), None) or nearest_manifest()
    if path is None:
        return None
    from qarunner.app.files import finder, read_manifest
    from qarunner.manifest.load import examine

    name, text = read_manifest(path, environ)
    return examine(name, text, finder(path, environ))


def _entries(words: Sequence[str], environ: Mapping[str, str]) -> Iterator[Candidate]:
    if words[-1][:1].isupper() and _command_in(words[:-1]) == "explain":  # no id has upper-case letters
        from qarunner.app.explain.codes import pages

        yield from (Candidate(page.code, page.title) for page in pages().values())
    if (read := _manifest(words, environ)) is None:
        return
    from qarunner.manifest.expand import expand, expand_sound

    for row in expand(read.manifest) if read.sound is None else expand_sound(read.manifest, read.sound):
        yield Candidate(row.id, str(row.data.get("name") or row.data.get("vendor") or ""))


def _expressions(words: Sequence[str], environ: Mapping[str, str]) -> Iterator[Candidate]:
    begun = words[-1].partition("=")[2] if words[-1].startswith("--") else words[-1]
    if begun.startswith("!"):
        rest = _expressions([*words[:-1], begun[1:]], environ)
        yield from (Candidate(f"!{candidate.word}", candidate.help) for candidate in rest)
        return
    yield from _entries(words, environ)
    if begun.startswith("vendor:"):
        yield from (Candidate(f"vendor:{candidate.word}", candidate.help) for candidate in _vendors(words, environ))
    elif begun.startswith("platform:"):
        from qarunner.entry import Platform

        yield from (Candidate(f"platform:{candidate}") for candidate in Platform)
    else:
        yield from (Candidate(f"{key}:") for key in ("label", "vendor", "platform", "variant", "owner"))


def _profiles(words: Sequence[str], environ: Mapping[str, str]) -> Iterator[Candidate]:
    if (read := _manifest(words, environ)) is not None:
        yield from map(Candidate, read.profiles)


def _vendors(_: Sequence[str], __: Mapping[str, str]) -> Iterator[Candidate]:
    from qarunner.vendors import registry

    yield from (Candidate(name, registry.get(name).info.title) for name in registry.names_builtin())


def _runs_dir(words: Sequence[str], environ: Mapping[str, str]) -> Path:
    named = next((Path(value) for name, value in pairwise(words) if name == "--runs-dir"), None)
    joined = next((Path(word.partition("=")[2]) for word in words if word.startswith("--runs-dir=")), None)
    return runs_folder(named or joined, None, environ)


def _runs(words: Sequence[str], environ: Mapping[str, str]) -> Iterator[Candidate]:
    from qarunner.engine.io.journal import by_age

    yield from (Candidate(folder.name) for folder in by_age(_runs_dir(words, environ)))


def _uncertain(words: Sequence[str], environ: Mapping[str, str]) -> Iterator[Candidate]:
    """Of the run that the line names, else of the one that a resume takes."""
    from qarunner.app.runs import find_open_run, load, uncertain_in

    named = _typed(_options("resume")[1], words)
    folder = find_open_run(_runs_dir(words, environ), environ, named[0] if named else None)
    for state in uncertain_in(load(folder).run):
        yield Candidate(state.doubt, ", ".join(state.job.entries))


def _variables(words: Sequence[str], environ: Mapping[str, str]) -> Iterator[Candidate]:
    if (read := _manifest(words, environ)) is not None:
        yield from (Candidate(name, declaration.description or "") for name, declaration in read.manifest.env.items())


def _assignments(words: Sequence[str], environ: Mapping[str, str]) -> Iterator[Candidate]:
    yield from (Candidate(f"{candidate.word}=", candidate.help) for candidate in _variables(words, environ))


_SOURCES: Mapping[str, Callable[[Sequence[str], Mapping[str, str]], Iterable[Candidate]]] = {
    "RUN": _runs,
    "ENTRY": _entries,
    "EXPR": _expressions,
    "NAME": _vendors,
    "--run-id": _runs,
    "--resubmit": _uncertain,
    "--drop": _uncertain,
    "--profile": _profiles,
    "--vendor": _vendors,
    "--env": _variables,
    "--var": _assignments,
    "--branch": lambda *_: (),
    "--tag": lambda *_: (),
    "--project": lambda *_: (),
}
"""By an option's name, else by its word for the value."""


# --- the scripts ------------------------------------------------------------------------------------------------------


def script(shell: str) -> str:
    """What a shell reads at its start, so that it asks us."""
    return files("qarunner.cli").joinpath(f"scripts/completion.{shell}").read_text(encoding="utf-8")
