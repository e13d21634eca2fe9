"""Every option of every command, once: its name, its words for people, and what else has to know it.

A command's options are a frozen dataclass. `cli/main.py` makes typer commands of them; saved plans, child pipelines
and the inputs of the action and the component are made from the same fields.
"""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from dataclasses import MISSING, dataclass, field, fields
from datetime import UTC, date, datetime
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, dataclass_transform, get_args, get_type_hints

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


class Option(Struct, frozen=True, kw_only=True):
    """A field of a command's options that can be typed: an option, or an argument where `name` is empty.

    `kind` is the type of one value, bool for a flag; `many`: it may be given often.
    `recorded`: it chooses what is planned; a saved plan keeps it, and a child pipeline repeats it. `permits`: it says
    what may be read, sent or paid for; a child pipeline repeats it, an apply of a saved plan says it again.
    `apart`: the option that makes no sense beside it, and why.
    """

    key: str
    kind: type
    many: bool
    required: bool
    default: object
    name: str
    metavar: str
    help: str
    short: str = ""
    recorded: bool = False
    permits: bool = False
    minimum: int | None = None
    apart: tuple[str, str] | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """The only words that it takes, where its metavar lists them: `text|json`."""
        return tuple(self.metavar.split("|")) if self.metavar and self.metavar == self.metavar.lower() else ()


def options_of(cls: type) -> tuple[Option, ...]:
    """The options of a command in the order of its help: what is required first, what many commands know last."""
    return _in_order(cls)


@cache
def _in_order(cls: type) -> tuple[Option, ...]:
    general = {declared.name for declared in (*fields(Printed), *fields(InRuns))}
    return tuple(sorted(_options_of(cls), key=lambda each: (not each.required, each.key in general)))


def _options_of(cls: type) -> Iterator[Option]:
    hints = get_type_hints(cls)
    for declared in fields(cls):
        if declared.metadata:
            kinds = [kind for kind in get_args(hints[declared.name]) if kind not in {type(None), ...}]
            yield Option(
                key=declared.name,
                kind=kinds[0] if kinds else hints[declared.name],
                many=getattr(hints[declared.name], "__origin__", None) is tuple,
                required=declared.default is MISSING and declared.default_factory is MISSING,
                default=None if declared.default is MISSING else declared.default,
                **{"name": f"--{declared.name.replace('_', '-')}", **declared.metadata},
            )


# --- how a field declares its option: called like the field, unless it says another `name` ----------------------------


def _required(metavar: str, text: str) -> Any:  # noqa: ANN401  a field's own type is the declared one
    """An argument that has to be there."""
    return field(metadata={"name": "", "metavar": metavar, "help": text})


def _option(metavar: str, text: str, *, default: object = None, **more: object) -> Any:  # noqa: ANN401  likewise
    return field(default=default, metadata={"metavar": metavar, "help": text, **more})


_flag = partial(_option, "", default=False)
_many = partial(_option, default=())
_argument = partial(_option, name="")


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field, _required))
def _options(cls: type[T]) -> type[T]:
    """A frozen dataclass whose methods stand in `Shown`: to generate them for each would take 30 ms at each start."""
    return dataclass(init=False, repr=False, eq=False)(cls)


# --- options that commands share --------------------------------------------------------------------------------------


@_options
class Shown:
    """What every command knows, before its name and after it."""

    quiet: bool = _flag("Only the result.", short="-q")
    verbose: bool = _flag("Every step.", short="-v", apart=("--quiet", "one says less, the other more"))
    color: str | None = _option(
        "auto|always|never", "Colours. Default: auto, in a terminal and in CI logs that show them."
    )
    no_color: bool = _flag("No colours.", apart=("--color", "it is --color never in one word"))

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

    output: str | None = _option(
        "text|json|github", "How results and problems are printed. Default: text; in GitHub Actions, github."
    )


