"""`plan`: what an apply would send, to the last field, with every secret masked."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qarunner.app import files as inputs
from qarunner.app import saved_plan as saved
from qarunner.app.choosing import Choice, Inputs
from qarunner.app.ci import checked_name
from qarunner.app.options import DEFAULT_RUNS, PlanOptions, options_of
from qarunner.app.planning import prepare
from qarunner.diagnostics import choose
from qarunner.errors import ExitCode, UserError
from qarunner.manifest.select import parse_shard
from qarunner.plan.model import to_json
from qarunner.text import styled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from qarunner.app.choosing import Hide
    from qarunner.app.ci import Facts
    from qarunner.app.options import ChoiceOptions, Field, ShowOptions
    from qarunner.app.planning import Prepared
    from qarunner.cli.console import Console
    from qarunner.plan.model import Plan


OF_SHARDS = ("github-matrix", "gitlab-ci")


FORMATS = ("text", "json", "markdown", *OF_SHARDS)


def _check(options: ShowOptions) -> None:
    """UserError for words that make no sense together."""
    if options.form not in FORMATS:
        raise UserError(f"--format: unknown format {options.form!r}", hint=choose(options.form, FORMATS))
    if (options.shards is None) is (options.form in OF_SHARDS):
        hint = "such as: qarunner plan --shards 4 --format github-matrix"
        raise UserError(f"--shards goes with --format {' or '.join(OF_SHARDS)}", hint=hint)
    if options.shards is not None and saved.is_saved(options.file):
        raise UserError("a saved plan has no shards", hint="name the manifest: each shard makes its own plan")


def prepared(console: Console, environ: Mapping[str, str], words: PlanOptions, like: Plan | None = None) -> Prepared:
    """The plan, with the environment it was made with. StalePlan for a saved one that does not hold any more.

    `like`: an earlier plan, whose build's URL and event are taken over.
    """
    make = partial(_made, hide=console.hide)
    if words.file is not None and saved.is_saved(words.file):
        return saved.reopened(words.file, words, environ, make)
    facts = saved.facts_here(like, words, environ) if like is not None else None
    return make(inputs.find_manifest(words.file), words, environ, facts)


def read_inputs(words: ChoiceOptions, environ: Mapping[str, str]) -> Inputs:
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


def _made(path: Path, words: PlanOptions, environ: Mapping[str, str], facts: Facts | None, *, hide: Hide) -> Prepared:
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


def show_plan(console: Console, environ: Mapping[str, str], options: ShowOptions) -> ExitCode:
    """Prints the plan, and writes it where it is wanted. 10 with --exit-code if an apply would send anything."""
    _check(options)
    found = prepared(console, environ, options)
    tell(console, found)
    if options.out is not None:
        _write(options.out, to_json(found.plan))
    _show(console, found, options)
    return ExitCode.CHANGES if options.exit_code and found.plan.jobs else ExitCode.OK


def _show(console: Console, found: Prepared, options: ShowOptions) -> None:
    from qarunner.report import plan as planned

    plan = found.plan
    last = f"{planned.overview(plan)}; nothing was sent"
    shards = min(options.shards or 1, len(plan.entries))
    match options.form:
        case "json":
            console.json(to_json(plan).decode())
        case "markdown":
            console.document(planned.markdown(plan, {}, last))
        case "github-matrix":
            console.json(planned.github_matrix(shards))
        case "gitlab-ci":
            words = _words(options, found.declared_secrets)
            console.document(planned.gitlab_pipeline(shards, words, DEFAULT_RUNS.as_posix()))
        case _:
            for text, style in planned.text(plan, {}, every_body=console.verbose):
                console.result(styled(text, style))
            for line in planned.left_out(plan):
                console.result(styled(line, "dim"))
            console.result(f"plan: {last}")


def _words(options: ShowOptions, secrets: frozenset[str]) -> str:
    """The words that chose this plan, for the apply of a shard. The values of secrets are the pipeline's matter."""
    words = [options.file.as_posix()] if options.file is not None else []
    for each in options_of(PlanOptions):
        if each.key != "shard" and (each.option.recorded or each.option.permits):
            words += _typed(each, getattr(options, each.key), secrets)
    return "".join(f" {shlex.quote(word)}" for word in words)


def _typed(field: Field, value: object, secrets: frozenset[str]) -> Iterator[str]:
    values: Sequence[object] = value if isinstance(value, tuple) else () if value is None else (value,)
    for each in values:
        word = each.as_posix() if isinstance(each, Path) else str(each)
        if field.key != "var" or word.partition("=")[0] not in secrets:
            yield from (field.option.name, word)


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
