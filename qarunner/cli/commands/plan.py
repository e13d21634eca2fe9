"""`plan`: what an apply would send, to the last field, with every secret masked."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from qarunner.app import files as inputs
from qarunner.app import saved_plan as saved
from qarunner.app.ci import checked_name
from qarunner.app.planning import Choice, Inputs, prepare
from qarunner.cli.options import DEFAULT_RUNS
from qarunner.diagnostics import choose
from qarunner.errors import ExitCode, UserError
from qarunner.manifest.select import parse_shard
from qarunner.plan.model import to_json
from qarunner.text import plural, styled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qarunner.app.ci import Facts
    from qarunner.app.planning import Hide, Prepared
    from qarunner.cli.console import Console
    from qarunner.plan.model import Plan


OF_SHARDS = ("github-matrix", "gitlab-ci")


FORMATS = ("text", "json", "markdown", *OF_SHARDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Showing:
    """How a plan is shown."""

    form: str = "text"
    out: Path | None = None
    shards: int | None = None
    exit_code: bool = False

    def check(self, given: Given) -> None:
        """UserError for words that make no sense together."""
        if self.form not in FORMATS:
            raise UserError(f"--format: unknown format {self.form!r}", hint=choose(self.form, FORMATS))
        if (self.shards is None) is (self.form in OF_SHARDS):
            hint = "such as: qarunner plan --shards 4 --format github-matrix"
            raise UserError(f"--shards goes with --format {' or '.join(OF_SHARDS)}", hint=hint)
        if self.shards is not None and saved.is_saved(given.file):
            raise UserError("a saved plan has no shards", hint="name the manifest: each shard makes its own plan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The words on the command line that choose a plan."""

    file: Path | None = None
    profile: str | None = None
    select: tuple[str, ...] = ()
    var: tuple[str, ...] = ()
    var_file: tuple[Path, ...] = ()
    env: tuple[str, ...] = ()
    env_file: tuple[Path, ...] = ()
    allow_secret: tuple[str, ...] = ()
    max_tests: int | None = None
    changed_since: str | None = None
    branch: str | None = None
    tag: str | None = None
    shard: str | None = None
    rerun_failed: str | None = None
    runs_dir: Path = DEFAULT_RUNS
    rehearse: bool = False
    unsealed: bool | None = None
    today: date = field(default_factory=lambda: datetime.now(UTC).date())
    """The day of the plan; quarantines end by it."""