_FILE = partial(_argument, "[FILE]", "The manifest. Default: qa-matrix.yml or .yaml here, or in a parent folder.")
_RUN = partial(_argument, "[RUN]", "A run's id. Default: the newest.")
_VAR = partial(_many, "K=V", "A value for a variable that the manifest declares; not for secrets.", recorded=True)
_VAR_FILE = partial(_many, "FILE", "Values of variables, in YAML or JSON; --var wins.", recorded=True)
_ENV = partial(
    _many,
    "NAME",
    "Lets templates read this variable of the environment, if the manifest declares it; NAME* is a glob, "
    "'!NAME' is not meant.",
    permits=True,
)
_ENV_FILE = partial(
    _many,
    "FILE",
    "Declared variables and vendors' keys, as NAME=value lines; what is named of the environment wins.",
    permits=True,
)
_ALLOW_SECRET = partial(
    _many,
    "NAME@HOST|NAME@VENDOR",
    "Lets a secret into URLs of this host, or other fields of this vendor; NAME alone: as an api_key_env.",
    permits=True,
)
_today = partial(field, default_factory=lambda: datetime.now(UTC).date())
_OUT = partial(_option, "FILE", "Where to write it. Default: print it.")
_UNSEALED = partial(_flag, "The run's folder is mine, whatever its seal says.")


@_options
class InRuns(Shown):
    """The commands that look into the folder of runs."""

    runs_dir: Path = field(
        default_factory=lambda: DEFAULT_RUNS,  # the command line asks `runs_folder` where no folder was typed
        metadata={"metavar": "DIR", "help": "Where runs are kept. Default: .qarunner/runs beside the manifest."},
    )


BASE_VARIABLE = "QARUNNER_BASE"
"""Names the base, like --base: the pipeline's word alone, wherever the file lies."""


@_options
class OverBase(Shown):
    """The commands that read a manifest over what an organisation gives to all."""

    base_file: Path | None = _option(
        "FILE",
        f"What holds for all manifests: the lowest layer, and limits. Default: {BASE_VARIABLE}.",
        name="--base",
        permits=True,
    )


@_options
class RowOptions(InRuns, OverBase):
    """What chooses rows."""

    profile: str | None = _option(
        "NAME", "A profile of the manifest; --select chooses among its entries.", recorded=True
    )
    select: tuple[str, ...] = _many(
        "EXPR",
        "Which entries: id-glob, label:x, vendor:x, platform:x, variant:x, owner:x; comma: and; repeat: or; !: not.",
        recorded=True,
    )
    changed_since: str | None = _option(
        "REF", "Leaves out entries with paths where nothing changed since the merge base with REF.", recorded=True
    )
    rerun_failed: str | None = _option("RUN", "Only the entries that did not pass in an earlier run.", recorded=True)


@_options
class ChoiceOptions(RowOptions):
    """The same with what gives their values, so that shards can be computed."""

    file: Path | None = _FILE()
    shard: str | None = _option("I/N", "Only the Ith of N parts of equal weight, for parallel jobs.", recorded=True)
    branch: str | None = _option("NAME", "The branch of this build, where neither CI nor git tells it.", recorded=True)
    tag: str | None = _option(
        "NAME",
        "The tag of this build, which then has no branch.",
        recorded=True,
        apart=("--branch", "a tag's build has no branch"),
    )
    var: tuple[str, ...] = _VAR()
    var_file: tuple[Path, ...] = _VAR_FILE()
    env: tuple[str, ...] = _ENV()
    env_file: tuple[Path, ...] = _ENV_FILE()
    allow_secret: tuple[str, ...] = _ALLOW_SECRET()
    today: date = _today()
    """The day of the plan; quarantines end by it."""
    rehearse: bool = False
    unsealed: bool | None = None
    """True if a person vouches for an earlier run. None: nothing is to be sent, so a doubt is only said."""


