"""The commands, and how the words of a command line become the options of one of them."""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from inspect import Parameter, Signature
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated, Any, Optional

from msgspec import Struct

from qarunner.app import options as opt
from qarunner.errors import UserError
from qarunner.paths import runs_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from qarunner.cli.console import Console

    Run = Callable[["Command", opt.Shown], int]
    """Carries a command out."""


class Command(Struct, frozen=True):
    """`body` is `module:function` in `cli/commands/`. `concludes`: the last line says the exit code and why.

    What it does is said in the docstring of its options.
    """

    group: str
    options: type[opt.Shown]
    body: str
    example: str
    """Its options and arguments, as they may be typed."""
    concludes: bool = False

    @property
    def help(self) -> str:
        return self.options.__doc__ or ""

    def call(self, console: Console, environ: Mapping[str, str], options: opt.Shown) -> int:
        """Runs the body, which is imported only now."""
        module, _, name = self.body.partition(":")
        body = getattr(import_module(f"qarunner.cli.commands.{module}"), name)
        if isinstance(options, opt.OverBase) and options.base_file is not None:
            environ = {**environ, opt.BASE_VARIABLE: str(options.base_file)}
        return int(body(console, environ, options))


COMMANDS: Mapping[str, Command] = {
    "init": Command("Write", opt.InitOptions, "authoring:init", "--vendor NAME --vendor OTHER"),
    "lock": Command("Write", opt.LockOptions, "tools:lock", "--only checkout"),
    "validate": Command("Write", opt.ValidateOptions, "validate:validate", "qa-matrix.yml --output github"),
    "explain": Command("Write", opt.ExplainOptions, "explain:explain", "checkout/web"),
    "vendors": Command("Write", opt.VendorsOptions, "validate:vendors", "NAME --list tests"),
    "schema": Command("Write", opt.SchemaOptions, "authoring:schema", "> qa-matrix.schema.json"),
    "completion": Command("Write", opt.CompletionOptions, "tools:completion", "bash"),
    "plan": Command("Review", opt.ShowOptions, "plan:show_plan", "--select label:smoke --env STAGING_URL"),
    "diff": Command("Review", opt.DiffOptions, "review:diff", "origin/main --format markdown"),
    "apply": Command(
        "Run", opt.ApplyOptions, "apply:apply", "--select label:smoke --report junit=qa.xml", concludes=True
    ),
    "resume": Command("Run", opt.ResumeOptions, "apply:resume", "nightly-41 --report junit=qa.xml", concludes=True),
    "cancel": Command("Run", opt.CancelOptions, "apply:cancel", "nightly-41", concludes=True),
    "emulator": Command("Run", opt.EmulatorOptions, "authoring:emulator", "--scenario scenario.yml --port 8765"),
    "doctor": Command("Look", opt.DoctorOptions, "doctor:doctor", "--profile nightly"),
    "status": Command("Look", opt.StatusOptions, "runs:status", "nightly-41"),
    "watch": Command("Look", opt.WatchOptions, "watch:watch", "nightly-41", concludes=True),
    "runs": Command("Look", opt.RunsOptions, "runs:runs", "--prune --keep 100"),
    "history": Command("Look", opt.HistoryOptions, "history:history", "checkout/web"),
    "report": Command("Look", opt.ReportOptions, "report:report", "nightly-41 --open"),
}


# --- help -------------------------------------------------------------------------------------------------------------


_ABOUT = "One committed test matrix for every QA vendor: validate, plan, apply, gate."

_WIDTH, _NARROW = 100, 20


def overview(columns: int | None) -> Iterator[str]:
    """What `qarunner --help` shows: the commands in groups, each with its whole sentence, in a terminal's columns."""
    width = min(_WIDTH, columns or _WIDTH)
    yield from ("Usage: qarunner COMMAND [OPTIONS]", "", f"  {_ABOUT}")
    for group in dict.fromkeys(command.group for command in COMMANDS.values()):
        yield from ("", f"{group}:")
        yield from _aligned([(name, entry.help) for name, entry in COMMANDS.items() if entry.group == group], width)
    yield from ("", "Options, before a command or behind it:")
    general = [(_words(entry), entry.help) for entry in opt.options_of(opt.Shown)]
    yield from _aligned(
        [*general, ("--version", "Print the version."), ("-h, --help", "Show this, or a command's help.")], width
    )
    yield from ("", "Example:", "  qarunner validate && qarunner plan && qarunner apply --report junit=qa.xml")
    yield from (
        "",
        "More:",
        "  qarunner explain E204 explains an error's code.",
        f"  {_pages()} has a page for each topic.",
    )


def _words(option: opt.Option) -> str:
    return ", ".join(filter(None, (option.short, f"{option.name} {option.metavar}".strip())))


def _pages() -> str:
    """Where the documents lie: in a checkout, or in the repository that this was installed from."""
    folder = Path(__file__).parents[2] / "docs"
    return str(folder) if (folder / "running.md").is_file() else "docs/ of the repository"


def _aligned(pairs: Sequence[tuple[str, str]], columns: int) -> Iterator[str]:
    width = max(len(name) for name, _ in pairs)
    for name, text in pairs:
        first, *more = wrap(text, max(_NARROW, columns - width - 4))
        yield f"  {name:{width}}  {first}"
        yield from (f"{'':{width + 4}}{line}" for line in more)


# --- words → options --------------------------------------------------------------------------------------------------