def given(file: Path | None, values: ValueWords, **words: object) -> Given:
    """Options as typer hands them over: lists become tuples, and what was not given keeps its default."""
    found = {**words, **dict(zip(VALUE_WORDS, values, strict=True))}
    told = {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
    return Given(file=file, **{name: value for name, value in told.items() if value is not None})  # type: ignore[arg-type]


VALUE_WORDS = ("var", "var_file", "env", "env_file", "allow_secret")


ValueWords: TypeAlias = (
    "tuple[list[str] | None, list[Path] | None, list[str] | None, list[Path] | None, list[str] | None]"
)
"""What --var, --var-file, --env, --env-file and --allow-secret were given, in this order."""


def prepared(console: Console, environ: Mapping[str, str], words: Given, like: Plan | None = None) -> Prepared:
    """The plan, with the environment it was made with. StalePlan for a saved one that does not hold any more.

    `like`: an earlier plan, whose build's URL and event are taken over.
    """
    make = partial(_made, hide=console.hide)
    if words.file is not None and saved.is_saved(words.file):
        return saved.reopened(words.file, words, environ, make)
    facts = saved.facts_here(like, words, environ) if like is not None else None
    return make(inputs.find_manifest(words.file), words, environ, facts)


def read_inputs(words: Given, environ: Mapping[str, str]) -> Inputs:
    """What the words say about values. UserError or ManifestError for files and words that cannot be taken."""
    from_files = inputs.read_var_files(words.var_file)
    given = inputs.overrides(words.var)
    return Inputs(
        overrides={**{each.name: each.text for each in from_files}, **given},
        places={each.name: each.place for each in from_files if each.name not in given},
        names=inputs.named_variables(environ, words.env),
        env_lines=inputs.read_env_files(words.env_file),
        allow_secrets=inputs.allowed_secrets(environ, words.allow_secret),
    )


def _made(path: Path, words: Given, environ: Mapping[str, str], facts: Facts | None, *, hide: Hide) -> Prepared:
    choice = Choice(
        environ=environ,
        today=words.today,
        profile=words.profile,
        select=words.select,
        inputs=read_inputs(words, environ),
        facts=facts,
        max_tests=words.max_tests,
        changed_since=words.changed_since,
        branch=checked_name("--branch", words.branch),
        tag=checked_name("--tag", words.tag),
        shard=parse_shard(words.shard) if words.shard is not None else None,
        rerun_failed=words.rerun_failed,
        runs_dir=words.runs_dir,
        rehearse=words.rehearse,
        unsealed=words.unsealed,
        hide=hide,
    )
    return saved.with_sources(prepare(path, choice), path, words, choice.inputs.overrides)


def show_plan(console: Console, environ: Mapping[str, str], given: Given, showing: Showing) -> ExitCode:
    """Prints the plan, and writes it where it is wanted. 10 with --exit-code if an apply would send anything."""
    showing.check(given)
    found = prepared(console, environ, given)
    tell(console, found)
    if showing.out is not None:
        _write(showing.out, to_json(found.plan))
    _show(console, found, given, showing)
    return ExitCode.CHANGES if showing.exit_code and found.plan.jobs else ExitCode.OK


def _show(console: Console, found: Prepared, given: Given, showing: Showing) -> None:
    from qarunner.report import plan as planned

    plan = found.plan
    last = f"{summary(plan)}; nothing was sent"
    shards = min(showing.shards or 1, len(plan.entries))
    match showing.form:
        case "json":
            console.json(to_json(plan).decode())
        case "markdown":
            console.document(planned.markdown(plan, {}, last))
        case "github-matrix":
            console.json(planned.github_matrix(shards))
        case "gitlab-ci":
            words = _words(given, found.declared_secrets)
            console.document(planned.gitlab_pipeline(shards, words, DEFAULT_RUNS.as_posix()))
        case _:
            for text, style in planned.text(plan, {}, every_body=console.verbose):
                console.result(styled(text, style))
            for line in not_planned(plan):
                console.result(styled(line, "dim"))
            console.result(f"plan: {last}")


def _words(given: Given, secrets: frozenset[str]) -> str:
    """The words that chose this plan, for the apply of a shard. The values of secrets are the pipeline's matter."""
    words = [given.file.as_posix()] if given.file is not None else []
    single = (
        ("--profile", given.profile),
        ("--changed-since", given.changed_since),
        ("--branch", given.branch),
        ("--tag", given.tag),
        ("--rerun-failed", given.rerun_failed),
        ("--max-tests", given.max_tests),
    )
    words += [part for option, value in single if value is not None for part in (option, str(value))]
    repeated = (
        ("--select", given.select),
        ("--var", tuple(word for word in given.var if word.partition("=")[0] not in secrets)),
        ("--var-file", tuple(file.as_posix() for file in given.var_file)),
        ("--env", given.env),
        ("--env-file", tuple(file.as_posix() for file in given.env_file)),
        ("--allow-secret", given.allow_secret),
    )
    words += [part for option, values in repeated for value in values for part in (option, value)]
    return "".join(f" {shlex.quote(word)}" for word in words)


def tell(console: Console, found: Prepared) -> None:
    """What a plan's user should know, besides the plan."""
    console.warnings(found.warnings)
    for remark in found.remarks:
        console.warn(f"qarunner: warning: {remark}")


def _write(out: Path, data: bytes) -> None:
    from qarunner.paths import write_whole

    try:
        write_whole(out, data, device=True)
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written: {error.strerror}") from error


def not_planned(plan: Plan) -> Iterator[str]:
    for row in plan.not_planned:
        yield f"not planned: {row.id}  {row.reason}  {row.origin}"


def summary(plan: Plan) -> str:
    """`7 entries in 3 vendor runs: doksi 2, certyn 1`."""
    runs: dict[str, int] = {}
    for job in plan.jobs:
        runs[job.vendor] = runs.get(job.vendor, 0) + 1
    each = ", ".join(f"{vendor} {number}" for vendor, number in runs.items())
    entries = plural(len(plan.entries), "entry", "entries")
    if not plan.entries:
        return f"no entries: shard {plan.shard} is empty"
    if plan.shard:
        entries = f"shard {plan.shard}: {entries}"
    return f"{entries} in {plural(len(plan.jobs), 'vendor run')}: {each}"
