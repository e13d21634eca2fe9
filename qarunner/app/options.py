"""Every option of every command, once: its name, its words for people, and what else has to know it.

A command's options are a frozen dataclass. `cli/main.py` makes typer commands of them; saved plans, child pipelines
and the inputs of the action and the component are made from the same fields.
"""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from dataclasses import MISSING, dataclass, field, fields
from datetime import UTC, date, datetime  # noqa: TC003  annotations are read when the program runs
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar, dataclass_transform, get_args, get_type_hints

from msgspec import Struct

from qarunner.decode import amount
from qarunner.errors import UserError
from qarunner.paths import MANIFEST_NAMES, repository_root, runs_folder, working_folder
from qarunner.report import FORMATS

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence
    from decimal import Decimal

    from qarunner.plan.model import Plan

T = TypeVar("T")

DEFAULT_RUNS = Path(".qarunner/runs")


class Option(Struct, frozen=True):
    """An option, or an argument where `name` is empty.

    `recorded`: it chooses what is planned; a saved plan keeps it, and a child pipeline repeats it. `permits`: it says
    what may be read, sent or paid for; a child pipeline repeats it, an apply of a saved plan says it again.
    `apart`: the option that makes no sense beside it, and why.
    """

    name: str
    metavar: str
    help: str
    short: str = ""
    recorded: bool = False
    permits: bool = False
    minimum: int | None = None
    apart: tuple[str, str] | None = None


class Field(NamedTuple):
    """A field that is an option. `kind` is the type of one value, bool for a flag; `many`: it may be given often."""

    key: str
    option: Option
    kind: type
    many: bool
    required: bool
    default: object


def options_of(cls: type) -> tuple[Field, ...]:
    """The options of a command in the order of its help: what is required first, what many commands know last."""
    return _in_order(cls)


@cache
def _in_order(cls: type) -> tuple[Field, ...]:
    general = {declared.name for declared in (*fields(Printed), *fields(InRuns))}
    return tuple(sorted(_options_of(cls), key=lambda each: (not each.required, each.key in general)))


def _options_of(cls: type) -> Iterator[Field]:
    hints = get_type_hints(cls, include_extras=True)
    for declared in fields(cls):
        annotation, *marks = get_args(hints[declared.name]) or (None,)
        option = next((mark for mark in marks if isinstance(mark, Option)), None)
        if option is not None:
            arguments = [kind for kind in get_args(annotation) if kind not in {type(None), ...}]
            many = getattr(annotation, "__origin__", None) is tuple
            kind: Any = arguments[0] if arguments else annotation
            required = declared.default is MISSING and declared.default_factory is MISSING
            default = None if declared.default is MISSING else declared.default
            yield Field(declared.name, option, kind, many, required, default)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def _options(cls: type[T]) -> type[T]:
    """A frozen dataclass whose methods stand in `Shown`: to generate them for each would take 30 ms at each start."""
    return dataclass(init=False, repr=False, eq=False)(cls)


# --- options that commands share --------------------------------------------------------------------------------------


@_options
class Shown:
    """What every command knows, before its name and after it."""

    quiet: Annotated[bool, Option("--quiet", "", "Only the result.", short="-q")] = False
    verbose: Annotated[
        bool, Option("--verbose", "", "Every step.", short="-v", apart=("--quiet", "one says less, the other more"))
    ] = False
    color: Annotated[
        str | None,
        Option("--color", "auto|always|never", "Colours. Default: auto, in a terminal and in CI logs that show them."),
    ] = None
    no_color: Annotated[
        bool, Option("--no-color", "", "No colours.", apart=("--color", "it is --color never in one word"))
    ] = False

    def __init__(self, **values: object) -> None:
        for declared in fields(self):
            default = declared.default_factory() if declared.default_factory is not MISSING else declared.default
            value = values.pop(declared.name, default)
            if value is MISSING:
                raise TypeError(f"{declared.name}: is required")
            object.__setattr__(self, declared.name, value)
        if values:
            raise TypeError(f"{type(self).__name__} has no {', '.join(values)}")

    def __setattr__(self, name: str, _: object) -> None:
        raise AttributeError(f"{name}: options do not change")


