"""`plan`: what an apply would send, to the last field, with every secret masked."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qarunner.app import saved_plan as saved
from qarunner.app.files import write_out
from qarunner.app.options import DEFAULT_RUNS, ShowOptions, chosen_words
from qarunner.errors import ExitCode, NothingSelected, UserError
from qarunner.history.durations import recall
from qarunner.paths import MANIFEST_NAMES
from qarunner.plan.model import to_json
from qarunner.report.plan import PipelinePart, github_matrix, gitlab_pipeline
from qarunner.text import styled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qarunner.app.planning import PlanResult
    from qarunner.cli.console import Console


OF_SHARDS = ("github-matrix", "gitlab-ci")


def _check(options: ShowOptions) -> None:
    """UserError for words that make no sense together."""
    pipeline = options.form in OF_SHARDS
    if options.more and not pipeline:
        hint = "such as: qarunner plan apps/*/qa-matrix.yml --format github-matrix"
        raise UserError(f"several manifests go with --format {' or '.join(OF_SHARDS)}", hint=hint)
    if not options.more and (options.shards is None) is pipeline:
        hint = "such as: qarunner plan --shards 4 --format github-matrix"
        raise UserError(f"--shards goes with --format {' or '.join(OF_SHARDS)}", hint=hint)
    if pipeline and any(saved.is_saved(file) for file in _files(options)):
        raise UserError("a saved plan has no shards", hint="name the manifest: each shard makes its own plan")
    if options.more and options.out is not None:
        raise UserError("--out takes the plan of one manifest", hint="leave it out: each job makes its own plan")


def show_plan(console: Console, environ: Mapping[str, str], options: ShowOptions) -> ExitCode:
    """Prints the plan, and writes it where it is wanted. 10 with --exit-code if an apply would send anything."""
    _check(options)
    if options.more:
        return _pipeline(console, environ, options)
    result = saved.plan_of(options, environ, hide=console.hide)
    tell(console, result)
    if options.out is not None:
        write_out(options.out, to_json(result.plan))
    _show(console, result, options)
    return ExitCode.CHANGES if options.exit_code and result.plan.jobs else ExitCode.OK


def _files(options: ShowOptions) -> tuple[Path | None, ...]:
    return (options.file, *options.more)


def _pipeline(console: Console, environ: Mapping[str, str], options: ShowOptions) -> ExitCode:
    """Prints the jobs of several manifests, without manifests where nothing was chosen. NothingSelected if all are."""
    parts, left_out = [], None
    for file in dict.fromkeys(_files(options)):
        one = replace(options, file=file, more=())
        try:
            result = saved.plan_of(one, environ, hide=console.hide)
        except NothingSelected as error:
            left_out = error
            console.warn(f"qarunner: note: {file}: {error.message}")
            continue
        tell(console, result)
        parts.append(_part(one, result))
    if left_out is not None and not parts:
        raise left_out
    _print_pipeline(console, parts, options.form, several=True)
    return ExitCode.CHANGES if options.exit_code else ExitCode.OK


def _part(options: ShowOptions, result: PlanResult) -> PipelinePart:
    file = (options.file or Path(MANIFEST_NAMES[0])).as_posix()
    shards = None if options.shards is None else min(options.shards, max(1, len(result.plan.entries)))
    return PipelinePart(file=file, name=result.plan.name, words=_words(options, result.declared_secrets), shards=shards)


def _print_pipeline(console: Console, parts: Sequence[PipelinePart], form: str, *, several: bool = False) -> None:
    if form == "github-matrix":
        console.json(github_matrix(parts, several=several))
    else:
        pipeline = console.environ.get("CI_PIPELINE_ID")
        console.document(gitlab_pipeline(parts, DEFAULT_RUNS.as_posix(), pipeline, several=several))


def _show(console: Console, result: PlanResult, options: ShowOptions) -> None:
    from qarunner.report import plan as planned

    plan = result.plan
    earlier = recall(options.runs_dir, rehearsal=options.rehearse)
    last = f"{planned.overview(plan)}; nothing was sent"
    match options.form:
        case "json":
            console.json(to_json(plan).decode())
        case "markdown":
            console.document(planned.markdown(plan, earlier, last))
        case "github-matrix" | "gitlab-ci":
            _print_pipeline(console, [_part(options, result)], options.form)
        case _:
            console.results(planned.text(plan, earlier, every_body=console.verbose))
            console.results(styled(line, "dim") for line in planned.left_out(plan))
            if expected := planned.expected(plan, earlier):
                console.result(expected)
            if cost := planned.cost(plan):
                console.result(cost)
            console.result(f"plan: {last}")


def _words(options: ShowOptions, secrets: frozenset[str]) -> str:
    """The words that chose this plan, for the apply of a shard."""
    words = chosen_words(options, secrets, but=("shard",))
    return "".join(f" {shlex.quote(word)}" for word in words)


def tell(console: Console, result: PlanResult) -> None:
    """What a plan's user should know, besides the plan."""
    console.warnings(result.warnings)
    for remark in result.remarks:
        console.warn(f"qarunner: warning: {remark}")