@_options
class PlanOptions(ChoiceOptions):
    """What `plan` and `apply` make a plan from."""

    max_tests: int | None = _option("N", "Refuse to start more tests than this (exit 6).", permits=True, minimum=0)
    max_cost: str | None = _option(
        "AMOUNT", "Refuse to start what costs more than this, such as 12.50 (exit 6).", permits=True
    )

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

    report: tuple[str, ...] = _many(
        "FORMAT=PATH", f"Also writes a report: {', '.join([*FORMATS][:-1])} or {[*FORMATS][-1]}. Repeatable."
    )
    timeout: str | None = _option("DURATION", "For all of it, such as 45m.")
    poll_interval: str | None = _option(
        "DURATION", "How often each run is asked, whatever its vendor says; rates still hold."
    )
    on_interrupt: str = _option("cancel|detach", "What a signal does to runs at the vendors.", default="cancel")
    refusal: UserError | None = None
    """What is wrong with the other words: whoever raises it removes the reports of an earlier run as well."""


# --- each command's ---------------------------------------------------------------------------------------------------


@_options
class InitOptions(Shown):
    """Write a first qa-matrix.yml for the chosen vendors, with its schema for editors."""

    vendor: tuple[str, ...] = _many("NAME", "A vendor to begin with; repeatable.")
    from_vendor: str | None = _option(
        "NAME", "Entries for what this vendor lists, by name, with their lock. Needs its key."
    )
    project: str | None = _option("NAME", "With --from-vendor: whose inventory.")
    schema: str = _option(
        "file|URL", "What editors check with: a file beside it, or an address with {version}.", default="file"
    )
    env_file: tuple[Path, ...] = _ENV_FILE()


@_options
class LockOptions(Printed, OverBase):
    """Ask the vendors for the ids behind the names in manifests, and write them into the locks beside these."""

    files: tuple[Path, ...] = _argument("[FILE]...", "Manifests. Default: the one of this repository.", default=())
    only: tuple[str, ...] = _many("ENTRY", "The names of this entry alone; all others stay as they are.")
    check: bool = _flag("Write nothing; exit with 10 and say what has moved since, if anything has.")
    var: tuple[str, ...] = _VAR()
    var_file: tuple[Path, ...] = _VAR_FILE()
    env: tuple[str, ...] = _ENV()
    env_file: tuple[Path, ...] = _ENV_FILE()
    allow_secret: tuple[str, ...] = _ALLOW_SECRET()
    today: date = _today()
    """The day that a changed lock gets."""


@_options
class ValidateOptions(Printed, OverBase):
    """Check manifests: schema, templates, what vendors can do. Offline; no variable needs to be set."""

    files: tuple[Path, ...] = _argument("[FILE]...", "Manifests. Default: the one of this repository.", default=())


@_options
class ShowOptions(PlanOptions):
    """Show every request that apply would send, secrets masked. Nothing is sent."""

    more: tuple[Path, ...] = _argument(
        "[FILE]...", "More manifests: with --format github-matrix or gitlab-ci.", default=()
    )
    out: Path | None = _option("FILE", "Also writes the plan as JSON; the same input, the same bytes.")
    form: str = _option(
        "text|json|markdown|github-matrix|gitlab-ci", "How the plan is printed.", name="--format", default="text"
    )
    shards: int | None = _option(
        "N",
        "Jobs to share the plan; at most one for each entry.",
        minimum=1,
        apart=("--shard", "--shards makes the jobs, each with a --shard of its own"),
    )
    exit_code: bool = _flag("Exit with 10 if an apply would send anything.")


@_options
class DiffOptions(RowOptions):
    """Show what changed in the expanded matrix since another revision, and why. Offline."""

    base: str | None = _argument(
        "[BASE]", "A revision or another file. Default: where this branch left its target or the default branch."
    )
    file: Path | None = _option("FILE", "The manifest. Default: as for the other commands.")
    form: str = _option(
        "text|json|markdown", "markdown fits a pull request's comment.", name="--format", default="text"
    )
    out: Path | None = _OUT()
    exit_code: bool = _flag("Exit with 10 if there are changes.")
    today: date = _today()
    rehearse: bool = False
    unsealed: bool | None = None