@_options
class Printed(Shown):
    """The commands whose results have another form for programs."""

    output: Annotated[
        str | None,
        Option(
            "--output",
            "text|json|github",
            "How results and problems are printed. Default: text; in GitHub Actions, github.",
        ),
    ] = None


_FILE = Option("", "[FILE]", "The manifest. Default: qa-matrix.yml or .yaml here, or in a parent folder.")
_RUN = Option("", "[RUN]", "A run's id. Default: the newest.")
_PROFILE = Option("--profile", "NAME", "A profile of the manifest; --select chooses among its entries.", recorded=True)
_SELECT = Option(
    "--select",
    "EXPR",
    "Which entries: id-glob, label:x, vendor:x, platform:x, variant:x, owner:x; comma: and; repeat: or; !: not.",
    recorded=True,
)
_VAR = Option("--var", "K=V", "A value for a variable that the manifest declares; not for secrets.", recorded=True)
_VAR_FILE = Option("--var-file", "FILE", "Values of variables, in YAML or JSON; --var wins.", recorded=True)
_ENV = Option(
    "--env",
    "NAME",
    "Lets templates read this variable of the environment, if the manifest declares it; NAME* is a glob, "
    "'!NAME' is not meant.",
    permits=True,
)
_ENV_FILE = Option(
    "--env-file",
    "FILE",
    "Declared variables and vendors' keys, as NAME=value lines; what is named of the environment wins.",
    permits=True,
)
_ALLOW_SECRET = Option(
    "--allow-secret",
    "NAME@HOST|NAME@VENDOR",
    "Lets a secret into URLs of this host, or other fields of this vendor; NAME alone: as an api_key_env.",
    permits=True,
)
_OUT = Option("--out", "FILE", "Where to write it. Default: print it.")
_UNSEALED = Option("--unsealed", "", "The run's folder is mine, whatever its seal says.")


@_options
class InRuns(Shown):
    """The commands that look into the folder of runs."""

    runs_dir: Annotated[
        Path, Option("--runs-dir", "DIR", "Where runs are kept. Default: .qarunner/runs beside the manifest.")
    ] = field(default_factory=lambda: DEFAULT_RUNS)


BASE_VARIABLE = "QARUNNER_BASE"
"""Names the base, like --base: the pipeline's word alone, wherever the file lies."""


@_options
class OverBase(Shown):
    """The commands that read a manifest over what an organisation gives to all."""

    base_file: Annotated[
        Path | None,
        Option(
            "--base",
            "FILE",
            f"What holds for all manifests: the lowest layer, and limits. Default: {BASE_VARIABLE}.",
            permits=True,
        ),
    ] = None


@_options
class ChoiceOptions(InRuns, OverBase):
    """What chooses rows, and what gives their values."""

    file: Annotated[Path | None, _FILE] = None
    profile: Annotated[str | None, _PROFILE] = None
    select: Annotated[tuple[str, ...], _SELECT] = ()
    changed_since: Annotated[
        str | None,
        Option(
            "--changed-since",
            "REF",
            "Leaves out entries with paths where nothing changed since the merge base with REF.",
            recorded=True,
        ),
    ] = None
    branch: Annotated[
        str | None,
        Option("--branch", "NAME", "The branch of this build, where neither CI nor git tells it.", recorded=True),
    ] = None
    tag: Annotated[
        str | None,
        Option(
            "--tag",
            "NAME",
            "The tag of this build, which then has no branch.",
            recorded=True,
            apart=("--branch", "a tag's build has no branch"),
        ),
    ] = None
    rerun_failed: Annotated[
        str | None,
        Option("--rerun-failed", "RUN", "Only the entries that did not pass in an earlier run.", recorded=True),
    ] = None
    var: Annotated[tuple[str, ...], _VAR] = ()
    var_file: Annotated[tuple[Path, ...], _VAR_FILE] = ()
    env: Annotated[tuple[str, ...], _ENV] = ()
    env_file: Annotated[tuple[Path, ...], _ENV_FILE] = ()
    allow_secret: Annotated[tuple[str, ...], _ALLOW_SECRET] = ()
    today: date = field(default_factory=lambda: datetime.now(UTC).date())
    """The day of the plan; quarantines end by it."""
    rehearse: bool = False
    unsealed: bool | None = None
    """True if a person vouches for an earlier run. None: nothing is to be sent, so a doubt is only said."""