def after_its_name(words: list[str]) -> list[str]:
    """What every command knows may stand before its name as well: `qarunner --no-color status`.

    `help`, `help COMMAND` and `version` are words for the options of these names.
    """
    general = {name: option for option in opt.options_of(opt.Shown) for name in (option.name, option.short)}
    end = 0
    while end < len(words) and (option := general.get(words[end].partition("=")[0])) is not None:
        end += 1 if option.kind is bool or "=" in words[end] else 2
    if end == len(words):
        return []
    name, more = words[end], words[end + 1 :]
    if name not in {"help", "version"}:
        return [name, *words[:end], *more]
    if name == "version":
        return ["--version"] if {"-h", "--help"}.isdisjoint(more) else ["--help"]
    about = after_its_name(more)[:1]
    return [*about, "--help"] if about and not about[0].startswith("-") else ["--help"]


@cache
def program(wanted: str, run: Run) -> Any:  # noqa: ANN401  typer's own class, which is not always click's
    """The program with the one command that is wanted; for an unknown word, with the names of all."""
    import typer.main

    app = typer.Typer(
        name="qarunner",
        help=_ABOUT,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_nothing)
    for name, command in COMMANDS.items():
        if wanted == name or wanted not in COMMANDS:
            app.command(name, help=command.help, epilog=f"Example: qarunner {name} {command.example}")(
                _typed(command, run) if wanted == name else _nothing
            )
    return typer.main.get_command(app)


def options_from(words: list[str]) -> opt.Shown:
    """What a command line says. UserError for one that is not understood."""
    read: list[opt.Shown] = []

    def keep(_: Command, options: opt.Shown) -> int:
        if isinstance(options, opt.RunOptions) and options.refusal is not None:
            raise options.refusal
        read.append(options)
        return 0

    try:
        program(words[0], keep)(args=words, prog_name="qarunner", standalone_mode=False)
    except misuse() as error:
        raise UserError(error.format_message()) from error
    return read[0]


def misuse() -> Any:  # noqa: ANN401  a class whose module depends on the version
    """The class of the errors about a line that is not understood: since 0.26, typer brings a click of its own."""
    import typer

    return next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def _nothing() -> None:
    """Stands for a command that is only named, and for what stands before its name."""


def _typed(command: Command, run: Run) -> Callable[..., int]:
    """A command as a function whose signature has its options, for typer to read."""
    known = opt.options_of(command.options)

    def call(**values: object) -> int:
        options: dict[str, Any] = {}
        problems: list[UserError] = []
        for option in known:
            try:
                options[option.key] = _value(option, values[option.key])
            except UserError as error:
                options[option.key] = option.default
                problems.append(error)
        problems += _pairs(known, options)
        if "runs_dir" in options and not values["runs_dir"]:
            options["runs_dir"] = runs_folder(None, options.get("file"), os.environ)
        if problems and issubclass(command.options, opt.RunOptions):
            options["refusal"] = problems[0]
        elif problems:
            raise problems[0]
        return run(command, command.options(**options))

    call.__signature__ = Signature([_parameter(option) for option in known])  # type: ignore[attr-defined]
    return call


def _pairs(known: Iterable[opt.Option], options: Mapping[str, object]) -> Iterator[UserError]:
    """What is wrong with options that make no sense together."""
    said = {option.name for option in known if options[option.key] not in (option.default, False)}
    for option in known:
        if option.name in said and option.apart is not None and option.apart[0] in said:
            yield UserError(f"{option.name} does not go with {option.apart[0]}", hint=option.apart[1])


def _file(word: str) -> Path:
    """A path as it was typed. UserError for a word that names no file, such as that of an empty variable."""
    if word in {"", "-"}:
        raise UserError(f"{word!r} is no path", hint="name a file or a folder; /dev/stdout is the standard output")
    return Path(word)


def _parameter(option: opt.Option) -> Parameter:
    """An option that takes one value is read as a list, so that a second one is noticed."""
    import typer

    kind, default = option.kind, option.default
    parser = _file if kind is Path else None
    if option.name:
        names = (option.short, option.name) if option.short else (option.name,)
        metavar = None if kind is bool else option.metavar
        mark: object = typer.Option(*names, metavar=metavar, help=option.help, min=option.minimum, parser=parser)
    else:
        mark = typer.Argument(metavar=option.metavar, help=option.help, show_default=False, parser=parser)
    if option.required:
        return Parameter(option.key, Parameter.KEYWORD_ONLY, annotation=Annotated[kind, mark])
    if kind is not bool and (option.name or option.many):
        kind = list[kind]  # type: ignore[valid-type]
        default = [default] if default and not option.many else None
    return Parameter(option.key, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[Optional[kind], mark])  # noqa: UP045  typer reads it


def _value(option: opt.Option, value: object) -> object:
    """What an option gets. UserError for a word that it does not know, and for two where it takes one."""
    values = value if isinstance(value, (list, tuple)) else () if value is None else (value,)
    if option.many:
        return tuple(values)
    if len(values) > 1:
        words = " and ".join(repr(str(word)) for word in values)
        raise UserError(f"{option.name}: takes one value, got {words}", hint="give it once")
    if option.words and values and values[0] not in option.words:
        from qarunner.diagnostics import choose

        name = option.name or option.key
        raise UserError(f"{name}: unknown word {values[0]!r}", hint=choose(str(values[0]), option.words))
    return values[0] if values else option.default