@_options
class ExplainOptions(ChoiceOptions, Printed):
    """Explain an entry (where its values come from, whether it runs, what it sends), or an error's code. Offline."""

    word: str = _required("ENTRY", "An entry's id, a glob of ids, or the code of an error, such as E204.")


@_options
class ApplyOptions(RunOptions, PlanOptions):
    """Plan, run, wait, report, gate. The exit code is the gate."""

    fail_fast: bool = _flag("After the first failure that gates, begin nothing and cancel what runs.")
    detach: bool = _flag("Return when every run is started; `qarunner resume` waits for them.")
    run_id: str | None = _option("ID", "A name for this run, instead of one made from the time.")
    continues: bool = _flag(
        "With --run-id: go on with the run of that id; of one that is over, only what did not pass runs again.",
        name="--continue",
    )
    unsealed: bool = _UNSEALED()
    rehearse: bool = _flag("Against emulated vendors, started inside: nothing is sent or paid.")
    scenario: Path | None = _option("FILE", "With --rehearse: what the emulated vendors do.")


@_options
class ResumeOptions(RunOptions):
    """Go on with an interrupted or detached apply, from its folder. No entry is started twice."""

    run_id: str | None = _RUN()
    resubmit: tuple[str, ...] = _many("ID", "An uncertain job or entry made no run: start it again.")
    drop: tuple[str, ...] = _many("ID", "Leave an uncertain job or entry as it is: unknown.")
    unsealed: bool = _UNSEALED()
    env_file: tuple[Path, ...] = _ENV_FILE()
    allow_secret: tuple[str, ...] = _ALLOW_SECRET()


@_options
class CancelOptions(InRuns, Printed):
    """Cancel at the vendors what a run still has there, from its folder. Nothing of it begins any more."""

    run_id: str | None = _RUN()
    env_file: tuple[Path, ...] = _ENV_FILE()
    allow_secret: tuple[str, ...] = _ALLOW_SECRET()


@_options
class StatusOptions(InRuns, Printed):
    """Show where a run stands, from its journal: also while another process drives it. Offline."""

    run_id: str | None = _RUN()


@_options
class WatchOptions(InRuns, Printed):
    """Look on while another process drives a run, and end with its exit code. Offline."""

    run_id: str | None = _RUN()


@_options
class HistoryOptions(InRuns, Printed):
    """Show how entries and tests did over the stored runs: flaky, failing, how long. Offline."""

    entry: str | None = _argument("[ENTRY]", "An entry's id. Default: all of them.")
    form: str = _option("text|json", "How it is printed.", name="--format", default="text")
    rehearsals: bool = _flag("The rehearsals' results instead of the real ones.")


@_options
class RunsOptions(InRuns, Printed):
    """List the newest runs that are kept here, export them, or remove old finished ones. Offline."""

    all: bool = _flag("Every run.")
    limit: int | None = _option("N", "So many runs. Default: 20.", minimum=1, apart=("--all", "--all shows every run"))
    prune: bool = _flag("With --keep: remove finished runs that left nothing at a vendor.")
    keep: int | None = _option("N", "With --prune: the newest N runs stay.", minimum=0)
    export: str | None = _option("jsonl", "A line of JSON for each vendor run: who, where, what. Default: --all.")


@_options
class ReportOptions(InRuns):
    """Render a report again from a run's journal, or one of several runs. Offline."""

    runs: tuple[str, ...] = _argument(
        "[RUN]...", "A run's id; with --merge, ids, or folders that runs are in. Default: the newest.", default=()
    )
    merge: bool = _flag("Join the runs of several jobs into one report, and one exit code.")
    union: bool = _flag("With --merge and --manifest: join several matrices; each keeps its gate.")
    manifest: tuple[Path, ...] = _many("FILE", "With --union: a manifest; without a run of it, exit 8. Repeatable.")
    verify: bool = _flag("With --commit: say whether the newest sealed run of all entries passed there.")
    commit: str | None = _option("SHA", "With --verify: the commit, in full.")
    profile: str | None = _option("NAME", "With --verify: the profile of the run. Default: a run without one.")
    max_age: str | None = _option("DURATION", "With --verify: how long ago the run may have ended, such as 24h.")
    form: str | None = _option(
        "|".join(FORMATS), "The report's format. Default: json; with --open, html.", name="--format"
    )
    open: bool = _flag("Shows the HTML report in the browser.")
    out: Path | None = _OUT()
    unsealed: bool = _UNSEALED()