@_options
class PlanOptions(ChoiceOptions):
    """What `plan` and `apply` make a plan from."""

    shard: Annotated[
        str | None,
        Option("--shard", "I/N", "Only the Ith of N parts of equal weight, for parallel jobs.", recorded=True),
    ] = None
    max_tests: Annotated[
        int | None,
        Option("--max-tests", "N", "Refuse to start more tests than this (exit 6).", permits=True, minimum=0),
    ] = None
    max_cost: Annotated[
        str | None,
        Option(
            "--max-cost", "AMOUNT", "Refuse to start what costs more than this, such as 12.50 (exit 6).", permits=True
        ),
    ] = None

    @property
    def most_cost(self) -> Decimal | None:
        """UserError for what is no amount."""
        if self.max_cost is None:
            return None
        try:
            return amount(self.max_cost)
        except ValueError:
            hint = "write a number, such as --max-cost 12.50; the currency is the manifest's"
            raise UserError(f"--max-cost: {self.max_cost!r} is no amount", hint=hint) from None


@_options
class RunOptions(InRuns, Printed):
    """How a run is carried out."""

    report: Annotated[
        tuple[str, ...],
        Option(
            "--report",
            "FORMAT=PATH",
            f"Also writes a report: {', '.join([*FORMATS][:-1])} or {[*FORMATS][-1]}. Repeatable.",
        ),
    ] = ()
    timeout: Annotated[str | None, Option("--timeout", "DURATION", "For all of it, such as 45m.")] = None
    poll_interval: Annotated[
        str | None,
        Option(
            "--poll-interval", "DURATION", "How often each run is asked, whatever its vendor says; rates still hold."
        ),
    ] = None
    on_interrupt: Annotated[
        str, Option("--on-interrupt", "cancel|detach", "What a signal does to runs at the vendors.")
    ] = "cancel"


# --- each command's ---------------------------------------------------------------------------------------------------


@_options
class InitOptions(Shown):
    vendor: Annotated[tuple[str, ...], Option("--vendor", "NAME", "A vendor to begin with; repeatable.")] = ()
    from_vendor: Annotated[
        str | None,
        Option("--from-vendor", "NAME", "Entries for what this vendor lists, by name, with their lock. Needs its key."),
    ] = None
    project: Annotated[str | None, Option("--project", "NAME", "With --from-vendor: whose inventory.")] = None
    schema: Annotated[
        str, Option("--schema", "file|URL", "What editors check with: a file beside it, or an address with {version}.")
    ] = "file"
    env_file: Annotated[tuple[Path, ...], _ENV_FILE] = ()


@_options
class LockOptions(Printed, OverBase):
    files: Annotated[tuple[Path, ...], Option("", "[FILE]...", "Manifests. Default: the one of this repository.")] = ()
    only: Annotated[
        tuple[str, ...], Option("--only", "ENTRY", "The names of this entry alone; all others stay as they are.")
    ] = ()
    check: Annotated[
        bool, Option("--check", "", "Write nothing; exit with 10 and say what has moved since, if anything has.")
    ] = False
    var: Annotated[tuple[str, ...], _VAR] = ()
    var_file: Annotated[tuple[Path, ...], _VAR_FILE] = ()
    env: Annotated[tuple[str, ...], _ENV] = ()
    env_file: Annotated[tuple[Path, ...], _ENV_FILE] = ()
    allow_secret: Annotated[tuple[str, ...], _ALLOW_SECRET] = ()
    today: date = field(default_factory=lambda: datetime.now(UTC).date())
    """The day that a changed lock gets."""


@_options
class ValidateOptions(Printed, OverBase):
    files: Annotated[tuple[Path, ...], Option("", "[FILE]...", "Manifests. Default: the one of this repository.")] = ()


@_options
class ShowOptions(PlanOptions):
    more: Annotated[
        tuple[Path, ...], Option("", "[FILE]...", "More manifests: with --format github-matrix or gitlab-ci.")
    ] = ()
    out: Annotated[
        Path | None, Option("--out", "FILE", "Also writes the plan as JSON; the same input, the same bytes.")
    ] = None
    form: Annotated[
        str, Option("--format", "text|json|markdown|github-matrix|gitlab-ci", "How the plan is printed.")
    ] = "text"
    shards: Annotated[
        int | None,
        Option(
            "--shards",
            "N",
            "Jobs to share the plan; at most one for each entry.",
            minimum=1,
            apart=("--shard", "--shards makes the jobs, each with a --shard of its own"),
        ),
    ] = None
    exit_code: Annotated[bool, Option("--exit-code", "", "Exit with 10 if an apply would send anything.")] = False


@_options
class DiffOptions(OverBase):
    base: Annotated[
        str | None,
        Option(
            "",
            "[BASE]",
            "A revision or another file. Default: where this branch left its target or the default branch.",
        ),
    ] = None
    file: Annotated[Path | None, Option("--file", "FILE", "The manifest. Default: as for the other commands.")] = None
    profile: Annotated[str | None, _PROFILE] = None
    select: Annotated[tuple[str, ...], _SELECT] = ()
    form: Annotated[str, Option("--format", "text|json|markdown", "markdown fits a pull request's comment.")] = "text"
    out: Annotated[Path | None, _OUT] = None
    exit_code: Annotated[bool, Option("--exit-code", "", "Exit with 10 if there are changes.")] = False


@_options
class ExplainOptions(ChoiceOptions, Printed):
    word: Annotated[str, Option("", "ENTRY", "An entry's id, a glob of ids, or the code of an error, such as E204.")]


@_options
class ApplyOptions(RunOptions, PlanOptions):
    fail_fast: Annotated[
        bool, Option("--fail-fast", "", "After the first failure that gates, begin nothing and cancel what runs.")
    ] = False
    detach: Annotated[
        bool, Option("--detach", "", "Return when every run is started; `qarunner resume` waits for them.")
    ] = False
    run_id: Annotated[
        str | None, Option("--run-id", "ID", "A name for this run, instead of one made from the time.")
    ] = None
    continues: Annotated[
        bool,
        Option(
            "--continue",
            "",
            "With --run-id: go on with the run of that id; of one that is over, only what did not pass runs again.",
        ),
    ] = False
    unsealed: Annotated[bool, _UNSEALED] = False
    rehearse: Annotated[
        bool,
        Option("--rehearse", "", "Against emulated vendors, started inside: nothing is sent or paid."),
    ] = False
    scenario: Annotated[Path | None, Option("--scenario", "FILE", "With --rehearse: what the emulated vendors do.")] = (
        None
    )


@_options
class ResumeOptions(RunOptions):
    run_id: Annotated[str | None, _RUN] = None
    resubmit: Annotated[
        tuple[str, ...], Option("--resubmit", "ID", "An uncertain job or entry made no run: start it again.")
    ] = ()
    drop: Annotated[tuple[str, ...], Option("--drop", "ID", "Leave an uncertain job or entry as it is: unknown.")] = ()
    unsealed: Annotated[bool, _UNSEALED] = False
    env_file: Annotated[tuple[Path, ...], _ENV_FILE] = ()
    allow_secret: Annotated[tuple[str, ...], _ALLOW_SECRET] = ()


@_options
class CancelOptions(InRuns, Printed):
    run_id: Annotated[str | None, _RUN] = None
    env_file: Annotated[tuple[Path, ...], _ENV_FILE] = ()
    allow_secret: Annotated[tuple[str, ...], _ALLOW_SECRET] = ()


@_options
class StatusOptions(InRuns, Printed):
    run_id: Annotated[str | None, _RUN] = None


@_options
class WatchOptions(InRuns, Printed):
    run_id: Annotated[str | None, _RUN] = None


@_options
class HistoryOptions(InRuns, Printed):
    entry: Annotated[str | None, Option("", "[ENTRY]", "An entry's id. Default: all of them.")] = None
    form: Annotated[str, Option("--format", "text|json", "How it is printed.")] = "text"
    rehearsals: Annotated[bool, Option("--rehearsals", "", "The rehearsals' results instead of the real ones.")] = False