@_options
class SchemaOptions(Shown):
    """Print the JSON Schema of the manifest, for editors and other tools."""

    fragment: bool = _flag("The schema of a file that a manifest includes, which holds `matrix` alone.")
    base: bool = _flag("The schema of a file that --base of other commands names: what all manifests get.")
    plain: bool = _flag("Only the standard's keywords, for validators that refuse all others.")
    with_lock: bool = _flag("With the names of the manifest's lock, so that editors complete them.")
    file: Path | None = _option("FILE", "With --with-lock: the manifest.")


@_options
class EmulatorOptions(Shown):
    """Serve the emulated vendor APIs on loopback, with a fault script. Prints the environment that leads to them."""

    scenario: Path | None = _option("FILE", "What the vendors do. Default: everything passes.")
    speed: float | None = _option("FLOAT", "How much faster than real time runs advance.")
    port: int = _option("N", "The port; 0 picks a free one.", minimum=0, default=0)
    host: str = _option("ADDRESS", "A loopback address.", default="127.0.0.1")


@_options
class VendorsOptions(Printed, OverBase):
    """Show what each vendor can do: the table that the check uses. With --list: what can be named there."""

    name: str | None = _argument("[NAME]", "One vendor, in detail.")
    kind: str | None = _argument(
        "[KIND]", "With --list: projects, tests, categories, tags, environments or apps. Default: all."
    )
    list: bool = _flag("What can be named at the vendor, with ids. Needs its key; no run is started.")
    project: str | None = _option("NAME", "With --list: whose inventory. Default: the manifest's project.")
    file: Path | None = _option("FILE", "With --list: the manifest with the vendor's settings.")
    env_file: tuple[Path, ...] = _ENV_FILE()
    allow_secret: tuple[str, ...] = _ALLOW_SECRET()


@_options
class DoctorOptions(PlanOptions, Printed):
    """Check all that an apply needs here: packages, git, manifest, variables, keys, network. Nothing is paid."""

    offline: bool = _flag("Ask no vendor.")


@_options
class CompletionOptions(Shown):
    """Print a shell's completion script, for commands, options, entries, profiles and runs."""

    shell: str = _required("bash|zsh|fish|powershell", "Whose script.")


def chosen_words(options: PlanOptions, secrets: frozenset[str], *, but: Container[str] = ()) -> list[str]:
    """The words that chose a plan, for another command. The values of secrets are the pipeline's matter."""
    words = [options.file.as_posix()] if options.file is not None and "file" not in but else []
    for known in options_of(PlanOptions):
        if known.key in but or not (known.recorded or known.permits):
            continue
        value = getattr(options, known.key)
        values: Sequence[object] = value if isinstance(value, tuple) else () if value is None else (value,)
        for item in values:
            word = item.as_posix() if isinstance(item, Path) else str(item)
            if known.key != "var" or word.partition("=")[0] not in secrets:
                words += [known.name, word]
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
        if value is None or not known.recorded or known.key == "rerun_failed":
            continue
        for item in value if isinstance(value, list) else [value]:
            words += [known.name, str(item)]
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
    def of(cls, folder: Path, plan: Plan | None = None) -> NextCommand:
        """That of the run of a folder; with the plan that lies there, it knows how to run it again."""
        chosen = stored_words(plan, folder) if plan is not None else None
        return cls(run_id=folder.name, runs_dir=folder.parent, chosen=chosen)

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