@_options
class RunsOptions(InRuns, Printed):
    all: Annotated[bool, Option("--all", "", "Every run.")] = False
    limit: Annotated[
        int | None,
        Option("--limit", "N", "So many runs. Default: 20.", minimum=1, apart=("--all", "--all shows every run")),
    ] = None
    prune: Annotated[
        bool, Option("--prune", "", "With --keep: remove finished runs that left nothing at a vendor.")
    ] = False
    keep: Annotated[int | None, Option("--keep", "N", "With --prune: the newest N runs stay.", minimum=0)] = None
    export: Annotated[
        str | None, Option("--export", "jsonl", "A line of JSON for each vendor run: who, where, what. Default: --all.")
    ] = None


@_options
class ReportOptions(InRuns):
    runs: Annotated[
        tuple[str, ...],
        Option("", "[RUN]...", "A run's id; with --merge, ids, or folders that runs are in. Default: the newest."),
    ] = ()
    merge: Annotated[
        bool, Option("--merge", "", "Join the runs of several jobs into one report, and one exit code.")
    ] = False
    union: Annotated[
        bool, Option("--union", "", "With --merge and --manifest: join several matrices; each keeps its gate.")
    ] = False
    manifest: Annotated[
        tuple[Path, ...],
        Option("--manifest", "FILE", "With --union: a manifest; without a run of it, exit 8. Repeatable."),
    ] = ()
    verify: Annotated[
        bool,
        Option("--verify", "", "With --commit: say whether the newest sealed run of all entries passed there."),
    ] = False
    commit: Annotated[str | None, Option("--commit", "SHA", "With --verify: the commit, in full.")] = None
    profile: Annotated[
        str | None, Option("--profile", "NAME", "With --verify: the profile of the run. Default: a run without one.")
    ] = None
    max_age: Annotated[
        str | None, Option("--max-age", "DURATION", "With --verify: how long ago the run may have ended, such as 24h.")
    ] = None
    form: Annotated[
        str | None, Option("--format", "|".join(FORMATS), "The report's format. Default: json; with --open, html.")
    ] = None
    open: Annotated[bool, Option("--open", "", "Shows the HTML report in the browser.")] = False
    out: Annotated[Path | None, _OUT] = None
    unsealed: Annotated[bool, _UNSEALED] = False


@_options
class SchemaOptions(Shown):
    fragment: Annotated[
        bool, Option("--fragment", "", "The schema of a file that a manifest includes, which holds `matrix` alone.")
    ] = False
    base: Annotated[
        bool, Option("--base", "", "The schema of a file that --base of other commands names: what all manifests get.")
    ] = False
    plain: Annotated[
        bool, Option("--plain", "", "Only the standard's keywords, for validators that refuse all others.")
    ] = False
    with_lock: Annotated[
        bool, Option("--with-lock", "", "With the names of the manifest's lock, so that editors complete them.")
    ] = False
    file: Annotated[Path | None, Option("--file", "FILE", "With --with-lock: the manifest.")] = None


@_options
class EmulatorOptions(Shown):
    scenario: Annotated[
        Path | None, Option("--scenario", "FILE", "What the vendors do. Default: everything passes.")
    ] = None
    speed: Annotated[float | None, Option("--speed", "FLOAT", "How much faster than real time runs advance.")] = None
    port: Annotated[int, Option("--port", "N", "The port; 0 picks a free one.", minimum=0)] = 0
    host: Annotated[str, Option("--host", "ADDRESS", "A loopback address.")] = "127.0.0.1"


@_options
class VendorsOptions(Printed, OverBase):
    name: Annotated[str | None, Option("", "[NAME]", "One vendor, in detail.")] = None
    kind: Annotated[
        str | None,
        Option("", "[KIND]", "With --list: projects, tests, categories, tags, environments or apps. Default: all."),
    ] = None
    list: Annotated[
        bool, Option("--list", "", "What can be named at the vendor, with ids. Needs its key; no run is started.")
    ] = False
    project: Annotated[
        str | None, Option("--project", "NAME", "With --list: whose inventory. Default: the manifest's project.")
    ] = None
    file: Annotated[Path | None, Option("--file", "FILE", "With --list: the manifest with the vendor's settings.")] = (
        None
    )
    env_file: Annotated[tuple[Path, ...], _ENV_FILE] = ()
    allow_secret: Annotated[tuple[str, ...], _ALLOW_SECRET] = ()


@_options
class DoctorOptions(PlanOptions, Printed):
    offline: Annotated[bool, Option("--offline", "", "Ask no vendor.")] = False


@_options
class CompletionOptions(Shown):
    shell: Annotated[str, Option("", "bash|zsh|fish|powershell", "Whose script.")]


def chosen_words(options: PlanOptions, secrets: frozenset[str], *, but: Container[str] = ()) -> list[str]:
    """The words that chose a plan, for another command. The values of secrets are the pipeline's matter."""
    words = [options.file.as_posix()] if options.file is not None and "file" not in but else []
    for known in options_of(PlanOptions):
        if known.key in but or not (known.option.recorded or known.option.permits):
            continue
        value = getattr(options, known.key)
        values: Sequence[object] = value if isinstance(value, tuple) else () if value is None else (value,)
        for item in values:
            word = item.as_posix() if isinstance(item, Path) else str(item)
            if known.key != "var" or word.partition("=")[0] not in secrets:
                words += [known.option.name, word]
    return words


def stored_words(plan: Plan, folder: Path | None = None) -> tuple[str, ...] | None:
    """The words that chose a stored plan, for an apply in this folder; None where the plan does not have them.

    What may be read and sent is not among them: the pipeline says that again. `folder` is the run's.
    """
    if plan.sources is None:
        return None
    named = _manifest_from_here(plan.sources.manifest, folder) or plan.manifest
    words = [] if named == MANIFEST_NAMES[0] else [f"./{named}" if named.startswith("-") else named]
    for known in options_of(PlanOptions):
        value = plan.sources.choices.get(known.key)
        if value is None or not known.option.recorded or known.key == "rerun_failed":
            continue
        for item in value if isinstance(value, list) else [value]:
            words += [known.option.name, str(item)]
    return (*words, "--rehearse") if plan.rehearsal else tuple(words)


def _manifest_from_here(manifest: str, folder: Path | None) -> str | None:
    """A manifest of this repository, or of that in which the run's folder lies, as a path from this folder."""
    here = working_folder()
    for place in (here, folder):
        root = repository_root(place) if place is not None else None
        if root is not None and (root / manifest).is_file():
            with suppress(ValueError):  # no path leads from one drive to another
                return Path(os.path.relpath(root / manifest, here)).as_posix()
            return (root / manifest).as_posix()
    return None


# --- commands that are typed next -------------------------------------------------------------------------------------


class NextCommand(Struct, frozen=True, kw_only=True):
    """A run, with the options that lead to it and to what it needs."""

    run_id: str
    runs_dir: Path = DEFAULT_RUNS
    env_files: tuple[Path, ...] = ()
    allow: tuple[str, ...] = ()
    chosen: tuple[str, ...] | None = None
    """The words that chose the plan of an apply; None where they are not known."""

    @classmethod
    def of_stored(cls, folder: Path, plan: Plan) -> NextCommand:
        return cls(run_id=folder.name, runs_dir=folder.parent, chosen=stored_words(plan, folder))

    def rerun(self) -> str:
        """The apply of what did not pass. Empty where it is not known what chose the plan."""
        if self.chosen is None:
            return ""
        manifest = Path(self.chosen[0]) if self.chosen and not self.chosen[0].startswith("-") else None
        words = [*self.chosen, "--rerun-failed", self.run_id, *self._place(manifest), *self._env_files()]
        return shlex.join(["qarunner", "apply", *words])

    def resume(self, *words: str) -> str:
        return self._typed("resume", *words, *self._env_files(), *(f"--allow-secret={name}" for name in self.allow))

    def cancel(self) -> str:
        return self._typed("cancel", *self._env_files())

    def status(self) -> str:
        return self._typed("status")

    def watch(self) -> str:
        return self._typed("watch")

    def _env_files(self) -> list[str]:
        return [f"--env-file={file}" for file in self.env_files]

    def _typed(self, command: str, *words: str) -> str:
        return shlex.join(["qarunner", command, self.run_id, *self._place(), *words])

    def _place(self, manifest: Path | None = None) -> list[str]:
        return [] if self.runs_dir == runs_folder(None, manifest, {}) else [f"--runs-dir={self.runs_dir}"]
